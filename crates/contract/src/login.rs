//! `POST /v1/users/login`: the credentials, the rules for new ones, the answer.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::{self, Meta},
    error::{ApiError, Code},
    fields::{self, Fields},
};

/// Fewest and most characters of a user's name.
pub const USERNAME_CHARS: std::ops::RangeInclusive<usize> = 4..=32;
/// Fewest and most characters of a new password.
pub const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 8..=64;
/// Longest `Authorization` header read, bytes: name and password at four bytes a character, in
/// base64, come to less.
pub const MAX_BASIC: usize = 1_024;

/// Names that no new user may have: `/v1/users/{name}` is another route with these.
const TAKEN: [&str; 2] = ["login", "logout"];
const SPECIAL: &str = r##"!"#$%&'()*+,-./:;<=>?@[\]^_`{|}~"##;

/// A password or token: no `Debug`, `Display` or comparison shows it.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    #[must_use]
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The secret itself. Do not log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// 401/1005, the same for every reason: an answer must not tell names from passwords.
#[must_use]
pub fn denied() -> ApiError {
    ApiError::new(Code::ACCESS_DENIED, "The user name or the password is wrong").with_status(401)
}

/// Reads an `Authorization: Basic …` header's value.
///
/// # Errors
/// 401/1005 for anything else.
pub fn basic(header: &str) -> Result<(String, Secret), ApiError> {
    let malformed = || {
        ApiError::new(
            Code::ACCESS_DENIED,
            "Log in with the header 'Authorization: Basic <base64 of name:password>'",
        )
        .with_status(401)
    };
    if header.len() > MAX_BASIC {
        return Err(malformed());
    }
    let (scheme, encoded) = header.trim().split_once(' ').ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed());
    }
    let decoded = STANDARD.decode(encoded.trim()).map_err(|_| malformed())?;
    let decoded = String::from_utf8(decoded).map_err(|_| malformed())?;
    let (user, password) = decoded.split_once(':').ok_or_else(malformed)?;
    Ok((user.to_owned(), Secret::new(password.to_owned())))
}

/// Checks the name of a new user.
///
/// # Errors
/// 1009.
pub fn check_username(name: &str) -> Result<(), ApiError> {
    // A colon would end the name in the header of a login.
    let plain = |char: char| char != ':' && !char.is_control();
    if USERNAME_CHARS.contains(&name.chars().count()) && name.chars().all(plain) {
        if !TAKEN.contains(&name) {
            return Ok(());
        }
        let allowed = format!("another name: '/v1/users/{name}' would not lead to this user");
        return Err(fields::invalid("username", fields::quoted(name), allowed));
    }
    Err(fields::invalid(
        "username",
        fields::quoted(name),
        format_args!(
            "a name of {} to {} characters without a colon",
            USERNAME_CHARS.start(),
            USERNAME_CHARS.end()
        ),
    ))
}

/// Checks a new password, which came as the parameter `name`.
///
/// # Errors
/// 1009, which names the rules and never the password.
pub fn check_password(name: &str, password: &Secret) -> Result<(), ApiError> {
    let text = password.expose();
    let has = |test: fn(char) -> bool| text.chars().any(test);
    let good = PASSWORD_CHARS.contains(&text.chars().count())
        && has(|char| char.is_ascii_digit())
        && has(char::is_uppercase)
        && has(char::is_lowercase)
        && has(|char| SPECIAL.contains(char));
    if good {
        return Ok(());
    }
    Err(ApiError::new(
        Code::INVALID,
        format!(
            "Parameter '{name}': a password has {} to {} characters, among them a digit, an \
             upper-case letter, a lower-case letter and one of {SPECIAL}",
            PASSWORD_CHARS.start(),
            PASSWORD_CHARS.end()
        ),
    ))
}

/// The body of a login; there need not be one.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginBody {
    /// Replaces the password; mandatory while it is still the initial one. 8 to 64 characters, among
    /// them a digit, an upper-case letter, a lower-case letter and a special character.
    #[schema(min_length = 8, max_length = 64, example = "N3w-Secret")]
    pub new_password: Option<String>,
}

/// The answer to a login.
#[derive(ToSchema)]
pub struct LoggedIn {
    /// One.
    pub users: Vec<Token>,
    /// As in every answer.
    pub meta: Meta,
}

/// What a login gives.
#[derive(Serialize, ToSchema)]
pub struct Token {
    /// For `Authorization: Bearer`. Opaque; seven days.
    token: String,
    /// End of its life: a space, no `T`.
    #[schema(example = "2026-01-22 08:50:48+00:00")]
    expires_after: String,
}

/// A login as it was asked for.
#[derive(Debug)]
pub struct LoginRequest {
    /// Replaces the password; checked.
    pub new_password: Option<Secret>,
}

impl LoginRequest {
    /// Reads the body, which may be empty.
    ///
    /// # Errors
    /// 1009 when the new password breaks the rules, 1010 unknown field, 1025 no JSON.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        if matches!(body.trim_ascii(), b"" | b"null") {
            return Ok(Self { new_password: None });
        }
        let mut fields = Fields::of_body(body)?;
        let new_password = fields.optional_secret("new_password")?.map(Secret::new);
        fields.finish()?;
        if let Some(password) = &new_password {
            check_password("new_password", password)?;
        }
        Ok(Self { new_password })
    }
}

/// What a login gives.
#[derive(Debug)]
pub struct LoginAnswer {
    /// The bearer token.
    pub token: Secret,
    /// End of its life, Unix seconds.
    pub expires_s: i64,
}

impl LoginAnswer {
    /// `{"users":[{"token":…,"expires_after":…}],"meta":…}`.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let expires_after = expires_after(self.expires_s);
        answer::resource("users", &[Token { token: self.token.expose().to_owned(), expires_after }])
    }
}

/// `YYYY-MM-DD HH:MM:SS+00:00`: a space, no `T`, as clients parse it. What no calendar holds is
/// shown as the end of time.
fn expires_after(unix_s: i64) -> String {
    let time = Timestamp::from_second(unix_s).unwrap_or(Timestamp::MAX);
    time.strftime("%Y-%m-%d %H:%M:%S+00:00").to_string()
}
