//! The first agreement: four products, or three when no one-time key is left.

use zeroize::Zeroizing;

use crate::bundle::Bundle;
use crate::dh::Shared;
use crate::error::Primitive;
use crate::kdf::{self, ChainKey, RootKey};
use crate::keys::{BaseKey, Identity, IdentityKey, OneTimePreKey, Pair, SignedPreKey, role};

/// The initiator's side. The bundle's signature has been verified.
pub(crate) fn initiate(
    me: &Identity,
    base: &Pair<role::Base>,
    bundle: &Bundle,
) -> Result<(RootKey, ChainKey), Primitive> {
    let own = me.pair().secret();
    let ephemeral = base.secret();
    first_keys(
        &own.agree(&bundle.signed.key)?,
        &ephemeral.agree(&bundle.identity)?,
        &ephemeral.agree(&bundle.signed.key)?,
        bundle.one_time.map(|one_time| ephemeral.agree(&one_time.key)).transpose()?,
    )
}

/// The responder's side of the same four products.
pub(crate) fn accept(
    me: &Identity,
    signed: &SignedPreKey,
    one_time: Option<&OneTimePreKey>,
    their_identity: &IdentityKey,
    their_base: &BaseKey,
) -> Result<(RootKey, ChainKey), Primitive> {
    let signed = signed.pair().secret();
    first_keys(
        &signed.agree(their_identity)?,
        &me.pair().secret().agree(their_base)?,
        &signed.agree(their_base)?,
        one_time.map(|key| key.pair().secret().agree(their_base)).transpose()?,
    )
}

fn first_keys(
    identity_signed: &Shared,
    base_identity: &Shared,
    base_signed: &Shared,
    base_one_time: Option<Shared>,
) -> Result<(RootKey, ChainKey), Primitive> {
    // Thirty-two 0xFF keep this input apart from any encoding of a point.
    let mut agreed = Zeroizing::new(Vec::with_capacity(5 * 32));
    agreed.extend_from_slice(&[0xff; 32]);
    for shared in [identity_signed, base_identity, base_signed] {
        agreed.extend_from_slice(shared.as_bytes());
    }
    if let Some(shared) = base_one_time {
        agreed.extend_from_slice(shared.as_bytes());
    }
    kdf::first_keys(&agreed)
}
