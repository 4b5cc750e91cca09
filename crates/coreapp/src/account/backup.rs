//! A sealed copy of what makes an installation this account: registration, settings, profile. Keys,
//! sessions, messages and callbacks are not in it: whoever restores it has an identity of its own.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use contract::{ApiError, Code, Number, settings::Application};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use upstream::{AccountAction, Upstream};

use super::{Account, Registration, profile};
use crate::control::Document;

/// First bytes of a blob: what it is and which form it has. Bound to the rest as associated data.
const MAGIC: &[u8; 8] = b"HGBKUP\0\x01";
const SALT_LEN: usize = 16;
/// OWASP's recommendation for argon2id where there is no hurry: KiB, passes, threads.
const MEMORY_KIB: u32 = 47_104;
const PASSES: u32 = 1;
const LANES: u32 = 1;
/// Longest blob that is read, bytes before base64: a photo of at most some hundred KiB and texts.
const BLOB_MAX: usize = 1 << 20;

#[derive(Serialize, Deserialize)]
struct Contents {
    number: Number,
    vname: String,
    shards: Option<u32>,
    /// The stored form.
    settings: String,
    profile: contract::profile::Profile,
    /// In base64.
    photo: String,
}

impl<U: Upstream> Account<U> {
    /// The copy, sealed under a password.
    pub(crate) async fn backup(&self, password: String) -> Result<String, ApiError> {
        let number = self.number().await?;
        let Registration { vname, shards, .. } = self.registration().await;
        let contents = Contents {
            number,
            vname,
            shards,
            settings: String::from_utf8(self.control.settings().await.to_json())
                .map_err(|_| ApiError::new(Code::INTERNAL, "the settings are no text"))?,
            profile: self.profile().await,
            photo: STANDARD.encode(self.photo().await),
        };
        let plain = serde_json::to_vec(&contents)
            .map_err(|_| ApiError::new(Code::INTERNAL, "the backup cannot be written"))?;
        let (mut salt, mut nonce) = ([0; SALT_LEN], [0; NONCE_LEN]);
        self.rng.fill(&mut salt);
        self.rng.fill(&mut nonce);
        let work = spawn_blocking(move || seal(&password, salt, nonce, plain));
        let blob = work.await.ok().flatten();
        let blob =
            blob.ok_or_else(|| ApiError::new(Code::INTERNAL, "the backup was not sealed"))?;
        Ok(STANDARD.encode(blob))
    }

    /// Takes a copy's place, where no number is registered. A new generation begins.
    pub(crate) async fn restore(&self, password: String, data: &str) -> Result<(), ApiError> {
        self.owner()?;
        let _one = self.one.lock().await;
        if self.control.own_number().await.is_some() {
            let details = "A number is registered here: restore into an installation without one";
            return Err(ApiError::new(Code::ACCESS_DENIED, details));
        }
        let unusable =
            |what: &str| ApiError::new(Code::INVALID, format!("Parameter 'data': {what}"));
        let text: String = data.split_ascii_whitespace().collect();
        let blob = STANDARD.decode(text).ok().filter(|blob| blob.len() <= BLOB_MAX);
        let blob = blob.ok_or_else(|| unusable("it is no backup of this kind"))?;
        let work = spawn_blocking(move || open(&password, &blob));
        let plain = work.await.ok().flatten().ok_or_else(|| {
            unusable("it cannot be opened: the password is another one, or the data is not whole")
        })?;
        let contents: Contents = serde_json::from_slice(&plain)
            .map_err(|_| unusable("another version has written it"))?;
        let settings = Application::from_json(contents.settings.as_bytes())
            .map_err(|error| unusable(&error.to_string()))?;
        let photo = STANDARD.decode(&contents.photo).map(Bytes::from);
        let photo = photo.map_err(|_| unusable("another version has written it"))?;
        let number = contents.number;
        // What the network has of the business may be older than the copy.
        self.ask(number, AccountAction::Profile(contents.profile.clone())).await?;
        self.ask(number, AccountAction::Photo(photo.clone())).await?;
        self.begin_generation().await?;
        let registration = Registration {
            number: Some(number),
            vname: contents.vname,
            registered_s: self.clock.unix_s(),
            shards: contents.shards,
            ..Registration::default()
        };
        let documents =
            vec![registration.write(), profile::write(&contents.profile), (Document::Photo, photo)];
        self.control.put(documents, Some(settings)).await
    }
}

fn key(password: &str, salt: &[u8]) -> Option<LessSafeKey> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).ok()?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut key = [0; 32];
    argon2.hash_password_into(password.as_bytes(), salt, &mut key).ok()?;
    UnboundKey::new(&AES_256_GCM, &key).ok().map(LessSafeKey::new)
}

/// Magic, salt, nonce, ciphertext with its tag.
fn seal(
    password: &str,
    salt: [u8; SALT_LEN],
    nonce: [u8; NONCE_LEN],
    mut plain: Vec<u8>,
) -> Option<Bytes> {
    let key = key(password, &salt)?;
    let sealing = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(sealing, Aad::from(MAGIC), &mut plain).ok()?;
    Some([&MAGIC[..], &salt, &nonce, &plain].concat().into())
}

fn open(password: &str, blob: &[u8]) -> Option<Vec<u8>> {
    let rest = blob.strip_prefix(MAGIC)?;
    let (salt, rest) = rest.split_at_checked(SALT_LEN)?;
    let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut sealed = sealed.to_vec();
    let plain = key(password, salt)?.open_in_place(nonce, Aad::from(MAGIC), &mut sealed).ok()?;
    Some(plain.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_opens_under_its_password_and_when_it_is_whole() {
        let blob = seal("Passw0rd!", [1; SALT_LEN], [2; NONCE_LEN], b"all of it".to_vec()).unwrap();
        assert_eq!(open("Passw0rd!", &blob).unwrap(), b"all of it");
        assert_eq!(open("passw0rd!", &blob), None);
        for at in [0, 7, 8, 30, blob.len() - 1] {
            let mut damaged = blob.to_vec();
            damaged[at] ^= 1;
            assert_eq!(open("Passw0rd!", &damaged), None, "byte {at}");
        }
        assert_eq!(open("Passw0rd!", &blob[..20]), None);
    }
}
