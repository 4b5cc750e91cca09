//! The sandbox's dice: SplitMix64 (Steele, Lea, Flood 2014), so that a seed repeats a run. For
//! latencies and faults only, never for secrets.

#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let n = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    }

    /// Uniform over `min..=max`.
    pub(crate) fn between(&mut self, (min, max): (u64, u64)) -> u64 {
        min + self.next() % (max.saturating_sub(min).saturating_add(1))
    }

    /// True with a probability of `rate`; draws nothing when that is 0.
    pub(crate) fn happens(&mut self, rate: f64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let draw = |dice: &mut Self| (dice.next() >> 11) as f64 / (1_u64 << 53) as f64;
        rate > 0.0 && draw(self) < rate
    }
}
