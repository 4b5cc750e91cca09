//! The few calls besides `POST /v1/messages` that a run needs.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::client::{Answer, Client, ClientError};

/// What the first login of a fresh stack sets.
pub(crate) const NEW_PASSWORD: &str = "Bench-Passw0rd!";

/// Why a run cannot begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("{0}: {1}")]
    Call(&'static str, ClientError),
    #[error("{what}: answered {status}: {body}")]
    Refused { what: &'static str, status: u16, body: String },
    #[error("{0}: the answer is not understood")]
    Shape(&'static str),
}

/// Logs in; gives the `Authorization` header of later calls.
pub(crate) async fn login(
    client: &mut Client,
    user: &str,
    password: &str,
    new_password: Option<&str>,
) -> Result<String, ApiError> {
    const WHAT: &str = "logging in";
    let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    let body = new_password.map_or(json!({}), |new| json!({ "new_password": new }));
    let answer = call(client, WHAT, "POST", "/v1/users/login", &basic, &body).await?;
    let token = answer.pointer("/users/0/token").and_then(Value::as_str);
    Ok(format!("Bearer {}", token.ok_or(ApiError::Shape(WHAT))?))
}

/// Changes settings.
pub(crate) async fn patch_settings(
    client: &mut Client,
    authorization: &str,
    patch: &Value,
) -> Result<(), ApiError> {
    let path = "/v1/settings/application";
    call(client, "changing settings", "PATCH", path, authorization, patch).await.map(drop)
}

/// The current settings.
pub(crate) async fn settings(client: &mut Client, authorization: &str) -> Result<Value, ApiError> {
    const WHAT: &str = "reading settings";
    let path = "/v1/settings/application";
    let mut answer = call(client, WHAT, "GET", path, authorization, &Value::Null).await?;
    answer.pointer_mut("/settings/application").map(Value::take).ok_or(ApiError::Shape(WHAT))
}

/// Metrics of the coreapps, all nodes, by name: `{name: {data: [{labels, value}]}}`.
pub(crate) async fn stats(client: &mut Client, authorization: &str) -> Option<Value> {
    const WHAT: &str = "reading stats";
    let answer = call(client, WHAT, "GET", "/v1/stats/app", authorization, &Value::Null).await;
    answer.ok()?.pointer_mut("/stats/app").map(Value::take)
}

/// Metrics of the webapp, in the same shape.
pub(crate) async fn metrics(client: &mut Client, authorization: &str) -> Option<Value> {
    const WHAT: &str = "reading metrics";
    let answer = call(client, WHAT, "GET", "/metrics", authorization, &Value::Null).await;
    answer.ok()?.pointer_mut("/metrics").map(Value::take)
}

/// Counters of the sandbox; `None` when it does not answer.
pub(crate) async fn sandbox_stats(client: &mut Client) -> Option<Value> {
    call(client, "reading the sandbox's stats", "GET", "/stats", "", &Value::Null).await.ok()
}

async fn call(
    client: &mut Client,
    what: &'static str,
    method: &str,
    path: &str,
    authorization: &str,
    body: &Value,
) -> Result<Value, ApiError> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = client.call(method, path, authorization, body).await;
    let Answer { status, body, .. } = answer.map_err(|error| ApiError::Call(what, error))?;
    if !status.is_success() {
        let body = String::from_utf8_lossy(&body).into_owned();
        return Err(ApiError::Refused { what, status: status.as_u16(), body });
    }
    if body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&body).map_err(|_| ApiError::Shape(what))
}
