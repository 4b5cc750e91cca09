//! `GET`, `PUT` and `DELETE /faults`.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
};

use super::{Problem, body};
use crate::{
    driver::Shared,
    faults::{Faults, FaultsPatch},
};

/// The plan.
pub(super) async fn show(State(shared): State<Arc<Shared>>) -> Json<Faults> {
    Json(shared.with(|network, _| network.faults().clone()))
}

/// Changes what the body names and answers the whole plan.
pub(super) async fn change(
    State(shared): State<Arc<Shared>>,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<Json<Faults>, Problem> {
    let patch: FaultsPatch = body(bytes)?;
    Ok(Json(shared.with(|network, now| network.set_faults(&patch, now))?))
}

/// Back to what the sandbox was started with.
pub(super) async fn reset(State(shared): State<Arc<Shared>>) -> Json<Faults> {
    Json(shared.with(crate::network::Network::reset_faults))
}
