//! Documents of the account that the control state keeps and passes on without looking into them:
//! `config` rows, sealed at rest, read by every coreapp when their versions grow.

use std::sync::Arc;

use bytes::Bytes;
use contract::{ApiError, settings::Application};
use store::{Reader, rows::Config, write::Op};
use tokio::sync::OwnedMutexGuard;

use super::state::{Control, ControlError, State};

/// Which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Document {
    /// The own number and how it came to be ours.
    Registration,
    /// How customers see the business: texts.
    Profile,
    /// The same: picture.
    Photo,
    /// `contract::media::Providers`.
    MediaProviders,
    /// `contract::catalogue::Catalogue`, as the network gave it.
    Templates,
    /// What webapps serve with: private key and chain, PEM.
    Certificate,
    /// `contract::stickers::Packs`.
    Stickerpacks,
}

impl Document {
    const ALL: [Self; COUNT] = [
        Self::Registration,
        Self::Profile,
        Self::Photo,
        Self::MediaProviders,
        Self::Templates,
        Self::Certificate,
        Self::Stickerpacks,
    ];

    /// Of its row.
    fn name(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::Profile => "profile",
            Self::Photo => "photo",
            Self::MediaProviders => "media_providers",
            Self::Templates => "templates",
            Self::Certificate => "external_certificate",
            Self::Stickerpacks => "stickerpacks",
        }
    }
}

const COUNT: usize = 7;

/// Versions of all of them; 0: there is no row.
pub(super) type DocumentVersions = [i64; COUNT];

/// By the names of the rows, as a tick has read them.
pub(super) fn versions(of: impl Fn(&str) -> i64) -> DocumentVersions {
    Document::ALL.map(|document| of(document.name()))
}

/// All of them; empty: there is none.
#[derive(Clone, Default)]
pub(super) struct Documents {
    contents: [Bytes; COUNT],
    pub(super) versions: DocumentVersions,
}

impl Documents {
    pub(super) async fn read(reader: &Reader) -> Result<Self, ControlError> {
        let mut documents = Self::default();
        for document in Document::ALL {
            if let Some(row) = reader.config(document.name()).await? {
                documents.set(document, row.document, row.version);
            }
        }
        Ok(documents)
    }

    pub(super) fn get(&self, document: Document) -> &Bytes {
        &self.contents[document as usize]
    }

    fn set(&mut self, document: Document, contents: Bytes, version: i64) {
        self.contents[document as usize] = contents;
        self.versions[document as usize] = version;
    }

    fn with(&self, changes: Vec<(Document, Bytes)>) -> (Self, Vec<Op>) {
        let (mut next, mut ops) = (self.clone(), Vec::new());
        for (document, contents) in changes {
            let version = next.versions[document as usize] + 1;
            let name = document.name().to_owned();
            ops.push(Op::PutConfig(Config { name, version, document: contents.clone() }));
            next.set(document, contents, version);
        }
        (next, ops)
    }
}

impl Control {
    /// What a document holds; empty: there is none.
    pub(crate) async fn document(&self, document: Document) -> Bytes {
        self.state.lock().await.documents.get(document).clone()
    }

    /// Replaces documents, and the settings with them, in one write. In force everywhere when it
    /// returns.
    pub(crate) async fn put(
        self: &Arc<Self>,
        changes: Vec<(Document, Bytes)>,
        settings: Option<Application>,
    ) -> Result<(), ApiError> {
        let state = self.to_change().await;
        self.replace_documents(state, changes, settings).await
    }

    /// Replaces a document by what `change` makes of it; changes come one after another. In force
    /// everywhere when it returns.
    ///
    /// # Errors
    /// What `change` refuses; 1017 when this coreapp may not write, 1023.
    pub(crate) async fn change(
        self: &Arc<Self>,
        document: Document,
        change: impl FnOnce(&[u8]) -> Result<Vec<u8>, ApiError>,
    ) -> Result<(), ApiError> {
        let state = self.to_change().await;
        let next = change(state.documents.get(document))?;
        self.replace_documents(state, vec![(document, next.into())], None).await
    }

    async fn replace_documents(
        self: &Arc<Self>,
        state: OwnedMutexGuard<State>,
        changes: Vec<(Document, Bytes)>,
        settings: Option<Application>,
    ) -> Result<(), ApiError> {
        let (documents, mut ops) = state.documents.with(changes);
        let settings = settings.map(|settings| self.settings_row(&state, settings));
        ops.extend(settings.iter().map(|(_, row)| Op::PutConfig(row.clone())));
        self.write(state, ops, move |control, state| {
            state.versions.documents = documents.versions;
            state.documents = documents;
            control.documents_in_force(&state.documents);
            if let Some((settings, row)) = settings {
                control.settings_in_force(state, settings, row.version);
            }
        })
        .await
    }
}
