//! `/v1/events`: reading the event log on, from a cursor, and having events sent again.

mod answer;
mod cursor;
mod query;
mod replay;

pub use answer::{DeadItem, DeadPage, EventPage, Item, Why, dead_page, page};
pub use cursor::{CursorError, DeadCursor, Position};
pub use query::{
    DEFAULT_LIMIT, DeadParams, DeadQuery, ListParams, ListQuery, MAX_LIMIT, MAX_WAIT_MS, cursor,
};
pub use replay::{Progress, RATE, ReplayAnswer, ReplayBody, ReplayRequest, Scope, State, progress};
