//! A file out of a `multipart/form-data` body (RFC 7578), as forms and generated clients send it. The body
//! is whole and small: nothing is streamed here.

use bytes::Bytes;
use contract::{ApiError, Code};
use http::{HeaderMap, header};

/// Bytes that a body may have beside its file: boundaries, heads of parts.
pub(crate) const OVERHEAD: usize = 16 << 10;
/// Longest boundary, by RFC 2046.
const BOUNDARY_MAX: usize = 70;

/// The boundary, if the request says that its body has one.
///
/// # Errors
/// 400/1025 for a form whose boundary is missing or none.
pub(crate) fn boundary(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let mut parts = value.unwrap_or_default().split(';').map(str::trim);
    if !parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/form-data")) {
        return Ok(None);
    }
    let given = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    });
    match given {
        Some(boundary) if (1..=BOUNDARY_MAX).contains(&boundary.len()) => {
            Ok(Some(boundary.to_owned()))
        }
        _ => Err(ApiError::new(
            Code::INVALID_REQUEST,
            "The header 'Content-Type' of a form needs a boundary of 1 to 70 characters",
        )),
    }
}

/// What the part called `name` holds, in any case of letters.
///
/// # Errors
/// 400/1025 when the body is no form of this boundary, 400/1008 when there is no such part.
pub(crate) fn file(body: &Bytes, boundary: &str, name: &str) -> Result<Bytes, ApiError> {
    let malformed = || {
        ApiError::new(Code::INVALID_REQUEST, "The body is no whole form of the boundary it names")
    };
    let first = format!("--{boundary}");
    let next = format!("\r\n--{boundary}");
    let mut at = find(body, first.as_bytes()).ok_or_else(malformed)? + first.len();
    // A preamble may stand before the first boundary, an epilogue behind the last.
    loop {
        let rest = body.get(at..).unwrap_or_default();
        if rest.starts_with(b"--") {
            let details =
                format!("Parameter '{name}' is missing: the form has no part of this name");
            return Err(ApiError::new(Code::MISSING, details));
        }
        let end = at + find(rest, next.as_bytes()).ok_or_else(malformed)?;
        let part = body.get(at..end).unwrap_or_default();
        let blank = find(part, b"\r\n\r\n").ok_or_else(malformed)?;
        let head = String::from_utf8_lossy(part.get(..blank).unwrap_or_default());
        if is_called(&head, name) {
            return Ok(body.slice(at + blank + 4..end));
        }
        at = end + next.len();
    }
}

fn is_called(head: &str, wanted: &str) -> bool {
    let disposition = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    });
    let mut parameters = disposition.unwrap_or_default().split(';').skip(1);
    parameters.any(|parameter| {
        parameter.split_once('=').is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("name")
                && value.trim().trim_matches('"').eq_ignore_ascii_case(wanted)
        })
    })
}

fn find(within: &[u8], what: &[u8]) -> Option<usize> {
    within.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Bytes, u16> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        file(&body, "XX", "file").map_err(|error| error.code.get())
    }

    #[test]
    fn the_part_of_the_name_is_found_among_others() {
        let form = "before\r\n--XX\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nfile\r\n\
            --XX\r\ncontent-disposition: form-data; name=\"File\"; filename=\"a.png\"\r\n\
            Content-Type: image/png\r\n\r\n\u{1}\r\n--X\r\n\r\n--XX--\r\nbehind";
        assert_eq!(read(form).unwrap(), "\u{1}\r\n--X\r\n");
    }

    #[test]
    fn what_is_no_form_or_lacks_the_part_is_refused() {
        let other = "--XX\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\na\r\n--XX--";
        assert_eq!(read(other), Err(1008));
        for bad in ["", "--YY--", "--XX", "--XX\r\nno end", "--XX\r\n\r\n--XX--"] {
            assert_eq!(read(bad), Err(1025), "{bad:?}");
        }
    }

    #[test]
    fn the_boundary_is_read_from_the_type() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            boundary(&headers).map_err(|error| error.code.get())
        };
        assert_eq!(of("image/png"), Ok(None));
        assert_eq!(of("multipart/form-data; boundary=\"a b\""), Ok(Some("a b".to_owned())));
        assert_eq!(of("Multipart/Form-Data; charset=x; Boundary=ab"), Ok(Some("ab".to_owned())));
        for bad in ["multipart/form-data", "multipart/form-data; boundary="] {
            assert_eq!(of(bad), Err(1025), "{bad}");
        }
        assert_eq!(of(&format!("multipart/form-data; boundary={}", "a".repeat(71))), Err(1025));
    }
}
