//! Processes that share a secret, and programs that want to join them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{path::Path, process::Output, sync::Arc};

use contract::{Clock, Key};
use http::StatusCode;
use rpc::{
    coreapp::{
        CredentialRequest, SendFrame, WatchRequest, directory_client::DirectoryClient,
        messages_client::MessagesClient, send_reply::Result as Answered,
    },
    identity::{Files, Identity, Name, Secrets, Source},
};
use serde_json::json;
use support::{roles::Roles, until};
use telemetry::{SystemClock, SystemRng};
use tokio::process::Command;

const SECRET: &str = "a secret of the whole deployment, long enough";
const PHONE: &str = "4915112345678";

async fn heliograph(arguments: &[&str], environment: &[(&str, &str)], at: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_heliograph"))
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(at)
        .kill_on_drop(true)
        .output()
        .await
        .unwrap()
}

/// Sends a message over gRPC; the answer, or why there is none.
async fn send(roles: &Roles, identity: Option<&Arc<Identity>>) -> Result<Answered, String> {
    let frame = SendFrame {
        seq: 1,
        key: Key::mint_at(SystemClock.unix_s(), &SystemRng::new()).as_bytes().to_vec().into(),
        input: PHONE.to_owned(),
        to: PHONE.to_owned(),
        message: json!({"type": "text", "text": {"body": "from a service"}}).to_string().into(),
        attempt: 1,
        actor: "billing".to_owned(),
        ..SendFrame::default()
    };
    let url = format!("http://127.0.0.1:{}", roles.coreapp);
    let mut client = MessagesClient::new(rpc::http2::channel(&url, identity).unwrap());
    let reply = client.send(frame).await.map_err(|status| status.to_string())?;
    Ok(reply.into_inner().result.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_with_a_secret_serves_its_own_and_a_named_service_and_nobody_else() {
    let roles = Roles::start_in(1, &[("WA_SECRET", SECRET)]).await;
    let body = json!({"to": PHONE, "type": "text", "text": {"body": "over REST"}}).to_string();
    let answer = roles.call(0, "POST", "/v1/messages", &[], &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);

    send(&roles, None).await.expect_err("clear text");
    let clock = Arc::new(SystemClock);
    let secrets = Secrets::new("quite another secret, just as long as ours", &[]);
    let stranger = Identity::new(Name::Webapp, Source::Secrets(secrets), clock.clone()).unwrap();
    send(&roles, Some(&stranger)).await.expect_err("another secret");

    // What an operator gives to the authors of a service.
    let directory = tempfile::tempdir().unwrap();
    let made = heliograph(
        &["certificate", "service:billing", "--days", "1", "--out", "pki"],
        &[("WA_SECRET", SECRET)],
        directory.path(),
    )
    .await;
    assert!(made.status.success(), "{made:?}");
    let [ca, cert, key] =
        ["ca.pem", "cert.pem", "key.pem"].map(|name| directory.path().join("pki").join(name));
    let name = Name::Service("billing".to_owned());
    let service =
        Identity::new(name, Source::Files(Files { ca, cert, key }), clock.clone()).unwrap();
    let sent = send(&roles, Some(&service)).await.unwrap();
    assert!(matches!(sent, Answered::Accepted(_)), "{sent:?}");
    let texts = until("both messages", async || {
        let texts = roles.texts_at(PHONE).await;
        (texts.len() >= 2).then_some(texts)
    })
    .await;
    assert_eq!(texts, ["over REST", "from a service"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_key_and_the_hashes_of_passwords_are_given_to_webapps_alone() {
    let roles = Roles::start_in(1, &[("WA_SECRET", SECRET)]).await;
    let url = format!("http://127.0.0.1:{}", roles.coreapp + 2);
    for (name, refused) in [
        (Name::Webapp, None),
        (Name::Coreapp, Some(tonic::Code::PermissionDenied)),
        (Name::Service("billing".to_owned()), Some(tonic::Code::PermissionDenied)),
    ] {
        let source = Source::Secrets(Secrets::new(SECRET, &[]));
        let identity = Identity::new(name.clone(), source, Arc::new(SystemClock)).unwrap();
        let channel = rpc::http2::channel(&url, Some(&identity)).unwrap();
        let mut directory = DirectoryClient::new(channel);
        let credential = directory.credential(CredentialRequest { user: "admin".to_owned() }).await;
        assert_eq!(credential.err().map(|status| status.code()), refused, "{name}: credential");
        let watch = directory.watch(WatchRequest { webapp: "test".to_owned() }).await;
        assert_eq!(watch.err().map(|status| status.code()), refused, "{name}: watch");
    }
}

#[tokio::test]
async fn clear_text_beyond_this_machine_is_refused_at_start_with_the_settings_that_help() {
    let directory = tempfile::tempdir().unwrap();
    let coreapp = ["coreapp", "--listen", "0.0.0.0", "--port", "0", "--database", "sqlite:core.db"];
    let webapp = ["webapp", "--http", "127.0.0.1:0", "--coreapps", "coreapp.example:6250"];
    let number = [("HELIOGRAPH_ACCOUNT__NUMBER", "15550100100")];
    for (arguments, setting) in [(&coreapp[..], "coreapp.listen"), (&webapp[..], "webapp.coreapps")]
    {
        let refused = heliograph(arguments, &number, directory.path()).await;
        let message = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success(), "{message}");
        for part in [setting, "WA_SECRET", "internal.clear_text"] {
            assert!(message.contains(part), "{part} is not in {message}");
        }
    }
    assert!(!directory.path().join("core.db").exists(), "nothing was begun");
}
