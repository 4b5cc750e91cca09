//! What all requests share.

use std::{sync::Arc, time::Duration};

use contract::{Clock, Rng};
use governor::middleware::NoOpMiddleware;
use telemetry::Traces;
use tower_governor::governor::GovernorConfig;

use crate::{
    auth::{ApiKey, Passwords, Tokens},
    directory::Directory,
    edge::{FailureLog, Limits, SourceAddress},
    hop::{Cores, Hop},
    listen::Certificates,
    metrics::Web,
};

pub(crate) struct App {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) metrics: Arc<Web>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) cores: Arc<Cores>,
    pub(crate) hop: Hop,
    pub(crate) limits: Limits,
    pub(crate) governor: GovernorConfig<SourceAddress, NoOpMiddleware>,
    pub(crate) tokens: Tokens,
    pub(crate) passwords: Passwords,
    pub(crate) api_key: Option<ApiKey>,
    pub(crate) request_timeout: Duration,
    pub(crate) failures: FailureLog,
    pub(crate) traces: Traces,
    /// `None`: no TLS is served.
    pub(crate) certificates: Option<Arc<Certificates>>,
}
