//! Keys and bundles as JSON: in the control API and in the journal. Binary fields are base64 of the
//! wire forms (33-byte keys, 64-byte signatures).

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use rpc::upstream as wire;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Bytes that are base64 in JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Base64(pub(crate) Bytes);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        let bytes = STANDARD.decode(text.as_bytes());
        bytes.map(|bytes| Self(bytes.into())).map_err(|_| D::Error::custom("not base64"))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SignedKey {
    pub(crate) id: u32,
    pub(crate) public: Base64,
    pub(crate) signature: Base64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OneTimeKey {
    pub(crate) id: u32,
    pub(crate) public: Base64,
}

/// What a device publishes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Keys {
    pub(crate) registration_id: u32,
    pub(crate) identity_key: Base64,
    pub(crate) signed_pre_key: SignedKey,
    #[serde(default)]
    pub(crate) one_time_pre_keys: Vec<OneTimeKey>,
    /// Journal only: keys given out before, by id and the first bytes of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) used: Vec<(u32, u64)>,
}

/// What a device gives a stranger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bundle {
    pub(crate) registration_id: u32,
    pub(crate) identity_key: Base64,
    pub(crate) signed_pre_key: SignedKey,
    pub(crate) one_time_pre_key: Option<OneTimeKey>,
}

impl From<wire::SignedPreKey> for SignedKey {
    fn from(key: wire::SignedPreKey) -> Self {
        Self { id: key.id, public: Base64(key.public), signature: Base64(key.signature) }
    }
}

impl From<SignedKey> for wire::SignedPreKey {
    fn from(key: SignedKey) -> Self {
        Self { id: key.id, public: key.public.0, signature: key.signature.0 }
    }
}

impl From<wire::OneTimePreKey> for OneTimeKey {
    fn from(key: wire::OneTimePreKey) -> Self {
        Self { id: key.id, public: Base64(key.public) }
    }
}

impl From<OneTimeKey> for wire::OneTimePreKey {
    fn from(key: OneTimeKey) -> Self {
        Self { id: key.id, public: key.public.0 }
    }
}

impl From<Bundle> for wire::Bundle {
    fn from(bundle: Bundle) -> Self {
        Self {
            registration_id: bundle.registration_id,
            identity_key: bundle.identity_key.0,
            signed_pre_key: Some(bundle.signed_pre_key.into()),
            one_time_pre_key: bundle.one_time_pre_key.map(Into::into),
        }
    }
}

impl From<wire::Bundle> for Bundle {
    fn from(bundle: wire::Bundle) -> Self {
        Self {
            registration_id: bundle.registration_id,
            identity_key: Base64(bundle.identity_key),
            signed_pre_key: bundle.signed_pre_key.unwrap_or_default().into(),
            one_time_pre_key: bundle.one_time_pre_key.map(Into::into),
        }
    }
}

impl From<wire::PublishKeysRequest> for Keys {
    fn from(keys: wire::PublishKeysRequest) -> Self {
        Self {
            registration_id: keys.registration_id,
            identity_key: Base64(keys.identity_key),
            signed_pre_key: keys.signed_pre_key.unwrap_or_default().into(),
            one_time_pre_keys: keys.one_time_pre_keys.into_iter().map(Into::into).collect(),
            used: Vec::new(),
        }
    }
}
