//! Files: uploaded, given out, deleted, and what is left of those that never became whole.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{convert::Infallible, fs, path::Path};

use bytes::Bytes;
use diesel::{Connection, RunQueryDsl, SqliteConnection, dsl::sql, sql_types::BigInt};
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
