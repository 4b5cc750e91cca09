//! `/v1/media`: files, streamed between the client and a coreapp. No more than a few pieces of one are
//! in memory.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::{Path, State},
    response::Response,
};
use contract::{
    ApiError, Code, MediaId,
    answer::{self, Empty, Errors},
    media::{self, MediaAnswer, MediaItemsAnswer},
};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, header};
use hyper::body::Body as _;
use rpc::coreapp::{
    DeleteMediaRequest, GetMediaHead, GetMediaRequest, RedownloadRequest, get_media_response::Part,
    media_client::MediaClient,
};
use tonic::Status;

use super::{
    InPath,
    asking::{Asking, consulted},
    done,
};
use crate::{
    app::App,
    auth::Caller,
    edge::{Consulted, Context, Refusal, discard_upload},
    hop::Upload,
};

/// For a whole upload: 100 MiB at 1 Mbit/s. Bytes that do not come for 30 s end it earlier.
pub(super) const ARRIVAL: Duration = Duration::from_secs(15 * 60);
/// For the beginning of a download, and for a deletion.
const CALL: Duration = Duration::from_secs(10);
/// Of a file whose own type no header can carry.
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Takes a file in: its bytes are the body, `Content-Type` says what it is.
#[utoipa::path(
    post, path = "/v1/media", tag = "Media",
    request_body(
        content((String = "application/octet-stream"), (String = "image/jpeg"), (String = "application/pdf")),
        description = "The file's bytes, at most 100 MiB, under the `Content-Type` it is of. Audio: `audio/aac`, `audio/mp4`, `audio/amr`, `audio/mpeg`, `audio/ogg; codecs=opus`; images: `image/jpeg`, `image/png`; stickers: `image/webp`; films: `video/mp4`, `video/3gpp`; documents: anything.",
    ),
    responses(
        (status = 200, description = "On disk.", body = MediaAnswer),
        (status = 400, description = "1008 no body or no `Content-Type`, 1009 a type that nothing can be sent as.", body = Errors),
    ),
)]
pub(super) async fn upload(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let content_type = checked(&headers, &body);
    let content_type = match content_type {
        Ok(content_type) => content_type,
        Err(error) => {
            // Whoever asked first (`Expect: 100-continue`) sends nothing now; the others are heard out,
            // or they would meet a closed connection instead of the answer.
            if !headers.contains_key(header::EXPECT) {
                discard_upload(body).await;
            }
            return Err(error.into());
        }
    };
    let asker = caller.asker(&context, &headers);
    let upload = Upload::new(body);
    let put = app.cores.media(ARRIVAL, |channel| {
        let parts = upload.stream(&content_type);
        let begun = upload.has_begun();
        let request = asker.request(parts, ARRIVAL);
        async move {
            if begun {
                return Err(Status::aborted(
                    "the coreapp went away with the first part of the body",
                ));
            }
            MediaClient::new(channel).put(request).await
        }
    });
    let put = put.await;
    if let Some((error, rest)) = upload.failed() {
        if let Some(rest) = rest {
            discard_upload(rest).await;
        }
        return Err(error.into());
    }
    let id = put.map_err(consulted)?.id;
    Ok(done(answer::resource("media", &[serde_json::json!({ "id": id })])))
}

/// What can be told from the head of the request.
fn checked(headers: &HeaderMap, body: &Body) -> Result<String, ApiError> {
    let given = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
    let content_type = media::content_type(given)?;
    if body.size_hint().lower() > media::MAX_UPLOAD {
        return Err(media::too_large());
    }
    if body.is_end_stream() {
        return Err(media::empty());
    }
    Ok(content_type)
}

/// The bytes of a file, under the content type it came with.
#[utoipa::path(
    get, path = "/v1/media/{id}", tag = "Media",
    params(("id" = String, Path, description = "As the upload or a callback gave it.")),
    responses((status = 200, description = "The bytes, under their own `Content-Type`.", body = String, content_type = "*/*")),
)]
pub(super) async fn download(asking: Asking, id: InPath) -> Result<Response, Refusal> {
    let message = GetMediaRequest { id: parse(id)?.to_string() };
    let call = asking.media(CALL, message, |channel, request| async move {
        let mut parts = MediaClient::new(channel).get(request).await?.into_inner();
        match parts.message().await?.and_then(|answer| answer.part) {
            Some(Part::Head(head)) => Ok(tonic::Response::new((head, parts))),
            _ => Err(Status::internal("the answer does not begin with its head")),
        }
    });
    let (GetMediaHead { content_type, size }, parts) = call.await?;
    // A stream that breaks ends the connection: the client sees that its file is short.
    let pieces = parts.map(|part| match part?.part {
        Some(Part::Piece(piece)) => Ok(piece),
        _ => Err(Status::internal("the answer has a second head")),
    });
    let mut response = Response::new(Body::from_stream(pieces));
    response.extensions_mut().insert(Consulted(None));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::try_from(content_type).unwrap_or(BYTES));
    headers.insert(header::CONTENT_LENGTH, size.into());
    Ok(response)
}

/// Fetches a customer's file again.
///
/// For one that was not fetched when its message came: of a type outside `media.auto_download`, or that the
/// network did not give. Answered at once; a `media_items` callback tells what came of it.
#[utoipa::path(
    get, path = "/v1/media/{id}/download", tag = "Media",
    params(("id" = String, Path, description = "As a callback gave it.")),
    responses((status = 200, description = "Begun.", body = MediaItemsAnswer)),
)]
pub(super) async fn fetch(asking: Asking, id: InPath) -> Result<Response, Refusal> {
    let id = parse(id)?.to_string();
    let message = RedownloadRequest { id: id.clone() };
    let call = asking.media(CALL, message, |channel, request| async move {
        MediaClient::new(channel).redownload(request).await
    });
    call.await?;
    Ok(done(answer::resource("media_items", &[serde_json::json!({ "id": id })])))
}

/// Takes a file away.
#[utoipa::path(
    delete, path = "/v1/media/{id}", tag = "Media",
    params(("id" = String, Path, description = "As the upload or a callback gave it.")),
    responses(
        (status = 200, description = "Gone.", body = Empty),
    ),
)]
pub(super) async fn remove(asking: Asking, id: InPath) -> Result<Response, Refusal> {
    let message = DeleteMediaRequest { id: parse(id)?.to_string() };
    let call = asking.media(CALL, message, |channel, request| async move {
        MediaClient::new(channel).delete(request).await
    });
    call.await?;
    Ok(done(answer::empty()))
}

fn parse(id: InPath) -> Result<MediaId, ApiError> {
    let id = id.ok().and_then(|Path(id)| id.parse().ok());
    id.ok_or_else(|| ApiError::new(Code::NOT_FOUND, "There is no file with this id"))
}
