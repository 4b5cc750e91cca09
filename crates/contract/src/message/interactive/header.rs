//! `interactive.header`. Whatever is wrong with it is 2036.

use serde_json::Value;

use crate::{
    error::{ApiError, Code},
    fields::Fields,
    message::{
        media,
        object::{Object, refused},
    },
};

/// Most characters of a header's text.
pub const MAX_TEXT: usize = 60;

const KINDS: [&str; 4] = ["text", "image", "video", "document"];

/// Which headers a kind of message may have.
#[derive(Clone, Copy)]
pub(super) enum Headers {
    None,
    Text,
    Any,
}

pub(super) fn read(fields: Fields, allowed: Headers) -> Result<Value, ApiError> {
    header(fields, allowed).map_err(|error| ApiError { code: Code::HEADER_STRUCTURE, ..error })
}

fn header(fields: Fields, allowed: Headers) -> Result<Value, ApiError> {
    let mut header = Object::new(fields);
    let kinds: &[&str] = match allowed {
        Headers::None => {
            let path = header.fields.path_of("type");
            let allowed = "no header with this type of message";
            return Err(refused(Code::HEADER_STRUCTURE, path, "a header", allowed));
        }
        Headers::Text => &["text"],
        Headers::Any => &KINDS,
    };
    header.required_word("type", kinds)?;
    match header.taken_str("type").to_owned().as_str() {
        "text" => header.required_text("text", MAX_TEXT)?,
        "document" => header.required_object("document", |it| media::read(it, media::NAME))?,
        kind => header.required_object(kind, |it| media::read(it, media::NOTHING))?,
    }
    header.finish()
}
