//! The fault plan: what goes wrong, how often, from which seed. Read and changed over the control
//! API.

use serde::{Deserialize, Serialize};

/// Longest latency and pause that can be asked for, milliseconds.
pub const MAX_MS: u64 = 60_000;

/// What the network does badly.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Faults {
    /// Of the dice that decide latencies and faults. Setting it starts the dice anew.
    pub seed: u64,
    /// Least and most milliseconds that each call, answer, receipt and inbound message takes.
    pub latency_ms: (u64, u64),
    /// Ends all streams so often; 0: never.
    pub disconnect_every_ms: u64,
    /// Share of answers that get lost though the message was taken, 0 to 1.
    pub answer_loss: f64,
    /// Share of items that go down the stream twice, 0 to 1.
    pub duplicates: f64,
    /// Share of contacts answered as failed, 0 to 1.
    pub contacts_failed: f64,
    /// Messages refused at random.
    pub refuse: Refuse,
    /// Only templates reach a phone that has not written within 24 hours (470).
    pub window_24h: bool,
    /// Outside devices' keys are taken as they are, as the vendor's servers take them; else what is
    /// no key, or not signed by its owner, is refused so that a mistake shows early.
    pub unchecked_keys: bool,
    /// What becomes of files that businesses ask for.
    pub media: MediaFault,
}

/// See [`Faults::media`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaFault {
    /// They are given out.
    #[default]
    None,
    /// There are none.
    Gone,
    /// Too many were asked for.
    Throttled,
    /// They begin and never go on.
    Stalled,
    /// Their bytes are others than announced.
    Damaged,
}

/// See [`Faults::refuse`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refuse {
    /// Share of messages, 0 to 1.
    pub rate: f64,
    /// How long the sender is told to wait.
    #[serde(default = "one_second")]
    pub after_ms: u64,
    /// What must wait.
    #[serde(default)]
    pub class: RefuseClass,
}

/// See [`Refuse::class`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RefuseClass {
    /// This message.
    #[default]
    Retry,
    /// The whole link.
    Hold,
    /// This recipient.
    Recipient,
}

/// Something wrong that belongs to no message, as businesses are told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trouble {
    /// Of the error catalogue.
    pub(crate) code: u16,
    #[serde(default)]
    pub(crate) details: String,
}

/// A change of the plan; what is absent stays. The last three act once.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FaultsPatch {
    seed: Option<u64>,
    latency_ms: Option<(u64, u64)>,
    disconnect_every_ms: Option<u64>,
    answer_loss: Option<f64>,
    duplicates: Option<f64>,
    contacts_failed: Option<f64>,
    refuse: Option<Refuse>,
    window_24h: Option<bool>,
    unchecked_keys: Option<bool>,
    media: Option<MediaFault>,
    /// Ends all streams now.
    pub(crate) disconnect_now: bool,
    /// Tells all streams to send nothing for so long.
    pub(crate) busy_ms: Option<u64>,
    /// Tells all businesses that something is wrong.
    pub(crate) trouble: Option<Trouble>,
}

impl FaultsPatch {
    /// The dice start anew.
    pub(crate) fn sets_seed(&self) -> bool {
        self.seed.is_some()
    }
}

impl Faults {
    /// Nothing goes wrong.
    #[must_use]
    pub fn none(seed: u64, latency_ms: (u64, u64)) -> Self {
        Self {
            seed,
            latency_ms,
            disconnect_every_ms: 0,
            answer_loss: 0.0,
            duplicates: 0.0,
            contacts_failed: 0.0,
            refuse: Refuse { rate: 0.0, after_ms: one_second(), class: RefuseClass::Retry },
            window_24h: false,
            unchecked_keys: false,
            media: MediaFault::None,
        }
    }

    /// The plan after `patch`, or a sentence that says what cannot be.
    pub(crate) fn patched(&self, patch: &FaultsPatch) -> Result<Self, String> {
        let new = Self {
            seed: patch.seed.unwrap_or(self.seed),
            latency_ms: patch.latency_ms.unwrap_or(self.latency_ms),
            disconnect_every_ms: patch.disconnect_every_ms.unwrap_or(self.disconnect_every_ms),
            answer_loss: patch.answer_loss.unwrap_or(self.answer_loss),
            duplicates: patch.duplicates.unwrap_or(self.duplicates),
            contacts_failed: patch.contacts_failed.unwrap_or(self.contacts_failed),
            refuse: patch.refuse.unwrap_or(self.refuse),
            window_24h: patch.window_24h.unwrap_or(self.window_24h),
            unchecked_keys: patch.unchecked_keys.unwrap_or(self.unchecked_keys),
            media: patch.media.unwrap_or(self.media),
        };
        new.check()?;
        match patch.busy_ms {
            Some(ms) if ms > MAX_MS => {
                Err(format!("busy_ms is {ms}; at most {MAX_MS} are allowed"))
            }
            _ => Ok(new),
        }
    }

    /// A sentence that says what cannot be.
    pub(crate) fn check(&self) -> Result<(), String> {
        let (min, max) = self.latency_ms;
        if min > max || max > MAX_MS {
            return Err(format!(
                "latency_ms is [{min}, {max}]; give [least, most] with least ≤ most ≤ {MAX_MS}"
            ));
        }
        if self.refuse.after_ms > MAX_MS {
            return Err(format!(
                "refuse.after_ms is {}; at most {MAX_MS} are allowed",
                self.refuse.after_ms
            ));
        }
        for (name, rate) in [
            ("answer_loss", self.answer_loss),
            ("duplicates", self.duplicates),
            ("contacts_failed", self.contacts_failed),
            ("refuse.rate", self.refuse.rate),
        ] {
            if !(0.0..=1.0).contains(&rate) {
                return Err(format!("{name} is {rate}; give a share between 0 and 1"));
            }
        }
        Ok(())
    }
}

fn one_second() -> u64 {
    1_000
}
