//! What the two lists answer. Payloads are JSON already and go in as they are.

use std::fmt::Write as _;

use bytes::Bytes;
use utoipa::ToSchema;

use crate::answer::{self, Meta};

/// What follows a cursor.
#[derive(ToSchema)]
pub struct EventPage {
    /// In order within each conversation.
    pub events: Vec<Event>,
    /// For the next call: behind the last event of this page.
    pub cursor: String,
    /// As in every answer.
    pub meta: Meta,
}

/// An event of the log.
#[derive(ToSchema)]
pub struct Event {
    /// Where it stands; `after` of a call for what follows.
    pub cursor: String,
    /// The `webhook-id` it is POSTed under.
    pub id: String,
    /// Top-level key of the payload.
    #[schema(example = "statuses")]
    pub kind: String,
    /// When it was made, Unix seconds.
    pub created: i64,
    /// What was or will be POSTed.
    #[schema(value_type = Object)]
    pub payload: (),
}

/// What the webhook would not take.
#[derive(ToSchema)]
pub struct DeadPage {
    /// By shard and number.
    pub events: Vec<DeadEvent>,
    /// For the next call.
    pub cursor: String,
    /// As in every answer.
    pub meta: Meta,
}

/// An event that the webhook would not take.
#[derive(ToSchema)]
pub struct DeadEvent {
    /// Where it stands in this list.
    pub cursor: String,
    /// The `webhook-id` it is POSTed under.
    pub id: String,
    /// Top-level key of the payload.
    #[schema(example = "statuses")]
    pub kind: String,
    /// When it was made, Unix seconds.
    pub created: i64,
    /// What was POSTed.
    #[schema(value_type = Object)]
    pub payload: (),
    /// `parked`: still tried now and then. `dead`: only a replay sends it again.
    #[schema(inline)]
    pub state: DeadState,
    /// POSTs that failed.
    pub tries: u32,
    /// While parked: of the next try; afterwards: of its death, Unix seconds.
    pub due: i64,
    /// What the last try ended in, where that is known.
    #[schema(inline, required = false)]
    pub error: DeadError,
    /// With the error `status`: which.
    #[schema(required = false)]
    pub status: u16,
    /// Unix seconds.
    #[schema(required = false)]
    pub first_try: i64,
    /// Unix seconds.
    #[schema(required = false)]
    pub last_try: i64,
}

/// Is it tried?
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeadState {
    /// Now and then.
    Parked,
    /// No longer.
    Dead,
}

/// How a POST failed.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeadError {
    /// Another status than 200.
    Status,
    /// No connection, or none that is permitted.
    Unreachable,
    /// No answer in time.
    TimedOut,
    /// The connection ended before the answer, or it is no HTTP.
    Closed,
}

/// An event of the log.
pub struct Item<'a> {
    /// Where it stands: what follows it is read with this.
    pub cursor: &'a str,
    /// The `webhook-id` it is POSTed under.
    pub id: &'a str,
    /// Top-level key of its payload.
    pub kind: &'a str,
    /// Unix seconds.
    pub created_s: i64,
    /// The JSON object that was or will be POSTed.
    pub payload: &'a [u8],
}

/// An event that the webhook would not take.
pub struct DeadItem<'a> {
    /// As in the log; the cursor is one of this list.
    pub item: Item<'a>,
    /// Still tried now and then.
    pub parked: bool,
    /// POSTs that failed.
    pub tries: u32,
    /// What the last of them ended in; `None`: it was not tried, or that is not known any more.
    pub why: Option<Why>,
    /// First and last try, Unix seconds; 0: not known.
    pub first_s: i64,
    /// See `first_s`.
    pub last_s: i64,
    /// Of the next try while parked, of its death afterwards, Unix seconds.
    pub due_s: i64,
}

/// How a POST failed. Stored as a number: what HTTP calls a status is one here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Another status than 200.
    Status(u16),
    /// No connection, or none that is permitted.
    Unreachable,
    /// No answer in time.
    TimedOut,
    /// The connection ended before the answer, or it is no HTTP.
    Closed,
}

/// `{"events":[{"cursor","id","kind","created","payload"}],"cursor","meta"}`.
#[must_use]
pub fn page<'a>(items: impl Iterator<Item = Item<'a>>, cursor: &str) -> Bytes {
    list(items, cursor, |out, item| open(out, &item))
}

/// The same of `GET /v1/events/dead`, with `state` and why.
#[must_use]
pub fn dead_page<'a>(items: impl Iterator<Item = DeadItem<'a>>, cursor: &str) -> Bytes {
    list(items, cursor, |out, item| {
        open(out, &item.item);
        let state = if item.parked { "parked" } else { "dead" };
        let (tries, due) = (item.tries, item.due_s);
        let mut text = format!(r#","state":"{state}","tries":{tries},"due":{due}"#);
        if let Some(why) = item.why {
            let _ = match why {
                Why::Status(status) => write!(text, r#","error":"status","status":{status}"#),
                why => write!(text, r#","error":"{}""#, why.as_str()),
            };
        }
        for (name, seconds) in [("first_try", item.first_s), ("last_try", item.last_s)] {
            if seconds > 0 {
                let _ = write!(text, r#","{name}":{seconds}"#);
            }
        }
        out.extend_from_slice(text.as_bytes());
    })
}

/// `each` leaves its object open. Cursors, ids and kinds are ours: nothing needs escaping.
fn list<T>(items: impl Iterator<Item = T>, cursor: &str, each: impl Fn(&mut Vec<u8>, T)) -> Bytes {
    let mut out = Vec::with_capacity(4_096);
    out.extend_from_slice(br#"{"events":["#);
    for (n, item) in items.enumerate() {
        if n > 0 {
            out.push(b',');
        }
        each(&mut out, item);
        out.push(b'}');
    }
    out.extend_from_slice(format!(r#"],"cursor":"{cursor}","#).as_bytes());
    // `{"meta":…}` without its opening brace.
    out.extend_from_slice(answer::empty().get(1..).unwrap_or_default());
    Bytes::from(out)
}

fn open(out: &mut Vec<u8>, item: &Item<'_>) {
    let Item { cursor, id, kind, created_s, payload } = item;
    let head = format!(
        r#"{{"cursor":"{cursor}","id":"{id}","kind":"{kind}","created":{created_s},"payload":"#
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(payload);
}

// === impl Why ===

impl Why {
    /// As stored.
    #[must_use]
    pub fn to_i16(self) -> i16 {
        match self {
            Self::Status(status) => i16::try_from(status).unwrap_or(0),
            Self::Unreachable => -1,
            Self::TimedOut => -2,
            Self::Closed => -3,
        }
    }

    /// From a stored number; `None` for 0 and for those of a newer version.
    #[must_use]
    pub fn from_i16(stored: i16) -> Option<Self> {
        match stored {
            -1 => Some(Self::Unreachable),
            -2 => Some(Self::TimedOut),
            -3 => Some(Self::Closed),
            status => u16::try_from(status).ok().filter(|status| *status > 0).map(Self::Status),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Closed => "closed",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ITEM: Item<'_> = Item {
        cursor: "AQ",
        id: "1.3.7",
        kind: "statuses",
        created_s: 5,
        payload: br#"{"statuses":[{"id":"a"}]}"#,
    };

    #[test]
    fn a_page_holds_each_payload_as_it_is_posted() {
        let answer: Value = serde_json::from_slice(&page([ITEM, ITEM].into_iter(), "Ag")).unwrap();
        let event = json!({
            "cursor": "AQ", "id": "1.3.7", "kind": "statuses", "created": 5,
            "payload": {"statuses": [{"id": "a"}]},
        });
        assert_eq!((&answer["events"], &answer["cursor"]), (&json!([event, event]), &json!("Ag")));
        assert_eq!(answer["meta"]["api_status"], "stable");
        let empty: Value = serde_json::from_slice(&page(std::iter::empty(), "Ag")).unwrap();
        assert_eq!(empty["events"], json!([]));
    }

    #[test]
    fn a_dead_one_says_why() {
        let dead = |why, last_s| DeadItem {
            item: ITEM,
            parked: false,
            tries: 5,
            why,
            first_s: 1,
            last_s,
            due_s: 9,
        };
        let items = [dead(Some(Why::Status(404)), 2), dead(Some(Why::TimedOut), 0), dead(None, 0)];
        let answer: Value = serde_json::from_slice(&dead_page(items.into_iter(), "Ag")).unwrap();
        let shown = |n: usize, name: &str| answer["events"][n][name].clone();
        assert_eq!([shown(0, "error"), shown(0, "status")], [json!("status"), json!(404)]);
        assert_eq!([shown(0, "state"), shown(0, "tries")], [json!("dead"), json!(5)]);
        assert_eq!([shown(0, "first_try"), shown(0, "last_try")], [json!(1), json!(2)]);
        assert_eq!([shown(1, "error"), shown(1, "last_try")], [json!("timed_out"), Value::Null]);
        assert_eq!(shown(2, "error"), Value::Null);
    }

    #[test]
    fn a_reason_survives_its_storing() {
        for why in [Why::Status(404), Why::Unreachable, Why::TimedOut, Why::Closed] {
            assert_eq!(Why::from_i16(why.to_i16()), Some(why));
        }
        assert_eq!([Why::from_i16(0), Why::from_i16(-9)], [None, None]);
    }
}
