//! `/v1/stickerpacks`: the account's own packs of stickers, and which files their stickers are.
//!
//! All packs are one document, written by one coreapp at a time. Packs come in the order they were made; a
//! sticker keeps its index for good.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    answer::Meta,
    error::{ApiError, Code},
    fields::{self, Fields},
    json,
    link::{MAX_LINK, is_http},
    media::MediaId,
    settings::MediaType,
};

/// Packs of an account.
pub const MAX_PACKS: usize = 100;
/// Stickers of a pack.
pub const MAX_STICKERS: usize = 30;
/// Emojis of a sticker.
pub const MAX_EMOJIS: usize = 3;
/// Longest name and publisher, characters.
pub const MAX_NAME: usize = 128;
/// Longest emoji, characters: some are several that are joined.
pub const MAX_EMOJI: usize = 16;

/// The name that the network's own packs go by in `namespace`; there are none of them.
const FIRST_PARTY: &str = "whatsapp";

/// A pack, as `POST` and `PATCH` take it and `GET` shows it.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PackBody {
    /// Who made it. Mandatory in a `POST`.
    #[schema(min_length = 1, max_length = 128)]
    pub publisher: Option<String>,
    /// What it is called. Mandatory in a `POST`.
    #[schema(min_length = 1, max_length = 128)]
    pub name: Option<String>,
    /// http or https; empty: none.
    #[schema(max_length = 2048)]
    pub ios_app_store_link: Option<String>,
    /// http or https; empty: none.
    #[schema(max_length = 2048)]
    pub android_app_store_link: Option<String>,
}

/// A sticker, as `POST` and `PATCH` take it.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StickerBody {
    /// An upload of type `image/webp`, at most 100 KiB. Mandatory in a `POST`.
    pub image_data_id: Option<String>,
    /// What it says.
    #[schema(max_items = 3)]
    pub emojis: Option<Vec<String>>,
}

/// Packs by their ids.
#[derive(ToSchema)]
pub struct PackRefsAnswer {
    pub stickerpacks: Vec<PackRef>,
    /// As in every answer.
    pub meta: Meta,
}

/// A pack by its id.
#[derive(ToSchema, Serialize)]
pub struct PackRef {
    /// A UUID.
    pub id: String,
}

/// A pack.
#[derive(ToSchema)]
pub struct PackAnswer {
    /// One.
    pub stickerpacks: Vec<PackBody>,
    /// As in every answer.
    pub meta: Meta,
}

/// Stickers by their indexes.
#[derive(ToSchema)]
pub struct StickerRefsAnswer {
    pub stickers: Vec<StickerRef>,
    /// As in every answer.
    pub meta: Meta,
}

/// A sticker by its index.
#[derive(ToSchema, Serialize)]
pub struct StickerRef {
    /// From 1; that of a deleted sticker does not come again.
    pub index: u32,
}

/// A sticker.
#[derive(ToSchema)]
pub struct StickerAnswer {
    /// One.
    pub stickers: Vec<Shown>,
    /// As in every answer.
    pub meta: Meta,
}

/// A sticker as `GET` shows it.
#[derive(ToSchema, Serialize)]
pub struct Shown {
    /// What a message of type `sticker` names as its `id`.
    pub id: String,
    pub emojis: Vec<String>,
    pub image_data_id: String,
}

/// All packs of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Packs(Vec<Pack>);

/// One of them, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pack {
    id: String,
    publisher: String,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ios_app_store_link: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    android_app_store_link: Option<String>,
    /// The index of its next sticker.
    next: u32,
    stickers: Vec<Sticker>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sticker {
    index: u32,
    image_data_id: String,
    emojis: Vec<String>,
}

/// What a `POST` or `PATCH` says of a sticker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StickerChange {
    /// Which file it is; it has to be looked at ([`fits`]).
    pub image: Option<MediaId>,
    emojis: Option<Vec<String>>,
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

impl Packs {
    /// As stored; nothing is no pack.
    ///
    /// # Errors
    /// For what this version did not write.
    pub fn from_json(document: &[u8]) -> Result<Self, serde_json::Error> {
        if document.is_empty() { Ok(Self::default()) } else { serde_json::from_slice(document) }
    }

    /// To be stored.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json::bytes(self).map(|bytes| bytes.to_vec()).unwrap_or_default()
    }

    /// In the order they were made.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|pack| &*pack.id)
    }

    /// The files of all stickers.
    pub fn images(&self) -> impl Iterator<Item = MediaId> {
        let stickers = self.0.iter().flat_map(|pack| &pack.stickers);
        stickers.filter_map(|sticker| sticker.image_data_id.parse().ok())
    }

    /// The pack with this id.
    ///
    /// # Errors
    /// 1006.
    pub fn get(&self, id: &str) -> Result<&Pack, ApiError> {
        self.0.iter().find(|pack| pack.id == id).ok_or_else(no_pack)
    }

    fn get_mut(&mut self, id: &str) -> Result<&mut Pack, ApiError> {
        self.0.iter_mut().find(|pack| pack.id == id).ok_or_else(no_pack)
    }

    /// With a new pack under this id. One that is there already is replaced: the call was repeated.
    ///
    /// # Errors
    /// 1008 something is missing, 1009 a value or too many packs, 1010 an unknown field, 1025 no JSON.
    pub fn with(mut self, id: &str, body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let publisher = fields.required_text("publisher", MAX_NAME)?;
        let name = fields.required_text("name", MAX_NAME)?;
        let ios_app_store_link = link(&mut fields, "ios_app_store_link")?.flatten();
        let android_app_store_link = link(&mut fields, "android_app_store_link")?.flatten();
        fields.finish()?;
        self.0.retain(|pack| pack.id != id);
        if self.0.len() == MAX_PACKS {
            let details = format!("An account has at most {MAX_PACKS} stickerpacks");
            return Err(ApiError::new(Code::INVALID, details));
        }
        self.0.push(Pack {
            id: id.to_owned(),
            publisher,
            name,
            ios_app_store_link,
            android_app_store_link,
            next: 1,
            stickers: Vec::new(),
        });
        Ok(self)
    }

    /// With a change of a pack: what is absent stays.
    ///
    /// # Errors
    /// 1006, and as [`Self::with`].
    pub fn changed(mut self, id: &str, body: &[u8]) -> Result<Self, ApiError> {
        let pack = self.get_mut(id)?;
        let mut fields = Fields::of_body(body)?;
        if fields.is_empty() {
            return Err(fields.missing("name"));
        }
        for (name, text) in [("publisher", &mut pack.publisher), ("name", &mut pack.name)] {
            if fields.has(name) {
                *text = fields.required_text(name, MAX_NAME)?;
            }
        }
        if let Some(link) = link(&mut fields, "ios_app_store_link")? {
            pack.ios_app_store_link = link;
        }
        if let Some(link) = link(&mut fields, "android_app_store_link")? {
            pack.android_app_store_link = link;
        }
        fields.finish()?;
        Ok(self)
    }

    /// Without a pack.
    ///
    /// # Errors
    /// 1006.
    pub fn without(mut self, id: &str) -> Result<Self, ApiError> {
        self.get(id)?;
        self.0.retain(|pack| pack.id != id);
        Ok(self)
    }

    /// With a new sticker; also gives its index. An image that the pack has already is that sticker: the
    /// call was repeated.
    ///
    /// # Errors
    /// 1006, 1009 too many stickers.
    pub fn with_sticker(
        mut self,
        pack: &str,
        change: StickerChange,
    ) -> Result<(Self, u32), ApiError> {
        let pack = self.get_mut(pack)?;
        let image_data_id = change.image.ok_or_else(no_image)?.to_string();
        let emojis = change.emojis.unwrap_or_default();
        let known = pack.stickers.iter_mut().find(|known| known.image_data_id == image_data_id);
        if let Some(known) = known {
            known.emojis = emojis;
            let index = known.index;
            return Ok((self, index));
        }
        if pack.stickers.len() == MAX_STICKERS {
            let details = format!("A stickerpack has at most {MAX_STICKERS} stickers");
            return Err(ApiError::new(Code::INVALID, details));
        }
        let index = pack.next;
        pack.next += 1;
        pack.stickers.push(Sticker { index, image_data_id, emojis });
        Ok((self, index))
    }

    /// With a change of a sticker: what is absent stays.
    ///
    /// # Errors
    /// 1006.
    pub fn with_changed_sticker(
        mut self,
        pack: &str,
        index: u32,
        change: StickerChange,
    ) -> Result<Self, ApiError> {
        let stickers = &mut self.get_mut(pack)?.stickers;
        let sticker = stickers.iter_mut().find(|sticker| sticker.index == index);
        let sticker = sticker.ok_or_else(no_sticker)?;
        if let Some(image) = change.image {
            sticker.image_data_id = image.to_string();
        }
        if let Some(emojis) = change.emojis {
            sticker.emojis = emojis;
        }
        Ok(self)
    }

    /// Without a sticker.
    ///
    /// # Errors
    /// 1006.
    pub fn without_sticker(mut self, pack: &str, index: u32) -> Result<Self, ApiError> {
        let pack = self.get_mut(pack)?;
        let before = pack.stickers.len();
        pack.stickers.retain(|sticker| sticker.index != index);
        if pack.stickers.len() == before { Err(no_sticker()) } else { Ok(self) }
    }
}

impl Shown {
    /// As it is shown.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json::bytes(self).map(|bytes| bytes.to_vec()).unwrap_or_default()
    }
}

impl Pack {
    /// As `GET` shows it.
    #[must_use]
    pub fn shown(&self) -> serde_json::Value {
        let mut shown = serde_json::json!({ "publisher": self.publisher, "name": self.name });
        for (name, link) in [
            ("ios_app_store_link", &self.ios_app_store_link),
            ("android_app_store_link", &self.android_app_store_link),
        ] {
            if let Some(link) = link {
                shown[name] = link.as_str().into();
            }
        }
        shown
    }

    /// By index.
    pub fn stickers(&self) -> impl Iterator<Item = StickerRef> {
        self.stickers.iter().map(|sticker| StickerRef { index: sticker.index })
    }

    /// The sticker with this index.
    ///
    /// # Errors
    /// 1006.
    pub fn sticker(&self, index: u32) -> Result<Shown, ApiError> {
        let sticker = self.stickers.iter().find(|sticker| sticker.index == index);
        let Sticker { image_data_id, emojis, .. } = sticker.ok_or_else(no_sticker)?.clone();
        Ok(Shown { id: image_data_id.clone(), emojis, image_data_id })
    }
}

/// A link; an empty one takes it away.
fn link(fields: &mut Fields, name: &str) -> Result<Option<Option<String>>, ApiError> {
    let Some(given) = fields.optional_str(name)? else { return Ok(None) };
    if given.is_empty() {
        return Ok(Some(None));
    }
    if given.len() > MAX_LINK || !is_http(&given) {
        let allowed = format!("an http or https URL of at most {MAX_LINK} bytes");
        return Err(fields.invalid(name, fields::quoted(&given), allowed));
    }
    Ok(Some(Some(given)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PACK: &[u8] = br#"{"publisher":"Shop","name":"Bears"}"#;
    const IMAGE: &str = "f043afd0-f0ae-4b9c-ab3d-696fb4c8cd68";

    fn sticker(body: &serde_json::Value) -> StickerChange {
        StickerChange::read(body.to_string().as_bytes(), true).unwrap()
    }

    fn packs() -> Packs {
        Packs::default().with("p", PACK).unwrap()
    }

    #[test]
    fn a_pack_is_made_changed_in_what_is_given_and_deleted() {
        let packs = packs();
        let body = br#"{"name":"Cats","ios_app_store_link":"https://example.com/a"}"#;
        let packs = packs.changed("p", body).unwrap();
        let shown = json!({"publisher": "Shop", "name": "Cats",
            "ios_app_store_link": "https://example.com/a"});
        assert_eq!(packs.get("p").unwrap().shown(), shown);
        let packs = packs.changed("p", br#"{"ios_app_store_link":""}"#).unwrap();
        assert_eq!(packs.get("p").unwrap().shown(), json!({"publisher": "Shop", "name": "Cats"}));
        assert_eq!(Packs::from_json(&packs.to_json()).unwrap(), packs);
        assert_eq!(packs.ids().collect::<Vec<_>>(), ["p"]);
        assert_eq!(packs.without("p").unwrap(), Packs::default());
        for refused in [Packs::default().without("p"), Packs::default().changed("p", PACK)] {
            assert_eq!(refused.unwrap_err().code, Code::NOT_FOUND);
        }
    }

    #[test]
    fn an_index_does_not_come_again_and_a_repeated_call_makes_no_second_sticker() {
        let image = |n: u8| MediaId::from_bytes([n; 16]).to_string();
        let body = |n| json!({"image_data_id": image(n), "emojis": ["😀"]});
        let (packs, first) = packs().with_sticker("p", sticker(&body(1))).unwrap();
        let (packs, again) = packs.with_sticker("p", sticker(&body(1))).unwrap();
        let (packs, second) = packs.with_sticker("p", sticker(&body(2))).unwrap();
        assert_eq!((first, again, second), (1, 1, 2));
        let packs = packs.without_sticker("p", 2).unwrap();
        let (packs, third) = packs.with_sticker("p", sticker(&body(3))).unwrap();
        assert_eq!(third, 3);
        let indexes: Vec<_> = packs.get("p").unwrap().stickers().map(|it| it.index).collect();
        assert_eq!(indexes, [1, 3]);
        let change = StickerChange::read(br#"{"emojis":[]}"#, false).unwrap();
        let packs = packs.with_changed_sticker("p", 3, change).unwrap();
        let shown = packs.get("p").unwrap().sticker(3).unwrap();
        assert_eq!((shown.id, shown.emojis), (image(3), Vec::<String>::new()));
        assert_eq!(packs.images().count(), 2);
        assert_eq!(packs.without_sticker("p", 2).unwrap_err().code, Code::NOT_FOUND);
    }

    #[test]
    fn no_pack_and_no_account_grows_without_end() {
        let mut full = Packs::default();
        for n in 0..MAX_PACKS {
            full = full.with(&n.to_string(), PACK).unwrap();
        }
        assert_eq!(full.clone().with("one more", PACK).unwrap_err().code, Code::INVALID);
        assert!(full.clone().with("7", PACK).is_ok(), "a repeated call");
        for n in 0..MAX_STICKERS {
            let image = MediaId::from_bytes([u8::try_from(n).unwrap(); 16]).to_string();
            full = full.with_sticker("0", sticker(&json!({"image_data_id": image}))).unwrap().0;
        }
        let more = full.with_sticker("0", sticker(&json!({"image_data_id": IMAGE})));
        assert_eq!(more.unwrap_err().code, Code::INVALID);
    }

    #[test]
    fn each_mistake_is_told_with_its_code_and_the_name_of_the_field() {
        let long = "x".repeat(129);
        for (body, code, name) in [
            (json!({"name": "n"}), Code::MISSING, "'publisher'"),
            (json!({"publisher": "p"}), Code::MISSING, "'name'"),
            (json!({"publisher": "p", "name": ""}), Code::INVALID, "'name'"),
            (json!({"publisher": long, "name": "n"}), Code::INVALID, "'publisher'"),
            (
                json!({"publisher": "p", "name": "n", "ios_app_store_link": "ftp://x"}),
                Code::INVALID,
                "'ios_app_store_link'",
            ),
            (
                json!({"publisher": "p", "name": "n", "android_app_store_link": 1}),
                Code::INVALID,
                "'android_app_store_link'",
            ),
            (json!({"publisher": "p", "name": "n", "tray": 1}), Code::NOT_REQUIRED, "'tray'"),
        ] {
            let error = Packs::default().with("p", body.to_string().as_bytes()).unwrap_err();
            assert!(error.code == code && error.details.contains(name), "{body}: {error:?}");
        }
        for (body, code, name) in [
            (json!({}), Code::MISSING, "'image_data_id'"),
            (json!({"image_data_id": "x"}), Code::NOT_FOUND, "'image_data_id'"),
            (json!({"image_data_id": IMAGE, "emojis": "😀"}), Code::INVALID, "'emojis'"),
            (json!({"image_data_id": IMAGE, "emojis": ["a", 1]}), Code::INVALID, "'emojis[1]'"),
            (
                json!({"image_data_id": IMAGE, "emojis": ["a", "b", "c", "d"]}),
                Code::INVALID,
                "'emojis'",
            ),
            (json!({"image_data_id": IMAGE, "index": 1}), Code::NOT_REQUIRED, "'index'"),
        ] {
            let error = StickerChange::read(body.to_string().as_bytes(), true).unwrap_err();
            assert!(error.code == code && error.details.contains(name), "{body}: {error:?}");
        }
        for body in [&b"{}"[..], br#"{"name":null}"#] {
            assert_eq!(packs().changed("p", body).unwrap_err().code, Code::MISSING);
            assert_eq!(StickerChange::read(body, false).unwrap_err().code, Code::MISSING);
        }
        assert_eq!(packs().changed("p", br#"{"name":""}"#).unwrap_err().code, Code::INVALID);
        assert_eq!(fits("image/webp", 100 << 10), Ok(()));
        for (mime, size) in [("image/png", 1), ("image/webp", (100 << 10) + 1)] {
            assert!(fits(mime, size).unwrap_err().details.contains("'image_data_id'"));
        }
        assert_eq!((first_party(""), first_party("namespace=whatsapp")), (Ok(false), Ok(true)));
        assert_eq!(first_party("namespace=x").unwrap_err().code, Code::INVALID);
        assert_eq!(first_party("name=x").unwrap_err().code, Code::NOT_REQUIRED);
    }
}
