//! A place in a trace, as W3C Trace Context has it: which trace, and which span of it.
//!
//! Only what is recorded has one: whatever was not sampled is `None` everywhere, and costs nothing.
//! Spans take their ids from where they stand rather than at random, so that whoever knows the place
//! of a span knows those of the spans below it, also after a restart and in another process.

/// Bytes of [`TraceContext::to_bytes`].
pub const LEN: usize = 25;
/// First of them.
const VERSION: u8 = 1;
/// Characters of a `traceparent` of version 00.
const HEADER_LEN: usize = 55;
/// The flag that says that the caller records its part.
const SAMPLED: u8 = 1;

/// A span of a trace that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// Never 0.
    pub trace_id: u128,
    /// Never 0.
    pub span_id: u64,
}

/// What a `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traceparent {
    pub context: TraceContext,
    /// Whether its sender records the trace.
    pub sampled: bool,
}

impl Traceparent {
    /// `None` for what is no `traceparent`; of a version after 00 only what 00 has is read.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (known, rest) = text.split_at_checked(HEADER_LEN)?;
        let mut parts = known.split('-');
        let mut hex = |len: usize| {
            let part = parts.next()?;
            let lower = part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            (lower && part.len() == len).then(|| u128::from_str_radix(part, 16).ok())?
        };
        let (version, trace_id, span_id, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        let ends = rest.is_empty() || (version > 0 && rest.starts_with('-'));
        if parts.next().is_some() || version == 0xff || !ends || trace_id == 0 || span_id == 0 {
            return None;
        }
        let context = TraceContext { trace_id, span_id: u64::try_from(span_id).ok()? };
        Some(Self { context, sampled: flags & u128::from(SAMPLED) != 0 })
    }
}

impl TraceContext {
    /// As a `traceparent`.
    #[must_use]
    pub fn header(&self) -> String {
        format!("00-{:032x}-{:016x}-{SAMPLED:02x}", self.trace_id, self.span_id)
    }

    /// The trace's id as logs and collectors show it.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// As a row has it: `1 ‖ trace id ‖ span id`, big-endian.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; LEN] {
        let mut out = [VERSION; LEN];
        out[1..17].copy_from_slice(&self.trace_id.to_be_bytes());
        out[17..].copy_from_slice(&self.span_id.to_be_bytes());
        out
    }

    /// `None` for what [`Self::to_bytes`] did not make, also of a later version: such a trace ends.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&VERSION, rest) = bytes.split_first()? else { return None };
        let (trace_id, span_id) = rest.split_first_chunk()?;
        let trace_id = u128::from_be_bytes(*trace_id);
        let span_id = u64::from_be_bytes(span_id.try_into().ok()?);
        (trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id })
    }

    /// A span below this one: the `n`-th of its name.
    #[must_use]
    pub fn child(&self, name: &str, n: u64) -> Self {
        // FNV-1a over the name, then SplitMix64's finaliser: no two spans of a trace are alike.
        let name = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mixed = scrambled(self.span_id ^ scrambled(name ^ scrambled(n)));
        Self { trace_id: self.trace_id, span_id: mixed.max(1) }
    }

    /// The span of an event of this message, by the JSON that is POSTed.
    #[must_use]
    pub fn event(&self, body: &[u8]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = crate::message::body_hash(body);
        self.child("event", u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }
}

/// The finaliser of SplitMix64: a permutation, so different numbers stay different.
#[must_use]
pub const fn scrambled(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn given() -> TraceContext {
        Traceparent::parse(GIVEN).unwrap().context
    }

    #[test]
    fn a_traceparent_comes_out_as_it_went_in_and_survives_its_row() {
        let parsed = Traceparent::parse(GIVEN).unwrap();
        assert!(parsed.sampled);
        assert_eq!(parsed.context.header(), GIVEN);
        assert_eq!(TraceContext::from_bytes(&parsed.context.to_bytes()), Some(parsed.context));
        let unsampled = GIVEN.replace("-01", "-00");
        assert!(!Traceparent::parse(&unsampled).unwrap().sampled);
        // A later version may say more behind.
        assert!(Traceparent::parse(&format!("cc{}-what", &GIVEN[2..])).unwrap().sampled);
    }

    #[test]
    fn what_is_no_traceparent_begins_a_trace_of_its_own() {
        for bad in [
            "",
            "00",
            &GIVEN[..54],
            &GIVEN.to_uppercase(),
            &format!("{GIVEN}-more"),
            &format!("ff{}", &GIVEN[2..]),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473600f067aa0ba902b7---01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-é",
        ] {
            assert_eq!(Traceparent::parse(bad), None, "{bad}");
        }
        assert_eq!(TraceContext::from_bytes(&[]), None);
        assert_eq!(TraceContext::from_bytes(&[9; LEN]), None);
        assert_eq!(TraceContext::from_bytes(&given().to_bytes()[..24]), None);
    }

    #[test]
    fn spans_below_one_differ_by_name_number_and_place_and_are_the_same_when_asked_again() {
        let (root, other) = (given(), given().child("other", 0));
        let mut ids: Vec<_> = ["accept", "send", "seal"]
            .iter()
            .flat_map(|name| {
                (0..100).flat_map(move |n| [root.child(name, n), other.child(name, n)])
            })
            .map(|context| context.span_id)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 600);
        assert_eq!(root.child("accept", 7), root.child("accept", 7));
        assert_eq!(root.event(b"{}"), root.event(b"{}"));
        assert_ne!(root.event(b"{}"), root.event(b"[]"));
    }
}
