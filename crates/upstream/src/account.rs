//! What is asked of a network for the account itself, and what it answers.

use std::time::Duration;

use bytes::Bytes;

/// See [`crate::Upstream::account`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountAction {
    /// Send a registration code.
    RequestCode {
        /// By a call instead of a text.
        voice: bool,
        /// The verified-name certificate.
        cert: Bytes,
        /// Of the two-step verification; may be empty.
        pin: Pin,
    },
    /// The code that came.
    VerifyCode(Pin),
    /// Empty: two-step verification is off.
    TwoStep(Pin),
    /// Speak for the number over so many connections.
    Shards {
        /// 1 to 32.
        shards: u32,
        /// The verified-name certificate.
        cert: Bytes,
        /// Of the two-step verification; may be empty.
        pin: Pin,
    },
    /// How customers see the business.
    Profile(contract::profile::Profile),
    /// JPEG; empty: none.
    Photo(Bytes),
}

/// Digits that no log may show.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin(pub String);

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pin(…)")
    }
}

/// The network's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountAnswer {
    /// It is done.
    Done {
        /// The name in the certificate, where one was given.
        vname: String,
    },
    /// It will not be done.
    Refused {
        /// Why, for whoever asked.
        details: String,
        /// When it may be.
        retry_after: Option<Duration>,
    },
}
