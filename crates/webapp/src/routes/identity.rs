//! `/v1/contacts/{wa_id}/identity`: what is known of a contact's identity key, and that its change
//! was noticed. The coreapp that owns the contact's shard knows.

use std::time::Duration;

use axum::{body::Body, response::Response};
use contract::{
    answer,
    contacts::{self, AckRequest, Identity},
};
use rpc::coreapp::{AckIdentityRequest, GetIdentityRequest, contacts_client::ContactsClient};

use crate::{
    edge::{Refusal, read},
    routes::{InPath, asking::Asking, done, number},
};

/// The coreapp answers after 10 s at the latest, and then says why.
const CALL: Duration = Duration::from_secs(12);

/// Shows it.
pub(super) async fn get(asking: Asking, wa_id: InPath) -> Result<Response, Refusal> {
    let wa_id = number("wa_id", wa_id)?;
    let message = GetIdentityRequest { wa_id: wa_id.to_string() };
    let identity = asking
        .owner_of(&wa_id, CALL, message, |channel, request| async move {
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
pub(super) async fn put(asking: Asking, wa_id: InPath, body: Body) -> Result<Response, Refusal> {
    let wa_id = number("wa_id", wa_id)?;
    let body = read(&asking.app.metrics, body).await?;
    let AckRequest { hash } = AckRequest::parse(&body)?;
    let message = AckIdentityRequest { wa_id: wa_id.to_string(), hash };
    asking
        .owner_of(&wa_id, CALL, message, |channel, request| async move {
            ContactsClient::new(channel).ack_identity(request).await
        })
        .await?;
    Ok(done(answer::empty()))
}
