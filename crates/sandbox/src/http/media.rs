//! What a phone downloads: `GET /phones/{wa_id}/media/{handle}`, the file that a message names.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use futures_util::stream;

use super::Problem;
use crate::{driver::Shared, media};

/// Its bytes. Any phone gets any file: who knows the handle has got the message.
pub(super) async fn file(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, Problem> {
    let Path((_, handle)) = path.map_err(|rejection| Problem::bad(rejection.body_text()))?;
    let broken = |error: std::io::Error| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("failed to read it: {error}"))
    };
    let opened = shared.media().open(&handle).await.map_err(broken)?;
    let (file, content_type) = opened
        .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no message names a file like this"))?;
    let size = file.metadata().await.map_err(broken)?.len();
    let pieces = stream::try_unfold(file, |mut file| async {
        let piece = media::piece(&mut file).await?;
        Ok::<_, std::io::Error>((!piece.is_empty()).then_some((piece, file)))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, size.into());
    if let Ok(content_type) = HeaderValue::try_from(content_type) {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    Ok(response)
}
