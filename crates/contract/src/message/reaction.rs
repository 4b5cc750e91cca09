//! `reaction`: an emoji at a message, or its removal.

use serde_json::Value;

use super::object::Object;
use crate::{
    error::ApiError,
    fields::{self, Fields},
    id::{MAX_ID_LEN, MessageId},
};

/// Most characters of an emoji: families and flags are joined of several.
pub const MAX_EMOJI: usize = 16;

pub(super) fn read(fields: Fields) -> Result<Value, ApiError> {
    let mut reaction = Object::new(fields);
    let id = reaction.fields.required_str("message_id")?;
    if id.len() > MAX_ID_LEN || id.parse::<MessageId>().is_err() {
        return Err(reaction.fields.invalid("message_id", fields::quoted(&id), "a message id"));
    }
    reaction.put("message_id", id);
    let emoji = reaction.fields.required_str("emoji")?;
    if fields::longer_than(&emoji, MAX_EMOJI).is_some() || emoji.chars().any(is_no_emoji) {
        let allowed = "one emoji, or an empty text to remove it";
        return Err(reaction.fields.invalid("emoji", fields::quoted(&emoji), allowed));
    }
    reaction.put("emoji", emoji);
    reaction.finish()
}

/// Letters and spaces. Digits, `#` and `*` begin keycaps; letters in circles and squares, which are
/// emoji, come later in Unicode.
fn is_no_emoji(char: char) -> bool {
    (char < '\u{2000}' && char.is_alphabetic()) || char.is_whitespace() || char.is_control()
}
