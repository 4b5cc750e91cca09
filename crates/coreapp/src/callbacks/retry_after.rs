//! `Retry-After`: a number of seconds, or a date.

use std::time::{Duration, UNIX_EPOCH};

/// The wait it asks for, milliseconds; `None` when it is neither form. A date that has passed asks
/// for none.
pub(super) fn parse(text: &str, now_unix_ms: i64) -> Option<u64> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Too many digits to count are too long a wait to honour.
        return Some(text.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(1_000));
    }
    let then = httpdate::parse_http_date(text).ok()?;
    let now = UNIX_EPOCH + Duration::from_millis(u64::try_from(now_unix_ms).ok()?);
    let wait = then.duration_since(now).unwrap_or_default();
    Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_the_three_forms_of_a_date_are_understood() {
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = 784_111_777_000 - 2_500;
        for (text, wait) in [
            ("0", Some(0)),
            (" 120 ", Some(120_000)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(2_500)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(2_500)),
            ("Sun Nov  6 08:49:37 1994", Some(2_500)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ] {
            assert_eq!(parse(text, now), wait, "{text:?}");
        }
    }
}
