//! The private authorities that webhooks may have their certificates from: an uploaded bundle,
//! kept as it came, in force at once.

use std::sync::Arc;

use bytes::Bytes;
use contract::{ApiError, Code};
use store::{Reader, rows::Config, write::Op};

use super::{
    rows::BUNDLE,
    state::{Control, ControlError},
};
use crate::egress::{Egress, EgressError, Policy, authorities};

/// What new connections to webhooks are made with from now on.
pub(crate) type Trust = Box<dyn Fn(Egress) + Send + Sync>;

/// The bundle and the version of its row; an empty document is no bundle.
#[derive(Default)]
pub(super) struct Bundle {
    pub(super) version: i64,
    pem: Bytes,
}

impl Bundle {
    pub(super) async fn read(reader: &Reader) -> Result<Self, ControlError> {
        let row = reader.config(BUNDLE).await?;
        Ok(row.map_or_else(Self::default, |row| Self { version: row.version, pem: row.document }))
    }

    /// What the bundle means together with the process's own rules.
    pub(super) fn egress(&self, policy: &Policy) -> Result<Egress, EgressError> {
        Egress::new(policy, authorities(&self.pem)?)
    }
}

impl Control {
    /// The bundle as it was uploaded; `None` without one.
    pub(crate) async fn authorities(&self) -> Option<Bytes> {
        Some(self.state.lock().await.bundle.pem.clone()).filter(|pem| !pem.is_empty())
    }

    /// Replaces the bundle; an empty one takes it away.
    pub(crate) async fn set_authorities(self: &Arc<Self>, pem: Bytes) -> Result<(), ApiError> {
        let state = self.to_change().await;
        let bundle = Bundle { version: state.bundle.version + 1, pem };
        let egress = bundle.egress(&self.policy);
        let egress = egress.map_err(|error| ApiError::new(Code::INVALID, error.to_string()))?;
        let row = Config {
            name: BUNDLE.to_owned(),
            version: bundle.version,
            document: bundle.pem.clone(),
        };
        self.write(state, vec![Op::PutConfig(row)], move |control, state| {
            state.versions.bundle = bundle.version;
            state.bundle = bundle;
            (control.trust)(egress);
        })
        .await
    }
}
