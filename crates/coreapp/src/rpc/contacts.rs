//! Port 6251.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use ::rpc::{
    coreapp::{
        AckIdentityRequest, CheckRequest, CheckResponse, Contact, GetIdentityRequest, Identity,
        contact, contacts_server::Contacts,
    },
    error::to_status,
};
use contract::{ApiError, Code, Number, Route, ShardId};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};
use tonic::{Request, Response, Status};

use crate::{
    cluster::beat::Beat,
    intake::Quota,
    settings::View,
    shard::{
        effects::{Check, CheckState, IdentityRequest},
        task::Drivers,
    },
};

/// How long `wait` waits; what is unknown then is `failed`.
const WAIT: Duration = Duration::from_secs(30);
/// How long rows may take when nobody wants to wait for the network.
const NO_WAIT: Duration = Duration::from_secs(2);
/// How long a question about an identity may take: one read or one write.
const IDENTITY: Duration = Duration::from_secs(10);
/// Numbers of one call.
const INPUTS_MAX: usize = 10_000;

/// See the proto.
pub(crate) struct ContactsService {
    pub drivers: Drivers,
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
        self.admit(request.get_ref()).map_err(to_status)?;
        let request = request.into_inner();
        let numbers: Vec<Option<Number>> =
            request.inputs.iter().map(|input| Number::parse(input).ok()).collect();
        let states = self.ask(&request, numbers.iter().flatten()).await;
        let always_valid = self.settings.borrow().always_valid;
        let contacts = request.inputs.into_iter().zip(numbers).map(|(input, number)| {
            let state = number.and_then(|number| states.get(&number).copied());
            entry(input, number, state, request.wait, always_valid)
        });
        Ok(Response::new(CheckResponse { contacts: contacts.collect() }))
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
}

impl ContactsService {
    async fn identity(
        &self,
        wa_id: &str,
        acknowledge: Option<String>,
    ) -> Result<Response<Identity>, Status> {
        self.quota.take().and_then(|()| self.beat.answers()).map_err(to_status)?;
        let wa_id = Number::parse(wa_id).map_err(|error| {
            to_status(ApiError::new(Code::INVALID, format!("'wa_id': {error}")))
        })?;
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

    fn admit(&self, request: &CheckRequest) -> Result<(), ApiError> {
        self.quota.take()?;
        self.beat.answers()?;
        if request.inputs.len() > INPUTS_MAX {
            let details = format!("'contacts' has more than {INPUTS_MAX} entries");
            return Err(ApiError::new(Code::INVALID, details));
        }
        Ok(())
    }

    /// Asks the shards of the numbers; gives what was answered in time.
    async fn ask(
        &self,
        request: &CheckRequest,
        numbers: impl Iterator<Item = &Number>,
    ) -> HashMap<Number, CheckState> {
        let mut by_shard: BTreeMap<i16, Vec<Number>> = BTreeMap::new();
        for number in numbers {
            by_shard.entry(Route::of(number).shard().get()).or_default().push(*number);
        }
        let (reply, mut answers) = mpsc::unbounded_channel();
        let mut wanted = 0;
        for (shard, mut numbers) in by_shard {
            numbers.sort_unstable();
            numbers.dedup();
            wanted += numbers.len();
            let Some(shard) = ShardId::new(shard) else { continue };
            let (force, no_wait) = (request.force, !request.wait);
            self.drivers.check(shard, Check { numbers, force, no_wait, reply: reply.clone() });
        }
        drop(reply);
        let deadline = Instant::now() + if request.wait { WAIT } else { NO_WAIT };
        let mut states = HashMap::with_capacity(wanted);
        while states.len() < wanted {
            match tokio::time::timeout_at(deadline, answers.recv()).await {
                Ok(Some(checked)) => {
                    states.insert(checked.number, checked.state);
                }
                Ok(None) | Err(_) => break,
            }
        }
        states
    }
}

fn entry(
    input: String,
    number: Option<Number>,
    state: Option<CheckState>,
    wait: bool,
    always_valid: bool,
) -> Contact {
    let (status, wa_id) = match (number, state) {
        (Some(_), Some(CheckState::Valid(wa_id))) => (contact::Status::Valid, Some(wa_id)),
        // As clients from v2.43 on expect: the number comes back whatever is known of it.
        (Some(number), _) if always_valid => (contact::Status::Valid, Some(number)),
        (Some(_), Some(CheckState::Failed)) => (contact::Status::Failed, None),
        (Some(_), Some(CheckState::Processing)) => (contact::Status::Processing, None),
        (Some(_), None) if wait => (contact::Status::Failed, None),
        (Some(_), None) => (contact::Status::Processing, None),
        (Some(_), Some(CheckState::Invalid)) | (None, _) => (contact::Status::Invalid, None),
    };
    let wa_id = wa_id.map(|number| number.to_string()).unwrap_or_default();
    Contact { input, status: status.into(), wa_id }
}
