//! All replays that are known, and what of them is kept in the `config` row `replays`. No I/O.
//!
//! One runs at a time, in the order of asking. The row is written when one is asked for, stopped or
//! ended, and now and then between: a restart goes on from there and sends a few events once more.

use contract::{
    ApiError, Code, Route,
    events::{DeadCursor, Position, Progress, ReplayRequest, State},
};
use serde::{Deserialize, Serialize};
use store::{Mark, rows::NewEvent};

/// Replays that run or wait; more are refused with 429/1015.
pub(super) const ACTIVE_MAX: usize = 8;
/// Ended ones that are remembered; then the oldest is forgotten.
const ENDED_MAX: usize = 32;
/// When another may be asked for: an ordinary one ends within minutes.
const RETRY_MS: u64 = 60_000;
/// Of the row.
const SCHEMA: u32 = 1;

/// See the module.
#[derive(Default)]
pub(super) struct Book {
    /// In the order of asking.
    entries: Vec<Entry>,
}

/// One replay.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) progress: Progress,
    pub(super) wanted: Wanted,
    pub(super) source: Source,
}

/// Where its events come from, and how far it has come.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Source {
    Log { at: Box<Position>, until: Box<Position> },
    Dead { at: DeadCursor },
}

/// Which of them are sent.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Wanted {
    from_s: Option<u32>,
    to_s: Option<u32>,
    kind: Option<i16>,
    route: Option<i64>,
}

/// What is stored. A newer version's is not read: its replays are then not gone on with.
#[derive(Serialize, Deserialize)]
struct Row<E> {
    schema: u32,
    replays: E,
}

/// What became of an event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Sent,
    Failed,
    Pending,
}

// === impl Book ===

impl Book {
    /// As it was stored. `None`: not readable.
    pub(super) fn read(document: &[u8]) -> Option<Self> {
        let row: Row<Vec<Entry>> = serde_json::from_slice(document).ok()?;
        (row.schema == SCHEMA).then_some(Self { entries: row.replays })
    }

    /// To be stored.
    pub(super) fn document(&self) -> Vec<u8> {
        serde_json::to_vec(&Row { schema: SCHEMA, replays: &self.entries }).unwrap_or_default()
    }

    /// Takes another one in.
    ///
    /// # Errors
    /// 429/1015 at [`ACTIVE_MAX`].
    pub(super) fn add(&mut self, entry: Entry) -> Result<(), ApiError> {
        if self.entries.iter().filter(|entry| entry.is_active()).count() >= ACTIVE_MAX {
            let details = format!("{ACTIVE_MAX} replays run or wait already: wait, or cancel one");
            let error = ApiError::new(Code::TOO_MANY_REQUESTS, details);
            return Err(error.retry_after_ms(RETRY_MS));
        }
        while self.entries.len() >= ACTIVE_MAX + ENDED_MAX {
            let Some(oldest) = self.entries.iter().position(|entry| !entry.is_active()) else {
                break;
            };
            self.entries.remove(oldest);
        }
        self.entries.push(entry);
        Ok(())
    }

    /// It could not be stored.
    pub(super) fn remove(&mut self, id: &str) {
        self.entries.retain(|entry| entry.progress.id != id);
    }

    pub(super) fn get(&self, id: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.progress.id == id)
    }

    /// The one that runs, or the next to run, which runs from now on.
    pub(super) fn next(&mut self) -> Option<Entry> {
        let entry = self.entries.iter_mut().find(|entry| entry.is_active())?;
        entry.progress.state = State::Running;
        Some(entry.clone())
    }

    pub(super) fn is_running(&self, id: &str) -> bool {
        self.get(id).is_some_and(|entry| entry.progress.state == State::Running)
    }

    /// Ends it, unless it has ended. Tells whether that changed something.
    pub(super) fn end(&mut self, id: &str, state: State) -> bool {
        let active = |entry: &&mut Entry| entry.progress.id == id && entry.is_active();
        let Some(entry) = self.entries.iter_mut().find(active) else { return false };
        entry.progress.state = state;
        true
    }

    /// An event of it is done with.
    pub(super) fn count(&mut self, id: &str, fate: Fate) {
        let Some(entry) = self.entry(id) else { return };
        let progress = &mut entry.progress;
        *match fate {
            Fate::Sent => &mut progress.sent,
            Fate::Failed => &mut progress.failed,
            Fate::Pending => &mut progress.pending,
        } += 1;
    }

    /// It has come that far.
    pub(super) fn reached(&mut self, id: &str, source: Source) {
        if let Some(entry) = self.entry(id) {
            entry.source = source;
        }
    }

    fn entry(&mut self, id: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.progress.id == id)
    }
}

// === impl Entry ===

impl Entry {
    fn is_active(&self) -> bool {
        matches!(self.progress.state, State::Running | State::Queued)
    }
}

// === impl Wanted ===

impl Wanted {
    pub(super) fn of(request: &ReplayRequest) -> Self {
        Self {
            from_s: request.from_s,
            to_s: request.to_s,
            kind: request.kind.map(contract::callback::EventKind::get),
            route: request.number.as_ref().map(|number| Route::of(number).to_i64()),
        }
    }

    pub(super) fn marks(&self, mark: &Mark) -> bool {
        self.takes(mark.kind, mark.route, mark.created_ms)
    }

    pub(super) fn takes_event(&self, event: &NewEvent) -> bool {
        self.takes(event.kind, event.route, event.created_ms)
    }

    fn takes(&self, kind: i16, route: Route, created_ms: i64) -> bool {
        let second = created_ms.div_euclid(1_000);
        self.kind.is_none_or(|wanted| wanted == kind)
            && self.route.is_none_or(|wanted| wanted == route.to_i64())
            && self.from_s.is_none_or(|from| second >= from.into())
            && self.to_s.is_none_or(|to| second < to.into())
    }
}

#[cfg(test)]
mod tests {
    use contract::{Number, ShardId};

    use super::*;

    fn entry(id: usize) -> Entry {
        let request = ReplayRequest::parse(br#"{"from":10,"to":20,"number":"4915112345678"}"#);
        let request = request.unwrap();
        Entry {
            progress: Progress {
                id: id.to_string(),
                state: State::Queued,
                estimate: 9,
                sent: 0,
                failed: 0,
                pending: 0,
                rate: request.rate,
                created: 1,
            },
            wanted: Wanted::of(&request),
            source: Source::Log {
                at: Box::new(Position::start(1)),
                until: Box::new(Position::start(1)),
            },
        }
    }

    #[test]
    fn one_runs_at_a_time_and_no_more_than_a_few_wait() {
        let mut book = Book::default();
        for id in 0..ACTIVE_MAX {
            book.add(entry(id)).unwrap();
        }
        let error = book.add(entry(99)).unwrap_err();
        assert_eq!((error.code, error.status()), (Code::TOO_MANY_REQUESTS, 429));
        assert_eq!(book.next().map(|entry| entry.progress.id), Some("0".to_owned()));
        assert!(book.is_running("0") && !book.is_running("1"));
        assert!(book.end("0", State::Cancelled) && !book.end("0", State::Done), "it has ended");
        assert_eq!(book.next().map(|entry| entry.progress.id), Some("1".to_owned()));
        book.add(entry(99)).unwrap();
        for id in 100..200 {
            book.end(&(id - 1).to_string(), State::Done);
            book.add(entry(id)).unwrap();
        }
        assert_eq!(book.entries.len(), ACTIVE_MAX + ENDED_MAX);
        assert!(book.get("1").is_some() && book.get("100").is_none(), "ended ones are forgotten");
    }

    #[test]
    fn what_is_stored_goes_on_where_it_was() {
        let mut book = Book::default();
        book.add(entry(1)).unwrap();
        book.next();
        book.count("1", Fate::Sent);
        let mut at = Position::start(1);
        at.set(ShardId::CONTROL, 7);
        book.reached("1", Source::Log { at: Box::new(at), until: Box::new(at) });
        let mut read = Book::read(&book.document()).unwrap();
        let again = read.next().unwrap();
        assert_eq!((again.progress.sent, again.progress.state), (1, State::Running));
        assert!(matches!(again.source, Source::Log { at: found, .. } if *found == at));
        assert!(Book::read(b"{}").is_none());
        assert!(Book::read(br#"{"schema":2,"replays":[]}"#).is_none());
    }

    #[test]
    fn only_what_was_asked_for_is_wanted() {
        let wanted = entry(1).wanted;
        let route = Route::of(&Number::parse("4915112345678").unwrap());
        let within = [9_999, 10_000, 19_999, 20_000].map(|ms| wanted.takes(1, route, ms));
        assert_eq!(within, [false, true, true, false]);
        assert!(!wanted.takes(1, Route::from_i64(3), 10_000));
    }
}
