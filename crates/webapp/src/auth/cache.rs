//! Which tokens are good. Verified ones are remembered, so that a busy client costs one look-up a
//! request; what was verified before users, revocations or the key changed is verified again.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use lru::LruCache;
use ring::{digest, hmac};

use super::{
    caller::Caller,
    token::{Claims, MAX_TOKEN, verified},
};
use crate::directory::State;

/// Tokens remembered; beyond, the one longest unused is verified anew when it comes again.
const MAX_REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4_095);

/// Verifies tokens.
pub(crate) struct Tokens {
    /// The configured key; `None`: the coreapp's.
    fixed: Option<Arc<hmac::Key>>,
    remembered: Mutex<LruCache<[u8; 32], Remembered>>,
}

struct Remembered {
    caller: Caller,
    /// [`State::auth_version`] it was verified under.
    auth_version: u64,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// No token of ours.
    Forged,
    /// Its time is over.
    Expired,
    /// Logged out, or its user is gone.
    Void,
}

impl Tokens {
    pub(crate) fn new(fixed: Option<&str>) -> Self {
        let key = |secret: &str| Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()));
        Self { fixed: fixed.map(key), remembered: Mutex::new(LruCache::new(MAX_REMEMBERED)) }
    }

    /// The key tokens are signed with; `None`: there is none, so none is good.
    pub(crate) fn key(&self, state: &State) -> Option<Arc<hmac::Key>> {
        self.fixed.clone().or_else(|| state.token_key.clone())
    }

    /// Who holds the token, at `now` (Unix seconds).
    pub(crate) fn verify(&self, token: &str, state: &State, now: i64) -> Result<Caller, Bad> {
        if token.len() > MAX_TOKEN {
            return Err(Bad::Forged);
        }
        let mut name = [0; 32];
        name.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        if let Some(known) = self.remembered().get(&name)
            && known.auth_version == state.auth_version
        {
            return if now < known.caller.expires {
                Ok(known.caller.clone())
            } else {
                Err(Bad::Expired)
            };
        }
        let caller = self.check(token, state, now)?;
        let auth_version = state.auth_version;
        self.remembered().put(name, Remembered { caller: caller.clone(), auth_version });
        Ok(caller)
    }

    fn check(&self, token: &str, state: &State, now: i64) -> Result<Caller, Bad> {
        let key = self.key(state).ok_or(Bad::Forged)?;
        let json = verified(&key, token).ok_or(Bad::Forged)?;
        let claims: Claims<'_> = serde_json::from_slice(&json).map_err(|_| Bad::Forged)?;
        if now >= claims.exp {
            return Err(Bad::Expired);
        }
        let (name, user) = state.users.get_key_value(&*claims.user).ok_or(Bad::Void)?;
        if claims.iat < user.not_before || state.revoked.contains(&*claims.rand) {
            return Err(Bad::Void);
        }
        Ok(Caller {
            user: Arc::clone(name),
            role: user.role,
            must_change: user.must_change,
            rand: claims.rand.into(),
            expires: claims.exp,
        })
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, LruCache<[u8; 32], Remembered>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use rpc::coreapp as proto;

    use super::*;
    use crate::directory::Role;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn state(before: &State, not_before: i64, revoked: &[&str]) -> State {
        before.then(proto::Snapshot {
            users: Some(proto::Users {
                users: vec![proto::User {
                    name: "clerk_7".to_owned(),
                    role: proto::Role::User.into(),
                    not_before,
                    must_change: false,
                }],
            }),
            revocations: Some(proto::Revocations {
                rands: revoked.iter().map(|rand| (*rand).to_owned()).collect(),
            }),
            ..proto::Snapshot::default()
        })
    }

    fn token(user: &str, iat: i64) -> String {
        let rand = "ab".repeat(16);
        let claims = Claims { user: user.into(), iat, exp: iat + 100, rand: rand.into() };
        claims.sign(&hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes())).unwrap()
    }

    #[test]
    fn a_remembered_token_is_refused_once_it_is_revoked_or_its_user_was_made_anew_or_it_expired() {
        let tokens = Tokens::new(Some(KEY));
        let good = state(&State::default(), 1_000, &[]);
        let token = token("clerk_7", 1_000);
        let caller = tokens.verify(&token, &good, 1_050).unwrap();
        assert_eq!((&*caller.user, caller.role), ("clerk_7", Role::User));
        assert!(tokens.verify(&token, &good, 1_099).is_ok());
        assert_eq!(tokens.verify(&token, &good, 1_100).unwrap_err(), Bad::Expired);

        let revoked = state(&good, 1_000, &[&caller.rand]);
        assert_eq!(tokens.verify(&token, &revoked, 1_050).unwrap_err(), Bad::Void);
        let anew = state(&good, 1_001, &[]);
        assert_eq!(tokens.verify(&token, &anew, 1_050).unwrap_err(), Bad::Void);
        let gone = good.first(proto::Snapshot::default());
        assert_eq!(tokens.verify(&token, &gone, 1_050).unwrap_err(), Bad::Void);
    }

    #[test]
    fn without_a_key_no_token_is_good() {
        let state = state(&State::default(), 0, &[]);
        let token = token("clerk_7", 1_000);
        assert_eq!(Tokens::new(None).verify(&token, &state, 1_001).unwrap_err(), Bad::Forged);
    }
}
