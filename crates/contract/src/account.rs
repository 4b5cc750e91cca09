//! `/v1/account`, `/v1/settings/account/two-step`: registration of the own number. Bodies and answers.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    answer::{self, Meta},
    error::{ApiError, Code},
    fields::{self, Fields},
    login::Secret,
    number::Number,
};

/// What may be asked for with `POST /v1/account/shards`.
pub const SHARDS: [u32; 6] = [1, 2, 4, 8, 16, 32];
/// Digits of a registration code and of a two-step pin.
pub const CODE_DIGITS: usize = 6;
/// Most digits of a country code.
const COUNTRY_DIGITS: usize = 3;
/// Longest certificate, characters of base64.
const CERT_MAX: usize = 16_384;

/// The body of `POST /v1/account`.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeBody {
    /// Country code.
    #[schema(example = "1")]
    pub cc: String,
    /// The number without it.
    #[schema(example = "5550100100")]
    pub phone_number: String,
    /// How the code is sent.
    #[schema(inline)]
    pub method: Method,
    /// The verified-name certificate, base64.
    #[schema(max_length = 16384)]
    pub cert: String,
    /// The two-step pin, if there is one.
    #[schema(pattern = "^[0-9]{6}$")]
    pub pin: Option<String>,
}

/// A registration code was sent.
#[derive(ToSchema)]
pub struct CodeSent {
    /// One.
    pub account: Vec<VerifiedName>,
    /// As in every answer.
    pub meta: Meta,
}

/// What a certificate says.
#[derive(ToSchema)]
pub struct VerifiedName {
    /// The name customers see.
    pub vname: String,
}

/// The body of `POST /v1/account/verify`.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyBody {
    /// Six digits; a dash among them does no harm.
    #[schema(example = "123-456")]
    pub code: String,
}

/// The body of `POST /v1/account/shards`.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShardsBody {
    /// Country code of the registered number.
    #[schema(example = "1")]
    pub cc: String,
    /// The registered number without it.
    #[schema(example = "5550100100")]
    pub phone_number: String,
    /// 1, 2, 4, 8, 16 or 32.
    #[schema(minimum = 1, maximum = 32)]
    pub shards: u32,
    /// The two-step pin, if there is one.
    #[schema(pattern = "^[0-9]{6}$")]
    pub pin: Option<String>,
    /// The verified-name certificate, base64.
    #[schema(max_length = 16384)]
    pub cert: String,
}

/// How many shards were asked for.
#[derive(ToSchema)]
pub struct ShardsAnswer {
    /// An object here, where a registration has an array.
    #[schema(inline)]
    pub account: ShardCount,
    /// As in every answer.
    pub meta: Meta,
}

/// How many.
#[derive(ToSchema)]
pub struct ShardCount {
    pub shards: u32,
}

/// The body of `POST /v1/settings/account/two-step`.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PinBody {
    #[schema(pattern = "^[0-9]{6}$", example = "123456")]
    pub pin: String,
}

/// How a registration code is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// As a text.
    Sms,
    /// By a call.
    Voice,
}

/// A request for a code, read.
#[derive(Debug)]
pub struct CodeRequest {
    /// Country code and number in one.
    pub number: Number,
    /// How the code is sent.
    pub method: Method,
    /// The verified-name certificate, decoded.
    pub cert: Bytes,
    /// The two-step pin.
    pub pin: Option<Secret>,
}

impl CodeRequest {
    /// Reads it.
    ///
    /// # Errors
    /// 1008 absent, 1009 against the rules, 1010 unknown field, 1025 no JSON.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let number = number(&mut fields)?;
        let method = match &*fields.required_str("method")? {
            "sms" => Method::Sms,
            "voice" => Method::Voice,
            other => {
                return Err(fields.invalid("method", fields::quoted(other), "'sms' or 'voice'"));
            }
        };
        let cert = cert(&mut fields)?.ok_or_else(|| fields.missing("cert"))?;
        let pin = pin(&mut fields)?;
        fields.finish()?;
        Ok(Self { number, method, cert, pin })
    }
}

/// Reads the body of `POST /v1/account/verify`: the code, without its dash.
///
/// # Errors
/// As [`CodeRequest::parse`].
pub fn code(body: &[u8]) -> Result<Secret, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let given = fields.optional_secret("code")?.ok_or_else(|| fields.missing("code"))?;
    fields.finish()?;
    let digits: String = given.chars().filter(|char| !matches!(char, '-' | ' ')).collect();
    six_digits(&digits)
        .ok_or_else(|| fields::invalid("code", "(not shown)", "6 digits, as in 123-456"))
}

/// A wish for shards, read.
#[derive(Debug)]
pub struct ShardsRequest {
    /// Which must be the registered one.
    pub number: Number,
    /// One of [`SHARDS`].
    pub shards: u32,
    /// The verified-name certificate, decoded.
    pub cert: Bytes,
    /// The two-step pin.
    pub pin: Option<Secret>,
}

impl ShardsRequest {
    /// Reads it.
    ///
    /// # Errors
    /// As [`CodeRequest::parse`].
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let number = number(&mut fields)?;
        let shards = fields.optional_int_or_text("shards", &(1..=32))?;
        let shards = shards.ok_or_else(|| fields.missing("shards"))?;
        if !SHARDS.contains(&shards) {
            return Err(fields.invalid("shards", shards, "1, 2, 4, 8, 16 or 32"));
        }
        let pin = pin(&mut fields)?;
        let cert = cert(&mut fields)?.ok_or_else(|| fields.missing("cert"))?;
        fields.finish()?;
        Ok(Self { number, shards, cert, pin })
    }
}

/// Reads the body of `POST /v1/settings/account/two-step`.
///
/// # Errors
/// As [`CodeRequest::parse`].
pub fn two_step_pin(body: &[u8]) -> Result<Secret, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let pin = pin(&mut fields)?.ok_or_else(|| fields.missing("pin"))?;
    fields.finish()?;
    Ok(pin)
}

fn number(fields: &mut Fields) -> Result<Number, ApiError> {
    let cc = fields.required_str("cc")?;
    let phone_number = fields.required_str("phone_number")?;
    let digits = cc.trim().trim_start_matches('+');
    let is_cc = (1..=COUNTRY_DIGITS).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_cc {
        return Err(fields.invalid("cc", fields::quoted(&cc), "a country code of 1 to 3 digits"));
    }
    Number::parse(&format!("{digits}{phone_number}")).map_err(|error| {
        fields.invalid(
            "phone_number",
            fields::quoted(&phone_number),
            format_args!("a number without its country code: {error}"),
        )
    })
}

fn cert(fields: &mut Fields) -> Result<Option<Bytes>, ApiError> {
    let Some(given) = fields.optional_str("cert")? else { return Ok(None) };
    let text: String = given.split_ascii_whitespace().collect();
    let decoded = (text.len() <= CERT_MAX).then(|| STANDARD.decode(&text).ok()).flatten();
    match decoded.filter(|cert| !cert.is_empty()) {
        Some(cert) => Ok(Some(cert.into())),
        None => Err(fields.invalid(
            "cert",
            fields::quoted(&given),
            "the verified-name certificate in base64",
        )),
    }
}

fn pin(fields: &mut Fields) -> Result<Option<Secret>, ApiError> {
    let Some(given) = fields.optional_secret("pin")? else { return Ok(None) };
    match six_digits(&given) {
        Some(pin) => Ok(Some(pin)),
        None => Err(fields.invalid("pin", "(not shown)", "a text of 6 digits")),
    }
}

fn six_digits(text: &str) -> Option<Secret> {
    let good = text.len() == CODE_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    good.then(|| Secret::new(text.to_owned()))
}

/// `{"account":[{"vname":…}],"meta":…}`: a code was sent.
#[must_use]
pub fn requested(vname: &str) -> Bytes {
    #[derive(Serialize)]
    struct Requested<'a> {
        vname: &'a str,
    }
    answer::resource("account", &[Requested { vname }])
}

/// `{"account":{"shards":…},"meta":…}`.
#[must_use]
pub fn shards(shards: u32) -> Bytes {
    answer::resource("account", &json!({ "shards": shards }))
}

/// 503/1011: the call needs a number that is registered.
#[must_use]
pub fn unregistered() -> ApiError {
    ApiError::new(
        Code::NOT_READY,
        "No number is registered: ask for a code with POST /v1/account, then verify it",
    )
}
