//! What is done to a good request, from a seed.

use serde_json::{Value, json};

/// Changes made to one input, at most.
const CHANGES: u64 = 3;

/// A source of changes: SplitMix64.
pub struct Mutator(u64);

impl Mutator {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let n = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }

    /// JSON with another shape or other values, or a text that is no JSON any more.
    pub fn json(&mut self, good: &str) -> Vec<u8> {
        if self.below(3) == 0 {
            return self.bytes(good.as_bytes());
        }
        let mut value: Value = serde_json::from_str(good).unwrap();
        for _ in 0..=self.next() % CHANGES {
            self.change(&mut value);
        }
        value.to_string().into_bytes()
    }

    /// Bytes flipped, cut, doubled, put in between, taken out.
    pub fn bytes(&mut self, good: &[u8]) -> Vec<u8> {
        let mut bytes = good.to_vec();
        for _ in 0..=self.next() % CHANGES {
            let at = self.below(bytes.len() + 1);
            let to = at + self.below(bytes.len() - at + 1);
            let some = self.next().to_le_bytes();
            match self.below(6) {
                0 => bytes.truncate(at),
                1 => drop(bytes.drain(at..to)),
                2 => {
                    let again = bytes[at..to].to_vec();
                    bytes.splice(to..to, again);
                }
                3 => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << (some[0] % 8);
                    }
                }
                4 => drop(bytes.splice(at..at, some)),
                _ => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = some[0];
                    }
                }
            }
        }
        bytes
    }

    /// One place of a value becomes something else.
    fn change(&mut self, value: &mut Value) {
        let deeper = self.below(4) > 0;
        match value {
            Value::Object(map) if !map.is_empty() && deeper => {
                let n = self.below(map.len());
                let key = map.keys().nth(n).cloned().unwrap();
                match self.below(8) {
                    0 => drop(map.remove(&key)),
                    1 => {
                        let kept = map.remove(&key).unwrap();
                        map.insert(format!("{key}x"), kept);
                    }
                    2 => drop(map.insert("surplus".to_owned(), self.odd())),
                    _ => self.change(map.get_mut(&key).unwrap()),
                }
            }
            Value::Array(items) if !items.is_empty() && deeper => {
                let n = self.below(items.len());
                match self.below(5) {
                    0 => drop(items.remove(n)),
                    1 => {
                        let again = vec![items[n].clone(); 1 + self.below(300)];
                        items.extend(again);
                    }
                    _ => self.change(&mut items[n]),
                }
            }
            other => *other = self.odd(),
        }
    }

    fn odd(&mut self) -> Value {
        let deep = (0..self.below(40)).fold(json!(1), |inner, _| json!([inner]));
        let all = [
            json!(null),
            json!(true),
            json!(0),
            json!(-1),
            json!(1.5),
            json!(u64::MAX),
            json!(1e300),
            json!(""),
            json!(" "),
            json!("\u{0}\u{7f}\u{202e}"),
            json!("x".repeat(1 + self.below(70_000))),
            json!("\u{1f468}\u{200d}\u{1f469}".repeat(1 + self.below(3_000))),
            json!("4915112345678"),
            json!("../../etc/passwd"),
            json!("' OR 1=1 --"),
            json!([]),
            json!({}),
            json!([[], {}, null]),
            json!({"body": {"body": {"body": 1}}}),
            deep,
        ];
        let n = self.below(all.len());
        all[n].clone()
    }
}
