//! What webapps know of us: a snapshot that is replaced as a whole, and how two differ.

use std::sync::Arc;

use rpc::coreapp::{
    AccountState, Certificate, Limits, Logging, Revocations, Role, ShardMap, Snapshot, TokenKey,
    User, Users,
};
use store::rows;

/// One version of the directory. Sections are compared by identity.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    pub version: u64,
    pub shards: Arc<ShardMap>,
    pub users: Arc<Users>,
    pub revocations: Arc<Revocations>,
    pub token_key: Arc<TokenKey>,
    pub account: Arc<AccountState>,
    pub limits: Arc<Limits>,
    pub logging: Arc<Logging>,
    pub certificate: Arc<Certificate>,
}

impl Directory {
    /// The message that brings a webapp from `before` to this version; `None`: it knows nothing.
    pub(crate) fn since(&self, before: Option<&Self>) -> Snapshot {
        macro_rules! changed {
            ($section:ident) => {
                (!before.is_some_and(|before| Arc::ptr_eq(&before.$section, &self.$section)))
                    .then(|| (*self.$section).clone())
            };
        }
        Snapshot {
            version: self.version,
            shards: changed!(shards),
            users: changed!(users),
            revocations: changed!(revocations),
            token_key: changed!(token_key),
            account: changed!(account),
            limits: changed!(limits),
            stale: false,
            logging: changed!(logging),
            certificate: changed!(certificate),
        }
    }
}

/// The rows as webapps see them: without the password hashes.
pub(super) fn users<'a>(rows: impl Iterator<Item = &'a rows::User>) -> Arc<Users> {
    let users = rows.map(|row| User {
        name: row.name.clone(),
        role: role(row).into(),
        not_before: row.not_before,
        must_change: row.must_change,
    });
    Arc::new(Users { users: users.collect() })
}

pub(crate) fn role(row: &rows::User) -> Role {
    if row.admin { Role::Admin } else { Role::User }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_holds_only_the_sections_that_changed() {
        let first = Directory { version: 1, ..Directory::default() };
        let whole = first.since(None);
        assert!(whole.users.is_some() && whole.limits.is_some() && whole.shards.is_some());
        let second = Directory { version: 2, users: Arc::new(Users::default()), ..first.clone() };
        let diff = second.since(Some(&first));
        assert_eq!(diff.version, 2);
        assert!(diff.users.is_some());
        assert!(diff.limits.is_none() && diff.shards.is_none() && diff.token_key.is_none());
    }
}
