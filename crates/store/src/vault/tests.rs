use std::sync::atomic::{AtomicU64, Ordering};

use contract::{Rng, Route};
use proptest::prelude::{Just, ProptestConfig, any, prop_assert_eq, prop_oneof, proptest};

use super::*;

struct Counter(AtomicU64);

impl Rng for Counter {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let n = self.0.fetch_add(1, Ordering::Relaxed);
            chunk.copy_from_slice(&n.to_be_bytes()[..chunk.len()]);
        }
    }
}

fn vault(keys: bool) -> Vault {
    let keys = keys.then(|| Arc::new(MasterKeys::new(1, &[3; 32])));
    Vault::new(keys, None, Arc::new(Counter(AtomicU64::new(0))))
}

fn event(created_ms: i64, body: Vec<u8>) -> NewEvent {
    let body = body.into();
    NewEvent {
        kind: 1,
        route: Route::from_i64(1),
        key: None,
        held: false,
        created_ms,
        body,
        trace: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, fork: false,
        ..ProptestConfig::default() })]

    /// Numbered from the write's first, at any time a clock may say.
    #[test]
    fn whatever_a_body_begins_with_it_comes_back(
        keys: bool,
        bodies in proptest::collection::vec(
            (any::<i64>(), prop_oneof![Just(0xffu8), Just(0xfe), any::<u8>()], any::<Vec<u8>>()),
            1..5,
        ),
        empty: bool,
    ) {
        let vault = vault(keys);
        let shard = ShardId::new(3).unwrap();
        let mut ops: Vec<_> = bodies
            .into_iter()
            .map(|(created_ms, first, rest)| {
                Op::InsertEvent(event(created_ms, [&[first], &rest[..]].concat()))
            })
            .collect();
        if empty {
            ops.push(Op::InsertEvent(event(0, Vec::new())));
        }
        let stored = vault.seal(shard, 40, &ops).unwrap().unwrap_or_else(|| ops.clone());
        prop_assert_eq!(stored.len(), ops.len());
        for (seq, (op, stored)) in (40..).zip(ops.iter().zip(&stored)) {
            let (Op::InsertEvent(plain), Op::InsertEvent(stored)) = (op, stored) else { panic!() };
            prop_assert_eq!(stored.body.first() == Some(&SEALED), keys);
            let mut read = Event { shard, seq, event: stored.clone() };
            vault.open_event(&mut read).unwrap();
            prop_assert_eq!(&read.event, plain);
            let mut elsewhere = Event { shard, seq: seq + 1, event: stored.clone() };
            prop_assert_eq!(vault.open_event(&mut elsewhere).is_err(), keys);
        }
    }
}

#[test]
fn a_damaged_form_is_told_from_a_row_of_elsewhere() {
    let shard = ShardId::new(3).unwrap();
    for (stored, cause) in [
        (&[0xff][..], Closed::Format),
        (&[0xff, 9, 0, 1, 2], Closed::Format),
        (&[0xff, 1, 0, 2, 0], Closed::Format),
        (&[0xff; 80], Closed::Format),
    ] {
        let mut row = Event { shard, seq: 5, event: event(0, stored.to_vec()) };
        match vault(true).open_event(&mut row) {
            Err(StoreError::Sealed { table: "event", column: "body", row, cause: found }) => {
                assert_eq!((found, &*row), (cause, "shard 3, seq 5"));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_event_that_is_let_go_opens_in_the_place_it_was_inserted_in() {
    let vault = vault(true);
    let shard = ShardId::new(3).unwrap();
    let ops = [
        Op::InsertEvent(event(86_400_000, b"{}".to_vec())),
        Op::ReleaseEvent(Release {
            seq: 7,
            created_ms: 86_400_000,
            body: Bytes::from_static(b"{\"now\":1}"),
        }),
    ];
    let sealed = vault.seal(shard, 40, &ops).unwrap().unwrap();
    let Op::ReleaseEvent(row) = &sealed[1] else { panic!("{sealed:?}") };
    assert_eq!(row.body[0], SEALED);
    let mut read = Event { shard, seq: 7, event: event(86_400_000, row.body.to_vec()) };
    vault.open_event(&mut read).unwrap();
    assert_eq!(&*read.event.body, b"{\"now\":1}");
    let mut elsewhere = Event { shard, seq: 8, event: event(86_400_000, row.body.to_vec()) };
    assert!(vault.open_event(&mut elsewhere).is_err());
}
