//! A webhook on a real socket, which behaves as it is told and remembers what it got.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpListener,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

/// What it does with a request.
pub(super) enum Answer {
    Status(u16),
    /// A status after a while.
    Slow(u16),
    /// Ends the connection without a byte.
    Close,
    /// Takes the request and says nothing.
    Silence,
    /// 200 and a body that does not end.
    Endless,
}

#[derive(Clone)]
pub(super) struct Received {
    pub(super) line: String,
    headers: Vec<(String, String)>,
    pub(super) body: String,
    /// Which of its connections, from 0.
    pub(super) connection: usize,
}

impl Received {
    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        &found.unwrap_or_else(|| panic!("no header {name}")).1
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name))
    }
}

/// Stops, with all its connections, when dropped.
pub(super) struct Webhook {
    address: SocketAddr,
    scheme: &'static str,
    state: Arc<State>,
    task: JoinHandle<()>,
}

type Behaviour = Box<dyn Fn(usize, &str) -> Answer + Send + Sync>;

struct State {
    behave: Behaviour,
    received: Mutex<Vec<Received>>,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Webhook {
    /// `behave` is asked with the number of the request, from 0, and its body.
    pub(super) async fn new(
        behave: impl Fn(usize, &str) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), behave).await
    }

    pub(super) async fn at(
        address: SocketAddr,
        behave: impl Fn(usize, &str) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start(address, None, Box::new(behave)).await
    }

    /// Under TLS, and the authority that vouches for it.
    pub(super) async fn tls(
        behave: impl Fn(usize, &str) -> Answer + Send + Sync + 'static,
    ) -> (Self, CertificateDer<'static>) {
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned()];
        let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let webhook = Self::start(address, Some(acceptor), Box::new(behave)).await;
        (webhook, certificate.der().clone())
    }

    async fn start(
        address: SocketAddr,
        tls: Option<tokio_rustls::TlsAcceptor>,
        behave: Behaviour,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            behave,
            received: Mutex::default(),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
        });
        let (shared, scheme) = (state.clone(), if tls.is_some() { "https" } else { "http" });
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            let mut number = 0;
            while let Ok((stream, _)) = listener.accept().await {
                let state = shared.clone();
                match &tls {
                    None => drop(connections.spawn(serve(stream, number, state))),
                    Some(tls) => {
                        let handshake = tls.accept(stream);
                        connections.spawn(async move {
                            if let Ok(stream) = handshake.await {
                                serve(stream, number, state).await;
                            }
                        });
                    }
                }
                number += 1;
            }
        });
        Self { address, scheme, state, task }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap().clone()
    }

    pub(super) fn most_at_once(&self) -> usize {
        self.state.most_at_once.load(Ordering::SeqCst)
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, connection: usize, state: Arc<State>) {
    let mut stream = BufReader::new(stream);
    while let Some(post) = read(&mut stream, connection).await {
        let at_once = state.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        state.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        let answer = {
            let mut received = state.received.lock().unwrap();
            let answer = (state.behave)(received.len(), &post.body);
            received.push(post);
            answer
        };
        if let Answer::Slow(_) = answer {
            sleep(Duration::from_millis(5)).await;
        }
        state.at_once.fetch_sub(1, Ordering::SeqCst);
        let text = match answer {
            Answer::Close => return,
            Answer::Silence => std::future::pending().await,
            Answer::Status(204) => "HTTP/1.1 204 Ignored\r\n\r\n".to_owned(),
            Answer::Status(status) | Answer::Slow(status) => format!(
                "HTTP/1.1 {status} Ignored\r\nlocation: /elsewhere\r\ncontent-length: 2\r\n\r\nok"
            ),
            Answer::Endless => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(),
        };
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
        if let Answer::Endless = answer {
            let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
            while stream.write_all(chunk.as_bytes()).await.is_ok() {}
            return;
        }
        if stream.flush().await.is_err() {
            return;
        }
    }
}

async fn read(
    stream: &mut BufReader<impl AsyncRead + Unpin>,
    connection: usize,
) -> Option<Received> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            text => lines.push(text.to_owned()),
        }
    }
    let split = |line: &String| line.split_once(": ").map(|(k, v)| (k.to_owned(), v.to_owned()));
    let headers: Vec<(String, String)> = lines[1..].iter().filter_map(split).collect();
    let length = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length?.1.parse().ok()?];
    stream.read_exact(&mut body).await.ok()?;
    let (line, body) = (lines[0].clone(), String::from_utf8(body).ok()?);
    Some(Received { line, headers, body, connection })
}
