//! `image`, `audio`, `video`, `document`, `sticker`: a file by the `id` of an upload or by a `link`
//! that is fetched when the message is sent.
//!
//! Only the reference is checked here: whether there is such an upload is for whoever keeps them.

use serde_json::Value;

use super::object::Object;
use crate::{
    error::{ApiError, Code},
    fields::{self, Fields},
    link::{MAX_FILE_LINK, is_http},
};

/// Most characters of a caption.
pub const MAX_CAPTION: usize = 1_024;
/// Most characters of a file name.
pub const MAX_FILENAME: usize = 255;
/// Most characters of an upload's id; ours are UUIDs.
pub const MAX_MEDIA_ID: usize = 128;
/// Most characters of a provider's name.
pub const MAX_PROVIDER: usize = 200;

/// What may stand beside the reference.
#[derive(Clone, Copy)]
pub(super) struct Beside {
    pub(super) caption: bool,
    pub(super) filename: bool,
}

/// Images and films.
pub(super) const CAPTION: Beside = Beside { caption: true, filename: false };
/// Documents.
pub(super) const CAPTION_AND_NAME: Beside = Beside { caption: true, filename: true };
/// Documents in headers: the body says what a caption would.
pub(super) const NAME: Beside = Beside { caption: false, filename: true };
/// Recordings, stickers, and files in headers.
pub(super) const NOTHING: Beside = Beside { caption: false, filename: false };

pub(super) fn read(fields: Fields, beside: Beside) -> Result<Value, ApiError> {
    let mut media = Object::new(fields);
    let by_id = media.text("id", MAX_MEDIA_ID)?;
    let by_link = link(&mut media)?;
    match (by_id, by_link) {
        (true, true) => {
            let given = "an id and a link";
            return Err(media.fields.invalid("id", given, "either 'id' or 'link'"));
        }
        (false, false) => {
            let (id, link) = (media.fields.path_of("id"), media.fields.path_of("link"));
            let details = format!("Parameter '{id}' or '{link}' is mandatory");
            return Err(ApiError::new(Code::MISSING, details));
        }
        _ => {}
    }
    if by_link {
        media.object("provider", |provider| {
            let mut provider = Object::new(provider);
            provider.required_text("name", MAX_PROVIDER)?;
            provider.finish()
        })?;
    }
    if beside.caption {
        media.text("caption", MAX_CAPTION)?;
    }
    if beside.filename {
        media.text("filename", MAX_FILENAME)?;
    }
    media.finish()
}

fn link(media: &mut Object) -> Result<bool, ApiError> {
    let Some(link) = media.fields.optional_str("link")?.filter(|link| !link.is_empty()) else {
        return Ok(false);
    };
    if link.len() > MAX_FILE_LINK || !is_http(&link) {
        // The part before `@` and the query may be credentials.
        let shown = link.split(['?', '#']).next().unwrap_or_default();
        let shown = shown.rsplit('@').next().unwrap_or_default();
        let allowed = format_args!("an http or https URL of at most {MAX_FILE_LINK} bytes");
        return Err(media.fields.invalid("link", fields::quoted(shown), allowed));
    }
    media.put("link", link);
    Ok(true)
}
