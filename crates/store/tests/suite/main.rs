//! What every engine must do, from one source. Each test has a database of its own.
//!
//! PostgreSQL and MariaDB are the servers that `HELIOGRAPH_TEST_POSTGRES` and `HELIOGRAPH_TEST_MYSQL`
//! name (URLs that may create databases), or ones that a test starts for itself with `scripts/db`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking; the lints' exemption reaches only #[test] functions"
)]

mod census;
mod cluster;
mod database;
mod history;
mod lanes;
mod mariadb_only;
mod media;
mod member;
mod outcome;
mod pools;
mod postgres_only;
mod proxy;
mod reads;
mod refusals;
mod sqlite_only;
mod upkeep;
mod vault;

/// Runs each test on every engine.
#[macro_export]
macro_rules! on_every_engine {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let database = $crate::database::Database::sqlite();
                super::$test(&database).await;
                database.remove().await;
            })+
        }
        $crate::on_every_server!($($test),+);
    };
}

/// Runs each test on the engines that are servers.
#[macro_export]
macro_rules! on_every_server {
    ($($test:ident),+ $(,)?) => {
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let database = $crate::database::Database::postgres().await;
                super::$test(&database).await;
                database.remove().await;
            })+
        }
        mod mariadb {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let database = $crate::database::Database::mariadb().await;
                super::$test(&database).await;
                database.remove().await;
            })+
        }
    };
}
