//! A phone's keys, derived from the seed and its number, so that nothing need be stored: a sandbox
//! that starts again has the same phones. Secrets of nobody; never for anything but virtual phones.

use std::collections::HashSet;

use contract::{Number, Rng};
use ring::hmac;
use session::{
    Identity, OneTimePreKey, OwnKeys, PreKeyId, SignedPreKey,
    keys::{Pair, role},
};

use super::Phone;

/// Id of the only signed pre-key of a device.
const SIGNED_ID: u32 = 1;
/// One-time keys of one device that are remembered as used; then all are forgotten, and a message
/// that uses one again is no longer refused.
const USED_MAX: usize = 10_000;

/// What all keys are derived from.
pub(crate) struct Seed(hmac::Key);

/// What a key is for.
#[derive(Clone, Copy)]
enum Kind {
    Identity = 1,
    Signed = 2,
    OneTime = 3,
    Signature = 4,
    Registration = 5,
}

/// Whose keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DeviceId {
    /// `None`: the keys that all phones share when nothing is decrypted.
    pub(crate) wa_id: Option<Number>,
    pub(crate) device: u32,
    /// How often the identity has changed.
    pub(crate) identity: u32,
}

impl DeviceId {
    pub(crate) fn of(phone: Phone, device: u32) -> Self {
        Self { wa_id: Some(phone.wa_id), device, identity: phone.identity }
    }
}

impl Seed {
    pub(crate) fn new(seed: u64) -> Self {
        let mut key = *b"heliograph sandbox phones\0\0\0\0\0\0\0\0";
        key[25..].copy_from_slice(&seed.to_be_bytes());
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }

    fn derive(&self, of: DeviceId, kind: Kind, id: u32) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&[kind as u8]);
        context.update(of.wa_id.as_ref().map_or(&[][..], |wa_id| wa_id.as_bytes()));
        // The digits are followed by a byte that is no digit.
        context.update(&[0]);
        for part in [of.device, of.identity, id] {
            context.update(&part.to_be_bytes());
        }
        let mut out = [0; 32];
        for (place, byte) in out.iter_mut().zip(context.sign().as_ref()) {
            *place = *byte;
        }
        out
    }

    pub(crate) fn identity(&self, of: DeviceId) -> Identity {
        let [a, b, ..] = self.derive(of, Kind::Registration, 0);
        let drawn = u32::from(u16::from_be_bytes([a, b]));
        let registration_id = 1 + drawn % Identity::REGISTRATION_ID_MAX;
        Identity::from_secret_bytes(&self.derive(of, Kind::Identity, 0), registration_id)
    }

    fn one_time(&self, of: DeviceId, id: PreKeyId) -> OneTimePreKey {
        let secret = self.derive(of, Kind::OneTime, id.get());
        OneTimePreKey::new(id, Pair::<role::OneTime>::from_secret_bytes(&secret))
    }
}

/// A device's keys, and which one-time keys it has given out.
pub(crate) struct Device {
    of: DeviceId,
    identity: Identity,
    signed: SignedPreKey,
    last: PreKeyId,
    used: HashSet<PreKeyId>,
}

/// Its keys for one message.
pub(crate) struct Held<'a> {
    signed: &'a SignedPreKey,
    one_time: Option<OneTimePreKey>,
}

impl Device {
    /// `None` never: the id is in range.
    pub(crate) fn new(seed: &Seed, of: DeviceId) -> Option<Self> {
        let identity = seed.identity(of);
        let pair =
            Pair::<role::Signed>::from_secret_bytes(&seed.derive(of, Kind::Signed, SIGNED_ID));
        let nonce = Repeated(seed.derive(of, Kind::Signature, SIGNED_ID));
        let id = PreKeyId::new(SIGNED_ID).ok()?;
        let signed = SignedPreKey::sign(&identity, id, pair, &nonce);
        Some(Self { of, identity, signed, last: PreKeyId::MAX, used: HashSet::new() })
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// A bundle nobody else gets, without a one-time key if there is none to give.
    pub(crate) fn bundle(&mut self, seed: &Seed, one_time: bool) -> session::Bundle {
        let one_time = one_time.then(|| {
            self.last = self.last.following();
            seed.one_time(self.of, self.last)
        });
        self.identity.bundle(&self.signed, one_time.as_ref())
    }

    /// The keys for a message that names this one-time key.
    pub(crate) fn held(&self, seed: &Seed, one_time: Option<PreKeyId>) -> Held<'_> {
        let unused = one_time.filter(|id| !self.used.contains(id));
        Held { signed: &self.signed, one_time: unused.map(|id| seed.one_time(self.of, id)) }
    }

    /// A session has used up the key.
    pub(crate) fn used(&mut self, id: PreKeyId) {
        if self.used.len() >= USED_MAX {
            self.used.clear();
        }
        self.used.insert(id);
    }
}

impl OwnKeys for Held<'_> {
    fn signed(&self, id: PreKeyId) -> Option<&SignedPreKey> {
        Some(self.signed).filter(|key| key.id() == id)
    }

    fn one_time(&self, id: PreKeyId) -> Option<&OneTimePreKey> {
        self.one_time.as_ref().filter(|key| key.id() == id)
    }
}

/// The nonce of a signature that must come out the same at every start.
struct Repeated([u8; 32]);

impl Rng for Repeated {
    fn fill(&self, out: &mut [u8]) {
        for (place, byte) in out.iter_mut().zip(self.0.iter().cycle()) {
            *place = *byte;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(seed: u64, wa_id: &str, device: u32, identity: u32) -> Device {
        let of = DeviceId { wa_id: Some(wa_id.parse().unwrap()), device, identity };
        Device::new(&Seed::new(seed), of).unwrap()
    }

    #[test]
    fn a_phone_has_the_same_keys_at_every_start_and_shares_none() {
        let ada = "4915112345678";
        let bundle = |mut device: Device| device.bundle(&Seed::new(7), true);
        let first = bundle(device(7, ada, 0, 0));
        assert!(first == bundle(device(7, ada, 0, 0)) && first.verify().is_ok());
        for other in [
            device(8, ada, 0, 0),
            device(7, "4915112345679", 0, 0),
            device(7, ada, 1, 0),
            device(7, ada, 0, 1),
        ] {
            let other = bundle(other);
            assert!(other.verify().is_ok());
            assert_ne!(other.identity, first.identity);
            assert_ne!(other.signed.key, first.signed.key);
        }
    }

    #[test]
    fn no_one_time_key_is_given_twice() {
        let seed = Seed::new(7);
        let mut device = device(7, "4915112345678", 0, 0);
        let ids: Vec<_> =
            (0..3).map(|_| device.bundle(&seed, true).one_time.unwrap().id.get()).collect();
        assert_eq!(ids, [1, 2, 3]);
        assert!(device.bundle(&seed, false).one_time.is_none());
    }
}
