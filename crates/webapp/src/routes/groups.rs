//! `/v1/groups…`: what the original took out of its API.

use contract::{ApiError, Code};

use crate::{auth::Caller, edge::Refusal};

/// There are none.
pub(super) async fn gone(_: Caller) -> Refusal {
    ApiError::new(Code::NOT_FOUND, "Groups are no part of this API any more").into()
}
