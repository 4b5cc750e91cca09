//! Files: uploaded, given out, deleted, and what is left of those that never became whole.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{convert::Infallible, fs, path::Path};

use bytes::Bytes;
use diesel::{
    Connection, RunQueryDsl, SqliteConnection, connection::SimpleConnection, dsl::sql,
    sql_types::BigInt,
};
use futures_util::stream;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use support::{Gateway, exchange, roles::Roles, until};
use tokio::{io::AsyncWriteExt, net::TcpStream};

const MIB: usize = 1 << 20;

type Body = UnsyncBoxBody<Bytes, Infallible>;

fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// So many MiB, whose length no header announces.
fn chunked(mib: usize) -> Body {
    let piece = Bytes::from(vec![7; MIB]);
    let pieces = (0..mib).map(move |_| Ok(Frame::data(piece.clone())));
    StreamBody::new(stream::iter(pieces)).boxed_unsync()
}

async fn request(
    gateway: &Gateway,
    method: &str,
    path: &str,
    content_type: &str,
    body: Body,
) -> (StatusCode, HeaderMap, Bytes) {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "gateway")
        .header("authorization", gateway.token());
    if !content_type.is_empty() {
        request = request.header("content-type", content_type);
    }
    exchange(gateway.http, request.body(body).unwrap()).await
}

fn read(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

async fn upload(gateway: &Gateway, content_type: &str, body: Body) -> String {
    let (status, _, body) = request(gateway, "POST", "/v1/media", content_type, body).await;
    assert_eq!(status, StatusCode::OK, "{body:?}");
    read(&body)["media"][0]["id"].as_str().unwrap().to_owned()
}

/// Files below the media directory, but for the nodes' marks.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.ends_with("nodes") {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.display().to_string());
        }
    }
    found
}

fn rows(database: &Path) -> i64 {
    let mut database = SqliteConnection::establish(database.to_str().unwrap()).unwrap();
    let count = sql::<BigInt>("SELECT count(*) FROM media").get_results::<i64>(&mut database);
    count.unwrap()[0]
}

/// Begins an upload of 10 MiB and sends the first of them.
async fn begin(port: u16, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let head = format!(
        "POST /v1/media HTTP/1.1\r\nhost: gateway\r\nauthorization: {token}\r\n\
         content-type: video/mp4\r\ncontent-length: {}\r\n\r\n",
        10 * MIB
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![7; MIB]).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_comes_back_as_it_went_until_it_is_deleted() {
    let gateway = Gateway::start().await;
    let media = gateway.directory.path().join("media");
    let photo: Vec<u8> = (0..700_001u32).map(|n| n.to_le_bytes()[1]).collect();
    let id = upload(&gateway, "image/jpeg", whole(photo.clone())).await;
    let opus = upload(&gateway, "audio/ogg;codecs=opus", chunked(3)).await;
    assert_ne!(id, opus);

    let path = format!("/v1/media/{id}");
    let (status, headers, body) = request(&gateway, "GET", &path, "", whole("")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["content-type"], "image/jpeg");
    assert_eq!(headers["content-length"], "700001");
    assert!(body == photo, "{} bytes came back", body.len());
    let (status, headers, body) =
        request(&gateway, "GET", &format!("/v1/media/{opus}"), "", whole("")).await;
    assert_eq!((status, body.len()), (StatusCode::OK, 3 * MIB));
    assert_eq!(headers["content-type"], "audio/ogg; codecs=opus");
    assert_eq!(files(&media).len(), 2);

    let (status, _, body) = request(&gateway, "DELETE", &path, "", whole("")).await;
    assert_eq!((status, read(&body)["errors"].is_null()), (StatusCode::OK, true));
    for method in ["GET", "DELETE"] {
        let (status, _, body) = request(&gateway, method, &path, "", whole("")).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{method}");
        assert_eq!(read(&body)["errors"][0]["code"], 1006, "{method}");
    }
    assert_eq!(files(&media).len(), 1);

    // A restart loses nothing.
    let (_, directory) = gateway.stop().await;
    let mut gateway = Gateway::start_in(directory).await;
    gateway.login(support::PASSWORD, &Value::Null).await;
    let path = format!("/v1/media/{opus}/");
    let (status, _, body) = request(&gateway, "GET", &path, "", whole("")).await;
    assert_eq!((status, body.len()), (StatusCode::OK, 3 * MIB));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_is_refused_by_its_code_and_leaves_nothing() {
    let gateway = Gateway::start().await;
    let byte = || whole("x");
    for (what, content_type, body, status, code) in [
        ("no body", "image/png", whole(""), 400, 1008),
        ("a chunked body without a byte", "image/png", chunked(0), 400, 1008),
        ("no content type", "", byte(), 400, 1008),
        ("plain ogg", "audio/ogg", byte(), 400, 1009),
        ("no media type", "picture", byte(), 400, 1009),
        ("a form", "multipart/form-data; boundary=x", byte(), 400, 1009),
        ("more than 100 MiB, announced", "video/mp4", whole(vec![0; 100 * MIB + 1]), 413, 1025),
        ("more than 100 MiB, as it turns out", "video/mp4", chunked(101), 413, 1025),
    ] {
        let (found, _, body) = request(&gateway, "POST", "/v1/media", content_type, body).await;
        let body = read(&body);
        assert_eq!((found.as_u16(), &body["errors"][0]["code"]), (status, &code.into()), "{what}");
    }
    for path in ["/v1/media/no-id", "/v1/media/f043afd0-f0ae-4b9c-ab3d-696fb4c8cd68"] {
        let (status, _, body) = request(&gateway, "GET", path, "", whole("")).await;
        assert_eq!(
            (status, read(&body)["errors"][0]["code"].as_u64()),
            (StatusCode::NOT_FOUND, Some(1006))
        );
    }
    let anonymous = Request::builder().method("POST").uri("/v1/media").header("host", "gateway");
    let (status, ..) = exchange(gateway.http, anonymous.body(byte()).unwrap()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(files(&gateway.directory.path().join("media")), [""; 0]);
    assert_eq!(rows(&gateway.directory.path().join("heliograph.db")), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_leaves_neither_file_nor_row() {
    let gateway = Gateway::start().await;
    let media = gateway.directory.path().join("media");
    let stream = begin(gateway.http, gateway.token()).await;
    until("the file is being written", async || (files(&media).len() == 1).then_some(())).await;
    drop(stream);
    until("the file is gone", async || files(&media).is_empty().then_some(())).await;
    assert_eq!(rows(&gateway.directory.path().join("heliograph.db")), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_coreapp_was_writing_is_gone_after_its_next_start() {
    let roles = Roles::start(1).await;
    let media = roles.directory.path().join("media");
    let _upload = begin(roles.webapps[0], &roles.token).await;
    until("the file is being written", async || (files(&media).len() == 1).then_some(())).await;
    roles.kill("coreapp").await;
    assert_eq!(files(&media).len(), 1, "a kill sweeps nothing");
    roles.start_coreapp();
    until("the file is gone", async || files(&media).is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_kept_sealed_and_shown_until_it_is_taken_away() {
    const PROVIDERS: &str = "/v1/settings/application/media/providers";
    let gateway = Gateway::start().await;
    let shown = async |gateway: &Gateway| {
        let answer = gateway.call("GET", PROVIDERS, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.body["settings"]["application"]["media"]["providers"].clone()
    };
    assert_eq!(shown(&gateway).await, json!([]));
    let provider = json!([{"name": "cdn", "type": "www", "config": {"bearer": "s3cret-t0ken"}}]);
    let answer = gateway.call("POST", PROVIDERS, &provider.to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(shown(&gateway).await, provider);
    let refused = gateway.call("POST", PROVIDERS, "[{}]").await;
    assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, Some(1008)));

    let (_, directory) = gateway.stop().await;
    let rows = fs::read(directory.path().join("heliograph.db")).unwrap();
    let token = b"s3cret-t0ken";
    assert!(!rows.windows(token.len()).any(|window| window == token), "it is stored in clear");
    let mut gateway = Gateway::start_in(directory).await;
    gateway.login(support::PASSWORD, &Value::Null).await;
    assert_eq!(shown(&gateway).await, provider);
    let answer = gateway.call("DELETE", &format!("{PROVIDERS}/cdn"), "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let answer = gateway.call("DELETE", &format!("{PROVIDERS}/cdn"), "").await;
    assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, Some(1006)));
    assert_eq!(shown(&gateway).await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn collection_takes_what_is_unused_and_tells_how_much() {
    let gateway = Gateway::start().await;
    let media = gateway.directory.path().join("media");
    let database = gateway.directory.path().join("heliograph.db");
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(upload(&gateway, "image/png", whole("x")).await);
    }
    // Nobody has used the first for long, the second has been sent meanwhile.
    let mut rows = SqliteConnection::establish(database.to_str().unwrap()).unwrap();
    rows.batch_execute(&format!(
        "PRAGMA busy_timeout = 10000;
         UPDATE media SET created_ms = 0 WHERE lower(hex(id)) IN ('{0}', '{1}');
         INSERT INTO blob_handle SELECT id, unixepoch() * 1000, CAST('h' AS BLOB) FROM media
         WHERE lower(hex(id)) = '{1}'",
        ids[0].replace('-', ""),
        ids[1].replace('-', ""),
    ))
    .unwrap();
    // Left by a crash.
    let orphan = media.join("ff/ffffffff-ffff-4fff-bfff-fffffffffff0");
    fs::create_dir_all(orphan.parent().unwrap()).unwrap();
    let file = fs::File::create(&orphan).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();

    for (path, what, count, deleted) in [
        ("/v1/services/media/gc", "media", "items_deleted", 2),
        ("/v1/services/message/gc", "message", "messages_deleted", 0),
    ] {
        let answer = gateway.call("PUT", path, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert_eq!(answer.body["services"][what]["gc"], json!({"status": "processing"}));
        let told = until("the callback", async || {
            let events = gateway.call("GET", "/v1/events", "").await;
            let events = events.body["events"].as_array()?.clone();
            let gc =
                |event: &Value| event.pointer(&format!("/payload/services/0/{what}/gc")).cloned();
            events.iter().find_map(gc)
        })
        .await;
        assert_eq!(told, json!({"status": "complete", count: deleted}));
    }
    assert!(!orphan.exists());
    for (id, left) in ids.iter().zip([false, true, true]) {
        let (status, ..) =
            request(&gateway, "GET", &format!("/v1/media/{id}"), "", whole("")).await;
        assert_eq!(status.is_success(), left, "{id}");
    }
    assert_eq!(files(&media).len(), 2);
}

/// What a phone got of these messages, once it has so many.
async fn got(gateway: &Gateway, phone: &str, count: usize) -> Vec<Value> {
    until("the messages", async || {
        let path = format!("/phones/{phone}/messages");
        let messages = gateway.network("GET", &path, &Value::Null).await["messages"].clone();
        let messages: Vec<Value> = serde_json::from_value(messages).unwrap();
        (messages.len() == count).then_some(messages)
    })
    .await
}

async fn send(gateway: &Gateway, to: &str, kind: &str, file: Value) -> support::Answer {
    let body = json!({"to": to, "type": kind, kind: file});
    gateway.call("POST", "/v1/messages", &body.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_gets_the_files_of_its_messages_in_their_order() {
    const PHONE: &str = "4915112341234";
    let gateway = Gateway::start().await;
    let photo: Vec<u8> = (0..700_001u32).map(|n| n.to_le_bytes()[1]).collect();
    let id = upload(&gateway, "image/jpeg", whole(photo.clone())).await;
    let large = upload(&gateway, "image/jpeg", chunked(6)).await;

    let unknown = json!({"id": "f043afd0-f0ae-4b9c-ab3d-696fb4c8cd68"});
    let refused = send(&gateway, PHONE, "image", unknown).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::NOT_FOUND, Some(1006)));
    let file = json!({"id": id, "caption": "one"});
    assert_eq!(send(&gateway, PHONE, "image", file).await.status, StatusCode::CREATED);
    // Too large for an image, which shows when it is sent; nobody listens at the link.
    let [nobody, ..] = support::free_ports().await;
    let link = format!("http://127.0.0.1:{nobody}/gone.png");
    for file in [json!({"id": large}), json!({"link": link})] {
        assert_eq!(send(&gateway, PHONE, "image", file).await.status, StatusCode::CREATED);
    }
    let file = json!({"id": id, "filename": "two.jpg"});
    assert_eq!(send(&gateway, PHONE, "document", file).await.status, StatusCode::CREATED);
    gateway.send(PHONE, "three").await;

    let messages = got(&gateway, PHONE, 3).await;
    let first = &messages[0]["content"]["image"];
    assert_eq!((&first["caption"], &first["mime_type"]), (&json!("one"), &json!("image/jpeg")));
    assert_eq!(first["size"], photo.len());
    let second = &messages[1]["content"]["document"];
    assert_eq!(second["filename"], "two.jpg");
    assert_eq!(second["handle"], first["handle"], "handed over once");
    assert_eq!(messages[2]["content"]["text"]["body"], "three");
    let handle = first["handle"].as_str().unwrap();
    let path = format!("/phones/{PHONE}/media/{handle}");
    let request = Request::builder().uri(path).header("host", "sandbox");
    let (status, _, body) = exchange(gateway.sandbox, request.body(whole("")).unwrap()).await;
    assert!(status == StatusCode::OK && body == photo, "{} bytes came", body.len());

    let failed = until("two failures", async || {
        let events = gateway.call("GET", "/v1/events", "").await.body["events"].clone();
        let error = |event: &Value| event.pointer("/payload/statuses/0/errors/0").cloned();
        let errors: Vec<Value> = events.as_array()?.iter().filter_map(error).collect();
        (errors.len() == 2).then_some(errors)
    })
    .await;
    assert_eq!(failed[0]["code"], 1009, "{failed:?}");
    let details = failed[1]["details"].as_str().unwrap();
    assert!(failed[1]["code"] == 1014 && details.contains(&link), "{failed:?}");
}
