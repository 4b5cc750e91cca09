//! Every documented route against the real program, as nobody, with the API key, as a user and as the
//! admin: who is let in, and exactly what is answered, a snapshot a resource.
//!
//! What differs from run to run stands as `<…>`. A refusal of who may not is shown once a route.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

#[path = "walk/account.rs"]
mod account;
#[path = "walk/contacts.rs"]
mod contacts;
#[path = "walk/events.rs"]
mod events;
#[path = "walk/media.rs"]
mod media;
#[path = "walk/messages.rs"]
mod messages;
#[path = "walk/monitoring.rs"]
mod monitoring;
#[path = "walk/settings.rs"]
mod settings;
#[path = "walk/steps.rs"]
mod steps;
#[path = "walk/stickers.rs"]
mod stickers;
#[path = "walk/users.rs"]
mod users;

use std::collections::BTreeSet;

use steps::Walk;

#[tokio::test(flavor = "multi_thread")]
async fn every_route_answers_each_caller_exactly_as_documented() {
    let mut walk = Walk::start().await;
    users::walk(&mut walk).await;
    events::walk(&mut walk).await;
    messages::walk(&mut walk).await;
    contacts::walk(&mut walk).await;
    media::walk(&mut walk).await;
    stickers::walk(&mut walk).await;
    settings::walk(&mut walk).await;
    monitoring::walk(&mut walk).await;
    account::walk(&mut walk).await;
    users::leave(&mut walk).await;

    let document = walk.document().await;
    let mut missing = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let route = format!("{} {path}", method.to_uppercase());
            if !walk.walked(&route) {
                missing.insert(route);
            }
        }
    }
    assert!(missing.is_empty(), "documented and not walked: {missing:?}");
    let undocumented: Vec<_> = walk
        .statuses
        .iter()
        .filter(|(route, status)| {
            let (method, path) = route.split_once(' ').unwrap();
            let answers = &document["paths"][path][method.to_lowercase()]["responses"];
            answers.get(status.to_string()).is_none()
        })
        .collect();
    assert!(undocumented.is_empty(), "answered and not documented: {undocumented:?}");
}
