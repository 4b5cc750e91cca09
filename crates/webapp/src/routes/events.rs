//! `/v1/events`, for admins: the event log read on from a cursor, and what the webhook would not
//! take. Any coreapp answers.

use std::time::Duration;

use axum::response::Response;
use contract::{
    answer::Errors,
    events::{self, DeadItem, DeadQuery, Item, ListQuery, Why},
};
use http::Uri;
use rpc::coreapp::{
    self as proto, DeadEventsRequest, ListEventsRequest, events_client::EventsClient,
};

use super::{asking::AskingAdmin, done};
use crate::edge::Refusal;

/// Beside the time that is waited for an event.
const CALL: Duration = Duration::from_secs(15);
/// What the answer needs of the time that a request may take.
const MARGIN: Duration = Duration::from_secs(5);

/// Reads the log of events on, from a cursor.
///
/// Everything that was or will be POSTed to the webhook, in order within each conversation.
#[utoipa::path(
    get, path = "/v1/events", tag = "Events", security(("Bearer" = ["ROLE_ADMIN"])),
    params(events::ListParams),
    responses(
        (status = 200, description = "What follows the cursor.", body = events::EventPage),
        (status = 400, description = "1009 no cursor of this list, or out of range; 1010 unknown parameter.", body = Errors),
        (status = 410, description = "What follows the cursor is no longer kept; `details` says where to go on.", body = Errors),
    ),
)]
pub(super) async fn list(AskingAdmin(asking): AskingAdmin, uri: Uri) -> Result<Response, Refusal> {
    let query = ListQuery::parse(uri.query().unwrap_or_default())?;
    let longest = asking.app.request_timeout.saturating_sub(MARGIN).as_millis();
    let wait_ms = query.wait_ms.min(u32::try_from(longest).unwrap_or(u32::MAX));
    let message = ListEventsRequest {
        after: query.after.map(|after| after.to_string()).unwrap_or_default(),
        limit: query.limit,
        kinds: Vec::new(),
        wait_ms,
    };
    let limit = CALL + Duration::from_millis(wait_ms.into());
    let page = asking
        .any(limit, message, |channel, request| async move {
            EventsClient::new(channel).list(request).await
        })
        .await?;
    Ok(done(events::page(page.events.iter().map(item), &page.cursor)))
}

/// Lists what the webhook would not take, and why.
#[utoipa::path(
    get, path = "/v1/events/dead", tag = "Events", security(("Bearer" = ["ROLE_ADMIN"])),
    params(events::DeadParams),
    responses(
        (status = 200, description = "What the webhook would not take.", body = events::DeadPage),
        (status = 400, description = "1009 no cursor of this list, or out of range; 1010 unknown parameter.", body = Errors),
    ),
)]
pub(super) async fn dead(AskingAdmin(asking): AskingAdmin, uri: Uri) -> Result<Response, Refusal> {
    let query = DeadQuery::parse(uri.query().unwrap_or_default())?;
    let message = DeadEventsRequest { after: query.after.to_string(), limit: query.limit };
    let page = asking
        .any(CALL, message, |channel, request| async move {
            EventsClient::new(channel).dead(request).await
        })
        .await?;
    let items = page.events.iter().filter_map(|dead| {
        Some(DeadItem {
            item: item(dead.event.as_ref()?),
            parked: dead.parked,
            tries: dead.tries,
            why: i16::try_from(dead.why).ok().and_then(Why::from_i16),
            first_s: dead.first_try,
            last_s: dead.last_try,
            due_s: dead.due,
        })
    });
    Ok(done(events::dead_page(items, &page.cursor)))
}

fn item(event: &proto::Event) -> Item<'_> {
    Item {
        cursor: &event.cursor,
        id: &event.id,
        kind: &event.kind,
        created_s: event.created,
        payload: &event.payload,
    }
}
