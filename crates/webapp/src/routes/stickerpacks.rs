//! `/v1/stickerpacks` and what is below: the account's own packs of stickers.
//!
//! `?namespace=whatsapp` asks for the network's own packs: there are none, and they cannot be changed.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{Path, rejection::PathRejection},
    response::Response,
};
use contract::{
    ApiError, MediaId,
    answer::{self, Empty, Errors},
    json::{check, parse},
    stickers::{self, PackRef, StickerRef},
};
use http::Uri;
use rpc::coreapp::{
    DeletePackRequest, DeleteStickerRequest, GetPackRequest, GetStickerRequest, ListPacksRequest,
    Pack, PutPackRequest, PutStickerRequest, stickerpacks_client::StickerpacksClient,
};
use serde_json::Value;

use super::{InPath, asking::Asking, done};
use crate::edge::{Refusal, read};

/// As for settings: in force when it answers.
const CALL: Duration = Duration::from_secs(10);

/// A pack and the index of one of its stickers.
type StickerInPath = Result<Path<(String, String)>, PathRejection>;

/// Lists the packs of stickers.
#[utoipa::path(
    get, path = "/v1/stickerpacks", tag = "Stickers",
    params(("namespace" = Option<String>, Query, description = "`whatsapp`: the network's own packs, of which there are none.")),
    responses(
        (status = 200, description = "In the order they were made.", body = stickers::PackRefsAnswer),
        (status = 400, description = "1009 another namespace, 1010 another parameter.", body = Errors),
    ),
)]
pub(super) async fn list(asking: Asking, uri: Uri) -> Result<Response, Refusal> {
    let mut packs = Vec::new();
    if !first_party(&uri)? {
        let listed = asking
            .any(CALL, ListPacksRequest {}, |channel, request| async move {
                StickerpacksClient::new(channel).list(request).await
            })
            .await?;
        packs.extend(listed.ids.into_iter().map(|id| PackRef { id }));
    }
    Ok(done(answer::resource("stickerpacks", &packs)))
}

/// Makes a pack of stickers.
#[utoipa::path(
    post, path = "/v1/stickerpacks", tag = "Stickers",
    request_body(content = stickers::PackBody),
    responses(
        (status = 200, description = "Made, without a sticker.", body = stickers::PackRefsAnswer),
        (status = 400, description = "1008 something is missing, 1009 a value or too many packs, 1010 unknown field, 1025 no JSON.", body = Errors),
    ),
)]
pub(super) async fn create(asking: Asking, uri: Uri, body: Body) -> Result<Response, Refusal> {
    ours(&uri)?;
    let body = read(&asking.app.metrics, body).await?;
    check(&body)?;
    // A UUID like those of files.
    let id = MediaId::mint(&*asking.app.rng).to_string();
    put(&asking, PutPackRequest { id: id.clone(), body, new: true }).await?;
    Ok(done(answer::resource("stickerpacks", &[PackRef { id }])))
}

/// Shows a pack of stickers.
#[utoipa::path(
    get, path = "/v1/stickerpacks/{id}", tag = "Stickers",
    params(("id" = String, Path, description = "The pack's id.")),
    responses((status = 200, description = "The pack.", body = stickers::PackAnswer)),
)]
pub(super) async fn get(asking: Asking, uri: Uri, id: InPath) -> Result<Response, Refusal> {
    let pack = pack(&asking, &uri, id).await?;
    let shown: Value = parse(&pack.shown)?;
    Ok(done(answer::resource("stickerpacks", &[shown])))
}

/// Changes what is given of a pack of stickers.
#[utoipa::path(
    patch, path = "/v1/stickerpacks/{id}", tag = "Stickers",
    params(("id" = String, Path, description = "The pack's id.")),
    request_body(content = stickers::PackBody),
    responses(
        (status = 200, description = "Changed.", body = Empty),
        (status = 400, description = "1008 nothing given, 1009 a value, 1010 unknown field, 1025 no JSON.", body = Errors),
    ),
)]
pub(super) async fn change(
    asking: Asking,
    uri: Uri,
    id: InPath,
    body: Body,
) -> Result<Response, Refusal> {
    ours(&uri)?;
    let body = read(&asking.app.metrics, body).await?;
    check(&body)?;
    put(&asking, PutPackRequest { id: named(id)?, body, new: false }).await?;
    Ok(done(answer::empty()))
}

/// Deletes a pack of stickers. The files stay.
#[utoipa::path(
    delete, path = "/v1/stickerpacks/{id}", tag = "Stickers",
    params(("id" = String, Path, description = "The pack's id.")),
    responses((status = 200, description = "Gone.", body = Empty)),
)]
pub(super) async fn remove(asking: Asking, uri: Uri, id: InPath) -> Result<Response, Refusal> {
    ours(&uri)?;
    let message = DeletePackRequest { id: named(id)? };
    asking
        .writer(CALL, message, |channel, request| async move {
            StickerpacksClient::new(channel).delete(request).await
        })
        .await?;
    Ok(done(answer::empty()))
}

/// Lists the stickers of a pack.
#[utoipa::path(
    get, path = "/v1/stickerpacks/{id}/stickers", tag = "Stickers",
    params(("id" = String, Path, description = "The pack's id.")),
    responses((status = 200, description = "In the order they were added.", body = stickers::StickerRefsAnswer)),
)]
pub(super) async fn list_stickers(
    asking: Asking,
    uri: Uri,
    id: InPath,
) -> Result<Response, Refusal> {
    let pack = pack(&asking, &uri, id).await?;
    let indexes: Vec<_> = pack.stickers.into_iter().map(|index| StickerRef { index }).collect();
    Ok(done(answer::resource("stickers", &indexes)))
}

/// Adds a sticker to a pack.
///
/// A pack has each image once: adding it again changes its emojis.
#[utoipa::path(
    post, path = "/v1/stickerpacks/{id}/stickers", tag = "Stickers",
    params(("id" = String, Path, description = "The pack's id.")),
    request_body(content = stickers::StickerBody),
    responses(
        (status = 200, description = "Added.", body = stickers::StickerRefsAnswer),
        (status = 400, description = "1008 no `image_data_id`, 1009 a value, no sticker's file or too many stickers, 1010 unknown field, 1025 no JSON.", body = Errors),
    ),
)]
pub(super) async fn add_sticker(
    asking: Asking,
    uri: Uri,
    id: InPath,
    body: Body,
) -> Result<Response, Refusal> {
    ours(&uri)?;
    let index = put_sticker(&asking, named(id)?, None, body).await?;
    Ok(done(answer::resource("stickers", &[StickerRef { index }])))
}

/// Shows a sticker.
#[utoipa::path(
    get, path = "/v1/stickerpacks/{id}/stickers/{index}", tag = "Stickers",
    params(
        ("id" = String, Path, description = "The pack's id."),
        ("index" = u32, Path, description = "The sticker's index."),
    ),
    responses((status = 200, description = "The sticker; a message names it by `id`.", body = stickers::StickerAnswer)),
)]
pub(super) async fn get_sticker(
    asking: Asking,
    uri: Uri,
    at: StickerInPath,
) -> Result<Response, Refusal> {
    if first_party(&uri)? {
        return Err(stickers::no_pack().into());
    }
    let (pack, index) = sticker(at)?;
    let shown = asking
        .any(CALL, GetStickerRequest { pack, index }, |channel, request| async move {
            StickerpacksClient::new(channel).get_sticker(request).await
        })
        .await?;
    let shown: Value = parse(&shown.shown)?;
    Ok(done(answer::resource("stickers", &[shown])))
}

/// Changes what is given of a sticker.
#[utoipa::path(
    patch, path = "/v1/stickerpacks/{id}/stickers/{index}", tag = "Stickers",
    params(
        ("id" = String, Path, description = "The pack's id."),
        ("index" = u32, Path, description = "The sticker's index."),
    ),
    request_body(content = stickers::StickerBody),
    responses(
        (status = 200, description = "Changed.", body = Empty),
        (status = 400, description = "1008 nothing given, 1009 a value or no sticker's file, 1010 unknown field, 1025 no JSON.", body = Errors),
    ),
)]
pub(super) async fn change_sticker(
    asking: Asking,
    uri: Uri,
    at: StickerInPath,
    body: Body,
) -> Result<Response, Refusal> {
    ours(&uri)?;
    let (pack, index) = sticker(at)?;
    put_sticker(&asking, pack, Some(index), body).await?;
    Ok(done(answer::empty()))
}

/// Takes a sticker out of a pack. The file stays.
#[utoipa::path(
    delete, path = "/v1/stickerpacks/{id}/stickers/{index}", tag = "Stickers",
    params(
        ("id" = String, Path, description = "The pack's id."),
        ("index" = u32, Path, description = "The sticker's index."),
    ),
    responses((status = 200, description = "Gone.", body = Empty)),
)]
pub(super) async fn remove_sticker(
    asking: Asking,
    uri: Uri,
    at: StickerInPath,
) -> Result<Response, Refusal> {
    ours(&uri)?;
    let (pack, index) = sticker(at)?;
    asking
        .writer(CALL, DeleteStickerRequest { pack, index }, |channel, request| async move {
            StickerpacksClient::new(channel).delete_sticker(request).await
        })
        .await?;
    Ok(done(answer::empty()))
}

async fn pack(asking: &Asking, uri: &Uri, id: InPath) -> Result<Pack, Refusal> {
    if first_party(uri)? {
        return Err(stickers::no_pack().into());
    }
    let message = GetPackRequest { id: named(id)? };
    asking
        .any(CALL, message, |channel, request| async move {
            StickerpacksClient::new(channel).get(request).await
        })
        .await
}

async fn put(asking: &Asking, message: PutPackRequest) -> Result<(), Refusal> {
    let put = asking.writer(CALL, message, |channel, request| async move {
        StickerpacksClient::new(channel).put(request).await
    });
    put.await.map(drop)
}

async fn put_sticker(
    asking: &Asking,
    pack: String,
    index: Option<u32>,
    body: Body,
) -> Result<u32, Refusal> {
    let body = read(&asking.app.metrics, body).await?;
    check(&body)?;
    let message = PutStickerRequest { pack, body, index };
    let put = asking.writer(CALL, message, |channel, request| async move {
        StickerpacksClient::new(channel).put_sticker(request).await
    });
    Ok(put.await?.index)
}

fn first_party(uri: &Uri) -> Result<bool, ApiError> {
    stickers::first_party(uri.query().unwrap_or_default())
}

fn ours(uri: &Uri) -> Result<(), ApiError> {
    if first_party(uri)? { Err(stickers::not_ours()) } else { Ok(()) }
}

fn named(id: InPath) -> Result<String, ApiError> {
    let Path(id) = id.map_err(|_| stickers::no_pack())?;
    Ok(id)
}

fn sticker(at: StickerInPath) -> Result<(String, u32), ApiError> {
    let Path((pack, index)) = at.map_err(|_| stickers::no_pack())?;
    Ok((pack, index.parse().map_err(|_| stickers::no_sticker())?))
}
