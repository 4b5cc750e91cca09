//! What every engine must do, from one source. Each test has a database of its own.
//!
//! PostgreSQL is the server `HELIOGRAPH_TEST_POSTGRES` names (a URL that may create databases), or
//! one that a test starts for itself with `scripts/pg`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking; the lints' exemption reaches only #[test] functions"
)]

mod cluster;
mod database;
mod lanes;
mod member;
mod pools;
mod postgres_only;
mod proxy;
mod reads;
mod refusals;
mod sqlite_only;
mod upkeep;
mod vault;

/// Runs each test on both engines.
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
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let database = $crate::database::Database::postgres().await;
                super::$test(&database).await;
                database.remove().await;
            })+
        }
    };
}
