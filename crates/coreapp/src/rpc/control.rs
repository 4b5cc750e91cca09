//! Port 6252: directory, administration, operation.

use std::{pin::Pin, sync::Arc, time::Duration};

use ::rpc::coreapp::{
    CredentialRequest, CredentialResponse, GetSettingsRequest, GetWebhookAuthoritiesRequest,
    HealthRequest, HealthResponse, Metric, NodeHealth, PatchSettingsRequest, ResetSettingsRequest,
    RevokeTokenRequest, RevokeTokenResponse, Sample, SetPasswordRequest, SetPasswordResponse,
    SetWebhookAuthoritiesRequest, SetWebhookAuthoritiesResponse, Settings, Snapshot, StatsRequest,
    StatsResponse, WatchRequest, WebhookAuthorities, admin_server::Admin,
    directory_server::Directory as DirectoryApi, ops_server::Ops,
};
use ::rpc::error::to_status;
use ::rpc::{identity::Name, io::Peer};
use contract::{ApiError, Code};
use futures_util::Stream;
use store::rows::Revoked;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::{
    cluster::beat::Beat,
    control::{Control, Directory},
    gauges::Gauges,
    support,
};

/// A sign of life at least this often.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Messages a slow webapp may be behind; then its stream waits.
const QUEUE: usize = 8;
/// Longest text taken, bytes.
const TEXT_MAX: usize = 512;

/// See the proto.
#[derive(Clone)]
pub(crate) struct ControlService {
    pub control: Arc<Control>,
    pub desk: Arc<support::Desk>,
    pub gauges: Arc<Gauges>,
    pub beat: Arc<Beat>,
    /// The process stops: whoever watches turns to another coreapp.
    pub stop: CancellationToken,
}

/// Only webapps ask here: whoever has the token key can be any user.
fn check<T>(request: Request<T>) -> Result<T, Status> {
    let name = request.extensions().get::<Peer>().and_then(|peer| peer.name.clone());
    if name.is_none_or(|name| name == Name::Webapp) {
        return Ok(request.into_inner());
    }
    Err(to_status(ApiError::new(Code::ACCESS_DENIED, "this service is for webapps")))
}

#[tonic::async_trait]
impl DirectoryApi for ControlService {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<Snapshot, Status>> + Send>>;

    async fn credential(
        &self,
        request: Request<CredentialRequest>,
    ) -> Result<Response<CredentialResponse>, Status> {
        let name = check(request)?.user;
        let user = self.control.user(&name).await.ok_or_else(|| {
            to_status(ApiError::new(Code::NOT_FOUND, "There is no user with this name"))
        })?;
        Ok(Response::new(CredentialResponse {
            role: crate::control::role(&user).into(),
            user: user.name,
            password_hash: user.password_hash,
            must_change: user.must_change,
        }))
    }

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let webapp = check(request)?.webapp;
        tracing::info!(webapp, "a webapp watches the directory");
        let (out, queue) = mpsc::channel(QUEUE);
        tokio::spawn(feed(self.control.directory(), self.beat.clone(), out, self.stop.clone()));
        Ok(Response::new(Box::pin(ReceiverStream::new(queue))))
    }
}

async fn feed(
    mut directory: watch::Receiver<Directory>,
    beat: Arc<Beat>,
    out: mpsc::Sender<Result<Snapshot, Status>>,
    stop: CancellationToken,
) {
    let mut known: Option<Directory> = None;
    loop {
        let now = directory.borrow_and_update().clone();
        let stale = beat.answers().is_err();
        let snapshot = Snapshot { stale, ..now.since(known.as_ref()) };
        if out.send(Ok(snapshot)).await.is_err() {
            return;
        }
        known = Some(now);
        tokio::select! {
            changed = directory.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = tokio::time::sleep(HEARTBEAT) => {}
            () = out.closed() => return,
            () = stop.cancelled() => return,
        }
    }
}

#[tonic::async_trait]
impl Admin for ControlService {
    async fn get_settings(
        &self,
        _request: Request<GetSettingsRequest>,
    ) -> Result<Response<Settings>, Status> {
        Ok(Response::new(self.settings().await))
    }

    async fn patch_settings(
        &self,
        request: Request<PatchSettingsRequest>,
    ) -> Result<Response<Settings>, Status> {
        self.control.patch(&request.into_inner().patch).await.map_err(to_status)?;
        Ok(Response::new(self.settings().await))
    }

    async fn reset_settings(
        &self,
        _request: Request<ResetSettingsRequest>,
    ) -> Result<Response<Settings>, Status> {
        self.control.reset().await.map_err(to_status)?;
        Ok(Response::new(self.settings().await))
    }

    async fn get_webhook_authorities(
        &self,
        _request: Request<GetWebhookAuthoritiesRequest>,
    ) -> Result<Response<WebhookAuthorities>, Status> {
        let pem = self.control.authorities().await.unwrap_or_default();
        Ok(Response::new(WebhookAuthorities { pem }))
    }

    async fn set_webhook_authorities(
        &self,
        request: Request<SetWebhookAuthoritiesRequest>,
    ) -> Result<Response<SetWebhookAuthoritiesResponse>, Status> {
        self.control.set_authorities(request.into_inner().pem).await.map_err(to_status)?;
        Ok(Response::new(SetWebhookAuthoritiesResponse {}))
    }

    async fn set_password(
        &self,
        request: Request<SetPasswordRequest>,
    ) -> Result<Response<SetPasswordResponse>, Status> {
        let SetPasswordRequest { user, password_hash } = request.into_inner();
        super::account::check_hash(&password_hash).map_err(to_status)?;
        self.control.set_password(&user, password_hash).await.map_err(to_status)?;
        Ok(Response::new(SetPasswordResponse {}))
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        let RevokeTokenRequest { rand, expires } = request.into_inner();
        if rand.is_empty() || rand.len() > TEXT_MAX {
            let details = "'rand' must be a token's wa:rand";
            return Err(to_status(ApiError::new(Code::INVALID, details)));
        }
        self.control.revoke(Revoked { rand, expires }).await.map_err(to_status)?;
        Ok(Response::new(RevokeTokenResponse {}))
    }
}

impl ControlService {
    async fn settings(&self) -> Settings {
        let (version, application) = self.control.public_settings().await;
        Settings { version: version.unsigned_abs(), application: application.into() }
    }
}

#[tonic::async_trait]
impl Ops for ControlService {
    async fn health(
        &self,
        _request: Request<HealthRequest>,
    ) -> Result<Response<HealthResponse>, Status> {
        let node = NodeHealth {
            node: self.desk.node.clone(),
            gateway_status: self.desk.status().to_owned(),
            role: self.desk.role().to_owned(),
        };
        Ok(Response::new(HealthResponse { nodes: vec![node] }))
    }

    async fn stats(
        &self,
        _request: Request<StatsRequest>,
    ) -> Result<Response<StatsResponse>, Status> {
        let metrics = self.gauges.snapshot().into_iter().map(|family| Metric {
            name: family.name,
            r#type: family.kind.to_owned(),
            help: family.help,
            samples: family
                .samples
                .into_iter()
                .map(|sample| Sample {
                    labels: sample.labels.into_iter().collect(),
                    value: sample.value,
                })
                .collect(),
        });
        let (metrics, node) = (metrics.collect(), self.desk.node.clone());
        Ok(Response::new(StatsResponse { metrics, node }))
    }
}
