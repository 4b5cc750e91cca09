//! One contacts call: fanned out over the shards of its numbers, answered in the order asked.
//!
//! What a flood of calls may take is bounded here, before any work: numbers that callers wait for,
//! and numbers that wait for the network.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use contract::{ApiError, Code, Number, Route, ShardId};
use rpc::coreapp::{Contact, Looked, LookupRequest, contact, looked};
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, sleep, timeout_at},
};

use super::PENDING_MAX;
use crate::{
    cluster::{MapRx, Peers},
    shard::{
        effects::{Check, CheckState, Checked},
        task::Drivers,
    },
};

/// How long `wait` waits; what is unknown then is `failed`.
const WAIT: Duration = Duration::from_secs(30);
/// How long rows may take when nobody wants to wait for the network.
const NO_WAIT: Duration = Duration::from_secs(2);
/// Before a shard that has moved is asked again.
const AGAIN: Duration = Duration::from_millis(250);
/// Numbers of one call.
const INPUTS_MAX: usize = 10_000;
/// When a refused call may be repeated: two calls of the network later, milliseconds.
const RETRY_MS: u64 = 1_000;

/// Where checks are put.
pub(crate) struct Desk {
    drivers: Drivers,
    map: MapRx,
    peers: Arc<Peers>,
    /// Numbers that callers may still wait for.
    places: Semaphore,
    /// Numbers that wait for the network.
    waiting: Arc<AtomicUsize>,
}

/// A check as it came.
pub(crate) struct Asked {
    pub inputs: Vec<String>,
    pub wait: bool,
    pub force: bool,
    /// Answer `valid` for every number.
    pub always_valid: bool,
}

impl Desk {
    /// `waiting` is the contact sync's own count.
    pub(crate) fn new(
        drivers: Drivers,
        map: MapRx,
        peers: Arc<Peers>,
        waiting: Arc<AtomicUsize>,
    ) -> Self {
        Self { drivers, map, peers, places: Semaphore::new(PENDING_MAX), waiting }
    }

    /// Numbers that callers wait for now.
    pub(crate) fn taken(&self) -> usize {
        PENDING_MAX - self.places.available_permits().min(PENDING_MAX)
    }

    /// Numbers that wait for the network now.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Answers a check, one entry an input, in the order of the inputs.
    ///
    /// # Errors
    /// 1009 too many inputs; 1016 too many numbers wait.
    pub(crate) async fn check(&self, asked: Asked) -> Result<Vec<Contact>, ApiError> {
        if asked.inputs.len() > INPUTS_MAX {
            let details = format!("'contacts' has more than {INPUTS_MAX} entries");
            return Err(ApiError::new(Code::INVALID, details));
        }
        let numbers: Vec<Option<Number>> =
            asked.inputs.iter().map(|input| Number::parse(input).ok()).collect();
        if self.waiting() >= PENDING_MAX {
            return Err(overloaded());
        }
        let places = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        let _places = self.places.try_acquire_many(places).map_err(|_| overloaded())?;
        let states = self.ask(&asked, numbers.iter().flatten()).await;
        if states.values().any(|state| *state == CheckState::Overloaded) {
            return Err(overloaded());
        }
        let Asked { inputs, wait, always_valid, .. } = asked;
        let entries = inputs.into_iter().zip(numbers).map(|(input, number)| {
            let state = number.and_then(|number| states.get(&number).copied());
            entry(input, number, state, wait, always_valid)
        });
        Ok(entries.collect())
    }

    /// Answers a peer for the shards that are ours; what it asks of others is left out.
    ///
    /// # Errors
    /// 1009 too many numbers; 1016 too many wait.
    pub(crate) async fn lookup(&self, request: LookupRequest) -> Result<Vec<Looked>, ApiError> {
        let LookupRequest { numbers, force, wait } = request;
        if numbers.len() > INPUTS_MAX {
            let details = format!("'numbers' has more than {INPUTS_MAX} entries");
            return Err(ApiError::new(Code::INVALID, details));
        }
        let places = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        let _places = self.places.try_acquire_many(places).map_err(|_| overloaded())?;
        let asked = Asked { inputs: Vec::new(), wait, force, always_valid: false };
        let deadline = Instant::now() + patience(wait);
        let numbers = numbers.iter().filter_map(|text| Number::from_digits(text.as_bytes()).ok());
        let mut states = HashMap::new();
        self.round(&asked, numbers.collect(), false, deadline, &mut states).await;
        Ok(states.into_iter().map(|(number, state)| shown(number, state)).collect())
    }

    /// Asks the shards of the numbers; gives what was answered in time. A shard that moves meanwhile
    /// is asked again where it went.
    async fn ask(
        &self,
        asked: &Asked,
        numbers: impl Iterator<Item = &Number>,
    ) -> HashMap<Number, CheckState> {
        let mut missing: Vec<Number> = numbers.copied().collect();
        missing.sort_unstable();
        missing.dedup();
        let deadline = Instant::now() + patience(asked.wait);
        let mut states = HashMap::with_capacity(missing.len());
        loop {
            self.round(asked, missing.clone(), true, deadline, &mut states).await;
            missing.retain(|number| !states.contains_key(number));
            if missing.is_empty() || Instant::now() + AGAIN >= deadline {
                return states;
            }
            sleep(AGAIN).await;
        }
    }

    /// One round of questions, ours and, if `others`, those of other coreapps' shards.
    async fn round(
        &self,
        asked: &Asked,
        numbers: Vec<Number>,
        others: bool,
        deadline: Instant,
        states: &mut HashMap<Number, CheckState>,
    ) {
        let map = self.map.borrow().clone();
        let mut by_shard: BTreeMap<i16, Vec<Number>> = BTreeMap::new();
        for number in numbers {
            by_shard.entry(Route::of(&number).shard().get()).or_default().push(number);
        }
        let (reply, mut answers) = mpsc::unbounded_channel();
        let mut elsewhere: BTreeMap<Arc<str>, Vec<Number>> = BTreeMap::new();
        for (shard, numbers) in by_shard {
            let Some(shard) = ShardId::new(shard) else { continue };
            if map.mine.contains_key(&shard) {
                let (force, no_wait) = (asked.force, !asked.wait);
                let check = Check { numbers, force, no_wait, reply: reply.clone() };
                if timeout_at(deadline, self.drivers.check(shard, check)).await.is_err() {
                    break;
                }
            } else if let Some(owner) = map.owner(shard).filter(|_| others) {
                elsewhere.entry(Arc::clone(owner)).or_default().extend(numbers);
            }
        }
        for (owner, numbers) in elsewhere {
            let (peers, reply) = (self.peers.clone(), reply.clone());
            let numbers = numbers.iter().map(ToString::to_string).collect();
            let request = LookupRequest { numbers, force: asked.force, wait: asked.wait };
            // Ends at the deadline, answered or not.
            tokio::spawn(async move {
                let left = deadline.saturating_duration_since(Instant::now());
                let looked = peers.lookup(&owner, request, left).await;
                for checked in looked.into_iter().flatten().filter_map(|looked| heard(&looked)) {
                    let _gone = reply.send(checked);
                }
            });
        }
        drop(reply);
        while let Ok(Some(checked)) = timeout_at(deadline, answers.recv()).await {
            states.insert(checked.number, checked.state);
        }
    }
}

fn patience(wait: bool) -> Duration {
    if wait { WAIT } else { NO_WAIT }
}

/// As a peer is told.
fn shown(number: Number, state: CheckState) -> Looked {
    use looked::State;
    let (state, wa_id) = match state {
        CheckState::Valid(wa_id) => (State::Valid, Some(wa_id)),
        CheckState::Invalid => (State::Invalid, None),
        CheckState::Processing => (State::Processing, None),
        CheckState::Failed => (State::Failed, None),
        CheckState::Overloaded => (State::Overloaded, None),
    };
    let wa_id = wa_id.map(|wa_id| wa_id.to_string()).unwrap_or_default();
    Looked { number: number.to_string(), state: state.into(), wa_id }
}

/// As a peer has said; `None` for what makes no sense.
fn heard(looked: &Looked) -> Option<Checked> {
    use looked::State;
    let number = Number::from_digits(looked.number.as_bytes()).ok()?;
    let state = match looked.state() {
        State::Valid => CheckState::Valid(Number::from_digits(looked.wa_id.as_bytes()).ok()?),
        State::Invalid => CheckState::Invalid,
        State::Processing => CheckState::Processing,
        State::Failed | State::Unspecified => CheckState::Failed,
        State::Overloaded => CheckState::Overloaded,
    };
    Some(Checked { number, state })
}

fn overloaded() -> ApiError {
    let details = format!("{PENDING_MAX} numbers wait for an answer of the network");
    ApiError::new(Code::OVERLOADED, details).retry_after_ms(RETRY_MS)
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
        (Some(_), Some(CheckState::Failed | CheckState::Overloaded)) => {
            (contact::Status::Failed, None)
        }
        (Some(_), Some(CheckState::Processing)) => (contact::Status::Processing, None),
        (Some(_), None) if wait => (contact::Status::Failed, None),
        (Some(_), None) => (contact::Status::Processing, None),
        (Some(_), Some(CheckState::Invalid)) | (None, _) => (contact::Status::Invalid, None),
    };
    let wa_id = wa_id.map(|number| number.to_string()).unwrap_or_default();
    Contact { input, status: status.into(), wa_id }
}
