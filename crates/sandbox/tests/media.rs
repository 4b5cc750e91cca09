//! Files that messages name: handed over, downloaded, kept over a restart.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod support;

use std::sync::Arc;

use bytes::Bytes;
use sandbox::Config;
use support::{Counting, Fixed, call, client, config};
use tokio::sync::mpsc;
use upstream::{Piece, Upstream};

#[tokio::test]
async fn a_file_is_there_after_a_restart_and_one_that_broke_off_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let start = async |seed| {
        let config = Config { data_dir: Some(dir.path().to_owned()), ..config() };
        sandbox::start(config, Arc::new(Fixed), Counting::from(seed)).await.unwrap()
    };
    let running = start(1).await;
    let put = async |pieces: Vec<Piece>| {
        let (out, queue) = mpsc::channel(8);
        for piece in pieces {
            out.send(piece).await.unwrap();
        }
        drop(out);
        client(&running).put_media("text/plain".to_owned(), queue).await
    };
    let piece = |text: &'static str| Piece::Bytes(Bytes::from_static(text.as_bytes()));
    assert!(put(vec![piece("half")]).await.is_err());
    let handle = put(vec![piece("[1,"), piece("2]"), Piece::End]).await.unwrap();
    let left = std::fs::read_dir(dir.path().join("media")).unwrap().count();
    assert_eq!(left, 2, "bytes and type");

    running.stop().await;
    let running = start(2).await;
    let path = format!("/phones/4915112341234/media/{handle}");
    let (status, body) = call(&running, "GET", &path, "").await;
    assert_eq!((status, body), (200, serde_json::json!([1, 2])));
    let (status, _) = call(&running, "GET", "/phones/4915112341234/media/no-handle", "").await;
    assert_eq!(status, 404);
}
