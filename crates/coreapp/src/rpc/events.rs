//! Port 6252: the event log, for webapps and internal services.

use std::{pin::Pin, sync::Arc};

use ::rpc::{
    coreapp::{
        self as proto, DeadEventsRequest, DeadEventsResponse, ListEventsRequest,
        ListEventsResponse, ReplayEventsRequest, ReplayId, ReplayProgress, SubscribeEventsRequest,
        events_server::Events,
    },
    error::to_status,
};
use contract::{
    ApiError, Code,
    callback::EventKind,
    events::{DeadCursor, DeadQuery, ListQuery, MAX_WAIT_MS},
};
use futures_util::Stream;
use store::{Mark, rows::DeadState};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::events::{EventLog, Page, Replays};

/// Pages that a slow subscriber may be behind; then its stream waits.
const QUEUE: usize = 1;
/// Events of a page of a subscription.
const SUBSCRIPTION_PAGE: u32 = 256;

/// See the proto.
#[derive(Clone)]
pub(crate) struct EventsService {
    pub log: Arc<EventLog>,
    pub replays: Arc<Replays>,
}

#[tonic::async_trait]
impl Events for EventsService {
    type SubscribeStream = Pin<Box<dyn Stream<Item = Result<ListEventsResponse, Status>> + Send>>;

    async fn list(
        &self,
        request: Request<ListEventsRequest>,
    ) -> Result<Response<ListEventsResponse>, Status> {
        let ListEventsRequest { after, limit, kinds, wait_ms } = request.into_inner();
        let query = ListQuery::of(&after, limit, wait_ms).map_err(to_status)?;
        let kinds = kinds_of(&kinds).map_err(to_status)?;
        let wanted = |mark: &Mark| kinds.is_empty() || kinds.contains(&mark.kind);
        let page = self.log.list(query, &wanted).await.map_err(to_status)?;
        Ok(Response::new(self.page(page)))
    }

    async fn subscribe(
        &self,
        request: Request<SubscribeEventsRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let SubscribeEventsRequest { after, kinds } = request.into_inner();
        let query = ListQuery::of(&after, SUBSCRIPTION_PAGE, MAX_WAIT_MS).map_err(to_status)?;
        let kinds = kinds_of(&kinds).map_err(to_status)?;
        let (out, queue) = mpsc::channel(QUEUE);
        let service = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                end = service.feed(query, kinds, &out) => {
                    // It may have gone by itself.
                    let _ = out.send(Err(end)).await;
                }
                () = out.closed() => {}
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(queue))))
    }

    async fn dead(
        &self,
        request: Request<DeadEventsRequest>,
    ) -> Result<Response<DeadEventsResponse>, Status> {
        let DeadEventsRequest { after, limit } = request.into_inner();
        let query = DeadQuery::of(&after, limit).map_err(to_status)?;
        let (rows, cursor) = self.log.dead(query).await.map_err(to_status)?;
        let events = rows.into_iter().map(|(shard, row)| proto::DeadEvent {
            event: Some(proto::Event {
                cursor: DeadCursor { shard, seq: row.seq }.to_string(),
                id: self.log.id(shard, row.seq),
                kind: kind_name(row.event.kind).to_owned(),
                created: row.event.created_ms.div_euclid(1_000),
                payload: row.event.body,
            }),
            parked: row.state == DeadState::Parked,
            tries: row.tries,
            why: row.tried.why.into(),
            first_try: row.tried.first_s,
            last_try: row.tried.last_s,
            due: row.due_ms.div_euclid(1_000),
        });
        let events = events.collect();
        Ok(Response::new(DeadEventsResponse { events, cursor: cursor.to_string() }))
    }

    async fn replay(
        &self,
        request: Request<ReplayEventsRequest>,
    ) -> Result<Response<ReplayProgress>, Status> {
        let progress = self.replays.start(&request.into_inner().request).await;
        Ok(Response::new(ReplayProgress { progress: progress.map_err(to_status)? }))
    }

    async fn get_replay(
        &self,
        request: Request<ReplayId>,
    ) -> Result<Response<ReplayProgress>, Status> {
        let progress = self.replays.get(&request.into_inner().id);
        Ok(Response::new(ReplayProgress { progress: progress.map_err(to_status)? }))
    }

    async fn cancel_replay(
        &self,
        request: Request<ReplayId>,
    ) -> Result<Response<ReplayProgress>, Status> {
        let progress = self.replays.cancel(&request.into_inner().id).await;
        Ok(Response::new(ReplayProgress { progress: progress.map_err(to_status)? }))
    }
}

impl EventsService {
    /// Sends pages until something ends it; gives what.
    async fn feed(
        &self,
        mut query: ListQuery,
        kinds: Vec<i16>,
        out: &mpsc::Sender<Result<ListEventsResponse, Status>>,
    ) -> Status {
        let wanted = |mark: &Mark| kinds.is_empty() || kinds.contains(&mark.kind);
        loop {
            let page = match self.log.list(query, &wanted).await {
                Ok(page) => page,
                Err(error) => return to_status(error),
            };
            query.after = Some(page.to);
            if !page.events.is_empty() && out.send(Ok(self.page(page))).await.is_err() {
                return Status::cancelled("the subscriber is gone");
            }
            if self.log.is_stopping() {
                let details = "The coreapp is stopping: subscribe again, behind the last cursor";
                return to_status(ApiError::new(Code::NOT_READY, details));
            }
        }
    }

    fn page(&self, page: Page) -> ListEventsResponse {
        let mut at = page.from;
        let events = page.events.into_iter().map(|event| {
            at.set(event.shard, event.seq);
            proto::Event {
                cursor: at.to_string(),
                id: self.log.id(event.shard, event.seq),
                kind: kind_name(event.event.kind).to_owned(),
                created: event.event.created_ms.div_euclid(1_000),
                payload: event.event.body,
            }
        });
        ListEventsResponse { events: events.collect(), cursor: page.to.to_string() }
    }
}

/// As stored.
fn kinds_of(names: &[String]) -> Result<Vec<i16>, ApiError> {
    let known = |name: &String| {
        let kind = EventKind::ALL.into_iter().find(|kind| kind.as_str() == name);
        kind.map(EventKind::get).ok_or_else(|| {
            let known = EventKind::ALL.map(EventKind::as_str).join("', '");
            ApiError::new(Code::INVALID, format!("'kinds' takes '{known}'"))
        })
    };
    names.iter().map(known).collect()
}

/// `other` for one that a newer version wrote.
fn kind_name(kind: i16) -> &'static str {
    EventKind::from_i16(kind).map_or("other", EventKind::as_str)
}
