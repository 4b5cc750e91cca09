//! `POST /v1/users/login`, `POST /v1/users/logout`.

use std::{sync::Arc, time::Duration};

use axum::{Extension, body::Body, extract::State, response::Response};
use contract::{
    ApiError, Code,
    answer::{self, Empty, Errors},
    login::{self, LoginAnswer, LoginRequest, Secret},
};
use http::{HeaderMap, StatusCode, header};
use rpc::coreapp::{
    CredentialRequest, CredentialResponse, RevokeTokenRequest, Role as WireRole,
    SetPasswordRequest, admin_client::AdminClient, directory_client::DirectoryClient,
};

use crate::{
    app::App,
    auth::{Caller, Claims, LIFETIME_S, token_rand, traceparent},
    directory::Role,
    edge::{Consulted, Context, Refusal, json, read},
    hop::Asker,
};

use super::{
    asking::{Asking, consulted},
    done,
};

/// Of a call to the coreapp.
const CALL: Duration = Duration::from_secs(5);
/// For a change to come back with the directory before its author is answered.
const SHOWN: Duration = Duration::from_secs(2);

/// Logs in.
///
/// `new_password` changes the password, and must be given while the initial one is still set.
#[utoipa::path(
    post, path = "/v1/users/login", tag = "Users", security(("Basic" = [])),
    request_body(content = Option<login::LoginBody>),
    responses(
        (status = 200, description = "Logged in.", body = login::LoggedIn),
        (status = 400, description = "1009: `new_password` breaks the rules. 1010, 1025.", body = Errors),
        (status = 401, description = "1005: name or password is wrong.", body = Errors),
        (status = 403, description = "1024: give `new_password`, the initial one is still set.", body = Errors),
    ),
)]
pub(super) async fn login(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    app.limits.login(&context)?;
    let body = read(&app.metrics, body).await?;
    let basic = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (name, password) = login::basic(basic.unwrap_or_default()).map_err(denied)?;
    let request = LoginRequest::parse(&body)?;
    // Without a fresh copy the token would be refused, perhaps signed with a key of yesterday.
    app.directory.current()?;
    app.limits.may_try(&name)?;
    let credential = credential(&app, &context, &name, &headers).await.map_err(consulted)?;
    let thread = app.passwords.thread().await?;
    // Again: others may have failed while this one waited.
    app.limits.may_try(&name)?;
    let hash = credential.as_ref().map(|credential| credential.password_hash.clone());
    let (right, thread) = app.passwords.verify(thread, &password, hash).await?;
    let Some(credential) = credential.filter(|_| right) else {
        app.limits.failed(&name);
        drop(thread);
        return Err(denied(login::denied()));
    };
    if let Some(new) = request.new_password {
        let hash = app.passwords.hash(thread, &app.rng, &new).await?;
        set_password(&app, &context, &headers, &credential, hash).await.map_err(consulted)?;
    } else if credential.must_change {
        return Err(ApiError::new(
            Code::PASSWORD_CHANGE_REQUIRED,
            "The initial password is still set: repeat with {\"new_password\":\"…\"}",
        )
        .into());
    }
    app.directory
        .shows(SHOWN, |state| {
            state.users.get(&*credential.user).is_some_and(|user| !user.must_change)
        })
        .await;
    let token = token(&app, &credential.user)?;
    let mut response = json(StatusCode::OK, token.to_bytes());
    response.extensions_mut().insert(Consulted(None));
    Ok(response)
}

/// Logs out: voids the token this is called with, and no other.
#[utoipa::path(
    post, path = "/v1/users/logout", tag = "Users",
    responses((status = 200, description = "The token is void.", body = Empty)),
)]
pub(super) async fn logout(asking: Asking) -> Result<Response, Refusal> {
    let Caller { rand, expires, .. } = &asking.caller;
    let message = RevokeTokenRequest { rand: rand.to_string(), expires: *expires };
    asking
        .writer(CALL, message, |channel, request| async move {
            AdminClient::new(channel).revoke_token(request).await
        })
        .await?;
    asking.app.directory.shows(SHOWN, |state| state.revoked.contains(&**rand)).await;
    Ok(done(answer::empty()))
}

fn denied(error: ApiError) -> Refusal {
    Refusal::from(error).challenge("Basic realm=\"heliograph\"")
}

/// `None`: there is no such user.
async fn credential(
    app: &App,
    context: &Context,
    name: &str,
    headers: &HeaderMap,
) -> Result<Option<CredentialResponse>, ApiError> {
    let asker = asker(context, headers, name, Role::User);
    let message = CredentialRequest { user: name.to_owned() };
    let found = app
        .cores
        .control(CALL, |channel| {
            let request = asker.request(message.clone(), CALL);
            async move { DirectoryClient::new(channel).credential(request).await }
        })
        .await;
    match found {
        Ok(credential) => Ok(Some(credential)),
        Err(error) if error.code == Code::NOT_FOUND => Ok(None),
        Err(error) => Err(error),
    }
}

async fn set_password(
    app: &App,
    context: &Context,
    headers: &HeaderMap,
    credential: &CredentialResponse,
    password_hash: String,
) -> Result<(), ApiError> {
    let role = match credential.role() {
        WireRole::Admin => Role::Admin,
        WireRole::User | WireRole::Unspecified => Role::User,
    };
    let asker = asker(context, headers, &credential.user, role);
    let message = SetPasswordRequest { user: credential.user.clone(), password_hash };
    app.cores
        .writer(CALL, |channel| {
            let request = asker.request(message.clone(), CALL);
            async move { AdminClient::new(channel).set_password(request).await }
        })
        .await
        .map(|_| ())
}

fn asker(context: &Context, headers: &HeaderMap, user: &str, role: Role) -> Asker {
    Asker {
        user: user.into(),
        role,
        request_id: context.id.to_string(),
        traceparent: traceparent(headers),
    }
}

fn token(app: &App, user: &str) -> Result<LoginAnswer, ApiError> {
    let state = app.directory.current()?;
    let not_ready = || ApiError::new(Code::NOT_READY, "The coreapp has sent no token key yet");
    let key = app.tokens.key(&state).ok_or_else(not_ready)?;
    // A clock that runs behind the coreapp's must not make a token that is void from the start.
    let not_before = state.users.get(user).map_or(0, |user| user.not_before);
    let iat = app.clock.unix_s().max(not_before);
    let exp = iat + LIFETIME_S;
    let claims = Claims { user: user.into(), iat, exp, rand: token_rand(&app.rng).into() };
    let token = claims.sign(&key).ok_or_else(not_ready)?;
    Ok(LoginAnswer { token: Secret::new(token), expires_s: exp })
}
