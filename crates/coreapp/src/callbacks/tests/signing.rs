//! Signed callbacks, checked by the ecosystem's own verifier.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use standardwebhooks::Webhook as Verifier;

use super::*;
use webhook::Received;

const HEADERS: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];
const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn headers(post: &Received) -> HeaderMap {
    let value = |name: &str| HeaderValue::from_str(post.header(name)).unwrap();
    HEADERS.iter().map(|name| (name.parse().unwrap(), value(name))).collect()
}

fn signed_with(secrets: &[&str], url: &str) -> Application {
    let mut application = Node::application(url, 5, 6);
    let secrets = secrets.iter().map(|text| (*text).to_owned().try_into().unwrap());
    application.heliograph.webhooks.secrets = secrets.collect();
    application
}

#[tokio::test]
async fn a_receiver_that_knows_any_one_of_the_secrets_can_verify_every_try() {
    let webhook = Webhook::new(|n, _| Answer::Status(if n == 0 { 500 } else { 200 })).await;
    let node = Node::at(Arc::new(SystemClock), Arc::default(), Vec::new());
    let private = format!("whsk_{}", STANDARD.encode([7; 32]));
    node.callbacks.settings(&signed_with(&[NEW, OLD, &private], &webhook.url("/")));
    let body = "{\"messages\":[{\"text\":{\"body\":\"gr\u{fc}\u{df} dich\"}}]}";
    node.commit(1, body);
    node.settled().await;

    let received = webhook.received();
    assert_eq!(received.len(), 2);
    for post in &received {
        assert_eq!(post.body, body);
        for secret in [OLD, NEW] {
            let verifier = Verifier::new(secret).unwrap();
            verifier.verify(body.as_bytes(), &headers(post)).unwrap();
            assert!(verifier.verify(b"{\"messages\":[]}", &headers(post)).is_err(), "another body");
        }
        let stranger = Verifier::new("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap();
        assert!(stranger.verify(body.as_bytes(), &headers(post)).is_err());

        let signatures: Vec<_> = post.header("webhook-signature").split(' ').collect();
        assert_eq!(signatures.len(), 3);
        let signature = STANDARD.decode(signatures[2].strip_prefix("v1a,").unwrap()).unwrap();
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let public = UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref());
        let [id, timestamp, _] = HEADERS.map(|name| post.header(name));
        public.verify(format!("{id}.{timestamp}.{body}").as_bytes(), &signature).unwrap();
    }
}

#[tokio::test]
async fn signing_is_off_until_there_is_a_secret_and_changes_at_once() {
    let webhook = Webhook::new(|_, _| Answer::Status(200)).await;
    let node = Node::at(Arc::new(SystemClock), Arc::default(), Vec::new());
    let verifies = |secret: &str, post: &Received| {
        Verifier::new(secret).unwrap().verify(post.body.as_bytes(), &headers(post)).is_ok()
    };
    for secrets in [&[][..], &[OLD], &[OLD, NEW], &[NEW], &[]] {
        node.callbacks.settings(&signed_with(secrets, &webhook.url("/")));
        node.commit(1, "{}");
        node.settled().await;
        let post = webhook.received().pop().unwrap();
        assert_eq!(post.has("webhook-signature"), !secrets.is_empty());
        for secret in [OLD, NEW].iter().filter(|_| !secrets.is_empty()) {
            assert_eq!(verifies(secret, &post), secrets.contains(secret));
        }
    }
}
