//! The one writer of control rows, and what it last wrote.

use std::{collections::BTreeMap, sync::Arc};

use contract::{ApiError, Clock, Code, Number, Rng, ShardId, settings::Application};
use rpc::coreapp::{AccountState, Limits, Revocations, ShardMap, TokenKey};
use store::{
    Lanes, Reader, StoreError,
    rows::{Config, Revoked, User},
    write::{Class, Op, WriteError},
};
use tokio::sync::{Mutex, watch};

use super::{
    directory::{self, Directory},
    trust::{Bundle, Trust},
};
use crate::egress::Policy;

/// `config` rows.
const SETTINGS: &str = "settings";
const TOKEN_KEY: &str = "token_key";
/// Bytes of a token key we make.
const TOKEN_KEY_LEN: usize = 64;
/// Revoked tokens remembered; beyond, logging out is refused until some have expired.
const REVOKED_MAX: usize = 100_000;
/// The account everybody knows, with the password everybody knows (`secret`): it opens nothing but
/// the change of itself.
const ADMIN: &str = "admin";
const ADMIN_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$aGVsaW9ncmFwaC1hZG1pbg$2DFenEBMgFwDQF8BD86FzUcaPXOuodmWP/UM9auuC1c";

/// The control state cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row holds something this version does not know.
    #[error("failed to read table config, column document, row '{row}': {reason}")]
    Row {
        /// `config.name`.
        row: &'static str,
        /// Why.
        reason: String,
    },
    /// The first rows could not be written.
    #[error("failed to write the first settings: {0}")]
    Write(#[from] WriteError),
}

/// How the process was configured, as far as it concerns the directory.
#[derive(Clone, Debug)]
pub(crate) struct Fixed {
    pub number: Number,
    /// host:port of 6250.
    pub addr: String,
    /// All quotas and limits off, whatever the settings say.
    pub no_limits: bool,
}

/// What the control state lives on.
pub(crate) struct Deps {
    pub lanes: Lanes,
    /// Of shard -1.
    pub epoch: i64,
    pub clock: Arc<dyn Clock>,
    pub fixed: Fixed,
    pub apply: Apply,
    /// What webhook URLs are judged by.
    pub policy: Policy,
    pub trust: Trust,
}

/// See the module.
pub(crate) struct Control {
    lanes: Lanes,
    epoch: i64,
    clock: Arc<dyn Clock>,
    fixed: Fixed,
    pub(super) state: Mutex<State>,
    directory: watch::Sender<Directory>,
    apply: Apply,
    pub(super) policy: Policy,
    pub(super) trust: Trust,
}

/// Puts a version of the settings into force.
pub(crate) type Apply = Box<dyn Fn(&Application) + Send + Sync>;

pub(super) struct State {
    version: i64,
    settings: Application,
    users: BTreeMap<String, User>,
    revoked: Vec<Revoked>,
    /// What DELETE resets to: the file's first value.
    initial: Application,
    pub(super) bundle: Bundle,
}

impl Control {
    /// Reads the rows, and writes the first ones into a new database.
    pub(crate) async fn open(
        deps: Deps,
        reader: &Reader,
        rng: &impl Rng,
        initial: Application,
    ) -> Result<Self, ControlError> {
        let Deps { lanes, epoch, clock, fixed, apply, policy, trust } = deps;
        let bundle = Bundle::read(reader).await?;
        let egress = bundle.egress(&policy).map_err(|error| ControlError::Row {
            row: "webhook_authorities",
            reason: error.to_string(),
        })?;
        let stored = reader.config(SETTINGS).await?;
        let token_key = reader.config(TOKEN_KEY).await?;
        let users = reader.users().await?;
        let now_s = clock.unix_s();
        let revoked: Vec<Revoked> =
            reader.revoked().await?.into_iter().filter(|r| r.expires > now_s).collect();

        let mut first = Vec::new();
        let (version, application) = match stored {
            Some(row) => {
                let application = Application::from_json(&row.document).map_err(|error| {
                    ControlError::Row { row: SETTINGS, reason: error.to_string() }
                })?;
                (row.version, application)
            }
            None => {
                let document = initial.to_json().into();
                first.push(Op::PutConfig(Config {
                    name: SETTINGS.to_owned(),
                    version: 1,
                    document,
                }));
                (1, initial.clone())
            }
        };
        let token_key = match token_key {
            Some(row) => row.document,
            None => {
                let mut key = vec![0; TOKEN_KEY_LEN];
                rng.fill(&mut key);
                let document: bytes::Bytes = key.into();
                first.push(Op::PutConfig(Config {
                    name: TOKEN_KEY.to_owned(),
                    version: 1,
                    document: document.clone(),
                }));
                document
            }
        };
        let mut users: BTreeMap<String, User> =
            users.into_iter().map(|user| (user.name.clone(), user)).collect();
        if users.is_empty() {
            let admin = User {
                name: ADMIN.to_owned(),
                password_hash: ADMIN_HASH.to_owned(),
                admin: true,
                must_change: true,
                not_before: now_s,
            };
            first.push(Op::PutUser(admin.clone()));
            users.insert(admin.name.clone(), admin);
        }
        let owners = vec![fixed.addr.clone(); usize::from(contract::route::SHARDS.unsigned_abs())];
        let account = AccountState { number: fixed.number.to_string() };
        let directory = Directory {
            version: 1,
            shards: Arc::new(ShardMap { owners }),
            users: directory::users(users.values()),
            revocations: revocations(&revoked),
            token_key: Arc::new(TokenKey { key: token_key }),
            account: Arc::new(account),
            limits: limits(&application, &fixed),
        };
        let control = Self {
            lanes,
            epoch,
            clock,
            fixed,
            state: Mutex::new(State {
                version,
                settings: application,
                users,
                revoked,
                initial,
                bundle,
            }),
            directory: watch::Sender::new(directory),
            apply,
            policy,
            trust,
        };
        if !first.is_empty() {
            control.commit(first).await?;
        }
        (control.trust)(egress);
        (control.apply)(&control.state.lock().await.settings);
        Ok(control)
    }

    pub(crate) fn directory(&self) -> watch::Receiver<Directory> {
        self.directory.subscribe()
    }

    /// The settings as GET shows them, and their version.
    pub(crate) async fn public_settings(&self) -> (i64, Vec<u8>) {
        let state = self.state.lock().await;
        (state.version, state.settings.public_json(Some(&self.fixed.number)))
    }

    /// Changes some settings. A webhook that would never be called is refused here, where somebody
    /// reads the answer.
    pub(crate) async fn patch(&self, patch: &[u8]) -> Result<(), ApiError> {
        let url = {
            let state = self.state.lock().await;
            let next = state.settings.patch(patch)?;
            Some(next.webhooks.url).filter(|url| *url != state.settings.webhooks.url)
        };
        // Without the lock: a name may take its time.
        if let Some(url) = url.filter(|url| !url.is_empty()) {
            let judged = self.policy.judge(&url).await;
            judged.map_err(|error| {
                ApiError::new(Code::INVALID, format!("'webhooks.url' is refused: {error}"))
            })?;
        }
        let mut state = self.state.lock().await;
        let next = state.settings.patch(patch)?;
        self.replace(&mut state, next).await
    }

    /// Back to the first value.
    pub(crate) async fn reset(&self) -> Result<(), ApiError> {
        let mut state = self.state.lock().await;
        let initial = state.initial.clone();
        self.replace(&mut state, initial).await
    }

    async fn replace(&self, state: &mut State, next: Application) -> Result<(), ApiError> {
        let version = state.version + 1;
        let document = next.to_json().into();
        let row = Config { name: SETTINGS.to_owned(), version, document };
        self.commit(vec![Op::PutConfig(row)]).await.map_err(|error| refused(&error))?;
        state.version = version;
        let limits = limits(&next, &self.fixed);
        (self.apply)(&next);
        state.settings = next;
        self.publish(|directory| directory.limits = limits);
        Ok(())
    }

    /// The row of a user.
    pub(crate) async fn user(&self, name: &str) -> Option<User> {
        self.state.lock().await.users.get(name).cloned()
    }

    /// A new password; the change that the first login demands is done with it.
    pub(crate) async fn set_password(&self, name: &str, hash: String) -> Result<(), ApiError> {
        let mut state = self.state.lock().await;
        let user = state.users.get(name).ok_or_else(unknown_user)?;
        let changed = User { password_hash: hash, must_change: false, ..user.clone() };
        self.commit(vec![Op::PutUser(changed.clone())]).await.map_err(|error| refused(&error))?;
        state.users.insert(changed.name.clone(), changed);
        let users = directory::users(state.users.values());
        self.publish(|directory| directory.users = users);
        Ok(())
    }

    /// A token is void from now on.
    pub(crate) async fn revoke(&self, revoked: Revoked) -> Result<(), ApiError> {
        let mut state = self.state.lock().await;
        let now_s = self.clock.unix_s();
        state.revoked.retain(|old| old.expires > now_s);
        if state.revoked.len() >= REVOKED_MAX {
            return Err(ApiError::new(Code::OVERLOADED, "too many tokens were logged out lately"));
        }
        let trim = Op::TrimRevoked { before_s: now_s };
        self.commit(vec![trim, Op::PutRevoked(revoked.clone())])
            .await
            .map_err(|error| refused(&error))?;
        state.revoked.push(revoked);
        let revocations = revocations(&state.revoked);
        self.publish(|directory| directory.revocations = revocations);
        Ok(())
    }

    fn publish(&self, change: impl FnOnce(&mut Directory)) {
        self.directory.send_modify(|directory| {
            change(directory);
            directory.version += 1;
        });
    }

    pub(super) async fn commit(&self, ops: Vec<Op>) -> Result<(), WriteError> {
        self.lanes.commit(ShardId::CONTROL, self.epoch, Class::Hot, ops).await.map(|_| ())
    }
}

fn revocations(revoked: &[Revoked]) -> Arc<Revocations> {
    Arc::new(Revocations { rands: revoked.iter().map(|r| r.rand.clone()).collect() })
}

fn limits(application: &Application, fixed: &Fixed) -> Arc<Limits> {
    let web = application.heliograph.web;
    Arc::new(if fixed.no_limits {
        Limits::default()
    } else {
        Limits {
            per_user: web.per_user,
            per_address: web.per_address,
            login_per_address: web.login_per_address,
            login_failures_per_name: web.login_failures_per_name,
        }
    })
}

fn unknown_user() -> ApiError {
    ApiError::new(Code::NOT_FOUND, "no user has this name")
}

pub(super) fn refused(error: &WriteError) -> ApiError {
    match error {
        WriteError::Fenced | WriteError::NotOwned => {
            ApiError::new(Code::NOT_PRIMARY_MASTER, error.to_string())
        }
        _ => ApiError::new(Code::DATABASE, error.to_string()),
    }
}
