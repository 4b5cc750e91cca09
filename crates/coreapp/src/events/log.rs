//! Reads the log page by page, and waits for what is not there yet.
//!
//! A page costs three round trips whatever the number of shards (how far each reaches, marks,
//! bodies), now and then one or two more when one shard has much more than its share; one that
//! finds nothing costs one. Waiting costs none: the commits of this process wake it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use contract::{
    ApiError, Clock, Code, ShardId,
    events::{DeadCursor, DeadQuery, ListQuery, Position},
};
use store::{
    Mark, Reach, Reader, StoreError,
    reader::EVENTS_MAX,
    rows::{DeadEvent, Event},
};
use telemetry::metrics::IntGauge;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::merge::{Merge, Merged, PAGE_BYTES};
use crate::{
    callbacks::{ENDPOINT, Feed},
    cluster::MapRx,
    generation::Generations,
};

/// Callers that wait for an event at the same time, subscriptions included; more are refused with
/// 503/1016. Half of the streams that a connection to the control port may have.
pub(super) const WAITING_MAX: usize = 64;
/// Round trips for marks of a page; then it is given out as it is.
const ROUNDS: usize = 4;
/// Times a page is read again because the clean-up overtook it; then it is 503/1023.
const OVERTAKEN_MAX: usize = 3;
/// How often the database is asked while somebody waits for what other coreapps may write, or for
/// media.
const LOOK: Duration = Duration::from_secs(1);

/// What the log is read with.
pub(crate) struct Deps {
    pub reader: Reader,
    pub feed: Arc<Feed>,
    pub generations: Arc<Generations>,
    pub clock: Arc<dyn Clock>,
    /// Whether every event is committed by this process.
    pub map: MapRx,
    /// Nobody waits any longer then.
    pub stop: CancellationToken,
    /// How many callers wait.
    pub waiting: IntGauge,
}

/// See the module.
pub(crate) struct EventLog {
    deps: Deps,
    waiting: Semaphore,
}

/// Some events of the log.
pub(crate) struct Page {
    /// Behind which they come.
    pub from: Position,
    /// In the order of the log within each shard.
    pub events: Vec<Event>,
    /// Behind them and behind what was passed over.
    pub to: Position,
    /// There is, or may be, more to read at once.
    pub more: bool,
    /// An event waits for its media; what is behind it in its shard waits, too.
    pub held: bool,
}

/// Somebody waits.
struct Place<'a> {
    _permit: SemaphorePermit<'a>,
    waiting: &'a IntGauge,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.dec();
    }
}

// === impl EventLog ===

impl EventLog {
    pub(crate) fn new(deps: Deps) -> Self {
        Self { deps, waiting: Semaphore::new(WAITING_MAX) }
    }

    /// A page, which waits for its first event as the query says. Those that are not wanted are
    /// passed over.
    pub(crate) async fn list(
        &self,
        query: ListQuery,
        wanted: &(dyn Fn(&Mark) -> bool + Sync),
    ) -> Result<Page, ApiError> {
        let deadline = Instant::now() + Duration::from_millis(query.wait_ms.into());
        let limit = usize::try_from(query.limit).unwrap_or(1);
        let (mut after, mut place) = (query.after, None);
        let mut commits = self.deps.feed.watch();
        loop {
            // Before the page is read, so that what comes meanwhile is not slept through.
            commits.borrow_and_update();
            let page = self.read(after, None, limit, wanted).await?;
            if !page.events.is_empty() || Instant::now() >= deadline {
                return Ok(page);
            }
            after = Some(page.to);
            if page.more {
                continue;
            }
            if place.is_none() {
                place = Some(self.place()?);
            }
            let ours = self.deps.map.borrow().owns_all();
            let look = if ours && !page.held { deadline } else { Instant::now() + LOOK };
            tokio::select! {
                _ = commits.changed() => {}
                () = sleep_until(deadline.min(look)) => {}
                () = self.deps.stop.cancelled() => return Ok(page),
            }
        }
    }

    /// A place among those who wait.
    fn place(&self) -> Result<Place<'_>, ApiError> {
        let permit = self.waiting.try_acquire().map_err(|_| {
            let details = format!(
                "{WAITING_MAX} callers wait for events at this coreapp already: ask with \
                 'wait_ms' 0, or later"
            );
            ApiError::new(Code::OVERLOADED, details)
        })?;
        self.deps.waiting.inc();
        Ok(Place { _permit: permit, waiting: &self.deps.waiting })
    }

    /// The coreapp is stopping.
    pub(crate) fn is_stopping(&self) -> bool {
        self.deps.stop.is_cancelled()
    }

    /// What there is behind `after` (nothing: from the oldest that is kept) and up to `until`.
    pub(crate) async fn read(
        &self,
        after: Option<Position>,
        until: Option<&Position>,
        limit: usize,
        wanted: &(dyn Fn(&Mark) -> bool + Sync),
    ) -> Result<Page, ApiError> {
        for _ in 0..OVERTAKEN_MAX {
            let reaches = self.deps.reader.reaches().await.map_err(|error| database(&error))?;
            let from = self.begin(after, &reaches)?;
            let ends = reaches.iter().map(|reach| {
                let until = until.map_or(i64::MAX, |until| until.of(reach.shard));
                (reach.shard, reach.head.min(until))
            });
            let now_ms = self.deps.clock.unix_ms();
            let mut merge = Merge::new(from, ends, limit, now_ms, wanted);
            for _ in 0..ROUNDS {
                let Some((stretches, each)) = merge.wants() else { break };
                let marks = self.deps.reader.marks(&stretches, each).await;
                merge.marked(&stretches, &marks.map_err(|error| database(&error))?);
            }
            let Merged { picks, position, more, held } = merge.end();
            let wants = picks.len();
            let events = self.bodies(&picks).await?;
            // Fewer: they were deleted meanwhile, so the beginning is to be judged again.
            if events.len() == wants {
                return Ok(Page { from, events, to: position, more, held });
            }
        }
        Err(ApiError::new(Code::DATABASE, "Events are being deleted faster than they are read"))
    }

    /// Where a reading from `after` begins, and where the log ends now.
    pub(crate) async fn bounds(
        &self,
        after: Option<Position>,
    ) -> Result<(Position, Position), ApiError> {
        let reaches = self.deps.reader.reaches().await.map_err(|error| database(&error))?;
        let begin = self.begin(after, &reaches)?;
        let mut head = begin;
        for reach in &reaches {
            head.set(reach.shard, reach.head);
        }
        Ok((begin, head))
    }

    /// Dead and parked events, at most `limit` and (but for the first) [`PAGE_BYTES`].
    pub(crate) async fn dead(
        &self,
        query: DeadQuery,
    ) -> Result<(Vec<(ShardId, DeadEvent)>, DeadCursor), ApiError> {
        let limit = usize::try_from(query.limit).unwrap_or(1);
        let (mut at, mut rows, mut bytes) = (query.after, Vec::new(), 0);
        while rows.len() < limit {
            let want = u32::try_from(limit - rows.len()).unwrap_or(u32::MAX).min(EVENTS_MAX);
            let page = self.deps.reader.dead_after(ENDPOINT, (at.shard, at.seq), want).await;
            let page = page.map_err(|error| database(&error))?;
            let last = page.len() < usize::try_from(want).unwrap_or(usize::MAX);
            for (shard, row) in page {
                bytes += i64::try_from(row.event.body.len()).unwrap_or(i64::MAX);
                if bytes > PAGE_BYTES && !rows.is_empty() {
                    return Ok((rows, at));
                }
                at = DeadCursor { shard, seq: row.seq };
                rows.push((shard, row));
            }
            if last {
                break;
            }
        }
        Ok((rows, at))
    }

    /// What an event is POSTed under.
    pub(crate) fn id(&self, shard: ShardId, seq: i64) -> String {
        format!("{}.{shard}.{seq}", self.deps.generations.of(shard, seq))
    }

    async fn bodies(&self, picks: &[Mark]) -> Result<Vec<Event>, ApiError> {
        let at: Vec<_> = picks.iter().map(|mark| (mark.shard, mark.seq)).collect();
        let events = self.deps.reader.events_at(&at).await.map_err(|error| database(&error))?;
        let mut events: HashMap<_, _> =
            events.into_iter().map(|event| ((event.shard, event.seq), event)).collect();
        Ok(at.iter().filter_map(|place| events.remove(place)).collect())
    }

    /// Where the reading begins, if everything behind that is still there.
    fn begin(&self, after: Option<Position>, reaches: &[Reach]) -> Result<Position, ApiError> {
        let oldest = self.oldest(reaches);
        let Some(after) = after else { return Ok(oldest) };
        let why = if after.generation() != oldest.generation() {
            "The cursor is from before the database was restored"
        } else if reaches.iter().any(|reach| after.of(reach.shard) < reach.floor) {
            "The cursor is from before the oldest event that is kept"
        } else if reaches.iter().any(|reach| after.of(reach.shard) > reach.head) {
            "The cursor is from a log that went further than this one"
        } else {
            return Ok(after);
        };
        let details = format!("Parameter 'after': {why}; the oldest valid cursor is {oldest}");
        Err(ApiError::new(Code::NOT_FOUND, details).with_status(410))
    }

    fn oldest(&self, reaches: &[Reach]) -> Position {
        let mut oldest = Position::start(self.deps.generations.current());
        for reach in reaches {
            oldest.set(reach.shard, reach.floor);
        }
        oldest
    }
}

/// The database does not answer.
pub(super) fn database(error: &StoreError) -> ApiError {
    ApiError::new(Code::DATABASE, error.to_string())
}
