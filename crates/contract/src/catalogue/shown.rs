//! A message as the phone shows it: the template's text with the parameters in it.

use serde_json::{Value, json};

use super::{
    asked::{Asked, AskedButton},
    definition::{Button, Definition, Header},
};

/// Header, body and footer, a line each. Media and places are shown by what the message says of them.
pub(super) fn text(definition: &Definition, asked: &Asked<'_>) -> String {
    let mut lines = Vec::new();
    if let Some(Header::Text(_)) = &definition.header {
        lines.extend(header(definition, asked));
    }
    lines.push(body(definition, asked));
    lines.extend(definition.footer.clone());
    lines.join("\n")
}

/// A message of a template nobody knows: its name and its parameters.
pub(super) fn unknown(asked: &Asked<'_>) -> String {
    let header = asked.header.iter().map(|(_, parameter)| parameter);
    let shown: Vec<&str> = header
        .chain(&asked.body)
        .map(|parameter| parameter.text)
        .filter(|text| !text.is_empty())
        .collect();
    if shown.is_empty() {
        return asked.name.to_owned();
    }
    format!("{}: {}", asked.name, shown.join(", "))
}

pub(super) fn header(definition: &Definition, asked: &Asked<'_>) -> Option<String> {
    let Some(Header::Text(text)) = &definition.header else { return None };
    let parameter: Vec<&str> = asked.header.iter().map(|(_, parameter)| parameter.text).collect();
    Some(text.filled(&parameter))
}

pub(super) fn body(definition: &Definition, asked: &Asked<'_>) -> String {
    let parameters: Vec<&str> = asked.body.iter().map(|parameter| parameter.text).collect();
    definition.body.filled(&parameters)
}

/// Where a button of a link leads.
pub(super) fn url(button: &Button, asked: Option<&AskedButton<'_>>) -> Option<String> {
    let suffix = asked.and_then(|asked| asked.parameter).map(|parameter| parameter.text);
    Some(button.url.as_ref()?.filled(suffix.as_slice()))
}

/// What can be tapped.
pub(super) fn buttons(definition: &Definition, asked: &Asked<'_>) -> Vec<Value> {
    let shown = |(place, button): (usize, &Button)| {
        let mut shown = json!({"type": button.kind, "text": button.text});
        let asked = asked.buttons.iter().find(|asked| asked.index == place);
        if let Some(url) = url(button, asked) {
            shown["url"] = url.into();
        }
        if let Some(number) = &button.phone_number {
            shown["phone_number"] = number.as_str().into();
        }
        shown
    };
    definition.buttons.iter().enumerate().map(shown).collect()
}
