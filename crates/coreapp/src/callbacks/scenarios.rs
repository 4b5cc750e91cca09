//! The machine step by step: what a simulation meets too seldom to be relied on.

use std::sync::Arc;

use bytes::Bytes;
use contract::{Rng, Route, ShardId};
use store::rows::{DeadEvent, DeadState, Event, NewEvent, Tried};

use super::{
    breaker::Change,
    holes::Hole,
    machine::{Input, Machine, Output},
    parking::Filing,
    schedule::{Outcome, Pace},
    shared::{Now, Spot},
};

const UNIX_MS: i64 = 1_700_000_000_000;
const WEEK_MS: i64 = 7 * 86_400_000;
const BUSY: Outcome = Outcome::Refused { status: 500, retry_after_ms: None };

struct Zeros;

impl Rng for Zeros {
    fn fill(&self, out: &mut [u8]) {
        out.fill(0);
    }
}

fn shard() -> ShardId {
    ShardId::new(0).unwrap()
}

/// Event `seq` of a conversation.
fn event(seq: i64, conversation: i64) -> Event {
    let event = NewEvent {
        kind: 1,
        route: Route::from_i64(conversation),
        key: None,
        held: false,
        created_ms: UNIX_MS,
        body: Bytes::from_static(b"{}"),
        trace: None,
    };
    Event { shard: shard(), seq, event }
}

struct Bench {
    machine: Machine,
    now: u64,
}

/// What a step led to.
#[derive(Default, Debug)]
struct Step {
    posts: Vec<Spot>,
    /// Lease, after, limit.
    pages: Vec<(u64, i64, u32)>,
    changes: Vec<Change>,
    dead: u64,
    parked: u64,
    missing: u64,
    filings: Vec<(i64, Filing)>,
}

impl Step {
    fn seqs(&self) -> Vec<i64> {
        self.posts.iter().map(|spot| spot.seq).collect()
    }
}

impl Bench {
    fn new(read_to: i64, holes: Vec<Hole>, head: i64) -> Self {
        let pace = Pace {
            concurrency: 6,
            step_ms: 3_000,
            cap_ms: 900_000,
            max_age_ms: WEEK_MS,
            batch_max: 1,
        };
        let mut bench = Self { machine: Machine::new(pace, Arc::new(Zeros)), now: 0 };
        bench.tell(Input::Transmit(true));
        bench.tell(Input::Attach { shard: shard(), epoch: 1, read_to, holes, head });
        // Nothing is parked.
        bench.at(0);
        bench.parked(Vec::new());
        bench
    }

    fn clock(&self) -> Now {
        Now { ms: self.now, unix_ms: UNIX_MS + i64::try_from(self.now).unwrap() }
    }

    fn tell(&mut self, input: Input) {
        let now = self.clock();
        self.machine.input(input, now);
    }

    fn commit(&mut self, seq: i64, conversation: i64) {
        self.tell(Input::Committed(event(seq, conversation)));
    }

    fn finish(&mut self, spot: Spot, outcome: Outcome) {
        self.tell(Input::Finished { spot, more: Vec::new(), outcome });
    }

    fn at(&mut self, now: u64) -> Step {
        self.now = now;
        let mut step = Step::default();
        let mut out = Vec::new();
        self.machine.outputs(self.clock(), &mut out);
        for output in out {
            match output {
                Output::Post(post) => step.posts.push(post.spot),
                Output::ReadPage { lease, after, limit, .. } => {
                    step.pages.push((lease, after, limit));
                }
                Output::Breaker(change) => step.changes.push(change),
                Output::GivenUp { parked, dead, missing } => {
                    step.parked += parked;
                    step.dead += dead;
                    step.missing += missing;
                }
                Output::SaveCursor { cursor, .. } => step.filings.extend(cursor.filings),
                Output::ReadParked { .. } | Output::Released { .. } => {}
            }
        }
        step
    }

    fn parked(&mut self, rows: Vec<DeadEvent>) {
        self.tell(Input::Parked { shard: shard(), lease: 1, rows: Some(rows) });
    }

    fn page(&mut self, lease: u64, events: Vec<Event>) {
        self.tell(Input::Page { shard: shard(), lease, events: Some(events) });
    }
}

#[test]
fn a_page_read_before_a_commit_does_not_hide_what_was_committed() {
    let mut bench = Bench::new(0, Vec::new(), 3);
    let (lease, after, limit) = bench.at(0).pages[0];
    assert_eq!((after, limit), (0, 3));
    bench.tell(Input::Head { shard: shard(), head: 4 });
    // Row 2 is gone; row 4 was not there yet.
    bench.page(lease, vec![event(1, 1), event(3, 3)]);
    let step = bench.at(1);
    assert_eq!(step.seqs(), [1, 3]);
    assert_eq!(step.pages, [(lease, 3, 1)]);
}

#[test]
fn events_in_memory_do_not_overtake_the_holes_of_the_cursor() {
    let holes = vec![Hole { seq: 5, tries: 2 }, Hole { seq: 8, tries: 0 }];
    let mut bench = Bench::new(9, holes, 9);
    bench.commit(10, 1);
    bench.commit(11, 2);
    let step = bench.at(0);
    assert!(step.posts.is_empty());
    let (lease, after, limit) = step.pages[0];
    assert_eq!((after, limit), (4, 4));
    // Event 8 does not exist any more.
    bench.page(lease, vec![event(5, 1), event(6, 3), event(7, 3)]);
    let step = bench.at(1);
    assert_eq!((step.seqs(), step.missing), (vec![5, 11], 1));
    bench.finish(step.posts[0], Outcome::Delivered);
    assert_eq!(bench.at(2).seqs(), [10]);
}

#[test]
fn a_permanent_refusal_lets_the_next_of_the_conversation_go() {
    let mut bench = Bench::new(0, Vec::new(), 0);
    bench.commit(1, 1);
    bench.commit(2, 1);
    bench.commit(3, 1);
    let first = bench.at(0).posts[0];
    bench.finish(first, Outcome::Refused { status: 404, retry_after_ms: None });
    let step = bench.at(10);
    assert_eq!(step.seqs(), [2], "but one after the other");
    // The retry comes due while event 2 is in flight, and takes its turn before event 3.
    assert!(bench.at(3_010).posts.is_empty());
    bench.finish(step.posts[0], Outcome::Delivered);
    assert_eq!(bench.at(3_020).seqs(), [1]);
}

#[test]
fn an_event_holds_its_conversation_up_for_a_minute_at_most() {
    let mut bench = Bench::new(0, Vec::new(), 0);
    bench.commit(1, 1);
    bench.commit(2, 1);
    let post = bench.at(0).posts[0];
    let patient = Outcome::Refused { status: 503, retry_after_ms: Some(600_000) };
    bench.finish(post, patient);
    assert!(bench.at(59_999).posts.is_empty());
    assert_eq!(bench.at(60_000).seqs(), [2]);
}

#[test]
fn five_tries_spend_a_hold() {
    let mut bench = Bench::new(0, Vec::new(), 0);
    bench.commit(1, 1);
    bench.commit(2, 1);
    let mut now = 0;
    for tries in 1..=5 {
        let step = bench.at(now);
        assert_eq!(step.seqs(), [1]);
        bench.finish(step.posts[0], BUSY);
        now += tries * 3_000;
    }
    assert_eq!(bench.at(now - 14_999).seqs(), [2]);
}

#[test]
fn after_five_refusals_an_event_is_parked_with_the_cursor_and_tried_at_the_cap() {
    let mut bench = Bench::new(0, Vec::new(), 0);
    bench.commit(1, 1);
    let mut now = 0;
    for tries in 1..=5 {
        let step = bench.at(now);
        bench.finish(step.posts[0], BUSY);
        now += tries * 3_000;
    }
    let parked_at = now - 15_000;
    let step = bench.at(parked_at);
    assert_eq!((step.parked, bench.machine.backlog(), bench.machine.parked()), (1, 1, 1));
    let [(1, Filing::Put(row))] = &step.filings[..] else { panic!("{step:?}") };
    assert_eq!((row.state, row.tries), (DeadState::Parked, 5));
    let second = |ms: u64| (UNIX_MS + i64::try_from(ms).unwrap()).div_euclid(1_000);
    let Outcome::Refused { status, .. } = BUSY else { panic!("a status") };
    let tried = Tried { why: status.cast_signed(), first_s: second(0), last_s: second(30_000) };
    assert_eq!(row.tried, tried);
    assert_eq!(row.due_ms, UNIX_MS + i64::try_from(parked_at).unwrap() + 900_000);
    bench.tell(Input::Saved { shard: shard(), lease: 1, stored: true });

    // Its row is read when it is due; one refusal sends it back.
    assert!(bench.at(parked_at + 899_999).posts.is_empty());
    assert!(bench.at(parked_at + 900_000).posts.is_empty());
    bench.parked(vec![row.clone()]);
    let post = bench.at(parked_at + 900_001).posts[0];
    bench.finish(post, BUSY);
    let step = bench.at(parked_at + 900_002);
    let [(1, Filing::Put(again))] = &step.filings[..] else { panic!("{step:?}") };
    assert_eq!((again.tries, again.due_ms > row.due_ms), (6, true));
    let last_s = second(parked_at + 900_001);
    assert_eq!(again.tried, Tried { last_s, ..tried }, "the first try is remembered");
    bench.tell(Input::Saved { shard: shard(), lease: 1, stored: true });

    bench.at(parked_at + 1_800_002);
    bench.parked(vec![again.clone()]);
    let post = bench.at(parked_at + 1_800_003).posts[0];
    bench.finish(post, Outcome::Delivered);
    let step = bench.at(parked_at + 1_800_004);
    assert!(matches!(step.filings[..], [(1, Filing::Delete)]), "{step:?}");
    assert_eq!(bench.machine.parked(), 0);
}

#[test]
fn the_first_success_after_ten_refusals_makes_parked_events_due() {
    let mut bench = Bench::new(0, Vec::new(), 0);
    bench.commit(1, 1);
    bench.commit(2, 2);
    // Two conversations do not tell that the endpoint is down.
    let (mut now, mut rows) = (0, Vec::new());
    for tries in 1..=5 {
        let step = bench.at(now);
        assert_eq!((step.seqs(), step.changes), (vec![1, 2], vec![]));
        for post in step.posts {
            bench.finish(post, BUSY);
        }
        now += tries * 3_000;
    }
    let step = bench.at(now);
    for (seq, filing) in step.filings {
        let Filing::Put(row) = filing else { panic!("{seq} is not parked") };
        rows.push(row);
    }
    assert_eq!(rows.len(), 2);
    bench.tell(Input::Saved { shard: shard(), lease: 1, stored: true });

    bench.commit(3, 3);
    let post = bench.at(now + 1).posts[0];
    assert_eq!(post.seq, 3);
    bench.finish(post, Outcome::Delivered);
    bench.at(now + 2);
    bench.parked(rows);
    let mut again = bench.at(now + 3).seqs();
    again.sort_unstable();
    assert_eq!(again, [1, 2]);
}

#[test]
fn parked_events_that_keep_being_refused_do_not_take_the_endpoint_down() {
    let mut bench = Bench::new(0, Vec::new(), 0);
    let rows = (1..=20).map(|seq| {
        let event = event(seq, seq).event;
        let (state, tried) = (DeadState::Parked, Tried::default());
        DeadEvent { endpoint: 0, seq, state, due_ms: UNIX_MS, tries: 5, tried, event }
    });
    let rows: Vec<_> = rows.collect();
    bench.tell(Input::Attach { shard: shard(), epoch: 1, read_to: 20, holes: vec![], head: 20 });
    bench.at(0);
    bench.tell(Input::Parked { shard: shard(), lease: 2, rows: Some(rows.clone()) });
    let mut refused = 0;
    for now in 1..200 {
        let step = bench.at(now);
        assert!(step.changes.is_empty());
        for post in step.posts {
            bench.finish(post, BUSY);
            refused += 1;
        }
        bench.tell(Input::Parked { shard: shard(), lease: 2, rows: Some(rows.clone()) });
    }
    assert_eq!(refused, 20);
}

#[test]
fn a_save_that_failed_takes_its_parked_events_along_next_time() {
    let mut bench = Bench::new(0, Vec::new(), 0);
    bench.commit(1, 1);
    bench.now = WEEK_MS.unsigned_abs() + 1;
    let step = bench.at(bench.now);
    assert_eq!(step.filings.len(), 1);
    bench.tell(Input::Saved { shard: shard(), lease: 1, stored: false });
    let again = bench.at(bench.now + 1_000).filings;
    let [(1, Filing::Put(row))] = &again[..] else { panic!("{again:?}") };
    assert_eq!(row.state, DeadState::Dead);
}

#[test]
fn when_the_endpoint_is_back_all_that_waits_is_due_but_what_asked_for_time() {
    let mut bench = Bench::new(0, Vec::new(), 0);
    for seq in 1..=6 {
        bench.commit(seq, seq);
    }
    let posts = bench.at(0).posts;
    bench.finish(posts[0], Outcome::Refused { status: 429, retry_after_ms: Some(100_000) });
    for post in &posts[1..] {
        bench.finish(*post, Outcome::Unreachable);
    }
    let step = bench.at(1);
    assert_eq!((step.changes, step.posts.len()), (vec![Change::Down], 0));
    assert!(bench.at(2_999).posts.is_empty());

    // One probe at a time, each time of another event.
    let mut probed = Vec::new();
    for now in [3_000, 9_000] {
        let step = bench.at(now);
        probed.extend(step.seqs());
        bench.finish(step.posts[0], Outcome::Unreachable);
        assert!(bench.at(now + 1).posts.is_empty());
    }
    let probe = bench.at(18_000).posts[0];
    probed.push(probe.seq);
    assert_eq!(probed, [2, 3, 4]);
    bench.finish(probe, Outcome::Delivered);
    let mut delivered = Vec::new();
    let mut step = bench.at(18_001);
    assert_eq!(step.changes, [Change::Up { down_ms: 18_000 }]);
    assert_eq!(step.posts.len(), 1, "slowly");
    while let Some(post) = step.posts.pop() {
        delivered.push(post.seq);
        bench.finish(post, Outcome::Delivered);
        step.posts.extend(bench.at(18_002).posts);
    }
    delivered.sort_unstable();
    assert_eq!(delivered, [2, 3, 5, 6]);
    assert!(bench.at(99_999).posts.is_empty());
    assert_eq!(bench.at(100_000).seqs(), [1]);
}

#[test]
fn what_is_too_old_is_a_dead_letter_and_counted() {
    let mut bench = Bench::new(0, Vec::new(), 0);
    bench.commit(1, 1);
    let post = bench.at(0).posts[0];
    bench.finish(post, Outcome::Refused { status: 500, retry_after_ms: None });
    bench.commit(2, 1);
    bench.now = WEEK_MS.unsigned_abs() + 1;
    let step = bench.at(bench.now);
    assert_eq!((step.dead, step.posts.len()), (2, 0));
    assert_eq!(bench.machine.backlog(), 0);
    for (seq, filing) in bench.at(bench.now + 200).filings.iter().chain(&step.filings) {
        let Filing::Put(row) = filing else { panic!("{filing:?}") };
        assert_eq!((row.seq, row.state), (*seq, DeadState::Dead));
    }
}

#[test]
fn an_event_waits_for_its_media_and_its_conversation_with_it() {
    let mut bench = Bench::new(0, Vec::new(), 0);
    let mut held = event(1, 1);
    held.event.held = true;
    bench.tell(Input::Committed(held.clone()));
    bench.commit(2, 1);
    bench.commit(3, 2);
    assert_eq!(bench.at(0).seqs(), [3]);
    let (lease, after, limit) = bench.at(1_000).pages[0];
    assert_eq!((after, limit), (0, 1));
    bench.page(lease, vec![held]);
    assert!(bench.at(1_500).pages.is_empty());
    assert_eq!(bench.at(2_000).pages.len(), 1);
    bench.page(lease, vec![event(1, 1)]);
    assert_eq!(bench.at(2_001).seqs(), [1]);
}

#[test]
fn an_event_that_is_let_go_does_not_wait_for_the_next_look() {
    let mut bench = Bench::new(0, Vec::new(), 0);
    let mut held = event(1, 1);
    held.event.held = true;
    bench.tell(Input::Committed(held));
    assert!(bench.at(0).pages.is_empty());
    bench.tell(Input::LetGo { shard: shard(), seq: 1 });
    let (lease, after, limit) = bench.at(10).pages[0];
    assert_eq!((after, limit), (0, 1));
    bench.page(lease, vec![event(1, 1)]);
    assert_eq!(bench.at(11).seqs(), [1]);
    // Whoever is told twice, or of what is gone, does nothing.
    bench.tell(Input::LetGo { shard: shard(), seq: 1 });
    bench.tell(Input::LetGo { shard: shard(), seq: 99 });
    assert!(bench.at(12).pages.is_empty());
}

#[test]
fn what_was_held_at_its_commit_is_read_again_however_old_it_is() {
    let mut bench = Bench::new(0, Vec::new(), 0);
    let mut held = event(1, 1);
    held.event.held = true;
    held.event.created_ms = UNIX_MS - 60_000;
    bench.tell(Input::Committed(held.clone()));
    let step = bench.at(0);
    assert!(step.seqs().is_empty(), "its row may have another body by now");
    let (lease, ..) = step.pages.first().copied().unwrap_or_else(|| bench.at(1).pages[0]);
    bench.page(lease, vec![held]);
    assert_eq!(bench.at(2).seqs(), [1], "nobody lets it go any more");
}
