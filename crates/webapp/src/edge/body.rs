//! Request bodies: bounded in size and time before anything looks into them.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use contract::{ApiError, Code, json::MAX_BODY};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tokio::time::timeout;

use crate::metrics::Web;

/// For the whole body to arrive, unless its reader says otherwise.
pub(crate) const ARRIVAL: Duration = Duration::from_secs(10);
/// Of a body that is too large this much is read and dropped, so that the client gets to read its
/// refusal instead of a reset connection; then the connection closes.
const DISCARD: usize = 8 << 20;
/// And for no longer than this.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// Of an upload that is too large: all of it, within this time; a file is not sent in one go.
const DISCARD_UPLOAD: usize = 128 << 20;
const DISCARD_UPLOAD_TIME: Duration = Duration::from_secs(10);

/// Reads a body of at most 1 MiB within 10 s.
///
/// # Errors
/// 413/1025 too large, 408/1025 too slow, 400/1025 broken off.
pub(crate) async fn read(metrics: &Web, body: Body) -> Result<Bytes, ApiError> {
    read_within(metrics, body, MAX_BODY, ARRIVAL).await
}

/// The same with at most `max` bytes within `arrival`.
///
/// # Errors
/// As [`read`].
pub(crate) async fn read_within(
    metrics: &Web,
    mut body: Body,
    max: usize,
    arrival: Duration,
) -> Result<Bytes, ApiError> {
    let _reading = Web::held(&metrics.reading);
    let read = match timeout(arrival, collect(&mut body, max)).await {
        Ok(read) => read,
        Err(_) => Err(too_slow(arrival)),
    };
    if read.as_ref().is_err_and(|error| error.status() == 413) {
        let _gave_up = timeout(DISCARD_TIME, discard(&mut body, DISCARD)).await;
    }
    read
}

async fn collect(body: &mut Body, max: usize) -> Result<Bytes, ApiError> {
    let announced = body.size_hint().lower();
    if announced > max as u64 {
        return Err(too_large(max));
    }
    let Some(first) = data(body).await? else { return Ok(Bytes::new()) };
    if first.len() > max {
        return Err(too_large(max));
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    let mut whole = BytesMut::from(first);
    while let Some(next) = data(body).await? {
        if whole.len() + next.len() > max {
            return Err(too_large(max));
        }
        whole.extend_from_slice(&next);
    }
    Ok(whole.freeze())
}

/// The next piece; trailers are dropped.
///
/// # Errors
/// 400/1025 when there is no more although there should be.
pub(crate) async fn data(body: &mut Body) -> Result<Option<Bytes>, ApiError> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            ApiError::new(Code::INVALID_REQUEST, "The body broke off before its end")
        })?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Reads on what is left of an upload that was refused.
pub(crate) async fn discard_upload(mut body: Body) {
    let _gave_up = timeout(DISCARD_UPLOAD_TIME, discard(&mut body, DISCARD_UPLOAD)).await;
}

/// 408: nothing came for so long.
pub(crate) fn too_slow(waited: Duration) -> ApiError {
    let details = format!("The body did not arrive within {} s", waited.as_secs());
    ApiError::new(Code::INVALID_REQUEST, details).with_status(408)
}

async fn discard(body: &mut Body, most: usize) {
    let mut dropped = 0;
    while dropped < most {
        match data(body).await {
            Ok(Some(piece)) => dropped += piece.len(),
            Ok(None) | Err(_) => return,
        }
    }
}

fn too_large(max: usize) -> ApiError {
    ApiError::new(Code::INVALID_REQUEST, format!("The body has more than {max} bytes"))
        .with_status(413)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream::pending;
    use telemetry::Metrics;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_is_waited_for_as_long_as_its_reader_says() {
        let web = Web::new(Metrics::new(), "web".to_owned()).unwrap();
        for arrival in [ARRIVAL, 6 * ARRIVAL] {
            let began = Instant::now();
            let never = Body::from_stream(pending::<Result<Bytes, Infallible>>());
            let error = read_within(&web, never, 1, arrival).await.unwrap_err();
            assert_eq!((error.status(), began.elapsed().as_secs()), (408, arrival.as_secs()));
            assert!(error.details.contains(&format!("{} s", arrival.as_secs())), "{error}");
        }
    }
}
