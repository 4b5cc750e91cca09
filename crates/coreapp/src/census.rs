//! How many rows there are of what integrators count: contacts, messages, receipts. Counted page by page
//! beside the traffic, when somebody asks; never a scan in one piece. A pass takes at most a fifth of one
//! read connection's time, so that of ten million rows takes minutes, in which the last counts are told.

use std::{sync::Arc, time::Duration};

use contract::{ApiError, Code, ShardId, callback::EventKind};
use store::{Reader, StoreError, census::PAGE_MAX};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

/// Counts this young are told without counting anew.
const FRESH: Duration = Duration::from_secs(60);
/// How long the first caller waits for the first pass; then it is told to ask again.
const PATIENCE: Duration = Duration::from_secs(4);
/// And after how long, milliseconds.
const AGAIN_MS: u64 = 10_000;
/// After each page the pass rests so many times as long as the page took.
const REST: u32 = 4;

/// What there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Numbers that the network knows, and that it does not.
    pub users: u64,
    pub strangers: u64,
    /// Accepted messages that are kept.
    pub outgoing: u64,
    /// Customers' messages and statuses that the event log keeps.
    pub incoming: u64,
    pub receipts: u64,
}

#[derive(Clone, Copy, Default)]
struct Standing {
    running: bool,
    counted: Option<(Counts, Instant)>,
}

/// See the module.
pub(crate) struct Census {
    reader: Reader,
    standing: watch::Sender<Standing>,
}

impl Census {
    pub(crate) fn new(reader: Reader) -> Arc<Self> {
        Arc::new(Self { reader, standing: watch::Sender::new(Standing::default()) })
    }

    /// The last counts; begins to count anew when they are old.
    ///
    /// # Errors
    /// 503/1011 while the first pass takes longer than [`PATIENCE`], 503/1023 when it failed.
    pub(crate) async fn counts(self: &Arc<Self>) -> Result<Counts, ApiError> {
        let mut standing = self.standing.subscribe();
        let mut begins = false;
        self.standing.send_if_modified(|standing| {
            let old = standing.counted.is_none_or(|(_, taken)| taken.elapsed() > FRESH);
            begins = old && !standing.running;
            standing.running |= begins;
            false
        });
        if begins {
            let census = Arc::clone(self);
            tokio::spawn(async move { census.pass().await });
        }
        let ended = standing.wait_for(|now| now.counted.is_some() || !now.running);
        let known = match timeout(PATIENCE, ended).await {
            Ok(Ok(now)) => now.counted,
            Ok(Err(_)) => None,
            Err(_) => {
                let details = "The rows are being counted for the first time: ask again";
                return Err(ApiError::new(Code::NOT_READY, details).retry_after_ms(AGAIN_MS));
            }
        };
        let failed = || ApiError::new(Code::DATABASE, "The rows could not be counted");
        known.map(|(counts, _)| counts).ok_or_else(failed)
    }

    async fn pass(&self) {
        let counted = self.count().await;
        if let Err(error) = &counted {
            tracing::warn!(%error, "the rows of the database could not be counted");
        }
        self.standing.send_modify(|standing| {
            standing.running = false;
            if let Ok(counts) = counted {
                standing.counted = Some((counts, Instant::now()));
            }
        });
    }

    async fn count(&self) -> Result<Counts, StoreError> {
        let mut counts = Counts::default();
        for shard in ShardId::all() {
            let mut after = Vec::new();
            loop {
                let page = resting(self.reader.contact_page(shard, &after)).await?;
                let users = page.iter().filter(|(_, user)| *user).count();
                counts.users += of(users);
                counts.strangers += of(page.len() - users);
                match page.last() {
                    Some((number, _)) if page.len() == PAGE_MAX => after.clone_from(number),
                    _ => break,
                }
            }
            after.clear();
            loop {
                let page = resting(self.reader.message_page(shard, &after)).await?;
                counts.outgoing += of(page.len());
                match page.last() {
                    Some(key) if page.len() == PAGE_MAX => after.clone_from(key),
                    _ => break,
                }
            }
            let mut after = 0;
            loop {
                let page = resting(self.reader.event_page(shard, after)).await?;
                let are = |wanted: EventKind| {
                    of(page.iter().filter(|(_, kind)| *kind == wanted.get()).count())
                };
                counts.incoming += are(EventKind::Inbound);
                counts.receipts += are(EventKind::Status);
                match page.last() {
                    Some((seq, _)) if page.len() == PAGE_MAX => after = *seq,
                    _ => break,
                }
            }
        }
        Ok(counts)
    }
}

fn of(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

async fn resting<T>(page: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let began = Instant::now();
    let page = page.await?;
    sleep(began.elapsed() * REST).await;
    Ok(page)
}
