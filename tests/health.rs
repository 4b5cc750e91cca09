//! What a container's health check is told by the binary itself.

mod support;

use std::process::Output;

use support::{free_ports, roles::Roles, until};
use tokio::process::Command;

#[expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
async fn health(arguments: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_heliograph"));
    command.arg("health").args(arguments).envs(env.iter().copied());
    command.output().await.unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_is_found_where_its_own_configuration_puts_it_and_is_missed_when_it_is_gone() {
    let roles = Roles::start(1).await;
    let core = [("HELIOGRAPH_COREAPP__PORT", &*roles.coreapp.to_string())];
    let https = format!("0.0.0.0:{}", roles.https(0));
    let web = [("HELIOGRAPH_WEBAPP__HTTPS", &*https)];
    let sandbox = format!("127.0.0.1:{}", roles.phones);
    for (arguments, env) in [
        (&["coreapp"][..], &core[..]),
        (&["coreapp", "--ready"], &core),
        (&["webapp"], &web),
        (&["webapp", "--ready"], &web),
        (&["sandbox", "--address", &sandbox], &[]),
    ] {
        let output = health(arguments, env).await;
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
    }

    roles.kill("coreapp").await;
    let gone = health(&["coreapp"], &core).await;
    assert_eq!(gone.status.code(), Some(1));
    let probes = format!("127.0.0.1:{}", roles.coreapp + 3);
    assert!(said(&gone).contains(&format!("nothing listens at {probes}")), "{}", said(&gone));
    let unready = until("the webapp misses its coreapp", async || {
        let output = health(&["webapp", "--ready"], &web).await;
        (output.status.code() == Some(1)).then_some(output)
    })
    .await;
    assert!(said(&unready).contains("/readyz answers 503"), "{}", said(&unready));
    assert_eq!(health(&["webapp"], &web).await.status.code(), Some(0), "it lives all the same");
}

#[tokio::test]
async fn who_accepts_and_says_nothing_is_not_healthy() {
    let [port, ..] = free_ports().await;
    let _silent = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let output = health(&["coreapp", "--address", &format!("127.0.0.1:{port}")], &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("does not answer within 3 s"), "{}", said(&output));
}
