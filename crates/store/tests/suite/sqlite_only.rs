//! What only a file can do.

use store::{StoreError, write::Op};

use crate::{
    database::{Database, rng},
    member::{Member, message, shard},
};

#[tokio::test]
async fn a_second_coreapp_on_one_file_is_refused_by_its_own_code() {
    let database = Database::sqlite();
    let store = database.open().await;
    let error = database.try_open().await.err().unwrap();
    assert!(matches!(&error, StoreError::InUse { path } if *path == database.file()), "{error}");
    assert_eq!(error.code(), "store_in_use");
    drop(store);
    database.open().await;
}

#[tokio::test]
async fn a_file_has_one_lane_and_full_durability_unless_told_otherwise() {
    let database = Database::sqlite();
    let store = database.open().await;
    assert_eq!((store.facts().engine, store.facts().lanes), ("SQLite", 1));
    assert_eq!(store.facts().durability, "WAL, synchronous=FULL");
    drop(store);
    let mut settings = database.settings();
    settings.unsafe_durability = true;
    let store = store::Store::open(settings, rng()).await.unwrap();
    assert_eq!(store.facts().durability, "WAL, synchronous=NORMAL");
}

#[cfg(unix)]
#[tokio::test]
async fn the_files_are_readable_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let database = Database::sqlite();
    let _store = database.open().await;
    let folder = database.file();
    let mut files = 0;
    for file in folder.parent().unwrap().read_dir().unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{file:?}");
        files += 1;
    }
    assert!(files >= 3, "database, log and lock");
}

/// 24 MiB of rows through a log that is cut at checkpoints, while the writer never pauses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_does_not_grow_with_what_is_written() {
    let database = Database::sqlite();
    let store = database.open().await;
    let mut member = Member::join(&store, 1).await;
    let of = member.take(&[shard(0)]).await[0];
    let mut wal = database.file().into_os_string();
    wal.push("-wal");
    let mut most = 0;
    for round in 0..120u64 {
        let writes = (0..256).map(|n| store::write::Write {
            shard: of.id,
            epoch: of.epoch,
            class: store::write::Class::Hot,
            ops: vec![Op::InsertMessage(store::rows::Message {
                body: vec![7; 800].into(),
                ..message(round * 256 + n)
            })],
            reply: store::write::Reply::Token(n),
        });
        member.lanes.submit_many(writes.collect());
        let mut answered = 0;
        while answered < 256 {
            answered += member.answers.recv().await.unwrap().len();
        }
        most = most.max(std::fs::metadata(&wal).unwrap().len());
    }
    let written = std::fs::metadata(database.file()).unwrap().len();
    assert!(written > 16 << 20, "checkpoints have moved only {written} bytes");
    assert!(most < 64 << 20, "the log has grown to {most} bytes");
}
