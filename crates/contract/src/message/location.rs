//! `location`: a place on the map.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::object::Object;
use crate::{error::ApiError, fields::Fields};

/// Degrees north.
pub const LATITUDE: RangeInclusive<f64> = -90.0..=90.0;
/// Degrees east.
pub const LONGITUDE: RangeInclusive<f64> = -180.0..=180.0;
/// Most characters of a name or an address.
pub const MAX_PLACE: usize = 1_000;

/// `address` is shown only together with `name`; alone it is no mistake.
pub(super) fn read(fields: Fields) -> Result<Value, ApiError> {
    let mut location = Object::new(fields);
    location.required_decimal("latitude", &LATITUDE)?;
    location.required_decimal("longitude", &LONGITUDE)?;
    location.text("name", MAX_PLACE)?;
    location.text("address", MAX_PLACE)?;
    location.finish()
}
