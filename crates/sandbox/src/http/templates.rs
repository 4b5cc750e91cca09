//! `/templates`: which message templates the network knows, and what it makes of those it does not.
//!
//! A change is in force at a business when `GET` shows its version beside the business's number.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{
        Path, State,
        rejection::{BytesRejection, PathRejection},
    },
    http::StatusCode,
};
use contract::{
    ApiError, Fields,
    catalogue::{Definition, Policy, TemplateId},
};
use serde_json::Value;

use super::{Problem, read};
use crate::driver::Shared;

type Named = Result<Path<(String, String, String)>, PathRejection>;
type Body = Result<Bytes, BytesRejection>;

/// All of them, and who goes by which version.
pub(super) async fn list(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(shared.with(|network, _| network.templates_shown()))
}

/// What becomes of messages of others.
pub(super) async fn policy(
    State(shared): State<Arc<Shared>>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let policy = Policy::read(fields(body)?)?;
    shared.with(|network, _| network.set_template_policy(policy));
    shown(&shared).await
}

/// None any more, and the policy of the start.
pub(super) async fn reset(State(shared): State<Arc<Shared>>) -> Result<Json<Value>, Problem> {
    shared.with(|network, _| network.reset_templates());
    shown(&shared).await
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    path: Named,
) -> Result<Json<Value>, Problem> {
    let id = id(path)?;
    shared.with(|network, _| network.template(&id)).map(Json).ok_or_else(unknown)
}

/// Adds one, or replaces it.
pub(super) async fn put(
    State(shared): State<Arc<Shared>>,
    path: Named,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let id = id(path)?;
    let definition = Definition::read(fields(body)?)?;
    let shown = shared.with(|network, _| {
        network.put_template(id.clone(), definition)?;
        Ok::<_, ApiError>(network.template(&id))
    })?;
    shared.durable().await?;
    shown.map(Json).ok_or_else(unknown)
}

pub(super) async fn delete(
    State(shared): State<Arc<Shared>>,
    path: Named,
) -> Result<Json<Value>, Problem> {
    let id = id(path)?;
    if !shared.with(|network, _| network.delete_template(&id)) {
        return Err(unknown());
    }
    shown(&shared).await
}

async fn shown(shared: &Arc<Shared>) -> Result<Json<Value>, Problem> {
    shared.durable().await?;
    Ok(list(State(shared.clone())).await)
}

fn fields(body: Body) -> Result<Fields, Problem> {
    Ok(Fields::of_body(&read(body)?)?)
}

fn id(path: Named) -> Result<TemplateId, Problem> {
    let Path((namespace, name, language)) =
        path.map_err(|rejection| Problem::bad(rejection.body_text()))?;
    Ok(TemplateId::new(&namespace, &name, &language)?)
}

fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no template of this namespace, name and language")
}
