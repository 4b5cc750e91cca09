//! Files, in pieces.

use std::time::Duration;

use contract::Number;
use futures_util::stream;
use rpc::upstream::{
    MediaEnd, MediaHead, PutMediaRequest, put_media_request::Part, upstream_client::UpstreamClient,
};
use tokio::sync::mpsc;
use tonic::transport::Channel;

use super::answered;
use crate::{CallError, Piece};

/// For a whole file; it may be repeated.
const TIMEOUT: Duration = Duration::from_secs(5 * 60);

enum At {
    Head(MediaHead, mpsc::Receiver<Piece>),
    Pieces(mpsc::Receiver<Piece>, u64),
    End,
}

/// Hands a file over.
pub(super) async fn put(
    mut client: UpstreamClient<Channel>,
    number: Number,
    content_type: String,
    pieces: mpsc::Receiver<Piece>,
) -> Result<String, CallError> {
    let head = MediaHead { number: number.to_string(), content_type };
    let parts = stream::unfold(At::Head(head, pieces), |at| async move {
        let (part, at) = match at {
            At::Head(head, pieces) => (Part::Head(head), At::Pieces(pieces, 0)),
            At::Pieces(mut pieces, size) => match pieces.recv().await? {
                Piece::Bytes(piece) => {
                    let size = size + piece.len() as u64;
                    (Part::Piece(piece), At::Pieces(pieces, size))
                }
                Piece::End => (Part::End(MediaEnd { size }), At::End),
            },
            At::End => return None,
        };
        Some((PutMediaRequest { part: Some(part) }, at))
    });
    Ok(answered(TIMEOUT, client.put_media(parts)).await?.handle)
}
