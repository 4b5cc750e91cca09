//! Counting rows a page at a time.

use store::{
    census::PAGE_MAX,
    rows::{Contact, NewEvent},
    write::Op,
};

use crate::{
    database::Database,
    member::{Member, event, message, number, shard},
    on_every_engine,
};

on_every_engine!(pages_of_keys_hold_every_row_of_a_shard_once);

async fn pages_of_keys_hold_every_row_of_a_shard_once(database: &Database) {
    const CONTACTS: u64 = 1_100;
    let store = database.open().await;
    let member = Member::join(&store, 1).await;
    let taken = member.take(&[shard(26), shard(27)]).await;
    let contact = |n: u64| Contact {
        number: number(n),
        wa_id: n.is_multiple_of(3).then(|| number(n)),
        checked_ms: 5,
    };
    for of in &taken {
        for first in (0..CONTACTS).step_by(100) {
            let ops = (first..first + 100).map(|n| Op::PutContact(contact(n))).collect();
            member.write(of.id, of.epoch, ops).await.unwrap();
        }
        let mut ops: Vec<_> = (1..=7).map(|n| Op::InsertMessage(message(n))).collect();
        ops.extend([1, 1, 2].map(|kind| Op::InsertEvent(NewEvent { kind, ..event("{}") })));
        member.write(of.id, of.epoch, ops).await.unwrap();
    }
    let (reader, of) = (store.reader(), taken[0].id);
    let first = reader.contact_page(of, &[]).await.unwrap();
    assert_eq!(first.len(), PAGE_MAX);
    assert!(first.is_sorted_by(|a, b| a.0 < b.0));
    let rest = reader.contact_page(of, &first[PAGE_MAX - 1].0).await.unwrap();
    assert_eq!(first.len() + rest.len(), 1_100);
    let users = first.iter().chain(&rest).filter(|(_, user)| *user).count();
    assert_eq!(users, 367, "every third from 0 to 1,099");
    let messages = reader.message_page(of, &[]).await.unwrap();
    assert_eq!(messages.len(), 7);
    assert_eq!(reader.message_page(of, &messages[4]).await.unwrap(), messages[5..]);
    assert_eq!(reader.event_page(of, 0).await.unwrap(), [(1, 1), (2, 1), (3, 2)]);
    assert_eq!(reader.event_page(of, 2).await.unwrap(), [(3, 2)]);
    assert_eq!(reader.contact_page(shard(1), &[]).await.unwrap(), []);
}
