//! `/v1/users`: admins make, change and take away users; each may read and change itself.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, extract::Path, response::Response};
use contract::{
    ApiError, Code,
    answer::Errors,
    login::Secret,
    users::{self, NewUser},
};
use http::StatusCode;
use rpc::coreapp::{
    CreateUserRequest, DeleteUserRequest, SetPasswordRequest, admin_client::AdminClient,
    user_admin_client::UserAdminClient,
};

use super::{
    InPath, answered,
    asking::{Asking, AskingAdmin},
    done,
};
use crate::{
    app::App,
    directory::Role,
    edge::{Refusal, json, read},
};

/// As for settings: in force when it answers.
const CALL: Duration = Duration::from_secs(10);
/// For a change to come back with the directory before its author is answered.
const SHOWN: Duration = Duration::from_secs(2);

/// Makes a user.
#[utoipa::path(
    post, path = "/v1/users", tag = "Users", security(("Bearer" = ["ROLE_ADMIN"])),
    request_body(content = users::NewUserBody),
    responses(
        (status = 201, description = "Made.", body = users::UserNamed),
        (status = 400, description = "1008 something is missing, 1009 against the rules, 1010 unknown field, 1025 no JSON.", body = Errors),
        (status = 500, description = "1014: there is a user with this name already.", body = Errors),
    ),
)]
pub(super) async fn create(
    AskingAdmin(asking): AskingAdmin,
    body: Body,
) -> Result<Response, Refusal> {
    let NewUser { username, password } = NewUser::parse(&read(&asking.app.metrics, body).await?)?;
    let password_hash = hashed(&asking.app, &password).await?;
    let message = CreateUserRequest { name: username.clone(), password_hash };
    asking
        .writer(CALL, message, |channel, request| async move {
            UserAdminClient::new(channel).create(request).await
        })
        .await?;
    asking.app.directory.shows(SHOWN, |state| state.users.contains_key(&*username)).await;
    Ok(answered(StatusCode::CREATED, users::named(&username)))
}

/// Shows a user: any to an admin, everybody else themselves.
#[utoipa::path(
    get, path = "/v1/users/{username}", tag = "Users",
    params(("username" = String, Path, description = "The user's name.")),
    responses(
        (status = 200, description = "The user.", body = users::UserShown),
    ),
)]
pub(super) async fn get(asking: Asking, name: InPath) -> Result<Response, Refusal> {
    let name = allowed(&asking, name)?;
    let state = asking.app.directory.current()?;
    let user = state.users.get(&*name).ok_or_else(unknown)?;
    Ok(json(StatusCode::OK, users::shown(&name, user.role == Role::Admin)))
}

/// Gives a user a new password: any for an admin, everybody else themselves.
///
/// Tokens stay good.
#[utoipa::path(
    put, path = "/v1/users/{username}", tag = "Users",
    params(("username" = String, Path, description = "The user's name.")),
    request_body(content = users::PasswordBody),
    responses(
        (status = 200, description = "Changed.", body = users::UserNamed),
        (status = 400, description = "1008 no password, 1009 against the rules, 1010 unknown field, 1025 no JSON.", body = Errors),
    ),
)]
pub(super) async fn put(asking: Asking, name: InPath, body: Body) -> Result<Response, Refusal> {
    let user = allowed(&asking, name)?;
    let password = users::new_password(&read(&asking.app.metrics, body).await?)?;
    if !asking.app.directory.current()?.users.contains_key(&*user) {
        return Err(unknown().into());
    }
    let password_hash = hashed(&asking.app, &password).await?;
    let message = SetPasswordRequest { user: user.clone(), password_hash };
    asking
        .writer(CALL, message, |channel, request| async move {
            AdminClient::new(channel).set_password(request).await
        })
        .await?;
    Ok(done(users::named(&user)))
}

/// Takes a user away, and the user's tokens.
#[utoipa::path(
    delete, path = "/v1/users/{username}", tag = "Users", security(("Bearer" = ["ROLE_ADMIN"])),
    params(("username" = String, Path, description = "The user's name.")),
    responses(
        (status = 200, description = "Gone, and so are the tokens.", body = users::UserNamed),
    ),
)]
pub(super) async fn delete(
    AskingAdmin(asking): AskingAdmin,
    name: InPath,
) -> Result<Response, Refusal> {
    let name = named(name)?;
    asking
        .writer(CALL, DeleteUserRequest { name: name.clone() }, |channel, request| async move {
            UserAdminClient::new(channel).delete(request).await
        })
        .await?;
    asking.app.directory.shows(SHOWN, |state| !state.users.contains_key(&*name)).await;
    Ok(done(users::named(&name)))
}

async fn hashed(app: &Arc<App>, password: &Secret) -> Result<String, ApiError> {
    let thread = app.passwords.thread().await?;
    app.passwords.hash(thread, &app.rng, password).await
}

fn named(name: InPath) -> Result<String, ApiError> {
    name.map(|Path(name)| name).map_err(|_| unknown())
}

/// Others than admins may have to do with themselves alone.
fn allowed(asking: &Asking, name: InPath) -> Result<String, ApiError> {
    let name = named(name)?;
    if asking.caller.role == Role::Admin || *asking.caller.user == *name {
        return Ok(name);
    }
    Err(ApiError::new(Code::ACCESS_DENIED, "This call needs the role ROLE_ADMIN"))
}

fn unknown() -> ApiError {
    ApiError::new(Code::NOT_FOUND, "There is no user with this name")
}
