//! Does the jobs of some phones, in order. No thread and no lock in here.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use contract::{Number, Rng};
use ring::digest;
use rpc::upstream::{DeviceBundle, Envelope, envelope::Kind};
use session::{Message, PreKeyMessage, Reason, Record};

use super::{
    Advanced, Between, Bundles, Counters, Done, Failure, Job, Open, Opened, Opening, Phone, Seal,
    Sealed,
    keys::{Device, DeviceId, Seed},
    wire,
};

/// Sessions of one worker; the oldest is forgotten then. Its next message cannot be decrypted, is
/// asked for again, and begins a new session.
pub(crate) const SESSIONS_MAX: usize = 200_000;
/// Devices whose keys are held ready; then all are derived anew, and one-time keys given out and
/// used are forgotten.
const DEVICES_MAX: usize = 100_000;

pub(crate) struct Worker {
    seed: Arc<Seed>,
    rng: Arc<dyn Rng>,
    devices: HashMap<DeviceId, Device>,
    /// With the identity they were made under.
    sessions: HashMap<Between, (u32, Record)>,
    /// Oldest first.
    order: VecDeque<Between>,
    /// What the job under way has advanced; `None`: nobody wants to know.
    advanced: Option<Vec<Advanced>>,
}

impl Worker {
    /// `keep`: what jobs advance is told, for the journal.
    pub(crate) fn new(seed: Arc<Seed>, rng: Arc<dyn Rng>, keep: bool) -> Self {
        Self {
            seed,
            rng,
            devices: HashMap::new(),
            sessions: HashMap::new(),
            order: VecDeque::new(),
            advanced: keep.then(Vec::new),
        }
    }

    /// Takes up a session of before the restart; one that cannot be read begins anew.
    pub(crate) fn resume(&mut self, session: &Advanced) {
        match Record::from_bytes(&session.record) {
            Ok(record) => self.keep(session.between, session.identity, record),
            Err(error) => {
                tracing::warn!(%error, "A session of the sandbox's journal is unreadable");
            }
        }
    }

    /// `None` for what is answered on a channel of its own.
    pub(crate) fn run(&mut self, job: Job) -> Option<Done> {
        match job {
            Job::Open(open) => Some(Done::Opened(self.open(*open))),
            Job::Seal(seal) => Some(Done::Sealed(self.seal(*seal))),
            Job::Bundles(bundles) => {
                self.bundles(bundles);
                None
            }
        }
    }

    fn bundles(&mut self, bundles: Bundles) {
        for user in bundles.users {
            let devices = (0..user.devices).filter_map(|device| {
                let bundle = self.bundle(user.phone, device)?;
                Some(DeviceBundle { device, bundle: Some(bundle) })
            });
            // Nobody waits any more: the one-time keys are lost, as on any network.
            if bundles.reply.send((user.place, devices.collect())).is_err() {
                return;
            }
        }
    }

    fn bundle(&mut self, phone: Phone, device: u32) -> Option<rpc::upstream::Bundle> {
        let seed = self.seed.clone();
        let device = self.device(DeviceId::of(phone, device))?;
        Some(wire::bundle(&device.bundle(&seed, phone.one_time)))
    }

    fn device(&mut self, of: DeviceId) -> Option<&mut Device> {
        if !self.devices.contains_key(&of) {
            if self.devices.len() >= DEVICES_MAX {
                self.devices.clear();
            }
            self.devices.insert(of, Device::new(&self.seed, of)?);
        }
        self.devices.get_mut(&of)
    }

    // === decrypting ===

    fn open(&mut self, open: Open) -> Opened {
        let Open { name, home, business, phone, pretend, envelopes } = open;
        let mut devices = Vec::with_capacity(envelopes.len());
        for envelope in envelopes {
            let outcome = match pretend {
                true => Err("pretended"),
                false => self.decrypt(business, phone, &envelope),
            };
            let outcome = outcome.map_err(|reason| self.failure(phone, envelope.device, reason));
            devices.push((envelope.device, outcome));
        }
        Opened { name, home, devices, sessions: self.take_advanced() }
    }

    fn failure(&mut self, phone: Phone, device: u32, reason: &'static str) -> Failure {
        let bundle = self.bundle(phone, device).unwrap_or_default();
        Failure { reason, registration_id: bundle.registration_id, bundle }
    }

    fn decrypt(
        &mut self,
        business: Number,
        phone: Phone,
        envelope: &Envelope,
    ) -> Result<Opening, &'static str> {
        let between = (business, phone.wa_id, envelope.device);
        let name = |error: session::DecryptError| error.reason().name();
        match envelope.kind() {
            Kind::Plain => {
                Ok(Opening { content: envelope.ciphertext.as_ref().into(), counters: None })
            }
            Kind::Prekey => {
                let message = PreKeyMessage::decode(&envelope.ciphertext).map_err(name)?;
                self.accept(between, phone, &message)
            }
            Kind::Message => {
                let message = Message::decode(&envelope.ciphertext).map_err(name)?;
                let record = self.take(between, phone.identity);
                match record.decrypt(&message, self.rng.as_ref()) {
                    Ok((record, plaintext)) => {
                        let session = record.current().map(|session| session.base_key().to_wire());
                        let session = hash(session.as_ref().map_or(&[][..], |key| key));
                        self.put(between, phone.identity, record);
                        Ok(opening(plaintext.as_bytes(), session, &message))
                    }
                    Err((record, error)) => {
                        self.put(between, phone.identity, record);
                        Err(name(error))
                    }
                }
            }
            Kind::Unspecified => Err(Reason::Malformed.name()),
        }
    }

    fn accept(
        &mut self,
        between: Between,
        phone: Phone,
        message: &PreKeyMessage,
    ) -> Result<Opening, &'static str> {
        let record = self.take(between, phone.identity);
        let (seed, rng) = (self.seed.clone(), self.rng.clone());
        let Some(device) = self.device(DeviceId::of(phone, between.2)) else {
            return Err(Reason::UnknownPreKey.name());
        };
        let held = device.held(&seed, message.one_time_id());
        match record.accept(device.identity(), message, &held, rng.as_ref()) {
            Ok(accepted) => {
                if let Some(id) = accepted.used.and_then(|used| used.one_time) {
                    device.used(id);
                }
                let session = hash(&message.base_key().to_wire());
                self.put(between, phone.identity, accepted.record);
                Ok(opening(accepted.plaintext.as_bytes(), session, message.message()))
            }
            Err((record, error)) => {
                self.put(between, phone.identity, record);
                Err(error.reason().name())
            }
        }
    }

    // === encrypting ===

    fn seal(&mut self, seal: Seal) -> Sealed {
        let Seal { lane, business, phone, content, bundle, anew, unix_s } = seal;
        let between = (business, phone.wa_id, 0);
        let mut record = self.take(between, phone.identity);
        if anew {
            record.archive();
        }
        if record.current().is_none()
            && let Some(bundle) = bundle.as_ref().and_then(|bundle| wire::parse(bundle).ok())
        {
            let rng = self.rng.clone();
            if let Some(device) = self.device(DeviceId::of(phone, 0)) {
                let begun = record.initiate(device.identity(), &bundle, unix_s, rng.as_ref());
                record = begun.unwrap_or_else(|(record, _)| record);
            }
        }
        let (record, envelope) = match record.encrypt(&content) {
            Ok((record, sealed)) => {
                let kind = match sealed.kind {
                    session::Kind::PreKey => Kind::Prekey,
                    session::Kind::Message => Kind::Message,
                };
                let ciphertext = Bytes::from(sealed.bytes);
                (record, Some(Envelope { device: 0, kind: kind.into(), ciphertext }))
            }
            Err((record, _)) => (record, None),
        };
        self.put(between, phone.identity, record);
        Sealed { lane, envelope, sessions: self.take_advanced() }
    }

    // === sessions ===

    /// Those under an earlier identity of the phone are gone with it.
    fn take(&mut self, between: Between, identity: u32) -> Record {
        match self.sessions.get_mut(&between) {
            Some((made_under, record)) if *made_under == identity => std::mem::take(record),
            _ => Record::default(),
        }
    }

    fn put(&mut self, between: Between, identity: u32, record: Record) {
        if let Some(advanced) = &mut self.advanced {
            let record = Bytes::copy_from_slice(record.to_bytes().as_ref());
            advanced.push(Advanced { between, identity, record });
        }
        self.keep(between, identity, record);
    }

    fn take_advanced(&mut self) -> Vec<Advanced> {
        self.advanced.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn keep(&mut self, between: Between, identity: u32, record: Record) {
        if self.sessions.insert(between, (identity, record)).is_none() {
            self.order.push_back(between);
        }
        if self.sessions.len() > SESSIONS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.sessions.remove(&oldest);
        }
    }
}

fn opening(content: &[u8], session: [u8; 8], message: &Message) -> Opening {
    let counters = Counters {
        session,
        chain: hash(&message.ratchet_key().to_wire()),
        counter: message.counter(),
    };
    Opening { content: content.into(), counters: Some(counters) }
}

/// Short enough to compare by eye, and no key.
fn hash(key: &[u8]) -> [u8; 8] {
    let digest = digest::digest(&digest::SHA256, key);
    let mut out = [0; 8];
    for (place, byte) in out.iter_mut().zip(digest.as_ref()) {
        *place = *byte;
    }
    out
}
