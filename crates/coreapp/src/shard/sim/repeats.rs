//! Repeated requests and messages that are taken back, one situation a test. The histories of `sim`
//! mix them with everything else.

use contract::idempotency::KEPT_MS;

use super::*;
use crate::shard::effects::Acceptance;

const NAME: KeyHash = [7; 16];

struct Clients {
    world: World,
    asked: u8,
}

type Answer<T> = oneshot::Receiver<Result<T, ApiError>>;

impl Clients {
    fn new() -> Self {
        Self { world: World::new(1, Sealing::Plain, 0), asked: 0 }
    }

    /// Asks under a fresh key, as each request of a client does.
    fn ask(&mut self, text: &str, name: Option<KeyHash>) -> Answer<Acceptance> {
        self.asked += 1;
        let key = Key::from_bytes(&[self.asked; 9]).unwrap();
        self.ask_under(key, text, name)
    }

    fn ask_under(&mut self, key: Key, text: &str, name: Option<KeyHash>) -> Answer<Acceptance> {
        let (reply, answer) = oneshot::channel();
        let to = number(1);
        let frame = Frame {
            key,
            to,
            moved_to: None,
            route: Route::of(&to),
            input: to.to_string(),
            category: Category::Text,
            message: Bytes::from(format!(r#"{{"type":"text","text":{{"body":"{text}"}}}}"#)),
            attempt: 1,
            deadline: self.world.now + Duration::from_secs(10),
            idempotent: name,
            trace: None,
            reply: ReplyTo::Once(reply),
        };
        self.world.turn(|machine, ctx, fx| machine.accept(frame, ctx, fx));
        answer
    }

    fn accepted(&mut self, text: &str, name: Option<KeyHash>) -> Accepted {
        let mut answer = self.ask(text, name);
        self.world.catch_up();
        answer.try_recv().unwrap()
    }

    fn cancel(&mut self, key: Key) -> Answer<()> {
        let (reply, answer) = oneshot::channel();
        self.world.turn(|machine, ctx, fx| machine.cancel(key, reply, ctx, fx));
        answer
    }

    /// 200, or the status of the refusal.
    fn cancelled(&mut self, key: Key) -> u16 {
        let mut answer = self.cancel(key);
        self.world.catch_up();
        status(&mut answer)
    }
}

fn status<T>(answer: &mut Answer<T>) -> u16 {
    answer.try_recv().unwrap().err().map_or(200, |error| error.status())
}

#[test]
fn a_key_stands_for_its_message_for_a_day_and_no_longer() {
    let mut clients = Clients::new();
    let first = clients.accepted("one", Some(NAME)).unwrap();
    assert!(!first.replayed);
    clients.world.come_to_rest();
    for later in [0, KEPT_MS / 2, KEPT_MS / 2 - 1] {
        clients.world.now_ms += later;
        let again = clients.accepted("one", Some(NAME)).unwrap();
        assert_eq!((again.id, again.replayed), (first.id, true));
        assert_eq!(clients.accepted("two", Some(NAME)).unwrap_err().status(), 409);
    }
    clients.world.now_ms += 1;
    let next = clients.accepted("two", Some(NAME)).unwrap();
    assert_ne!(next.id, first.id);
    assert!(!next.replayed);
    let again = clients.accepted("two", Some(NAME)).unwrap();
    assert_eq!((again.id, again.replayed), (next.id, true));
    assert_eq!(clients.world.tables.messages.len(), 2);
}

#[test]
fn a_row_written_by_a_clock_ahead_of_ours_counts() {
    let mut clients = Clients::new();
    // Just before midnight.
    clients.world.now_ms = KEPT_MS * 20_000 + 1_000;
    let first = clients.accepted("one", Some(NAME)).unwrap();
    clients.world.now_ms -= 2_000;
    clients.world.crash();
    assert_eq!(clients.accepted("one", Some(NAME)).unwrap().id, first.id);
}

#[test]
fn requests_of_one_name_that_come_while_the_first_is_stored_join_it() {
    let mut clients = Clients::new();
    let mut answers: Vec<_> = (0..100).map(|_| clients.ask("one", Some(NAME))).collect();
    let mut other = clients.ask("two", Some(NAME));
    let mut unnamed = clients.ask("one", None);
    clients.world.catch_up();
    let first = answers[0].try_recv().unwrap().unwrap();
    assert!(!first.replayed);
    for answer in &mut answers[1..] {
        let joined = answer.try_recv().unwrap().unwrap();
        assert_eq!((joined.id, joined.replayed), (first.id, true));
    }
    assert_eq!(status(&mut other), 409);
    assert_ne!(unnamed.try_recv().unwrap().unwrap().id, first.id);
    assert_eq!(clients.world.tables.messages.len(), 2);
}

#[test]
fn the_next_owner_knows_what_a_name_stands_for() {
    let mut clients = Clients::new();
    let first = clients.accepted("one", Some(NAME)).unwrap();
    clients.world.crash();
    let again = clients.accepted("one", Some(NAME)).unwrap();
    assert_eq!((again.id, again.replayed), (first.id, true));
    // The same request, repeated on its way: no replay in the client's sense.
    let mut answer = clients.ask_under(first.id.key, "one", Some(NAME));
    clients.world.catch_up();
    let repeated = answer.try_recv().unwrap().unwrap();
    assert_eq!((repeated.id, repeated.replayed), (first.id, false));
    assert_eq!(clients.accepted("two", Some(NAME)).unwrap_err().status(), 409);
}

#[test]
fn a_message_is_taken_back_until_it_is_sealed_and_whoever_asks_again_hears_the_same() {
    let mut clients = Clients::new();
    let [taken_back, sent] =
        ["one", "two"].map(|text| clients.accepted(text, None).unwrap().id.key);
    assert_eq!(clients.cancelled(taken_back), 200);
    assert_eq!(clients.cancelled(taken_back), 200);
    clients.world.crash();
    assert_eq!(clients.cancelled(taken_back), 200, "the next owner knows");
    clients.world.come_to_rest();
    assert_eq!(clients.world.delivered(), [sent]);
    assert_eq!(clients.cancelled(sent), 409);
    assert_eq!(clients.cancelled(Key::from_bytes(&[99; 9]).unwrap()), 404);
}

#[test]
fn a_message_that_is_being_stored_is_taken_back_when_it_is() {
    let mut clients = Clients::new();
    let mut accepted = clients.ask("one", None);
    let mut answer = clients.cancel(Key::from_bytes(&[1; 9]).unwrap());
    clients.world.come_to_rest();
    assert!(accepted.try_recv().unwrap().is_ok());
    assert_eq!(status(&mut answer), 200);
    assert!(clients.world.delivered().is_empty());
}

#[test]
fn a_cancellation_that_was_not_committed_did_not_happen() {
    let mut clients = Clients::new();
    let key = clients.accepted("one", None).unwrap().id.key;
    let mut answer = clients.cancel(key);
    assert!(answer.try_recv().is_err(), "not before its commit");
    clients.world.start_again();
    clients.world.come_to_rest();
    assert_eq!(clients.world.delivered(), [key]);
    assert_eq!(clients.cancelled(key), 409);
}
