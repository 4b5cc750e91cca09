//! Port 6251.

use std::{sync::Arc, time::Duration};

use ::rpc::{
    coreapp::{
        AckIdentityRequest, BlockRequest, BlockResponse, CheckRequest, CheckResponse,
        GetIdentityRequest, Identity, ReportRequest, ReportResponse, UnblockRequest,
        UnblockResponse, contacts_server::Contacts,
    },
    error::to_status,
};
use contract::{ApiError, Code, Number, contacts::MAX_REASON};
use tokio::sync::{oneshot, watch};
use tonic::{Request, Response, Status};

use crate::{
    cluster::beat::Beat,
    contacts::{Asked, Complaints, Desk, Late},
    intake::Quota,
    settings::View,
    shard::{effects::IdentityRequest, task::Drivers},
};

/// How long a question about an identity may take: one read or one write.
const IDENTITY: Duration = Duration::from_secs(10);

/// See the proto.
pub(crate) struct ContactsService {
    pub drivers: Drivers,
    pub desk: Arc<Desk>,
    pub late: Arc<Late>,
    pub complaints: Complaints,
    pub quota: Arc<Quota>,
    pub beat: Arc<Beat>,
    pub settings: watch::Receiver<Arc<View>>,
}

#[tonic::async_trait]
impl Contacts for ContactsService {
    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        self.admit()?;
        let CheckRequest { inputs, wait, force } = request.into_inner();
        let settings = self.settings.borrow().clone();
        let always_valid = settings.always_valid;
        if settings.own_number.is_none() {
            return Err(to_status(contract::account::unregistered()));
        }
        let asked = Asked { inputs, wait, force, always_valid };
        let contacts = self.desk.check(asked).await.map_err(to_status)?;
        self.late.follow(&contacts, force);
        Ok(Response::new(CheckResponse { contacts }))
    }

    async fn get_identity(
        &self,
        request: Request<GetIdentityRequest>,
    ) -> Result<Response<Identity>, Status> {
        self.identity(&request.into_inner().wa_id, None).await
    }

    async fn ack_identity(
        &self,
        request: Request<AckIdentityRequest>,
    ) -> Result<Response<Identity>, Status> {
        let AckIdentityRequest { wa_id, hash } = request.into_inner();
        self.identity(&wa_id, Some(hash)).await
    }

    async fn block(
        &self,
        request: Request<BlockRequest>,
    ) -> Result<Response<BlockResponse>, Status> {
        self.admit()?;
        let number = number("number", &request.into_inner().number)?;
        self.complaints.block(number).await.map_err(to_status)?;
        Ok(Response::new(BlockResponse {}))
    }

    async fn unblock(
        &self,
        request: Request<UnblockRequest>,
    ) -> Result<Response<UnblockResponse>, Status> {
        self.admit()?;
        let number = number("number", &request.into_inner().number)?;
        self.complaints.unblock(number).await.map_err(to_status)?;
        Ok(Response::new(UnblockResponse {}))
    }

    async fn report(
        &self,
        request: Request<ReportRequest>,
    ) -> Result<Response<ReportResponse>, Status> {
        self.admit()?;
        let ReportRequest { number: given, mut reason, block, message_id } = request.into_inner();
        let number = number("number", &given)?;
        let message = match message_id.as_str() {
            "" => None,
            id => Some(id.parse().map_err(|_| {
                to_status(ApiError::new(Code::INVALID, "'message_id' is no message id"))
            })?),
        };
        let end = reason.char_indices().nth(MAX_REASON).map_or(reason.len(), |(at, _)| at);
        reason.truncate(end);
        self.complaints.report(number, reason, message, block).await.map_err(to_status)?;
        Ok(Response::new(ReportResponse {}))
    }
}

impl ContactsService {
    async fn identity(
        &self,
        wa_id: &str,
        acknowledge: Option<String>,
    ) -> Result<Response<Identity>, Status> {
        self.admit()?;
        let wa_id = number("wa_id", wa_id)?;
        let (reply, answer) = oneshot::channel();
        self.drivers.identity(wa_id, IdentityRequest { acknowledge, reply });
        let identity = tokio::time::timeout(IDENTITY, answer).await;
        let not_ready = || ApiError::new(Code::NOT_READY, "the coreapp did not answer in time");
        let identity = identity.ok().and_then(Result::ok).unwrap_or_else(|| Err(not_ready()));
        let identity = identity.map_err(to_status)?;
        Ok(Response::new(Identity {
            hash: identity.hash,
            created_ms: identity.created_ms,
            acknowledged: identity.acknowledged,
        }))
    }

    /// What every call has to pass.
    fn admit(&self) -> Result<(), Status> {
        self.quota.take().and_then(|()| self.beat.answers()).map_err(to_status)
    }
}

fn number(name: &str, text: &str) -> Result<Number, Status> {
    Number::parse(text)
        .map_err(|error| to_status(ApiError::new(Code::INVALID, format!("'{name}': {error}"))))
}
