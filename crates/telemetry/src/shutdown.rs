//! Signals: the first SIGTERM or SIGINT asks for an orderly stop, the second ends the process.

use std::{io, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// A signal that comes again so soon is the same request: supervisors often signal a process and
/// then its whole group.
const SAME: Duration = Duration::from_millis(500);
/// Exit status after the second signal: 128 + SIGINT, as a shell reports it.
const FORCED: i32 = 130;

/// Cancelled by the first SIGTERM or SIGINT. A second one, unless it comes within half a second of
/// the first, exits at once with status 130.
///
/// # Errors
/// When the handlers cannot be installed. Needs a tokio runtime.
pub fn on_signals() -> io::Result<CancellationToken> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        let name = either(&mut term, &mut int).await;
        tracing::info!(signal = name, "stopping; a second signal ends the process at once");
        stop.cancel();
        let first = Instant::now();
        let name = loop {
            let name = either(&mut term, &mut int).await;
            if first.elapsed() > SAME {
                break name;
            }
        };
        tracing::warn!(signal = name, "stopped without waiting for what was in flight");
        std::process::exit(FORCED);
    });
    Ok(token)
}

async fn either(term: &mut Signal, int: &mut Signal) -> &'static str {
    tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = int.recv() => "SIGINT",
    }
}
