//! Files that are fetched because somebody asks (`GET /v1/media/{id}/download`): begun and answered at once,
//! told by a callback. What a restart interrupts is not gone on with: whoever asked asks again.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use contract::{
    ApiError, Code, MediaId,
    callback::{self, EventKind, MediaItem},
    media::received,
    settings::MediaType,
};
use store::{
    rows::{Media, MediaState, NewEvent},
    write::Op,
};
use upstream::Upstream;

use super::fetch::Fetch;

/// Files under way; asking for more is refused with 503/1016.
const DOWNLOADS: usize = 16;
/// For one file.
const PATIENCE: Duration = Duration::from_secs(30);

/// See the module.
pub(crate) struct Asked<U> {
    fetch: Arc<Fetch<U>>,
    under_way: Mutex<HashSet<MediaId>>,
}

impl<U: Upstream> Asked<U> {
    pub(crate) fn new(fetch: Arc<Fetch<U>>) -> Arc<Self> {
        Arc::new(Self { fetch, under_way: Mutex::default() })
    }

    /// Begins to fetch a file. One that is there already, or under way, is told like any other.
    ///
    /// # Errors
    /// 1006 for an id that no customer's file has, 1016, 1023.
    pub(crate) async fn begin(self: Arc<Self>, id: MediaId) -> Result<(), ApiError> {
        let media = self.fetch.shelf.find(id).await?.media;
        let Some((kind, _)) = received(&media.source) else {
            let details = format!("The file {id} was uploaded; no customer has sent it");
            return Err(ApiError::new(Code::NOT_FOUND, details));
        };
        {
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            if under_way.len() >= DOWNLOADS && !under_way.contains(&id) {
                let details =
                    format!("{DOWNLOADS} files are being fetched at this coreapp already");
                return Err(ApiError::new(Code::OVERLOADED, details));
            }
            if !under_way.insert(id) {
                return Ok(());
            }
        }
        tokio::spawn(async move {
            self.fetch_one(kind, media).await;
            self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        });
        Ok(())
    }

    async fn fetch_one(&self, kind: MediaType, media: Media) {
        let fetched = match media.state {
            MediaState::Stored => Ok(None),
            MediaState::Absent => self.fetch.within(PATIENCE, &media).await.map(Some),
        };
        let item = MediaItem {
            id: media.id,
            kind,
            mime: &media.mime,
            sha256: &media.sha256,
            error: fetched.as_ref().err(),
        };
        let body = callback::media_item(&item);
        let mut ops = Vec::new();
        ops.extend(fetched.ok().flatten().map(Op::PutMedia));
        let (kind, now_ms) = (EventKind::MediaItems.get(), self.fetch.shelf.now_ms());
        ops.push(Op::InsertEvent(NewEvent::apart(kind, now_ms, body)));
        if let Err(error) = self.fetch.shelf.commit(ops).await {
            tracing::warn!(%error, media.id = %media.id, "what came of a download was not stored");
        }
    }
}
