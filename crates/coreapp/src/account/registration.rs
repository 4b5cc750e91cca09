//! Registration of the own number: a code is asked for and given back.

use bytes::Bytes;
use contract::{ApiError, Code, Number, account::unregistered};
use serde::{Deserialize, Serialize};
use upstream::{AccountAction, Pin, Upstream};

use super::Account;
use crate::control::Document;

/// The document. Keys that are missing have their defaults, unknown ones are dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Registration {
    /// The registered number; `None`: what is configured, if anything.
    pub number: Option<Number>,
    pub vname: String,
    /// Unix seconds.
    pub registered_s: i64,
    /// A code was asked for this one.
    pub pending: Option<Pending>,
    /// As they were asked for; our own shards stay 64.
    pub shards: Option<u32>,
    pub two_step: bool,
}

/// See [`Registration::pending`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub number: Number,
    pub vname: String,
}

impl Registration {
    /// An empty document is nobody's; one that cannot be read, too, which is told.
    pub(crate) fn read(document: &Bytes) -> Self {
        if document.is_empty() {
            return Self::default();
        }
        serde_json::from_slice(document).unwrap_or_else(|error| {
            tracing::error!(
                line = error.line(),
                "table config, column document, row 'registration' cannot be read; no number is \
                 registered by it"
            );
            Self::default()
        })
    }

    pub(super) fn write(&self) -> (Document, Bytes) {
        // Text keys and plain values always serialise.
        (Document::Registration, serde_json::to_vec(self).unwrap_or_default().into())
    }
}

impl<U: Upstream> Account<U> {
    /// What is registered.
    pub(crate) async fn registration(&self) -> Registration {
        Registration::read(&self.control.document(Document::Registration).await)
    }

    /// Asks for a code; gives the certificate's name, `None` when the number is ours already.
    pub(crate) async fn request_code(
        &self,
        number: Number,
        action: AccountAction,
    ) -> Result<Option<String>, ApiError> {
        self.owner()?;
        let _one = self.one.lock().await;
        if self.control.own_number().await == Some(number) {
            return Ok(None);
        }
        let vname = self.ask(number, action).await?;
        let pending = Some(Pending { number, vname: vname.clone() });
        self.keep(Registration { pending, ..self.registration().await }).await?;
        Ok(Some(vname))
    }

    /// Registers the number that the code was asked for.
    pub(crate) async fn verify(&self, code: String) -> Result<(), ApiError> {
        self.owner()?;
        let _one = self.one.lock().await;
        let Some(Pending { number, vname }) = self.registration().await.pending else {
            let details = "Registration failed for reason 'no_code': ask for one with POST \
                           /v1/account first";
            return Err(ApiError::new(Code::ACCESS_DENIED, details));
        };
        self.ask(number, AccountAction::VerifyCode(Pin(code))).await?;
        self.begin_generation().await?;
        let registration = Registration {
            number: Some(number),
            vname,
            registered_s: self.clock.unix_s(),
            // Of this number nothing is known but what the network has just let pass.
            two_step: false,
            pending: None,
            ..self.registration().await
        };
        self.keep(registration).await
    }

    /// Remembers what was asked for, if the network lets who asks do so.
    pub(crate) async fn set_shards(
        &self,
        number: Number,
        shards: u32,
        cert: Bytes,
        pin: Pin,
    ) -> Result<(), ApiError> {
        self.owner()?;
        let _one = self.one.lock().await;
        let own = self.number().await?;
        let registration = self.registration().await;
        if number != own {
            let details =
                "Parameters 'cc' and 'phone_number': this number is not the registered one";
            return Err(ApiError::new(Code::INVALID, details));
        }
        if registration.two_step && pin.0.is_empty() {
            let details = "Parameter 'pin' is mandatory while two-step verification is on";
            return Err(ApiError::new(Code::MISSING, details));
        }
        self.ask(number, AccountAction::Shards { shards, cert, pin }).await?;
        self.keep(Registration { shards: Some(shards), ..registration }).await
    }

    /// Switches two-step verification on, off with an empty pin. The network alone keeps the pin.
    pub(crate) async fn set_two_step(&self, pin: String) -> Result<(), ApiError> {
        self.owner()?;
        let _one = self.one.lock().await;
        let number = self.control.own_number().await.ok_or_else(unregistered)?;
        let two_step = !pin.is_empty();
        self.ask(number, AccountAction::TwoStep(Pin(pin))).await?;
        self.keep(Registration { two_step, ..self.registration().await }).await
    }

    async fn keep(&self, registration: Registration) -> Result<(), ApiError> {
        self.control.put(vec![registration.write()], None).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_as_it_was_written_and_a_damaged_one_registers_nobody() {
        let number = Number::from_digits(b"15550100101").ok();
        let registration = Registration { number, two_step: true, ..Registration::default() };
        let (_, document) = registration.write();
        assert_eq!(Registration::read(&document), registration);
        for damaged in [&b""[..], b"{", b"{\"number\":7}"] {
            assert_eq!(Registration::read(&Bytes::from_static(damaged)), Registration::default());
        }
    }
}
