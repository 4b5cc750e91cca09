//! `POST /v1/contacts/{number}/block`, `/unblock` and `/report`: the requests. Their answers are
//! empty.

use utoipa::ToSchema;

use crate::{
    error::ApiError,
    fields::{self, Fields},
    id::{Direction, MAX_ID_LEN, MessageId},
    number::Number,
    route::Route,
};

/// Most characters of a reason. More → 1009.
pub const MAX_REASON: usize = 60;

/// The body of a block; there need not be one.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockBody {
    /// Goes nowhere: the block is ours alone.
    #[schema(max_length = 60)]
    pub reason: Option<String>,
}

/// The body of a report; there need not be one.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportBody {
    /// For the network.
    #[schema(max_length = 60)]
    pub reason: Option<String>,
    /// And block the customer. Default: false.
    pub block: Option<bool>,
    /// The message that is complained about, one of theirs. Default: their latest five.
    pub message_id: Option<String>,
}

/// A complaint about a customer.
#[derive(Debug, PartialEq, Eq)]
pub struct ReportRequest {
    /// For the network; empty when none is given.
    pub reason: String,
    /// And block the customer.
    pub block: bool,
    /// Of theirs; `None`: their latest ones.
    pub message: Option<MessageId>,
}

/// Checks the body of a block: nothing, or `{"reason":"…"}`. The block is ours alone, so the reason
/// goes nowhere.
///
/// # Errors
/// 1009 type or length, 1010 unknown field, 1025 no JSON.
pub fn block(body: &[u8]) -> Result<(), ApiError> {
    let Some(mut fields) = given(body)? else { return Ok(()) };
    reason(&mut fields)?;
    fields.finish()
}

/// Checks the body of an unblock: nothing, or `{}`.
///
/// # Errors
/// 1010 unknown field, 1025 no JSON.
pub fn unblock(body: &[u8]) -> Result<(), ApiError> {
    given(body)?.map_or(Ok(()), Fields::finish)
}

impl ReportRequest {
    /// Reads the body of a report about `number`; it may be empty.
    ///
    /// # Errors
    /// 1009 type, length, or an id of somebody else's message; 1010 unknown field, 1025 no JSON.
    pub fn parse(body: &[u8], number: &Number) -> Result<Self, ApiError> {
        let Some(mut fields) = given(body)? else {
            return Ok(Self { reason: String::new(), block: false, message: None });
        };
        let reason = reason(&mut fields)?;
        let block = fields.optional_bool("block")?.unwrap_or(false);
        let message = match fields.optional_str("message_id")? {
            None => None,
            Some(text) => {
                let id = (text.len() <= MAX_ID_LEN).then(|| text.parse::<MessageId>().ok());
                let theirs = id.flatten().filter(|id| {
                    id.direction == Direction::Inbound && Route::of(&id.number) == Route::of(number)
                });
                let refused = || {
                    let allowed = "the id of a message that this contact wrote";
                    fields.invalid("message_id", fields::quoted(&text), allowed)
                };
                Some(theirs.ok_or_else(refused)?)
            }
        };
        fields.finish()?;
        Ok(Self { reason, block, message })
    }
}

/// A body, unless there is none; `null` is none.
fn given(body: &[u8]) -> Result<Option<Fields>, ApiError> {
    if matches!(body.trim_ascii(), b"" | b"null") {
        return Ok(None);
    }
    Fields::of_body(body).map(Some)
}

fn reason(fields: &mut Fields) -> Result<String, ApiError> {
    let reason = fields.optional_str("reason")?.unwrap_or_default();
    if reason.chars().nth(MAX_REASON).is_some() {
        let allowed = format_args!("a text of at most {MAX_REASON} characters");
        return Err(fields.invalid("reason", fields::quoted(&reason), allowed));
    }
    Ok(reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Key;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    fn id(direction: Direction, of: &str) -> String {
        let key = Key::from_bytes(&[7; 10]).unwrap();
        MessageId { direction, number: number(of), key }.to_string()
    }

    #[test]
    fn a_report_names_a_message_of_the_contact_or_none() {
        let ada = number("+52 1 55 1234 5678");
        let none = ReportRequest { reason: String::new(), block: false, message: None };
        assert_eq!(ReportRequest::parse(b"", &ada).unwrap(), none);
        assert_eq!(ReportRequest::parse(b"{}", &ada).unwrap(), none);
        assert_eq!(ReportRequest::parse(b"null\n", &ada).unwrap(), none);
        // The same person under the other notation of the number.
        let theirs = id(Direction::Inbound, "525512345678");
        let body = format!(r#"{{"reason":"spam","block":true,"message_id":"{theirs}"}}"#);
        let report = ReportRequest::parse(body.as_bytes(), &ada).unwrap();
        assert_eq!((report.reason.as_str(), report.block), ("spam", true));
        assert_eq!(report.message.unwrap().to_string(), theirs);
    }

    #[test]
    fn what_is_wrong_with_a_report_or_a_block_is_named() {
        let ada = number("4915112345678");
        let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(MAX_REASON + 1));
        let ours = format!(r#"{{"message_id":"{}"}}"#, id(Direction::Outbound, "4915112345678"));
        let others = format!(r#"{{"message_id":"{}"}}"#, id(Direction::Inbound, "4915112345679"));
        for (body, code, word) in [
            (long.as_str(), 1009, "at most 60"),
            (r#"{"reason":7}"#, 1009, "'reason'"),
            (r#"{"block":"yes"}"#, 1009, "'block'"),
            (r#"{"message_id":"x"}"#, 1009, "'message_id'"),
            (&ours, 1009, "this contact wrote"),
            (&others, 1009, "this contact wrote"),
            (r#"{"surplus":1}"#, 1010, "'surplus'"),
            ("[]", 1025, "object"),
        ] {
            let error = ReportRequest::parse(body.as_bytes(), &ada).unwrap_err();
            assert_eq!((error.code.get(), error.status()), (code, 400), "{body}: {error}");
            assert!(error.details.contains(word), "{body}: {error}");
        }
        assert_eq!(block(long.as_bytes()).unwrap_err().code.get(), 1009);
        assert_eq!(block(br#"{"block":true}"#).unwrap_err().code.get(), 1010);
        assert_eq!(unblock(br#"{"reason":"x"}"#).unwrap_err().code.get(), 1010);
        let longest = format!(r#"{{"reason":"{}"}}"#, "\u{e9}".repeat(MAX_REASON));
        for body in ["", " \n", "{}", " null", &longest] {
            block(body.as_bytes()).unwrap();
        }
        unblock(b"{}").unwrap();
        unblock(b"null").unwrap();
    }
}
