//! `/v1/contacts/{wa_id}/identity`: what is known of a contact's identity key, and that its change
//! was noticed. The coreapp that owns the contact's shard knows.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    response::Response,
};
use bytes::Bytes;
use contract::{
    ApiError, Code, answer,
    contacts::{self, AckRequest, Identity},
};
use http::{HeaderMap, StatusCode};
use rpc::coreapp::{AckIdentityRequest, GetIdentityRequest, contacts_client::ContactsClient};

use crate::{
    app::App,
    auth::Caller,
    edge::{Consulted, Context, Refusal, json, read},
};

/// The coreapp answers after 10 s at the latest, and then says why.
const CALL: Duration = Duration::from_secs(12);

type WaId = Result<Path<String>, PathRejection>;

/// Shows it.
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    caller: Caller,
    headers: HeaderMap,
    wa_id: WaId,
) -> Result<Response, Refusal> {
    let wa_id = number(wa_id)?;
    let owners = Arc::clone(&app.directory.current()?.owners);
    let message = GetIdentityRequest { wa_id: wa_id.to_string() };
    let request = caller.asker(&context, &headers).request(message, CALL);
    let identity = app
        .cores
        .owner_of(&wa_id, &owners, CALL, |channel| async move {
            ContactsClient::new(channel).get_identity(request).await
        })
        .await?;
    Ok(done(contacts::identity(&Identity {
        hash: identity.hash,
        created_ms: identity.created_ms,
        acknowledged: identity.acknowledged,
    })))
}

/// Acknowledges it.
pub(super) async fn put(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    caller: Caller,
    headers: HeaderMap,
    wa_id: WaId,
    body: Body,
) -> Result<Response, Refusal> {
    let wa_id = number(wa_id)?;
    let body = read(&app.metrics, body).await?;
    let AckRequest { hash } = AckRequest::parse(&body)?;
    let owners = Arc::clone(&app.directory.current()?.owners);
    let message = AckIdentityRequest { wa_id: wa_id.to_string(), hash };
    let request = caller.asker(&context, &headers).request(message, CALL);
    app.cores
        .owner_of(&wa_id, &owners, CALL, |channel| async move {
            ContactsClient::new(channel).ack_identity(request).await
        })
        .await?;
    Ok(done(answer::empty()))
}

fn number(wa_id: WaId) -> Result<contract::Number, ApiError> {
    let Path(text) = wa_id.map_err(|_| {
        ApiError::new(Code::INVALID, "Parameter 'wa_id': the path is not percent-encoded UTF-8")
    })?;
    contacts::wa_id(&text)
}

fn done(body: Bytes) -> Response {
    let mut response = json(StatusCode::OK, body);
    response.extensions_mut().insert(Consulted(None));
    response
}
