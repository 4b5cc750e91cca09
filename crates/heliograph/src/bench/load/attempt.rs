//! One call, repeated as the gateway asks.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use tokio::time::Instant;

use super::{Plan, pace::Pace};
use crate::{bench::tally::Tally, client::Client};

/// Pause after a refusal that does not say how long.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Tries of one call; then it counts as failed.
const TRIES: u32 = 1_000;

#[derive(Deserialize)]
struct Refused {
    #[serde(default)]
    errors: Vec<Code>,
}

#[derive(Deserialize)]
struct Code {
    code: u32,
}

/// Gives the body of a success, or why there is none: `HTTP status/code`, or what broke. Refusals
/// (429, 503) are counted one by one, whether they are repeated or not.
pub(super) async fn call(
    client: &mut Client,
    plan: &Plan,
    path: &str,
    body: &Bytes,
    tally: &Tally,
    mut pace: Option<&mut Pace>,
) -> Result<Bytes, String> {
    for _ in 0..TRIES {
        let answer = client.call("POST", path, &plan.target.authorization, body.clone()).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status.is_success() {
            return Ok(answer.body);
        }
        let reason = reason(answer.status, &answer.body);
        if !matches!(answer.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
        {
            return Err(reason);
        }
        tally.refused(&reason, plan.retry);
        if !plan.retry {
            return Err(reason);
        }
        if let Some(pace) = &mut pace {
            pace.refused(Instant::now());
        }
        tokio::time::sleep(answer.retry_after.unwrap_or(RETRY_AFTER)).await;
    }
    Err(format!("refused {TRIES} times"))
}

fn reason(status: StatusCode, body: &[u8]) -> String {
    let code = serde_json::from_slice::<Refused>(body).ok();
    match code.and_then(|refused| refused.errors.first().map(|error| error.code)) {
        Some(code) => format!("{}/{code}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}
