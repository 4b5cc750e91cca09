//! `/v1/users`: bodies and answers.

use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::{self, Meta},
    error::ApiError,
    fields::Fields,
    login::{Secret, check_password, check_username},
};

/// The body of `POST /v1/users`.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUserBody {
    #[schema(min_length = 4, max_length = 32, example = "clerk_7")]
    pub username: String,
    /// 8 to 64 characters, among them a digit, an upper-case letter, a lower-case letter and a special
    /// character.
    #[schema(min_length = 8, max_length = 64, example = "Passw0rd!x")]
    pub password: String,
}

/// The body of `PUT /v1/users/{username}`.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordBody {
    /// As of a new user.
    #[schema(min_length = 8, max_length = 64, example = "Passw0rd!x")]
    pub password: String,
}

/// A user by name.
#[derive(ToSchema)]
pub struct UserNamed {
    /// One.
    pub users: Vec<UserName>,
    /// As in every answer.
    pub meta: Meta,
}

/// A user by name.
#[derive(ToSchema)]
pub struct UserName {
    pub username: String,
}

/// A user with its role.
#[derive(ToSchema)]
pub struct UserShown {
    /// One.
    pub users: Vec<UserRole>,
    /// As in every answer.
    pub meta: Meta,
}

/// A user with its role.
#[derive(ToSchema)]
pub struct UserRole {
    pub username: String,
    /// `ROLE_ADMIN` or `ROLE_USER`.
    #[serde(rename = "ROLES")]
    pub roles: String,
}

/// A new user, read.
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
