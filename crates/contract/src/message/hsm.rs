//! `hsm`: a template as clients before v2.39 wrote it. All four fields are required.

use serde_json::Value;

use super::{
    date_time, language,
    object::Object,
    template::{MAX_NAME, MAX_NAMESPACE, MAX_PARAMETER, name},
};
use crate::{error::ApiError, fields::Fields};

/// Most parameters.
pub const MAX_PARAMETERS: usize = 100;

const POLICIES: [&str; 2] = ["fallback", "deterministic"];

pub(super) fn read(fields: Fields) -> Result<Value, ApiError> {
    let mut hsm = Object::new(fields);
    hsm.required_text("namespace", MAX_NAMESPACE)?;
    name(&mut hsm, "element_name", MAX_NAME)?;
    hsm.required_object("language", |fields| language::read(fields, &POLICIES))?;
    let parameters = hsm.fields.required_items("localizable_params")?;
    if parameters.len() > MAX_PARAMETERS {
        let given = format!("{} parameters", parameters.len());
        let allowed = format_args!("at most {MAX_PARAMETERS} parameters");
        return Err(hsm.fields.invalid("localizable_params", given, allowed));
    }
    let parameters: Result<Vec<_>, _> = parameters.into_iter().map(parameter).collect();
    hsm.put("localizable_params", parameters?);
    hsm.finish()
}

fn parameter(fields: Fields) -> Result<Value, ApiError> {
    let mut parameter = Object::new(fields);
    parameter.required_text("default", MAX_PARAMETER)?;
    parameter.object("currency", |fields| {
        let mut currency = Object::new(fields);
        super::template::currency_code(&mut currency, "currency_code")?;
        currency.required_amount("amount_1000")?;
        currency.finish()
    })?;
    parameter.object("date_time", |fields| {
        let mut date = Object::new(fields);
        let given = date.object("component", date_time::component)?
            || date.object("unix_epoch", date_time::unix_epoch)?;
        if !given {
            return Err(date.fields.missing("component"));
        }
        date.finish()
    })?;
    parameter.finish()
}
