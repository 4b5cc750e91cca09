//! One version of the copy, and how a frame of the stream changes it. Pure.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use contract::Number;
use ring::hmac;
use rpc::coreapp as proto;

/// What the coreapp told.
#[derive(Clone, Default)]
pub(crate) struct State {
    /// Address of the messages listener that owns a shard, by shard; fewer or empty: no owner.
    pub(crate) owners: Arc<[Option<Arc<str>>]>,
    /// Of the one that changes what belongs to the account; `None`: nobody at the moment.
    pub(crate) control: Option<Arc<str>>,
    /// One map since the start has named several coreapps; stays, however many live now.
    pub(crate) several: bool,
    pub(crate) users: Arc<HashMap<Arc<str>, User>>,
    /// `wa:rand` of tokens that were logged out.
    pub(crate) revoked: Arc<HashSet<String>>,
    pub(crate) token_key: Option<Arc<hmac::Key>>,
    pub(crate) own_number: Option<Number>,
    pub(crate) limits: proto::Limits,
    /// What the settings ask of the log; `None`: what is configured.
    pub(crate) log_level: Option<String>,
    /// Private key and chain that were uploaded, PEM; empty: none.
    pub(crate) certificate: Bytes,
    /// Grows when something that decides over tokens changed: what was verified under a smaller
    /// one is verified again.
    pub(crate) auth_version: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) role: Role,
    /// Tokens issued before this are void, Unix seconds.
    pub(crate) not_before: i64,
    pub(crate) must_change: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Admin,
    User,
}

/// In force until the coreapp tells others: requests a second by address and by user, logins a
/// second by address, failed logins a minute by name.
pub(crate) const DEFAULT_LIMITS: proto::Limits = proto::Limits {
    per_user: 500,
    per_address: 1_000,
    login_per_address: 5,
    login_failures_per_name: 5,
};

impl State {
    /// What the first frame of a stream says. Sections it lacks are empty: whoever is not named is
    /// not let in.
    pub(crate) fn first(&self, frame: proto::Snapshot) -> Self {
        Self {
            limits: DEFAULT_LIMITS,
            auth_version: self.auth_version + 1,
            several: self.several,
            ..Self::default()
        }
        .then(frame)
    }

    /// The same with the sections a later frame carries.
    pub(crate) fn then(&self, frame: proto::Snapshot) -> Self {
        let mut next = self.clone();
        if frame.users.is_some() || frame.revocations.is_some() || frame.token_key.is_some() {
            next.auth_version += 1;
        }
        if let Some(map) = frame.shards {
            let owner = |address: String| (!address.is_empty()).then(|| Arc::from(address));
            next.owners = map.owners.into_iter().map(owner).collect();
            next.control = owner(map.control);
            let mut named = next.owners.iter().chain([&next.control]).flatten();
            let first = named.next();
            next.several |= named.any(|other| Some(other) != first);
        }
        if let Some(users) = frame.users {
            next.users = Arc::new(users.users.into_iter().map(user).collect());
        }
        if let Some(revocations) = frame.revocations {
            next.revoked = Arc::new(revocations.rands.into_iter().collect());
        }
        if let Some(key) = frame.token_key.filter(|key| !key.key.is_empty()) {
            next.token_key = Some(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &key.key)));
        }
        if let Some(account) = frame.account {
            next.own_number = account.number.parse().ok();
        }
        if let Some(limits) = frame.limits {
            next.limits = limits;
        }
        if let Some(certificate) = frame.certificate {
            next.certificate = certificate.pem;
        }
        if let Some(logging) = frame.logging {
            next.log_level = Some(logging.level).filter(|level| !level.is_empty());
        }
        next
    }
}

fn user(user: proto::User) -> (Arc<str>, User) {
    let role = match user.role() {
        proto::Role::Admin => Role::Admin,
        proto::Role::User | proto::Role::Unspecified => Role::User,
    };
    let entry = User { role, not_before: user.not_before, must_change: user.must_change };
    (user.name.into(), entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> proto::Snapshot {
        let user = proto::User { name: name.to_owned(), ..proto::User::default() };
        proto::Snapshot {
            users: Some(proto::Users { users: vec![user] }),
            ..proto::Snapshot::default()
        }
    }

    #[test]
    fn a_new_stream_starts_from_nothing_and_voids_what_was_verified() {
        let old = State::default().first(named("gone"));
        let new = old.first(proto::Snapshot::default());
        assert!(new.users.is_empty());
        assert!(new.auth_version > old.auth_version);
    }

    #[test]
    fn a_later_frame_changes_only_its_sections() {
        let old = State::default().first(named("clerk"));
        let owners = vec!["core:6250".to_owned(), String::new()];
        let map = proto::ShardMap { owners, control: "core:6250".to_owned(), version: 1 };
        let new = old.then(proto::Snapshot { shards: Some(map), ..proto::Snapshot::default() });
        assert!(new.users.contains_key("clerk"));
        assert_eq!(new.owners.as_ref(), [Some(Arc::from("core:6250")), None]);
        assert_eq!(new.control.as_deref(), Some("core:6250"));
        assert_eq!(new.auth_version, old.auth_version, "a shard map decides over no token");
    }

    #[test]
    fn once_a_map_has_named_several_coreapps_they_stay_several() {
        let map = |owner: &str, control: &str| {
            let owners = vec![owner.to_owned(), String::new(), owner.to_owned()];
            let map = proto::ShardMap { owners, control: control.to_owned(), version: 1 };
            proto::Snapshot { shards: Some(map), ..proto::Snapshot::default() }
        };
        let moved = State::default().first(map("a:6250", "a:6250")).then(map("b:6250", "b:6250"));
        assert!(!moved.several, "one with a new address is still one");
        let several = moved.then(map("b:6250", "a:6250"));
        assert!(several.several);
        assert!(several.then(map("b:6250", "b:6250")).several);
        assert!(several.first(map("b:6250", "")).several, "also on a new stream");
    }
}
