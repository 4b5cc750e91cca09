//! What a handler asks for: a caller, an admin, or monitoring.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use contract::{ApiError, Code};
use http::{HeaderMap, HeaderName, header, request::Parts};

use super::cache::Bad;
use crate::{
    app::App,
    directory::{Role, State},
    edge::{Context, Refusal},
    hop::Asker,
};

/// The caller's place in a trace, or our own.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Length of a `traceparent` of version 00.
const TRACEPARENT_LEN: usize = 55;

/// Whoever holds a good token.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) user: Arc<str>,
    pub(crate) role: Role,
    pub(crate) must_change: bool,
    /// `wa:rand` of the token.
    pub(crate) rand: Arc<str>,
    /// End of the token, Unix seconds.
    pub(crate) expires: i64,
}

/// A caller with the role admin.
pub(crate) struct Admin(pub(crate) Caller);

/// A caller, or somebody with the API key.
pub(crate) struct Monitor;

impl Caller {
    /// For calls on this caller's behalf.
    pub(crate) fn asker(&self, context: &Context, headers: &HeaderMap) -> Asker {
        Asker {
            user: Arc::clone(&self.user),
            role: self.role,
            request_id: context.id.to_string(),
            traceparent: traceparent(headers),
        }
    }

    fn of(headers: &HeaderMap, app: &App) -> Result<Self, Refusal> {
        let Some(token) = credentials(headers, "bearer") else {
            return Err(unauthorized("Log in first: this call needs a bearer token"));
        };
        let state: Arc<State> = app.directory.current()?;
        let caller = app.tokens.verify(token, &state, app.clock.unix_s()).map_err(|bad| {
            unauthorized(match bad {
                Bad::Forged => "The token is not valid",
                Bad::Expired => "The token has expired: log in again",
                Bad::Void => "The token was revoked: log in again",
            })
        })?;
        app.limits.user(&caller.user)?;
        if caller.must_change {
            return Err(ApiError::new(
                Code::PASSWORD_CHANGE_REQUIRED,
                "Log in with 'new_password' first: the initial password is still set",
            )
            .into());
        }
        Ok(caller)
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        Self::of(&parts.headers, app)
    }
}

impl FromRequestParts<Arc<App>> for Admin {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let caller = Caller::of(&parts.headers, app)?;
        if caller.role != Role::Admin {
            return Err(
                ApiError::new(Code::ACCESS_DENIED, "This call needs the role ROLE_ADMIN").into()
            );
        }
        Ok(Self(caller))
    }
}

impl FromRequestParts<Arc<App>> for Monitor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        match (credentials(&parts.headers, "apikey"), &app.api_key) {
            (None, _) => Caller::of(&parts.headers, app).map(|_| Self),
            (Some(given), Some(key)) if key.is(given) => Ok(Self),
            (Some(_), Some(_)) => Err(unauthorized("The API key is wrong")),
            (Some(_), None) => Err(unauthorized("No API key is configured")),
        }
    }
}

/// The caller's W3C trace context, if it has the right form; else empty.
pub(crate) fn traceparent(headers: &HeaderMap) -> String {
    let value = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
    value
        .filter(|value| {
            value.len() == TRACEPARENT_LEN
                && value.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
        })
        .unwrap_or_default()
        .to_owned()
}

/// What follows the scheme in `Authorization`; `None` for another scheme or none.
fn credentials<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let (scheme, rest) =
        headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case(wanted).then_some(rest.trim_start())
}

fn unauthorized(details: &'static str) -> Refusal {
    let error = ApiError::new(Code::ACCESS_DENIED, details).with_status(401);
    Refusal::from(error).challenge("Bearer")
}
