//! Media providers: whose credentials a link is fetched with.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    error::{ApiError, Code},
    fields::{self, Fields},
    json,
};

/// Providers of an account.
pub const MAX_PROVIDERS: usize = 100;
/// Characters of a provider's name.
pub const MAX_NAME: usize = 200;
/// Characters of each of its credentials.
pub const MAX_SECRET: usize = 2_048;

/// What a `type` can be.
const WWW: &str = "www";

/// A provider as `POST` takes it and `GET` shows it.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderBody {
    /// Letters, digits, spaces, `-`, `_` and `.`.
    #[schema(min_length = 1, max_length = 200, example = "cdn")]
    pub name: String,
    /// `www`.
    #[schema(example = "www")]
    pub r#type: String,
    /// Either `basic` or `bearer`.
    #[schema(example = json!({"bearer": "t0ken"}))]
    pub config: ProviderConfig,
}

/// What its links are fetched with.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// Name and password.
    pub basic: Option<ProviderBasic>,
    /// A token.
    #[schema(min_length = 1, max_length = 2048)]
    pub bearer: Option<String>,
}

/// Name and password.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderBasic {
    #[schema(min_length = 1, max_length = 2048)]
    pub username: String,
    #[schema(min_length = 1, max_length = 2048)]
    pub password: String,
}

/// All providers.
#[derive(ToSchema)]
pub struct ProvidersAnswer {
    #[schema(inline)]
    pub settings: ProvidersSettings,
    /// As in every answer.
    pub meta: crate::answer::Meta,
}

/// `settings`.
#[derive(ToSchema)]
pub struct ProvidersSettings {
    #[schema(inline)]
    pub application: ProvidersApplication,
}

/// `application`.
#[derive(ToSchema)]
pub struct ProvidersApplication {
    #[schema(inline)]
    pub media: ProvidersMedia,
}

/// `media`.
#[derive(ToSchema)]
pub struct ProvidersMedia {
    /// By name, with their secrets.
    pub providers: Vec<ProviderBody>,
}

/// All providers of an account, by name. No `Debug`: it holds secrets.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Providers(Vec<Provider>);

/// One of them, as it is stored and shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    name: String,
    r#type: String,
    config: Config,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Config {
    Basic { username: String, password: String },
    Bearer(String),
}

impl Providers {
    /// As stored; nothing is no provider.
    ///
    /// # Errors
    /// For what this version did not write.
    pub fn from_json(document: &[u8]) -> Result<Self, serde_json::Error> {
        if document.is_empty() { Ok(Self::default()) } else { serde_json::from_slice(document) }
    }

    /// To be stored.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json::bytes(self).map(|bytes| bytes.to_vec()).unwrap_or_default()
    }

    /// With the providers of a `POST`; those of the same name are replaced.
    ///
    /// # Errors
    /// 1008 something is missing, 1009 a value or too many, 1010 an unknown field, 1025 no array.
    pub fn with(mut self, body: &[u8]) -> Result<Self, ApiError> {
        let Value::Array(items) = json::parse(body)? else {
            let details = "The body must be an array with a provider in it";
            return Err(ApiError::new(Code::INVALID_REQUEST, details));
        };
        if items.is_empty() {
            return Err(ApiError::new(Code::MISSING, "The body must have a provider in its array"));
        }
        let wrapped = Map::from_iter([("providers".to_owned(), Value::Array(items))]);
        let items = Fields::of_map(wrapped).optional_items("providers")?;
        for item in items.unwrap_or_default() {
            let provider = Provider::read(item?)?;
            self.0.retain(|known| known.name != provider.name);
            self.0.push(provider);
        }
        if self.0.len() > MAX_PROVIDERS {
            let details = format!("An account has at most {MAX_PROVIDERS} media providers");
            return Err(ApiError::new(Code::INVALID, details));
        }
        self.0.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(self)
    }

    /// Without the one of this name.
    ///
    /// # Errors
    /// 1006 when there is none.
    pub fn without(mut self, name: &str) -> Result<Self, ApiError> {
        let before = self.0.len();
        self.0.retain(|known| known.name != name);
        if self.0.len() == before {
            let details = "There is no media provider with this name";
            return Err(ApiError::new(Code::NOT_FOUND, details));
        }
        Ok(self)
    }

    /// The `Authorization` that a provider's links are fetched with.
    #[must_use]
    pub fn authorization(&self, name: &str) -> Option<String> {
        let provider = self.0.iter().find(|known| known.name == name)?;
        Some(match &provider.config {
            Config::Basic { username, password } => {
                format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
            }
            Config::Bearer(token) => format!("Bearer {token}"),
        })
    }
}

impl Provider {
    fn read(mut fields: Fields) -> Result<Self, ApiError> {
        let name = fields.required_str("name")?;
        let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-_. ".contains(&byte);
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(usual) {
            let allowed = format_args!("1 to {MAX_NAME} letters, digits, spaces, '-', '_' and '.'");
            return Err(fields.invalid("name", fields::quoted(&name), allowed));
        }
        let kind = fields.required_str("type")?;
        if kind != WWW {
            return Err(fields.invalid("type", fields::quoted(&kind), "'www'"));
        }
        let missing = fields.missing("config");
        let mut config = fields.optional_object("config")?.ok_or(missing)?;
        fields.finish()?;
        let basic = config.optional_object("basic")?;
        let bearer = config.optional_secret("bearer")?;
        let config = match (basic, bearer) {
            (Some(mut basic), None) => {
                let username = secret(&mut basic, "username")?;
                let password = secret(&mut basic, "password")?;
                basic.finish()?;
                config.finish()?;
                Config::Basic { username, password }
            }
            (None, Some(token)) => {
                let token = usable(&config, "bearer", token)?;
                config.finish()?;
                Config::Bearer(token)
            }
            _ => {
                let given = "both or none";
                return Err(config.invalid("basic", given, "either 'basic' or 'bearer'"));
            }
        };
        Ok(Self { name, r#type: kind, config })
    }
}

fn secret(fields: &mut Fields, name: &str) -> Result<String, ApiError> {
    let missing = fields.missing(name);
    let text = fields.optional_secret(name)?.ok_or(missing)?;
    usable(fields, name, text)
}

/// What a header can carry; never repeated.
fn usable(fields: &Fields, name: &str, text: String) -> Result<String, ApiError> {
    if text.is_empty()
        || text.len() > MAX_SECRET
        || text.bytes().any(|byte| byte.is_ascii_control())
    {
        let allowed = format_args!("1 to {MAX_SECRET} bytes without control characters");
        return Err(fields.invalid(name, "another text", allowed));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASIC: &[u8] =
        br#"[{"name":"cdn","type":"www","config":{"basic":{"username":"u","password":"p"}}}]"#;
    const BEARER: &[u8] = br#"[{"name":"cdn","type":"www","config":{"bearer":"t0ken"}}]"#;

    #[test]
    fn one_is_kept_shown_replaced_and_taken_away() {
        let providers = Providers::default().with(BASIC).unwrap();
        assert_eq!(providers.to_json(), BASIC);
        assert!(Providers::from_json(BASIC).unwrap() == providers);
        assert_eq!(providers.authorization("cdn").as_deref(), Some("Basic dTpw"));
        let providers = providers.with(BEARER).unwrap();
        assert_eq!(providers.authorization("cdn").as_deref(), Some("Bearer t0ken"));
        assert_eq!(providers.authorization("other"), None);
        assert_eq!(providers.clone().without("other").err().unwrap().code, Code::NOT_FOUND);
        assert_eq!(providers.without("cdn").unwrap().to_json(), b"[]");
        assert_eq!(Providers::from_json(b"").unwrap().to_json(), b"[]");
    }

    #[test]
    fn what_is_wrong_is_named_and_no_secret_is_repeated() {
        for (body, code, named) in [
            (r#"{"name":"cdn"}"#, Code::INVALID_REQUEST, "array"),
            ("[]", Code::MISSING, "array"),
            (r#"[{"type":"www","config":{"bearer":"t"}}]"#, Code::MISSING, "providers[0].name"),
            (r#"[{"name":"a/b","type":"www","config":{"bearer":"t"}}]"#, Code::INVALID, "name"),
            (r#"[{"name":"a","type":"ftp","config":{"bearer":"t"}}]"#, Code::INVALID, "'www'"),
            (r#"[{"name":"a","type":"www"}]"#, Code::MISSING, "config"),
            (r#"[{"name":"a","type":"www","config":{}}]"#, Code::INVALID, "config.basic"),
            (
                r#"[{"name":"a","type":"www","config":{"bearer":"s3cret\n"}}]"#,
                Code::INVALID,
                "bearer",
            ),
            (
                r#"[{"name":"a","type":"www","config":{"basic":{"username":"u"}}}]"#,
                Code::MISSING,
                "password",
            ),
            (
                r#"[{"name":"a","type":"www","config":{"bearer":"t"},"x":1}]"#,
                Code::NOT_REQUIRED,
                "x",
            ),
            (
                r#"[{"name":"a","type":"www","config":{"bearer":"t","x":1}}]"#,
                Code::NOT_REQUIRED,
                "config.x",
            ),
        ] {
            let error = Providers::default().with(body.as_bytes()).err().unwrap();
            assert_eq!(error.code, code, "{body}: {}", error.details);
            assert!(
                error.details.contains(named) && !error.details.contains("s3cret"),
                "{}",
                error.details
            );
        }
    }
}
