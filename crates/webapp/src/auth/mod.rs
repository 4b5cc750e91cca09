//! Who a request comes from: passwords at the login, tokens afterwards, an API key for monitoring.

mod api_key;
mod background;
mod cache;
mod caller;
mod password;
mod token;

pub(crate) use api_key::ApiKey;
pub(crate) use cache::Tokens;
pub(crate) use caller::{Admin, Caller, Monitor, TRACEPARENT, traceparent};
pub(crate) use password::Passwords;
pub(crate) use token::{Claims, LIFETIME_S, rand as token_rand};
