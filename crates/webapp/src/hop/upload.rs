//! A request body on its way to a coreapp, piece by piece: what is in memory of it is one piece.
//!
//! The stream ends with `end` only when the body did; whatever goes wrong ends it without, so that the
//! coreapp keeps nothing, and is told to whoever waits for the answer.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use contract::{ApiError, media};
use futures_util::{Stream, stream};
use rpc::coreapp::{PutMediaEnd, PutMediaHead, PutMediaRequest, put_media_request::Part};
use tokio::time::timeout;

use crate::edge::{data, too_slow};

/// Most bytes of a piece.
const PIECE: usize = 256 << 10;
/// For the next bytes of a body to arrive.
const STALL: Duration = Duration::from_secs(30);

/// See the module. Clones are the same upload.
#[derive(Clone)]
pub(crate) struct Upload(Arc<Mutex<State>>);

struct State {
    body: Option<Body>,
    failed: Option<ApiError>,
}

/// Where a stream is.
enum At {
    Head(String),
    Body {
        body: Body,
        /// Of what came, the rest.
        left: Bytes,
        sent: u64,
    },
    End,
}

impl Upload {
    pub(crate) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(State { body: Some(body), failed: None })))
    }

    /// A stream of it has begun: it cannot be sent a second time.
    pub(crate) fn has_begun(&self) -> bool {
        self.lock().body.is_none()
    }

    /// Why the stream ended without an end, and the body if it may be read on.
    pub(crate) fn failed(&self) -> Option<(ApiError, Option<Body>)> {
        let mut state = self.lock();
        let error = state.failed.take()?;
        Some((error, state.body.take()))
    }

    /// The body as a coreapp takes it.
    pub(crate) fn stream(
        &self,
        content_type: &str,
    ) -> impl Stream<Item = PutMediaRequest> + Send + use<> {
        let (upload, content_type) = (self.clone(), content_type.to_owned());
        stream::unfold(At::Head(content_type), move |at| upload.clone().next(at))
    }

    async fn next(self, at: At) -> Option<(PutMediaRequest, At)> {
        let (part, at) = match at {
            At::Head(content_type) => {
                let body = self.lock().body.take()?;
                let at = At::Body { body, left: Bytes::new(), sent: 0 };
                (Part::Head(PutMediaHead { content_type }), at)
            }
            At::Body { mut body, mut left, sent } => {
                while left.is_empty() {
                    match timeout(STALL, data(&mut body)).await {
                        Ok(Ok(Some(came))) => left = came,
                        Ok(Ok(None)) if sent == 0 => return self.fail(media::empty(), None),
                        Ok(Ok(None)) => {
                            let end = Part::End(PutMediaEnd { size: sent });
                            return Some((PutMediaRequest { part: Some(end) }, At::End));
                        }
                        Ok(Err(error)) => return self.fail(error, None),
                        Err(_) => return self.fail(too_slow(STALL), None),
                    }
                }
                let piece = left.split_to(left.len().min(PIECE));
                let sent = sent + piece.len() as u64;
                if sent > media::MAX_UPLOAD {
                    return self.fail(media::too_large(), Some(body));
                }
                (Part::Piece(piece), At::Body { body, left, sent })
            }
            At::End => return None,
        };
        Some((PutMediaRequest { part: Some(part) }, at))
    }

    fn fail<T>(&self, error: ApiError, body: Option<Body>) -> Option<T> {
        *self.lock() = State { body, failed: Some(error) };
        None
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
