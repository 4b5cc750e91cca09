//! The account's packs of stickers, as they are stored: one document.

use std::sync::Arc;

use contract::{ApiError, Code, stickers::Packs};

use crate::control::{Control, Document};

/// All packs.
///
/// # Errors
/// 1014 when a later version has written them.
pub(crate) async fn packs(control: &Control) -> Result<Packs, ApiError> {
    read(&control.document(Document::Stickerpacks).await)
}

/// Replaces them by what `change` makes of them; in force everywhere when it returns.
///
/// # Errors
/// What `change` refuses, and as [`packs`] and [`Control::change`].
pub(crate) async fn change(
    control: &Arc<Control>,
    change: impl FnOnce(Packs) -> Result<Packs, ApiError>,
) -> Result<(), ApiError> {
    let change = |now: &[u8]| Ok(change(read(now)?)?.to_json());
    control.change(Document::Stickerpacks, change).await
}

fn read(document: &[u8]) -> Result<Packs, ApiError> {
    Packs::from_json(document).map_err(|error| {
        tracing::error!(%error, "the row of the stickerpacks is not readable");
        ApiError::new(Code::INTERNAL, "The stored stickerpacks are not readable")
    })
}
