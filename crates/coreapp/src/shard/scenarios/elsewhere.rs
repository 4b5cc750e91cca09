//! A recipient whom the network knows by a number of another shard: the message is handed on.

use super::*;
use crate::shard::elsewhere::NotTaken;

/// Of another shard than [`DIALLED`].
const MOVED_TO: &str = "16315551000";

/// The shard of what is dialled, and the one of the number that the network names.
fn two() -> (World, World) {
    let application = Application::default().patch(br#"{"webhooks":{"message":{"sent":true}}}"#);
    let application = application.unwrap();
    let there = Route::of(&number(MOVED_TO)).shard();
    let (mut from, mut to) = (World::with(&application), World::of(there, &application));
    assert_ne!(from.shard, to.shard);
    from.attach();
    to.attach();
    (from, to)
}

impl World {
    fn taken(&mut self, key: Key, taken: Result<(), NotTaken>) {
        self.turn(|machine, ctx, fx| machine.handed_on(key, taken, ctx, fx));
    }

    /// As the intake of the other shard's owner.
    fn deliver(&mut self, handed: HandedOn) -> Accepted {
        let HandedOn { key, meta, wa_id, message, .. } = handed;
        let (reply, mut answer) = oneshot::channel();
        let frame = Frame {
            key,
            to: meta.to,
            moved_to: Some(wa_id),
            route: Route::of(&wa_id),
            input: meta.input.clone(),
            category: meta.category,
            message,
            idempotent: None,
            attempt: 2,
            deadline: self.now + Duration::from_secs(3),
            trace: None,
            reply: ReplyTo::Once(reply),
        };
        self.turn(|machine, ctx, fx| machine.accept(frame, ctx, fx));
        answer.try_recv().unwrap()
    }

    fn handed(&self) -> Vec<Key> {
        self.handed_on.iter().map(|handed| handed.key).collect()
    }
}

#[tokio::test]
async fn a_message_is_handed_on_once_and_arrives_from_there_under_the_id_it_was_accepted_with() {
    let (mut from, mut to) = two();
    let (key, accepted) = from.send(DIALLED);
    let id = accepted.unwrap().unwrap().id;
    from.network_says(DIALLED, registered(MOVED_TO));
    assert_eq!((from.handed(), from.sent.len()), (vec![key], 0));

    let handed = from.handed_on.remove(0);
    let again = HandedOn { meta: handed.meta.clone(), message: handed.message.clone(), ..handed };
    assert_eq!(to.deliver(handed).unwrap().id, id);
    // The answer was lost.
    assert_eq!(to.deliver(again).unwrap().id, id);
    from.taken(key, Ok(()));
    assert!(from.machine.idle() && from.events.is_empty());

    assert_eq!(to.asked, [number(MOVED_TO)], "what was dialled belongs to the other shard");
    to.network_says(MOVED_TO, registered(MOVED_TO));
    assert_eq!((&to.sent[..], &to.left[..]), (&[key][..], &[Bytes::from_static(TEXT)][..]));
    let sent = Ok(Sent { timestamp_ms: to.now_ms, conversation: None });
    to.turn(|machine, ctx, fx| machine.item(0, Item::Answer { key, result: sent }, ctx, fx));
    assert!(to.machine.idle());
    let told = String::from_utf8_lossy(&to.events[0].body).into_owned();
    assert!(told.contains(&format!(r#""id":"{id}""#)), "{told}");
    assert_eq!(recipients(&to), (MOVED_TO.to_owned(), DIALLED.to_owned()));
    assert_eq!(to.events[0].route, Route::of(&number(MOVED_TO)));
}

#[tokio::test]
async fn what_is_not_taken_is_offered_again_and_what_follows_waits_behind_it() {
    let (mut from, _) = two();
    let (first, _) = from.send(DIALLED);
    let (second, _) = from.send(DIALLED);
    from.network_says(DIALLED, registered(MOVED_TO));
    for n in 1..4 {
        assert_eq!(from.handed(), vec![first; n]);
        from.taken(first, Err(NotTaken::Later));
        from.now += Duration::from_secs(1);
        from.turn(Machine::tick);
    }
    let blocked = ApiError::new(Code::RECIPIENT_BLOCKED, "blocked there");
    from.taken(first, Err(NotTaken::Final(blocked)));
    let failed = from.failures(first);
    assert!(failed.len() == 1 && failed[0].contains("1007"), "{failed:?}");
    assert_eq!(from.handed().last(), Some(&second));
    from.taken(second, Ok(()));
    assert!(from.machine.idle());
    assert_eq!(from.failures(second), [""; 0]);
}

#[tokio::test]
async fn what_is_being_handed_on_can_not_be_cancelled_any_more() {
    let (mut from, _) = two();
    let (key, _) = from.send(DIALLED);
    from.network_says(DIALLED, registered(MOVED_TO));
    let (reply, mut answer) = oneshot::channel();
    from.turn(|machine, ctx, fx| machine.cancel(key, reply, ctx, fx));
    assert_eq!(answer.try_recv().unwrap().unwrap_err().status(), 409);
    from.taken(key, Ok(()));
    assert!(from.machine.idle());
}

#[tokio::test]
async fn what_was_handed_on_goes_no_further() {
    let (mut from, mut to) = two();
    let (key, _) = from.send(DIALLED);
    from.network_says(DIALLED, registered(MOVED_TO));
    to.deliver(from.handed_on.remove(0)).unwrap();
    to.network_says(MOVED_TO, registered(DIALLED));
    assert_eq!((to.sent, to.handed_on.len()), (vec![key], 0));
}
