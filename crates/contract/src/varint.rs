//! Numbers in as many bytes as they need: seven bits a byte, the lowest first.

use bytes::BufMut;

/// Longest varint of 64 bits.
const MAX_BYTES: usize = 10;

/// What was read is no number of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a number is cut off or out of range")]
pub struct VarintError;

/// Writes a number.
pub fn put(out: &mut impl BufMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.put_u8(value.to_le_bytes()[0]);
}

/// Takes one off the front.
///
/// # Errors
/// [`VarintError`] when it has no end or more than 64 bits.
pub fn take(bytes: &mut &[u8]) -> Result<u64, VarintError> {
    let mut value = 0u64;
    for place in 0..MAX_BYTES {
        let (&byte, rest) = bytes.split_first().ok_or(VarintError)?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if place == MAX_BYTES - 1 && bits > 1 {
            return Err(VarintError);
        }
        value |= bits << (7 * place);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(VarintError)
}
