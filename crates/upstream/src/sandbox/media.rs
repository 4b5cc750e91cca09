//! Files, in pieces.

use std::time::Duration;

use contract::Number;
use futures_util::stream;
use rpc::upstream::{
    GetMediaRequest, MediaEnd, MediaHead, PutMediaRequest, get_media_response,
    put_media_request::Part, upstream_client::UpstreamClient,
};
use tokio::{sync::mpsc, time::timeout};
use tonic::{Code, Status, transport::Channel};

use super::{answered, convert};
use crate::{CallError, NoMedia, PIECE_MAX, Piece};

/// For a whole file; it may be repeated.
const TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// For the beginning of a file that comes, and for each of its pieces.
const STALL: Duration = Duration::from_secs(20);

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

/// Fetches a file.
pub(super) async fn get(
    mut client: UpstreamClient<Channel>,
    number: Number,
    handle: String,
    pieces: mpsc::Sender<Piece>,
) -> Result<(), NoMedia> {
    use get_media_response::Part;

    let request = GetMediaRequest { number: number.to_string(), handle };
    let mut parts = in_time(client.get_media(request)).await?.into_inner();
    let mut size = 0;
    loop {
        let piece = match in_time(parts.message()).await?.and_then(|part| part.part) {
            Some(Part::Head(_)) => continue,
            Some(Part::Piece(piece)) if piece.len() <= PIECE_MAX => {
                size += piece.len() as u64;
                Piece::Bytes(piece)
            }
            Some(Part::End(end)) if end.size == size => Piece::End,
            _ => return Err(CallError("the file broke off before its end".to_owned()).into()),
        };
        let last = piece == Piece::End;
        // Nobody wants the rest.
        if pieces.send(piece).await.is_err() || last {
            return Ok(());
        }
    }
}

async fn in_time<T>(part: impl Future<Output = Result<T, Status>>) -> Result<T, NoMedia> {
    let Ok(part) = timeout(STALL, part).await else {
        return Err(CallError(format!("no answer within {} s", STALL.as_secs())).into());
    };
    part.map_err(|status| {
        let reason = convert::reason(&status);
        match status.code() {
            Code::NotFound => NoMedia::Gone(reason),
            Code::ResourceExhausted => NoMedia::Throttled(reason),
            _ => CallError(reason).into(),
        }
    })
}
