//! Rows at rest: sealed where a vault is, bound to their place, and readable across its coming and
//! its rotations.

use std::sync::Arc;

use bytes::Bytes;
use contract::ShardId;
use diesel::{
    Connection, QueryableByName, RunQueryDsl, SqliteConnection, sql_query, sql_types::Binary,
};
use mysql_async::prelude::Queryable;
use session::sealing::MasterKeys;
use store::{
    Closed, DeadPage, Found, Read, Store, StoreError,
    rows::{Config, DeadEvent, DeadState, Message, NewEvent, Outbox, OwnKey},
    write::Op,
};

use crate::{
    database::{Database, rng},
    member::{
        Member, dead_event, dead_events, event, key, log, look_up, message, number, outbox,
        own_key, peer, session, shard,
    },
    on_every_engine,
};

on_every_engine!(
    sealed_rows_are_read_and_fed_plain_and_stored_otherwise,
    rows_from_before_the_keys_are_read_and_sealed_when_written_again,
    without_its_key_a_row_is_an_error_that_names_it,
    a_row_that_was_moved_does_not_open_and_spoils_no_other,
    a_session_that_was_put_back_is_not_used,
);

const SECRET: &[u8] = b"the plain text of a row";

/// The columns that are sealed.
const SEALED: [(&str, &str); 7] = [
    ("message", "body"),
    ("outbox", "payload"),
    ("event", "body"),
    ("session", "record"),
    ("own_key", "body"),
    ("dead_event", "body"),
    ("config", "document"),
];

fn master(id: u16, byte: u8) -> MasterKeys {
    MasterKeys::new(id, &[byte; 32])
}

async fn open(database: &Database, keys: impl Into<Option<MasterKeys>>) -> Store {
    let mut settings = database.settings();
    settings.vault = keys.into().map(Arc::new);
    settings.account = Some(number(0));
    Store::open(settings, rng()).await.unwrap()
}

/// A row of each kind, with `n` in its key.
fn ops(n: u64, body: &'static [u8]) -> Vec<Op> {
    let body = Bytes::from_static(body);
    vec![
        Op::InsertMessage(Message { body: body.clone(), ..message(n) }),
        Op::InsertOutbox(Outbox { payload: body.clone(), ..outbox(n, 0) }),
        Op::InsertEvent(event(body.clone())),
        Op::PutSession(session(n, 0, body.clone())),
        Op::PutOwnKey(OwnKey { body: body.clone(), ..own_key(3, i64::try_from(n).unwrap()) }),
        Op::PutDeadEvent(DeadEvent {
            event: event(body.clone()),
            ..dead_event(i64::try_from(n).unwrap() + 1)
        }),
        Op::PutConfig(Config { name: format!("document {n}"), version: 1, document: body }),
    ]
}

/// Asserts that the rows of [`ops`] are read as they were given.
async fn assert_plain(store: &Store, of: ShardId, n: u64, body: &'static [u8]) {
    let reader = store.reader();
    let body = Bytes::from_static(body);
    let expected = Message { body: body.clone(), ..message(n) };
    assert_eq!(reader.message(of, key(n)).await.unwrap(), Some(expected));
    let load = reader.load_shard(of).await.unwrap();
    assert!(load.outbox.contains(&Outbox { payload: body.clone(), ..outbox(n, 0) }));
    let events: Vec<NewEvent> = log(store, of).await.into_iter().map(|row| row.event).collect();
    assert!(events.contains(&event(body.clone())));
    assert_eq!(peer(store, of, n).await.0, [session(n, 0, body.clone())]);
    let dead =
        DeadEvent { event: event(body.clone()), ..dead_event(i64::try_from(n).unwrap() + 1) };
    assert!(dead_events(store, of, DeadState::Parked).await.contains(&dead));
    let config = reader.config(&format!("document {n}")).await.unwrap().unwrap();
    assert_eq!(config.document, body);
    let own = OwnKey { body, ..own_key(3, i64::try_from(n).unwrap()) };
    assert!(reader.own_keys().await.unwrap().contains(&own));
}

/// What each way of reading says of a row that does not open.
async fn errors(store: &Store, of: ShardId, n: u64) -> Vec<(String, Closed)> {
    let reader = store.reader();
    let page =
        DeadPage { endpoint: 0, shard: of, state: DeadState::Parked, after_seq: 0, limit: 128 };
    let results = [
        reader.message(of, key(n)).await.map(drop),
        reader.load_shard(of).await.map(drop),
        reader.events(of, 0, 128).await.map(drop),
        look_up(store, of, Read::Peer(number(n)))
            .await
            .map(drop)
            .map_err(|error| Arc::try_unwrap(error).unwrap()),
        reader.own_keys().await.map(drop),
        reader.dead_events(page).await.map(drop),
        reader.config(&format!("document {n}")).await.map(drop),
    ];
    results
        .into_iter()
        .filter_map(|result| match result.err()? {
            StoreError::Sealed { table, column, row, cause } => {
                assert!(!row.is_empty());
                assert!(!row.contains(number(n).as_str()), "a number is shown");
                Some((format!("{table}.{column}"), cause))
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

fn all(cause: Closed) -> Vec<(String, Closed)> {
    SEALED.iter().map(|(table, column)| (format!("{table}.{column}"), cause)).collect()
}

#[derive(QueryableByName)]
struct Raw {
    #[diesel(sql_type = Binary)]
    bytes: Vec<u8>,
}

/// A column as the database has it, in the order of the primary key.
async fn raw(database: &Database, table: &str, column: &str) -> Vec<Vec<u8>> {
    let text = format!("SELECT {column} AS bytes FROM {table} ORDER BY 1");
    match database {
        Database::Sqlite { .. } => {
            let path = database.file();
            let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
            let rows: Vec<Raw> = sql_query(text).load(&mut conn).unwrap();
            rows.into_iter().map(|row| row.bytes).collect()
        }
        Database::Postgres { .. } => {
            let rows = database.client().await.query(&text, &[]).await.unwrap();
            rows.iter().map(|row| row.get(0)).collect()
        }
        Database::Mariadb { .. } => database.mysql_client().await.query(text).await.unwrap(),
    }
}

async fn sealed_rows_are_read_and_fed_plain_and_stored_otherwise(database: &Database) {
    let store = open(database, master(7, 1)).await;
    let member = Member::join(&store, 1).await;
    let of = member.take(&[shard(3)]).await[0];
    member.write(of.id, of.epoch, ops(1, SECRET)).await.unwrap();
    assert_plain(&store, of.id, 1, SECRET).await;
    assert_eq!(member.log.0.lock().unwrap()[0].event, event(SECRET));
    for (table, column) in SEALED {
        for stored in raw(database, table, column).await {
            assert_eq!(stored[..4], [0xff, 1, 0, 7], "{table}");
            let shown = stored.windows(SECRET.len()).any(|part| part == SECRET);
            assert!(!shown, "{table}.{column} shows its text");
        }
    }
    // A hash would betray a code of six digits.
    assert_eq!(raw(database, "message", "body_hash").await, [[0; 32]]);
}

async fn rows_from_before_the_keys_are_read_and_sealed_when_written_again(database: &Database) {
    const BODIES: [&[u8]; 5] = [SECRET, b"", b"\xffsealed?", b"\xfeplain?", b"\x01"];
    let store = open(database, None).await;
    let member = Member::join(&store, 1).await;
    let of = member.take(&[shard(3)]).await[0];
    for (n, body) in (0..).zip(BODIES) {
        member.write(of.id, of.epoch, ops(n, body)).await.unwrap();
        assert_plain(&store, of.id, n, body).await;
    }
    assert!(raw(database, "event", "body").await.contains(&SECRET.to_vec()));
    drop((store, member));

    let store = open(database, master(7, 1)).await;
    let member = Member::join(&store, 2).await;
    let of = member.take(&[shard(3)]).await[0];
    for (n, body) in (0..).zip(BODIES) {
        assert_plain(&store, of.id, n, body).await;
        let again = vec![Op::PutSession(session(n, 0, body))];
        member.write(of.id, of.epoch, again).await.unwrap();
        assert_plain(&store, of.id, n, body).await;
    }
    for stored in raw(database, "session", "record").await {
        assert_eq!(stored[..4], [0xff, 1, 0, 7]);
    }
}

async fn without_its_key_a_row_is_an_error_that_names_it(database: &Database) {
    let store = open(database, master(7, 1)).await;
    let member = Member::join(&store, 1).await;
    let of = member.take(&[shard(3)]).await[0];
    member.write(of.id, of.epoch, ops(1, SECRET)).await.unwrap();
    drop((store, member));

    for (keys, cause) in [
        (None, Closed::NoKeys),
        (Some(master(8, 1)), Closed::UnknownKey(7)),
        (Some(master(7, 2)), Closed::Refused),
    ] {
        let store = open(database, keys).await;
        assert_eq!(errors(&store, of.id, 1).await, all(cause));
        drop(store);
    }
    let mut settings = database.settings();
    settings.vault = Some(Arc::new(master(7, 1)));
    settings.account = Some(number(1));
    let store = Store::open(settings, rng()).await.unwrap();
    let mut expected = all(Closed::Refused);
    expected.retain(|(column, _)| column != "config.document");
    assert_eq!(
        errors(&store, of.id, 1).await,
        expected,
        "another account, whose settings these are"
    );
    drop(store);

    // A rotation: the old key still opens, the new one seals what is written.
    let rotated = || master(8, 2).with_retired(7, &[1; 32]).unwrap();
    let store = open(database, rotated()).await;
    assert_plain(&store, of.id, 1, SECRET).await;
    let member = Member::join(&store, 2).await;
    let of = member.take(&[shard(3)]).await[0];
    let again = vec![Op::PutSession(session(1, 0, SECRET))];
    member.write(of.id, of.epoch, again).await.unwrap();
    assert_eq!(raw(database, "session", "record").await[0][..4], [0xff, 1, 0, 8]);
    assert_plain(&store, of.id, 1, SECRET).await;
    drop((store, member));

    let store = open(database, master(8, 2)).await;
    let mut expected = all(Closed::UnknownKey(7));
    expected.retain(|(column, _)| column != "session.record");
    assert_eq!(errors(&store, of.id, 1).await, expected);
}

async fn a_row_that_was_moved_does_not_open_and_spoils_no_other(database: &Database) {
    let store = open(database, master(7, 1)).await;
    let member = Member::join(&store, 1).await;
    let of = member.take(&[shard(3)]).await[0];
    for n in [1, 2] {
        member.write(of.id, of.epoch, ops(n, SECRET)).await.unwrap();
    }
    // Marks too, so that only the place is wrong.
    for (table, column) in SEALED.into_iter().chain([("session_mark", "mark")]) {
        let stored = raw(database, table, column).await;
        let [a, b] = [0, 1].map(|n| database.literal(&stored[n]));
        let swap =
            format!("UPDATE {table} SET {column} = CASE WHEN {column} = {a} THEN {b} ELSE {a} END");
        database.sql(&swap).await;
    }
    let mut found = errors(&store, of.id, 1).await;
    assert_eq!(found, all(Closed::Refused));

    member.write(of.id, of.epoch, vec![Op::PutSession(session(1, 0, "new"))]).await.unwrap();
    assert_eq!(peer(&store, of.id, 1).await.0, [session(1, 0, "new")]);
    // One group, two look-ups, one of them refused.
    let both = tokio::join!(
        look_up(&store, of.id, Read::Peer(number(1))),
        look_up(&store, of.id, Read::Peer(number(2))),
    );
    assert!(matches!(both.0, Ok(Found::Peer { .. })));
    assert!(matches!(*both.1.unwrap_err(), StoreError::Sealed { table: "session", .. }));

    let next = "UPDATE session SET generation = generation + 1";
    database.sql(next).await;
    found = errors(&store, of.id, 1).await;
    assert!(found.contains(&("session.record".to_owned(), Closed::Refused)), "{found:?}");
}

async fn a_session_that_was_put_back_is_not_used(database: &Database) {
    for keys in [None, Some(master(7, 1))] {
        let inc = if keys.is_some() { 2 } else { 1 };
        let store = open(database, keys).await;
        let member = Member::join(&store, inc).await;
        let of = member.take(&[shard(3)]).await[0];
        let put = async |record: &'static str| {
            let ops = vec![Op::PutSession(session(1, 2, record))];
            member.write(of.id, of.epoch, ops).await.unwrap();
        };
        let used = || look_up(&store, of.id, Read::Peer(number(1)));
        let put_back = async |sql: &str| {
            database.sql(sql).await;
            match *used().await.unwrap_err() {
                StoreError::RolledBack { ref row } => assert_eq!(row, "shard 3, device 2"),
                ref other => panic!("{other:?}"),
            }
        };
        put("one").await;
        let older = database.literal(&raw(database, "session", "record").await[0]);
        put("two").await;
        put_back(&format!("UPDATE session SET record = {older}")).await;

        // What is set up afresh replaces it.
        put("three").await;
        assert_eq!(peer(&store, of.id, 1).await.0, [session(1, 2, "three")]);

        let gone = vec![Op::DeleteSession { wa_id: number(1), device: 2 }];
        member.write(of.id, of.epoch, gone.clone()).await.unwrap();
        assert_eq!(peer(&store, of.id, 1).await.0, []);
        let wa_id = database.literal(number(1).as_bytes());
        let row = format!(
            "INSERT INTO session (shard, wa_id, device, generation, record) \
             VALUES (3, {wa_id}, 2, 1, {older})"
        );
        put_back(&row).await;
        member.write(of.id, of.epoch, gone).await.unwrap();
    }
}
