//! Public message ids and the keys inside them.
//!
//! `base64url(dir ‖ 0x11 ‖ L ‖ bcd ‖ 0x02 ‖ k ‖ key)` without padding: `dir` 0x80 for messages of the
//! business, 0x00 for received ones; `L` the byte length of `bcd`, bit 7 set when the digit count is
//! odd; `bcd` the other party's digits, padded with the nibble `f`; `k` the length of `key`.
//! So an id alone tells the recipient, and with it the shard.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{clock::Clock, number::Number, rng::Rng};

/// Bytes of the keys we mint.
pub const OWN_KEY_LEN: usize = 9;
/// Most bytes of a received message's key.
pub const MAX_KEY_LEN: usize = 16;
/// Longest id accepted, characters.
pub const MAX_ID_LEN: usize = 48;

/// Key of a message within its shard: 9 bytes for our own, 9 to 16 for received ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    len: u8,
    bytes: [u8; MAX_KEY_LEN],
}

/// Who sent the message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// The business did.
    Outbound,
    /// The customer did.
    Inbound,
}

/// A public message id, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MessageId {
    /// Who sent it.
    pub direction: Direction,
    /// The other party.
    pub number: Number,
    /// Key within the shard.
    pub key: Key,
}

/// A text is no message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message id")]
pub struct IdError;

impl Key {
    /// Mints a key: Unix seconds, then five random bytes, so that inserts come in time order.
    pub fn mint(clock: &impl Clock, rng: &impl Rng) -> Self {
        Self::mint_at(clock.unix_s(), rng)
    }

    /// The same for a time that is known, Unix seconds.
    pub fn mint_at(unix_s: i64, rng: &(impl Rng + ?Sized)) -> Self {
        let mut bytes = [0; MAX_KEY_LEN];
        #[expect(clippy::cast_possible_truncation, reason = "32 bits of seconds last until 2106")]
        bytes[..4].copy_from_slice(&(unix_s as u32).to_be_bytes());
        rng.fill(&mut bytes[4..OWN_KEY_LEN]);
        #[expect(clippy::cast_possible_truncation, reason = "9")]
        Self { len: OWN_KEY_LEN as u8, bytes }
    }

    /// Before every key of ours that was minted since then, Unix milliseconds.
    #[must_use]
    pub fn before_ms(unix_ms: i64) -> Option<Self> {
        let mut bytes = [0; OWN_KEY_LEN];
        bytes[..4].copy_from_slice(&u32::try_from(unix_ms / 1_000).ok()?.to_be_bytes());
        Self::from_bytes(&bytes).ok()
    }

    /// Takes 9 to 16 bytes.
    ///
    /// # Errors
    /// [`IdError`] for any other length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IdError> {
        if !(OWN_KEY_LEN..=MAX_KEY_LEN).contains(&bytes.len()) {
            return Err(IdError);
        }
        let mut out = [0; MAX_KEY_LEN];
        out[..bytes.len()].copy_from_slice(bytes);
        #[expect(clippy::cast_possible_truncation, reason = "at most 16")]
        Ok(Self { len: bytes.len() as u8, bytes: out })
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// When a key of ours was minted, Unix seconds.
    #[must_use]
    pub fn minted_s(&self) -> u32 {
        let [a, b, c, d, ..] = self.bytes;
        u32::from_be_bytes([a, b, c, d])
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Lower-case hex, as in `X-Internal-Request-IDS`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.number.as_bytes();
        let bcd_len = digits.len().div_ceil(2);
        let odd = if digits.len() % 2 == 1 { 0x80 } else { 0 };
        let mut raw = Vec::with_capacity(5 + bcd_len + MAX_KEY_LEN);
        raw.push(match self.direction {
            Direction::Outbound => 0x80,
            Direction::Inbound => 0x00,
        });
        #[expect(clippy::cast_possible_truncation, reason = "at most 8")]
        raw.extend([0x11, bcd_len as u8 | odd]);
        raw.extend(digits.chunks(2).map(|pair| match pair {
            [high, low] => (high - b'0') << 4 | (low - b'0'),
            [high] => (high - b'0') << 4 | 0x0f,
            _ => 0xff,
        }));
        raw.extend([0x02, self.key.len]);
        raw.extend(self.key.as_bytes());
        let mut text = [0; MAX_ID_LEN];
        let len = URL_SAFE_NO_PAD.encode_slice(&raw, &mut text).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&text[..len]).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for MessageId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() > MAX_ID_LEN {
            return Err(IdError);
        }
        let raw = URL_SAFE_NO_PAD.decode(text).map_err(|_| IdError)?;
        let [dir, 0x11, l, rest @ ..] = raw.as_slice() else { return Err(IdError) };
        let direction = match dir {
            0x80 => Direction::Outbound,
            0x00 => Direction::Inbound,
            _ => return Err(IdError),
        };
        let (bcd, rest) = rest.split_at_checked(usize::from(l & 0x7f)).ok_or(IdError)?;
        let [0x02, k, key @ ..] = rest else { return Err(IdError) };
        if usize::from(*k) != key.len() {
            return Err(IdError);
        }
        let mut digits: Vec<u8> =
            bcd.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]).map(|n| n + b'0').collect();
        if l & 0x80 != 0 && digits.pop() != Some(0x0f + b'0') {
            return Err(IdError);
        }
        let number = Number::from_digits(&digits).map_err(|_| IdError)?;
        Ok(Self { direction, number, key: Key::from_bytes(key)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_id_decodes_to_its_recipient_and_key() {
        let id: MessageId = "gBGGeZRAZ1NvAglX4qWzLiyZnkw".parse().unwrap();
        assert_eq!(id.direction, Direction::Outbound);
        assert_eq!(id.number.as_str(), "79944067536");
        assert_eq!(id.key.to_string(), "57e2a5b32e2c999e4c");
        assert_eq!(id.to_string(), "gBGGeZRAZ1NvAglX4qWzLiyZnkw");
    }

    struct At(i64);

    impl Clock for At {
        fn unix_ms(&self) -> i64 {
            self.0
        }
    }

    struct Same(u8);

    impl Rng for Same {
        fn fill(&self, out: &mut [u8]) {
            out.fill(self.0);
        }
    }

    #[test]
    fn keys_sort_by_the_second_they_were_minted_in() {
        let early = Key::mint(&At(1_704_070_800_999), &Same(0xff));
        let late = Key::mint(&At(1_704_070_801_000), &Same(0x00));
        assert!(early < late);
        assert_eq!(early.minted_s(), 1_704_070_800);
        assert_eq!(early.to_string(), "65920e90ffffffffff");
    }
}
