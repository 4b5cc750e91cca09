//! Tells the webhook when the network is away: an `errors` callback (1014), as of trouble that belongs to
//! no message. Once an outage.

use std::sync::Arc;

use contract::{
    ApiError, Clock, Code,
    callback::{EventKind, errors},
};
use store::{rows::NewEvent, write::Op};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::line::{CONNECTING, Line};
use crate::{media::Shelf, settings::View};

/// What the notice takes.
pub(crate) struct Outages {
    pub line: watch::Receiver<Line>,
    pub settings: watch::Receiver<Arc<View>>,
    pub shelf: Arc<Shelf>,
    pub clock: Arc<dyn Clock>,
}

impl Outages {
    /// Runs until the process ends.
    pub(crate) async fn run(mut self) {
        while self.line.wait_for(|line| line.connected).await.is_ok() {
            if self.line.wait_for(|line| !line.connected).await.is_err() {
                return;
            }
            let broke = Instant::now();
            tokio::select! {
                // Back again before anybody is told.
                _ = self.line.wait_for(|line| line.connected) => continue,
                () = sleep(CONNECTING) => {}
            }
            // A number that is given up, or changes, disconnects too.
            if self.settings.borrow().own_number.is_some() {
                self.tell(broke).await;
            }
        }
    }

    async fn tell(&self, broke: Instant) {
        let details = format!(
            "No connection to the network for {} s; messages are accepted and wait",
            broke.elapsed().as_secs()
        );
        let body = errors(&[ApiError::new(Code::INTERNAL, details)]);
        let event = NewEvent::apart(EventKind::Errors.get(), self.clock.unix_ms(), body);
        if let Err(error) = self.shelf.commit(vec![Op::InsertEvent(event)]).await {
            tracing::warn!(%error, "that the network is away could not be told");
        }
    }
}
