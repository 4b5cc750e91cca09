//! Names, connections, the proxy and the client certificate, over real sockets.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::FutureExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{policy::Resolve, *};

fn policy(allow: &[&str]) -> Policy {
    Policy::new(Allow::parse(allow).unwrap())
}

fn egress(policy: &Policy) -> Egress {
    Egress::new(policy, Vec::new()).unwrap()
}

fn of(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}

/// Answers each question with the next of these.
fn answers(lists: Vec<Vec<SocketAddr>>) -> Arc<Resolve> {
    let asked = AtomicUsize::new(0);
    Arc::new(move |_, _| {
        let n = asked.fetch_add(1, Ordering::SeqCst).min(lists.len() - 1);
        let list = lists[n].clone();
        async move { Ok(list) }.boxed()
    })
}

/// A port that counts who comes.
async fn door() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            drop(stream);
        }
    });
    (address, count)
}

#[tokio::test]
async fn a_name_is_pinned_to_its_permitted_addresses() {
    let policy = policy(&[]);
    let target = egress(&policy).target("https://hooks.example/in").unwrap();
    let judged = policy.admit(&target, &[of("127.0.0.1", 443), of("1.1.1.1", 443)]).unwrap();
    assert_eq!(judged, [of("1.1.1.1", 443)]);
    let refused = policy.admit(&target, &[of("169.254.169.254", 443)]).unwrap_err();
    assert!(refused.to_string().contains("egress.allow"), "{refused}");
    let none = policy.admit(&target, &[]).unwrap_err();
    assert!(matches!(none, EgressError::NoAddress(_)), "{none}");
}

#[tokio::test]
async fn a_name_that_changes_between_check_and_connect_gains_nothing() {
    let (address, visits) = door().await;
    let there = vec![of("127.0.0.1", address.port())];
    // Harmless when the settings are changed, this machine when it is called.
    let rebinding = answers(vec![vec![of("1.1.1.1", 443)], there]);
    let policy = policy(&["http"]).resolving(rebinding);
    let url = format!("http://hooks.example:{}/", address.port());
    policy.judge(&url).await.unwrap();
    let egress = egress(&policy);
    let refused = egress.connect(&egress.target(&url).unwrap()).await.err().unwrap();
    assert!(matches!(refused, EgressError::Denied { .. }), "{refused}");
    assert_eq!(visits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_that_means_only_forbidden_places_is_refused_before_it_is_called() {
    let of_names = |list: Vec<SocketAddr>| policy(&[]).resolving(answers(vec![list]));
    let url = "https://hooks.example/";
    let inside = of_names(vec![of("127.0.0.1", 443), of("::1", 443)]);
    let error = inside.judge(url).await.unwrap_err().to_string();
    assert!(error.contains("hooks.example is a loopback address"), "{error}");
    of_names(vec![of("127.0.0.1", 443), of("1.1.1.1", 443)]).judge(url).await.unwrap();
    of_names(Vec::new()).judge(url).await.unwrap();
}

#[tokio::test]
async fn a_permitted_address_is_connected_to() {
    let (address, _) = door().await;
    let egress = egress(&policy(&["http", "loopback"]));
    let target = egress.target(&format!("http://{address}/")).unwrap();
    assert!(matches!(egress.connect(&target).await, Ok(Stream::Plain(_))));
}

/// A proxy that leads every tunnel to `to`, or refuses, and remembers what it was asked.
async fn proxy(to: Option<SocketAddr>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
    let remembers = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let remembers = remembers.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                remembers.lock().unwrap().push(String::from_utf8(head).unwrap());
                let Some(to) = to else {
                    stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await.unwrap();
                    return;
                };
                let mut inner = TcpStream::connect(to).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut inner).await;
            });
        }
    });
    (address, asked)
}

#[tokio::test]
async fn through_a_proxy_the_name_goes_out_and_forbidden_places_stay_forbidden() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = proxy(Some(listener.local_addr().unwrap())).await;
    let direct = [".inside.example".to_owned()];
    let url = format!("http://bot:pw@{address}");
    // The name is known to the proxy alone.
    let policy = policy(&["http"]).through(&url, &direct).unwrap().resolving(answers(vec![vec![]]));
    let egress = egress(&policy);
    let target = egress.target("http://hooks.example:8080/in").unwrap();
    let mut stream = egress.connect(&target).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let (mut inner, _) = listener.accept().await.unwrap();
    let mut got = [0; 5];
    inner.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"hello");
    let question = asked.lock().unwrap()[0].clone();
    assert!(question.starts_with("CONNECT hooks.example:8080 HTTP/1.1\r\n"), "{question}");
    assert!(question.contains("Proxy-Authorization: Basic Ym90OnB3\r\n"), "{question}");

    assert!(egress.target("http://127.0.0.1/").is_err());
    let past = egress.connect(&egress.target("http://a.inside.example/").unwrap()).await;
    assert!(matches!(past.err(), Some(EgressError::NoAddress(_))), "straight, and unknown here");
    assert_eq!(asked.lock().unwrap().len(), 1);

    let inward = policy.clone().resolving(answers(vec![vec![of("169.254.169.254", 80)]]));
    let inward = Egress::new(&inward, Vec::new()).unwrap();
    let refused = inward.connect(&target).await.err().unwrap();
    assert!(matches!(refused, EgressError::Denied { .. }), "{refused}");
}

#[tokio::test]
async fn what_a_proxy_refuses_is_told_without_its_password() {
    let (address, _) = proxy(None).await;
    let policy = policy(&["http"])
        .through(&format!("http://bot:s3cret@{address}"), &[])
        .unwrap()
        .resolving(answers(vec![vec![]]));
    let egress = egress(&policy);
    let target = egress.target("http://hooks.example/").unwrap();
    let error = egress.connect(&target).await.err().unwrap().to_string();
    assert!(error.contains("403") && error.contains("egress.proxy"), "{error}");
    assert!(!format!("{error}{policy:?}").contains("s3cret"));
    for bad in ["https://proxy.example:3128", "socks5://proxy.example", "proxy.example:3128"] {
        let error = Policy::new(Allow::default()).through(bad, &[]).unwrap_err().to_string();
        assert!(error.contains("egress.proxy"), "{error}");
    }
}

/// An authority and a certificate of it for this machine, each with its key.
struct Pair {
    certificate: rcgen::Certificate,
    key: rcgen::KeyPair,
}

fn pair() -> Pair {
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    Pair { certificate, key }
}

#[tokio::test]
async fn a_receiver_that_asks_for_a_certificate_gets_ours() {
    let (server, client) = (pair(), pair());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut known = rustls::RootCertStore::empty();
    known.add(client.certificate.der().clone()).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(known),
        provider.clone(),
    );
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            vec![server.certificate.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(server.key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let accepted = tokio::spawn(async move {
        let mut accepted = Vec::new();
        for _ in 0..2 {
            let (tcp, _) = listener.accept().await.unwrap();
            accepted.push(acceptor.accept(tcp).await.is_ok());
        }
        accepted
    });

    let nobody = policy(&["loopback"]);
    let pem = (client.certificate.pem(), client.key.serialize_pem());
    let ours = nobody.clone().showing(pem.0.as_bytes(), pem.1.as_bytes()).unwrap();
    for policy in [nobody, ours] {
        let egress = Egress::new(&policy, vec![server.certificate.der().clone()]).unwrap();
        let stream = egress.connect(&egress.target(&url).unwrap()).await;
        // Under TLS 1.3 the refusal comes after our side is done.
        drop(stream);
    }
    assert_eq!(accepted.await.unwrap(), [false, true]);
}

/// As `openssl req -x509` makes it: an authority of nobody but itself, valid until the year begins.
fn own_authority(name: &str, year: i32) -> Pair {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    Pair { certificate: params.self_signed(&key).unwrap(), key }
}

/// Connects to a receiver that shows `shown` and signs with `key`, where `uploaded` is trusted.
async fn connected(
    shown: &rcgen::Certificate,
    key: &rcgen::KeyPair,
    uploaded: &rcgen::Certificate,
    version: &'static rustls::SupportedProtocolVersion,
) -> Result<Stream, EgressError> {
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    let certified = rustls::sign::CertifiedKey::new(vec![shown.der().clone()], key);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        acceptor.accept(tcp).await
    });
    let egress = Egress::new(&policy(&["loopback"]), vec![uploaded.der().clone()]).unwrap();
    egress.connect(&egress.target(&url).unwrap()).await
}

#[tokio::test]
async fn a_receiver_that_is_its_own_authority_is_trusted_by_exactly_its_certificate() {
    let here = || own_authority("127.0.0.1", 2100);
    let (own, other) = (here(), here());
    let (elsewhere, past) =
        (own_authority("hooks.example", 2100), own_authority("127.0.0.1", 2020));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        connected(&own.certificate, &own.key, &own.certificate, version).await.unwrap();
        for (shown, key, uploaded, says) in [
            (&other, &other.key, &own, "CaUsedAsEndEntity"),
            (&own, &other.key, &own, "BadSignature"),
            (&elsewhere, &elsewhere.key, &elsewhere, "not valid for name"),
            (&past, &past.key, &past, "expired"),
        ] {
            let refused =
                connected(&shown.certificate, key, &uploaded.certificate, version).await.err();
            let refused = refused.map(|error| error.to_string()).unwrap_or_default();
            assert!(refused.contains(says), "{refused:?}, not {says}, under {version:?}");
        }
    }
}

#[test]
fn a_certificate_without_its_key_is_refused_by_the_name_of_the_setting() {
    let (one, other) = (pair(), pair());
    let policy = policy(&[]);
    let showing = |chain: &str, key: &str| {
        let policy = policy.clone().showing(chain.as_bytes(), key.as_bytes())?;
        Egress::new(&policy, Vec::new()).map(drop)
    };
    let (chain, key) = (one.certificate.pem(), one.key.serialize_pem());
    showing(&chain, &key).unwrap();
    let error = showing("", &key).unwrap_err().to_string();
    assert!(error.contains("egress.client_cert"), "{error}");
    for wrong in ["", &other.key.serialize_pem()] {
        let error = showing(&chain, wrong).unwrap_err().to_string();
        assert!(error.contains("egress.client_key"), "{error}");
    }
}

#[test]
fn a_bundle_is_read_whole_or_refused_with_the_reason() {
    let bundle = format!("{}{}", pair().certificate.pem(), pair().certificate.pem());
    assert_eq!(authorities(bundle.as_bytes()).unwrap().len(), 2);
    assert!(authorities(b"").unwrap().is_empty());
    let cut = bundle.replacen("-----END", "", 1);
    for bad in ["hello", &cut, &pair().key.serialize_pem(), &"x".repeat(300 << 10)] {
        let error = authorities(bad.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("the bundle of certificates is not usable"), "{error}");
    }
}
