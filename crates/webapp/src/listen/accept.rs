//! The accept loop. At the bound of connections it stops accepting: further ones wait in the
//! kernel's queue, where they cost nothing.

use std::{sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::Semaphore, time::sleep};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::connection::{Server, connection};

/// After a failed accept, for example without free file descriptors: trying at once would only
/// spin.
const PAUSE: Duration = Duration::from_millis(100);

/// A bound socket and what is spoken on it.
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    /// `None`: clear text.
    pub(crate) tls: Option<TlsAcceptor>,
}

/// Accepts until `server.stop` is cancelled.
pub(crate) async fn serve(
    listener: Listener,
    server: Arc<Server>,
    slots: Arc<Semaphore>,
    connections: TaskTracker,
) {
    let stop: CancellationToken = server.stop.clone();
    loop {
        let slot = tokio::select! {
            () = stop.cancelled() => return,
            slot = Arc::clone(&slots).acquire_owned() => slot,
        };
        let Ok(slot) = slot else { return };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Without it answers would wait for the client's delayed acknowledgements.
                let _slower = stream.set_nodelay(true);
                let (server, tls) = (Arc::clone(&server), listener.tls.clone());
                connections.spawn(async move {
                    let kill = server.kill.clone();
                    tokio::select! {
                        () = connection(server, stream, peer, tls) => {}
                        () = kill.cancelled() => {}
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                sleep(PAUSE).await;
            }
        }
    }
}
