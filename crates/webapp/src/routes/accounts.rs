//! `/v1/account`, for admins: registers the own number. The coreapp asks the network.

use std::time::Duration;

use axum::{body::Body, response::Response};
use contract::{
    account::{self, CodeRequest, Method, ShardsRequest},
    answer::{self, Empty, Errors},
    login::Secret,
};
use http::StatusCode;
use rpc::coreapp::{
    GetShardsRequest, RequestCodeRequest, SetShardsRequest, SetTwoStepRequest, VerifyCodeRequest,
    account_client::AccountClient,
};

use super::{answered, asking::AskingAdmin, done};
use crate::edge::{Refusal, read};

/// The network has 8 s, the rest is for the commit and a fail-over.
const CALL: Duration = Duration::from_secs(12);

/// Asks for a registration code.
#[utoipa::path(
    post, path = "/v1/account", tag = "Account", security(("Bearer" = ["ROLE_ADMIN"])),
    request_body(content = account::CodeBody),
    responses(
        (status = 201, description = "The number is ours already.", body = Empty),
        (status = 202, description = "A code was sent: `POST /v1/account/verify` takes it.", body = account::CodeSent),
        (status = 400, description = "1008 something is missing, 1009 type or value, 1010 unknown field, 1025 no JSON.", body = Errors),
        (status = 403, description = "1005: the network refuses; `details` says how long to wait.", body = Errors),
    ),
)]
pub(super) async fn request(
    AskingAdmin(asking): AskingAdmin,
    body: Body,
) -> Result<Response, Refusal> {
    let body = read(&asking.app.metrics, body).await?;
    let CodeRequest { number, method, cert, pin } = CodeRequest::parse(&body)?;
    let message = RequestCodeRequest {
        number: number.to_string(),
        voice: method == Method::Voice,
        cert,
        pin: exposed(pin),
    };
    let asked = asking
        .writer(CALL, message, |channel, request| async move {
            AccountClient::new(channel).request_code(request).await
        })
        .await?;
    Ok(if asked.registered {
        answered(StatusCode::CREATED, answer::empty())
    } else {
        answered(StatusCode::ACCEPTED, account::requested(&asked.vname))
    })
}

/// Gives the registration code back.
#[utoipa::path(
    post, path = "/v1/account/verify", tag = "Account", security(("Bearer" = ["ROLE_ADMIN"])),
    request_body(content = account::VerifyBody),
    responses(
        (status = 201, description = "The number is ours.", body = Empty),
        (status = 400, description = "1008 something is missing, 1009 type or value, 1010 unknown field, 1025 no JSON.", body = Errors),
        (status = 403, description = "1005: the code is wrong or has expired.", body = Errors),
    ),
)]
pub(super) async fn verify(
    AskingAdmin(asking): AskingAdmin,
    body: Body,
) -> Result<Response, Refusal> {
    let code = account::code(&read(&asking.app.metrics, body).await?)?;
    let message = VerifyCodeRequest { code: code.expose().to_owned() };
    asking
        .writer(CALL, message, |channel, request| async move {
            AccountClient::new(channel).verify_code(request).await
        })
        .await?;
    Ok(answered(StatusCode::CREATED, answer::empty()))
}

/// Shows how many shards were asked for.
#[utoipa::path(
    get, path = "/v1/account/shards", tag = "Account", security(("Bearer" = ["ROLE_ADMIN"])),
    responses(
        (status = 200, description = "As many as were asked for; ours are always 64.", body = account::ShardsAnswer),
    ),
)]
pub(super) async fn shards(AskingAdmin(asking): AskingAdmin) -> Result<Response, Refusal> {
    let known = asking
        .any(CALL, GetShardsRequest {}, |channel, request| async move {
            AccountClient::new(channel).get_shards(request).await
        })
        .await?;
    Ok(done(account::shards(known.shards)))
}

/// Remembers how many shards are asked for. Ours are always 64.
#[utoipa::path(
    post, path = "/v1/account/shards", tag = "Account", security(("Bearer" = ["ROLE_ADMIN"])),
    request_body(content = account::ShardsBody),
    responses(
        (status = 201, description = "Remembered.", body = Empty),
        (status = 400, description = "1008 something is missing, 1009 type or value, 1010 unknown field, 1025 no JSON.", body = Errors),
        (status = 403, description = "1005: the network refuses the certificate or the pin.", body = Errors),
    ),
)]
pub(super) async fn set_shards(
    AskingAdmin(asking): AskingAdmin,
    body: Body,
) -> Result<Response, Refusal> {
    let body = read(&asking.app.metrics, body).await?;
    let ShardsRequest { number, shards, cert, pin } = ShardsRequest::parse(&body)?;
    let message = SetShardsRequest { number: number.to_string(), shards, cert, pin: exposed(pin) };
    asking
        .writer(CALL, message, |channel, request| async move {
            AccountClient::new(channel).set_shards(request).await
        })
        .await?;
    Ok(answered(StatusCode::CREATED, answer::empty()))
}

/// Switches two-step verification on, or changes its pin.
#[utoipa::path(
    post, path = "/v1/settings/account/two-step", tag = "Account", security(("Bearer" = ["ROLE_ADMIN"])),
    request_body(content = account::PinBody),
    responses(
        (status = 200, description = "On, with this pin.", body = Empty),
        (status = 400, description = "1008 something is missing, 1009 type or value, 1010 unknown field, 1025 no JSON.", body = Errors),
    ),
)]
pub(super) async fn two_step(
    AskingAdmin(asking): AskingAdmin,
    body: Body,
) -> Result<Response, Refusal> {
    let pin = account::two_step_pin(&read(&asking.app.metrics, body).await?)?;
    set_two_step(AskingAdmin(asking), pin.expose().to_owned()).await
}

/// Switches two-step verification off.
#[utoipa::path(
    delete, path = "/v1/settings/account/two-step", tag = "Account", security(("Bearer" = ["ROLE_ADMIN"])),
    responses(
        (status = 200, description = "Off.", body = Empty),
    ),
)]
pub(super) async fn no_two_step(asking: AskingAdmin) -> Result<Response, Refusal> {
    set_two_step(asking, String::new()).await
}

async fn set_two_step(AskingAdmin(asking): AskingAdmin, pin: String) -> Result<Response, Refusal> {
    asking
        .writer(CALL, SetTwoStepRequest { pin }, |channel, request| async move {
            AccountClient::new(channel).set_two_step(request).await
        })
        .await?;
    Ok(done(answer::empty()))
}

fn exposed(pin: Option<Secret>) -> String {
    pin.map(|pin| pin.expose().to_owned()).unwrap_or_default()
}
