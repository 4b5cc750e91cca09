//! The way out through an HTTP proxy: a tunnel by CONNECT for every target, plain or TLS.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Allow, EgressError, Target};

/// Longest answer to a CONNECT, bytes.
const MAX_ANSWER: usize = 8 << 10;

/// Where the proxy is, and who goes past it.
pub(super) struct Proxy {
    host: String,
    port: u16,
    authorization: Option<String>,
    direct: Vec<String>,
}

// === impl Proxy ===

impl Proxy {
    /// From `http://user:password@host:port`.
    pub(super) fn parse(url: &str, direct: &[String]) -> Result<Self, EgressError> {
        // The rules are for user-given URLs; this one is the operator's.
        let everything = ["http", "loopback", "link-local", "0.0.0.0/0", "::/0"];
        let target = Allow::parse(&everything).and_then(|allow| Target::parse(url, &allow));
        let target = target.map_err(|error| EgressError::Proxy(error.to_string()))?;
        if target.is_tls() {
            let why = "the proxy itself is spoken to in plain HTTP: write http://HOST:PORT";
            return Err(EgressError::Proxy(why.to_owned()));
        }
        let authorization = target.authorization().and_then(|value| value.to_str().ok());
        Ok(Self {
            host: target.host().trim_matches(['[', ']']).to_owned(),
            port: target.port(),
            authorization: authorization.map(str::to_owned),
            direct: direct.iter().map(|host| host.trim().to_ascii_lowercase()).collect(),
        })
    }

    /// Whether the target is called without the proxy.
    pub(super) fn spares(&self, target: &Target) -> bool {
        let host = target.host().trim_end_matches('.');
        self.direct.iter().any(|direct| match direct.strip_prefix('.') {
            Some(suffix) => host.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.')),
            None => host == direct,
        })
    }

    /// Opens a tunnel. The name goes to the proxy as it is: it may be the only one who knows it.
    pub(super) async fn tunnel(&self, target: &Target) -> Result<TcpStream, EgressError> {
        let failed = |why: &str| EgressError::Proxy(why.to_owned());
        let mut stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|error| EgressError::Proxy(error.to_string()))?;
        let to = format!("{}:{}", target.host(), target.port());
        let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
        if let Some(authorization) = &self.authorization {
            request += &format!("Proxy-Authorization: {authorization}\r\n");
        }
        request += "\r\n";
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::with_capacity(256);
        // Byte by byte, once a connection: what follows belongs to the tunnel.
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() >= MAX_ANSWER {
                return Err(failed("its answer is too long"));
            }
            let byte = stream.read_u8().await.map_err(|_| failed("it hung up"))?;
            answer.push(byte);
        }
        let status = answer.get(..12).filter(|head| head.starts_with(b"HTTP/1."));
        match status.map(|head| &head[9..12]) {
            Some(b"200") => Ok(stream),
            Some(status) => {
                let status = String::from_utf8_lossy(status);
                Err(EgressError::Proxy(format!("it answered {status} to CONNECT {to}")))
            }
            None => Err(failed("its answer is no HTTP")),
        }
    }
}
