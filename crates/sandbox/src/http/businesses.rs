//! `GET /businesses/{number}`: what the network knows of an own number as an account, the code it was
//! sent included; `GET /businesses/{number}/photo`: its picture.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use contract::Number;
use serde_json::{Value, json};

use super::Problem;
use crate::{driver::Shared, network::Registration};

/// All of it but the picture.
pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let number = number(path)?;
    shared.with(|network, _| Ok(Json(shown(network.registration(number)?))))
}

/// The picture.
pub(super) async fn photo(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let number = number(path)?;
    let photo = shared.with(|network, _| {
        network.registration(number).map(|registration| registration.photo.0.clone())
    })?;
    if photo.is_empty() {
        return Err(Problem::new(StatusCode::NOT_FOUND, "the business has no picture"));
    }
    Ok(([(header::CONTENT_TYPE, "image/jpeg")], photo).into_response())
}

fn number(path: Result<Path<String>, PathRejection>) -> Result<Number, Problem> {
    let Path(text) = path.map_err(|rejection| Problem::bad(rejection.body_text()))?;
    Number::parse(&text)
        .map_err(|error| Problem::bad(format!("the path names no own number: {error}")))
}

fn shown(registration: &Registration) -> Value {
    let code = registration.code.as_ref();
    json!({
        "registered": registration.registered,
        "vname": registration.vname,
        "code": code.map(|sent| &sent.code),
        "code_by": code.map(|sent| &sent.by),
        "two_step": registration.two_step.is_some(),
        "profile": registration.profile,
        "photo_bytes": registration.photo.0.len(),
    })
}
