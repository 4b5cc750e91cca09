//! What only MySQL and MariaDB can do to us.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use store::{
    Store, StoreError,
    write::{Op, WriteError},
};
use tokio::time::timeout;

use crate::{
    database::{Database, rng},
    member::{Member, event, job, log, message, shard},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_forgets_what_it_confirmed_is_refused() {
    let database = Database::mariadb_alone().await;
    let mut admin = database.mysql_admin().await;
    admin.query_drop("SET GLOBAL innodb_flush_log_at_trx_commit = 2").await.unwrap();
    match database.try_open().await.err() {
        Some(StoreError::Durability { setting: "innodb_flush_log_at_trx_commit", value }) => {
            assert_eq!(value, "2");
        }
        other => panic!("{other:?}"),
    }
    let mut settings = database.settings();
    settings.unsafe_durability = true;
    let store = Store::open(settings, rng()).await.unwrap();
    let facts = store.facts();
    assert_eq!(facts.engine, "MariaDB");
    assert_eq!(facts.durability, "innodb_flush_log_at_trx_commit=2, no binary log");
    drop(store);

    admin.query_drop("SET GLOBAL innodb_flush_log_at_trx_commit = 1").await.unwrap();
    admin.query_drop("SET GLOBAL max_allowed_packet = 1048576").await.unwrap();
    match database.try_open().await.err() {
        Some(StoreError::TooSmall { setting: "max_allowed_packet", value: 1_048_576, .. }) => {}
        other => panic!("{other:?}"),
    }
    database.remove().await;
}

/// The server would close the connection, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_is_too_large_for_the_server_is_refused_alone_and_says_the_setting() {
    let database = Database::mariadb_alone().await;
    let mut admin = database.mysql_admin().await;
    admin.query_drop("SET GLOBAL max_allowed_packet = 4194304").await.unwrap();
    let store = database.open().await;
    let member = Member::join(&store, 1).await;
    let of = member.take(&[shard(8)]).await[0];
    let large = |len| store::rows::Message { body: vec![1; len].into(), ..message(1) };
    let too_large = vec![Op::InsertMessage(large(3 << 20))];
    let (refused, written) = tokio::join!(
        member.write(of.id, of.epoch, too_large),
        member.write(of.id, of.epoch, vec![Op::InsertJob(job(1))]),
    );
    match refused {
        Err(WriteError::Rejected(why)) => assert!(why.contains("max_allowed_packet"), "{why}"),
        other => panic!("{other:?}"),
    }
    written.unwrap();
    let fits = large(3 << 19);
    member.write(of.id, of.epoch, vec![Op::InsertMessage(fits.clone())]).await.unwrap();
    assert_eq!(store.reader().message(of.id, fits.key).await.unwrap(), Some(fits));
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_loses_a_deadlock_is_run_again_as_it_was() {
    let database = Database::mariadb().await;
    let store = database.open().await;
    // Counts what is rolled back too.
    database.sql("CREATE TABLE tries (n int) ENGINE = MyISAM").await;
    database.sql("INSERT INTO tries VALUES (0)").await;
    let unlucky = "CREATE TRIGGER unlucky BEFORE INSERT ON job FOR EACH ROW BEGIN \
        UPDATE tries SET n = n + 1; \
        IF (SELECT n FROM tries) <= 3 THEN \
        SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock found'; \
        END IF; END";
    database.sql(unlucky).await;
    let member = Member::join(&store, 1).await;
    let of = member.take(&[shard(8)]).await[0];
    let ops = vec![Op::InsertJob(job(1)), Op::InsertEvent(event("once"))];
    assert_eq!(member.write(of.id, of.epoch, ops).await.unwrap().first_seq, 1);
    assert_eq!(log(&store, of.id).await.len(), 1);
    assert_eq!(store.reader().load_shard(of.id).await.unwrap().jobs, [job(1)]);
    let mut client = database.mysql_client().await;
    let tries: Option<i64> = client.query_first("SELECT n FROM tries").await.unwrap();
    assert_eq!(tries, Some(4));
    let batches: Option<i64> =
        client.query_first("SELECT sum(batch) FROM lane WHERE inc = 1").await.unwrap();
    assert_eq!(batches, Some(1));
    database.remove().await;
}

/// The server ends a lane's connection that is silent; nobody notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_had_nothing_to_write_goes_on() {
    let database = Database::mariadb().await;
    let store = database.open().await;
    let member = Member::join(&store, 1).await;
    let of = member.take(&[shard(8)]).await[0];
    member.write(of.id, of.epoch, vec![Op::InsertJob(job(1))]).await.unwrap();
    assert!(database.kill_all().await > 0);
    let late = member.write(of.id, of.epoch, vec![Op::InsertJob(job(2))]);
    timeout(Duration::from_secs(10), late).await.unwrap().unwrap();
    assert_eq!(store.reader().load_shard(of.id).await.unwrap().jobs, [job(1), job(2)]);
    database.remove().await;
}
