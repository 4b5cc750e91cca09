//! Whom the calls go to: fresh numbers, or a pool that the gateway knows already. The endings
//! that make the sandbox's phones behave oddly (`0000` to `0009`) are left out.

/// Ordinary endings of four digits.
const ENDINGS: u64 = 9_990;
const RESERVED: u64 = 10;
/// Number blocks of [`ENDINGS`] numbers each.
const BLOCKS: u64 = 100_000;

/// Gives the n-th number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipients {
    /// First digits; what has other ones does not meet.
    prefix: &'static str,
    /// Known ones; `None`: strangers.
    pool: Option<u64>,
    /// Where a run starts, so that the strangers of two runs on one gateway differ.
    first_block: u64,
}

impl Recipients {
    /// Of messages.
    pub(crate) fn of_messages(pool: Option<u64>, random: u64) -> Self {
        Self { prefix: "49151", pool, first_block: random % BLOCKS }
    }

    /// Of contact checks beside the messages.
    pub(crate) fn of_checks(random: u64) -> Self {
        Self { prefix: "49171", pool: None, first_block: random % BLOCKS }
    }

    pub(crate) fn get(self, n: u64) -> String {
        let index = self.pool.map_or(n, |pool| n % pool.max(1));
        let block = (self.first_block + index / ENDINGS) % BLOCKS;
        format!("{}{block:05}{:04}", self.prefix, RESERVED + index % ENDINGS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_all_different_and_none_has_a_reserved_ending() {
        let messages = Recipients::of_messages(None, 99_999);
        let checks = Recipients::of_checks(99_999);
        let numbers: std::collections::HashSet<_> =
            (0..25_000).flat_map(|n| [messages.get(n), checks.get(n)]).collect();
        assert_eq!(numbers.len(), 50_000);
        assert!(numbers.iter().all(|number| number.len() == 14));
        assert!(!numbers.iter().any(|number| number[..13].ends_with("000")));
    }

    #[test]
    fn known_recipients_come_from_one_pool() {
        let recipients = Recipients::of_messages(Some(1_000), 7);
        let numbers: std::collections::HashSet<_> = (0..5_000).map(|n| recipients.get(n)).collect();
        assert_eq!(numbers.len(), 1_000);
    }
}
