//! The coreapps' listeners for unary calls: those configured, and those the shard map names.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use contract::{ApiError, Code, Number, Route};
use rpc::identity::Identity;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tonic::{Response, Status, transport::Channel};

use super::{
    backoff::Backoff,
    unary::{has_moved, refusal, unreachable, was_unreachable},
};
use crate::{config::CoreAddress, directory::State};

/// Coreapps learned from shard maps whose channels are kept; at the bound all are forgotten and
/// opened again when needed.
const MAX_LEARNED: usize = 256;

/// How long a coreapp that cannot be reached, or is not the owner, is looked for again.
const BUDGET: Duration = Duration::from_secs(10);

/// Channels to every coreapp; they connect on first use and reconnect by themselves.
pub(crate) struct Cores {
    seeds: Vec<Core>,
    /// Who owns what.
    maps: watch::Receiver<Arc<State>>,
    preferred: AtomicUsize,
    identity: Option<Arc<Identity>>,
    learned: Mutex<HashMap<String, Core>>,
}

#[derive(Clone)]
struct Core {
    address: CoreAddress,
    messages: Channel,
    contacts: Channel,
    control: Channel,
    /// To the control listener too: files on their way hold up nothing else.
    media: Channel,
}

/// Which listener a call goes to.
#[derive(Clone, Copy)]
enum Port {
    Messages,
    Contacts,
    Control,
    Media,
}

impl Core {
    fn new(
        address: CoreAddress,
        identity: Option<&Arc<Identity>>,
    ) -> Result<Self, tonic::transport::Error> {
        let channel = |at: &str| rpc::http2::channel(&format!("http://{at}"), identity);
        let (messages, contacts) = (channel(&address.messages)?, channel(&address.contacts)?);
        let (control, media) = (channel(&address.control)?, channel(&address.control)?);
        Ok(Self { address, messages, contacts, control, media })
    }

    fn port(&self, port: Port) -> (&str, Channel) {
        match port {
            Port::Messages => (&self.address.messages, self.messages.clone()),
            Port::Contacts => (&self.address.contacts, self.contacts.clone()),
            Port::Control => (&self.address.control, self.control.clone()),
            Port::Media => (&self.address.control, self.media.clone()),
        }
    }
}

impl Cores {
    /// The configured ones; `maps` names the others.
    ///
    /// # Errors
    /// When an address is none.
    pub(crate) fn new(
        addresses: &[CoreAddress],
        maps: watch::Receiver<Arc<State>>,
        identity: Option<Arc<Identity>>,
    ) -> Result<Self, tonic::transport::Error> {
        let core = |address: &CoreAddress| Core::new(address.clone(), identity.as_ref());
        let seeds = addresses.iter().map(core).collect::<Result<_, _>>()?;
        let learned = Mutex::new(HashMap::new());
        Ok(Self { seeds, maps, preferred: AtomicUsize::new(0), identity, learned })
    }

    /// Address and control channel of the coreapp calls go to first. There is at least one.
    pub(crate) fn preferred(&self) -> (String, Channel) {
        let core = self.known(0);
        (core.address.control.clone(), core.control.clone())
    }

    /// Is it a cluster: are several coreapps configured, or has one map since the start named several?
    pub(crate) fn cluster(&self) -> bool {
        let differ = |pair: &[Core]| pair[0].address != pair[1].address;
        self.seeds.windows(2).any(differ) || self.maps.borrow().several
    }

    /// Another one from now on.
    pub(crate) fn prefer_next(&self) {
        self.preferred.fetch_add(1, Ordering::Relaxed);
    }

    /// Calls the contacts listener of a coreapp, the next one's when it cannot be reached.
    ///
    /// # Errors
    /// What the coreapp refused with; 503/1011 when none answered within `limit`.
    pub(crate) async fn contacts<T, F>(
        &self,
        limit: Duration,
        call: impl Fn(Channel) -> F,
    ) -> Result<T, ApiError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.call(Port::Contacts, limit, call).await
    }

    /// Calls the contacts listener of the coreapp that owns a contact's shard. Asked again by the
    /// map of that moment when it cannot be reached or the shard has moved, for [`BUDGET`] at most.
    ///
    /// # Errors
    /// What the coreapp refused with; 503/1011 when nobody owns the shard or its owner did not
    /// answer within `limit`.
    pub(crate) async fn owner_of<T, F>(
        &self,
        wa_id: &Number,
        limit: Duration,
        call: impl Fn(Channel) -> F,
    ) -> Result<T, ApiError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.owner(Port::Contacts, Some(wa_id), limit, call).await
    }

    /// The same for the messages listener.
    ///
    /// # Errors
    /// As [`Self::owner_of`].
    pub(crate) async fn messages_owner_of<T, F>(
        &self,
        to: &Number,
        limit: Duration,
        call: impl Fn(Channel) -> F,
    ) -> Result<T, ApiError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.owner(Port::Messages, Some(to), limit, call).await
    }

    /// The same for what belongs to the account: the control listener of its one writer.
    ///
    /// # Errors
    /// As [`Self::owner_of`].
    pub(crate) async fn writer<T, F>(
        &self,
        limit: Duration,
        call: impl Fn(Channel) -> F,
    ) -> Result<T, ApiError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.owner(Port::Control, None, limit, call).await
    }

    async fn owner<T, F>(
        &self,
        port: Port,
        number: Option<&Number>,
        limit: Duration,
        call: impl Fn(Channel) -> F,
    ) -> Result<T, ApiError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let deadline = Instant::now() + BUDGET;
        let mut maps = self.maps.clone();
        let mut backoff = Backoff::default();
        loop {
            let state = maps.borrow_and_update().clone();
            let core = match number {
                Some(number) => {
                    let shard = Route::of(number).shard();
                    let place = usize::try_from(shard.get()).ok();
                    let owner = place.and_then(|place| state.owners.get(place)?.as_ref());
                    owner.and_then(|owner| self.node(owner)).ok_or_else(|| {
                        let details = format!("No coreapp owns shard {shard} at the moment");
                        ApiError::new(Code::NOT_READY, details)
                    })
                }
                // Not named: any of them says who it is not.
                None => Ok(state
                    .control
                    .as_ref()
                    .and_then(|owner| self.node(owner))
                    .unwrap_or_else(|| self.known(0))),
            };
            let error = match core {
                Ok(core) => {
                    let (address, channel) = core.port(port);
                    match bounded(address, limit, call(channel)).await {
                        Ok(answer) => return Ok(answer),
                        Err(status) if was_unreachable(&status) || has_moved(&status) => {
                            refusal(address, &status)
                        }
                        Err(status) => return Err(refusal(address, &status)),
                    }
                }
                Err(error) => error,
            };
            let wait = backoff.next_delay();
            if Instant::now() + wait >= deadline {
                return Err(error);
            }
            tokio::select! {
                () = sleep(wait) => {}
                _ = maps.changed() => {}
            }
        }
    }

    /// The same as [`Self::contacts`] for the control listener: for what every coreapp knows. Only
    /// for calls that may be repeated.
    ///
    /// # Errors
    /// As [`Self::contacts`].
    pub(crate) async fn control<T, F>(
        &self,
        limit: Duration,
        call: impl Fn(Channel) -> F,
    ) -> Result<T, ApiError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.call(Port::Control, limit, call).await
    }

    /// The same over the connection for files. `limit` is for the answer to begin.
    ///
    /// # Errors
    /// As [`Self::contacts`].
    pub(crate) async fn media<T, F>(
        &self,
        limit: Duration,
        call: impl Fn(Channel) -> F,
    ) -> Result<T, ApiError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.call(Port::Media, limit, call).await
    }

    /// Calls the control listener of every coreapp that owns a shard, of the configured ones when
    /// none does: address and answer of each.
    pub(crate) async fn every<T, F>(
        &self,
        limit: Duration,
        call: impl Fn(Channel) -> F,
    ) -> Vec<(String, Result<T, ApiError>)>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let owners = self.owners();
        ask(if owners.is_empty() { self.seeds.clone() } else { owners }, limit, call).await
    }

    /// The same of those that own something and of the configured ones, in this order. A coreapp that is
    /// known by two addresses answers twice.
    pub(crate) async fn every_node<T, F>(
        &self,
        limit: Duration,
        call: impl Fn(Channel) -> F,
    ) -> Vec<(String, Result<T, ApiError>)>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut nodes = self.owners();
        let owners = nodes.len();
        for seed in &self.seeds {
            if nodes.iter().all(|node| node.address.messages != seed.address.messages) {
                nodes.push(seed.clone());
            }
        }
        let mut answers = ask(nodes, limit, call).await;
        // The one configured name may stand for all of them, and is no coreapp of its own then.
        let silent = answers[owners..].iter().all(|(_, answer)| answer.is_err());
        if owners > 0 && self.seeds.len() == 1 && silent {
            answers.truncate(owners);
        }
        answers
    }

    async fn call<T, F>(
        &self,
        port: Port,
        limit: Duration,
        call: impl Fn(Channel) -> F,
    ) -> Result<T, ApiError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut last = ApiError::new(Code::NOT_READY, "No coreapp is configured");
        for place in 0..self.all().len() {
            let core = self.known(place);
            let (address, channel) = core.port(port);
            match bounded(address, limit, call(channel)).await {
                Ok(answer) => return Ok(answer),
                Err(status) if was_unreachable(&status) => last = refusal(address, &status),
                Err(status) => return Err(refusal(address, &status)),
            }
        }
        Err(last)
    }

    /// Counted from the preferred one. There is at least one.
    fn known(&self, place: usize) -> Core {
        let all = self.all();
        let at = self.preferred.load(Ordering::Relaxed).wrapping_add(place);
        all[at % all.len().max(1)].clone()
    }

    /// The configured ones, then those that own something.
    fn all(&self) -> Vec<Core> {
        let mut all = self.seeds.clone();
        self.add_owners(&mut all);
        all
    }

    fn owners(&self) -> Vec<Core> {
        let mut owners = Vec::new();
        self.add_owners(&mut owners);
        owners
    }

    fn add_owners(&self, nodes: &mut Vec<Core>) {
        let state = self.maps.borrow().clone();
        for owner in state.owners.iter().chain([&state.control]).flatten() {
            if nodes.iter().all(|node| *node.address.messages != **owner) {
                nodes.extend(self.node(owner));
            }
        }
    }

    /// The coreapp whose messages listener has this address; `None` when it is no address.
    fn node(&self, owner: &str) -> Option<Core> {
        if let Some(seed) = self.seeds.iter().find(|seed| seed.address.messages == owner) {
            return Some(seed.clone());
        }
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(core) = learned.get(owner) {
            return Some(core.clone());
        }
        let address = owner.parse().ok()?;
        let core = Core::new(address, self.identity.as_ref()).ok()?;
        if learned.len() >= MAX_LEARNED {
            learned.clear();
        }
        learned.insert(owner.to_owned(), core.clone());
        Some(core)
    }
}

/// Calls the control listeners of `nodes`, all at once: address and answer of each.
async fn ask<T, F>(
    nodes: Vec<Core>,
    limit: Duration,
    call: impl Fn(Channel) -> F,
) -> Vec<(String, Result<T, ApiError>)>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let calls = nodes.into_iter().map(|core| {
        let (address, channel) = core.port(Port::Control);
        let (address, called) = (address.to_owned(), call(channel));
        async move {
            let answer = bounded(&address, limit, called).await;
            (address.clone(), answer.map_err(|status| refusal(&address, &status)))
        }
    });
    futures_util::future::join_all(calls).await
}

async fn bounded<T>(
    address: &str,
    limit: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Status> {
    match timeout(limit, call).await {
        Ok(answer) => answer.map(Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded(unreachable(
            address,
            &format!("no answer within {} s", limit.as_secs()),
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Configured, and named by the map.
    fn cores(seeds: &[&str], owners: &[&str]) -> Cores {
        let seeds: Vec<CoreAddress> = seeds.iter().map(|seed| seed.parse().unwrap()).collect();
        let owners = owners.iter().map(|owner| Some(Arc::from(*owner))).collect();
        let (_, maps) = watch::channel(Arc::new(State { owners, ..State::default() }));
        Cores::new(&seeds, maps, None).unwrap()
    }

    /// Who was asked and did answer; the first `answering` of them do.
    async fn asked(cores: &Cores, answering: usize) -> Vec<(String, bool)> {
        let calls = AtomicUsize::new(0);
        let call = |_| {
            let answers = calls.fetch_add(1, Ordering::Relaxed) < answering;
            let gone = || Status::unavailable("gone");
            async move { answers.then(|| Response::new(())).ok_or_else(gone) }
        };
        let answers = cores.every_node(Duration::from_secs(1), call).await;
        answers.into_iter().map(|(address, answer)| (address, answer.is_ok())).collect()
    }

    fn of(address: &str, answers: bool) -> (String, bool) {
        (address.to_owned(), answers)
    }

    #[tokio::test]
    async fn a_configured_coreapp_that_owns_nothing_is_asked_too_and_missed() {
        let cores = cores(&["a", "b"], &["a:6250"]);
        assert_eq!(asked(&cores, 1).await, [of("a:6252", true), of("b:6252", false)]);
        assert_eq!(asked(&cores, 2).await, [of("a:6252", true), of("b:6252", true)]);
    }

    /// As that of a headless service.
    #[tokio::test]
    async fn a_name_that_stands_for_all_coreapps_is_not_missed() {
        let cores = cores(&["coreapp"], &["10.0.0.1:6250", "10.0.0.2:6250"]);
        let owners = [of("10.0.0.1:6252", true), of("10.0.0.2:6252", true)];
        assert_eq!(asked(&cores, 2).await, owners);
        assert_eq!(asked(&cores, 3).await.last(), Some(&of("coreapp:6252", true)));
    }

    #[tokio::test]
    async fn a_cluster_is_one_by_configuration_or_by_what_a_map_has_named() {
        assert!(cores(&["a", "b"], &[]).cluster());
        assert!(!cores(&["a", "a:6250"], &["a:6250"]).cluster());
        let (_, maps) = watch::channel(Arc::new(State { several: true, ..State::default() }));
        assert!(Cores::new(&["a".parse().unwrap()], maps, None).unwrap().cluster());
    }
}
