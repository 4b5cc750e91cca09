//! The message templates of the network, alike for all own numbers, and which version of them each
//! business goes by.

use bytes::Bytes;
use contract::{
    ApiError, Number,
    catalogue::{Catalogue, Definition, Policy, TemplateId},
};
use serde_json::{Value, json};

use super::{ACCOUNTS_MAX, Network, record::Record};

/// See the module.
#[derive(Default)]
pub(super) struct Templates {
    catalogue: Catalogue,
    /// Of the catalogue, always.
    version: String,
    document: Bytes,
    /// The version each own number last asked with. At [`ACCOUNTS_MAX`] further ones are not noted.
    businesses: std::collections::BTreeMap<Number, String>,
}

impl Templates {
    pub(super) fn new(catalogue: Catalogue) -> Self {
        let mut templates = Self { catalogue, ..Self::default() };
        templates.changed();
        templates
    }

    fn changed(&mut self) {
        self.document = self.catalogue.to_json().to_string().into();
        self.version = Catalogue::version(&self.document);
    }
}

impl Network {
    /// Of the templates; another one after every change.
    pub(crate) fn templates_version(&self) -> &str {
        &self.templates.version
    }

    /// The catalogue for who has another version of it.
    pub(crate) fn templates_for(&mut self, number: Number, version: &str) -> Option<Bytes> {
        let Templates { businesses, .. } = &mut self.templates;
        if businesses.len() < ACCOUNTS_MAX || businesses.contains_key(&number) {
            businesses.insert(number, version.to_owned());
        }
        (version != self.templates.version).then(|| self.templates.document.clone())
    }

    /// All of it, and who goes by which version.
    pub(crate) fn templates_shown(&self) -> Value {
        let mut shown = self.templates.catalogue.to_json();
        shown["version"] = self.templates.version.as_str().into();
        let businesses = self.templates.businesses.iter();
        let businesses = businesses.map(|(number, version)| (number.to_string(), json!(version)));
        shown["businesses"] = Value::Object(businesses.collect());
        shown
    }

    pub(crate) fn template(&self, id: &TemplateId) -> Option<Value> {
        self.templates.catalogue.get(id)
    }

    pub(crate) fn put_template(
        &mut self,
        id: TemplateId,
        definition: Definition,
    ) -> Result<(), ApiError> {
        self.templates.catalogue.put(id, definition)?;
        self.templates_changed();
        Ok(())
    }

    /// Was it there?
    pub(crate) fn delete_template(&mut self, id: &TemplateId) -> bool {
        let there = self.templates.catalogue.delete(id);
        self.templates_changed();
        there
    }

    pub(crate) fn set_template_policy(&mut self, policy: Policy) {
        self.templates.catalogue.set_policy(policy);
        self.templates_changed();
    }

    /// No template, and the policy of the start.
    pub(crate) fn reset_templates(&mut self) {
        self.templates.catalogue = Catalogue::default();
        self.templates_changed();
    }

    fn templates_changed(&mut self) {
        self.templates.changed();
        self.record(|network| Some(network.templates_record()));
    }

    pub(super) fn templates_record(&self) -> Record {
        Record::Templates { catalogue: Box::new(self.templates.catalogue.to_json()) }
    }
}
