//! What callers ask of stickers and packs, and what is refused.

use super::{MAX_EMOJI, MAX_EMOJIS};
use crate::{
    error::{ApiError, Code},
    fields::{self, Fields},
    media::MediaId,
    settings::MediaType,
};

/// The name that the network's own packs go by in `namespace`; there are none of them.
const FIRST_PARTY: &str = "whatsapp";

/// What a `POST` or `PATCH` says of a sticker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StickerChange {
    /// Which file it is; it has to be looked at ([`fits`]).
    pub image: Option<MediaId>,
    pub(super) emojis: Option<Vec<String>>,
}

/// Reads `?namespace=`: whether the network's own packs are meant.
///
/// # Errors
/// 1009 for another namespace, 1010 for another parameter.
pub fn first_party(query: &str) -> Result<bool, ApiError> {
    let mut first = false;
    for (name, value) in query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    {
        match (name, value) {
            ("namespace", FIRST_PARTY) => first = true,
            ("namespace", other) => {
                let given = fields::quoted(other);
                return Err(fields::invalid(
                    "namespace",
                    given,
                    "'whatsapp', or no such parameter",
                ));
            }
            (other, _) => {
                let given = fields::quoted(other);
                let details = format!("Parameter {given} is not known here");
                return Err(ApiError::new(Code::NOT_REQUIRED, details));
            }
        }
    }
    Ok(first)
}

/// 1009: the network's own packs are nobody's to change.
#[must_use]
pub fn not_ours() -> ApiError {
    fields::invalid("namespace", "'whatsapp'", "no such parameter: only own packs can be changed")
}

/// 1006.
#[must_use]
pub fn no_pack() -> ApiError {
    ApiError::new(Code::NOT_FOUND, "There is no stickerpack with this id")
}

/// 1006.
#[must_use]
pub fn no_sticker() -> ApiError {
    ApiError::new(Code::NOT_FOUND, "The stickerpack has no sticker with this index")
}

/// May this file be a sticker's?
///
/// # Errors
/// 1009 naming what is allowed.
pub fn fits(mime: &str, size: u64) -> Result<(), ApiError> {
    let most = MediaType::Sticker.max_bytes();
    if MediaType::Sticker.check(mime, size).is_ok() {
        return Ok(());
    }
    Err(fields::invalid(
        "image_data_id",
        format_args!("a file of type '{mime}' and {size} bytes"),
        format_args!("one of type 'image/webp' and at most {most} bytes"),
    ))
}

/// 1006: `image_data_id` names no upload.
#[must_use]
pub fn no_image() -> ApiError {
    ApiError::new(Code::NOT_FOUND, "Parameter 'image_data_id': there is no file with this id")
}

impl StickerChange {
    /// Reads a body; `new`: of a `POST`.
    ///
    /// # Errors
    /// 1006 for an id that is none, 1008 something is missing, 1009 a value, 1010 an unknown field, 1025 no
    /// JSON.
    pub fn read(body: &[u8], new: bool) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let image = if new {
            Some(fields.required_str("image_data_id")?)
        } else {
            fields.optional_str("image_data_id")?
        };
        let image = image.map(|id| id.parse().map_err(|_| no_image())).transpose()?;
        let emojis = fields.optional_array("emojis")?;
        let mut read = Vec::new();
        for (n, emoji) in emojis.iter().flatten().enumerate() {
            let fits = |text: &&str| (1..=MAX_EMOJI).contains(&text.chars().count());
            let Some(emoji) = emoji.as_str().filter(fits) else {
                let name = format!("emojis[{n}]");
                let allowed = format!("a text of 1 to {MAX_EMOJI} characters");
                return Err(fields.invalid(&name, fields::shown(emoji), allowed));
            };
            read.push(emoji.to_owned());
        }
        if read.len() > MAX_EMOJIS {
            let given = format!("{} of them", read.len());
            return Err(fields.invalid("emojis", given, format!("at most {MAX_EMOJIS}")));
        }
        let change = Self { image, emojis: emojis.map(|_| read) };
        if change.image.is_none() && change.emojis.is_none() && fields.is_empty() {
            return Err(fields.missing("emojis"));
        }
        fields.finish()?;
        Ok(change)
    }
}
