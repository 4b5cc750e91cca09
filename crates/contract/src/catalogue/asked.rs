//! What a canonical message asks of its template: `template`, or `hsm` as older clients write it.

use serde_json::Value;

/// See the module.
pub(super) struct Asked<'a> {
    /// Where all of it stands.
    pub(super) object: &'static str,
    pub(super) name_field: &'static str,
    pub(super) namespace: Option<&'a str>,
    pub(super) name: &'a str,
    pub(super) language: &'a str,
    /// Another language rather than none.
    pub(super) fallback: bool,
    /// Place of the component and its one parameter.
    pub(super) header: Option<(usize, Parameter<'a>)>,
    /// Where the parameters of the body stand.
    pub(super) body_path: String,
    pub(super) body: Vec<Parameter<'a>>,
    pub(super) buttons: Vec<AskedButton<'a>>,
}

/// A parameter's kind and its text, or the one that is shown instead.
#[derive(Clone, Copy)]
pub(super) struct Parameter<'a> {
    pub(super) kind: &'a str,
    pub(super) text: &'a str,
}

/// What is given for a button.
pub(super) struct AskedButton<'a> {
    /// Of the component in the message.
    pub(super) component: usize,
    /// Of the button in the template.
    pub(super) index: usize,
    pub(super) kind: &'a str,
    pub(super) parameter: Option<Parameter<'a>>,
}

/// `None`: the message names no template.
pub(super) fn read(message: &Value) -> Option<Asked<'_>> {
    match (message.get("template"), message.get("hsm")) {
        (Some(template), _) => read_template(template),
        (None, Some(hsm)) => read_hsm(hsm),
        (None, None) => None,
    }
}

fn read_template(template: &Value) -> Option<Asked<'_>> {
    let mut asked = Asked {
        object: "template",
        name_field: "name",
        namespace: text(template, "namespace"),
        name: text(template, "name")?,
        language: text(template.get("language")?, "code")?,
        fallback: false,
        header: None,
        body_path: "template.components".to_owned(),
        body: Vec::new(),
        buttons: Vec::new(),
    };
    for (place, component) in items(template, "components").iter().enumerate() {
        let mut parameters = items(component, "parameters").iter().map(parameter);
        match text(component, "type")? {
            "header" => asked.header = parameters.next().map(|parameter| (place, parameter)),
            "body" => {
                asked.body_path = format!("template.components[{place}].parameters");
                asked.body = parameters.collect();
            }
            "button" => asked.buttons.push(AskedButton {
                component: place,
                index: text(component, "index")?.parse().ok()?,
                kind: text(component, "sub_type")?,
                parameter: parameters.next(),
            }),
            _ => {}
        }
    }
    Some(asked)
}

fn read_hsm(hsm: &Value) -> Option<Asked<'_>> {
    let language = hsm.get("language")?;
    let parameter = |parameter| {
        let given = |kind: &&&'static str| Value::get(parameter, **kind).is_some();
        let kind = ["currency", "date_time"].iter().find(given).copied().unwrap_or("text");
        Parameter { kind, text: text(parameter, "default").unwrap_or_default() }
    };
    Some(Asked {
        object: "hsm",
        name_field: "element_name",
        namespace: text(hsm, "namespace"),
        name: text(hsm, "element_name")?,
        language: text(language, "code")?,
        fallback: text(language, "policy") == Some("fallback"),
        header: None,
        body_path: "hsm.localizable_params".to_owned(),
        body: items(hsm, "localizable_params").iter().map(parameter).collect(),
        buttons: Vec::new(),
    })
}

fn parameter(parameter: &Value) -> Parameter<'_> {
    let kind = text(parameter, "type").unwrap_or_default();
    let shown = text(parameter, kind)
        .or_else(|| text(parameter.get(kind)?, "fallback_value"))
        .unwrap_or_default();
    Parameter { kind, text: shown }
}

fn text<'a>(of: &'a Value, name: &str) -> Option<&'a str> {
    of.get(name)?.as_str()
}

fn items<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    of.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
