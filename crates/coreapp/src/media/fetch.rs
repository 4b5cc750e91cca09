//! Fetches files that customers sent: from the network into the media directory, piece by piece.
//!
//! Who wants one commits its row: together with the event that waits for it (`held`), or with the one that
//! tells what came of a request (`asked`).

use std::{io, sync::Arc, time::Duration};

use contract::{
    ApiError, Code,
    media::{received, unfetched},
};
use store::rows::{Media, MediaState};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use upstream::{NoMedia, Piece, Upstream};

use super::{
    files::{Partial, Summary},
    shelf::Shelf,
};
use crate::metrics::Metrics;

/// When the network does not answer, or has given out too many, it is asked again after this long.
const AGAIN: Duration = Duration::from_secs(2);
/// Pieces between the network and the file.
const QUEUE: usize = 1;

/// See the module.
pub(crate) struct Fetch<U> {
    pub shelf: Arc<Shelf>,
    pub upstream: Arc<U>,
    pub metrics: Metrics,
}

/// Why a file was not fetched.
enum Unfetched {
    /// It never will be.
    Final(ApiError),
    /// It may be, later.
    Later(ApiError),
}

impl<U: Upstream> Fetch<U> {
    /// Fetches a file, however often it takes. Gives its row, which is to be committed: the file is on disk.
    ///
    /// # Errors
    /// 400 or 429, why it is not there; then nothing is left.
    pub(super) async fn within(
        &self,
        patience: Duration,
        media: &Media,
    ) -> Result<Media, ApiError> {
        let Some((kind, handle)) = received(&media.source) else {
            return Err(unfetched("The file was not sent by a customer"));
        };
        let mut last = unfetched("The network did not give the file in time");
        let tries = async {
            loop {
                match self.once(handle, media).await {
                    Ok(media) => return Ok(media),
                    Err(Unfetched::Final(error)) => return Err(error),
                    Err(Unfetched::Later(error)) => last = error,
                }
                sleep(AGAIN).await;
            }
        };
        let fetched = timeout(patience, tries).await;
        let fetched = fetched.unwrap_or(Err(last));
        self.metrics.downloaded(kind, fetched.is_ok());
        fetched
    }

    async fn once(&self, handle: &str, media: &Media) -> Result<Media, Unfetched> {
        let (out, pieces) = mpsc::channel(QUEUE);
        let get = self.upstream.get_media(handle.to_owned(), out);
        let (got, written) = tokio::join!(get, self.write(media, pieces));
        got.map_err(|error| match error {
            NoMedia::Gone(_) => Unfetched::Final(unfetched(error.to_string())),
            NoMedia::Throttled(_) => {
                Unfetched::Later(ApiError::new(Code::RATE_LIMIT_HIT, error.to_string()))
            }
            NoMedia::Failed(_) => Unfetched::Later(unfetched(error.to_string())),
        })?;
        let partial = written?;
        let kept = self.shelf.files().keep(media.id, partial).await;
        kept.map_err(|error| unusable(&error))?;
        Ok(Media { created_ms: self.shelf.now_ms(), state: MediaState::Stored, ..media.clone() })
    }

    /// Writes what comes, and sees whether it is what was announced.
    async fn write(
        &self,
        media: &Media,
        mut pieces: mpsc::Receiver<Piece>,
    ) -> Result<Partial, Unfetched> {
        let size = media.size.unsigned_abs();
        let announced = Summary { size, sha256: media.sha256 };
        let mut partial = self.shelf.begin().await.map_err(|error| unusable(&error))?;
        let other = || {
            Unfetched::Final(unfetched("The network gave another file than the message announced"))
        };
        loop {
            match pieces.recv().await {
                Some(Piece::Bytes(piece)) => {
                    if partial.size() + piece.len() as u64 > size {
                        return Err(other());
                    }
                    partial.write(&piece).await.map_err(|error| unusable(&error))?;
                }
                Some(Piece::End) if partial.summary() == announced => return Ok(partial),
                Some(Piece::End) => return Err(other()),
                // The network says why.
                None => return Err(Unfetched::Later(unfetched("The file broke off"))),
            }
        }
    }
}

/// A full disk may have room soon.
fn unusable(error: &io::Error) -> Unfetched {
    tracing::error!(%error, "the media directory cannot be used");
    Unfetched::Later(unfetched(format!("The media directory cannot be used: {error}")))
}
