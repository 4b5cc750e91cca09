//! Bundles between the upstream protocol and the session crate.

use bytes::Bytes;
use rpc::upstream::{self as wire, SignedPreKey};
use session::{Bundle, IdentityKey, KeyError, OneTimePublic, SignedPublic};

pub(crate) fn bundle(bundle: &Bundle) -> wire::Bundle {
    wire::Bundle {
        registration_id: bundle.registration_id,
        identity_key: Bytes::copy_from_slice(&bundle.identity.to_wire()),
        signed_pre_key: Some(SignedPreKey {
            id: bundle.signed.id.get(),
            public: Bytes::copy_from_slice(&bundle.signed.key.to_wire()),
            signature: Bytes::copy_from_slice(bundle.signed.signature.as_bytes()),
        }),
        one_time_pre_key: bundle.one_time.as_ref().map(|key| wire::OneTimePreKey {
            id: key.id.get(),
            public: Bytes::copy_from_slice(&key.key.to_wire()),
        }),
    }
}

pub(crate) fn parse(bundle: &wire::Bundle) -> Result<Bundle, KeyError> {
    let signed = bundle.signed_pre_key.as_ref().ok_or(KeyError::Length)?;
    let one_time = bundle.one_time_pre_key.as_ref();
    Ok(Bundle {
        registration_id: bundle.registration_id,
        identity: IdentityKey::from_wire(&bundle.identity_key)?,
        signed: SignedPublic::from_wire(signed.id, &signed.public, &signed.signature)?,
        one_time: one_time.map(|key| OneTimePublic::from_wire(key.id, &key.public)).transpose()?,
    })
}

/// Keys somebody wants to publish.
#[derive(Clone, Copy)]
pub(crate) struct Offered<'a> {
    pub(crate) identity_key: &'a Bytes,
    pub(crate) signed_pre_key: Option<&'a SignedPreKey>,
    pub(crate) one_time: &'a [wire::OneTimePreKey],
}

/// Checks every key and the signature. Costs CPU: not under the network's lock.
pub(crate) fn check(offered: Offered<'_>) -> Result<(), String> {
    let part = |what: &'static str| move |error: KeyError| format!("{what}: {error}");
    let signed = offered.signed_pre_key.ok_or("signed_pre_key is missing")?;
    let bundle = Bundle {
        registration_id: 0,
        identity: IdentityKey::from_wire(offered.identity_key).map_err(part("identity_key"))?,
        signed: SignedPublic::from_wire(signed.id, &signed.public, &signed.signature)
            .map_err(part("signed_pre_key"))?,
        one_time: None,
    };
    for key in offered.one_time {
        OneTimePublic::from_wire(key.id, &key.public).map_err(part("one_time_pre_keys"))?;
    }
    bundle.verify().map_err(|error| error.to_string())
}
