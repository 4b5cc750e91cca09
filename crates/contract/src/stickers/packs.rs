//! The packs of an account as they are stored, and which files their stickers are.
//!
//! All packs are one document, written by one coreapp at a time. Packs come in the order they were made; a
//! sticker keeps its index for good.

use serde::{Deserialize, Serialize};

use super::{
    MAX_NAME, MAX_PACKS, MAX_STICKERS, Shown, StickerChange, StickerRef, no_image, no_pack,
    no_sticker,
};
use crate::{
    error::{ApiError, Code},
    fields::{self, Fields},
    json,
    link::{MAX_LINK, is_http},
    media::MediaId,
};

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
