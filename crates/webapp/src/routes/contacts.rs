//! `POST /v1/contacts`.

use std::{sync::Arc, time::Duration};

use axum::{Extension, body::Body, extract::State, response::Response};
use contract::{
    ApiError, Code,
    answer::Errors,
    contacts::{self, CheckRequest, ContactEntry, ContactStatus},
};
use http::{HeaderMap, StatusCode};
use rpc::coreapp::{self as proto, contact::Status, contacts_client::ContactsClient};

use super::asking::consulted;
use crate::{
    app::App,
    auth::Caller,
    edge::{Consulted, Context, Refusal, json, read},
};

/// Of a check that answers from the cache.
const CALL: Duration = Duration::from_secs(10);
/// Of one that waits: the coreapp answers after 30 s.
const WAITING_CALL: Duration = Duration::from_secs(35);

/// Says which numbers can be reached.
///
/// Sending does not need it.
#[utoipa::path(
    post, path = "/v1/contacts", tag = "Contacts",
    request_body(content = contacts::CheckBody),
    responses(
        (status = 200, description = "One entry per number, in their order.", body = contacts::CheckAnswer),
        (status = 400, description = "1008 no `contacts`, 1009 type, value or length, 1010 unknown field, 1025 no JSON.", body = Errors),
    ),
)]
pub(super) async fn check(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let body = read(&app.metrics, body).await?;
    let CheckRequest { inputs, too_long, wait, force } = CheckRequest::parse(&body)?;
    let asked = inputs.len();
    let message = proto::CheckRequest { inputs, wait, force };
    let asker = caller.asker(&context, &headers);
    let limit = if wait { WAITING_CALL } else { CALL };
    let answer = app
        .cores
        .contacts(limit, |channel| {
            let request = asker.request(message.clone(), limit);
            let mut client = ContactsClient::new(channel)
                .max_decoding_message_size(rpc::http2::MAX_MESSAGE)
                .max_encoding_message_size(rpc::http2::MAX_MESSAGE);
            async move { client.check(request).await }
        })
        .await
        .map_err(consulted)?;
    if answer.contacts.len() != asked {
        let details = "The coreapp answered for another number of contacts than was asked";
        return Err(consulted(ApiError::new(Code::INTERNAL, details)));
    }
    let mut entries: Vec<_> = answer.contacts.into_iter().map(entry).collect();
    for (at, input) in too_long {
        if let Some(entry) = entries.get_mut(at) {
            *entry = ContactEntry { input, status: ContactStatus::Invalid, wa_id: None };
        }
    }
    let mut response = json(StatusCode::OK, contacts::answer(&entries));
    response.extensions_mut().insert(Consulted(None));
    Ok(response)
}

fn entry(contact: proto::Contact) -> ContactEntry {
    let status = match contact.status() {
        Status::Valid => ContactStatus::Valid,
        Status::Invalid => ContactStatus::Invalid,
        Status::Processing => ContactStatus::Processing,
        Status::Failed | Status::Unspecified => ContactStatus::Failed,
    };
    ContactEntry { status, wa_id: contact.wa_id.parse().ok(), input: contact.input }
}
