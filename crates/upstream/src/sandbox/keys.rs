//! Keys and bundles between the upstream protocol and the types of the session crate.
//!
//! Every key is checked here (length, type, form), no signature is: whoever sets up a session
//! verifies it.

use bytes::Bytes;
use contract::Number;
use rpc::upstream as wire;
use session::{Bundle, IdentityKey, KeyError, OneTimePublic, SignedPublic};
use tracing::warn;

use crate::{CallError, DeviceBundle, OwnKeys, Retry, UserBundles};

/// A retry without a usable bundle is still one: its reader fetches a bundle then.
pub(super) fn retry(retry: &wire::Retry) -> Retry {
    let bundle = retry.bundle.as_ref().and_then(readable);
    Retry {
        count: retry.count,
        registration_id: retry.registration_id,
        bundle: bundle.map(Box::new),
    }
}

pub(super) fn retry_to_wire(retry: &Retry) -> wire::Retry {
    wire::Retry {
        count: retry.count,
        registration_id: retry.registration_id,
        bundle: retry.bundle.as_deref().map(bundle_to_wire),
    }
}

/// The answer to a fetch, in the order asked.
pub(super) fn users(
    asked: &[Number],
    users: &[wire::UserBundles],
) -> Result<Vec<UserBundles>, CallError> {
    let same = |(asked, user): (&Number, &wire::UserBundles)| asked.as_str() == user.wa_id;
    if asked.len() != users.len() || !asked.iter().zip(users).all(same) {
        return Err(CallError(format!(
            "asked for the bundles of {} users, the answer names others",
            asked.len()
        )));
    }
    let devices = |user: &wire::UserBundles| {
        let devices = user.devices.iter().map(|of| {
            let bundle = of.bundle.as_ref().ok_or(KeyError::Length).and_then(bundle_from_wire);
            DeviceBundle { device: of.device, bundle }
        });
        devices.collect()
    };
    let users = asked.iter().zip(users);
    Ok(users.map(|(wa_id, user)| UserBundles { wa_id: *wa_id, devices: devices(user) }).collect())
}

pub(super) fn publication(number: Number, keys: &OwnKeys) -> wire::PublishKeysRequest {
    wire::PublishKeysRequest {
        number: number.to_string(),
        registration_id: keys.registration_id,
        identity_key: Bytes::copy_from_slice(&keys.identity.to_wire()),
        signed_pre_key: Some(signed_to_wire(&keys.signed)),
        one_time_pre_keys: keys.one_time.iter().map(one_time_to_wire).collect(),
    }
}

fn readable(bundle: &wire::Bundle) -> Option<Bundle> {
    let bundle = bundle_from_wire(bundle);
    if let Err(error) = &bundle {
        warn!(%error, "A retry receipt has a pre-key bundle that cannot be used; it was left out");
    }
    bundle.ok()
}

fn bundle_from_wire(bundle: &wire::Bundle) -> Result<Bundle, KeyError> {
    let signed = bundle.signed_pre_key.as_ref().ok_or(KeyError::Length)?;
    let one_time = bundle.one_time_pre_key.as_ref();
    Ok(Bundle {
        registration_id: bundle.registration_id,
        identity: IdentityKey::from_wire(&bundle.identity_key)?,
        signed: SignedPublic::from_wire(signed.id, &signed.public, &signed.signature)?,
        one_time: one_time.map(|key| OneTimePublic::from_wire(key.id, &key.public)).transpose()?,
    })
}

fn bundle_to_wire(bundle: &Bundle) -> wire::Bundle {
    wire::Bundle {
        registration_id: bundle.registration_id,
        identity_key: Bytes::copy_from_slice(&bundle.identity.to_wire()),
        signed_pre_key: Some(signed_to_wire(&bundle.signed)),
        one_time_pre_key: bundle.one_time.as_ref().map(one_time_to_wire),
    }
}

fn signed_to_wire(signed: &SignedPublic) -> wire::SignedPreKey {
    wire::SignedPreKey {
        id: signed.id.get(),
        public: Bytes::copy_from_slice(&signed.key.to_wire()),
        signature: Bytes::copy_from_slice(signed.signature.as_bytes()),
    }
}

fn one_time_to_wire(key: &OneTimePublic) -> wire::OneTimePreKey {
    wire::OneTimePreKey { id: key.id.get(), public: Bytes::copy_from_slice(&key.key.to_wire()) }
}
