//! A network that loses answers: what the client says gets through, then the client is cut off while
//! the server's side of the connection stays open.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedWriteHalf},
};

/// Forwards to a server until told otherwise.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Connections that are still to be dropped at once.
    drops: AtomicUsize,
    /// The next request that holds the marker is the last one forwarded on its connection.
    armed: AtomicBool,
    cuts: AtomicUsize,
    /// Requests with the marker that were forwarded.
    marked: AtomicUsize,
    /// Server sides whose client was cut off: open, and read by nobody.
    orphans: Mutex<Vec<(OwnedWriteHalf, tokio::net::tcp::OwnedReadHalf)>>,
}

impl Proxy {
    /// A request that contains `marker` can be cut off.
    pub(crate) async fn start(server: SocketAddr, marker: Vec<u8>) -> Self {
        Self::late(server, marker, 0).await
    }

    /// As if the server came up late: its first `drops` connections are dropped.
    pub(crate) async fn late(server: SocketAddr, marker: Vec<u8>, drops: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared { drops: drops.into(), ..Shared::default() });
        let of_task = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let left = |left: usize| left.checked_sub(1);
                if of_task.drops.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok() {
                    continue;
                }
                let (shared, marker) = (Arc::clone(&of_task), marker.clone());
                tokio::spawn(async move {
                    let server = TcpStream::connect(server).await.unwrap();
                    forward(client, server, &marker, &shared).await;
                });
            }
        });
        Self { port, shared }
    }

    /// Cuts the next request with the marker off from its answer.
    pub(crate) fn arm(&self) {
        self.shared.armed.store(true, Ordering::SeqCst);
    }

    /// How many connections are still to be dropped.
    pub(crate) fn drops(&self) -> usize {
        self.shared.drops.load(Ordering::SeqCst)
    }

    /// How many requests with the marker have reached the server.
    pub(crate) fn marked(&self) -> usize {
        self.shared.marked.load(Ordering::SeqCst)
    }

    pub(crate) fn cuts(&self) -> usize {
        self.shared.cuts.load(Ordering::SeqCst)
    }
}

async fn forward(client: TcpStream, server: TcpStream, marker: &[u8], shared: &Shared) {
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mut request, mut answer) = (vec![0; 1 << 20], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = from_client.read(&mut request) => {
                let Ok(n @ 1..) = read else { return };
                let bytes = &request[..n];
                let marked = bytes.windows(marker.len()).any(|window| window == marker);
                let cut = marked && shared.armed.swap(false, Ordering::SeqCst);
                if to_server.write_all(bytes).await.is_err() {
                    return;
                }
                shared.marked.fetch_add(usize::from(marked), Ordering::SeqCst);
                if cut {
                    shared.orphans.lock().unwrap().push((to_server, from_server));
                    shared.cuts.fetch_add(1, Ordering::SeqCst);
                    return;
                }
            }
            read = from_server.read(&mut answer) => {
                let Ok(n @ 1..) = read else { return };
                if to_client.write_all(&answer[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}
