//! `/v1/account`, for admins: registers the own number. The coreapp asks the network.

use std::time::Duration;

use axum::{body::Body, response::Response};
use contract::{
    account::{self, CodeRequest, Method, ShardsRequest},
    answer,
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

/// Asks for a registration code: 202, or 201 when the number is ours already.
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

/// Gives the code back: the number is ours.
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

/// How many shards were asked for. Ours are always 64.
pub(super) async fn shards(AskingAdmin(asking): AskingAdmin) -> Result<Response, Refusal> {
    let known = asking
        .any(CALL, GetShardsRequest {}, |channel, request| async move {
            AccountClient::new(channel).get_shards(request).await
        })
        .await?;
    Ok(done(account::shards(known.shards)))
}

/// Remembers how many are asked for.
pub(super) async fn set_shards(
    AskingAdmin(asking): AskingAdmin,
    body: Body,
) -> Result<Response, Refusal> {
    let body = read(&asking.app.metrics, body).await?;
    let ShardsRequest { number, shards, pin } = ShardsRequest::parse(&body)?;
    let message = SetShardsRequest { number: number.to_string(), shards, pin: exposed(pin) };
    asking
        .writer(CALL, message, |channel, request| async move {
            AccountClient::new(channel).set_shards(request).await
        })
        .await?;
    Ok(answered(StatusCode::CREATED, answer::empty()))
}

/// Switches two-step verification on, or changes its pin.
pub(super) async fn two_step(
    AskingAdmin(asking): AskingAdmin,
    body: Body,
) -> Result<Response, Refusal> {
    let pin = account::two_step_pin(&read(&asking.app.metrics, body).await?)?;
    set_two_step(AskingAdmin(asking), pin.expose().to_owned()).await
}

/// Switches it off.
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
