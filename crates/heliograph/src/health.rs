//! `heliograph health`: asks the process beside it whether it lives, for images without other tools.
//!
//! Where to ask is read from the same configuration as the process itself reads.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use clap::{Args, ValueEnum};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{
        WebPkiSupportedAlgorithms, ring::default_provider, verify_tls12_signature,
        verify_tls13_signature,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use telemetry::{
    config::{self, ConfigError},
    system,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// Longest wait for the answer: less than orchestrators give a command of this kind.
const ANSWER: Duration = Duration::from_secs(3);
/// Port of a coreapp's probes, counted from its first.
const PROBES: u16 = 3;
/// Longest answer that is read, bytes.
const BODY_MAX: usize = 4_096;
/// Control API of a sandbox, unless told otherwise.
const SANDBOX: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9_080);

/// Options of `heliograph health`.
#[derive(Args, Debug)]
pub(crate) struct HealthArgs {
    /// What runs here
    #[arg(value_enum)]
    role: Role,
    /// Ask whether it serves (/readyz), not only whether it lives (/livez)
    #[arg(long)]
    ready: bool,
    /// Configuration file [default: heliograph.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to ask [default: as configured; sandbox: 127.0.0.1:9080]
    #[arg(long, value_name = "ADDR")]
    address: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    Coreapp,
    Webapp,
    Sandbox,
}

/// Why it does not count as healthy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HealthError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the sandbox has no /readyz: it serves as soon as it lives; leave --ready out")]
    NoReadiness,
    #[error("nothing listens at {0}: {1}")]
    Connect(SocketAddr, io::Error),
    #[error("{address} does not answer within {} s", ANSWER.as_secs())]
    Silent { address: SocketAddr },
    #[error("{0} does not speak as it should: {1}")]
    Protocol(SocketAddr, String),
    #[error("{0}{1} answers {2}: {3}")]
    Ill(SocketAddr, &'static str, StatusCode, String),
}

#[derive(serde::Deserialize)]
struct Given {
    #[serde(default)]
    webapp: webapp::Config,
}

/// Runs the command.
pub(crate) async fn run(args: HealthArgs) -> Result<(), HealthError> {
    if args.ready && args.role == Role::Sandbox {
        return Err(HealthError::NoReadiness);
    }
    let path = if args.ready { "/readyz" } else { "/livez" };
    let (address, tls) = target(&args)?;
    let asked = async {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| HealthError::Connect(address, error))?;
        if !tls {
            return ask(stream, address, path).await;
        }
        let name = ServerName::IpAddress(address.ip().into());
        let failed = |error: io::Error| HealthError::Protocol(address, error.to_string());
        let connector = tls_connector().map_err(|error| failed(io::Error::other(error)))?;
        ask(connector.connect(name, stream).await.map_err(failed)?, address, path).await
    };
    let asked = tokio::time::timeout(ANSWER, asked).await;
    asked.unwrap_or(Err(HealthError::Silent { address }))
}

/// The address to ask, and whether it is over TLS.
fn target(args: &HealthArgs) -> Result<(SocketAddr, bool), ConfigError> {
    let config = args.config.clone();
    let (configured, tls) = match args.role {
        Role::Sandbox => (SANDBOX, false),
        Role::Coreapp => {
            let options = coreapp::Args { config, ..coreapp::Args::default() };
            let coreapp = coreapp::Config::load(&options, system::environment())?.coreapp;
            (SocketAddr::new(coreapp.listen, coreapp.port.saturating_add(PROBES)), false)
        }
        Role::Webapp => {
            let options = webapp::Args { config, ..webapp::Args::default() };
            let given: Given = config::load(&options.sources(system::environment()), &["webapp"])?;
            let https = given.webapp.https.unwrap_or(webapp::DEFAULT_HTTPS);
            given.webapp.http.map_or((https, true), |http| (http, false))
        }
    };
    let address = args.address.unwrap_or(configured);
    Ok((SocketAddr::new(reachable(address.ip()), address.port()), tls))
}

/// Who listens everywhere is asked on loopback.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

async fn ask<S>(stream: S, address: SocketAddr, path: &'static str) -> Result<(), HealthError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let failed = |error: &dyn std::error::Error| HealthError::Protocol(address, error.to_string());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| failed(&e))?;
    // Ends with the connection; its error also reaches whoever waits for an answer.
    tokio::spawn(connection);
    let request = Request::get(path)
        .header(header::HOST, address.to_string())
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(&error))?;
    let answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
    let status = answer.status();
    if status == StatusCode::OK {
        return Ok(());
    }
    let body = Limited::new(answer.into_body(), BODY_MAX).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let body = String::from_utf8_lossy(&body).trim().to_owned();
    Err(HealthError::Ill(address, path, status, body))
}

fn tls_connector() -> Result<tokio_rustls::TlsConnector, rustls::Error> {
    let provider = Arc::new(default_provider());
    let any = Arc::new(AnyCertificate(provider.signature_verification_algorithms));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(any)
        .with_no_client_auth();
    Ok(Arc::new(config).into())
}

/// Nothing secret is said, and the certificate is for the name clients use, not for this address.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
