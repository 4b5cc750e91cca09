//! The `holes` of a cursor row: unsettled sequence numbers at or below `read_to`.
//!
//! Nothing when there are none; else a version byte, then for each hole, ascending, two varints:
//! the distance to the one before (the first: to 0) and the tries so far.

use bytes::{BufMut, Bytes, BytesMut};
use contract::varint::{VarintError, put, take};

/// Most holes of a cursor: the window of a shard.
pub(super) const MAX_HOLES: usize = 256;
const VERSION: u8 = 1;

/// An event that was read and is not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    /// Its sequence number.
    pub(super) seq: i64,
    /// POSTs that failed.
    pub(super) tries: u32,
}

/// A cursor row that the dispatcher did not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the holes of a callback cursor are malformed: {0}")]
pub struct HolesError(&'static str);

impl From<VarintError> for HolesError {
    fn from(_: VarintError) -> Self {
        Self("a number is cut off or out of range")
    }
}

/// Encodes ascending holes; those beyond [`MAX_HOLES`] cannot be, the window being no larger.
pub(super) fn encode(holes: impl Iterator<Item = Hole>) -> Bytes {
    let mut out = BytesMut::new();
    let mut last = 0;
    for hole in holes {
        if out.is_empty() {
            out.put_u8(VERSION);
        }
        put(&mut out, hole.seq.abs_diff(last));
        put(&mut out, u64::from(hole.tries));
        last = hole.seq;
    }
    out.freeze()
}

/// Decodes and checks.
///
/// # Errors
/// [`HolesError`] for anything that `encode` does not give for holes up to `read_to`.
pub(super) fn decode(mut bytes: &[u8], read_to: i64) -> Result<Vec<Hole>, HolesError> {
    let Some((&version, rest)) = bytes.split_first() else { return Ok(Vec::new()) };
    if version != VERSION {
        return Err(HolesError("unknown version"));
    }
    bytes = rest;
    let (mut holes, mut last) = (Vec::new(), 0i64);
    while !bytes.is_empty() {
        if holes.len() == MAX_HOLES {
            return Err(HolesError("more than 256"));
        }
        let delta = take(&mut bytes)?;
        let seq = last.checked_add_unsigned(delta).ok_or(HolesError("sequence out of range"))?;
        if delta == 0 || seq > read_to {
            return Err(HolesError("not ascending up to the cursor"));
        }
        let tries = u32::try_from(take(&mut bytes)?).map_err(|_| HolesError("too many tries"))?;
        holes.push(Hole { seq, tries });
        last = seq;
    }
    Ok(holes)
}

/// Everything up to here is settled for the cursor's endpoint: what clean-up may delete.
pub(super) fn settled_to(read_to: i64, holes: &[Hole]) -> i64 {
    holes.first().map_or(read_to, |hole| hole.seq - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holes() -> impl Strategy<Value = Vec<Hole>> {
        let hole = (1..=1_000_000_000_000i64, any::<u32>());
        prop::collection::vec(hole, 0..=MAX_HOLES).prop_map(|parts| {
            let mut seq = 0;
            let next = |(delta, tries)| {
                seq += delta;
                Hole { seq, tries }
            };
            parts.into_iter().map(next).collect()
        })
    }

    proptest! {
        #[test]
        fn holes_come_back_as_written(holes in holes()) {
            let read_to = holes.last().map_or(0, |hole| hole.seq);
            let bytes = encode(holes.iter().copied());
            prop_assert_eq!(decode(&bytes, read_to), Ok(holes));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(holes) = decode(&bytes, i64::MAX) {
                prop_assert!(holes.windows(2).all(|pair| pair[0].seq < pair[1].seq));
            }
        }
    }

    #[test]
    fn a_dense_window_fits_into_little() {
        let window = (1_000_000..1_000_256).map(|seq| Hole { seq, tries: 0 });
        assert!(encode(window).len() < 520);
        assert!(encode(std::iter::empty()).is_empty());
    }

    #[test]
    fn what_was_not_written_here_is_refused() {
        let good = encode([Hole { seq: 5, tries: 1 }, Hole { seq: 9, tries: 0 }].into_iter());
        assert!(decode(&good, 9).is_ok());
        assert!(decode(&good, 8).is_err(), "a hole beyond the cursor");
        assert!(decode(&good[..good.len() - 1], 9).is_err(), "cut off");
        assert!(decode(&[2, 1, 0], 9).is_err(), "a later version");
        assert!(decode(&[1, 5, 0, 0, 0], 9).is_err(), "the same twice");
        let many = encode((1..=257).map(|seq| Hole { seq, tries: 0 }));
        assert!(decode(&many, 257).is_err(), "more than a window");
    }
}
