//! How customers see the business: texts and a picture.

use bytes::Bytes;
use contract::{ApiError, profile::Profile};
use upstream::{AccountAction, Upstream};

use super::Account;
use crate::control::Document;

/// A change of the texts: the body of a request.
pub(crate) enum Change {
    Business(Bytes),
    About(Bytes),
}

pub(super) fn read(document: &Bytes) -> Profile {
    // Nobody has set one, or a version that is gone wrote it: as after the first start.
    serde_json::from_slice(document).unwrap_or_default()
}

pub(super) fn write(profile: &Profile) -> (Document, Bytes) {
    // Text keys and plain values always serialise.
    (Document::Profile, serde_json::to_vec(profile).unwrap_or_default().into())
}

impl<U: Upstream> Account<U> {
    pub(crate) async fn profile(&self) -> Profile {
        read(&self.control.document(Document::Profile).await)
    }

    pub(crate) async fn change_profile(&self, change: Change) -> Result<(), ApiError> {
        self.owner()?;
        let _one = self.one.lock().await;
        let number = self.number().await?;
        let profile = self.profile().await;
        let next = match change {
            Change::Business(body) => profile.change(&body)?,
            Change::About(body) => profile.change_about(&body)?,
        };
        self.ask(number, AccountAction::Profile(next.clone())).await?;
        self.control.put(vec![write(&next)], None).await
    }

    /// JPEG; empty: none.
    pub(crate) async fn photo(&self) -> Bytes {
        self.control.document(Document::Photo).await
    }

    pub(crate) async fn set_photo(&self, image: Bytes) -> Result<(), ApiError> {
        self.owner()?;
        let _one = self.one.lock().await;
        let number = self.number().await?;
        self.ask(number, AccountAction::Photo(image.clone())).await?;
        self.control.put(vec![(Document::Photo, image)], None).await
    }
}
