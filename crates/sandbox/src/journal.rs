//! The journal: JSON lines, appended and flushed in groups, written anew when it has grown.
//!
//! What it says is durable before anybody hears of it: answers and receipts leave a stream, and
//! calls of the control API return, only after [`Journal::flushed`].

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use tokio::sync::watch;
use tracing::{error, warn};

use crate::network::Record;

/// Bytes from which the journal is written anew; also at four times what it took the last time.
const REWRITE_BYTES: u64 = 64 << 20;
/// Commands flushed together.
const GROUP_MAX: usize = 1_024;

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("use the data directory {path} (--data-dir): {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("lock the data directory {0} (--data-dir): another sandbox uses it")]
    Locked(PathBuf),
    #[error("read line {line} of {path}: it is not what a sandbox wrote")]
    Damaged { path: PathBuf, line: usize },
}

/// The journal could not be written; nothing is durable any more.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("write the journal; see the sandbox's log")]
pub(crate) struct NotDurable;

enum Command {
    Append(Vec<Record>),
    Rewrite(Vec<Record>),
    /// Nothing comes any more.
    Close,
}

/// Commands flushed so far, or that none will be any more.
type Progress = Result<u64, NotDurable>;

/// The writing end; the thread ends with it. Its queue is short: streams wait for it.
pub(crate) struct Journal {
    queue: mpsc::Sender<Command>,
    queued: AtomicU64,
    flushed: watch::Receiver<Progress>,
    grown: Arc<AtomicBool>,
}

/// A journal that was read and is not written yet.
pub(crate) struct Opened {
    pub(crate) records: Vec<Record>,
    path: PathBuf,
    _lock: File,
}

/// Locks the directory and reads what is there.
pub(crate) fn open(dir: &Path) -> Result<Opened, JournalError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| JournalError::Io { path, source }
    };
    std::fs::create_dir_all(dir).map_err(io(dir))?;
    let lock = File::create(dir.join("sandbox.lock")).map_err(io(dir))?;
    lock.try_lock().map_err(|_| JournalError::Locked(dir.to_owned()))?;
    let path = dir.join("sandbox.jsonl");
    let records = match File::open(&path) {
        Ok(file) => read(file, &path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(io(&path)(error)),
    };
    Ok(Opened { records, path, _lock: lock })
}

/// A last line that ends early was never flushed: nobody has heard of it.
fn read(file: File, path: &Path) -> Result<Vec<Record>, JournalError> {
    let mut records = Vec::new();
    let mut lines = BufReader::new(file).split(b'\n').enumerate().peekable();
    while let Some((n, line)) = lines.next() {
        let line = line.map_err(|source| JournalError::Io { path: path.to_owned(), source })?;
        match serde_json::from_slice(&line) {
            Ok(record) => records.push(record),
            Err(_) if lines.peek().is_none() => {
                warn!("The last line of the sandbox's journal was cut off; it is left out");
            }
            Err(_) => return Err(JournalError::Damaged { path: path.to_owned(), line: n + 1 }),
        }
    }
    Ok(records)
}

impl Opened {
    /// Starts writing: first of all `snapshot`, in the place of what was read.
    pub(crate) fn start(self, snapshot: &[Record]) -> Result<Journal, JournalError> {
        let Self { path, _lock, .. } = self;
        let (queue, commands) = mpsc::channel();
        let (progress, flushed) = watch::channel(Ok(0));
        let grown = Arc::new(AtomicBool::new(false));
        let io = |source| JournalError::Io { path: path.clone(), source };
        let mut writer = Writer::create(&path, snapshot, grown.clone()).map_err(io)?;
        let thread = thread::Builder::new().name("journal".to_owned());
        let work = move || {
            let _lock = _lock;
            let mut count = 0;
            while let Ok(first) = commands.recv() {
                let group: Vec<_> =
                    std::iter::once(first).chain(commands.try_iter().take(GROUP_MAX)).collect();
                count += group.len() as u64;
                let written = writer.write(&group);
                let failed = written.is_err();
                if let Err(error) = written {
                    error!(error = %error, "The sandbox's journal cannot be written");
                }
                let _before =
                    progress.send_replace(if failed { Err(NotDurable) } else { Ok(count) });
                if failed || group.iter().any(|command| matches!(command, Command::Close)) {
                    return;
                }
            }
        };
        thread.spawn(work).map_err(io)?;
        Ok(Journal { queue, queued: AtomicU64::new(0), flushed, grown })
    }
}

impl Journal {
    pub(crate) fn append(&self, records: Vec<Record>) {
        self.push(Command::Append(records));
    }

    /// True once when it is time for [`Journal::rewrite`].
    pub(crate) fn has_grown(&self) -> bool {
        self.grown.swap(false, Ordering::Relaxed)
    }

    /// Everything so far is in `snapshot`.
    pub(crate) fn rewrite(&self, snapshot: Vec<Record>) {
        self.push(Command::Rewrite(snapshot));
    }

    /// A thread that is gone has said so to whoever waits.
    fn push(&self, command: Command) {
        self.queued.fetch_add(1, Ordering::Relaxed);
        drop(self.queue.send(command));
    }

    /// Waits until all that was appended before is on the disk.
    pub(crate) async fn flushed(&self) -> Result<(), NotDurable> {
        let queued = self.queued.load(Ordering::Relaxed);
        let reached =
            |progress: &Progress| progress.is_err() || progress.is_ok_and(|n| n >= queued);
        let mut flushed = self.flushed.clone();
        let progress = flushed.wait_for(reached).await.map_err(|_| NotDurable)?;
        progress.map(|_| ())
    }
}

impl Journal {
    /// Writes what waits and gives the directory free.
    pub(crate) async fn close(&self) {
        self.push(Command::Close);
        let mut flushed = self.flushed.clone();
        // The thread lets go of the lock before it lets go of its end of this.
        while flushed.changed().await.is_ok() {}
    }
}

struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
    rewrite_at: u64,
    grown: Arc<AtomicBool>,
}

impl Writer {
    fn create(path: &Path, snapshot: &[Record], grown: Arc<AtomicBool>) -> io::Result<Self> {
        let new = path.with_extension("new");
        let mut file =
            BufWriter::new(OpenOptions::new().write(true).create(true).truncate(true).open(&new)?);
        let bytes = lines(&mut file, snapshot)?;
        file.flush()?;
        file.get_ref().sync_all()?;
        std::fs::rename(&new, path)?;
        if let Some(dir) = path.parent() {
            File::open(dir)?.sync_all()?;
        }
        let rewrite_at = REWRITE_BYTES.max(bytes.saturating_mul(4));
        Ok(Self { path: path.to_owned(), file, bytes, rewrite_at, grown })
    }

    fn write(&mut self, group: &[Command]) -> io::Result<()> {
        for command in group {
            match command {
                Command::Append(records) => self.bytes += lines(&mut self.file, records)?,
                Command::Rewrite(snapshot) => {
                    *self = Self::create(&self.path, snapshot, self.grown.clone())?;
                }
                Command::Close => {}
            }
        }
        self.file.flush()?;
        self.file.get_ref().sync_data()?;
        if self.bytes >= self.rewrite_at {
            self.rewrite_at = u64::MAX;
            self.grown.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn lines(to: &mut impl Write, records: &[Record]) -> io::Result<u64> {
    let mut bytes = 0;
    for record in records {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        to.write_all(&line)?;
        bytes += line.len() as u64;
    }
    Ok(bytes)
}
