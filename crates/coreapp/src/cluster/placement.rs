//! Which node a shard belongs to: the one whose name scores highest for it. Whoever joins or leaves
//! moves its own share and nothing else, and a node that comes back under its name gets the same
//! shards.

use contract::ShardId;

/// A node that may own shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate<'a> {
    pub(super) inc: i64,
    pub(super) name: &'a str,
}

/// The candidate the shard belongs to, by its incarnation.
pub(super) fn place<'a>(
    shard: ShardId,
    candidates: impl IntoIterator<Item = Candidate<'a>>,
) -> Option<i64> {
    let best = candidates.into_iter().max_by_key(|node| (score(node.name, shard), node.inc));
    best.map(|node| node.inc)
}

/// FNV-1a over the name, then the shard, then a mix: neighbouring names differ in every bit.
fn score(name: &str, shard: ShardId) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let bytes = name.bytes().chain(shard.get().to_be_bytes());
    let hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn placed(names: &[&str]) -> BTreeMap<ShardId, String> {
        let nodes = || (1..).zip(names).map(|(inc, name)| Candidate { inc, name });
        ShardId::all()
            .map(|shard| {
                let inc = place(shard, nodes()).unwrap();
                (shard, nodes().find(|node| node.inc == inc).unwrap().name.to_owned())
            })
            .collect()
    }

    #[test]
    fn who_joins_takes_a_share_and_moves_nothing_between_the_others() {
        let (two, three) = (placed(&["core-a", "core-b"]), placed(&["core-b", "core-c", "core-a"]));
        for (shard, before) in &two {
            let after = &three[shard];
            assert!(after == before || after == "core-c", "{shard:?}: {before} to {after}");
        }
        for name in ["core-a", "core-b", "core-c"] {
            let share = three.values().filter(|owner| *owner == name).count();
            assert!((10..=34).contains(&share), "{name} has {share} of 65");
        }
    }
}
