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
use rpc::coreapp::{Contact, contact};
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, timeout_at},
};

use super::PENDING_MAX;
use crate::shard::{
    effects::{Check, CheckState},
    task::Drivers,
};

/// How long `wait` waits; what is unknown then is `failed`.
const WAIT: Duration = Duration::from_secs(30);
/// How long rows may take when nobody wants to wait for the network.
const NO_WAIT: Duration = Duration::from_secs(2);
/// Numbers of one call.
const INPUTS_MAX: usize = 10_000;
/// When a refused call may be repeated: two calls of the network later, milliseconds.
const RETRY_MS: u64 = 1_000;

/// Where checks are put.
pub(crate) struct Desk {
    drivers: Drivers,
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
    pub(crate) fn new(drivers: Drivers, waiting: Arc<AtomicUsize>) -> Self {
        Self { drivers, places: Semaphore::new(PENDING_MAX), waiting }
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

    /// Asks the shards of the numbers; gives what was answered in time.
    async fn ask(
        &self,
        asked: &Asked,
        numbers: impl Iterator<Item = &Number>,
    ) -> HashMap<Number, CheckState> {
        let mut by_shard: BTreeMap<i16, Vec<Number>> = BTreeMap::new();
        for number in numbers {
            by_shard.entry(Route::of(number).shard().get()).or_default().push(*number);
        }
        let (reply, mut answers) = mpsc::unbounded_channel();
        let deadline = Instant::now() + if asked.wait { WAIT } else { NO_WAIT };
        let mut wanted = 0;
        for (shard, mut numbers) in by_shard {
            numbers.sort_unstable();
            numbers.dedup();
            wanted += numbers.len();
            let Some(shard) = ShardId::new(shard) else { continue };
            let (force, no_wait) = (asked.force, !asked.wait);
            let check = Check { numbers, force, no_wait, reply: reply.clone() };
            if timeout_at(deadline, self.drivers.check(shard, check)).await.is_err() {
                break;
            }
        }
        drop(reply);
        let mut states = HashMap::with_capacity(wanted);
        while states.len() < wanted {
            match timeout_at(deadline, answers.recv()).await {
                Ok(Some(checked)) => {
                    states.insert(checked.number, checked.state);
                }
                Ok(None) | Err(_) => break,
            }
        }
        states
    }
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
