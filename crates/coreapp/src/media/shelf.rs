//! Files and their rows: taken in, given out, taken away.
//!
//! The row of a file belongs to the account; whoever takes the file in writes it, through the lane of any
//! shard it works with, so that the fence holds for it too.

use std::{
    io,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use contract::{
    ApiError, Clock, Code, MediaId, Rng,
    media::{self, Source},
};
use lru::LruCache;
use store::{
    File, Lanes, Reader,
    rows::{Media, MediaState},
    write::{Class, Op, WriteError},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use super::files::{Files, Partial, piece};
use crate::cluster::MapRx;

/// Files on their way in or out at once: with a window of 1 MiB and two pieces each at most 96 MiB. The
/// next one is refused with 503/1016.
const TRANSFERS: usize = 64;
/// Shards whose lane a row is offered to while they are being given away.
const TRIES: usize = 4;
/// Ids that are known to be there, and for how long; another coreapp may delete the file meanwhile, which
/// then shows when the message is sent.
const KNOWN: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// For the row of a file that a message names; then the message is refused.
const LOOK: Duration = Duration::from_secs(2);

/// What the shelf lives on.
pub(crate) struct Deps {
    pub files: Files,
    pub lanes: Lanes,
    pub reader: Reader,
    pub map: MapRx,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
}

/// See the module.
pub(crate) struct Shelf {
    deps: Deps,
    transfers: Arc<Semaphore>,
    known: Mutex<LruCache<MediaId, Instant>>,
}

/// A file that comes in. Dropped before it is whole, it leaves nothing.
pub(crate) struct Incoming {
    shelf: Arc<Shelf>,
    id: MediaId,
    content_type: String,
    partial: Partial,
    _place: OwnedSemaphorePermit,
}

/// A file that goes out.
pub(crate) struct Outgoing {
    pub content_type: String,
    pub size: u64,
    file: tokio::fs::File,
    _place: OwnedSemaphorePermit,
}

impl Shelf {
    pub(crate) fn new(deps: Deps) -> Arc<Self> {
        let transfers = Arc::new(Semaphore::new(TRANSFERS));
        Arc::new(Self { deps, transfers, known: Mutex::new(LruCache::new(KNOWN)) })
    }

    /// Begins to take a file in.
    ///
    /// # Errors
    /// 1008 and 1009 for its content type, 1016, 1014.
    pub(crate) async fn take_in(
        self: &Arc<Self>,
        content_type: &str,
    ) -> Result<Incoming, ApiError> {
        let content_type = media::content_type(Some(content_type))?;
        let place = self.place()?;
        let id = MediaId::mint(&*self.deps.rng);
        let partial = self.deps.files.begin(id).await.map_err(|error| unusable(&error))?;
        Ok(Incoming { shelf: self.clone(), id, content_type, partial, _place: place })
    }

    /// What is known of a file.
    ///
    /// # Errors
    /// 1006, 1023.
    pub(crate) async fn find(&self, id: MediaId) -> Result<File, ApiError> {
        match self.deps.reader.file(id).await {
            Ok(Some(file)) => Ok(file),
            Ok(None) => Err(unknown(id)),
            Err(error) => Err(ApiError::new(Code::DATABASE, error.to_string())),
        }
    }

    /// Gives a file out.
    ///
    /// # Errors
    /// 1006, 1014, 1016, 1023.
    pub(crate) async fn give_out(&self, id: MediaId) -> Result<Outgoing, ApiError> {
        let place = self.place()?;
        let Media { state, mime, size, .. } = self.find(id).await?.media;
        if state == MediaState::Absent {
            let details = format!("The file {id} was not fetched from the network");
            return Err(ApiError::new(Code::NOT_FOUND, details));
        }
        let file = self.deps.files.read(id).await.map_err(|error| unusable(&error))?;
        let file = file.ok_or_else(|| {
            tracing::error!(media.id = %id, "a file is not in the media directory");
            unknown(id)
        })?;
        Ok(Outgoing { content_type: mime, size: size.unsigned_abs(), file, _place: place })
    }

    /// Takes a file away: first its row, so that nobody finds one without the other.
    ///
    /// # Errors
    /// 1006, 1011, 1014, 1023.
    pub(crate) async fn delete(&self, id: MediaId) -> Result<(), ApiError> {
        self.find(id).await?;
        self.remove(id).await
    }

    pub(super) async fn remove(&self, id: MediaId) -> Result<(), ApiError> {
        self.known().pop(&id);
        self.commit(vec![Op::DeleteMedia(id)]).await.map_err(|error| refused(&error))?;
        self.deps.files.remove(id).await.map_err(|error| unusable(&error))
    }

    /// For a file whose id is known; its own name is of no matter until it is kept.
    pub(super) async fn begin(&self) -> io::Result<Partial> {
        self.deps.files.begin(MediaId::mint(&*self.deps.rng)).await
    }

    pub(super) fn files(&self) -> &Files {
        &self.deps.files
    }

    pub(super) async fn page(&self, after: MediaId, rows: u32) -> Result<Vec<File>, ApiError> {
        let page = self.deps.reader.files_after(after, rows).await;
        page.map_err(|error| ApiError::new(Code::DATABASE, error.to_string()))
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.deps.clock.unix_ms()
    }

    /// Are there all uploads that a message refers to? What is known stays known for a while, so that a
    /// campaign does not ask for each of its messages.
    ///
    /// # Errors
    /// 1006 with the first that is not there, 1023.
    pub(crate) async fn has_all(&self, message: &[u8]) -> Result<(), ApiError> {
        for reference in media::references(message) {
            let Source::Upload(given) = reference.source else { continue };
            let name = reference.kind.as_str();
            let id: MediaId = given.parse().map_err(|_| not_there(name, &given))?;
            if self.known().get(&id).is_some_and(|since| since.elapsed() < KNOWN_FOR) {
                continue;
            }
            match timeout(LOOK, self.find(id)).await {
                Ok(Ok(_)) => drop(self.known().put(id, Instant::now())),
                Ok(Err(error)) if error.code == Code::NOT_FOUND => {
                    return Err(not_there(name, &given));
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    let details = "the database did not answer in time; nothing was stored";
                    return Err(ApiError::new(Code::DATABASE, details));
                }
            }
        }
        Ok(())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, LruCache<MediaId, Instant>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        self.transfers.clone().try_acquire_owned().map_err(|_| {
            let details = format!("{TRANSFERS} files are on their way at this coreapp already");
            ApiError::new(Code::OVERLOADED, details)
        })
    }

    /// Through the lane of a shard that is ours.
    ///
    /// # Errors
    /// As of any write; [`WriteError::NotOwned`] when no shard is ours.
    pub(crate) async fn commit(&self, ops: Vec<Op>) -> Result<(), WriteError> {
        let mine = self.deps.map.borrow().mine.clone();
        let mut last = WriteError::NotOwned;
        for (shard, epoch) in mine.into_iter().take(TRIES) {
            match self.deps.lanes.commit(shard, epoch, Class::Hot, ops.clone()).await {
                Ok(_) => return Ok(()),
                Err(WriteError::NotOwned) => {}
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl Incoming {
    /// Appends a piece.
    ///
    /// # Errors
    /// 413/1025 above 100 MiB, 1014.
    pub(crate) async fn write(&mut self, piece: &[u8]) -> Result<(), ApiError> {
        if self.partial.size() + piece.len() as u64 > media::MAX_UPLOAD {
            return Err(media::too_large());
        }
        self.partial.write(piece).await.map_err(|error| unusable(&error))
    }

    /// The file is whole: `size` bytes. Done when file and row are on disk. Goes on when the caller is
    /// gone: then there is a file that nobody knows, which is collected like any other.
    ///
    /// # Errors
    /// 1008 without a byte, 400/1025 for another size, 1011, 1014, 1023.
    pub(crate) async fn finish(self, size: u64) -> Result<Media, ApiError> {
        if self.partial.size() != size {
            return Err(media::broken_off());
        }
        if size == 0 {
            return Err(media::empty());
        }
        let stopped = || ApiError::new(Code::NOT_READY, "the coreapp is stopping");
        tokio::spawn(self.store()).await.map_err(|_| stopped())?
    }

    async fn store(self) -> Result<Media, ApiError> {
        let Self { shelf, id, content_type, partial, _place } = self;
        let summary = shelf.deps.files.keep(id, partial).await.map_err(|error| unusable(&error))?;
        let media = Media {
            id,
            created_ms: shelf.deps.clock.unix_ms(),
            state: MediaState::Stored,
            size: i64::try_from(summary.size).unwrap_or(i64::MAX),
            sha256: summary.sha256,
            mime: content_type,
            source: Bytes::new(),
        };
        let Err(error) = shelf.commit(vec![Op::PutMedia(media.clone())]).await else {
            return Ok(media);
        };
        // Whether the row is there is not known when the lane was lost: then the file stays.
        if error != WriteError::Fenced
            && let Err(error) = shelf.deps.files.remove(id).await
        {
            tracing::warn!(%error, media.id = %id, "a file without a row is left over");
        }
        Err(refused(&error))
    }
}

impl Outgoing {
    /// The next piece; empty at the end.
    ///
    /// # Errors
    /// 1014.
    pub(crate) async fn piece(&mut self) -> Result<Bytes, ApiError> {
        piece(&mut self.file).await.map(Bytes::from).map_err(|error| unusable(&error))
    }
}

fn unknown(id: MediaId) -> ApiError {
    ApiError::new(Code::NOT_FOUND, format!("There is no file with the id {id}"))
}

fn not_there(name: &str, given: &str) -> ApiError {
    let shown: String = given.chars().take(64).collect();
    let details = format!("Parameter '{name}.id': there is no file with the id '{shown}'");
    ApiError::new(Code::NOT_FOUND, details)
}

fn unusable(error: &io::Error) -> ApiError {
    tracing::error!(%error, "the media directory cannot be used");
    ApiError::new(Code::INTERNAL, format!("The media directory cannot be used: {error}"))
}

fn refused(error: &WriteError) -> ApiError {
    match error {
        WriteError::Fenced | WriteError::NotOwned => {
            let details = format!("This coreapp cannot store the file now: {error}");
            ApiError::new(Code::NOT_READY, details)
        }
        _ => ApiError::new(Code::DATABASE, error.to_string()),
    }
}
