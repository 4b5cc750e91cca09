//! Thousands of broken requests, made from good ones: each is answered as the contract says, none is
//! a failure of ours, and the gateway is none the worse for it.
//!
//! The good ones are in `malformed/`; what is done to them follows from a seed, so that every run is
//! the same and a failure names its input.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

#[path = "malformed/json.rs"]
mod json;
#[path = "malformed/mutate.rs"]
mod mutate;
#[path = "malformed/protobuf.rs"]
mod protobuf;

use contract::Code;
use mutate::Mutator;
use support::{Gateway, call_bytes, roles::Roles};
use tonic::Code as Grpc;

/// Of each good request.
const JSON_VARIANTS: u64 = 75;
const PROTOBUF_VARIANTS: u64 = 55;

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_broken_json_bodies_are_each_refused_by_a_code_of_the_catalogue_or_taken() {
    let gateway = Gateway::start_with(&["--no-limits"]).await;
    let (mut sent, mut refused) = (0_u64, 0_u64);
    for (n, (method, path, good)) in json::GOOD.iter().enumerate() {
        for variant in 0..JSON_VARIANTS {
            let seed = n as u64 * 1_000 + variant;
            let body = Mutator::new(seed).json(good);
            let headers = [("authorization", gateway.token())];
            let answer = call_bytes(gateway.http, method, path, &headers, &body).await;
            let shown =
                || format!("seed {seed}: {method} {path} {}", String::from_utf8_lossy(&body));
            sent += 1;
            if answer.status.is_success() {
                continue;
            }
            refused += 1;
            assert!(
                answer.status.is_client_error(),
                "{}: {} {}",
                shown(),
                answer.status,
                answer.body
            );
            let code = answer.code().and_then(|code| u32::try_from(code).ok());
            let code = code.and_then(Code::from_u32).unwrap_or_else(|| panic!("{}", shown()));
            let error = &answer.body["errors"][0];
            assert_eq!(error["title"], code.title(), "{}", shown());
            assert!(error["details"].as_str().is_some_and(|text| !text.is_empty()), "{}", shown());
        }
    }
    assert!(sent >= 2_000 && refused * 2 > sent, "{sent} sent, {refused} refused");
    gateway.send("4915112340099", "none the worse").await;
    assert!(!gateway.log.lock().unwrap().contains("panicked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_broken_protobuf_messages_are_each_refused_by_a_status_that_says_why_or_taken() {
    let roles = Roles::start(1).await;
    let (mut sent, mut refused, mut waited) = (0_u64, 0_u64, 0_u64);
    for (n, good) in protobuf::good().into_iter().enumerate() {
        let url = format!("http://127.0.0.1:{}", roles.coreapp + good.port);
        let channel = rpc::http2::channel(&url, None).unwrap();
        for variant in 0..PROTOBUF_VARIANTS {
            let seed = 1_000_000 + n as u64 * 1_000 + variant;
            let bytes = Mutator::new(seed).bytes(&good.bytes);
            let answer = protobuf::call(channel.clone(), good.method, bytes.clone()).await;
            sent += 1;
            let Err(status) = answer else { continue };
            waited += u64::from(status.code() == Grpc::DeadlineExceeded);
            refused += 1;
            let says_why = match status.code() {
                // What the protocol's own decoder says, and ours for what should not be.
                Grpc::Internal => {
                    status.message().contains("decode") || !status.details().is_empty()
                }
                Grpc::Unknown | Grpc::Ok | Grpc::Unimplemented | Grpc::DataLoss => false,
                _ => true,
            };
            assert!(says_why, "seed {seed}: {} {bytes:02x?}: {status:?}", good.method);
        }
    }
    let shown = format!("{sent} sent, {refused} refused, of which {waited} wait");
    assert!(sent >= 1_000 && refused * 3 > sent && waited * 20 < sent, "{shown}");
    let body = r#"{"to":"4915112340099","text":{"body":"none the worse"}}"#;
    let answer = roles.call(0, "POST", "/v1/messages", &[], body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
}
