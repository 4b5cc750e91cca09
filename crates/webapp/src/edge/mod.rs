//! What every request passes, in one layer: address limit, time limit, request id, span, metrics,
//! the headers of every answer. Boxed layers and a log line a request are the dearest things at
//! this place, so there is one of the former and none of the latter.

mod answer;
mod body;
mod failures;
mod layer;
mod limits;
mod proxies;
mod request;

pub(crate) use answer::{Consulted, Refusal, json, text};
pub(crate) use body::{ARRIVAL, data, discard_upload, read, read_within, too_slow};
pub(crate) use failures::FailureLog;
pub(crate) use layer::{EdgeLayer, governor};
pub(crate) use limits::{Limits, SWEEP, SourceAddress};
pub(crate) use proxies::Proxies;
pub(crate) use request::{Context, RequestIds, without_trailing_slash};
