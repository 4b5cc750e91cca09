//! A connection on a thread of its own: SQLite blocks, so whole transactions are handed over, not
//! statements.

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
};

use diesel::{QueryResult, SqliteConnection};
use tokio::sync::oneshot;

use crate::error::StoreError;

type Job = Box<dyn FnOnce(&mut Slot) + Send>;

/// Runs jobs one after another until the last handle is gone.
#[derive(Clone)]
pub(crate) struct Worker {
    /// Bounded by who asks: one lane, one reader task, and callers that wait for their answer.
    jobs: mpsc::Sender<Job>,
}

/// The connection, opened again when it was given up.
pub(crate) struct Slot {
    open: Box<dyn Fn() -> Result<SqliteConnection, StoreError> + Send>,
    conn: Option<SqliteConnection>,
}

impl Worker {
    /// Opens the connection. The thread keeps `lock` until it ends.
    pub(crate) fn start(
        name: &str,
        lock: Arc<File>,
        open: impl Fn() -> Result<SqliteConnection, StoreError> + Send + 'static,
    ) -> Result<Self, StoreError> {
        let mut slot = Slot { open: Box::new(open), conn: None };
        slot.reopen()?;
        let (jobs, waiting) = mpsc::channel::<Job>();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                for job in waiting {
                    // The driver panics on some failures of the file; the asker sees its answer
                    // missing, the others go on with a new connection.
                    if catch_unwind(AssertUnwindSafe(|| job(&mut slot))).is_err() {
                        slot.conn = None;
                    }
                }
                drop(slot);
                drop(lock);
            })
            .map_err(|error| StoreError::Connect(error.to_string()))?;
        Ok(Self { jobs })
    }

    pub(crate) async fn run<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Slot) -> R + Send + 'static,
    ) -> Result<R, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |slot| drop(answer.send(job(slot))));
        let gone = || StoreError::Database("the connection's thread gave no answer".to_owned());
        self.jobs.send(job).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }

    pub(crate) async fn ask<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut SqliteConnection) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        self.run(move |slot| job(slot.conn()?)).await?
    }

    pub(crate) async fn query<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut SqliteConnection) -> QueryResult<R> + Send + 'static,
    ) -> Result<R, StoreError> {
        self.ask(move |conn| Ok(job(conn)?)).await
    }

    /// Runs a job some time; nobody waits.
    pub(crate) fn post(&self, job: impl FnOnce(&mut Slot) + Send + 'static) {
        drop(self.jobs.send(Box::new(job)));
    }
}

impl Slot {
    pub(crate) fn conn(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        match &mut self.conn {
            Some(conn) => Ok(conn),
            none => Ok(none.insert((self.open)()?)),
        }
    }

    pub(crate) fn reopen(&mut self) -> Result<(), StoreError> {
        self.conn = None;
        self.conn().map(|_| ())
    }
}
