//! Does a message fit the template it names? Each mistake has its code of the 2000 family; the first one
//! from header to buttons counts.

use super::{
    asked::{Asked, AskedButton, Parameter},
    definition::{Button, Definition, Header},
    shown,
};
use crate::{
    error::{ApiError, Code},
    fields::{self, longer_than, refused},
    link,
    message::{MAX_TEMPLATE_BODY, MAX_TEMPLATE_HEADER, MAX_TEMPLATE_PARAMETER},
    number::Number,
};

/// What a header shows as it is, and a body as its formatting.
const FORMATTING: [char; 4] = ['*', '_', '~', '`'];
/// Files a header can hold.
const MEDIA: [&str; 3] = ["image", "video", "document"];

/// The first mistake.
pub(super) fn check(definition: &Definition, asked: &Asked<'_>) -> Result<(), ApiError> {
    header(definition, asked)?;
    body(definition, asked)?;
    buttons(definition, asked)
}

fn header(definition: &Definition, asked: &Asked<'_>) -> Result<(), ApiError> {
    let given = asked.header;
    let path = given.map_or_else(
        || format!("{}.components", asked.object),
        |(place, _)| format!("{}.components[{place}].parameters", asked.object),
    );
    let absent = |what: &str| {
        let allowed = format!("a component 'header' with {what}");
        Err(refused(Code::TEMPLATE_COMPONENT_ABSENT, &path, "no header", allowed))
    };
    match (&definition.header, given) {
        (None, None) => Ok(()),
        (Some(Header::Text(text)), None) if text.places() == 0 => Ok(()),
        (Some(Header::Text(_)), None) => absent("a text"),
        (Some(Header::Format(format)), None) => absent(&format!("'{format}'")),
        (Some(Header::Text(text)), Some((_, parameter))) if text.places() > 0 => {
            one_of(&path, 0, parameter, &["text"])?;
            if parameter.text.contains(FORMATTING) {
                let given = fields::quoted(parameter.text);
                let allowed = "a text without '*', '_', '~' and '`'";
                return Err(refused(
                    Code::TEMPLATE_FORMAT,
                    format!("{path}[0].text"),
                    given,
                    allowed,
                ));
            }
            let filled = shown::header(definition, asked).unwrap_or_default();
            bounded(&path, &filled, MAX_TEMPLATE_HEADER)
        }
        (None | Some(Header::Text(_)), Some(_)) => {
            let allowed = "none: the template's header takes no parameter";
            Err(refused(Code::TEMPLATE_PARAM_COUNT, path, "1 parameter", allowed))
        }
        (Some(Header::Format(format)), Some((_, parameter))) => {
            if parameter.kind != *format
                && MEDIA.contains(format)
                && MEDIA.contains(&parameter.kind)
            {
                let path = format!("{path}[0].type");
                let given = fields::quoted(parameter.kind);
                return Err(refused(
                    Code::TEMPLATE_MEDIA_FORMAT,
                    path,
                    given,
                    fields::quoted(format),
                ));
            }
            one_of(&path, 0, parameter, &[format])
        }
    }
}

fn body(definition: &Definition, asked: &Asked<'_>) -> Result<(), ApiError> {
    let path = &asked.body_path;
    let (given, wanted) = (asked.body.len(), definition.body.places());
    if given != wanted {
        let given = format!("{given} parameters of the body");
        return Err(refused(Code::TEMPLATE_PARAM_COUNT, path, given, wanted));
    }
    let alone = definition.is_body_alone();
    for (place, parameter) in asked.body.iter().enumerate() {
        if let Some(kind) = definition.kinds.get(place) {
            one_of(path, place, *parameter, &[kind])?;
        }
        if !alone && let Some(chars) = longer_than(parameter.text, MAX_TEMPLATE_PARAMETER) {
            let given = format!("a text of {chars} characters");
            let allowed = format!("a text of 1 to {MAX_TEMPLATE_PARAMETER} characters");
            let path = format!("{path}[{place}]");
            return Err(refused(Code::TEMPLATE_PARAM_TOO_LONG, path, given, allowed));
        }
    }
    let max = if alone { MAX_TEMPLATE_BODY } else { MAX_TEMPLATE_PARAMETER };
    bounded(path, &shown::body(definition, asked), max)
}

fn buttons(definition: &Definition, asked: &Asked<'_>) -> Result<(), ApiError> {
    for given in &asked.buttons {
        let path = format!("{}.components[{}]", asked.object, given.component);
        let Some(button) = definition.buttons.get(given.index) else {
            let allowed = match definition.buttons.len() {
                0 => "none: the template has no buttons".to_owned(),
                count => format!("0 to {}", count - 1),
            };
            return Err(refused(
                Code::TEMPLATE_BUTTONS,
                format!("{path}.index"),
                given.index,
                allowed,
            ));
        };
        if button.kind != given.kind {
            let path = format!("{path}.sub_type");
            let (given, allowed) = (fields::quoted(given.kind), fields::quoted(button.kind));
            return Err(refused(Code::TEMPLATE_PARAM_FORMAT, path, given, allowed));
        }
        if given.parameter.is_some() && button.url.as_ref().is_some_and(|url| url.places() == 0) {
            let allowed = "none: the button's link takes no parameter";
            let path = format!("{path}.parameters");
            return Err(refused(Code::TEMPLATE_PARAM_COUNT, path, "1 parameter", allowed));
        }
    }
    for (place, button) in definition.buttons.iter().enumerate() {
        let given = asked.buttons.iter().find(|given| given.index == place);
        self::button(asked.object, place, button, given)?;
    }
    Ok(())
}

fn button(
    object: &str,
    place: usize,
    button: &Button,
    given: Option<&AskedButton<'_>>,
) -> Result<(), ApiError> {
    let path = given.map_or_else(
        || format!("{object}.components"),
        |given| format!("{object}.components[{}].parameters[0]", given.component),
    );
    let wants = match button.kind {
        "copy_code" | "mpm" => true,
        _ => button.url.as_ref().is_some_and(|url| url.places() > 0),
    };
    if wants && given.is_none() {
        let absent = format!("nothing for button {place}");
        let allowed = format!("a component 'button' of the sub_type '{}'", button.kind);
        return Err(refused(Code::TEMPLATE_COMPONENT_ABSENT, path, absent, allowed));
    }
    if let Some(url) = shown::url(button, given)
        && !(link::is_http(&url) && url.len() <= link::MAX_LINK)
    {
        let allowed = "an http or https URL after the text is put in";
        return Err(refused(Code::TEMPLATE_URL, path, fields::quoted(&url), allowed));
    }
    if let Some(number) = &button.phone_number
        && Number::parse(number).is_err()
    {
        let details =
            format!("Button {place} of the template calls '{number}', which is no number");
        return Err(ApiError::new(Code::TEMPLATE_PHONE_NUMBER, details));
    }
    match button.flow {
        Some("blocked") => Err(flow(Code::FLOW_BLOCKED, place, "blocked")),
        Some("throttled") => Err(flow(Code::FLOW_THROTTLED, place, "throttled")),
        _ => Ok(()),
    }
}

fn flow(code: Code, place: usize, state: &str) -> ApiError {
    ApiError::new(code, format!("The flow of button {place} of the template is {state}"))
}

fn one_of(
    path: &str,
    place: usize,
    parameter: Parameter<'_>,
    kinds: &[&str],
) -> Result<(), ApiError> {
    if kinds.contains(&parameter.kind) {
        return Ok(());
    }
    let path = format!("{path}[{place}].type");
    let (given, allowed) = (fields::quoted(parameter.kind), format!("'{}'", kinds.join("' or '")));
    Err(refused(Code::TEMPLATE_PARAM_FORMAT, path, given, allowed))
}

/// What a text is with its parameters in it.
fn bounded(path: &str, filled: &str, max: usize) -> Result<(), ApiError> {
    let Some(chars) = longer_than(filled, max) else { return Ok(()) };
    let given = format!("a text of {chars} characters with its parameters");
    Err(refused(Code::TEMPLATE_TEXT_TOO_LONG, path, given, format_args!("at most {max}")))
}
