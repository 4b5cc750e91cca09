//! Signals: the first SIGTERM or SIGINT asks for an orderly stop, the second ends the process.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit status after the second signal: 128 + SIGINT, as a shell reports it.
const FORCED: i32 = 130;

/// Cancelled by the first SIGTERM or SIGINT. The second one exits at once with status 130.
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
        let name = either(&mut term, &mut int).await;
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
