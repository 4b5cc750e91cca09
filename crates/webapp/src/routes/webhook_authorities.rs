//! `/v1/certificates/webhooks/ca`, for admins: the private authorities that webhooks may have their
//! certificates from. The coreapp keeps the bundle and uses it at once.

use std::time::Duration;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use contract::{
    ApiError, Code,
    answer::{self, Empty, Errors},
};
use rpc::coreapp::{
    GetWebhookAuthoritiesRequest, SetWebhookAuthoritiesRequest, admin_client::AdminClient,
};

use super::{
    asking::{Asking, AskingAdmin, consulted},
    done, pem,
};
use crate::edge::{Refusal, read};

/// As for settings: in force when it answers.
const CALL: Duration = Duration::from_secs(10);

/// Shows the authorities that a webhook may have its certificate from.
#[utoipa::path(
    get, path = "/v1/certificates/webhooks/ca", tag = "Certificates", security(("Bearer" = ["ROLE_ADMIN"])),
    responses(
        (status = 200, description = "PEM.", body = String, content_type = "text/plain"),
        (status = 404, description = "1006: there is none.", body = Errors),
    ),
)]
pub(super) async fn get(AskingAdmin(asking): AskingAdmin) -> Result<Response, Refusal> {
    let bundle = asking
        .any(CALL, GetWebhookAuthoritiesRequest {}, |channel, request| async move {
            AdminClient::new(channel).get_webhook_authorities(request).await
        })
        .await?;
    if bundle.pem.is_empty() {
        let error = ApiError::new(Code::NOT_FOUND, "No webhook CA certificates found");
        return Err(consulted(error));
    }
    Ok(pem(bundle.pem))
}

/// Replaces them.
#[utoipa::path(
    post, path = "/v1/certificates/webhooks/ca", tag = "Certificates", security(("Bearer" = ["ROLE_ADMIN"])),
    request_body(content = String, content_type = "text/plain", description = "PEM certificates, concatenated."),
    responses(
        (status = 200, description = "In force.", body = Empty),
        (status = 400, description = "1008 no body, 1009 no certificates.", body = Errors),
    ),
)]
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

/// Takes them away: only the public authorities are trusted then.
#[utoipa::path(
    delete, path = "/v1/certificates/webhooks/ca", tag = "Certificates", security(("Bearer" = ["ROLE_ADMIN"])),
    responses((status = 200, description = "Gone.", body = Empty)),
)]
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
