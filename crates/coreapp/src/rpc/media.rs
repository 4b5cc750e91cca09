//! Port 6252: files, in pieces.

use std::{pin::Pin, sync::Arc, time::Duration};

use ::rpc::{
    coreapp::{
        DeleteMediaRequest, DeleteMediaResponse, GetMediaHead, GetMediaRequest, GetMediaResponse,
        PutMediaEnd, PutMediaHead, PutMediaRequest, PutMediaResponse, RedownloadRequest,
        RedownloadResponse, get_media_response, media_server::Media, put_media_request,
    },
    error::to_status,
};
use contract::{ApiError, Code, MediaId, media};
use futures_util::{Stream, future::BoxFuture};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::media::{PIECE, Shelf};

/// Between two pieces, in either direction; then the transfer is given up.
const STALL: Duration = Duration::from_secs(60);
/// Pieces on their way out that were not taken yet.
const QUEUE: usize = 1;

/// See the proto.
pub(crate) struct MediaService {
    pub shelf: Arc<Shelf>,
    pub redownload: Redownload,
}

/// Begins to fetch a file of a customer.
pub(crate) type Redownload =
    Box<dyn Fn(MediaId) -> BoxFuture<'static, Result<(), ApiError>> + Send + Sync>;

#[tonic::async_trait]
impl Media for MediaService {
    type GetStream = Pin<Box<dyn Stream<Item = Result<GetMediaResponse, Status>> + Send>>;

    async fn put(
        &self,
        request: Request<Streaming<PutMediaRequest>>,
    ) -> Result<Response<PutMediaResponse>, Status> {
        let id = self.take_in(request.into_inner()).await.map_err(to_status)?;
        Ok(Response::new(PutMediaResponse { id: id.to_string() }))
    }

    async fn get(
        &self,
        request: Request<GetMediaRequest>,
    ) -> Result<Response<Self::GetStream>, Status> {
        let id = parse(&request.into_inner().id).map_err(to_status)?;
        let mut file = self.shelf.give_out(id).await.map_err(to_status)?;
        let (out, queue) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            let head = GetMediaHead { content_type: file.content_type.clone(), size: file.size };
            let mut next = Ok(get_media_response::Part::Head(head));
            loop {
                let item = next.map(|part| GetMediaResponse { part: Some(part) });
                let ends = item.is_err();
                // Gone, or asleep: either way nobody waits for the rest.
                if !matches!(timeout(STALL, out.send(item)).await, Ok(Ok(()))) || ends {
                    return;
                }
                next = match file.piece().await {
                    Ok(piece) if piece.is_empty() => return,
                    Ok(piece) => Ok(get_media_response::Part::Piece(piece)),
                    Err(error) => Err(to_status(error)),
                };
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(queue))))
    }

    async fn delete(
        &self,
        request: Request<DeleteMediaRequest>,
    ) -> Result<Response<DeleteMediaResponse>, Status> {
        let id = parse(&request.into_inner().id).map_err(to_status)?;
        self.shelf.delete(id).await.map_err(to_status)?;
        Ok(Response::new(DeleteMediaResponse {}))
    }

    async fn redownload(
        &self,
        request: Request<RedownloadRequest>,
    ) -> Result<Response<RedownloadResponse>, Status> {
        let id = parse(&request.into_inner().id).map_err(to_status)?;
        (self.redownload)(id).await.map_err(to_status)?;
        Ok(Response::new(RedownloadResponse {}))
    }
}

impl MediaService {
    async fn take_in(&self, mut parts: Streaming<PutMediaRequest>) -> Result<MediaId, ApiError> {
        use put_media_request::Part;

        let Some(Part::Head(PutMediaHead { content_type })) = next(&mut parts).await? else {
            return Err(media::broken_off());
        };
        let mut file = self.shelf.take_in(&content_type).await?;
        loop {
            match next(&mut parts).await? {
                Some(Part::Piece(piece)) if piece.len() <= PIECE => file.write(&piece).await?,
                Some(Part::End(PutMediaEnd { size })) => return Ok(file.finish(size).await?.id),
                Some(Part::Piece(_)) => {
                    let details = format!("a piece has more than {PIECE} bytes");
                    return Err(ApiError::new(Code::INVALID, details));
                }
                Some(Part::Head(_)) | None => return Err(media::broken_off()),
            }
        }
    }
}

async fn next(
    parts: &mut Streaming<PutMediaRequest>,
) -> Result<Option<put_media_request::Part>, ApiError> {
    match timeout(STALL, parts.message()).await {
        Ok(Ok(part)) => Ok(part.and_then(|part| part.part)),
        Ok(Err(status)) => {
            tracing::debug!(%status, "an upload broke off");
            Err(media::broken_off())
        }
        Err(_) => Err(media::broken_off()),
    }
}

fn parse(id: &str) -> Result<MediaId, ApiError> {
    id.parse().map_err(|_| ApiError::new(Code::NOT_FOUND, "There is no file with this id"))
}
