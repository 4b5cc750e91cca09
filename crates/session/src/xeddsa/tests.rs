use rand_core::{TryCryptoRng, TryRng};
use xeddsa::Verify;
use xeddsa::xed25519::{PrivateKey, PublicKey};

use super::{SIGN, Signature, sign, verify};
use crate::Rng;
use crate::keys::{Pair, role};
use crate::testing::Dice;

/// Lends a [`Dice`] to the independent crate.
struct Lent(Dice);

impl TryRng for Lent {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(out);
        Ok(())
    }
}

impl TryCryptoRng for Lent {}

/// The independent crate hashes an unreduced scalar into the nonce where the specification says
/// "mod q", so half of the signatures differ in their nonce; the others are the same bit for bit.
#[test]
fn signatures_agree_with_an_independent_implementation() {
    let mut same = 0;
    for seed in 0..40 {
        let pair = Pair::<role::Identity>::generate(&Dice::new(seed));
        let message = vec![7; usize::try_from(seed).unwrap()];
        let ours = sign(pair.secret(), &message, &Dice::new(seed + 1_000));
        let private = PrivateKey::from(pair.secret().as_bytes());
        let theirs: [u8; 64] =
            xeddsa::Sign::sign(&private, &message, Lent(Dice::new(seed + 1_000)));
        same += u32::from(ours.as_bytes() == &theirs);

        PublicKey(*pair.public().as_bytes()).verify(&message, ours.as_bytes()).unwrap();
        verify(pair.public(), &message, &Signature::from_bytes(&theirs)).unwrap();
        verify(pair.public(), &message, &ours).unwrap();
    }
    assert!((10..=30).contains(&same), "{same} of 40");
}

#[test]
fn any_changed_bit_is_refused() {
    let pair = Pair::<role::Identity>::generate(&Dice::new(9));
    let other = Pair::<role::Identity>::generate(&Dice::new(10));
    let signature = sign(pair.secret(), b"message", &Dice::new(11));
    assert!(verify(pair.public(), b"message", &signature).is_ok());
    assert!(verify(pair.public(), b"massage", &signature).is_err());
    assert!(verify(other.public(), b"message", &signature).is_err());
    for bit in 0..512 {
        let mut changed = *signature.as_bytes();
        changed[bit / 8] ^= 1 << (bit % 8);
        let changed = Signature::from_bytes(&changed);
        assert!(verify(pair.public(), b"message", &changed).is_err(), "bit {bit}");
    }
    assert_eq!(SIGN, 1 << 7);
}

/// Adding the group's order to `s` gives a second signature in lax verifiers.
#[test]
fn a_malleable_s_is_refused() {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let pair = Pair::<role::Identity>::generate(&Dice::new(12));
    let mut bytes = *sign(pair.secret(), b"message", &Dice::new(13)).as_bytes();
    let mut carry = 0;
    for (byte, add) in bytes[32..].iter_mut().zip(ORDER) {
        carry += u16::from(*byte) + u16::from(add);
        *byte = carry.to_le_bytes()[0];
        carry >>= 8;
    }
    assert!(verify(pair.public(), b"message", &Signature::from_bytes(&bytes)).is_err());
}
