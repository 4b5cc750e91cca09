//! `/v1/settings/backup`, `/v1/settings/restore`: bodies and answers.

use bytes::Bytes;
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    answer::{self, Meta},
    error::ApiError,
    fields::Fields,
    login::Secret,
};

/// Longest password of a backup, characters.
const PASSWORD_MAX: usize = 1_024;

/// The body of a backup.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupBody {
    /// What the backup is sealed under.
    #[schema(min_length = 1, max_length = 1024)]
    pub password: String,
}

/// A backup.
#[derive(ToSchema)]
pub struct BackupAnswer {
    #[schema(inline)]
    pub settings: BackupData,
    /// As in every answer.
    pub meta: Meta,
}

/// The account, sealed.
#[derive(ToSchema)]
pub struct BackupData {
    /// Opaque.
    pub data: String,
}

/// The body of a restore.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreBody {
    /// The one the backup was sealed under.
    #[schema(min_length = 1, max_length = 1024)]
    pub password: String,
    /// As the backup gave it.
    pub data: String,
}

/// A restore, read.
#[derive(Debug)]
pub struct RestoreRequest {
    /// The one the backup was sealed under.
    pub password: Secret,
    /// As the backup gave it.
    pub data: String,
}

impl RestoreRequest {
    /// Reads it.
    ///
    /// # Errors
    /// 1008 absent, 1009 wrong type, 1010 unknown field, 1025 no JSON.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let password = taken(&mut fields)?;
        let data = fields.optional_secret("data")?.ok_or_else(|| fields.missing("data"))?;
        fields.finish()?;
        Ok(Self { password, data })
    }
}

/// Reads the body of a backup.
///
/// # Errors
/// As [`RestoreRequest::parse`].
pub fn password(body: &[u8]) -> Result<Secret, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let password = taken(&mut fields)?;
    fields.finish()?;
    Ok(password)
}

/// `{"settings":{"data":…},"meta":…}`.
#[must_use]
pub fn sealed(data: &str) -> Bytes {
    answer::resource("settings", &json!({ "data": data }))
}

fn taken(fields: &mut Fields) -> Result<Secret, ApiError> {
    let given = fields.optional_secret("password")?.ok_or_else(|| fields.missing("password"))?;
    if given.is_empty() || given.chars().nth(PASSWORD_MAX).is_some() {
        let allowed = format!("a text of 1 to {PASSWORD_MAX} characters");
        return Err(fields.invalid("password", "(not shown)", allowed));
    }
    Ok(Secret::new(given))
}
