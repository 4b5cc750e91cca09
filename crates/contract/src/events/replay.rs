//! `/v1/events/replay`: which events are to be sent again, how fast, and how far that has come.

use std::ops::RangeInclusive;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Position, query::cursor};
use crate::{
    answer::{self, Meta},
    callback::EventKind,
    error::{ApiError, Code},
    fields::{Fields, quoted},
    number::Number,
};

/// Events a second.
pub const RATE: RangeInclusive<u32> = 1..=200;
const DEFAULT_RATE: u32 = 20;
/// Unix seconds that can be named.
const TIME: RangeInclusive<u32> = 0..=u32::MAX;

/// The body of a replay. One of `after`, `from` and `dead` says where it begins.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayBody {
    /// What was made behind this cursor of `GET /v1/events`.
    pub after: Option<String>,
    /// Up to this cursor. Default: what there is now.
    pub until: Option<String>,
    /// Made at this second or later, Unix time.
    #[schema(minimum = 0, maximum = 4_294_967_295_u32)]
    pub from: Option<u32>,
    /// Made before this second, Unix time.
    #[schema(minimum = 0, maximum = 4_294_967_295_u32)]
    pub to: Option<u32>,
    /// Dead letters, and no others. Does not go with `after` and `until`. Default: false.
    pub dead: Option<bool>,
    /// Only events of this kind.
    #[schema(inline)]
    pub kind: Option<EventKind>,
    /// Only those of the conversation with this customer.
    pub number: Option<String>,
    /// Events a second. Default: 20.
    #[schema(minimum = 1, maximum = 200)]
    pub rate: Option<u32>,
}

/// How a replay stands.
#[derive(ToSchema)]
pub struct ReplayAnswer {
    /// One.
    pub replays: Vec<Progress>,
    /// As in every answer.
    pub meta: Meta,
}

/// A good request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayRequest {
    /// Where the events are taken from.
    pub scope: Scope,
    /// Made at this second or later.
    pub from_s: Option<u32>,
    /// Made before this second.
    pub to_s: Option<u32>,
    /// Only these.
    pub kind: Option<EventKind>,
    /// Only those of the conversation with this customer.
    pub number: Option<Number>,
    /// Events a second.
    pub rate: u32,
}

/// Where the events of a replay are taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What lies between two cursors; `None`: the oldest kept, the newest at the time of asking.
    Log {
        /// Behind this one.
        after: Option<Box<Position>>,
        /// Up to this one.
        until: Option<Box<Position>>,
    },
    /// Dead letters.
    Dead,
}

/// How a replay stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Events are being sent.
    Running,
    /// Others are before it.
    Queued,
    /// All were sent or given up.
    Done,
    /// Somebody has stopped it.
    Cancelled,
    /// It cannot go on: what it was to send is no longer kept.
    Failed,
}

/// What `GET /v1/events/replay/{id}` tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// Names it.
    pub id: String,
    /// How it stands.
    #[schema(inline)]
    pub state: State,
    /// How many events there are at most; filters make it fewer.
    pub estimate: u64,
    /// Taken by the webhook again.
    pub sent: u64,
    /// Refused again; they stay where they are.
    pub failed: u64,
    /// Not sent: the webhook has not had them yet, so they come anyway.
    pub pending: u64,
    /// Events a second.
    pub rate: u32,
    /// When it was asked for, Unix seconds.
    pub created: i64,
}

impl ReplayRequest {
    /// Reads the body of a POST.
    ///
    /// # Errors
    /// 1008 when nothing says what to send, 1009 type or range, 1010 unknown or in the way of
    /// another, 1025 no JSON; each names the parameter.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let dead = fields.optional_bool("dead")?.unwrap_or(false);
        let mut position = |name: &str| -> Result<Option<Box<Position>>, ApiError> {
            fields.optional_str(name)?.map(|text| cursor(name, &text).map(Box::new)).transpose()
        };
        let (after, until) = (position("after")?, position("until")?);
        let from_s = fields.optional_int("from", &TIME)?;
        let to_s = fields.optional_int("to", &TIME)?;
        let kind = fields.optional_str("kind")?;
        let kind = kind
            .map(|text| {
                let known = EventKind::ALL.into_iter().find(|kind| kind.as_str() == text);
                let allowed =
                    "'statuses', 'messages', 'errors', 'contacts', 'services' or 'media_items'";
                known.ok_or_else(|| fields.invalid("kind", quoted(&text), allowed))
            })
            .transpose()?;
        let number = fields.optional_str("number")?;
        let number = number
            .map(|text| {
                let allowed = "a phone number of 5 to 15 digits";
                Number::parse(&text).map_err(|_| fields.invalid("number", quoted(&text), allowed))
            })
            .transpose()?;
        let rate = fields.optional_int("rate", &RATE)?.unwrap_or(DEFAULT_RATE);
        fields.finish()?;
        if after.is_none() && from_s.is_none() && !dead {
            let details = "Give 'after', 'from' or 'dead': where the replay begins";
            return Err(ApiError::new(Code::MISSING, details));
        }
        if dead && (after.is_some() || until.is_some()) {
            let details = "Dead letters are in no order: 'after' and 'until' do not go with 'dead'";
            return Err(ApiError::new(Code::NOT_REQUIRED, details));
        }
        if to_s.zip(from_s).is_some_and(|(to, from)| to <= from) {
            return Err(ApiError::new(Code::INVALID, "'to' has to be later than 'from'"));
        }
        let scope = if dead { Scope::Dead } else { Scope::Log { after, until } };
        Ok(Self { scope, from_s, to_s, kind, number, rate })
    }
}

/// `{"replays":[{…}],"meta":…}` around a [`Progress`] that is JSON already.
#[must_use]
pub fn progress(progress: &[u8]) -> Bytes {
    // `{"meta":…}` without its opening brace.
    let rest = answer::empty();
    let rest = rest.get(1..).unwrap_or_default();
    Bytes::from([br#"{"replays":["#, progress, b"],", rest].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<ReplayRequest, ApiError> {
        ReplayRequest::parse(body.as_bytes())
    }

    #[test]
    fn what_is_asked_for_is_read() {
        let at = Position::start(3);
        let given = parse(&format!(
            r#"{{"after":"{at}","kind":"statuses","number":"+49 151 12345678","rate":5}}"#
        ))
        .unwrap();
        assert_eq!(given.scope, Scope::Log { after: Some(Box::new(at)), until: None });
        assert_eq!((given.kind, given.rate), (Some(EventKind::Status), 5));
        assert_eq!(given.number, Number::parse("4915112345678").ok());
        let dead = parse(r#"{"dead":true,"from":10,"to":20}"#).unwrap();
        assert_eq!((dead.scope, dead.rate), (Scope::Dead, 20));
        assert_eq!((dead.from_s, dead.to_s), (Some(10), Some(20)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cursor = Position::start(3);
        for (body, code, name) in [
            ("{}".to_owned(), Code::MISSING, "'after'"),
            (r#"{"kind":"statuses"}"#.to_owned(), Code::MISSING, "'from'"),
            (r#"{"after":"x"}"#.to_owned(), Code::INVALID, "'after'"),
            (r#"{"from":"x"}"#.to_owned(), Code::INVALID, "'from'"),
            (r#"{"from":20,"to":20}"#.to_owned(), Code::INVALID, "'to'"),
            (r#"{"dead":true,"rate":0}"#.to_owned(), Code::INVALID, "'rate'"),
            (r#"{"dead":true,"rate":201}"#.to_owned(), Code::INVALID, "'rate'"),
            (r#"{"dead":true,"kind":"status"}"#.to_owned(), Code::INVALID, "'kind'"),
            (r#"{"dead":true,"number":"12"}"#.to_owned(), Code::INVALID, "'number'"),
            (r#"{"dead":true,"since":1}"#.to_owned(), Code::NOT_REQUIRED, "'since'"),
            (format!(r#"{{"dead":true,"after":"{cursor}"}}"#), Code::NOT_REQUIRED, "'after'"),
        ] {
            let error = parse(&body).unwrap_err();
            assert!(error.code == code && error.details.contains(name), "{body}: {error}");
        }
    }
}
