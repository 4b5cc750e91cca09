//! Media: their ids, which content types there are, and how large each may be.

mod provider;
mod receive;
mod refer;

use std::{borrow::Cow, fmt, str::FromStr};

pub use provider::{MAX_PROVIDERS, Provider, ProviderBody, Providers, ProvidersAnswer};
pub use receive::{Received, files_of, received};
use utoipa::ToSchema;

pub use refer::{Reference, Sent, Source, hex, may_refer, references, resolved};

use crate::{
    error::{ApiError, Code},
    fields,
    rng::Rng,
    settings::MediaType,
};

/// Most bytes of an upload, and of a document.
pub const MAX_UPLOAD: u64 = 100 << 20;
/// Longest content type, bytes.
pub const MAX_TYPE: usize = 127;

/// The only audio in an Ogg container that phones play.
const OGG_OPUS: &str = "audio/ogg; codecs=opus";

/// An uploaded file.
#[derive(ToSchema)]
pub struct MediaAnswer {
    /// One.
    pub media: Vec<MediaRef>,
    /// As in every answer.
    pub meta: crate::answer::Meta,
}

/// The beginning of a download, answered at once.
#[derive(ToSchema)]
pub struct MediaItemsAnswer {
    /// One.
    pub media_items: Vec<MediaRef>,
    /// As in every answer.
    pub meta: crate::answer::Meta,
}

/// A file by its id.
#[derive(ToSchema)]
pub struct MediaRef {
    /// For messages, `GET` and `DELETE`.
    #[schema(example = "f043afd0-f0ae-4b9c-ab3d-696fb4c8cd68")]
    pub id: String,
}

/// Id of a file: a UUID, as the original gave them out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MediaId([u8; 16]);

/// A text is no id of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a file")]
pub struct MediaIdError;

impl MediaId {
    /// A new one: version 4, random.
    pub fn mint(rng: &(impl Rng + ?Sized)) -> Self {
        let mut bytes = [0; 16];
        rng.fill(&mut bytes);
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// As stored.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// As stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for MediaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, byte) in self.0.iter().enumerate() {
            if matches!(n, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for MediaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MediaId {
    type Err = MediaIdError;

    fn from_str(text: &str) -> Result<Self, MediaIdError> {
        let mut bytes = [0; 16];
        let mut digits = 0;
        for (at, byte) in text.bytes().enumerate() {
            if matches!(at, 8 | 13 | 18 | 23) {
                if byte != b'-' {
                    return Err(MediaIdError);
                }
                continue;
            }
            let digit = char::from(byte).to_digit(16).ok_or(MediaIdError)?;
            let place: &mut u8 = bytes.get_mut(digits / 2).ok_or(MediaIdError)?;
            *place = *place << 4 | u8::try_from(digit).unwrap_or_default();
            digits += 1;
        }
        if digits == 32 { Ok(Self(bytes)) } else { Err(MediaIdError) }
    }
}

impl MediaType {
    /// Its name in the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Document => "document",
            Self::Image => "image",
            Self::Sticker => "sticker",
            Self::Video => "video",
            Self::Voice => "voice",
        }
    }

    /// The one with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Most bytes of a file that is sent as this.
    #[must_use]
    pub fn max_bytes(self) -> u64 {
        match self {
            Self::Document => MAX_UPLOAD,
            Self::Audio | Self::Video | Self::Voice => 16 << 20,
            Self::Image => 5 << 20,
            Self::Sticker => 100 << 10,
        }
    }

    /// Content types that can be sent as this; empty: any.
    #[must_use]
    pub fn content_types(self) -> &'static [&'static str] {
        match self {
            Self::Document => &[],
            Self::Audio => &["audio/aac", "audio/mp4", "audio/amr", "audio/mpeg", OGG_OPUS],
            Self::Voice => &[OGG_OPUS],
            Self::Image => &["image/jpeg", "image/png"],
            Self::Sticker => &["image/webp"],
            Self::Video => &["video/mp4", "video/3gpp"],
        }
    }

    /// May a file be sent as this? `content_type` is one that [`content_type`] gave.
    ///
    /// # Errors
    /// 1009, naming what is allowed.
    pub fn check(self, content_type: &str, size: u64) -> Result<(), ApiError> {
        let name = self.as_str();
        let allowed = self.content_types();
        // Parameters decide only where the list has them.
        let bare = content_type.split(';').next().unwrap_or_default();
        if !allowed.is_empty() && !allowed.iter().any(|one| *one == content_type || *one == bare) {
            return Err(fields::invalid(
                format_args!("{name}.id"),
                format_args!("a file of type '{content_type}'"),
                allowed.join(", "),
            ));
        }
        let most = self.max_bytes();
        if size > most {
            return Err(fields::invalid(
                format_args!("{name}.id"),
                format_args!("a file of {size} bytes"),
                format_args!("at most {most} bytes for type '{name}'"),
            ));
        }
        Ok(())
    }
}

/// Reads the `Content-Type` of an upload: lower case, parameters as `; name=value`.
///
/// # Errors
/// 1008 when it is absent, 1009 when it is no type or one that is not taken.
pub fn content_type(given: Option<&str>) -> Result<String, ApiError> {
    let given = given.map(str::trim).filter(|given| !given.is_empty()).ok_or_else(|| {
        ApiError::new(Code::MISSING, "Header 'Content-Type' is mandatory: the type of the file")
    })?;
    let mut parts = given.split(';').map(str::trim).filter(|part| !part.is_empty());
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    let is_type = given.len() <= MAX_TYPE
        && kind.split('/').count() == 2
        && kind.split('/').all(|half| !half.is_empty() && half.bytes().all(in_token));
    let allowed: Result<(), &str> = match kind.as_str() {
        _ if !is_type => Err("a media type such as 'image/jpeg', at most 127 bytes"),
        "multipart/form-data" => {
            Err("the type of the file itself: the body is its bytes, not a form")
        }
        "audio/ogg" => {
            let opus = parts.clone().any(|part| {
                let part = part.to_ascii_lowercase().replace([' ', '"'], "");
                part == "codecs=opus"
            });
            if opus { return Ok(OGG_OPUS.to_owned()) } else { Err("'audio/ogg; codecs=opus'") }
        }
        _ => Ok(()),
    };
    if let Err(allowed) = allowed {
        let given = fields::quoted(given);
        let details = format!("Header 'Content-Type': given was {given}, allowed is {allowed}");
        return Err(ApiError::new(Code::INVALID, details));
    }
    Ok(parts.fold(kind, |kind, part| format!("{kind}; {part}")))
}

/// 413: an upload above [`MAX_UPLOAD`].
#[must_use]
pub fn too_large() -> ApiError {
    let details = format!("The file has more than {MAX_UPLOAD} bytes");
    ApiError::new(Code::INVALID_REQUEST, details).with_status(413)
}

/// 400: an upload that ended too early.
#[must_use]
pub fn broken_off() -> ApiError {
    ApiError::new(Code::INVALID_REQUEST, "The body broke off before its end")
}

/// 1008: an upload without a byte.
#[must_use]
pub fn empty() -> ApiError {
    ApiError::new(Code::MISSING, "The body is mandatory: the bytes of the file")
}

/// 400: a customer's file that there is not, for whatever reason.
#[must_use]
pub fn unfetched(details: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::new(Code::MEDIA_DOWNLOAD, details)
}

/// RFC 9110's characters of a token.
fn in_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting;

    impl Rng for Counting {
        fn fill(&self, out: &mut [u8]) {
            out.iter_mut().zip(0xf0..=0xff).for_each(|(out, n)| *out = n);
        }
    }

    #[test]
    fn an_id_is_a_uuid_of_version_4_and_survives_its_text() {
        let id = MediaId::mint(&Counting);
        assert_eq!(id.to_string(), "f0f1f2f3-f4f5-46f7-b8f9-fafbfcfdfeff");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        for text in [
            "",
            "f0f1f2f3",
            "f0f1f2f3-f4f5-46f7-b8f9-fafbfcfdfeff0",
            "../etc/passwd",
            "f0f1f2f3+f4f5-46f7-b8f9-fafbfcfdfeff",
            "g0f1f2f3-f4f5-46f7-b8f9-fafbfcfdfeff",
        ] {
            assert_eq!(text.parse::<MediaId>(), Err(MediaIdError), "{text}");
        }
    }

    #[test]
    fn a_content_type_is_kept_in_one_notation() {
        for (given, kept) in [
            ("image/jpeg", "image/jpeg"),
            (" Image/PNG ", "image/png"),
            ("text/plain;charset=UTF-8", "text/plain; charset=UTF-8"),
            ("audio/ogg;codecs=\"opus\"", "audio/ogg; codecs=opus"),
            ("audio/ogg; codecs=OPUS", "audio/ogg; codecs=opus"),
            ("application/vnd.ms-excel", "application/vnd.ms-excel"),
        ] {
            assert_eq!(content_type(Some(given)).as_deref(), Ok(kept), "{given}");
        }
    }

    #[test]
    fn what_is_no_type_or_is_not_taken_is_refused_by_its_code() {
        for (given, code) in [
            (None, Code::MISSING),
            (Some(" "), Code::MISSING),
            (Some("jpeg"), Code::INVALID),
            (Some("image/"), Code::INVALID),
            (Some("image/jp eg"), Code::INVALID),
            (Some("a/b/c"), Code::INVALID),
            (Some("audio/ogg"), Code::INVALID),
            (Some("audio/ogg; codecs=vorbis"), Code::INVALID),
            (Some("multipart/form-data; boundary=x"), Code::INVALID),
        ] {
            assert_eq!(content_type(given).unwrap_err().code, code, "{given:?}");
        }
        let long = format!("text/{}", "x".repeat(MAX_TYPE));
        assert_eq!(content_type(Some(&long)).unwrap_err().code, Code::INVALID);
    }

    #[test]
    fn a_type_of_message_takes_its_own_files_up_to_its_own_size() {
        let image = MediaType::Image;
        assert_eq!(image.check("image/jpeg", 5 << 20), Ok(()));
        let error = image.check("image/jpeg", (5 << 20) + 1).unwrap_err();
        assert!(error.details.contains("image.id") && error.details.contains("5242880"));
        let error = image.check("image/webp", 1).unwrap_err();
        assert!(error.details.contains("image/png"), "{}", error.details);
        assert_eq!(MediaType::Sticker.check("image/webp", 100 << 10), Ok(()));
        assert!(MediaType::Sticker.check("image/webp", (100 << 10) + 1).is_err());
        assert_eq!(MediaType::Audio.check("audio/ogg; codecs=opus", 1), Ok(()));
        assert_eq!(MediaType::Document.check("text/plain; charset=UTF-8", MAX_UPLOAD), Ok(()));
        assert!(MediaType::Document.check("text/plain", MAX_UPLOAD + 1).is_err());
    }
}
