//! What `up` prints once it is ready: addresses, and three commands that send a message.

use std::net::SocketAddr;

use super::{UpArgs, first_start::FirstStart};

/// What the first login sets; the user may choose another one.
const NEW_PASSWORD: &str = "First-steps-1";
/// An ordinary phone of the sandbox.
const CUSTOMER: &str = "4915112345678";

pub(super) fn welcome(args: &UpArgs, first: &FirstStart, phones: Option<SocketAddr>) -> String {
    let http = args.http;
    let mut text = format!("Heliograph {} is ready.\n\n", env!("CARGO_PKG_VERSION"));
    for (name, address) in [
        ("REST", Some(format!("https://{} (self-signed), http://{http}", args.https))),
        ("sandbox", phones.map(|address| format!("http://{address}"))),
        ("callbacks to", Some(first.webhook.clone())),
    ] {
        if let Some(address) = address {
            text += &format!("  {name:<14}{address}\n");
        }
    }
    let (login, password) = if first.must_change {
        (
            format!(" -u admin:secret -d '{{\"new_password\":\"{NEW_PASSWORD}\"}}'"),
            format!("This sets the password of admin to {NEW_PASSWORD}; choose your own."),
        )
    } else {
        (
            " -u \"admin:$HELIOGRAPH_PASSWORD\" -d '{}'".to_owned(),
            "HELIOGRAPH_PASSWORD is the password that you chose at the first login.".to_owned(),
        )
    };
    text += &format!(
        "\nSend a first message:\n\n\
         TOKEN=$(curl -s http://{http}/v1/users/login{login} -H 'Content-Type: application/json' \
         | sed 's/.*\"token\":\"//; s/\".*//')\n\
         curl -s http://{http}/v1/messages -H \"Authorization: Bearer $TOKEN\" \
         -H 'Content-Type: application/json' \
         -d '{{\"to\":\"{CUSTOMER}\",\"type\":\"text\",\"text\":{{\"body\":\"Hello\"}}}}'\n"
    );
    text += &match phones {
        Some(phones) => format!("sleep 1; curl -s http://{phones}/phones/{CUSTOMER}/messages\n"),
        None => format!("curl -s http://{http}/v1/health -H \"Authorization: Bearer $TOKEN\"\n"),
    };
    text += &format!("\n{password}\nEvery callback is printed below. Ctrl-C stops.\n\n");
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        up: UpArgs,
    }

    fn text(must_change: bool) -> String {
        let args = Cli::parse_from(["up"]).up;
        let first = FirstStart { must_change, webhook: "http://127.0.0.1:9092/callback".into() };
        welcome(&args, &first, Some(args.sandbox))
    }

    #[test]
    fn three_commands_send_a_message_at_the_first_start_and_later() {
        for (must_change, login) in [(true, "new_password"), (false, "$HELIOGRAPH_PASSWORD")] {
            let text = text(must_change);
            assert_eq!(text.lines().filter(|line| line.contains("curl ")).count(), 3, "{text}");
            let first = text.lines().find(|line| line.contains("curl ")).unwrap();
            assert!(first.contains(login), "{first}");
        }
        assert!(!text(false).contains("admin:secret"));
    }
}
