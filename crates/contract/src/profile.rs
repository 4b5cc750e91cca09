//! `/v1/settings/business/profile`, `/v1/settings/profile/about`, `/v1/settings/profile/photo`: how
//! customers see the business.

use bytes::Bytes;
use http::Uri;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    answer::{self, Meta},
    error::{ApiError, Code},
    fields::{self, Fields},
};

/// Longest address and description, characters.
pub const TEXT_MAX: usize = 256;
/// Longest e-mail address, characters.
pub const EMAIL_MAX: usize = 128;
/// Most websites, and the longest one, characters.
pub const WEBSITES_MAX: usize = 2;
/// Longest about text, characters.
pub const ABOUT_MAX: usize = 139;
/// Largest photo that may be uploaded, bytes.
pub const PHOTO_MAX: usize = 5 << 20;
/// What a photo may be.
pub const PHOTO_TYPES: [&str; 2] = ["image/jpeg", "image/png"];
/// The initial about text.
pub const ABOUT: &str = "Hey there! I am using WhatsApp.";

/// What a business may be.
pub const VERTICALS: [&str; 17] = [
    "Automotive",
    "Beauty, Spa and Salon",
    "Clothing and Apparel",
    "Education",
    "Entertainment",
    "Event Planning and Service",
    "Finance and Banking",
    "Food and Grocery",
    "Public Service",
    "Hotel and Lodging",
    "Medical and Health",
    "Non-profit",
    "Professional Services",
    "Shopping and Retail",
    "Travel and Transportation",
    "Restaurant",
    "Other",
];

/// The body of `POST /v1/settings/business/profile`: what is absent stays.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BusinessBody {
    #[schema(max_length = 256)]
    pub address: Option<String>,
    #[schema(max_length = 256)]
    pub description: Option<String>,
    #[schema(max_length = 128, example = "ada@example.com")]
    pub email: Option<String>,
    /// Automotive; Beauty, Spa and Salon; Clothing and Apparel; Education; Entertainment; Event Planning
    /// and Service; Finance and Banking; Food and Grocery; Public Service; Hotel and Lodging; Medical
    /// and Health; Non-profit; Professional Services; Shopping and Retail; Travel and Transportation;
    /// Restaurant; Other. Cannot be emptied again.
    #[schema(example = "Shopping and Retail")]
    pub vertical: Option<String>,
    /// With http:// or https://.
    #[schema(max_items = 2)]
    pub websites: Option<Vec<String>>,
}

/// The business profile.
#[derive(ToSchema)]
pub struct BusinessAnswer {
    /// `{"business":{"profile":{"address","description","email","vertical","websites"}}}`.
    #[schema(value_type = Object)]
    pub settings: (),
    /// As in every answer.
    pub meta: Meta,
}

/// The body of `PATCH /v1/settings/profile/about`.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AboutBody {
    #[schema(max_length = 139)]
    pub text: String,
}

/// The about text.
#[derive(ToSchema)]
pub struct AboutAnswer {
    /// `{"profile":{"about":{"text":"…"}}}`.
    #[schema(value_type = Object)]
    pub settings: (),
    /// As in every answer.
    pub meta: Meta,
}

/// Where the photo is.
#[derive(ToSchema)]
pub struct PhotoAnswer {
    /// `{"profile":{"photo":{"link":"https://…"}}}`.
    #[schema(value_type = Object)]
    pub settings: (),
    /// As in every answer.
    pub meta: Meta,
}

/// The photo as a form sends it.
#[derive(ToSchema)]
pub struct PhotoForm {
    /// JPEG or PNG.
    #[schema(value_type = String, format = Binary)]
    pub file: (),
}

/// All texts of the profile. What is not set is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    pub address: String,
    pub description: String,
    pub email: String,
    /// One of [`VERTICALS`], or empty.
    pub vertical: String,
    pub websites: Vec<String>,
    /// Not part of the business profile, but shown beside it.
    pub about: String,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            address: String::new(),
            description: String::new(),
            email: String::new(),
            vertical: String::new(),
            websites: Vec::new(),
            about: ABOUT.to_owned(),
        }
    }
}

impl Profile {
    /// Applies the body of `POST /v1/settings/business/profile`: what is absent stays.
    ///
    /// # Errors
    /// 1008 nothing given, 1009 against the rules, 1010 unknown field, 1025 no JSON. Nothing is
    /// applied then.
    pub fn change(&self, body: &[u8]) -> Result<Self, ApiError> {
        let mut next = self.clone();
        let mut fields = Fields::of_body(body)?;
        if fields.is_empty() {
            return Err(ApiError::new(Code::MISSING, "Give at least one parameter to change"));
        }
        for (name, place) in
            [("address", &mut next.address), ("description", &mut next.description)]
        {
            if let Some(given) = text(&mut fields, name, TEXT_MAX)? {
                *place = given;
            }
        }
        if let Some(given) = text(&mut fields, "email", EMAIL_MAX)? {
            if !given.is_empty() && !is_email(&given) {
                return Err(fields.invalid("email", fields::quoted(&given), "an e-mail address"));
            }
            next.email = given;
        }
        if let Some(given) = fields.optional_str("vertical")? {
            let emptied = given.is_empty() && !self.vertical.is_empty();
            if emptied || !(given.is_empty() || VERTICALS.contains(&&*given)) {
                let allowed = format!("one of '{}'", VERTICALS.join("', '"));
                return Err(fields.invalid("vertical", fields::quoted(&given), allowed));
            }
            next.vertical = given;
        }
        if let Some(given) = fields.optional_array("websites")? {
            let allowed = format!(
                "at most {WEBSITES_MAX} URLs with http:// or https:// of at most {TEXT_MAX} characters"
            );
            if given.len() > WEBSITES_MAX {
                return Err(fields.invalid(
                    "websites",
                    format!("{} of them", given.len()),
                    allowed,
                ));
            }
            next.websites.clear();
            for value in given {
                match value.as_str().filter(|url| is_website(url)) {
                    Some(url) => next.websites.push(url.to_owned()),
                    None => {
                        return Err(fields.invalid("websites", fields::shown(&value), allowed));
                    }
                }
            }
        }
        fields.finish()?;
        Ok(next)
    }

    /// Applies the body of `PATCH /v1/settings/profile/about`.
    ///
    /// # Errors
    /// 1008 absent, 1009 too long, 1010 unknown field, 1025 no JSON.
    pub fn change_about(&self, body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let about = text(&mut fields, "text", ABOUT_MAX)?.ok_or_else(|| fields.missing("text"))?;
        fields.finish()?;
        Ok(Self { about, ..self.clone() })
    }

    /// `{"settings":{"business":{"profile":…}},"meta":…}`.
    #[must_use]
    pub fn shown(&self) -> Bytes {
        let Self { address, description, email, vertical, websites, about: _ } = self;
        let profile = json!({
            "address": address,
            "description": description,
            "email": email,
            "vertical": vertical,
            "websites": websites,
        });
        answer::resource("settings", &json!({ "business": { "profile": profile } }))
    }

    /// `{"settings":{"profile":{"about":{"text":…}}},"meta":…}`.
    #[must_use]
    pub fn about_shown(&self) -> Bytes {
        answer::resource("settings", &json!({ "profile": { "about": { "text": self.about } } }))
    }
}

/// `{"settings":{"profile":{"photo":{"link":…}}},"meta":…}`.
#[must_use]
pub fn photo_link(link: &str) -> Bytes {
    answer::resource("settings", &json!({ "profile": { "photo": { "link": link } } }))
}

fn text(fields: &mut Fields, name: &str, max: usize) -> Result<Option<String>, ApiError> {
    match fields.optional_str(name)? {
        Some(text) if text.chars().nth(max).is_some() => Err(fields.invalid(
            name,
            fields::quoted(&text),
            format_args!("a text of at most {max} characters"),
        )),
        text => Ok(text),
    }
}

/// One `@` between a name and a host with a dot, no spaces: the rest is the mail servers' to judge.
fn is_email(text: &str) -> bool {
    let Some((name, host)) = text.rsplit_once('@') else { return false };
    let plain = |part: &str| {
        !part.is_empty() && !part.chars().any(|char| char.is_whitespace() || char.is_control())
    };
    let dotted = host.split('.').count() > 1 && host.split('.').all(|label| !label.is_empty());
    plain(name) && !name.contains('@') && plain(host) && dotted
}

fn is_website(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.host().is_some_and(|host| !host.is_empty())
        && url.chars().nth(TEXT_MAX).is_none()
}
