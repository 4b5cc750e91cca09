//! Simulated histories over many seeds, for tests of the machines.
//!
//! `SEEDS=10000 cargo nextest run --release -p coreapp sim` looks further than a test does by itself; a
//! failure names its seed, and `SEED=n` replays that one alone.

/// The seeds to be run: those the environment asks for, else the first `default` ones.
pub(crate) fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    number("SEED").map_or(0..number("SEEDS").unwrap_or(default), |seed| seed..seed + 1)
}

/// Names the seed that fails.
pub(crate) struct Named(pub(crate) u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failing seed: {}", self.0);
        }
    }
}

/// Runs `test` for each of them.
pub(crate) fn over_seeds(seeds: impl IntoIterator<Item = u64>, mut test: impl FnMut(u64)) {
    for seed in seeds {
        let _named = Named(seed);
        test(seed);
    }
}
