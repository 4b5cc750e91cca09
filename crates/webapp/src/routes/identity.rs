//! `/v1/contacts/{wa_id}/identity`: what is known of a contact's identity key, and that its change
//! was noticed. The coreapp that owns the contact's shard knows.

use std::time::Duration;

use axum::{body::Body, response::Response};
use contract::{
    answer::{self, Empty, Errors},
    contacts::{self, AckRequest, Identity},
};
use rpc::coreapp::{AckIdentityRequest, GetIdentityRequest, contacts_client::ContactsClient};

use crate::{
    edge::{Refusal, read},
    routes::{InPath, asking::Asking, done, number},
};

/// The coreapp answers after 10 s at the latest, and then says why.
const CALL: Duration = Duration::from_secs(12);

/// Shows a contact's identity key.
#[utoipa::path(
    get, path = "/v1/contacts/{wa_id}/identity", tag = "Contacts",
    params(("wa_id" = String, Path, description = "Any notation of the number.")),
    responses(
        (status = 200, description = "Its latest identity.", body = contacts::IdentityAnswer),
        (status = 400, description = "1009: that is no number.", body = Errors),
        (status = 404, description = "1006: nothing is known of this contact.", body = Errors),
    ),
)]
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

/// Acknowledges a contact's identity key, so that messages go on.
#[utoipa::path(
    put, path = "/v1/contacts/{wa_id}/identity", tag = "Contacts",
    params(("wa_id" = String, Path, description = "Any notation of the number.")),
    request_body(content = contacts::AckBody),
    responses(
        (status = 200, description = "Acknowledged; what waited for it goes on.", body = Empty),
        (status = 400, description = "1008 no `hash`, 1009 not the latest one or no number, 1010 unknown field, 1025 no JSON.", body = Errors),
        (status = 404, description = "1006: nothing is known of this contact.", body = Errors),
    ),
)]
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
