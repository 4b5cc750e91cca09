//! `/v1/certificates/external`: the certificate of this API. The coreapp keeps it, sealed; every webapp gets
//! it over the directory and serves new connections with it, without a restart.

use std::time::Duration;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use contract::{
    ApiError, Code,
    answer::{self, Empty, Errors},
};
use rpc::coreapp::{SetExternalRequest, certificates_client::CertificatesClient};

use super::{
    asking::{Asking, AskingAdmin},
    done, pem,
};
use crate::{
    edge::{Refusal, read},
    listen::checked,
};

/// As for settings: in force when it answers.
const CALL: Duration = Duration::from_secs(10);
/// For this webapp to have it too; the change is durable either way.
const SHOWN: Duration = Duration::from_secs(2);

/// Replaces the certificate of this API.
///
/// Private key, certificate and at least one intermediate, as PEM, in this order. In force at every webapp
/// for new connections, before the files of its configuration, until it is taken away.
#[utoipa::path(
    post, path = "/v1/certificates/external", tag = "Certificates", security(("Bearer" = ["ROLE_ADMIN"])),
    request_body(content = String, content_type = "text/plain", description = "PEM: private key, certificate, intermediates."),
    responses(
        (status = 200, description = "In force.", body = Empty),
        (status = 400, description = "1008 no body; 1009 a block is missing, out of order, expired, or the key is another certificate's: which, is told.", body = Errors),
    ),
)]
pub(super) async fn post(
    AskingAdmin(asking): AskingAdmin,
    body: Body,
) -> Result<Response, Refusal> {
    let pem = read(&asking.app.metrics, body).await?;
    checked(&pem, asking.app.clock.unix_s())?;
    set(&asking, pem).await
}

/// Takes the uploaded certificate away: each webapp serves with its own again.
#[utoipa::path(
    delete, path = "/v1/certificates/external", tag = "Certificates", security(("Bearer" = ["ROLE_ADMIN"])),
    responses((status = 200, description = "Gone.", body = Empty)),
)]
pub(super) async fn delete(AskingAdmin(asking): AskingAdmin) -> Result<Response, Refusal> {
    set(&asking, Bytes::new()).await
}

/// Shows the authorities behind the certificate of this API.
///
/// Those that were uploaded with it; a self-signed certificate itself, which is its own authority.
#[utoipa::path(
    get, path = "/v1/certificates/external/ca", tag = "Certificates",
    responses(
        (status = 200, description = "PEM.", body = String, content_type = "text/plain"),
        (status = 404, description = "1006: this webapp serves no TLS.", body = Errors),
    ),
)]
pub(super) async fn authorities(asking: Asking) -> Result<Response, Refusal> {
    let Some(certificates) = &asking.app.certificates else {
        let details = "No certificate found: this webapp serves no TLS";
        return Err(ApiError::new(Code::NOT_FOUND, details).into());
    };
    Ok(pem(certificates.authorities().into()))
}

async fn set(asking: &Asking, pem: Bytes) -> Result<Response, Refusal> {
    let request = SetExternalRequest { pem: pem.clone() };
    asking
        .writer(CALL, request, |channel, request| async move {
            CertificatesClient::new(channel).set_external(request).await
        })
        .await?;
    asking.app.directory.shows(SHOWN, |state| state.certificate == pem).await;
    if let Some(certificates) = &asking.app.certificates {
        // Whoever connects after the answer is served with it.
        certificates.upload(&pem);
    }
    Ok(done(answer::empty()))
}
