//! The parameters of the two lists.

use std::{ops::RangeInclusive, str::FromStr};

use utoipa::IntoParams;

use super::{CursorError, DeadCursor, Position};
use crate::{
    error::{ApiError, Code},
    fields::{invalid, quoted},
};

/// Events of an answer when nothing is asked for.
pub const DEFAULT_LIMIT: u32 = 100;
/// Events of an answer.
pub const MAX_LIMIT: u32 = 1_000;
/// How long an answer may wait for an event, milliseconds.
pub const MAX_WAIT_MS: u32 = 30_000;

const LIMIT: RangeInclusive<u32> = 1..=MAX_LIMIT;
const WAIT_MS: RangeInclusive<u32> = 0..=MAX_WAIT_MS;

/// The parameters of `GET /v1/events`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListParams {
    /// A cursor that this list gave; absent: from the oldest event that is kept.
    #[param(required = false)]
    pub after: String,
    /// Most events of the answer. Default: 100.
    #[param(required = false, minimum = 1, maximum = 1000)]
    pub limit: u32,
    /// How long to wait while there is no event, milliseconds. Default: 0.
    #[param(required = false, minimum = 0, maximum = 30_000)]
    pub wait_ms: u32,
}

/// The parameters of `GET /v1/events/dead`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeadParams {
    /// A cursor that this list gave; absent: from the start.
    #[param(required = false)]
    pub after: String,
    /// Most events of the answer. Default: 100.
    #[param(required = false, minimum = 1, maximum = 1000)]
    pub limit: u32,
}

/// Of `GET /v1/events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// `None`: from the oldest event that is kept.
    pub after: Option<Position>,
    /// Most events of the answer.
    pub limit: u32,
    /// How long to wait while there is none.
    pub wait_ms: u32,
}

/// Of `GET /v1/events/dead`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadQuery {
    /// Where the page before ended.
    pub after: DeadCursor,
    /// Most events of the answer.
    pub limit: u32,
}

impl ListQuery {
    /// Reads what follows the `?`.
    ///
    /// # Errors
    /// 1009 for a cursor that is none or a number out of range, 1010 for an unknown parameter; each
    /// names it.
    pub fn parse(query: &str) -> Result<Self, ApiError> {
        let mut parsed = Self { after: None, limit: DEFAULT_LIMIT, wait_ms: 0 };
        for (name, value) in pairs(query) {
            match name {
                "after" => parsed.after = Some(cursor(name, value)?),
                "limit" => parsed.limit = number(name, value, &LIMIT)?,
                "wait_ms" => parsed.wait_ms = number(name, value, &WAIT_MS)?,
                _ => return Err(unknown(name)),
            }
        }
        Ok(parsed)
    }

    /// The same of numbers and texts that travelled otherwise; 0 and an empty text stand for what
    /// is absent.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn of(after: &str, limit: u32, wait_ms: u32) -> Result<Self, ApiError> {
        let after = if after.is_empty() { None } else { Some(cursor("after", after)?) };
        let limit = if limit == 0 { DEFAULT_LIMIT } else { within("limit", limit, &LIMIT)? };
        Ok(Self { after, limit, wait_ms: within("wait_ms", wait_ms, &WAIT_MS)? })
    }
}

impl DeadQuery {
    /// As [`ListQuery::parse`].
    ///
    /// # Errors
    /// As there.
    pub fn parse(query: &str) -> Result<Self, ApiError> {
        let mut parsed = Self { after: DeadCursor::START, limit: DEFAULT_LIMIT };
        for (name, value) in pairs(query) {
            match name {
                "after" => parsed.after = cursor(name, value)?,
                "limit" => parsed.limit = number(name, value, &LIMIT)?,
                _ => return Err(unknown(name)),
            }
        }
        Ok(parsed)
    }

    /// As [`ListQuery::of`].
    ///
    /// # Errors
    /// As there.
    pub fn of(after: &str, limit: u32) -> Result<Self, ApiError> {
        let after = if after.is_empty() { DeadCursor::START } else { cursor("after", after)? };
        let limit = if limit == 0 { DEFAULT_LIMIT } else { within("limit", limit, &LIMIT)? };
        Ok(Self { after, limit })
    }
}

/// A cursor of a list.
///
/// # Errors
/// 1009, naming the parameter.
pub fn cursor<C: FromStr<Err = CursorError>>(name: &str, text: &str) -> Result<C, ApiError> {
    text.parse().map_err(|CursorError| invalid(name, quoted(text), "a cursor that this list gave"))
}

/// A parameter without `=` has no value; the last of a name counts.
fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn number(name: &str, text: &str, range: &RangeInclusive<u32>) -> Result<u32, ApiError> {
    let given = text.parse().ok().filter(|given| range.contains(given));
    given.ok_or_else(|| out_of(name, &quoted(text), range))
}

fn within(name: &str, given: u32, range: &RangeInclusive<u32>) -> Result<u32, ApiError> {
    if range.contains(&given) { Ok(given) } else { Err(out_of(name, &given.to_string(), range)) }
}

fn out_of(name: &str, given: &str, range: &RangeInclusive<u32>) -> ApiError {
    let allowed = format_args!("an integer from {} to {}", range.start(), range.end());
    invalid(name, given, allowed)
}

fn unknown(name: &str) -> ApiError {
    let details = format!("Parameter {} is not known here", quoted(name));
    ApiError::new(Code::NOT_REQUIRED, details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_has_its_default() {
        let all = ListQuery { after: None, limit: 100, wait_ms: 0 };
        assert_eq!(ListQuery::parse(""), Ok(all));
        assert_eq!(ListQuery::of("", 0, 0), Ok(all));
        let at = Position::start(7);
        let given = ListQuery { after: Some(at), limit: 1_000, wait_ms: 30_000 };
        assert_eq!(ListQuery::parse(&format!("after={at}&limit=1000&wait_ms=30000")), Ok(given));
        assert_eq!(DeadQuery::parse("limit=1").map(|query| query.limit), Ok(1));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, code, name) in [
            ("limit=0", Code::INVALID, "'limit'"),
            ("limit=1001", Code::INVALID, "'limit'"),
            ("limit=ten", Code::INVALID, "'limit'"),
            ("wait_ms=30001", Code::INVALID, "'wait_ms'"),
            ("wait_ms=-1", Code::INVALID, "'wait_ms'"),
            ("after=", Code::INVALID, "'after'"),
            ("after=abc", Code::INVALID, "'after'"),
            ("since=3", Code::NOT_REQUIRED, "'since'"),
        ] {
            let error = ListQuery::parse(query).unwrap_err();
            assert!(error.code == code && error.details.contains(name), "{query}: {error}");
        }
        let error = DeadQuery::parse("wait_ms=1").unwrap_err();
        assert!(error.details.contains("'wait_ms'"), "{error}");
        assert!(ListQuery::of("", 1_001, 0).is_err() && ListQuery::of("", 1, 30_001).is_err());
    }
}
