//! Good messages of the internal API, and a client that sends bytes as they are.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use prost::Message;
use rpc::coreapp as p;
use tokio::time::timeout;
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};

/// A broken message may ask to wait.
pub const LIMIT: Duration = Duration::from_millis(500);

const PHONE: &str = "4915112345678";
const MESSAGES: u16 = 0;
const CONTACTS: u16 = 1;
const CONTROL: u16 = 2;

pub struct Good {
    /// Behind the first port of the coreapp.
    pub port: u16,
    pub method: &'static str,
    pub bytes: Vec<u8>,
}

/// None changes what the others need, and none waits.
pub fn good() -> Vec<Good> {
    let of = |port, method, message: &dyn Fn() -> Vec<u8>| Good { port, method, bytes: message() };
    let text = |text: &str| text.to_owned();
    let outbound = text("gBGGFjFVURECEQIJWkKdb3Fz7l0v");
    let frame = p::SendFrame {
        seq: 1,
        key: vec![0x65, 1, 2, 3, 4, 5, 6, 7, 8].into(),
        to: text(PHONE),
        input: text(PHONE),
        message: Bytes::from_static(br#"{"type":"text","text":{"body":"x"}}"#),
        attempt: 1,
        actor: text("test"),
        idempotency_key: text("k"),
        ..Default::default()
    };
    let other = p::SendFrame { seq: 2, ..frame.clone() };
    let frames = p::SendFrames { frames: vec![frame.clone(), other] };
    vec![
        of(MESSAGES, "Messages/Send", &|| frame.encode_to_vec()),
        of(MESSAGES, "Messages/SendMany", &|| frame.encode_to_vec()),
        of(MESSAGES, "Messages/Pipe", &|| frames.encode_to_vec()),
        of(MESSAGES, "Messages/Cancel", &|| {
            p::CancelRequest { id: outbound.clone() }.encode_to_vec()
        }),
        of(MESSAGES, "Messages/MarkRead", &|| {
            p::MarkReadRequest { id: text("ABGGFjFVURECDwYwZjEyMzQ1Njc4OTA") }.encode_to_vec()
        }),
        of(CONTACTS, "Contacts/Check", &|| {
            let inputs = vec![text("+49 151 12345678"), text("631")];
            p::CheckRequest { inputs, wait: false, force: false }.encode_to_vec()
        }),
        of(CONTACTS, "Contacts/GetIdentity", &|| {
            p::GetIdentityRequest { wa_id: text(PHONE) }.encode_to_vec()
        }),
        of(CONTACTS, "Contacts/AckIdentity", &|| {
            p::AckIdentityRequest { wa_id: text(PHONE), hash: text("UKD6Y/5SqDU=") }.encode_to_vec()
        }),
        of(CONTACTS, "Contacts/Block", &|| p::BlockRequest { number: text(PHONE) }.encode_to_vec()),
        of(CONTACTS, "Contacts/Unblock", &|| {
            p::UnblockRequest { number: text(PHONE) }.encode_to_vec()
        }),
        of(CONTACTS, "Contacts/Report", &|| {
            let (number, reason) = (text(PHONE), text("spam"));
            p::ReportRequest { number, reason, block: true, message_id: text("x") }.encode_to_vec()
        }),
        of(CONTROL, "Events/List", &|| {
            let kinds = vec![text("statuses")];
            p::ListEventsRequest { after: String::new(), limit: 10, kinds, wait_ms: 0 }
                .encode_to_vec()
        }),
        of(CONTROL, "Events/Dead", &|| {
            p::DeadEventsRequest { after: String::new(), limit: 10 }.encode_to_vec()
        }),
        of(CONTROL, "Events/Replay", &|| {
            p::ReplayEventsRequest { request: Bytes::from_static(br#"{"dead":true}"#) }
                .encode_to_vec()
        }),
        of(CONTROL, "Events/GetReplay", &|| p::ReplayId { id: text("1") }.encode_to_vec()),
        of(CONTROL, "Admin/PatchSettings", &|| {
            p::PatchSettingsRequest { patch: Bytes::from_static(br#"{"sent_status":true}"#) }
                .encode_to_vec()
        }),
        of(CONTROL, "Admin/SetWebhookAuthorities", &|| {
            p::SetWebhookAuthoritiesRequest { pem: Bytes::from_static(b"-----BEGIN") }
                .encode_to_vec()
        }),
        of(CONTROL, "Account/ChangeProfile", &|| {
            let about = Bytes::from_static(br#"{"text":"About"}"#);
            let change = Some(p::change_profile_request::Change::About(about));
            p::ChangeProfileRequest { change }.encode_to_vec()
        }),
        of(CONTROL, "Media/Delete", &|| {
            p::DeleteMediaRequest { id: text("f043afd0-f0ae-4b9c-ab3d-696fb4c8cd68") }
                .encode_to_vec()
        }),
    ]
}

/// Sends one message, whatever it is, and hears the answers out.
pub async fn call(channel: Channel, method: &str, message: Vec<u8>) -> Result<(), Status> {
    let path = format!("/heliograph.coreapp.v1.{method}");
    let path = PathAndQuery::try_from(path).unwrap();
    let mut client = Grpc::new(channel);
    let answered = async {
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let request = Request::new(once(Bytes::from(message)));
        let mut answers = client.streaming(request, path, Raw).await?.into_inner();
        while answers.message().await?.is_some() {}
        Ok(())
    };
    let waited = |_| Err(Status::deadline_exceeded("it waits, as it was asked to"));
    timeout(LIMIT, answered).await.unwrap_or_else(waited)
}

fn once(message: Bytes) -> impl futures_util::Stream<Item = Bytes> {
    futures_util::stream::iter([message])
}

#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        from.advance(from.remaining());
        Ok(Some(()))
    }
}
