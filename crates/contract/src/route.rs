//! Which shard owns a recipient.
//!
//! The dialled form and the wa_id of one person must give the same route, so the three national
//! variants that differ are folded first: the Mexican `1`, the Argentinian `9`, the Brazilian ninth
//! digit. Nothing else is folded; a collision only shares a shard.

use std::fmt;

use ring::digest;

use crate::number::Number;

/// Shards a deployment has; fixed when its database is initialised.
pub const SHARDS: i16 = 64;

/// Hash of the folded number: `route_hash` and `peer_hash` of the tables.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Route(u64);

/// 0 to 63, or -1 for what belongs to the account as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(i16);

impl Route {
    /// The route of a number: first 8 bytes, big-endian, of SHA-256 of the folded digits.
    #[must_use]
    pub fn of(number: &Number) -> Self {
        let mut folded = [0; 16];
        let len = fold(number.as_bytes(), &mut folded);
        let hash = digest::digest(&digest::SHA256, folded.get(..len).unwrap_or_default());
        let mut first = [0; 8];
        first.copy_from_slice(hash.as_ref().get(..8).unwrap_or(&[0; 8]));
        Self(u64::from_be_bytes(first))
    }

    /// The shard: the hash's top six bits.
    #[must_use]
    pub fn shard(self) -> ShardId {
        ShardId((self.0 >> 58) as i16)
    }

    /// As stored: the same 64 bits, signed.
    #[must_use]
    pub fn to_i64(self) -> i64 {
        self.0.cast_signed()
    }

    /// From a stored value.
    #[must_use]
    pub fn from_i64(value: i64) -> Self {
        Self(value.cast_unsigned())
    }
}

impl ShardId {
    /// The account-wide shard.
    pub const CONTROL: Self = Self(-1);

    /// `None` outside -1..=63.
    #[must_use]
    pub fn new(id: i16) -> Option<Self> {
        (-1..SHARDS).contains(&id).then_some(Self(id))
    }

    /// -1..=63.
    #[must_use]
    pub fn get(self) -> i16 {
        self.0
    }

    /// 0 for the control shard, 1..=64 for the others: a place in an array of 65.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from((self.0 + 1).unsigned_abs())
    }

    /// All 65, the control shard first.
    pub fn all() -> impl Iterator<Item = Self> {
        (-1..SHARDS).map(Self)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShardId({})", self.0)
    }
}

/// Writes the folded digits to `out`, gives their count.
fn fold(digits: &[u8], out: &mut [u8; 16]) -> usize {
    let (head, tail): (&[u8], &[u8]) = match digits {
        [b'5', b'2', b'1', rest @ ..] if rest.len() == 10 => (b"52", rest),
        [b'5', b'4', b'9', rest @ ..] if rest.len() == 10 => (b"54", rest),
        [b'5', b'5', area @ .., b'9', _, _, _, _, _, _, _, _] if area.len() == 2 => {
            out[..2].copy_from_slice(b"55");
            out[2..4].copy_from_slice(area);
            out[4..12].copy_from_slice(&digits[5..13]);
            return 12;
        }
        _ => (b"", digits),
    };
    out[..head.len()].copy_from_slice(head);
    out[head.len()..head.len() + tail.len()].copy_from_slice(tail);
    head.len() + tail.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_match_the_published_vectors() {
        for (digits, hash, shard) in [
            ("16315551000", 0x6a4e_1274_c9c7_93af, 26),
            ("5215512345678", 0x8f9d_0944_329b_5338, 35),
            ("525512345678", 0x8f9d_0944_329b_5338, 35),
            ("5491123456789", 0x0976_9322_4047_d8d9, 2),
            ("5511987654321", 0x9d00_682b_6cd3_bf3c, 39),
            ("4915112345678", 0x8efb_9640_4be5_2f61, 35),
        ] {
            let route = Route::of(&Number::parse(digits).unwrap());
            assert_eq!((route.0, route.shard().get()), (hash, shard), "{digits}");
            assert_eq!(Route::from_i64(route.to_i64()), route);
        }
    }

    #[test]
    fn shards_are_65_and_each_has_its_place() {
        let places: Vec<_> = ShardId::all().map(ShardId::index).collect();
        assert_eq!(places, (0..65).collect::<Vec<_>>());
        assert_eq!(ShardId::new(64), None);
        assert_eq!(ShardId::new(-2), None);
    }
}
