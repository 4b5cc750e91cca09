//! Files and their handles.

use bytes::Bytes;
use contract::MediaId;
use store::{
    File,
    rows::{BlobHandle, Media, MediaState, NewEvent, Release},
    write::{Op, WriteError},
};

use crate::{
    database::Database,
    member::{Member, event, log, shard},
    on_every_engine,
};

on_every_engine!(
    a_file_is_found_with_its_handle_and_both_go_together,
    a_held_event_is_let_go_once_with_another_body_and_nobody_elses,
);

fn media(n: u8) -> Media {
    Media {
        id: MediaId::from_bytes([n; 16]),
        created_ms: 1_700_000_000_000,
        state: MediaState::Absent,
        size: 100 << 20,
        sha256: [n; 32],
        mime: "audio/ogg; codecs=opus".to_owned(),
        source: Bytes::from_static(b"\x01from"),
    }
}

async fn a_file_is_found_with_its_handle_and_both_go_together(database: &Database) {
    let store = database.open().await;
    let member = Member::join(&store, 1).await;
    // Two shards: whoever takes a file in writes its row.
    let claimed = member.take(&[shard(3), shard(-1)]).await;
    let (one, other) = (claimed[0], claimed[1]);
    let ops = (1..=4).map(|n| Op::PutMedia(media(n))).collect();
    member.write(one.id, one.epoch, ops).await.unwrap();
    let handle =
        BlobHandle { id: media(2).id, uploaded_ms: 1_700_000_000_001, handle: "h-2".to_owned() };
    let stored = Media { state: MediaState::Stored, source: Bytes::new(), ..media(2) };
    let ops = vec![
        Op::PutBlobHandle(BlobHandle { handle: "older".to_owned(), ..handle.clone() }),
        Op::PutMedia(stored.clone()),
    ];
    member.write(other.id, other.epoch, ops).await.unwrap();
    member.write(one.id, one.epoch, vec![Op::PutBlobHandle(handle.clone())]).await.unwrap();

    let reader = store.reader();
    let found = reader.file(media(2).id).await.unwrap();
    let second = File { media: stored, handle: Some(handle) };
    assert_eq!(found, Some(second.clone()));
    assert_eq!(reader.file(MediaId::from_bytes([9; 16])).await.unwrap(), None);
    let page = reader.files_after(media(1).id, 2).await.unwrap();
    assert_eq!(page, [second, File { media: media(3), handle: None }]);

    member.write(other.id, other.epoch, vec![Op::DeleteMedia(media(2).id)]).await.unwrap();
    assert_eq!(reader.file(media(2).id).await.unwrap(), None);
    // No handle is left over for a file that comes back under the id.
    member.write(one.id, one.epoch, vec![Op::PutMedia(media(2))]).await.unwrap();
    assert_eq!(reader.file(media(2).id).await.unwrap().unwrap().handle, None);
    let long = Media { mime: "x".repeat(256), ..media(5) };
    let refused = member.write(one.id, one.epoch, vec![Op::PutMedia(long)]).await;
    assert!(matches!(refused, Err(WriteError::Rejected(_))), "{refused:?}");
}

async fn a_held_event_is_let_go_once_with_another_body_and_nobody_elses(database: &Database) {
    let store = database.open().await;
    let member = Member::join(&store, 1).await;
    let claimed = member.take(&[shard(3), shard(4)]).await;
    let (one, other) = (claimed[0], claimed[1]);
    let held = || NewEvent { held: true, ..event("{\"waits\":1}") };
    for of in [one, other] {
        let ops =
            vec![Op::InsertEvent(held()), Op::InsertEvent(held()), Op::InsertEvent(event("{}"))];
        member.write(of.id, of.epoch, ops).await.unwrap();
    }
    let created_ms = held().created_ms;
    let release = |seq, body: &'static str| {
        let body = Bytes::from_static(body.as_bytes());
        Op::ReleaseEvent(Release { seq, created_ms, body })
    };
    // With the file that it waited for, in one write; the quote has to survive every engine.
    let ops = vec![Op::PutMedia(media(1)), release(2, "{\"it's\":\"there\\\\\"}")];
    member.write(one.id, one.epoch, ops).await.unwrap();
    let bodies = async |of| {
        let events = log(&store, of).await;
        let shown = |row: store::rows::Event| {
            (row.event.held, String::from_utf8(row.event.body.to_vec()).unwrap())
        };
        events.into_iter().map(shown).collect::<Vec<_>>()
    };
    let waits = (true, "{\"waits\":1}".to_owned());
    let there = (false, "{\"it's\":\"there\\\\\"}".to_owned());
    let plain = (false, "{}".to_owned());
    assert_eq!(bodies(one.id).await, [waits.clone(), there.clone(), plain.clone()]);
    assert_eq!(bodies(other.id).await, [waits.clone(), waits.clone(), plain.clone()]);
    assert!(store.reader().file(media(1).id).await.unwrap().is_some());

    // Let go before, never held, not there: nothing happens, and nothing fails.
    let ops = vec![release(2, "late"), release(3, "late"), release(99, "late")];
    member.write(one.id, one.epoch, ops).await.unwrap();
    assert_eq!(bodies(one.id).await, [waits, there, plain]);
    // An owner of yesterday lets nothing go.
    let stale = member.write(one.id, one.epoch + 1, vec![release(1, "stale")]).await;
    assert_eq!(stale, Err(WriteError::NotOwned));
}
