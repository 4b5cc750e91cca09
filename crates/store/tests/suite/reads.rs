//! Reading back what was written.

use std::collections::HashMap;

use bytes::Bytes;
use contract::{Number, Route, TraceContext};
use store::{
    Found, Read, ReadRequest,
    rows::{
        Blocked, Config, Contact, Cursor, DeadEvent, DeadState, Identity, Inbound, Job, Message,
        NewEvent, OwnKey, Revoked, Session, User,
    },
    write::{Op, WriteError},
};
use tokio::sync::mpsc;

use crate::{
    database::Database,
    member::{
        Member, dead_event, dead_events, event, identity, job, key, log, look_up, message, number,
        outbox, own_key, peer, session, shard,
    },
    on_every_engine,
};

on_every_engine!(
    every_row_is_read_back_as_it_was_written,
    look_ups_are_answered_each_with_its_token,
    a_read_that_is_given_up_spoils_no_other,
    a_traced_message_is_known_by_whatever_is_told_of_it,
    a_blocked_number_stays_so_until_its_row_goes,
    the_latest_messages_of_a_customer_come_newest_first,
    sessions_identities_and_own_keys_are_put_replaced_and_deleted,
    control_rows_are_put_replaced_and_deleted,
);

async fn every_row_is_read_back_as_it_was_written(database: &Database) {
    let store = database.open().await;
    let member = Member::join(&store, 1).await;
    let of = member.take(&[shard(26)]).await[0];
    let wa_id = Some(number(77));
    let contacts = [
        Contact { number: number(1), wa_id, checked_ms: 5 },
        Contact { number: Number::from_digits(b"01234").unwrap(), wa_id: None, checked_ms: -1 },
    ];
    let held = NewEvent { key: None, held: true, kind: -1, ..event(Bytes::new()) };
    let cursor = Cursor { endpoint: 3, read_to: 40, holes: vec![0, 255].into() };
    let mut ops = vec![
        Op::InsertMessage(message(1)),
        Op::InsertJob(job(2)),
        Op::InsertJob(job(1)),
        Op::InsertOutbox(outbox(1, 1)),
        Op::InsertOutbox(outbox(1, 0)),
        Op::InsertEvent(event("{\"a\":1}")),
        Op::InsertEvent(held.clone()),
        Op::PutCursor(cursor.clone()),
    ];
    ops.extend(contacts.clone().map(Op::PutContact));
    let committed = member.write(of.id, of.epoch, ops).await.unwrap();
    assert_eq!(committed.first_seq, 1);

    let reader = store.reader();
    let load = reader.load_shard(of.id).await.unwrap();
    assert_eq!(load.jobs, [job(1), job(2)]);
    assert_eq!(load.outbox, [outbox(1, 0), outbox(1, 1)]);
    assert_eq!((load.max_event_seq, load.event_floor), (2, 0));
    assert_eq!(load.cursors, [cursor]);
    assert_eq!(load.next_seq(), 41, "above every cursor");
    let events = log(&store, of.id).await;
    assert_eq!(events.iter().map(|e| &e.event).collect::<Vec<_>>(), [&event("{\"a\":1}"), &held]);
    assert_eq!(reader.events(of.id, 1, 128).await.unwrap(), events[1..]);
    assert_eq!(reader.events(of.id, 0, 1).await.unwrap(), events[..1]);
    assert_eq!(reader.message(of.id, key(1)).await.unwrap(), Some(message(1)));
    assert_eq!(reader.message(shard(27), key(1)).await.unwrap(), None);
    for contact in contacts {
        assert_eq!(reader.contact(of.id, contact.number).await.unwrap(), Some(contact));
    }
    // Nothing of it in the neighbour's shard.
    assert_eq!(reader.load_shard(shard(25)).await.unwrap(), store::ShardLoad::default());
}

async fn a_traced_message_is_known_by_whatever_is_told_of_it(database: &Database) {
    let store = database.open().await;
    let member = Member::join(&store, 1).await;
    let of = member.take(&[shard(26)]).await[0];
    let trace = |n: u64| Some(TraceContext { trace_id: 1 << 127 | u128::from(n), span_id: n });
    let told = |n| NewEvent { key: Some(key(n)), trace: trace(n), ..event("{}") };
    let ops = vec![
        Op::InsertMessage(Message { trace: trace(1), ..message(1) }),
        Op::InsertJob(job(1)),
        Op::InsertMessage(message(2)),
        Op::InsertJob(job(2)),
        Op::InsertEvent(told(1)),
        Op::InsertEvent(NewEvent { trace: None, ..told(2) }),
        Op::PutDeadEvent(DeadEvent { event: told(1), ..dead_event(1) }),
    ];
    member.write(of.id, of.epoch, ops).await.unwrap();
    let reader = store.reader();
    let read = reader.message(of.id, key(1)).await.unwrap().unwrap();
    assert_eq!(read, Message { trace: trace(1), ..message(1) });
    assert_eq!(reader.message(of.id, key(2)).await.unwrap(), Some(message(2)));
    let jobs = reader.load_shard(of.id).await.unwrap().jobs;
    assert_eq!(jobs, [Job { trace: trace(1), ..job(1) }, job(2)]);
    let events = log(&store, of.id).await;
    assert_eq!(events.iter().map(|e| e.event.trace).collect::<Vec<_>>(), [trace(1), None]);
    let parked = dead_events(&store, of.id, DeadState::Parked).await;
    assert_eq!(parked.iter().map(|row| row.event.trace).collect::<Vec<_>>(), [trace(1)]);

    // Whose key is taken is told, traced or not, and leaves nothing behind.
    let again = vec![
        Op::InsertMessage(Message { trace: trace(3), ..message(3) }),
        Op::InsertMessage(Message { trace: trace(9), ..message(1) }),
    ];
    let refused = member.write(of.id, of.epoch, again).await;
    assert_eq!(refused.unwrap_err(), WriteError::Conflict);
    member.write(of.id, of.epoch, vec![Op::InsertMessage(message(3))]).await.unwrap();
    assert_eq!(reader.message(of.id, key(3)).await.unwrap(), Some(message(3)));
    assert_eq!(reader.message(of.id, key(1)).await.unwrap().unwrap().trace, trace(1));

    // It goes with the message, within the same limit.
    let trim = vec![Op::TrimMessages { key: key(3), limit: 100 }];
    member.write(of.id, of.epoch, trim).await.unwrap();
    let anew = vec![Op::InsertMessage(message(1)), Op::InsertMessage(message(2))];
    member.write(of.id, of.epoch, anew).await.unwrap();
    assert_eq!(reader.message(of.id, key(1)).await.unwrap(), Some(message(1)));
}

async fn a_blocked_number_stays_so_until_its_row_goes(database: &Database) {
    let store = database.open().await;
    let member = Member::join(&store, 1).await;
    let of = member.take(&[shard(26)]).await[0];
    let blocked = |n, created_ms| Blocked { number: number(n), created_ms };
    let listed = async || store.reader().load_shard(of.id).await.unwrap().blocked;
    let ops = [blocked(1, 5), blocked(2, 6), blocked(2, 7)].map(Op::PutBlocked);
    member.write(of.id, of.epoch, ops.to_vec()).await.unwrap();
    member.write(of.id, of.epoch, vec![Op::PutBlocked(blocked(1, 8))]).await.unwrap();
    let mut rows = listed().await;
    rows.sort_by_key(|row| row.number);
    assert_eq!(rows, [blocked(1, 8), blocked(2, 7)]);
    let gone = Op::DeleteBlocked(Route::of(&number(1)));
    member.write(of.id, of.epoch, vec![gone]).await.unwrap();
    assert_eq!(listed().await, [blocked(2, 7)]);
    assert_eq!(store.reader().load_shard(shard(27)).await.unwrap().blocked, []);
}

async fn the_latest_messages_of_a_customer_come_newest_first(database: &Database) {
    let store = database.open().await;
    let member = Member::join(&store, 1).await;
    let of = member.take(&[shard(26)]).await[0];
    let peer = Route::of(&number(1));
    let heard = |peer, n, created_ms| Op::InsertInbound(Inbound { peer, key: key(n), created_ms });
    let mut ops: Vec<_> = [(1, 30), (2, 10), (3, 40), (4, 20)]
        .map(|(n, created_ms)| heard(peer, n, created_ms))
        .into();
    ops.push(heard(Route::of(&number(2)), 5, 50));
    member.write(of.id, of.epoch, ops).await.unwrap();
    let reader = store.reader();
    let latest = reader.latest_inbound(of.id, peer, 3).await.unwrap();
    assert_eq!(latest, [(key(3), 40), (key(1), 30), (key(4), 20)]);
    assert_eq!(reader.latest_inbound(shard(27), peer, 3).await.unwrap(), []);
}

async fn look_ups_are_answered_each_with_its_token(database: &Database) {
    let store = database.open().await;
    let member = Member::join(&store, 1).await;
    let claimed = member.take(&[shard(1), shard(2)]).await;
    for of in &claimed {
        let ops = (0..200u64).flat_map(|n| {
            let wa_id = Some(number(n + 1_000));
            let contact = Contact { number: number(n), wa_id, checked_ms: of.id.get().into() };
            let peer = Route::of(&number(n));
            let record = of.id.get().to_be_bytes().to_vec();
            [
                Op::InsertMessage(message(n)),
                Op::PutContact(contact),
                Op::InsertInbound(Inbound { peer, key: key(n), created_ms: 1 }),
                Op::PutSession(session(n, 2, record.clone())),
                Op::PutSession(session(n, 1, record)),
                Op::PutIdentity(identity(n, 1)),
            ]
        });
        member.write(of.id, of.epoch, ops.collect()).await.unwrap();
    }
    let (to, mut answers) = mpsc::unbounded_channel();
    let mut asked = HashMap::new();
    for token in 0..1_000u64 {
        let of = claimed[usize::try_from(token % 2).unwrap()].id;
        // Every second key is there.
        let n = token / 2 % 400;
        let what = match token % 5 {
            0 => Read::Contact(number(n)),
            1 => Read::Peer(number(n)),
            2 => Read::Inbound { peer: Route::of(&number(n)), key: key(n) },
            // The right key, of another peer.
            3 => Read::Inbound { peer: Route::of(&number(n + 1)), key: key(n) },
            _ => Read::Message(key(n)),
        };
        asked.insert(token, (of, what, n < 200));
        store.reader().submit(ReadRequest { shard: of, token, what }, to.clone());
    }
    while !asked.is_empty() {
        for answer in answers.recv().await.unwrap() {
            let (of, what, there) = asked.remove(&answer.token).unwrap();
            assert_eq!(answer.shard, of);
            match (what, answer.result.unwrap()) {
                (Read::Contact(number), Found::Contact(row)) => {
                    let of = there.then(|| (number, i64::from(of.get())));
                    assert_eq!(row.map(|row| (row.number, row.checked_ms)), of);
                }
                (Read::Message(key), Found::Message(row)) => {
                    assert_eq!(row.map(|row| row.key), there.then_some(key));
                }
                (Read::Peer(wa_id), Found::Peer { sessions, identities }) => {
                    let record = of.get().to_be_bytes().to_vec();
                    let expected = [1, 2]
                        .map(|device| Session { wa_id, ..session(0, device, record.clone()) });
                    assert_eq!(sessions, if there { &expected[..] } else { &[] });
                    let expected = [Identity { wa_id, ..identity(0, 1) }];
                    assert_eq!(identities, if there { &expected[..] } else { &[] });
                }
                (Read::Inbound { peer, key: of }, Found::Inbound(found)) => {
                    let own = (0..200).any(|n| key(n) == of && Route::of(&number(n)) == peer);
                    assert_eq!(found, there && own);
                }
                (what, found) => panic!("{what:?} was answered with {found:?}"),
            }
        }
    }
}

/// Whoever asks may go away at any moment; the next one on the connection gets its own answer.
async fn a_read_that_is_given_up_spoils_no_other(database: &Database) {
    let store = database.open().await;
    let member = Member::join(&store, 1).await;
    let of = member.take(&[shard(1)]).await[0];
    let contact =
        |n| Contact { number: number(n), wa_id: None, checked_ms: i64::try_from(n).unwrap() };
    let ops = (0..64).map(|n| Op::PutContact(contact(n)));
    member.write(of.id, of.epoch, ops.collect()).await.unwrap();
    let reader = store.reader();
    for n in 0..400u64 {
        let given_up = reader.contact(of.id, number(n % 64));
        tokio::select! {
            biased;
            _ = given_up => {}
            () = async {
                for _ in 0..n % 7 {
                    tokio::task::yield_now().await;
                }
            } => {}
        }
        let expected = contact((n + 1) % 64);
        let found = reader.contact(of.id, expected.number).await.unwrap();
        assert_eq!(found, Some(expected), "after {n} were given up");
    }
}

async fn sessions_identities_and_own_keys_are_put_replaced_and_deleted(database: &Database) {
    let store = database.open().await;
    let member = Member::join(&store, 1).await;
    let of = member.take(&[shard(26)]).await[0];
    let ops = vec![
        Op::PutSession(session(1, 0, "one")),
        Op::PutSession(session(1, i32::MAX, "two")),
        Op::PutSession(session(2, 0, "of another")),
        Op::PutIdentity(identity(1, 0)),
        Op::PutIdentity(identity(1, 3)),
        Op::PutIdentity(identity(1, 4)),
        Op::PutOwnKey(own_key(1, 0)),
        Op::PutOwnKey(own_key(3, 2)),
        Op::PutOwnKey(own_key(3, 1)),
        Op::PutOwnKey(own_key(2, i64::from(u32::MAX))),
    ];
    member.write(of.id, of.epoch, ops).await.unwrap();
    let sessions = vec![session(1, 0, "one"), session(1, i32::MAX, "two")];
    let identities = vec![identity(1, 0), identity(1, 3), identity(1, 4)];
    assert_eq!(peer(&store, of.id, 1).await, (sessions, identities));
    assert_eq!(peer(&store, shard(25), 1).await, (vec![], vec![]));
    let own = [own_key(1, 0), own_key(2, i64::from(u32::MAX)), own_key(3, 1), own_key(3, 2)];
    assert_eq!(store.reader().own_keys().await.unwrap(), own);

    // As a pre-key message leaves it, and a rotation.
    let newer = Session { generation: 2, ..session(1, 0, "three") };
    let known = Identity { acknowledged: true, key: vec![6; 33].into(), ..identity(1, 3) };
    let retired = OwnKey { state: 3, ..own_key(1, 0) };
    let ops = vec![
        Op::PutSession(session(1, 0, "passing")),
        Op::PutSession(newer.clone()),
        Op::DeleteSession { wa_id: number(1), device: i32::MAX },
        Op::DeleteSession { wa_id: number(9), device: 0 },
        Op::PutIdentity(known.clone()),
        Op::DeleteIdentity { wa_id: number(1), device: 4 },
        Op::DeleteIdentity { wa_id: number(9), device: 0 },
        Op::PutOwnKey(retired.clone()),
        Op::DeleteOwnKey { kind: 3, id: 2 },
        Op::DeleteOwnKey { kind: 2, id: i64::from(u32::MAX) },
    ];
    member.write(of.id, of.epoch, ops).await.unwrap();
    assert_eq!(peer(&store, of.id, 1).await, (vec![newer], vec![identity(1, 0), known]));
    assert_eq!(peer(&store, of.id, 2).await.0, [session(2, 0, "of another")]);
    assert_eq!(store.reader().own_keys().await.unwrap(), [retired, own_key(3, 1)]);
    let unfit = vec![Op::PutOwnKey(own_key(3, 1 << 32))];
    assert!(member.write(of.id, of.epoch, unfit).await.is_err());
    let what = Read::Inbound { peer: Route::from_i64(1), key: key(1) };
    assert_eq!(look_up(&store, of.id, what).await.unwrap(), Found::Inbound(false));
}

async fn control_rows_are_put_replaced_and_deleted(database: &Database) {
    let store = database.open().await;
    let member = Member::join(&store, 1).await;
    let of = member.take(&[shard(-1)]).await[0];
    let user = |name: &str, admin| User {
        name: name.to_owned(),
        password_hash: format!("$argon2id${name}"),
        admin,
        must_change: !admin,
        not_before: 1_700_000_000,
    };
    let config = |version| Config {
        name: "settings".to_owned(),
        version,
        document: format!("{{\"version\":{version}}}").into(),
    };
    let revoked = Revoked { rand: "abc".to_owned(), expires: 1_800_000_000 };
    let ops = vec![
        Op::PutUser(user("admin", false)),
        Op::PutUser(user("süd", false)),
        Op::PutConfig(config(1)),
        Op::PutRevoked(revoked.clone()),
        Op::PutRevoked(Revoked { rand: "old".to_owned(), expires: 10 }),
    ];
    member.write(of.id, of.epoch, ops).await.unwrap();
    let reader = store.reader();
    assert_eq!(reader.users().await.unwrap(), [user("admin", false), user("süd", false)]);
    assert_eq!(reader.user("süd").await.unwrap(), Some(user("süd", false)));
    assert_eq!(reader.config("settings").await.unwrap(), Some(config(1)));
    assert_eq!(reader.revoked().await.unwrap().len(), 2);

    let ops = vec![
        Op::PutUser(user("admin", true)),
        Op::DeleteUser("süd".to_owned()),
        Op::PutConfig(config(2)),
        Op::TrimRevoked { before_s: 11 },
    ];
    member.write(of.id, of.epoch, ops).await.unwrap();
    assert_eq!(reader.users().await.unwrap(), [user("admin", true)]);
    assert_eq!(reader.user("süd").await.unwrap(), None);
    assert_eq!(reader.config("settings").await.unwrap(), Some(config(2)));
    assert_eq!(reader.config("none").await.unwrap(), None);
    assert_eq!(reader.revoked().await.unwrap(), [revoked]);
    let tick = store.cluster().tick(1).await.unwrap();
    assert_eq!(tick.configs, [("settings".to_owned(), 2)]);
}
