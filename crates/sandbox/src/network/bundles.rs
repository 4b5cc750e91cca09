//! Bundles of phones: one fetch in flight a coreapp, as with contact syncs.

use std::net::SocketAddr;

use contract::Number;
use rpc::upstream::{Bundle, DeviceBundle, UserBundles};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::{AccountId, Network};
use crate::{
    numbering::{Keys, wa_id},
    sessions::{
        Bundles, Job, Phone, User,
        keys::{Device, DeviceId, Seed},
        wire,
    },
};

/// Users a call may ask for.
pub(super) const BUNDLES_MAX: usize = 1_000;

/// Why a fetch is not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchRefused {
    #[error("a fetch of bundles by this coreapp is under way; one at a time is allowed")]
    Concurrent,
    #[error("a fetch of bundles takes at most {BUNDLES_MAX} users")]
    TooMany,
    #[error("the own number is not valid: give 5 to 15 digits")]
    Number,
    #[error("too many own numbers")]
    Accounts,
}

/// A fetch under way: own number, and the connection it came on, which tells coreapps apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FetchId {
    account: AccountId,
    peer: Option<SocketAddr>,
}

/// An answer whose bundles may still be in the making.
pub(crate) struct Gathering {
    pub(crate) users: Vec<UserBundles>,
    /// Devices of the user at a place; closed after the last.
    pub(crate) rest: UnboundedReceiver<(usize, Vec<DeviceBundle>)>,
}

/// The bundle that all phones share when nothing is decrypted: what it costs is then paid once, and
/// it costs its reader as much as any other.
pub(super) fn shared(seed: &Seed) -> Option<Bundle> {
    let of = DeviceId { wa_id: None, device: 0, identity: 0 };
    Some(wire::bundle(&Device::new(seed, of)?.bundle(seed, true)))
}

impl Network {
    /// Begins a fetch; gives how long it takes in milliseconds.
    pub(crate) fn begin_fetch(
        &mut self,
        number: &str,
        size: usize,
        peer: Option<SocketAddr>,
    ) -> Result<(FetchId, u64), FetchRefused> {
        self.stats.calls.fetch_bundles += 1;
        let number = Number::from_digits(number.as_bytes()).map_err(|_| FetchRefused::Number)?;
        if size > BUNDLES_MAX {
            return Err(FetchRefused::TooMany);
        }
        let account = self.account_of(number).ok_or(FetchRefused::Accounts)?;
        let id = FetchId { account, peer };
        if !self.fetching.insert(id) {
            self.stats.bundle_fetch.refused_concurrent += 1;
            return Err(FetchRefused::Concurrent);
        }
        self.stats.bundle_fetch.took(size);
        let most = &mut self.stats.in_flight.bundle_fetches_max;
        *most = (*most).max(self.fetching.len() as u64);
        Ok((id, self.latency()))
    }

    /// Ends a fetch, answered or given up.
    pub(crate) fn end_fetch(&mut self, id: FetchId) {
        self.fetching.remove(&id);
    }

    /// The bundles of all devices of each user, in the order asked. No devices: no account.
    pub(crate) fn bundles(&mut self, users: Vec<String>) -> Gathering {
        let mut to_make = Vec::new();
        let users = users.into_iter().enumerate().map(|(place, user)| {
            let mut devices = Vec::new();
            if let Some(wa_id) = self.account_holder(&user) {
                if self.outside.has(&wa_id) {
                    devices = self.outside_bundles(&wa_id);
                } else if let Some(bundle) = &self.shared_bundle {
                    let behaviour = self.phones.behaviour(&wa_id);
                    let mut bundle = bundle.clone();
                    bundle.one_time_pre_key =
                        bundle.one_time_pre_key.filter(|_| behaviour.keys != Keys::NoOneTime);
                    let of = |device| DeviceBundle { device, bundle: Some(bundle.clone()) };
                    devices.extend((0..behaviour.devices).map(of));
                } else {
                    let devices = self.phones.behaviour(&wa_id).devices;
                    to_make.push(User { place, phone: self.crypto_phone(wa_id), devices });
                }
            }
            UserBundles { wa_id: user, devices }
        });
        let users: Vec<_> = users.collect();
        for devices in users.iter().map(|user| &user.devices) {
            self.bundles_given(devices);
        }
        let (reply, rest) = mpsc::unbounded_channel();
        if !to_make.is_empty() {
            self.jobs.push(Job::Bundles(Bundles { users: to_make, reply }));
        }
        Gathering { users, rest }
    }

    /// Counts them.
    pub(crate) fn bundles_given(&mut self, devices: &[DeviceBundle]) {
        let bundles = devices.iter().filter_map(|device| device.bundle.as_ref());
        for bundle in bundles {
            self.stats.bundles.given += 1;
            let without = bundle.one_time_pre_key.is_none();
            self.stats.bundles.without_one_time += u64::from(without);
        }
    }

    /// The phone of a user, if there is an account.
    fn account_holder(&self, user: &str) -> Option<Number> {
        let wa_id = wa_id(Number::from_digits(user.as_bytes()).ok()?);
        let registered = self.phones.behaviour(&wa_id).registered;
        (registered && !self.by_number.contains_key(&wa_id)).then_some(wa_id)
    }

    /// The phone as the threads need to know it.
    pub(super) fn crypto_phone(&self, wa_id: Number) -> Phone {
        let behaviour = self.phones.behaviour(&wa_id);
        Phone {
            wa_id,
            identity: self.phones.identity(&wa_id),
            one_time: behaviour.keys != Keys::NoOneTime,
        }
    }
}
