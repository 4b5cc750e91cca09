//! `PUT /v1/messages/{id}`: the business has read a customer's message.

use crate::{error::ApiError, fields::Fields};

/// Checks the body, `{"status":"read"}`.
///
/// # Errors
/// 1008 no `status`, 1009 another one than `read`, 1010 unknown field, 1025 no JSON.
pub fn check_read_mark(body: &[u8]) -> Result<(), ApiError> {
    let mut fields = Fields::of_body(body)?;
    fields.required_word("status", &["read"])?;
    fields.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_can_be_marked_read_and_nothing_else() {
        assert_eq!(check_read_mark(br#"{"status":"read"}"#), Ok(()));
        for (body, code) in [
            ("", 1025),
            ("{}", 1008),
            (r#"{"status":"delivered"}"#, 1009),
            (r#"{"status":true}"#, 1009),
            (r#"{"status":"read","at":1}"#, 1010),
        ] {
            assert_eq!(check_read_mark(body.as_bytes()).unwrap_err().code.get(), code, "{body}");
        }
    }
}
