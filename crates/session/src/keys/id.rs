//! Pre-key ids: 24 bits, wrapping, never one that is alive.

use std::fmt;

use crate::error::KeyError;
use crate::limits::PRE_KEY_ID_BITS;

/// The id of a pre-key, below 2^24.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PreKeyId(u32);

impl PreKeyId {
    /// The highest id; the one after it is 1, since 0 reads like "absent" in other people's code.
    pub const MAX: Self = Self((1 << PRE_KEY_ID_BITS) - 1);

    /// The id of a number.
    ///
    /// # Errors
    /// [`KeyError::Id`] from 2^24 on.
    pub fn new(id: u32) -> Result<Self, KeyError> {
        if id <= Self::MAX.0 { Ok(Self(id)) } else { Err(KeyError::Id) }
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// The id after this one, wrapping to 1.
    #[must_use]
    pub fn following(self) -> Self {
        if self.0 >= Self::MAX.0 { Self(1) } else { Self(self.0.saturating_add(1)) }
    }

    /// The next `count` ids after `last` that are not alive, in order. Fewer come back only if
    /// nearly all 2^24 are alive: the search ends after one turn.
    pub fn allocate(last: Self, count: usize, is_live: impl Fn(Self) -> bool) -> Vec<Self> {
        let turn = usize::try_from(Self::MAX.0).unwrap_or(usize::MAX);
        std::iter::successors(Some(last.following()), |id| Some(id.following()))
            .take(turn)
            .filter(|id| !is_live(*id))
            .take(count)
            .collect()
    }
}

impl fmt::Debug for PreKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PreKeyId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_wrap_at_24_bits_and_skip_those_alive() {
        let last = PreKeyId::new(PreKeyId::MAX.get() - 2).unwrap();
        let ids = PreKeyId::allocate(last, 4, |id| id.get() == 1 || id == PreKeyId::MAX);
        let numbers: Vec<u32> = ids.into_iter().map(PreKeyId::get).collect();
        assert_eq!(numbers, [PreKeyId::MAX.get() - 1, 2, 3, 4]);
        assert_eq!(PreKeyId::new(1 << 24), Err(KeyError::Id));
    }

    #[test]
    fn a_full_ring_gives_nothing_and_the_search_ends() {
        assert!(PreKeyId::allocate(PreKeyId::MAX, 3, |_| true).is_empty());
    }
}
