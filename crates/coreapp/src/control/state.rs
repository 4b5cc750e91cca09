//! The one writer of control rows, and what it last wrote.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use bytes::Bytes;
use contract::{ApiError, Clock, Code, Number, Rng, ShardId, settings::Application};
use futures_util::future::BoxFuture;
use rpc::coreapp::{AccountState, Certificate, Limits, Logging, Revocations, ShardMap, TokenKey};
use store::{
    Lanes, Reader, StoreError,
    rows::{Config, Revoked, User},
    write::{Class, Op, WriteError},
};
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use super::{
    directory::{self, Directory},
    documents::{Document, Documents},
    rows::{Rows, SETTINGS, TOKEN_KEY, Versions},
    trust::{Bundle, Trust},
    users::directory_row,
};
use crate::{account::Registration, egress::Policy, templates::Templates};

/// Bytes of a token key we make.
const TOKEN_KEY_LEN: usize = 64;
/// Revoked tokens remembered; beyond, logging out is refused until some have expired.
const REVOKED_MAX: usize = 100_000;
/// The account everybody knows, with the password everybody knows (`secret`): it opens nothing but
/// the change of itself.
pub(super) const ADMIN: &str = "admin";
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

impl ControlError {
    /// The database was away or its disk full: trying again may help.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Write(error) => matches!(error, WriteError::Away | WriteError::Failed(_)),
            Self::Row { .. } => false,
        }
    }
}

/// How the process was configured, as far as it concerns the directory.
#[derive(Clone, Debug)]
pub(crate) struct Fixed {
    /// Until one is registered.
    pub number: Option<Number>,
    /// All quotas and limits off, whatever the settings say.
    pub no_limits: bool,
}

/// What the control state lives on.
pub(crate) struct Deps {
    pub lanes: Lanes,
    pub reader: Reader,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub fixed: Fixed,
    pub apply: Apply,
    /// The own number from now on.
    pub numbered: Numbered,
    pub templates: Arc<Templates>,
    /// What webhook URLs are judged by.
    pub policy: Policy,
    pub trust: Trust,
    /// Waits until the other coreapps go by what was committed.
    pub tell: Tell,
    /// What a new database begins with, and what DELETE resets to: the file's first value.
    pub initial: Application,
}

/// See the module.
pub(crate) struct Control {
    lanes: Lanes,
    reader: Reader,
    /// Of shard -1 while it is ours; 0: it is not.
    epoch: AtomicI64,
    pub(super) clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    fixed: Fixed,
    pub(super) state: Arc<Mutex<State>>,
    directory: watch::Sender<Directory>,
    apply: Apply,
    numbered: Numbered,
    templates: Arc<Templates>,
    pub(super) policy: Policy,
    pub(super) trust: Trust,
    tell: Tell,
}

/// Puts a version of the settings into force.
pub(crate) type Apply = Box<dyn Fn(&Application) + Send + Sync>;
/// Puts an own number, or none, into force.
pub(crate) type Numbered = Box<dyn Fn(Option<Number>) + Send + Sync>;
/// Tells the other coreapps.
pub(crate) type Tell = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

pub(super) struct State {
    settings: Application,
    token_key: Bytes,
    pub(super) users: BTreeMap<String, User>,
    revoked: Vec<Revoked>,
    /// Tokens of deleted users were issued up to this second.
    pub(super) voided_s: i64,
    initial: Application,
    pub(super) bundle: Bundle,
    pub(super) documents: Documents,
    /// Of the rows that are in force.
    pub(super) versions: Versions,
}

impl Control {
    /// Goes by what the rows hold; in a new database by the first value, which is written by
    /// [`Self::take_over`].
    pub(crate) async fn open(deps: Deps) -> Result<Self, ControlError> {
        let Deps {
            lanes,
            reader,
            clock,
            rng,
            fixed,
            apply,
            numbered,
            templates,
            policy,
            trust,
            tell,
            initial,
        } = deps;
        let rows = Rows::read(&reader, clock.unix_s()).await?;
        let directory = Directory {
            version: 1,
            limits: limits(&initial, &fixed),
            logging: logging(&initial),
            ..Directory::default()
        };
        let state = State {
            settings: initial.clone(),
            token_key: Bytes::new(),
            users: BTreeMap::new(),
            revoked: Vec::new(),
            voided_s: 0,
            initial,
            bundle: Bundle::default(),
            documents: Documents::default(),
            versions: Versions::default(),
        };
        let control = Self {
            lanes,
            reader,
            epoch: AtomicI64::new(0),
            clock,
            rng,
            fixed,
            state: Arc::new(Mutex::new(state)),
            directory: watch::Sender::new(directory),
            apply,
            numbered,
            templates,
            policy,
            trust,
            tell,
        };
        let mut state = control.state.lock().await;
        control.put_in_force(&mut state, rows)?;
        (control.apply)(&state.settings);
        control.documents_in_force(&state.documents);
        drop(state);
        Ok(control)
    }

    /// Shard -1 is ours: its rows are read once more, and the first ones written into a new database.
    pub(crate) async fn take_over(&self, epoch: i64) -> Result<(), ControlError> {
        let mut state = self.state.lock().await;
        let mut rows = Rows::read(&self.reader, self.clock.unix_s()).await?;
        self.epoch.store(epoch, Ordering::Relaxed);
        let mut first = Vec::new();
        let put = |name: &str, document: Bytes| {
            Op::PutConfig(Config { name: name.to_owned(), version: 1, document })
        };
        if rows.settings.is_none() {
            first.push(put(SETTINGS, state.initial.to_json().into()));
            rows.settings = Some(state.initial.clone());
            rows.versions.settings = 1;
        }
        if rows.token_key.is_none() {
            let mut key = vec![0; TOKEN_KEY_LEN];
            self.rng.fill(&mut key);
            let key = Bytes::from(key);
            first.push(put(TOKEN_KEY, key.clone()));
            rows.token_key = Some(key);
            rows.versions.token_key = 1;
        }
        if rows.users.is_empty() {
            let admin = User {
                name: ADMIN.to_owned(),
                password_hash: ADMIN_HASH.to_owned(),
                admin: true,
                must_change: true,
                not_before: self.clock.unix_s(),
            };
            rows.versions.directory += 1;
            first.push(Op::PutUser(admin.clone()));
            first.push(directory_row(rows.versions.directory, rows.voided_s));
            rows.users.insert(admin.name.clone(), admin);
        }
        if !first.is_empty()
            && let Err(error) = self.commit(first).await
        {
            // What a change would go by is not in force.
            self.give_up();
            return Err(error.into());
        }
        self.put_in_force(&mut state, rows)
    }

    /// Shard -1 is no longer ours.
    pub(crate) fn give_up(&self) {
        self.epoch.store(0, Ordering::Relaxed);
    }

    /// A tick has read these versions: what is newer than what is in force is read.
    pub(crate) async fn follow(&self, configs: &[(String, i64)]) -> Result<(), ControlError> {
        let there = Versions::of(configs);
        let mut state = self.state.lock().await;
        if state.versions.behind(&there) {
            let rows = Rows::read(&self.reader, self.clock.unix_s()).await?;
            self.put_in_force(&mut state, rows)?;
        }
        Ok(())
    }

    fn put_in_force(&self, state: &mut State, rows: Rows) -> Result<(), ControlError> {
        let Rows { settings, token_key, users, revoked, voided_s, bundle, documents, versions } =
            rows;
        state.voided_s = voided_s;
        if versions.bundle > state.versions.bundle {
            let egress = bundle.egress(&self.policy).map_err(|error| ControlError::Row {
                row: "webhook_authorities",
                reason: error.to_string(),
            })?;
            state.bundle = bundle;
            (self.trust)(egress);
        }
        if versions.documents != state.versions.documents {
            self.documents_in_force(&documents);
            state.documents = documents;
        }
        if let Some(settings) = settings
            && versions.settings > state.versions.settings
        {
            (self.apply)(&settings);
            self.publish_settings(&settings);
            state.settings = settings;
        }
        if let Some(token_key) = token_key
            && token_key != state.token_key
        {
            let key = TokenKey { key: token_key.clone() };
            self.publish(|directory| directory.token_key = Arc::new(key));
            state.token_key = token_key;
        }
        if users != state.users {
            let shown = directory::users(users.values());
            self.publish(|directory| directory.users = shown);
            state.users = users;
        }
        if revoked != state.revoked {
            let shown = revocations(&revoked);
            self.publish(|directory| directory.revocations = shown);
            state.revoked = revoked;
        }
        state.versions = versions;
        Ok(())
    }

    /// Who owns which shard.
    pub(crate) fn shards(&self, map: ShardMap) {
        self.publish(|directory| directory.shards = Arc::new(map));
    }

    /// Whether this coreapp may change what belongs to the account.
    pub(crate) fn is_owner(&self) -> bool {
        self.epoch.load(Ordering::Relaxed) != 0
    }

    pub(crate) fn directory(&self) -> watch::Receiver<Directory> {
        self.directory.subscribe()
    }

    /// The settings as GET shows them, and their version.
    pub(crate) async fn public_settings(&self) -> (i64, Vec<u8>) {
        let state = self.state.lock().await;
        (state.versions.settings, state.settings.public_json(self.number(&state).as_ref()))
    }

    /// Changes some settings. A webhook that would never be called is refused here, where somebody
    /// reads the answer.
    pub(crate) async fn patch(self: &Arc<Self>, patch: &[u8]) -> Result<(), ApiError> {
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
        let state = self.to_change().await;
        let next = state.settings.patch(patch)?;
        self.replace(state, next).await
    }

    /// Back to the first value.
    pub(crate) async fn reset(self: &Arc<Self>) -> Result<(), ApiError> {
        let state = self.to_change().await;
        let initial = state.initial.clone();
        self.replace(state, initial).await
    }

    async fn replace(
        self: &Arc<Self>,
        state: OwnedMutexGuard<State>,
        next: Application,
    ) -> Result<(), ApiError> {
        let (next, row) = self.settings_row(&state, next);
        let version = row.version;
        self.write(state, vec![Op::PutConfig(row)], move |control, state| {
            control.settings_in_force(state, next, version);
        })
        .await
    }

    pub(super) fn settings_row(&self, state: &State, next: Application) -> (Application, Config) {
        let document = next.to_json().into();
        let version = state.versions.settings + 1;
        (next, Config { name: SETTINGS.to_owned(), version, document })
    }

    pub(super) fn settings_in_force(&self, state: &mut State, next: Application, version: i64) {
        state.versions.settings = version;
        (self.apply)(&next);
        self.publish_settings(&next);
        state.settings = next;
    }

    /// The settings as they are stored.
    pub(crate) async fn settings(&self) -> Application {
        self.state.lock().await.settings.clone()
    }

    /// What of the documents concerns others than those who ask for them.
    pub(super) fn documents_in_force(&self, documents: &Documents) {
        let number = self.number_of(documents);
        (self.numbered)(number);
        self.templates.put_in_force(documents.get(Document::Templates));
        let account =
            AccountState { number: number.as_ref().map(ToString::to_string).unwrap_or_default() };
        let pem = documents.get(Document::Certificate);
        self.publish(|directory| {
            directory.account = Arc::new(account);
            if directory.certificate.pem != *pem {
                directory.certificate = Arc::new(Certificate { pem: pem.clone() });
            }
        });
    }

    fn number(&self, state: &State) -> Option<Number> {
        self.number_of(&state.documents)
    }

    /// What is registered, else what is configured.
    fn number_of(&self, documents: &Documents) -> Option<Number> {
        let registered = Registration::read(documents.get(Document::Registration)).number;
        registered.or(self.fixed.number)
    }

    /// The own number; `None`: none is registered.
    pub(crate) async fn own_number(&self) -> Option<Number> {
        self.number(&*self.state.lock().await)
    }

    /// A token is void from now on.
    pub(crate) async fn revoke(self: &Arc<Self>, revoked: Revoked) -> Result<(), ApiError> {
        let mut state = self.to_change().await;
        let now_s = self.clock.unix_s();
        state.revoked.retain(|old| old.expires > now_s);
        if state.revoked.len() >= REVOKED_MAX {
            return Err(ApiError::new(Code::OVERLOADED, "too many tokens were logged out lately"));
        }
        let trim = Op::TrimRevoked { before_s: now_s };
        let version = state.versions.directory + 1;
        let row = directory_row(version, state.voided_s);
        let ops = vec![trim, Op::PutRevoked(revoked.clone()), row];
        self.write(state, ops, move |control, state| {
            state.versions.directory = version;
            state.revoked.push(revoked);
            let revocations = revocations(&state.revoked);
            control.publish(|directory| directory.revocations = revocations);
        })
        .await
    }

    /// What webapps go by.
    fn publish_settings(&self, settings: &Application) {
        let (limits, logging) = (limits(settings, &self.fixed), logging(settings));
        self.publish(|directory| {
            directory.limits = limits;
            directory.logging = logging;
        });
    }

    pub(super) fn publish(&self, change: impl FnOnce(&mut Directory)) {
        self.directory.send_modify(|directory| {
            change(directory);
            directory.version += 1;
        });
    }

    /// The state for whoever changes it: see [`Self::write`].
    pub(super) async fn to_change(&self) -> OwnedMutexGuard<State> {
        self.state.clone().lock_owned().await
    }

    /// Commits what was made of `state`, puts it into force with `apply`, and waits until the others go
    /// by it. Goes on when the caller is gone: else memory would stay behind a row that is committed all
    /// the same, and the next change would be written under the same version.
    pub(super) async fn write(
        self: &Arc<Self>,
        mut state: OwnedMutexGuard<State>,
        ops: Vec<Op>,
        apply: impl FnOnce(&Self, &mut State) + Send + 'static,
    ) -> Result<(), ApiError> {
        let control = self.clone();
        let written = tokio::spawn(async move {
            let written = control.commit(ops).await;
            if written.is_ok() {
                apply(&control, &mut state);
            }
            written
        });
        let stopped = |_| ApiError::new(Code::NOT_READY, "the coreapp is stopping");
        written.await.map_err(stopped)?.map_err(|error| refused(&error))?;
        (self.tell)().await;
        Ok(())
    }

    /// Under the epoch 0 nothing passes: then shard -1 is not ours.
    async fn commit(&self, ops: Vec<Op>) -> Result<(), WriteError> {
        let epoch = self.epoch.load(Ordering::Relaxed);
        self.lanes.commit(ShardId::CONTROL, epoch, Class::Hot, ops).await.map(|_| ())
    }
}

fn revocations(revoked: &[Revoked]) -> Arc<Revocations> {
    Arc::new(Revocations { rands: revoked.iter().map(|r| r.rand.clone()).collect() })
}

fn logging(application: &Application) -> Arc<Logging> {
    let level = application.logging().map(|level| level.name().to_owned());
    Arc::new(Logging { level: level.unwrap_or_default() })
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

fn refused(error: &WriteError) -> ApiError {
    match error {
        WriteError::Fenced | WriteError::NotOwned => {
            ApiError::new(Code::NOT_PRIMARY_MASTER, error.to_string())
        }
        _ => ApiError::new(Code::DATABASE, error.to_string()),
    }
}
