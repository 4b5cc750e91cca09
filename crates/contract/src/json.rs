//! Request bodies as JSON: bounds first, then the parser, then a refusal that says where.
//! What the fields mean is read with [`crate::fields::Fields`].

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::error::Category;

use crate::error::{ApiError, Code};

/// Longest JSON body, bytes. Longer → 413/1025.
pub const MAX_BODY: usize = 1 << 20;
/// Most arrays and objects open at once. Deeper → 400/1025.
pub const MAX_DEPTH: usize = 32;

/// Checks length and depth before anything is parsed. One pass, no recursion, no allocation.
///
/// What is no JSON at all may pass: the parser refuses it.
///
/// # Errors
/// 413/1025 for more than [`MAX_BODY`] bytes, 400/1025 for more than [`MAX_DEPTH`] levels.
pub fn check(bytes: &[u8]) -> Result<(), ApiError> {
    check_within(bytes, MAX_BODY)
}

/// The same with another length.
///
/// # Errors
/// As [`check`], for more than `max_body` bytes.
pub fn check_within(bytes: &[u8], max_body: usize) -> Result<(), ApiError> {
    if bytes.len() > max_body {
        return Err(ApiError::new(
            Code::INVALID_REQUEST,
            format!("The body has {} bytes, allowed are {max_body}", bytes.len()),
        )
        .with_status(413));
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    let (line, column) = position(bytes.get(..at).unwrap_or_default());
                    return Err(ApiError::new(
                        Code::INVALID_REQUEST,
                        format!(
                            "The body is nested deeper than {MAX_DEPTH} levels \
                             (line {line}, column {column})"
                        ),
                    ));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Parses a body after [`check`].
///
/// Meant for shapes that cannot be wrong in an interesting way (`serde_json::Value`, our own stored
/// documents): a value of the wrong shape is named by its place only, never shown, because it may
/// be a secret.
///
/// # Errors
/// As [`check`]; 400/1025 with line and column for what is no JSON; 400/1009 for another shape.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    parse_within(bytes, MAX_BODY)
}

/// The same with another length.
///
/// # Errors
/// As [`parse`], for more than `max_body` bytes.
pub fn parse_within<T: DeserializeOwned>(bytes: &[u8], max_body: usize) -> Result<T, ApiError> {
    check_within(bytes, max_body)?;
    serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        match error.classify() {
            Category::Data => ApiError::new(
                Code::INVALID,
                format!("The body has an unexpected shape at line {line}, column {column}"),
            ),
            Category::Eof => ApiError::new(
                Code::INVALID_REQUEST,
                format!("The body ends too early for JSON (line {line}, column {column})"),
            ),
            Category::Syntax | Category::Io => ApiError::new(
                Code::INVALID_REQUEST,
                format!("The body is no valid JSON at line {line}, column {column}"),
            ),
        }
    })
}

/// Serialises one of our own shapes. `None` only for shapes JSON cannot express, such as maps whose
/// keys are no strings.
pub(crate) fn bytes(value: &impl Serialize) -> Option<Bytes> {
    serde_json::to_vec(value).ok().map(Bytes::from)
}

/// Line and column, both from 1, of the byte after `before`.
fn position(before: &[u8]) -> (usize, usize) {
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
    (line, column)
}
