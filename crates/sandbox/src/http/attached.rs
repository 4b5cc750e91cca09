//! The files of what customers write: `data` in base64, which the sandbox keeps; the message gets what a
//! phone would put there: `handle`, `sha256`, `size`.

use axum::http::StatusCode;
use base64::{Engine, engine::general_purpose::STANDARD};
use contract::{media::hex, settings::MediaType};
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value};

use super::Problem;
use crate::{
    driver::Shared,
    media::{self, Refused},
};

/// Keeps the files of a message and of its `referral`. One that names a `handle` has it already.
pub(super) async fn keep(shared: &Shared, message: &mut Map<String, Value>) -> Result<(), Problem> {
    keep_in(shared, "", message).await?;
    match message.get_mut("referral") {
        Some(Value::Object(referral)) => keep_in(shared, "referral.", referral).await,
        _ => Ok(()),
    }
}

async fn keep_in(
    shared: &Shared,
    path: &str,
    holder: &mut Map<String, Value>,
) -> Result<(), Problem> {
    for kind in MediaType::ALL {
        let name = format!("{path}{}", kind.as_str());
        let Some(Value::Object(file)) = holder.get_mut(kind.as_str()) else { continue };
        if file.get("handle").is_some_and(Value::is_string) {
            continue;
        }
        let data = match file.remove("data") {
            Some(Value::String(data)) => STANDARD.decode(data).ok(),
            _ => None,
        };
        let data = data.filter(|data| !data.is_empty()).ok_or_else(|| {
            Problem::bad(format!("\"{name}.data\" is the file in base64, at least a byte of it"))
        })?;
        if data.len() as u64 > kind.max_bytes() {
            let most = kind.max_bytes();
            return Err(Problem::bad(format!("\"{name}.data\" has more than {most} bytes")));
        }
        let mime = file.get("mime_type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let handle = store(shared, mime, &data).await.map_err(|refused| {
            Problem::new(StatusCode::INSUFFICIENT_STORAGE, refused.to_string())
        })?;
        file.insert("handle".to_owned(), handle.into());
        file.insert("sha256".to_owned(), hex(digest(&SHA256, &data).as_ref()).into());
        file.insert("size".to_owned(), data.len().into());
    }
    Ok(())
}

async fn store(shared: &Shared, mime: String, data: &[u8]) -> Result<String, Refused> {
    let mut file = shared.media().begin(mime).await?;
    for piece in data.chunks(media::PIECE) {
        file.write(piece).await?;
    }
    file.finish(data.len() as u64).await
}
