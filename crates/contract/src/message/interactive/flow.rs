//! A form of several screens.

use serde_json::Value;

use super::action;
use crate::{error::ApiError, fields::Fields, message::object::Object};

/// Most characters of the button that opens it.
pub const MAX_CTA: usize = 20;
/// Most characters of ids, tokens and names of screens.
pub const MAX_ID: usize = 512;

/// The first of each is what is meant when none is given.
const MODES: [&str; 2] = ["published", "draft"];
const ACTIONS: [&str; 2] = ["navigate", "data_exchange"];

pub(super) fn read(fields: Fields) -> Result<Value, ApiError> {
    action(fields, "flow", |fields| {
        let mut flow = Object::new(fields);
        flow.required_text("flow_message_version", MAX_ID)?;
        flow.required_text("flow_token", MAX_ID)?;
        flow.required_text("flow_id", MAX_ID)?;
        flow.required_text("flow_cta", MAX_CTA)?;
        flow.word_or_first("flow_action", &ACTIONS)?;
        flow.word_or_first("mode", &MODES)?;
        flow.object("flow_action_payload", |fields| {
            let mut payload = Object::new(fields);
            payload.required_text("screen", MAX_ID)?;
            payload.any_object("data")?;
            payload.finish()
        })?;
        flow.finish()
    })
}
