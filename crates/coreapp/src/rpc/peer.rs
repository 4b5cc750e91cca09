//! Port 6252, for other coreapps.

use std::sync::Arc;

use ::rpc::{
    coreapp::{
        BuryRequest, BuryResponse, DeliverRequest, LookupRequest, LookupResponse, NudgeRequest,
        NudgeResponse, SendFrame, SendReply, SettledRequest, SettledResponse, SyncContactsRequest,
        SyncContactsResponse, peer_server::Peer,
    },
    error::to_status,
    identity::Name,
    io::Peer as Other,
};
use contract::{ApiError, Code, Number, ShardId};
use tonic::{Request, Response, Status};

use crate::{
    cluster::Members,
    contacts::{Central, Desk, told},
    events::Replays,
    intake::Intake,
};

/// Numbers of a contact sync: what the network takes at once.
const SYNC_MAX: usize = 2_000;

/// See the proto.
pub(crate) struct PeerService {
    pub central: Arc<Central>,
    pub desk: Arc<Desk>,
    pub members: Members,
    pub intake: Arc<Intake>,
    pub replays: Arc<Replays>,
}

/// Only coreapps call here.
fn check<T>(request: Request<T>) -> Result<T, Status> {
    let name = request.extensions().get::<Other>().and_then(|other| other.name.clone());
    if name.is_none_or(|name| name == Name::Coreapp) {
        return Ok(request.into_inner());
    }
    Err(Status::permission_denied("this service is for coreapps"))
}

#[tonic::async_trait]
impl Peer for PeerService {
    async fn sync_contacts(
        &self,
        request: Request<SyncContactsRequest>,
    ) -> Result<Response<SyncContactsResponse>, Status> {
        let numbers = check(request)?.numbers;
        if numbers.len() > SYNC_MAX {
            let details = format!("'numbers' has more than {SYNC_MAX} entries");
            return Err(to_status(ApiError::new(Code::INVALID, details)));
        }
        let numbers = numbers.iter().filter_map(|text| Number::from_digits(text.as_bytes()).ok());
        let words = self.central.ask(numbers.collect()).await.map_err(|_| {
            let details = "another coreapp asks the network about contacts";
            to_status(ApiError::new(Code::NOT_PRIMARY_MASTER, details))
        })?;
        let looked = words.into_iter().map(told).collect();
        Ok(Response::new(SyncContactsResponse { looked }))
    }

    async fn lookup(
        &self,
        request: Request<LookupRequest>,
    ) -> Result<Response<LookupResponse>, Status> {
        let looked = self.desk.lookup(check(request)?).await.map_err(to_status)?;
        Ok(Response::new(LookupResponse { looked }))
    }

    async fn forward(&self, request: Request<SendFrame>) -> Result<Response<SendReply>, Status> {
        let frame = check(request)?;
        Ok(Response::new(self.intake.once(frame, Intake::check_handed).await))
    }

    async fn deliver(
        &self,
        request: Request<DeliverRequest>,
    ) -> Result<Response<SendReply>, Status> {
        Ok(Response::new(self.intake.deliver(check(request)?).await))
    }

    async fn nudge(
        &self,
        request: Request<NudgeRequest>,
    ) -> Result<Response<NudgeResponse>, Status> {
        check(request)?;
        if !self.members.nudge().await {
            let details = "the database could not be looked at";
            return Err(to_status(ApiError::new(Code::DATABASE, details)));
        }
        Ok(Response::new(NudgeResponse {}))
    }

    async fn settled(
        &self,
        request: Request<SettledRequest>,
    ) -> Result<Response<SettledResponse>, Status> {
        let shard = shard(check(request)?.shard).map_err(to_status)?;
        let seq = self.replays.settled_here(shard).map_err(to_status)?;
        Ok(Response::new(SettledResponse { seq }))
    }

    async fn bury(&self, request: Request<BuryRequest>) -> Result<Response<BuryResponse>, Status> {
        let BuryRequest { shard: id, seq } = check(request)?;
        let shard = shard(id).map_err(to_status)?;
        self.replays.bury_here(shard, seq).await.map_err(to_status)?;
        Ok(Response::new(BuryResponse {}))
    }
}

fn shard(id: i32) -> Result<ShardId, ApiError> {
    i16::try_from(id).ok().and_then(ShardId::new).ok_or_else(|| {
        ApiError::new(Code::INVALID, format!("'shard' must be -1 to 63, and is {id}"))
    })
}
