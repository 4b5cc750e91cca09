//! The account's rows as they are read together, and which versions they were of.

use std::collections::BTreeMap;

use bytes::Bytes;
use contract::settings::Application;
use store::{
    Reader,
    rows::{Revoked, User},
};

use super::{
    documents::{self, DocumentVersions, Documents},
    state::ControlError,
    trust::Bundle,
};

/// `config` rows.
pub(super) const SETTINGS: &str = "settings";
pub(super) const TOKEN_KEY: &str = "token_key";
/// Its version grows whenever users or revoked tokens change. Holds the second up to which tokens of
/// deleted users were issued, as text; empty: none was deleted.
pub(super) const DIRECTORY: &str = "directory";
pub(super) const BUNDLE: &str = "webhook_authorities";

/// Has the account its first rows? They are written together. `configs`: as a tick has read them.
pub(crate) fn exists(configs: &[(String, i64)]) -> bool {
    Versions::of(configs).settings > 0
}

/// See the module.
pub(super) struct Rows {
    pub settings: Option<Application>,
    pub token_key: Option<Bytes>,
    pub users: BTreeMap<String, User>,
    pub revoked: Vec<Revoked>,
    /// See [`DIRECTORY`].
    pub voided_s: i64,
    pub bundle: Bundle,
    pub documents: Documents,
    /// Of the `config` rows above; 0: there is none.
    pub versions: Versions,
}

/// Versions of the `config` rows that matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Versions {
    pub settings: i64,
    pub token_key: i64,
    pub directory: i64,
    pub bundle: i64,
    pub documents: DocumentVersions,
}

impl Versions {
    /// As a tick has read them.
    pub(super) fn of(configs: &[(String, i64)]) -> Self {
        let version = |name: &str| {
            configs.iter().find(|(known, _)| known == name).map_or(0, |(_, version)| *version)
        };
        Self {
            settings: version(SETTINGS),
            token_key: version(TOKEN_KEY),
            directory: version(DIRECTORY),
            bundle: version(BUNDLE),
            documents: documents::versions(version),
        }
    }

    /// Something there is newer than this.
    pub(super) fn behind(&self, other: &Self) -> bool {
        self.settings < other.settings
            || self.token_key < other.token_key
            || self.directory < other.directory
            || self.bundle < other.bundle
            || self.documents.iter().zip(other.documents).any(|(ours, theirs)| *ours < theirs)
    }
}

impl Rows {
    /// The versions first: what changes meanwhile is read once more, not missed.
    pub(super) async fn read(reader: &Reader, now_s: i64) -> Result<Self, ControlError> {
        let directory = reader.config(DIRECTORY).await?;
        let settings = reader.config(SETTINGS).await?;
        let token_key = reader.config(TOKEN_KEY).await?;
        let bundle = Bundle::read(reader).await?;
        let documents = Documents::read(reader).await?;
        let users = reader.users().await?;
        let revoked = reader.revoked().await?.into_iter().filter(|row| row.expires > now_s);
        let versions = Versions {
            settings: settings.as_ref().map_or(0, |row| row.version),
            token_key: token_key.as_ref().map_or(0, |row| row.version),
            directory: directory.as_ref().map_or(0, |row| row.version),
            bundle: bundle.version,
            documents: documents.versions,
        };
        let application = |document: &[u8]| {
            Application::from_json(document)
                .map_err(|error| ControlError::Row { row: SETTINGS, reason: error.to_string() })
        };
        Ok(Self {
            settings: settings.map(|row| application(&row.document)).transpose()?,
            token_key: token_key.map(|row| row.document),
            users: users.into_iter().map(|user| (user.name.clone(), user)).collect(),
            revoked: revoked.collect(),
            voided_s: directory
                .and_then(|row| std::str::from_utf8(&row.document).ok()?.parse().ok())
                .unwrap_or_default(),
            bundle,
            documents,
            versions,
        })
    }
}
