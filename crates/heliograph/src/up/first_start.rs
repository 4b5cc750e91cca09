//! What `up` asks of and sets in a coreapp that has just started.

use std::net::SocketAddr;

use rpc::coreapp::{
    CredentialRequest, GetSettingsRequest, PatchSettingsRequest, admin_client::AdminClient,
    directory_client::DirectoryClient,
};
use serde_json::{Value, json};

/// The account that is always there.
const ADMIN: &str = "admin";

/// What the console has to say.
#[derive(Debug)]
pub(super) struct FirstStart {
    /// The published password is still set.
    pub(super) must_change: bool,
    /// Where callbacks go.
    pub(super) webhook: String,
}

/// The coreapp did not answer as expected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    #[error(transparent)]
    Channel(#[from] tonic::transport::Error),
    #[error("{}", .0.message())]
    Call(#[from] Box<tonic::Status>),
    #[error("the settings are not JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl FirstStart {
    /// Sends callbacks to `receiver` when they go nowhere yet, `sent` included.
    pub(super) async fn prepare(control: SocketAddr, receiver: &str) -> Result<Self, AdminError> {
        let channel = rpc::http2::channel(&format!("http://{control}"), None)?;
        let request = CredentialRequest { user: ADMIN.to_owned() };
        let credential = DirectoryClient::new(channel.clone()).credential(request).await;
        let must_change = credential.map_err(Box::new)?.into_inner().must_change;

        let mut admin = AdminClient::new(channel);
        let settings = admin.get_settings(GetSettingsRequest {}).await.map_err(Box::new)?;
        let settings: Value = serde_json::from_slice(&settings.into_inner().application)?;
        let webhook = settings.pointer("/webhooks/url").and_then(Value::as_str).unwrap_or_default();
        if !webhook.is_empty() {
            return Ok(Self { must_change, webhook: webhook.to_owned() });
        }
        let patch = json!({ "webhooks": { "url": receiver, "message": { "sent": true } } });
        let request = PatchSettingsRequest { patch: patch.to_string().into() };
        admin.patch_settings(request).await.map_err(Box::new)?;
        Ok(Self { must_change, webhook: receiver.to_owned() })
    }
}
