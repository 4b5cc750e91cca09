//! `interactive`: a message with something to choose, to fill in or to buy.
//!
//! The frame (header, body, footer) is read here, what there is to do in a file a kind.

use serde_json::Value;

use super::{object::Object, object::refused};
use crate::{
    error::{ApiError, Code},
    fields::Fields,
};

mod address;
mod button;
mod catalog;
mod flow;
mod header;
mod list;
mod location_request;
mod order;
mod product;

use header::Headers;

/// Most characters of a body.
pub const MAX_BODY: usize = 1_024;
/// Most characters of a footer.
pub const MAX_FOOTER: usize = 60;

/// What a kind of interactive message looks like.
struct Kind {
    name: &'static str,
    header: Headers,
    header_required: bool,
    body_required: bool,
    footer: bool,
    action: fn(Fields) -> Result<Value, ApiError>,
}

const KINDS: [Kind; 10] = [
    Kind { header: Headers::Any, ..Kind::named("button", button::read) },
    Kind { header: Headers::Text, ..Kind::named("list", list::read) },
    Kind { body_required: false, ..Kind::named("product", product::read) },
    Kind {
        header: Headers::Text,
        header_required: true,
        ..Kind::named("product_list", product::read_list)
    },
    Kind::named("catalog_message", catalog::read),
    Kind { footer: false, ..Kind::named("location_request_message", location_request::read) },
    Kind { header: Headers::Any, ..Kind::named("flow", flow::read) },
    Kind { header: Headers::Any, ..Kind::named("address_message", address::read) },
    Kind { header: Headers::Any, ..Kind::named("order_details", order::read_details) },
    Kind::named("order_status", order::read_status),
];

impl Kind {
    /// No header, a body, perhaps a footer.
    const fn named(name: &'static str, action: fn(Fields) -> Result<Value, ApiError>) -> Self {
        let header = Headers::None;
        Self { name, header, header_required: false, body_required: true, footer: true, action }
    }
}

pub(super) fn read(fields: Fields) -> Result<Value, ApiError> {
    let mut message = Object::new(fields);
    let names = KINDS.each_ref().map(|kind| kind.name);
    let kind = message.fields.required_word("type", &names)?;
    let kind = KINDS.get(kind).unwrap_or(&KINDS[0]);
    message.put("type", kind.name);
    let given = message.object("header", |fields| header::read(fields, kind.header))?;
    if kind.header_required && !given {
        let details = format!(
            "Parameter '{}' is mandatory for the type '{}'",
            message.fields.path_of("header"),
            kind.name
        );
        return Err(ApiError::new(Code::HEADER_STRUCTURE, details));
    }
    let body = |fields| words(fields, MAX_BODY);
    if kind.body_required {
        message.required_object("body", body)?;
    } else {
        message.object("body", body)?;
    }
    if kind.footer {
        message.object("footer", |fields| words(fields, MAX_FOOTER))?;
    }
    message.required_object("action", kind.action)?;
    message.finish()
}

/// `{"text":"…"}`.
fn words(fields: Fields, max: usize) -> Result<Value, ApiError> {
    let mut words = Object::new(fields);
    words.required_text("text", max)?;
    words.finish()
}

/// An action that says its name once more, and has parameters.
fn action(
    fields: Fields,
    name: &str,
    parameters: impl FnOnce(Fields) -> Result<Value, ApiError>,
) -> Result<Value, ApiError> {
    let mut action = Object::new(fields);
    action.required_word("name", &[name])?;
    action.required_object("parameters", parameters)?;
    action.finish()
}

/// Refuses a count outside of `1..=max` with `code`.
fn counted(
    fields: &Fields,
    name: &str,
    what: &str,
    count: usize,
    max: usize,
    code: Code,
) -> Result<(), ApiError> {
    if (1..=max).contains(&count) {
        return Ok(());
    }
    let given = format_args!("{count} {what}").to_string();
    Err(refused(code, fields.path_of(name), given, format_args!("1 to {max}")))
}
