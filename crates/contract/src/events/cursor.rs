//! Cursors: opaque to whoever holds one, `base64url(version ‖ numbers)` to us.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    route::ShardId,
    varint::{self, VarintError},
};

/// First byte of a [`Position`] and of a [`DeadCursor`].
const POSITION: u8 = 1;
const DEAD: u8 = 2;
const PLACES: usize = 65;
/// Longest text that can be a cursor: 66 varints of ten bytes and the version, in base64.
const MAX_TEXT: usize = 882;

/// What was given is no cursor, or one of another list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no cursor that this list has given")]
pub struct CursorError;

impl From<VarintError> for CursorError {
    fn from(_: VarintError) -> Self {
        Self
    }
}

/// How far a consumer has read the event log: in each shard the last number it has seen. It holds
/// for one generation of the account (docs/decisions/008).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    generation: i64,
    seqs: [i64; PLACES],
}

/// How far the list of dead and parked events was read: shard and number of the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadCursor {
    /// Shard of the last one.
    pub shard: ShardId,
    /// Its number.
    pub seq: i64,
}

// === impl Position ===

impl Position {
    /// Before everything.
    #[must_use]
    pub fn start(generation: i64) -> Self {
        Self { generation, seqs: [0; PLACES] }
    }

    /// The account's generation it was given in.
    #[must_use]
    pub fn generation(&self) -> i64 {
        self.generation
    }

    /// The last number seen of a shard; 0: none.
    #[must_use]
    pub fn of(&self, shard: ShardId) -> i64 {
        self.seqs.get(shard.index()).copied().unwrap_or(0)
    }

    /// Everything of the shard up to `seq` was seen.
    pub fn set(&mut self, shard: ShardId, seq: i64) {
        if let Some(place) = self.seqs.get_mut(shard.index()) {
            *place = seq;
        }
    }
}

/// Shards 0 to 63, then the account's.
fn order() -> impl Iterator<Item = ShardId> {
    ShardId::all().skip(1).chain([ShardId::CONTROL])
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut raw = Vec::with_capacity(PLACES * 4);
        raw.push(POSITION);
        varint::put(&mut raw, self.generation.unsigned_abs());
        for shard in order() {
            varint::put(&mut raw, self.of(shard).unsigned_abs());
        }
        f.write_str(&URL_SAFE_NO_PAD.encode(raw))
    }
}

impl FromStr for Position {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let raw = decode(text, POSITION)?;
        let mut bytes = raw.as_slice();
        let mut position = Self::start(number(&mut bytes)?);
        for shard in order() {
            position.set(shard, number(&mut bytes)?);
        }
        if bytes.is_empty() { Ok(position) } else { Err(CursorError) }
    }
}

// === impl DeadCursor ===

impl DeadCursor {
    /// Before the first.
    pub const START: Self = Self { shard: ShardId::CONTROL, seq: 0 };
}

impl fmt::Display for DeadCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut raw = vec![DEAD];
        varint::put(&mut raw, u64::try_from(self.shard.index()).unwrap_or(0));
        varint::put(&mut raw, self.seq.unsigned_abs());
        f.write_str(&URL_SAFE_NO_PAD.encode(raw))
    }
}

impl FromStr for DeadCursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let raw = decode(text, DEAD)?;
        let mut bytes = raw.as_slice();
        let index = usize::try_from(number(&mut bytes)?).map_err(|_| CursorError)?;
        let seq = number(&mut bytes)?;
        let shard = ShardId::all().nth(index).ok_or(CursorError)?;
        if bytes.is_empty() { Ok(Self { shard, seq }) } else { Err(CursorError) }
    }
}

/// As its text.
impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// As its text.
impl Serialize for DeadCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeadCursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// What follows the version.
fn decode(text: &str, version: u8) -> Result<Vec<u8>, CursorError> {
    if text.len() > MAX_TEXT {
        return Err(CursorError);
    }
    let raw = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
    match raw.split_first() {
        Some((first, rest)) if *first == version => Ok(rest.to_vec()),
        _ => Err(CursorError),
    }
}

fn number(bytes: &mut &[u8]) -> Result<i64, CursorError> {
    i64::try_from(varint::take(bytes)?).map_err(|_| CursorError)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn position() -> impl Strategy<Value = Position> {
        let seqs = prop::collection::vec(0..=i64::MAX, PLACES);
        (0..=i64::MAX, seqs).prop_map(|(generation, seqs)| Position {
            generation,
            seqs: seqs.try_into().unwrap_or([0; PLACES]),
        })
    }

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_was_given(position in position(), index in 0..65usize) {
            prop_assert_eq!(position.to_string().parse(), Ok(position));
            prop_assert!(position.to_string().len() <= MAX_TEXT);
            let shard = ShardId::all().nth(index).unwrap();
            let dead = DeadCursor { shard, seq: position.of(shard) };
            prop_assert_eq!(dead.to_string().parse(), Ok(dead));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,64}", raw in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = text.parse::<Position>();
            if let Ok(position) = URL_SAFE_NO_PAD.encode(raw).parse::<Position>() {
                prop_assert_eq!(position.to_string().parse(), Ok(position));
            }
        }
    }

    #[test]
    fn a_cursor_of_one_list_is_none_of_the_other() {
        let (position, dead) = (Position::start(1).to_string(), DeadCursor::START.to_string());
        assert_eq!(dead.parse::<Position>(), Err(CursorError));
        assert_eq!(position.parse::<DeadCursor>(), Err(CursorError));
        for bad in ["", "AQ", "!", &position[1..], &format!("{position}AA"), &"A".repeat(900)] {
            assert_eq!(bad.parse::<Position>(), Err(CursorError), "{bad}");
        }
        assert_eq!(position.len(), 90, "short while there is little");
    }
}
