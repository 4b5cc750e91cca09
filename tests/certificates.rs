//! The certificate of the API: uploaded once, served by every webapp to whoever connects from then on.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::Arc;

use http::StatusCode;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::json;
use support::{call_bytes, exchange, roles::Roles, until};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, crypto,
        pki_types::{CertificateDer, pem::PemObject as _},
    },
};

/// Private key, certificate, intermediate and root, as PEM.
fn certificate() -> [String; 4] {
    let authority = |name: &str| {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let root = CertifiedIssuer::self_signed(authority("root"), KeyPair::generate().unwrap());
    let root = root.unwrap();
    let key = KeyPair::generate().unwrap();
    let middle = CertifiedIssuer::signed_by(authority("middle"), key, &root).unwrap();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(["gateway.example".to_owned()]).unwrap();
    let own = own.signed_by(&key, &middle).unwrap();
    [key.serialize_pem(), own.pem(), middle.pem(), root.pem()]
}

/// Whether a new connection to a webapp is served with a certificate that these authorities stand behind.
async fn trusted(https: u16, authorities: &str, name: &'static str) -> bool {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", https)).await.unwrap();
    let connector = TlsConnector::from(Arc::new(tls));
    connector.connect(name.try_into().unwrap(), stream).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uploaded_certificate_is_served_by_every_webapp_at_once_and_outlives_restarts() {
    let roles = Roles::start_in(2, &[]).await;
    let [key, own, middle, root] = certificate();
    let path = "/v1/certificates/external";
    let post = async |pem: &str| {
        let headers = [("authorization", &*roles.token)];
        call_bytes(roles.webapps[0], "POST", path, &headers, pem.as_bytes()).await
    };
    let authorities = async |webapp: usize| {
        let request = http::Request::get("/v1/certificates/external/ca")
            .header("host", "gateway")
            .header("authorization", &*roles.token)
            .body(http_body_util::Empty::<bytes::Bytes>::new());
        let (status, headers, body) = exchange(roles.webapps[webapp], request.unwrap()).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers["content-type"], "text/plain;charset=UTF-8");
        String::from_utf8(body.to_vec()).unwrap()
    };
    let self_signed = authorities(0).await;
    assert!(trusted(roles.https(0), &self_signed, "localhost").await, "its own authority");

    let wrong = post(&[&*own, &key, &middle].concat()).await;
    assert_eq!((wrong.status.as_u16(), wrong.code()), (400, Some(1009)), "{}", wrong.body);
    assert!(!trusted(roles.https(0), &root, "gateway.example").await);
    let taken = post(&[&*key, &own, &middle].concat()).await;
    assert_eq!(taken.status, StatusCode::OK, "{}", taken.body);
    assert!(trusted(roles.https(0), &root, "gateway.example").await, "when it is answered");
    until("the other webapp serves it", async || {
        trusted(roles.https(1), &root, "gateway.example").await.then_some(())
    })
    .await;
    assert_eq!(authorities(1).await.replace('\n', ""), middle.replace(['\r', '\n'], ""));

    // It is kept by the coreapp, for webapps to come.
    roles.kill("coreapp").await;
    roles.start_coreapp();
    let mut roles = roles;
    roles.kill("webapp-1").await;
    roles.start_webapp_again(1).await;
    until("a webapp that starts serves it", async || {
        trusted(roles.https(1), &root, "gateway.example").await.then_some(())
    })
    .await;
    let gone = roles.call(0, "DELETE", path, &[], "").await;
    assert_eq!(gone.status, StatusCode::OK, "{}", gone.body);
    assert!(trusted(roles.https(0), &self_signed, "localhost").await, "as before");
    let health = roles.call(0, "GET", "/v1/health", &[], "").await;
    assert_ne!(health.body["health"], json!(null));
}
