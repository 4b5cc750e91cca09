//! An internal service that speaks gRPC with a coreapp: it sends a message and waits until the event
//! log says what became of it. `docs/GRPC.md` explains it.
//!
//!     cargo run --example grpc -- 127.0.0.1:6250 4915112345678 "Hello"
//!
//! With `WA_SECRET` set it shows a certificate made from it; without, it speaks clear text, which
//! coreapps take on loopback only.

use std::{env, error::Error, sync::Arc, time::Duration};

use contract::{Clock, Key};
use rpc::{
    coreapp::{
        SendFrame, SubscribeEventsRequest, events_client::EventsClient,
        messages_client::MessagesClient, send_reply::Result as Sent,
    },
    identity::{Identity, Name, Secrets, Source},
};
use serde_json::{Value, json};
use telemetry::{SystemClock, SystemRng};
use tokio::time::timeout;

/// What is called behind the address of messages.
const CONTROL: u16 = 2;
/// For the message to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, to, text] = arguments.as_slice() else {
        return Err("give the coreapp's address (HOST:6250), a phone number and a text".into());
    };
    let secret = env::var("WA_SECRET").ok();
    let (id, status) = send(address, secret.as_deref(), to, text).await?;
    println!("{status} {id}");
    Ok(())
}

/// Sends a text; gives the message's id and the status that settles it.
pub async fn send(
    address: &str,
    secret: Option<&str>,
    to: &str,
    text: &str,
) -> Result<(String, String), Box<dyn Error>> {
    let (host, port) = address.rsplit_once(':').ok_or("an address is HOST:PORT")?;
    let messages = format!("http://{host}:{port}");
    let control = format!("http://{host}:{}", port.parse::<u16>()? + CONTROL);
    let identity = match secret {
        Some(secret) => {
            let source = Source::Secrets(Secrets::new(secret, &[]));
            let name = Name::Service("example".to_owned());
            Some(Identity::new(name, source, Arc::new(SystemClock))?)
        }
        None => None,
    };

    // Everything from now on: the cursor behind what there is.
    let mut events = EventsClient::new(rpc::http2::channel(&control, identity.as_ref())?);
    let mut after = String::new();
    loop {
        let request = rpc::coreapp::ListEventsRequest { after, limit: 1_000, ..Default::default() };
        let page = events.list(request).await?.into_inner();
        after = page.cursor;
        if page.events.is_empty() {
            break;
        }
    }
    let request = SubscribeEventsRequest { after, kinds: vec!["statuses".to_owned()] };
    let mut pages = events.subscribe(request).await?.into_inner();

    // The key is minted once a message: a repeat carries the same one and makes no second message.
    let frame = SendFrame {
        seq: 1,
        key: Key::mint_at(SystemClock.unix_s(), &SystemRng::new()).as_bytes().to_vec().into(),
        to: to.to_owned(),
        input: to.to_owned(),
        message: json!({"type": "text", "text": {"body": text}}).to_string().into(),
        attempt: 1,
        actor: "example".to_owned(),
        // Whichever coreapp gets it hands it on to the one that owns the recipient's shard.
        forward: true,
        ..SendFrame::default()
    };
    let mut client = MessagesClient::new(rpc::http2::channel(&messages, identity.as_ref())?);
    let id = match client.send(frame).await?.into_inner().result {
        Some(Sent::Accepted(accepted)) => accepted.id,
        Some(Sent::Error(error)) => {
            return Err(format!("refused: {} {}", error.code, error.details).into());
        }
        None => return Err("the coreapp answered with nothing".into()),
    };
    timeout(PATIENCE, async {
        while let Some(page) = pages.message().await? {
            for event in page.events {
                let payload: Value = serde_json::from_slice(&event.payload)?;
                for status in payload["statuses"].as_array().into_iter().flatten() {
                    if status["id"] != *id {
                        continue;
                    }
                    let name = status["status"].as_str().unwrap_or_default();
                    if matches!(name, "delivered" | "read" | "failed") {
                        return Ok((id, name.to_owned()));
                    }
                }
            }
        }
        Err("the subscription ended".into())
    })
    .await?
}
