//! `/v1/users`: bodies and answers.

use bytes::Bytes;
use serde::Serialize;

use crate::{
    answer,
    error::ApiError,
    fields::Fields,
    login::{Secret, check_password, check_username},
};

/// The body of `POST /v1/users`.
#[derive(Debug)]
pub struct NewUser {
    /// Checked.
    pub username: String,
    /// Checked.
    pub password: Secret,
}

impl NewUser {
    /// Reads it.
    ///
    /// # Errors
    /// 1008 absent, 1009 against the rules, 1010 unknown field, 1025 no JSON.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let username = fields.required_str("username")?;
        let password = password(&mut fields)?;
        fields.finish()?;
        check_username(&username)?;
        check_password("password", &password)?;
        Ok(Self { username, password })
    }
}

/// Reads the body of `PUT /v1/users/{username}`: the new password.
///
/// # Errors
/// As [`NewUser::parse`].
pub fn new_password(body: &[u8]) -> Result<Secret, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let password = password(&mut fields)?;
    fields.finish()?;
    check_password("password", &password)?;
    Ok(password)
}

fn password(fields: &mut Fields) -> Result<Secret, ApiError> {
    let given = fields.optional_secret("password")?;
    given.map(Secret::new).ok_or_else(|| fields.missing("password"))
}

/// `{"users":[{"username":…}],"meta":…}`.
#[must_use]
pub fn named(username: &str) -> Bytes {
    #[derive(Serialize)]
    struct Named<'a> {
        username: &'a str,
    }
    answer::resource("users", &[Named { username }])
}

/// The same with the role, under the key that clients know.
#[must_use]
pub fn shown(username: &str, is_admin: bool) -> Bytes {
    #[derive(Serialize)]
    struct Shown<'a> {
        username: &'a str,
        #[serde(rename = "ROLES")]
        roles: &'static str,
    }
    let roles = if is_admin { "ROLE_ADMIN" } else { "ROLE_USER" };
    answer::resource("users", &[Shown { username, roles }])
}
