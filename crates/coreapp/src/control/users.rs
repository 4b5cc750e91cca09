//! Who may log in.

use std::sync::Arc;

use bytes::Bytes;
use contract::{ApiError, Code};
use store::{
    rows::{Config, User},
    write::Op,
};
use tokio::sync::OwnedMutexGuard;

use super::{
    directory,
    rows::DIRECTORY,
    state::{ADMIN, Control, State},
};

/// Users there may be: every webapp keeps all of them.
const USERS_MAX: usize = 10_000;

impl Control {
    /// The row of a user.
    pub(crate) async fn user(&self, name: &str) -> Option<User> {
        self.state.lock().await.users.get(name).cloned()
    }

    /// Adds a user; its tokens are issued later than any of a deleted user, so that none of an earlier
    /// one of this name is good again.
    pub(crate) async fn create_user(
        self: &Arc<Self>,
        name: String,
        hash: String,
    ) -> Result<(), ApiError> {
        let state = self.to_change().await;
        if state.users.contains_key(&name) {
            // In the words, and under the code, that clients of the original know.
            return Err(ApiError::new(Code::INTERNAL, "Unable to create user. Already exist?"));
        }
        if state.users.len() >= USERS_MAX {
            let details = format!("There are {USERS_MAX} users already: delete one first");
            return Err(ApiError::new(Code::OVERLOADED, details));
        }
        let user = User {
            name: name.clone(),
            password_hash: hash,
            admin: false,
            must_change: false,
            not_before: self.clock.unix_s().max(state.voided_s) + 1,
        };
        let op = Op::PutUser(user.clone());
        self.write_user(state, op, |state| drop(state.users.insert(name, user))).await
    }

    /// Takes a user away and voids its tokens.
    pub(crate) async fn delete_user(self: &Arc<Self>, name: &str) -> Result<(), ApiError> {
        if name == ADMIN {
            return Err(ApiError::new(Code::ACCESS_DENIED, "The user 'admin' cannot be deleted"));
        }
        let mut state = self.to_change().await;
        let user = state.users.get(name).ok_or_else(unknown_user)?;
        // A token may be issued a second ahead, when its user was made in this one.
        let last_s = user.not_before.max(self.clock.unix_s());
        state.voided_s = state.voided_s.max(last_s);
        let name = name.to_owned();
        let op = Op::DeleteUser(name.clone());
        self.write_user(state, op, move |state| drop(state.users.remove(&name))).await
    }

    /// A new password; the change that the first login demands is done with it.
    pub(crate) async fn set_password(
        self: &Arc<Self>,
        name: &str,
        hash: String,
    ) -> Result<(), ApiError> {
        let state = self.to_change().await;
        let user = state.users.get(name).ok_or_else(unknown_user)?;
        let changed = User { password_hash: hash, must_change: false, ..user.clone() };
        let op = Op::PutUser(changed.clone());
        let name = changed.name.clone();
        self.write_user(state, op, |state| drop(state.users.insert(name, changed))).await
    }

    async fn write_user(
        self: &Arc<Self>,
        state: OwnedMutexGuard<State>,
        op: Op,
        apply: impl FnOnce(&mut State) + Send + 'static,
    ) -> Result<(), ApiError> {
        let version = state.versions.directory + 1;
        let ops = vec![op, directory_row(version, state.voided_s)];
        self.write(state, ops, move |control, state| {
            state.versions.directory = version;
            apply(state);
            let users = directory::users(state.users.values());
            control.publish(|directory| directory.users = users);
        })
        .await
    }
}

/// Grows with every change of users and revocations.
pub(super) fn directory_row(version: i64, voided_s: i64) -> Op {
    let document = Bytes::from(voided_s.to_string());
    Op::PutConfig(Config { name: DIRECTORY.to_owned(), version, document })
}

fn unknown_user() -> ApiError {
    ApiError::new(Code::NOT_FOUND, "There is no user with this name")
}
