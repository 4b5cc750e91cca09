//! `template`: a message written in advance; what is sent are its parameters.
//!
//! Here their shape is checked, as far as it can be without the template's definition.

use serde_json::Value;

use super::{
    language,
    object::{Object, refused},
};
use crate::{
    error::{ApiError, Code},
    fields::{self, Fields},
};

mod button;
mod parameter;

use parameter::{Lengths, Place};

/// Most characters of a namespace.
pub const MAX_NAMESPACE: usize = 128;
/// Most characters of a template's name.
pub const MAX_NAME: usize = 512;
/// Most components: header, body, footer and ten buttons.
pub const MAX_COMPONENTS: usize = 13;
/// Most parameters of a component.
pub const MAX_PARAMETERS: usize = 100;
/// Most characters of a header's text.
pub const MAX_HEADER: usize = 60;
/// Most characters of a text in the body.
pub const MAX_PARAMETER: usize = 1_024;
/// Most characters of all texts of a template that has a body alone.
pub const MAX_BODY_ALONE: usize = 32_768;

const POLICIES: [&str; 1] = ["deterministic"];
const COMPONENTS: [&str; 4] = ["header", "body", "footer", "button"];

pub(super) fn read(fields: Fields) -> Result<Value, ApiError> {
    let mut template = Object::new(fields);
    template.text("namespace", MAX_NAMESPACE)?;
    name(&mut template, "name", MAX_NAME)?;
    template.required_object("language", |fields| language::read(fields, &POLICIES))?;
    if let Some(items) = template.fields.optional_items("components")? {
        let items: Vec<Fields> = items.into_iter().collect::<Result<_, _>>()?;
        let components = components(&template, items)?;
        if !components.is_empty() {
            template.put("components", components);
        }
    }
    template.finish()
}

/// Lower-case letters, digits and underscores.
pub(super) fn name(of: &mut Object, field: &str, max: usize) -> Result<(), ApiError> {
    let name = of.fields.required_text(field, max)?;
    if !is_name(&name) {
        let allowed = "lower-case letters, digits and underscores";
        return Err(of.fields.invalid(field, fields::quoted(&name), allowed));
    }
    of.put(field, name);
    Ok(())
}

/// May a template be called so?
pub(crate) fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

/// Three capital letters.
pub(super) fn currency_code(of: &mut Object, field: &str) -> Result<(), ApiError> {
    let code = of.fields.required_str(field)?;
    if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_uppercase()) {
        let allowed = "a currency's three letters, such as 'EUR'";
        return Err(of.fields.invalid(field, fields::quoted(&code), allowed));
    }
    of.put(field, code);
    Ok(())
}

fn components(template: &Object, items: Vec<Fields>) -> Result<Vec<Value>, ApiError> {
    if items.len() > MAX_COMPONENTS {
        let given = format!("{} components", items.len());
        let allowed = format_args!("at most {MAX_COMPONENTS} components");
        return Err(template.fields.invalid("components", given, allowed));
    }
    let mut kinds = Vec::with_capacity(items.len());
    let mut typed = Vec::with_capacity(items.len());
    for mut component in items {
        component.lower("type");
        let kind = component.required_word("type", &COMPONENTS)?;
        let kind = COMPONENTS.get(kind).copied().unwrap_or_default();
        if kind != "button" && kinds.contains(&kind) {
            let given = format!("a second '{kind}'");
            return Err(component.invalid("type", given, "one of each but buttons"));
        }
        kinds.push(kind);
        typed.push((kind, component));
    }
    let lengths = if kinds == ["body"] {
        Lengths { each: MAX_BODY_ALONE, all: MAX_BODY_ALONE }
    } else {
        Lengths { each: MAX_PARAMETER, all: usize::MAX }
    };
    let mut taken = Vec::with_capacity(typed.len());
    let mut indices = Vec::new();
    for (kind, component) in typed {
        taken.push(match kind {
            "button" => button::read(component, &mut indices)?,
            _ => plain(kind, component, lengths)?,
        });
    }
    Ok(taken)
}

/// A header, a body, or a footer, which has no parameters.
fn plain(kind: &'static str, fields: Fields, body: Lengths) -> Result<Value, ApiError> {
    let mut component = Object::new(fields);
    component.put("type", kind);
    let (place, lengths) = match kind {
        "header" => (Place::Header, Lengths { each: MAX_HEADER, all: usize::MAX }),
        _ => (Place::Body, body),
    };
    let parameters = component.fields.optional_items("parameters")?.unwrap_or_default();
    let count = parameters.len();
    let path = component.fields.path_of("parameters");
    let given = format!("{count} parameters");
    match kind {
        "header" if count != 1 => {
            return Err(refused(Code::TEMPLATE_PARAM_COUNT, path, given, "exactly one parameter"));
        }
        "footer" if count != 0 => {
            return Err(refused(Code::TEMPLATE_PARAM_COUNT, path, given, "none in a footer"));
        }
        _ if count > MAX_PARAMETERS => {
            let allowed = format_args!("at most {MAX_PARAMETERS}");
            return Err(refused(Code::TEMPLATE_PARAM_COUNT, path, given, allowed));
        }
        _ => {}
    }
    let parameters: Vec<Value> = parameters
        .into_iter()
        .map(|parameter| parameter::read(parameter?, place, lengths.each))
        .collect::<Result<_, _>>()?;
    let chars: usize = parameters.iter().map(parameter::chars).sum();
    if chars > lengths.all {
        let given = format!("texts of {chars} characters together");
        let allowed = format_args!("at most {}", lengths.all);
        return Err(refused(Code::TEMPLATE_TEXT_TOO_LONG, path, given, allowed));
    }
    if !parameters.is_empty() {
        component.put("parameters", parameters);
    }
    component.finish()
}
