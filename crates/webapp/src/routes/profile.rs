//! `/v1/settings/business/profile`, `/v1/settings/profile/about`, for admins: how customers see the
//! business, in words.

use std::time::Duration;

use axum::{body::Body, response::Response};
use contract::{
    ApiError, Code,
    answer::{self, Empty, Errors},
    json::check,
    profile::{self, Profile},
};
use rpc::coreapp::{
    ChangeProfileRequest, GetProfileRequest, account_client::AccountClient,
    change_profile_request::Change,
};

use super::{
    asking::{Asking, AskingAdmin, consulted},
    done,
};
use crate::edge::{Refusal, read};

/// The network has 8 s, the rest is for the commit and a fail-over.
const CALL: Duration = Duration::from_secs(12);

/// Shows the business profile.
#[utoipa::path(
    get, path = "/v1/settings/business/profile", tag = "Profile", security(("Bearer" = ["ROLE_ADMIN"])),
    responses(
        (status = 200, description = "What is not set is empty.", body = profile::BusinessAnswer),
    ),
)]
pub(super) async fn business(AskingAdmin(asking): AskingAdmin) -> Result<Response, Refusal> {
    Ok(done(known(&asking).await?.shown()))
}

/// Changes what is given of the business profile.
#[utoipa::path(
    post, path = "/v1/settings/business/profile", tag = "Profile", security(("Bearer" = ["ROLE_ADMIN"])),
    request_body(content = profile::BusinessBody),
    responses(
        (status = 200, description = "Changed.", body = Empty),
        (status = 400, description = "1008 nothing given, 1009 against the rules, 1010 unknown field, 1025 no JSON.", body = Errors),
    ),
)]
pub(super) async fn change_business(
    AskingAdmin(asking): AskingAdmin,
    body: Body,
) -> Result<Response, Refusal> {
    let body = read(&asking.app.metrics, body).await?;
    check(&body)?;
    change(&asking, Change::Business(body)).await
}

/// Shows the about text.
#[utoipa::path(
    get, path = "/v1/settings/profile/about", tag = "Profile", security(("Bearer" = ["ROLE_ADMIN"])),
    responses(
        (status = 200, description = "The text.", body = profile::AboutAnswer),
    ),
)]
pub(super) async fn about(AskingAdmin(asking): AskingAdmin) -> Result<Response, Refusal> {
    Ok(done(known(&asking).await?.about_shown()))
}

/// Changes the about text.
#[utoipa::path(
    patch, path = "/v1/settings/profile/about", tag = "Profile", security(("Bearer" = ["ROLE_ADMIN"])),
    request_body(content = profile::AboutBody),
    responses(
        (status = 200, description = "Changed.", body = Empty),
        (status = 400, description = "1008 no `text`, 1009 too long, 1010 unknown field, 1025 no JSON.", body = Errors),
    ),
)]
pub(super) async fn change_about(
    AskingAdmin(asking): AskingAdmin,
    body: Body,
) -> Result<Response, Refusal> {
    let body = read(&asking.app.metrics, body).await?;
    check(&body)?;
    change(&asking, Change::About(body)).await
}

async fn known(asking: &Asking) -> Result<Profile, Refusal> {
    let profile = asking
        .any(CALL, GetProfileRequest {}, |channel, request| async move {
            AccountClient::new(channel).get_profile(request).await
        })
        .await?;
    serde_json::from_slice(&profile.profile).map_err(|_| {
        let details = "The coreapp answered with no profile this webapp can read";
        consulted(ApiError::new(Code::INTERNAL, details))
    })
}

async fn change(asking: &Asking, change: Change) -> Result<Response, Refusal> {
    let message = ChangeProfileRequest { change: Some(change) };
    asking
        .writer(CALL, message, |channel, request| async move {
            AccountClient::new(channel).change_profile(request).await
        })
        .await?;
    Ok(done(answer::empty()))
}
