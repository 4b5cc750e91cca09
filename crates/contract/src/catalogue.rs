//! The network's message templates: which there are, and whether a message fits the one it names.
//!
//! One JSON document holds all of them. A message of a template that is in the catalogue has to fit it; one
//! that is not is taken as it is while the policy is [`Policy::Open`].

use std::{collections::BTreeMap, ops::Bound};

use bytes::Bytes;
use ring::digest;
use serde_json::{Value, json};

use crate::{
    error::{ApiError, Code},
    fields::{self, Fields},
    media::{self, hex},
    message::{
        MAX_MESSAGE, MAX_TEMPLATE_NAME, MAX_TEMPLATE_NAMESPACE, is_language, is_template_name,
    },
};

mod asked;
mod definition;
mod fit;
mod pattern;
mod shown;

pub use definition::Definition;

use asked::Asked;
use definition::Status;

/// Most templates; a further one is refused by whoever keeps the catalogue.
pub const MAX_TEMPLATES: usize = 1_000;
/// Longest document, bytes; what would make it longer is refused by whoever keeps the catalogue.
pub const MAX_DOCUMENT: usize = 512 << 10;

const POLICIES: [&str; 2] = ["open", "strict"];

/// What becomes of a message of a template that is not in the catalogue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// It is sent.
    #[default]
    Open,
    /// It is refused.
    Strict,
}

/// What a template is found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TemplateId {
    name: String,
    namespace: String,
    language: String,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    policy: Policy,
    templates: BTreeMap<TemplateId, Definition>,
}

impl TemplateId {
    /// What names a template.
    ///
    /// # Errors
    /// 1009 for what cannot.
    pub fn new(namespace: &str, name: &str, language: &str) -> Result<Self, ApiError> {
        if namespace.is_empty() || fields::longer_than(namespace, MAX_TEMPLATE_NAMESPACE).is_some()
        {
            let allowed = format_args!("1 to {MAX_TEMPLATE_NAMESPACE} characters");
            return Err(fields::invalid("namespace", fields::quoted(namespace), allowed));
        }
        if name.is_empty() || name.len() > MAX_TEMPLATE_NAME || !is_template_name(name) {
            let allowed =
                format_args!("1 to {MAX_TEMPLATE_NAME} lower-case letters, digits and underscores");
            return Err(fields::invalid("name", fields::quoted(name), allowed));
        }
        if !is_language(language) {
            let allowed = "a language, such as 'en' or 'en_US'";
            return Err(fields::invalid("language", fields::quoted(language), allowed));
        }
        let [name, namespace, language] = [name, namespace, language].map(str::to_owned);
        Ok(Self { name, namespace, language })
    }
}

impl Policy {
    /// Reads `{"policy":"open"}`, or "strict".
    ///
    /// # Errors
    /// 1008, 1009, 1010.
    pub fn read(mut fields: Fields) -> Result<Self, ApiError> {
        let policy = fields.required_word("policy", &POLICIES)?;
        fields.finish()?;
        Ok(if policy == 0 { Self::Open } else { Self::Strict })
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Strict => "strict",
        }
    }
}

impl Catalogue {
    /// What a document of another version is told by.
    #[must_use]
    pub fn version(document: &[u8]) -> String {
        let digest = digest::digest(&digest::SHA256, document);
        hex(digest.as_ref().get(..16).unwrap_or_default())
    }

    /// Reads a document; an empty one holds no template.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_json(document: &[u8]) -> Result<Self, ApiError> {
        if document.is_empty() {
            return Ok(Self::default());
        }
        let mut fields = Fields::of_body_within(document, MAX_DOCUMENT)?;
        let policy = fields.required_word("policy", &POLICIES)?;
        let policy = if policy == 0 { Policy::Open } else { Policy::Strict };
        let mut catalogue = Self { policy, ..Self::default() };
        for mut entry in fields.required_items("templates")? {
            let [namespace, name, language] = [
                entry.required_str("namespace")?,
                entry.required_str("name")?,
                entry.required_str("language")?,
            ];
            let id = TemplateId::new(&namespace, &name, &language)?;
            catalogue.templates.insert(id, Definition::read(entry)?);
        }
        fields.finish()?;
        Ok(catalogue)
    }

    /// The document.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let templates: Vec<Value> = self.list(|_| true);
        json!({"policy": self.policy.as_str(), "templates": templates})
    }

    /// What becomes of a message of a template that is not here.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Puts a template in, or in the place of its former self.
    ///
    /// # Errors
    /// 1016 at [`MAX_TEMPLATES`] and [`MAX_DOCUMENT`].
    pub fn put(&mut self, id: TemplateId, definition: Definition) -> Result<(), ApiError> {
        let before = self.templates.insert(id.clone(), definition);
        let bytes = self.to_json().to_string().len();
        if self.templates.len() <= MAX_TEMPLATES && bytes <= MAX_DOCUMENT {
            return Ok(());
        }
        match before {
            Some(before) => self.templates.insert(id, before),
            None => self.templates.remove(&id),
        };
        let details = format!(
            "The catalogue has at most {MAX_TEMPLATES} templates and {MAX_DOCUMENT} bytes; delete some"
        );
        Err(ApiError::new(Code::OVERLOADED, details))
    }

    /// Takes a template out; was it there?
    pub fn delete(&mut self, id: &TemplateId) -> bool {
        self.templates.remove(id).is_some()
    }

    /// A template as the document shows it.
    #[must_use]
    pub fn get(&self, id: &TemplateId) -> Option<Value> {
        self.list(|known| known == id).pop()
    }

    /// Does a canonical message fit the template it names? Messages of other types do.
    ///
    /// # Errors
    /// Of the 2000 family; 1009 for a namespace there is nothing in.
    pub fn check(&self, message: &[u8]) -> Result<(), ApiError> {
        if self.templates.is_empty() && self.policy == Policy::Open {
            return Ok(());
        }
        let Ok(value) = serde_json::from_slice(message) else { return Ok(()) };
        asked::read(&value).map_or(Ok(()), |asked| self.fitting(&asked).map(|_| ()))
    }

    /// A canonical message with its text as the phone shows it: `rendered`, and the buttons under it, in the
    /// object of the template. Messages of other types stay what they are, and those that would get longer
    /// than [`MAX_MESSAGE`].
    ///
    /// # Errors
    /// As [`Catalogue::check`].
    pub fn rendered(&self, message: &Bytes) -> Result<Bytes, ApiError> {
        if !media::may_refer(message) {
            return Ok(message.clone());
        }
        let Ok(mut value) = serde_json::from_slice::<Value>(message) else {
            return Ok(message.clone());
        };
        let Some(asked) = asked::read(&value) else { return Ok(message.clone()) };
        let (text, buttons) = match self.fitting(&asked)? {
            Some(definition) => {
                (shown::text(definition, &asked), shown::buttons(definition, &asked))
            }
            None => (shown::unknown(&asked), Vec::new()),
        };
        for object in ["template", "hsm"] {
            if let Some(Value::Object(object)) = value.get_mut(object) {
                object.insert("rendered".to_owned(), text.as_str().into());
                if !buttons.is_empty() {
                    object.insert("buttons".to_owned(), buttons.clone().into());
                }
            }
        }
        let rendered = Bytes::from(value.to_string());
        // A phone of ten devices gets it in one frame.
        Ok(if rendered.len() <= MAX_MESSAGE { rendered } else { message.clone() })
    }

    /// The template a message names, which it fits; `None`: none of those here.
    fn fitting(&self, asked: &Asked<'_>) -> Result<Option<&Definition>, ApiError> {
        let Some(definition) = self.find(asked)? else { return Ok(None) };
        fit::check(definition, asked)?;
        Ok(Some(definition))
    }

    /// The template that is asked for, if it can be sent.
    fn find(&self, asked: &Asked<'_>) -> Result<Option<&Definition>, ApiError> {
        let named = || {
            let first = TemplateId {
                name: asked.name.to_owned(),
                namespace: asked.namespace.unwrap_or_default().to_owned(),
                language: String::new(),
            };
            self.templates.range((Bound::Included(first), Bound::Unbounded)).take_while(
                |(id, _)| {
                    id.name == asked.name
                        && asked.namespace.is_none_or(|known| known == id.namespace)
                },
            )
        };
        let Some((first, _)) = named().next() else {
            return match self.policy {
                Policy::Open => Ok(None),
                Policy::Strict => Err(self.missing(asked, asked.namespace)),
            };
        };
        if named().any(|(id, _)| id.namespace != first.namespace) {
            let details = format!(
                "Parameter '{}.namespace' is mandatory: several namespaces have a template '{}'",
                asked.object, asked.name
            );
            return Err(ApiError::new(Code::NAMESPACE_EMPTY, details));
        }
        let found = languages(asked)
            .into_iter()
            .find_map(|is_it| named().find(|(id, _)| is_it(&id.language)));
        let Some((id, definition)) = found else {
            return Err(self.missing(asked, Some(&first.namespace)));
        };
        let refused = |code, what: &str| {
            let details = format!("Template '{}' in '{}' {what}", id.name, id.language);
            Err(ApiError::new(code, details))
        };
        match definition.status() {
            Status::Approved => Ok(Some(definition)),
            Status::Pending => refused(Code::TEMPLATE_MISSING, "is not approved yet"),
            Status::Rejected => {
                refused(Code::TEMPLATE_REJECTED, "was rejected; change and submit it again")
            }
            Status::Paused => refused(Code::TEMPLATE_PAUSED, "is paused for its quality"),
            Status::Disabled => refused(Code::TEMPLATE_DISABLED, "is disabled; make another one"),
        }
    }

    /// Why there is none: no namespace, no pack of that language in it, or only not this one.
    fn missing(&self, asked: &Asked<'_>, namespace: Option<&str>) -> ApiError {
        let inside = |id: &&TemplateId| namespace.is_none_or(|namespace| namespace == id.namespace);
        let path = |field: &str| format!("{}.{field}", asked.object);
        let mut there = self.templates.keys().filter(inside).peekable();
        if let Some(namespace) = namespace
            && there.peek().is_none()
        {
            let allowed = "a namespace of this account";
            return fields::invalid(path("namespace"), fields::quoted(namespace), allowed);
        }
        let given = fields::quoted(asked.language);
        let tests = languages(asked);
        if there.any(|id| tests.iter().any(|is_it| is_it(&id.language))) {
            let given = format!("'{}' in {given}", asked.name);
            let allowed = "a template that is approved in that language";
            return fields::refused(Code::TEMPLATE_MISSING, path(asked.name_field), given, allowed);
        }
        let allowed = "a language that the namespace has templates in";
        fields::refused(Code::TEMPLATE_PACK_MISSING, path("language.code"), given, allowed)
    }

    fn list(&self, wanted: impl Fn(&TemplateId) -> bool) -> Vec<Value> {
        let shown = |(id, definition): (&TemplateId, &Definition)| {
            let mut shown = definition.to_map();
            for (field, text) in
                [("namespace", &id.namespace), ("name", &id.name), ("language", &id.language)]
            {
                shown.insert(field.to_owned(), text.as_str().into());
            }
            Value::Object(shown)
        };
        self.templates.iter().filter(|(id, _)| wanted(id)).map(shown).collect()
    }
}

type IsLanguage<'a> = Box<dyn Fn(&str) -> bool + 'a>;

/// The languages that would do, the best first. Who wants another one rather than none gets that of no
/// country, then that of another country.
fn languages<'a>(asked: &'a Asked<'_>) -> Vec<IsLanguage<'a>> {
    let wanted = asked.language;
    let mut tests: Vec<IsLanguage<'a>> = vec![Box::new(move |code| code == wanted)];
    if asked.fallback {
        let base = wanted.split('_').next().unwrap_or(wanted);
        tests.push(Box::new(move |code| code == base));
        tests.push(Box::new(move |code| code.split('_').next() == Some(base)));
    }
    tests
}

#[cfg(test)]
mod tests;
