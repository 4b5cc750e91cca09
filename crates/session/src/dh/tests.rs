use super::{Shared, agree, backend, public};
use crate::error::{KeyError, Primitive};
use crate::keys::{LOW_ORDER, RatchetKey};
use crate::testing::{hex, hex32};

type Agree = fn(&[u8; 32], &[u8; 32]) -> Result<Shared, Primitive>;
type Public = fn(&[u8; 32]) -> [u8; 32];

/// Every backend there is, so that a test of the seam tests them all.
fn backends() -> Vec<(Agree, Public)> {
    let dalek: Agree = |secret, point| super::refuse_zero(super::dalek::agree(secret, point));
    vec![(agree, public), (dalek, super::dalek::public)]
}

/// RFC 7748 §5.2, the two single vectors.
#[test]
fn agreements_are_those_of_rfc_7748() {
    let vectors = [
        [
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ],
        [
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ],
    ];
    for (agree, _) in backends() {
        for [secret, point, shared] in vectors.map(|vector| vector.map(hex32)) {
            assert_eq!(*agree(&secret, &point).unwrap().as_bytes(), shared);
        }
    }
}

/// RFC 7748 §5.2, a thousand iterations, and §6.1.
#[test]
fn iterations_and_public_keys_are_those_of_rfc_7748() {
    for (agree, public) in backends() {
        let mut scalar = [0; 32];
        scalar[0] = 9;
        let mut point = scalar;
        for _ in 0..1_000 {
            let next = *agree(&scalar, &point).unwrap().as_bytes();
            point = scalar;
            scalar = next;
        }
        let expected = "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51";
        assert_eq!(scalar, hex32(expected));

        let alice = hex32("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
        let bob = hex32("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
        let bob_public = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
        let shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
        assert_eq!(public(&bob), hex32(bob_public));
        assert_eq!(*agree(&alice, &public(&bob)).unwrap().as_bytes(), hex32(shared));
        assert_eq!(*agree(&bob, &public(&alice)).unwrap().as_bytes(), hex32(shared));
    }
}

/// All 518 vectors: agreements come out as they say, except that zero is refused, and that no
/// non-canonical or low-order point gets past the door of a key.
#[test]
fn wycheproof_vectors_hold_and_bad_points_are_refused() {
    let mut seen = [0; 3];
    for line in include_str!("../../tests/data/wycheproof_x25519.txt").lines() {
        if line.starts_with('#') {
            continue;
        }
        let [_, _, flags, secret, point, shared] =
            line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let (secret, point, shared) = (hex32(secret), hex(point), hex32(shared));
        let door = RatchetKey::from_stored(&point);
        let point: [u8; 32] = point.try_into().unwrap();
        for (agree, _) in backends() {
            match agree(&secret, &point) {
                Ok(found) => assert_eq!(*found.as_bytes(), shared, "{line}"),
                Err(Primitive) => assert_eq!(shared, [0; 32], "{line}"),
            }
        }
        if shared == [0; 32] {
            assert!(door.is_err(), "{line}");
            seen[0] += 1;
        } else if flags.contains("NonCanonicalPublic") {
            assert_eq!(door.unwrap_err(), KeyError::NonCanonical, "{line}");
            seen[1] += 1;
        } else {
            assert!(door.is_ok(), "{line}");
            seen[2] += 1;
        }
    }
    assert!(seen[0] > 20 && seen[1] > 10 && seen[2] > 400, "{seen:?}");
}

#[test]
fn an_all_zero_agreement_is_refused_at_the_seam() {
    for (agree, _) in backends() {
        for point in LOW_ORDER {
            assert!(agree(&[0x42; 32], &point).is_err(), "{point:02x?}");
        }
    }
}

#[test]
fn the_backend_that_runs_is_named() {
    let expected = if cfg!(feature = "graviola") { ["graviola", "dalek"] } else { ["dalek"; 2] };
    assert!(expected.contains(&backend()));
}
