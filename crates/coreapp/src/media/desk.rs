//! Files of messages that wait to be sent: handed to the network, so that the message can name them. Texts
//! of templates are put in on the way.
//!
//! An upload goes to the network once in seven days; a link is fetched and passed on piece by piece, and
//! what came of it is good for ten minutes. Who asks for the same at the same time waits for the first.
//! Messages wait as they do for keys: the first of a recipient's line, and nothing behind it.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use contract::{
    ApiError, Code, Key, MediaId, ShardId,
    media::{self, Reference, Sent, Source},
    settings::MediaType,
};
use lru::LruCache;
use store::{
    rows::{BlobHandle, Media},
    write::Op,
};
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};
use upstream::{Piece, Upstream};

use super::{
    links::{Links, Unfetched},
    shelf::Shelf,
};
use crate::{metrics::Metrics, shard::task::Drivers, templates::Templates};

/// The network keeps a file for longer than this, milliseconds.
const HANDLE_MS: i64 = 7 * 24 * 60 * 60 * 1_000;
/// Files on their way to the network at once; further ones wait.
const UPLOADS: usize = 16;
/// Links fetched at once; further ones wait.
const FETCHES: usize = 32;
/// For what was fetched to be fetched again.
const LINK_GOOD: Duration = Duration::from_secs(10 * 60);
/// Sources that are remembered, or under way; the least recently used one is forgotten.
const SOURCES: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();
/// When the network or the database does not answer, a message asks again after this long.
const AGAIN: Duration = Duration::from_secs(2);
/// Pieces between a source and the network.
const QUEUE: usize = 1;

/// A message whose files are wanted.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub shard: ShardId,
    pub key: Key,
    /// Canonical.
    pub message: Bytes,
}

/// Why a message has not got its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unready {
    /// It never will.
    Final(ApiError),
    /// It may, after this long.
    Later(Duration),
}

/// See the module.
pub(crate) struct Desk<U> {
    pub shelf: Arc<Shelf>,
    pub upstream: Arc<U>,
    pub links: Links,
    pub templates: Arc<Templates>,
    pub drivers: Drivers,
    pub metrics: Metrics,
    sources: Mutex<LruCache<(MediaType, Source), Arc<Place>>>,
    uploads: Semaphore,
    fetches: Semaphore,
}

/// What came of a link, and when. Held locked while it is being found out.
type Place = tokio::sync::Mutex<Option<(Instant, Sent)>>;

impl<U: Upstream> Desk<U> {
    pub(crate) fn new(
        shelf: Arc<Shelf>,
        upstream: Arc<U>,
        links: Links,
        templates: Arc<Templates>,
        drivers: Drivers,
        metrics: Metrics,
    ) -> Arc<Self> {
        Arc::new(Self {
            shelf,
            upstream,
            links,
            templates,
            drivers,
            metrics,
            sources: Mutex::new(LruCache::new(SOURCES)),
            uploads: Semaphore::new(UPLOADS),
            fetches: Semaphore::new(FETCHES),
        })
    }

    /// Answers each message with its own content as phones get it. No more wait than recipients do.
    pub(crate) async fn run(self: Arc<Self>, mut wanted: mpsc::UnboundedReceiver<Vec<Wanted>>) {
        while let Some(list) = wanted.recv().await {
            for Wanted { shard, key, message } in list {
                let desk = self.clone();
                tokio::spawn(async move {
                    let ready = desk.ready(&message).await;
                    desk.drivers.files(shard, key, ready);
                });
            }
        }
    }

    async fn ready(&self, message: &Bytes) -> Result<Bytes, Unready> {
        // First what costs nothing.
        let message = &self.templates.rendered(message).map_err(Unready::Final)?;
        let references = media::references(message);
        if references.is_empty() {
            return Ok(message.clone());
        }
        let mut sent = Vec::with_capacity(references.len());
        for reference in references {
            sent.push(self.sent(reference).await?);
        }
        media::resolved(message, &sent).ok_or_else(|| {
            let details = "the message's files could not be put in";
            Unready::Final(ApiError::new(Code::GENERIC_MESSAGE, details))
        })
    }

    async fn sent(&self, Reference { kind, source }: Reference) -> Result<Sent, Unready> {
        let place = {
            let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
            sources.get_or_insert((kind, source.clone()), Arc::default).clone()
        };
        let mut place = place.lock().await;
        match source {
            Source::Upload(id) => self.upload(kind, &id).await,
            Source::Link { url, provider } => {
                if let Some((since, sent)) = &*place
                    && since.elapsed() < LINK_GOOD
                {
                    return Ok(sent.clone());
                }
                let sent = self.link(kind, &url, provider.as_deref()).await?;
                *place = Some((Instant::now(), sent.clone()));
                Ok(sent)
            }
        }
    }

    async fn upload(&self, kind: MediaType, id: &str) -> Result<Sent, Unready> {
        let unknown =
            || ApiError::new(Code::NOT_FOUND, format!("There is no file with the id {id}"));
        let id: MediaId = id.parse().map_err(|_| Unready::Final(unknown()))?;
        let file = self.shelf.find(id).await.map_err(unready)?;
        let Media { mime, size, sha256, .. } = file.media;
        let size = size.unsigned_abs();
        kind.check(&mime, size).map_err(Unready::Final)?;
        let sent = |handle| Sent { handle, mime: mime.clone(), sha256, size };
        let now_ms = self.shelf.now_ms();
        if let Some(known) = file.handle
            && now_ms - known.uploaded_ms < HANDLE_MS
        {
            return Ok(sent(known.handle));
        }
        let _place = self.uploads.acquire().await;
        let mut file = self.shelf.give_out(id).await.map_err(unready)?;
        let (out, pieces) = mpsc::channel(QUEUE);
        let read = async move {
            loop {
                match file.piece().await {
                    Ok(piece) if piece.is_empty() => {
                        // The network may have given up.
                        let _gone = out.send(Piece::End).await;
                        return Ok(());
                    }
                    Ok(piece) => {
                        if out.send(Piece::Bytes(piece)).await.is_err() {
                            return Ok(());
                        }
                    }
                    Err(error) => return Err(unready(error)),
                }
            }
        };
        let (put, read) = tokio::join!(self.upstream.put_media(mime.clone(), pieces), read);
        read?;
        self.metrics.uploaded(kind, put.is_ok());
        let handle = put.map_err(|error| later(&error))?;
        let row = BlobHandle { id, uploaded_ms: now_ms, handle: handle.clone() };
        // Without the row it is only handed over once more.
        if let Err(error) = self.shelf.commit(vec![Op::PutBlobHandle(row)]).await {
            tracing::warn!(%error, media.id = %id, "a file's handle was not stored");
        }
        Ok(sent(handle))
    }

    async fn link(
        &self,
        kind: MediaType,
        url: &str,
        provider: Option<&str>,
    ) -> Result<Sent, Unready> {
        let _place = self.fetches.acquire().await;
        let mut link = match self.links.open(url, provider, kind).await {
            Ok(link) => link,
            Err(Unfetched(error)) => return Err(Unready::Final(error)),
        };
        let mime = link.content_type.clone();
        let (out, pieces) = mpsc::channel(QUEUE);
        let read = async move {
            let read = link.pass_on(&out).await;
            if read.is_ok() {
                let _gone = out.send(Piece::End).await;
            }
            read
        };
        let (put, read) = tokio::join!(self.upstream.put_media(mime.clone(), pieces), read);
        let (size, sha256) = read.map_err(|Unfetched(error)| Unready::Final(error))?;
        self.metrics.uploaded(kind, put.is_ok());
        let handle = put.map_err(|error| later(&error))?;
        Ok(Sent { handle, mime, sha256, size })
    }
}

/// A refusal of ours: what may pass is tried again.
fn unready(error: ApiError) -> Unready {
    match error.status() {
        503 => Unready::Later(AGAIN),
        _ => Unready::Final(error),
    }
}

fn later(error: &upstream::CallError) -> Unready {
    tracing::warn!(%error, "a file was not handed to the network; its message asks again");
    Unready::Later(AGAIN)
}
