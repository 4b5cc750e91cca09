//! `/v1/certificates/webhooks/ca`, for admins: the private authorities that webhooks may have their
//! certificates from. The coreapp keeps the bundle and uses it at once.

use std::{sync::Arc, time::Duration};

use axum::{Extension, body::Body, extract::State, response::Response};
use bytes::Bytes;
use contract::{ApiError, Code, answer};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rpc::coreapp::{
    GetWebhookAuthoritiesRequest, SetWebhookAuthoritiesRequest, admin_client::AdminClient,
};

use crate::{
    app::App,
    auth::Admin,
    edge::{Consulted, Context, Refusal, json, read},
    hop::Asker,
};

/// As for settings: in force when it answers.
const CALL: Duration = Duration::from_secs(10);
/// As the original served its downloads.
const PEM: HeaderValue = HeaderValue::from_static("text/plain;charset=UTF-8");
const FILE: HeaderValue = HeaderValue::from_static("attachment; filename=\"ca.pem\"");

/// The bundle as it was uploaded.
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    Admin(caller): Admin,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let asker = caller.asker(&context, &headers);
    let bundle = app
        .cores
        .control(CALL, |channel| {
            let request = asker.request(GetWebhookAuthoritiesRequest {}, CALL);
            async move { AdminClient::new(channel).get_webhook_authorities(request).await }
        })
        .await?;
    if bundle.pem.is_empty() {
        let error = ApiError::new(Code::NOT_FOUND, "No webhook CA certificates found");
        return Err(Refusal::from(error).consulted(Consulted(None)));
    }
    let mut response = Response::new(Body::from(bundle.pem));
    response.headers_mut().insert(header::CONTENT_TYPE, PEM);
    response.headers_mut().insert(header::CONTENT_DISPOSITION, FILE);
    response.extensions_mut().insert(Consulted(None));
    Ok(response)
}

/// Replaces the bundle: PEM certificates, concatenated.
pub(super) async fn post(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    Admin(caller): Admin,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let pem = read(&app.metrics, body).await?;
    if pem.is_empty() {
        let details = "Give the PEM certificates as the body; DELETE takes them away";
        return Err(ApiError::new(Code::MISSING, details).into());
    }
    set(&app, caller.asker(&context, &headers), pem).await
}

/// Takes the bundle away: only the public authorities are trusted then.
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    Admin(caller): Admin,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    set(&app, caller.asker(&context, &headers), Bytes::new()).await
}

async fn set(app: &App, asker: Asker, pem: Bytes) -> Result<Response, Refusal> {
    app.cores
        .writer(CALL, |channel| {
            let request = asker.request(SetWebhookAuthoritiesRequest { pem: pem.clone() }, CALL);
            async move { AdminClient::new(channel).set_webhook_authorities(request).await }
        })
        .await?;
    let mut response = json(StatusCode::OK, answer::empty());
    response.extensions_mut().insert(Consulted(None));
    Ok(response)
}
