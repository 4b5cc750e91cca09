//! Client of the sandbox network.
//!
//! What lives here: the connection settings and the control-rate calls. The stream is in `link`, the
//! translation between protocol and neutral types in `convert`, that of keys in `keys`.

mod account;
mod backoff;
mod convert;
mod keys;
mod line;
mod link;
mod media;

use std::time::Duration;

use bytes::Bytes;
use contract::{Key, Number};
use rpc::{
    gated::Permit,
    http2,
    upstream::{
        FetchBundlesRequest, MarkReadRequest, ReportRequest, SyncContactsRequest, TemplatesRequest,
        upstream_client::UpstreamClient,
    },
};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tonic::{Response, Status, transport::Channel};

use self::line::Line;
use crate::{
    AccountAction, AccountAnswer, Batch, CallError, Caps, ContactResult, InboundBy, Incoming,
    NoMedia, Outgoing, OwnKeys, Piece, Report, Resend, Sealing, Upstream, UserBundles,
};

/// Numbers one contact sync may ask for; the network refuses more.
pub const CONTACTS_PER_CALL: usize = 2_000;
/// How long a contact sync may take before it counts as failed.
pub const CONTACTS_TIMEOUT: Duration = Duration::from_secs(10);
/// Users one fetch of pre-key bundles may ask for; the network refuses more.
pub const BUNDLES_PER_CALL: usize = 1_000;
/// How long a fetch may take before it counts as failed; what it brought is lost then.
pub const BUNDLES_TIMEOUT: Duration = Duration::from_secs(10);
/// How long publishing our keys may take; it may be repeated.
pub const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long what concerns the account may take.
pub const ACCOUNT_TIMEOUT: Duration = Duration::from_secs(8);
/// How long a complaint, or telling that something was read, may take; both may be repeated.
pub const REPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the network may hold a question for another catalogue of templates, and how much longer its
/// answer may take.
pub const TEMPLATES_WAIT: Duration = Duration::from_secs(60);
pub const TEMPLATES_TIMEOUT: Duration = Duration::from_secs(10);
/// Messages to one recipient that may be unanswered at once: the stream keeps their order.
pub const PER_RECIPIENT: usize = 8;
/// Messages on the link that may be unanswered at once: 27,000/s at 150 ms.
pub const WINDOW: usize = 4_096;

/// The sandbox network, reached over gRPC. Connects on first use.
#[derive(Clone, Debug)]
pub struct Sandbox {
    channel: Channel,
    /// Files on their way hold up nothing else.
    media: Channel,
    line: Line,
}

/// The address of the sandbox is no URL.
#[derive(Debug, thiserror::Error)]
#[error("use {url:?} as the sandbox's URL, such as http://127.0.0.1:9081")]
pub struct UrlError {
    url: String,
    source: tonic::transport::Error,
}

impl Sandbox {
    /// A client of the sandbox at `url` (`http://host:port`) that speaks for the own `number`.
    ///
    /// # Errors
    /// When `url` is not a URL. That nobody listens there shows later, as
    /// [`Incoming::Disconnected`].
    pub fn new(url: &str, number: Number) -> Result<Self, UrlError> {
        Self::on(url, Line::fixed(number), &Permit::always())
    }

    /// The same for a number that is registered later, or changes: without one nothing connects, with
    /// another one it connects anew. While `permit` says no, nothing leaves.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn following(
        url: &str,
        number: watch::Receiver<Option<Number>>,
        permit: &Permit,
    ) -> Result<Self, UrlError> {
        Self::on(url, Line::new(number), permit)
    }

    fn on(url: &str, line: Line, permit: &Permit) -> Result<Self, UrlError> {
        let channel = || {
            let wrong = |source| UrlError { url: url.to_owned(), source };
            http2::gated(url, permit).map_err(wrong)
        };
        Ok(Self { channel: channel()?, media: channel()?, line })
    }

    fn media_client(&self) -> UpstreamClient<Channel> {
        UpstreamClient::new(self.media.clone()).max_decoding_message_size(http2::MAX_MESSAGE)
    }

    fn client(&self) -> UpstreamClient<Channel> {
        UpstreamClient::new(self.channel.clone())
            .max_decoding_message_size(http2::MAX_MESSAGE)
            .max_encoding_message_size(http2::MAX_MESSAGE)
    }
}

impl Upstream for Sandbox {
    fn caps(&self) -> Caps {
        Caps {
            sealing: Sealing::EndToEnd,
            contacts: Some(Batch { max: CONTACTS_PER_CALL, timeout: CONTACTS_TIMEOUT }),
            prekeys: Some(Batch { max: BUNDLES_PER_CALL, timeout: BUNDLES_TIMEOUT }),
            resend: Resend::Harmless,
            inbound: InboundBy::Stream,
            per_recipient: PER_RECIPIENT,
            window: WINDOW,
        }
    }

    async fn check_contacts(&self, numbers: Vec<Number>) -> Result<Vec<ContactResult>, CallError> {
        let request = SyncContactsRequest {
            number: self.line.number()?.to_string(),
            numbers: numbers.iter().map(Number::to_string).collect(),
        };
        let mut client = self.client();
        let response = answered(CONTACTS_TIMEOUT, client.sync_contacts(request)).await?;
        convert::contacts(&numbers, &response.results)
    }

    async fn fetch_bundles(&self, users: Vec<Number>) -> Result<Vec<UserBundles>, CallError> {
        let request = FetchBundlesRequest {
            number: self.line.number()?.to_string(),
            users: users.iter().map(Number::to_string).collect(),
        };
        let mut client = self.client();
        let response = answered(BUNDLES_TIMEOUT, client.fetch_bundles(request)).await?;
        keys::users(&users, &response.users)
    }

    async fn publish_keys(&self, keys: OwnKeys) -> Result<u32, CallError> {
        let request = keys::publication(self.line.number()?, &keys);
        let mut client = self.client();
        let response = answered(PUBLISH_TIMEOUT, client.publish_keys(request)).await?;
        Ok(response.one_time_left)
    }

    async fn report(&self, report: Report) -> Result<(), CallError> {
        let request = ReportRequest {
            number: self.line.number()?.to_string(),
            wa_id: report.wa_id.to_string(),
            keys: report.keys.iter().map(|key| Bytes::copy_from_slice(key.as_bytes())).collect(),
            reason: report.reason,
        };
        answered(REPORT_TIMEOUT, self.client().report(request)).await.map(|_| ())
    }

    async fn mark_read(&self, wa_id: Number, key: Key) -> Result<(), CallError> {
        let request = MarkReadRequest {
            number: self.line.number()?.to_string(),
            wa_id: wa_id.to_string(),
            key: Bytes::copy_from_slice(key.as_bytes()),
        };
        answered(REPORT_TIMEOUT, self.client().mark_read(request)).await.map(|_| ())
    }

    async fn put_media(
        &self,
        content_type: String,
        pieces: mpsc::Receiver<Piece>,
    ) -> Result<String, CallError> {
        media::put(self.media_client(), self.line.number()?, content_type, pieces).await
    }

    async fn get_media(&self, handle: String, pieces: mpsc::Sender<Piece>) -> Result<(), NoMedia> {
        media::get(self.media_client(), self.line.number()?, handle, pieces).await
    }

    async fn account(
        &self,
        number: Number,
        action: AccountAction,
    ) -> Result<AccountAnswer, CallError> {
        let request = account::request(number, action);
        account::answer(answered(ACCOUNT_TIMEOUT, self.client().account(request)).await?)
    }

    async fn templates(&self, version: String) -> Result<Option<Bytes>, CallError> {
        let request = TemplatesRequest {
            number: self.line.number()?.to_string(),
            version,
            wait_ms: u32::try_from(TEMPLATES_WAIT.as_millis()).unwrap_or(u32::MAX),
        };
        let mut client = self.client();
        let call = client.templates(request);
        let response = answered(TEMPLATES_WAIT + TEMPLATES_TIMEOUT, call).await?;
        Ok(Some(response.catalogue).filter(|catalogue| !catalogue.is_empty()))
    }

    async fn link(
        &self,
        mut outgoing: mpsc::Receiver<Outgoing>,
        incoming: mpsc::Sender<Vec<Incoming>>,
    ) {
        link::run(self.client(), self.line.clone(), &mut outgoing, &incoming).await;
    }
}

/// What a call gave within `limit`.
async fn answered<T>(
    limit: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, CallError> {
    match timeout(limit, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(CallError(convert::reason(&status))),
        Err(_) => Err(CallError(format!("no answer within {} s", limit.as_secs()))),
    }
}
