//! How the link stands, as health and support tell it.

use std::time::Duration;

use tokio::time::Instant;

/// Without a connection for longer than this, the network is told to be away rather than connecting: the
/// first tries of the link's back-off fit into it.
pub(crate) const CONNECTING: Duration = Duration::from_secs(10);

/// The latest state and since when it has been.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub connected: bool,
    since: Instant,
}

impl Line {
    pub(crate) fn new() -> Self {
        Self { connected: false, since: Instant::now() }
    }

    /// Tells a change; whether it is one.
    pub(crate) fn set(&mut self, connected: bool) -> bool {
        let changed = self.connected != connected;
        if changed {
            *self = Self { connected, since: Instant::now() };
        }
        changed
    }

    /// `gateway_status` of a node whose number is registered.
    pub(crate) fn status(&self) -> &'static str {
        match self.connected {
            true => "connected",
            false if self.since.elapsed() <= CONNECTING => "connecting",
            false => "disconnected",
        }
    }

    /// `socket_conn`.
    pub(crate) fn socket(&self) -> &'static str {
        match self.status() {
            "connected" => "UP",
            "connecting" => "SC",
            _ => "DN",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_line_that_broke_is_connecting_for_ten_seconds_and_then_it_is_down() {
        let mut line = Line::new();
        let shown = |line: &Line| (line.status(), line.socket());
        assert_eq!(shown(&line), ("connecting", "SC"));
        tokio::time::advance(CONNECTING + Duration::from_millis(1)).await;
        assert_eq!(shown(&line), ("disconnected", "DN"));
        assert!(line.set(true) && !line.set(true));
        assert_eq!(shown(&line), ("connected", "UP"));
        tokio::time::advance(CONNECTING * 2).await;
        assert!(line.set(false));
        assert_eq!(shown(&line), ("connecting", "SC"));
        tokio::time::advance(CONNECTING).await;
        assert!(!line.set(false), "a further failed try is no change");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(shown(&line), ("disconnected", "DN"));
    }
}
