//! What the network counts messages towards, and charges: a conversation lasts a day, by recipient
//! and by what began it. Which day begins when differs from phone to phone.

use std::hash::{DefaultHasher, Hash, Hasher};

use contract::{
    Number,
    callback::{Origin, PricingModel},
};
use rpc::upstream as wire;

use super::AccountId;

/// A conversation, seconds.
const LASTS_S: i64 = 24 * 3_600;

/// The conversation of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    account: AccountId,
    phone: Number,
    origin: Origin,
    since_s: i64,
}

/// What began a conversation, as far as the network can tell from a message's category.
pub(super) fn origin(category: &str) -> Origin {
    match category {
        "template" | "hsm" => Origin::Utility,
        _ => Origin::Service,
    }
}

impl Counted {
    /// Of a message that was taken at `unix_ms`.
    pub(super) fn new(account: AccountId, phone: Number, origin: Origin, unix_ms: i64) -> Self {
        let now_s = unix_ms.div_euclid(1_000);
        let phase = i64::from(contract::Route::of(&phone).shard().get()) * (LASTS_S / 64);
        let since_s = (now_s - phase).div_euclid(LASTS_S) * LASTS_S + phase;
        Self { account, phone, origin, since_s }
    }

    pub(super) fn to_wire(self) -> wire::Conversation {
        let half = |n: u8| {
            let mut hasher = DefaultHasher::new();
            (n, self.account.0, self.phone, self.origin, self.since_s).hash(&mut hasher);
            hasher.finish().to_be_bytes()
        };
        wire::Conversation {
            id: [half(0), half(1)].concat().into(),
            origin: self.origin.as_str().to_owned(),
            expires_s: self.since_s + LASTS_S,
            pricing_model: PricingModel::PerMessage.as_str().to_owned(),
            billable: self.origin != Origin::Service,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_one_recipient_and_one_origin_is_one_conversation() {
        let phone = |digits: &str| Number::parse(digits).unwrap();
        let of = |digits: &str, origin, unix_ms| {
            Counted::new(AccountId(0), phone(digits), origin, unix_ms).to_wire()
        };
        let noon = 1_704_110_400_000;
        let first = of("4915112345678", Origin::Service, noon);
        assert_eq!(first.id.len(), 16);
        assert!(first.expires_s > noon / 1_000 && first.expires_s <= noon / 1_000 + LASTS_S);
        let last_ms = first.expires_s * 1_000 - 1;
        assert_eq!(of("4915112345678", Origin::Service, last_ms), first);
        assert_ne!(of("4915112345678", Origin::Service, last_ms + 1).id, first.id);
        assert_ne!(of("4915112345678", Origin::Utility, noon).id, first.id);
        assert_ne!(of("4915112345679", Origin::Service, noon).id, first.id);
        assert!(!first.billable && of("4915112345678", Origin::Utility, noon).billable);
    }
}
