//! The upstream protocol over gRPC: carries items between the streams and the network.

use std::{pin::Pin, sync::Arc, time::Duration};

use contract::Number;
use futures_util::{Stream, StreamExt, stream};
use rpc::{
    io::Peer,
    upstream::{
        AccountRequest, AccountResponse, Down, FetchBundlesRequest, FetchBundlesResponse,
        GetMediaRequest, GetMediaResponse, MarkReadRequest, MarkReadResponse, MediaEnd, MediaHead,
        PublishKeysRequest, PublishKeysResponse, PutMediaRequest, PutMediaResponse, ReportRequest,
        ReportResponse, SyncContactsRequest, SyncContactsResponse, TemplatesRequest,
        TemplatesResponse, Up, get_media_response, put_media_request, upstream_server::Upstream,
    },
};
use tokio::{sync::Notify, time::sleep};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    driver::Shared,
    faults::MediaFault,
    media::{self, Refused},
    network::{
        AccountId, FetchId, FetchRefused, Gathering, Network, PUBLISH_MAX, Pull, REPORT_MAX,
        StreamId, SyncRefused,
    },
    sessions::wire::{self, Offered},
};

/// Longest wait for another catalogue of templates, milliseconds.
const TEMPLATES_WAIT_MAX: u32 = 60_000;
/// Most items handed to, or taken from, the network under one lock.
const CHUNK: usize = 256;

pub(crate) struct Service {
    shared: Arc<Shared>,
}

impl Service {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

#[tonic::async_trait]
impl Upstream for Service {
    type GetMediaStream = Pin<Box<dyn Stream<Item = Result<GetMediaResponse, Status>> + Send>>;
    type AttachStream = Pin<Box<dyn Stream<Item = Result<Down, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<Up>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let (id, wake) = self
            .shared
            .open_stream()
            .ok_or_else(|| Status::resource_exhausted("too many streams, or the sandbox stops"))?;
        let open = Open { shared: self.shared.clone(), id };
        let reader = tokio::spawn(read(self.shared.clone(), id, request.into_inner()));
        let state = Some(Attached { open, wake, _reader: AbortOnDropHandle::new(reader) });
        let chunks = stream::unfold(state, |state| async move {
            let attached = state?;
            match attached.next().await {
                Ok(items) => {
                    let items: Vec<_> = items.into_iter().map(Ok).collect();
                    Some((stream::iter(items), Some(attached)))
                }
                Err(why) => Some((stream::iter(vec![Err(Status::unavailable(why))]), None)),
            }
        });
        Ok(Response::new(Box::pin(chunks.flatten())))
    }

    async fn sync_contacts(
        &self,
        request: Request<SyncContactsRequest>,
    ) -> Result<Response<SyncContactsResponse>, Status> {
        let SyncContactsRequest { number, numbers } = request.into_inner();
        let begun = self.shared.with(|network, _| network.begin_sync(&number, numbers.len()));
        let (account, latency_ms) = begun.map_err(|refused| match refused {
            SyncRefused::Concurrent | SyncRefused::Accounts => {
                Status::resource_exhausted(refused.to_string())
            }
            SyncRefused::TooMany | SyncRefused::Number => {
                Status::invalid_argument(refused.to_string())
            }
        })?;
        let _under_way = Syncing { shared: &self.shared, account };
        sleep(Duration::from_millis(latency_ms)).await;
        let results = self.shared.with(|network: &mut Network, _| network.contacts(numbers));
        Ok(Response::new(SyncContactsResponse { results }))
    }

    async fn fetch_bundles(
        &self,
        request: Request<FetchBundlesRequest>,
    ) -> Result<Response<FetchBundlesResponse>, Status> {
        let peer = request.extensions().get::<Peer>().and_then(|peer| peer.address);
        let FetchBundlesRequest { number, users } = request.into_inner();
        let begun = self.shared.with(|network, _| network.begin_fetch(&number, users.len(), peer));
        let (id, latency_ms) = begun.map_err(|refused| match refused {
            FetchRefused::Concurrent | FetchRefused::Accounts => {
                Status::resource_exhausted(refused.to_string())
            }
            FetchRefused::TooMany | FetchRefused::Number => {
                Status::invalid_argument(refused.to_string())
            }
        })?;
        let _under_way = Fetching { shared: &self.shared, id };
        sleep(Duration::from_millis(latency_ms)).await;
        let gathering = self.shared.with(|network, _| network.bundles(users));
        let Gathering { mut users, mut rest } = gathering;
        while let Some((place, devices)) = rest.recv().await {
            self.shared.with(|network, _| network.bundles_given(&devices));
            if let Some(user) = users.get_mut(place) {
                user.devices = devices;
            }
        }
        self.durable().await?;
        Ok(Response::new(FetchBundlesResponse { users }))
    }

    async fn publish_keys(
        &self,
        request: Request<PublishKeysRequest>,
    ) -> Result<Response<PublishKeysResponse>, Status> {
        let keys = request.into_inner();
        let number = Number::from_digits(keys.number.as_bytes())
            .map_err(|_| Status::invalid_argument(FetchRefused::Number.to_string()))?;
        if keys.one_time_pre_keys.len() > PUBLISH_MAX {
            let why = format!("at most {PUBLISH_MAX} one-time keys are published at once");
            return Err(Status::invalid_argument(why));
        }
        wire::check(Offered {
            identity_key: &keys.identity_key,
            signed_pre_key: keys.signed_pre_key.as_ref(),
            one_time: &keys.one_time_pre_keys,
        })
        .map_err(Status::invalid_argument)?;
        let keys = keys.into();
        let left = self.shared.with(|network, now| network.publish(number, &keys, now));
        let one_time_left =
            left.ok_or_else(|| Status::resource_exhausted(FetchRefused::Accounts.to_string()))?;
        self.durable().await?;
        Ok(Response::new(PublishKeysResponse { one_time_left }))
    }

    async fn put_media(
        &self,
        request: Request<Streaming<PutMediaRequest>>,
    ) -> Result<Response<PutMediaResponse>, Status> {
        use put_media_request::Part;

        let mut parts = request.into_inner();
        let broken = || Status::invalid_argument(Refused::Broken.to_string());
        let Some(Part::Head(head)) = parts.message().await?.and_then(|part| part.part) else {
            return Err(broken());
        };
        let mut file = self.shared.media().begin(head.content_type).await.map_err(refused)?;
        loop {
            match parts.message().await?.and_then(|part| part.part) {
                Some(Part::Piece(piece)) => file.write(&piece).await.map_err(refused)?,
                Some(Part::End(MediaEnd { size })) => {
                    let handle = file.finish(size).await.map_err(refused)?;
                    return Ok(Response::new(PutMediaResponse { handle }));
                }
                Some(Part::Head(_)) | None => return Err(broken()),
            }
        }
    }

    async fn get_media(
        &self,
        request: Request<GetMediaRequest>,
    ) -> Result<Response<Self::GetMediaStream>, Status> {
        use get_media_response::Part;

        let GetMediaRequest { number, handle } = request.into_inner();
        let (fault, latency_ms) = self.shared.with(|network, _| network.asked_for_media());
        sleep(Duration::from_millis(latency_ms)).await;
        match fault {
            MediaFault::Gone => return Err(Status::not_found("there is no such file any more")),
            MediaFault::Throttled => return Err(Status::resource_exhausted("too many files")),
            MediaFault::None | MediaFault::Stalled | MediaFault::Damaged => {}
        }
        let opened = self.shared.media().open(&handle).await;
        let opened = opened.map_err(|error| Status::internal(error.to_string()))?;
        let (file, content_type) =
            opened.ok_or_else(|| Status::not_found("there is no file with this handle"))?;
        let head = Part::Head(MediaHead { number, content_type });
        let head = GetMediaResponse { part: Some(head) };
        let pieces = stream::unfold(Some((file, 0)), move |at| async move {
            let (mut file, size) = at?;
            if fault == MediaFault::Stalled {
                return std::future::pending().await;
            }
            let mut piece = media::piece(&mut file).await;
            if let (MediaFault::Damaged, Ok(Some(byte))) =
                (fault, piece.as_mut().map(|it| it.first_mut()))
            {
                *byte = !*byte;
            }
            let (part, at) = match piece {
                Ok(piece) if piece.is_empty() => (Part::End(MediaEnd { size }), None),
                Ok(piece) => {
                    let size = size + piece.len() as u64;
                    (Part::Piece(piece.into()), Some((file, size)))
                }
                Err(error) => return Some((Err(Status::internal(error.to_string())), None)),
            };
            Some((Ok(GetMediaResponse { part: Some(part) }), at))
        });
        Ok(Response::new(Box::pin(stream::iter([Ok(head)]).chain(pieces))))
    }

    async fn report(
        &self,
        request: Request<ReportRequest>,
    ) -> Result<Response<ReportResponse>, Status> {
        let report = request.into_inner();
        if report.keys.is_empty() || report.keys.len() > REPORT_MAX {
            let why = format!("a report names one to {REPORT_MAX} messages");
            return Err(Status::invalid_argument(why));
        }
        let latency_ms = self.shared.with(|network, _| network.reported(&report));
        sleep(Duration::from_millis(latency_ms)).await;
        Ok(Response::new(ReportResponse {}))
    }

    async fn mark_read(
        &self,
        request: Request<MarkReadRequest>,
    ) -> Result<Response<MarkReadResponse>, Status> {
        let request = request.into_inner();
        let latency_ms = self.shared.with(|network, _| network.marked_read(&request));
        let latency_ms =
            latency_ms.ok_or_else(|| Status::invalid_argument("what was read is not named"))?;
        sleep(Duration::from_millis(latency_ms)).await;
        Ok(Response::new(MarkReadResponse {}))
    }

    async fn account(
        &self,
        request: Request<AccountRequest>,
    ) -> Result<Response<AccountResponse>, Status> {
        let request = request.into_inner();
        let (response, latency_ms) = self
            .shared
            .with(|network, now| network.account(request, now))
            .map_err(Status::invalid_argument)?;
        sleep(Duration::from_millis(latency_ms)).await;
        self.durable().await?;
        Ok(Response::new(response))
    }

    async fn templates(
        &self,
        request: Request<TemplatesRequest>,
    ) -> Result<Response<TemplatesResponse>, Status> {
        let TemplatesRequest { number, version, wait_ms } = request.into_inner();
        let number = Number::from_digits(number.as_bytes())
            .map_err(|_| Status::invalid_argument(FetchRefused::Number.to_string()))?;
        let ask = || self.shared.with(|network, _| network.templates_for(number, &version));
        let mut catalogue = ask();
        if catalogue.is_none() {
            let wait = Duration::from_millis(wait_ms.min(TEMPLATES_WAIT_MAX).into());
            self.shared.another_catalogue(&version, wait).await;
            catalogue = ask();
        }
        self.durable().await?;
        Ok(Response::new(TemplatesResponse { catalogue: catalogue.unwrap_or_default() }))
    }
}

impl Service {
    async fn durable(&self) -> Result<(), Status> {
        self.shared.durable().await.map_err(|error| Status::unavailable(error.to_string()))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(refused: Refused) -> Status {
    match refused {
        Refused::TooLarge | Refused::Broken => Status::invalid_argument(refused.to_string()),
        Refused::Full => Status::resource_exhausted(refused.to_string()),
        Refused::Io(_) => Status::unavailable(refused.to_string()),
    }
}

/// Hands what comes up to the network until either side ends.
async fn read(shared: Arc<Shared>, id: StreamId, up: Streaming<Up>) {
    // A broken item ends the stream, as does its end.
    let items = up
        .take_while(|item| std::future::ready(item.is_ok()))
        .filter_map(|item| async { item.ok() });
    let mut chunks = std::pin::pin!(items.ready_chunks(CHUNK));
    while let Some(chunk) = chunks.next().await {
        if !shared.with(|network, now| network.handle(id, chunk, now)) {
            return;
        }
    }
    shared.drop_stream(id);
}

/// The way down. Dropped with the connection, and the reader with it.
struct Attached {
    open: Open,
    wake: Arc<Notify>,
    _reader: AbortOnDropHandle<()>,
}

impl Attached {
    /// What is ready to go down, or why nothing more will.
    async fn next(&self) -> Result<Vec<Down>, &'static str> {
        loop {
            match self.open.shared.with(|network, _| network.pull(self.open.id, CHUNK)) {
                Pull::Items(items) => {
                    let durable = self.open.shared.durable().await;
                    return durable.map(|()| items).map_err(|_| "the journal cannot be written");
                }
                Pull::Closed(why) => return Err(why),
                Pull::Empty => self.wake.notified().await,
            }
        }
    }
}

/// A stream the network knows.
struct Open {
    shared: Arc<Shared>,
    id: StreamId,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.drop_stream(self.id);
    }
}

/// A fetch under way; ends also when the caller gives up.
struct Fetching<'a> {
    shared: &'a Shared,
    id: FetchId,
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        self.shared.with(|network, _| network.end_fetch(self.id));
    }
}

/// A contact sync under way; ends also when the caller gives up.
struct Syncing<'a> {
    shared: &'a Shared,
    account: AccountId,
}

impl Drop for Syncing<'_> {
    fn drop(&mut self) {
        self.shared.with(|network, _| network.end_sync(self.account));
    }
}
