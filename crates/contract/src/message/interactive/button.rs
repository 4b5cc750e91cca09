//! Reply buttons: 1 to 3.

use serde_json::Value;

use super::counted;
use crate::{
    error::{ApiError, Code},
    fields::{self, Fields},
    message::object::{Object, refused},
};

/// Most buttons.
pub const MAX_BUTTONS: usize = 3;
/// Most characters of a button's id.
pub const MAX_ID: usize = 256;
/// Most characters of a button's title.
pub const MAX_TITLE: usize = 20;

pub(super) fn read(fields: Fields) -> Result<Value, ApiError> {
    let mut action = Object::new(fields);
    let buttons = action.fields.required_items("buttons")?;
    let count = buttons.len();
    counted(&action.fields, "buttons", "buttons", count, MAX_BUTTONS, Code::INVALID)?;
    let (mut ids, mut titles) = (Vec::new(), Vec::new());
    let buttons: Result<Vec<_>, _> = buttons
        .into_iter()
        .map(|fields| {
            let mut button = Object::new(fields);
            button.word_or_first("type", &["reply"])?;
            button.required_object("reply", |reply| self::reply(reply, &mut ids, &mut titles))?;
            button.finish()
        })
        .collect();
    action.put("buttons", buttons?);
    action.finish()
}

fn reply(
    fields: Fields,
    ids: &mut Vec<String>,
    titles: &mut Vec<String>,
) -> Result<Value, ApiError> {
    let mut reply = Object::new(fields);
    reply.required_text("id", MAX_ID)?;
    let id = reply.taken_str("id");
    if id.trim() != id {
        let allowed = "no spaces at the beginning or the end";
        let path = reply.fields.path_of("id");
        return Err(refused(Code::CHARACTERS, path, fields::quoted(id), allowed));
    }
    reply.required_text("title", MAX_TITLE)?;
    unique(&reply, "id", ids)?;
    unique(&reply, "title", titles)?;
    reply.finish()
}

/// Refuses a text that another entry has.
pub(super) fn unique(of: &Object, name: &str, seen: &mut Vec<String>) -> Result<(), ApiError> {
    let text = of.taken_str(name).to_owned();
    if seen.contains(&text) {
        let allowed = "a text that no other entry has";
        return Err(of.fields.invalid(name, fields::quoted(&text), allowed));
    }
    seen.push(text);
    Ok(())
}
