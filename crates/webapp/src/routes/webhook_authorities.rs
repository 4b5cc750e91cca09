//! `/v1/certificates/webhooks/ca`, for admins: the private authorities that webhooks may have their
//! certificates from. The coreapp keeps the bundle and uses it at once.

use std::time::Duration;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use contract::{ApiError, Code, answer};
use rpc::coreapp::{
    GetWebhookAuthoritiesRequest, SetWebhookAuthoritiesRequest, admin_client::AdminClient,
};

use super::{
    asking::{Asking, AskingAdmin},
    done, pem,
};
use crate::edge::{Consulted, Refusal, read};

/// As for settings: in force when it answers.
const CALL: Duration = Duration::from_secs(10);

/// The bundle as it was uploaded.
pub(super) async fn get(AskingAdmin(asking): AskingAdmin) -> Result<Response, Refusal> {
    let bundle = asking
        .any(CALL, GetWebhookAuthoritiesRequest {}, |channel, request| async move {
            AdminClient::new(channel).get_webhook_authorities(request).await
        })
        .await?;
    if bundle.pem.is_empty() {
        let error = ApiError::new(Code::NOT_FOUND, "No webhook CA certificates found");
        return Err(Refusal::from(error).consulted(Consulted(None)));
    }
    Ok(pem(bundle.pem))
}

/// Replaces the bundle: PEM certificates, concatenated.
pub(super) async fn post(
    AskingAdmin(asking): AskingAdmin,
    body: Body,
) -> Result<Response, Refusal> {
    let pem = read(&asking.app.metrics, body).await?;
    if pem.is_empty() {
        let details = "Give the PEM certificates as the body; DELETE takes them away";
        return Err(ApiError::new(Code::MISSING, details).into());
    }
    set(&asking, pem).await
}

/// Takes the bundle away: only the public authorities are trusted then.
pub(super) async fn delete(AskingAdmin(asking): AskingAdmin) -> Result<Response, Refusal> {
    set(&asking, Bytes::new()).await
}

async fn set(asking: &Asking, pem: Bytes) -> Result<Response, Refusal> {
    asking
        .writer(CALL, SetWebhookAuthoritiesRequest { pem }, |channel, request| async move {
            AdminClient::new(channel).set_webhook_authorities(request).await
        })
        .await?;
    Ok(done(answer::empty()))
}
