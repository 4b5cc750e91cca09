//! Checkpoints: moving the write-ahead log into the database file, off the writer's thread, as one
//! is what a commit would otherwise wait for now and then.

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use diesel::{QueryResult, RunQueryDsl, SqliteConnection, sql_types::Integer};

use crate::{
    error::StoreError,
    sqlite::{stmt::Stmt, worker::Worker},
};

/// Rows after which a checkpoint is due. A row dirties at most a page or two of 4 KiB, most share
/// theirs, so the log is then 4 to 16 MiB.
const ROWS: usize = 4_096;
/// Frames (pages) from which on the writer itself finishes the checkpoint. A log that is written
/// all the time is never empty at the end of a checkpoint beside it, so it would grow for ever;
/// what remains for the writer is little.
const FRAMES: i32 = 8_192;

/// Asks for checkpoints.
pub(crate) struct Checkpoints {
    rows: AtomicUsize,
    /// Holds one request at most.
    due: mpsc::SyncSender<()>,
}

impl Checkpoints {
    /// Starts the thread; it ends, and lets `lock` go, when `Checkpoints` is dropped.
    pub(crate) fn start(
        lock: Arc<File>,
        mut conn: SqliteConnection,
        writer: Worker,
    ) -> Result<Self, StoreError> {
        let (due, wanted) = mpsc::sync_channel(1);
        std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || {
                for () in wanted {
                    let frames = checkpoint(&mut conn);
                    if frames.as_ref().is_ok_and(|frames| *frames >= FRAMES) {
                        writer.post(|slot| {
                            if let Ok(conn) = slot.conn() {
                                report(checkpoint(conn));
                            }
                        });
                    }
                    report(frames);
                }
                drop(conn);
                drop(lock);
            })
            .map_err(|error| StoreError::Connect(error.to_string()))?;
        Ok(Self { rows: AtomicUsize::new(0), due })
    }

    /// Counts rows that a commit has written.
    pub(crate) fn written(&self, rows: usize) {
        let before = self.rows.fetch_add(rows, Ordering::Relaxed);
        if before + rows >= ROWS {
            self.rows.store(0, Ordering::Relaxed);
            // Full: one is due already.
            let _ = self.due.try_send(());
        }
    }
}

/// Moves what it can without waiting for anybody. Gives the frames in the log.
fn checkpoint(conn: &mut SqliteConnection) -> QueryResult<i32> {
    let rows: Vec<(i32, i32, i32)> =
        Stmt::<(Integer, Integer, Integer)>::new("PRAGMA wal_checkpoint(PASSIVE)", &[])
            .load(conn)?;
    Ok(rows.as_slice().first().map_or(0, |(_, frames, _)| *frames))
}

/// A checkpoint that fails is repeated with the next one; until then the log grows.
fn report(result: QueryResult<i32>) {
    if let Err(error) = result {
        tracing::warn!(%error, "A checkpoint of the database file failed");
    }
}
