//! What the network says of numbers after a check did not wait for it: a `contacts` callback, one a
//! call, in the words of the call. Only in memory: after a restart clients ask again, as they do when
//! more wait than are told.

use std::sync::Arc;

use contract::{
    Clock, Number,
    callback::{self, EventKind},
    contacts::{ContactEntry, ContactStatus},
};
use rpc::coreapp::{Contact, contact};
use store::{rows::NewEvent, write::Op};
use tokio::sync::Semaphore;

use super::desk::{Asked, Desk};
use crate::media::Shelf;

/// Numbers that are told of at once: 25 s of what the quota lets through, so that a flood of checks
/// makes no flood of callbacks. Whoever is not told asks again.
const LATE_MAX: usize = 1_000;

/// See the module.
pub(crate) struct Late {
    desk: Arc<Desk>,
    shelf: Arc<Shelf>,
    clock: Arc<dyn Clock>,
    places: Arc<Semaphore>,
}

impl Late {
    pub(crate) fn new(desk: Arc<Desk>, shelf: Arc<Shelf>, clock: Arc<dyn Clock>) -> Self {
        Self { desk, shelf, clock, places: Arc::new(Semaphore::new(LATE_MAX)) }
    }

    /// Tells of what is not known in `answer`, as soon as it is.
    pub(crate) fn follow(self: &Arc<Self>, answer: &[Contact], force: bool) {
        let processing =
            answer.iter().filter(|contact| contact.status() == contact::Status::Processing);
        let inputs: Vec<String> = processing.map(|contact| contact.input.clone()).collect();
        let Ok(wanted @ 1..) = u32::try_from(inputs.len()) else { return };
        let Ok(places) = Arc::clone(&self.places).try_acquire_many_owned(wanted) else { return };
        let late = Arc::clone(self);
        tokio::spawn(async move {
            late.tell(Asked { inputs, wait: true, force, always_valid: false }).await;
            drop(places);
        });
    }

    async fn tell(&self, asked: Asked) {
        let contacts = match self.desk.check(asked).await {
            Ok(contacts) => contacts,
            Err(error) => {
                tracing::debug!(%error, "a check's late results are not told");
                return;
            }
        };
        let entries: Vec<ContactEntry> = contacts.into_iter().map(entry).collect();
        let (kind, body) = (EventKind::Contacts.get(), callback::contacts(&entries));
        let event = NewEvent::apart(kind, self.clock.unix_ms(), body);
        if let Err(error) = self.shelf.commit(vec![Op::InsertEvent(event)]).await {
            tracing::warn!(%error, "a check's late results could not be told");
        }
    }
}

fn entry(contact: Contact) -> ContactEntry {
    let status = match contact.status() {
        contact::Status::Valid => ContactStatus::Valid,
        contact::Status::Invalid => ContactStatus::Invalid,
        contact::Status::Processing => ContactStatus::Processing,
        contact::Status::Failed | contact::Status::Unspecified => ContactStatus::Failed,
    };
    let wa_id = Number::from_digits(contact.wa_id.as_bytes()).ok();
    ContactEntry { input: contact.input, status, wa_id }
}
