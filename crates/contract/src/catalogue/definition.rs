//! What a template is: its components, what goes into each, and whether it may be sent.
//!
//! Written as its authors write it: `{"status","components":[{"type":"header","format","text"},
//! {"type":"body","text","parameters"?},{"type":"footer","text"},{"type":"buttons","buttons":[…]}]}`.

use serde_json::{Map, Value, json};

use super::pattern::Pattern;
use crate::{
    error::ApiError,
    fields::{self, Fields, longer_than},
    link::MAX_LINK,
    message::{MAX_TEMPLATE_BODY, MAX_TEMPLATE_HEADER},
};

/// Most characters of a footer.
const MAX_FOOTER: usize = 60;
/// Most buttons.
const MAX_BUTTONS: usize = 10;
/// Most characters on a button.
const MAX_BUTTON: usize = 25;
/// Most characters of a number to call.
const MAX_PHONE: usize = 20;

const STATUSES: [&str; 5] = ["approved", "pending", "rejected", "paused", "disabled"];
const COMPONENTS: [&str; 4] = ["header", "body", "footer", "buttons"];
const FORMATS: [&str; 5] = ["text", "image", "video", "document", "location"];
/// Kinds of parameters of a body.
const KINDS: [&str; 3] = ["text", "currency", "date_time"];
const BUTTONS: [&str; 7] =
    ["quick_reply", "url", "phone_number", "copy_code", "catalog", "mpm", "flow"];
const FLOWS: [&str; 3] = ["published", "blocked", "throttled"];

/// May it be sent?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Approved,
    Pending,
    Rejected,
    Paused,
    Disabled,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    status: Status,
    pub(super) header: Option<Header>,
    pub(super) body: Pattern,
    /// What each parameter of the body has to be; empty: anything.
    pub(super) kinds: Vec<&'static str>,
    pub(super) footer: Option<String>,
    pub(super) buttons: Vec<Button>,
}

/// What stands above the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Header {
    Text(Pattern),
    /// image, video, document or location.
    Format(&'static str),
}

/// What can be tapped below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Button {
    pub(super) kind: &'static str,
    pub(super) text: String,
    pub(super) url: Option<Pattern>,
    pub(super) phone_number: Option<String>,
    /// State of a flow.
    pub(super) flow: Option<&'static str>,
}

impl Definition {
    /// Reads a definition.
    ///
    /// # Errors
    /// 1008, 1009, 1010 naming the field.
    pub fn read(mut fields: Fields) -> Result<Self, ApiError> {
        let status = match word(&mut fields, "status", &STATUSES)? {
            None | Some("approved") => Status::Approved,
            Some("pending") => Status::Pending,
            Some("rejected") => Status::Rejected,
            Some("paused") => Status::Paused,
            Some(_) => Status::Disabled,
        };
        let (mut header, mut body, mut footer, mut buttons) = (None, None, None, None);
        for mut component in fields.required_items("components")? {
            let second = |component: &Fields, kind: &str| {
                Err(component.invalid("type", format!("a second '{kind}'"), "one of each"))
            };
            match word(&mut component, "type", &COMPONENTS)? {
                Some(kind @ "header") if header.is_some() => return second(&component, kind),
                Some(kind @ "body") if body.is_some() => return second(&component, kind),
                Some(kind @ "footer") if footer.is_some() => return second(&component, kind),
                Some(kind @ "buttons") if buttons.is_some() => return second(&component, kind),
                Some("header") => header = Some(read_header(component)?),
                Some("body") => body = Some(read_body(component)?),
                Some("footer") => {
                    footer = Some(component.required_text("text", MAX_FOOTER)?);
                    component.finish()?;
                }
                Some(_) => buttons = Some(read_buttons(component)?),
                None => return Err(component.missing("type")),
            }
        }
        let Some((body, kinds)) = body else {
            return Err(fields.invalid("components", "no body", "components with a body"));
        };
        fields.finish()?;
        Ok(Self { status, header, body, kinds, footer, buttons: buttons.unwrap_or_default() })
    }

    pub(super) fn status(&self) -> Status {
        self.status
    }

    /// Nothing but a body: that may be longer.
    pub(super) fn is_body_alone(&self) -> bool {
        self.header.is_none() && self.footer.is_none() && self.buttons.is_empty()
    }

    /// As [`Definition::read`] takes it.
    pub(super) fn to_map(&self) -> Map<String, Value> {
        let mut components = Vec::new();
        match &self.header {
            Some(Header::Text(text)) => {
                components.push(json!({"type": "header", "format": "text", "text": text.as_str()}));
            }
            Some(Header::Format(format)) => {
                components.push(json!({"type": "header", "format": format}));
            }
            None => {}
        }
        let mut body = json!({"type": "body", "text": self.body.as_str()});
        if !self.kinds.is_empty() {
            body["parameters"] = json!(self.kinds);
        }
        components.push(body);
        if let Some(footer) = &self.footer {
            components.push(json!({"type": "footer", "text": footer}));
        }
        if !self.buttons.is_empty() {
            let buttons: Vec<Value> = self.buttons.iter().map(Button::to_json).collect();
            components.push(json!({"type": "buttons", "buttons": buttons}));
        }
        let mut map = Map::new();
        let status = STATUSES.get(self.status as usize).copied().unwrap_or_default();
        map.insert("status".to_owned(), status.into());
        map.insert("components".to_owned(), components.into());
        map
    }
}

impl Button {
    fn to_json(&self) -> Value {
        let mut button = json!({"type": self.kind, "text": self.text});
        if let Some(url) = &self.url {
            button["url"] = url.as_str().into();
        }
        if let Some(number) = &self.phone_number {
            button["phone_number"] = number.as_str().into();
        }
        if let Some(flow) = self.flow {
            button["flow"] = flow.into();
        }
        button
    }
}

fn read_header(mut header: Fields) -> Result<Header, ApiError> {
    let format = word(&mut header, "format", &FORMATS)?.unwrap_or("text");
    let read = if format == "text" {
        let text = pattern(&mut header, MAX_TEMPLATE_HEADER, 1)?;
        Header::Text(text)
    } else {
        Header::Format(format)
    };
    header.finish()?;
    Ok(read)
}

fn read_body(mut body: Fields) -> Result<(Pattern, Vec<&'static str>), ApiError> {
    let text = pattern(&mut body, MAX_TEMPLATE_BODY, usize::MAX)?;
    let kinds = body.optional_array("parameters")?.unwrap_or_default();
    let known = |kind: &Value| KINDS.iter().find(|known| kind == **known).copied();
    let kinds: Option<Vec<&'static str>> = kinds.iter().map(known).collect();
    let kinds = kinds.filter(|kinds| kinds.is_empty() || kinds.len() == text.places());
    let Some(kinds) = kinds else {
        let allowed = "'text', 'currency' or 'date_time' for each place in the text";
        return Err(body.invalid("parameters", "something else", allowed));
    };
    body.finish()?;
    Ok((text, kinds))
}

fn read_buttons(mut component: Fields) -> Result<Vec<Button>, ApiError> {
    let items = component.required_items("buttons")?;
    if items.len() > MAX_BUTTONS {
        let given = format!("{} buttons", items.len());
        return Err(component.invalid("buttons", given, format_args!("at most {MAX_BUTTONS}")));
    }
    component.finish()?;
    items.into_iter().map(read_button).collect()
}

fn read_button(mut button: Fields) -> Result<Button, ApiError> {
    let kind = word(&mut button, "type", &BUTTONS)?.ok_or_else(|| button.missing("type"))?;
    let text = button.required_text("text", MAX_BUTTON)?;
    let mut read = Button { kind, text, url: None, phone_number: None, flow: None };
    match kind {
        "url" => {
            let url = button.required_text("url", MAX_LINK)?;
            let url = Pattern::new(&url).filter(|url| url.places() <= 1).ok_or_else(|| {
                button.invalid("url", fields::quoted(&url), "no place but '{{1}}'")
            })?;
            read.url = Some(url);
        }
        "phone_number" => {
            // Whether it can be called is told to who sends the template.
            read.phone_number = Some(button.required_text("phone_number", MAX_PHONE)?);
        }
        "flow" => read.flow = Some(word(&mut button, "flow", &FLOWS)?.unwrap_or("published")),
        _ => {}
    }
    button.finish()?;
    Ok(read)
}

/// The text of a component, of at most so many characters and places.
fn pattern(component: &mut Fields, max: usize, places: usize) -> Result<Pattern, ApiError> {
    let text = component.required_str("text")?;
    if text.is_empty() || longer_than(&text, max).is_some() {
        let allowed = format_args!("a text of 1 to {max} characters");
        return Err(component.invalid("text", fields::quoted(&text), allowed));
    }
    Pattern::new(&text).filter(|pattern| pattern.places() <= places).ok_or_else(|| {
        let allowed = match places {
            1 => "no place but '{{1}}'",
            _ => "places from '{{1}}' on without a gap",
        };
        component.invalid("text", fields::quoted(&text), allowed)
    })
}

/// One of some words, in capitals or not.
fn word(
    fields: &mut Fields,
    name: &str,
    words: &[&'static str],
) -> Result<Option<&'static str>, ApiError> {
    fields.lower(name);
    let place = fields.optional_word(name, words)?;
    Ok(place.and_then(|place| words.get(place)).copied())
}
