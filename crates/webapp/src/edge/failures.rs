//! The log of answers 5xx: without personal data, and never more lines than someone can read.

use std::sync::{Mutex, PoisonError};

use contract::Code;
use tokio::time::{Duration, Instant};

use super::request::RequestId;

/// Lines a second; the next line says how many were left out.
const LINES: u32 = 10;
const SECOND: Duration = Duration::from_secs(1);

/// Says which failures are written.
pub(crate) struct FailureLog(Mutex<Window>);

struct Window {
    began: Instant,
    lines: u32,
    left_out: u64,
}

impl FailureLog {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Window { began: Instant::now(), lines: 0, left_out: 0 }))
    }

    pub(super) fn failed(
        &self,
        id: RequestId,
        route: &'static str,
        status: u16,
        code: Option<Code>,
        duration_ms: f64,
        trace_id: Option<&str>,
    ) {
        let Some(left_out) = self.may_write(Instant::now()) else { return };
        tracing::warn!(
            request.id = %id,
            http.route = route,
            http.status = status,
            error.code = code.map(Code::get),
            duration_ms,
            trace_id,
            left_out,
            "a request failed"
        );
    }

    /// How many were left out before this line; `None`: leave this one out too.
    fn may_write(&self, now: Instant) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(window.began) >= SECOND {
            window.began = now;
            window.lines = 0;
        }
        if window.lines >= LINES {
            window.left_out += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_storm_of_failures_writes_a_bounded_number_of_lines() {
        let log = FailureLog::new();
        let written = (0..500).filter(|_| log.may_write(Instant::now()).is_some()).count();
        assert_eq!(written, LINES as usize);
        tokio::time::advance(SECOND).await;
        assert_eq!(log.may_write(Instant::now()), Some(490));
    }
}
