//! `/v1/settings/profile/photo`, for admins: the picture customers see. It is cropped here, where a
//! picture that is none does no harm to the engine, and kept by the coreapp.

use std::time::Duration;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use contract::{
    ApiError, Code,
    answer::{self, Empty, Errors},
    profile,
};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use rpc::coreapp::{GetPhotoRequest, SetPhotoRequest, account_client::AccountClient};
use tokio::task::spawn_blocking;

use super::{
    answered,
    asking::{Asking, AskingAdmin, consulted},
    done,
};
use crate::{
    edge::{Refusal, read_within},
    multipart,
    picture::{self, PictureError},
};

/// The network has 8 s, the rest is for the commit and a fail-over.
const CALL: Duration = Duration::from_secs(12);
/// For the picture to arrive: 5 MiB at 1 Mbit/s take 42 s.
const ARRIVAL: Duration = Duration::from_secs(60);
/// For the whole request: that, and as long as others have.
pub(super) const WHOLE: Duration = Duration::from_secs(100);

/// Shows the photo that customers see.
#[utoipa::path(
    get, path = "/v1/settings/profile/photo", tag = "Profile", security(("Bearer" = ["ROLE_ADMIN"])),
    params(("format" = Option<String>, Query, description = "`link`: where it is; else the picture itself.")),
    responses(
        (status = 200, description = "The picture, or where it is.", content((String = "image/jpeg"), (profile::PhotoAnswer = "application/json"))),
        (status = 404, description = "1006: there is none.", body = Errors),
    ),
)]
pub(super) async fn get(
    AskingAdmin(asking): AskingAdmin,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let photo = asking
        .any(CALL, GetPhotoRequest {}, |channel, request| async move {
            AccountClient::new(channel).get_photo(request).await
        })
        .await?;
    if photo.image.is_empty() {
        let error = ApiError::new(Code::NOT_FOUND, "No picture set.");
        return Err(consulted(error));
    }
    let query = uri.query().unwrap_or_default();
    if query.split('&').any(|pair| pair == "format=link") {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let link = format!("https://{}{}", host.unwrap_or("localhost"), uri.path());
        return Ok(done(profile::photo_link(&link)));
    }
    let mut response = answered(StatusCode::OK, photo.image);
    let jpeg = HeaderValue::from_static("image/jpeg");
    response.headers_mut().insert(header::CONTENT_TYPE, jpeg);
    Ok(response)
}

/// Replaces the photo.
///
/// Of a JPEG or PNG the middle square is taken, at most 640 pixels wide. It is the body, or the part `file`
/// of a form.
#[utoipa::path(
    post, path = "/v1/settings/profile/photo", tag = "Profile", security(("Bearer" = ["ROLE_ADMIN"])),
    request_body(content((String = "image/jpeg"), (String = "image/png"), (profile::PhotoForm = "multipart/form-data")), description = "At most 5 MiB."),
    responses(
        (status = 200, description = "In force.", body = Empty),
        (status = 400, description = "1008 no picture, 1009 it is none, 1025 a broken form.", body = Errors),
        (status = 408, description = "1025: the body did not arrive within 60 s.", body = Errors),
    ),
)]
pub(super) async fn post(
    AskingAdmin(asking): AskingAdmin,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let boundary = multipart::boundary(&headers)?;
    let beside = if boundary.is_some() { multipart::OVERHEAD } else { 0 };
    let max = profile::PHOTO_MAX + beside;
    let mut given = read_within(&asking.app.metrics, body, max, ARRIVAL).await?;
    if let Some(boundary) = boundary {
        given = multipart::file(&given, &boundary, "file")?;
    }
    if given.is_empty() {
        let details = "Give the picture as the body; DELETE takes it away";
        return Err(ApiError::new(Code::MISSING, details).into());
    }
    // Of the few threads for what costs much, so that many pictures take no more than many logins.
    let thread = asking.app.passwords.thread().await?;
    let work = spawn_blocking(move || {
        let cropped = picture::cropped(&given);
        drop(thread);
        cropped
    });
    let image = match work.await {
        Ok(Ok(image)) => image,
        Ok(Err(error @ PictureError::Unwritable)) => {
            return Err(ApiError::new(Code::INTERNAL, error.to_string()).into());
        }
        Ok(Err(error)) => return Err(ApiError::new(Code::INVALID, error.to_string()).into()),
        Err(_) => return Err(ApiError::new(Code::INTERNAL, "The picture was not read").into()),
    };
    set(&asking, image.into()).await
}

/// Takes the photo away.
#[utoipa::path(
    delete, path = "/v1/settings/profile/photo", tag = "Profile", security(("Bearer" = ["ROLE_ADMIN"])),
    responses(
        (status = 200, description = "Gone.", body = Empty),
    ),
)]
pub(super) async fn delete(AskingAdmin(asking): AskingAdmin) -> Result<Response, Refusal> {
    set(&asking, Bytes::new()).await
}

async fn set(asking: &Asking, image: Bytes) -> Result<Response, Refusal> {
    asking
        .writer(CALL, SetPhotoRequest { image }, |channel, request| async move {
            AccountClient::new(channel).set_photo(request).await
        })
        .await?;
    Ok(done(answer::empty()))
}
