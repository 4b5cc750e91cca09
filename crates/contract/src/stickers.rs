//! `/v1/stickerpacks`: the account's own packs of stickers. What their bodies look like.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{answer::Meta, json};

mod asked;
mod packs;
#[cfg(test)]
mod tests;

pub use asked::{StickerChange, first_party, fits, no_image, no_pack, no_sticker, not_ours};
pub use packs::{Pack, Packs};

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

impl Shown {
    /// As it is shown.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json::bytes(self).map(|bytes| bytes.to_vec()).unwrap_or_default()
    }
}
