//! `/v1/settings/backup`, `/v1/settings/restore`, for admins: the account carried to another
//! installation. The coreapp seals and opens.

use std::time::Duration;

use axum::{body::Body, response::Response};
use contract::{
    answer::{self, Empty, Errors},
    backup::{self, RestoreRequest},
};
use rpc::coreapp::{self as proto, account_client::AccountClient};

use super::{asking::AskingAdmin, done};
use crate::edge::{Refusal, read};

/// The network is asked twice at a restore, and the key takes its time.
const CALL: Duration = Duration::from_secs(25);

/// Gives the account, sealed under a password.
#[utoipa::path(
    post, path = "/v1/settings/backup", tag = "Account", security(("Bearer" = ["ROLE_ADMIN"])),
    request_body(content = backup::BackupBody),
    responses(
        (status = 200, description = "The account, sealed.", body = backup::BackupAnswer),
        (status = 400, description = "1008 something is missing, 1009 type or value, 1010 unknown field, 1025 no JSON.", body = Errors),
    ),
)]
pub(super) async fn backup(
    AskingAdmin(asking): AskingAdmin,
    body: Body,
) -> Result<Response, Refusal> {
    let password = backup::password(&read(&asking.app.metrics, body).await?)?;
    let message = proto::BackupRequest { password: password.expose().to_owned() };
    let sealed = asking
        .writer(CALL, message, |channel, request| async move {
            AccountClient::new(channel).backup(request).await
        })
        .await?;
    Ok(done(backup::sealed(&sealed.data)))
}

/// Takes up a backup, where no number is registered.
#[utoipa::path(
    post, path = "/v1/settings/restore", tag = "Account", security(("Bearer" = ["ROLE_ADMIN"])),
    request_body(content = backup::RestoreBody),
    responses(
        (status = 200, description = "The account is here.", body = Empty),
        (status = 400, description = "1008 something is missing, 1009 type or value, 1010 unknown field, 1025 no JSON.", body = Errors),
        (status = 403, description = "1005: a number is registered here already, or the network refuses.", body = Errors),
    ),
)]
pub(super) async fn restore(
    AskingAdmin(asking): AskingAdmin,
    body: Body,
) -> Result<Response, Refusal> {
    let RestoreRequest { password, data } =
        RestoreRequest::parse(&read(&asking.app.metrics, body).await?)?;
    let message = proto::RestoreRequest { password: password.expose().to_owned(), data };
    asking
        .writer(CALL, message, |channel, request| async move {
            AccountClient::new(channel).restore(request).await
        })
        .await?;
    Ok(done(answer::empty()))
}
