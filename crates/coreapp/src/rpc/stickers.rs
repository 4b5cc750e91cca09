//! Port 6252: packs of stickers.

use std::sync::Arc;

use ::rpc::{
    coreapp::{
        DeletePackRequest, DeletePackResponse, DeleteStickerRequest, DeleteStickerResponse,
        GetPackRequest, GetStickerRequest, ListPacksRequest, Pack, Packs as Listed, PutPackRequest,
        PutPackResponse, PutStickerRequest, PutStickerResponse, Sticker,
        stickerpacks_server::Stickerpacks,
    },
    error::to_status,
};
use contract::{
    ApiError, Code,
    stickers::{Packs, StickerChange, fits, no_image},
};
use store::rows::MediaState;
use tonic::{Request, Response, Status};

use crate::{control::Control, media::Shelf, stickers};

/// See the proto.
pub(crate) struct StickersService {
    pub control: Arc<Control>,
    pub shelf: Arc<Shelf>,
}

#[tonic::async_trait]
impl Stickerpacks for StickersService {
    async fn list(&self, _: Request<ListPacksRequest>) -> Result<Response<Listed>, Status> {
        let packs = self.packs().await.map_err(to_status)?;
        Ok(Response::new(Listed { ids: packs.ids().map(str::to_owned).collect() }))
    }

    async fn get(&self, request: Request<GetPackRequest>) -> Result<Response<Pack>, Status> {
        let packs = self.packs().await.map_err(to_status)?;
        let pack = packs.get(&request.into_inner().id).map_err(to_status)?;
        let shown = pack.shown().to_string().into();
        let stickers = pack.stickers().map(|sticker| sticker.index).collect();
        Ok(Response::new(Pack { shown, stickers }))
    }

    async fn get_sticker(
        &self,
        request: Request<GetStickerRequest>,
    ) -> Result<Response<Sticker>, Status> {
        let GetStickerRequest { pack, index } = request.into_inner();
        let packs = self.packs().await.map_err(to_status)?;
        let sticker = packs.get(&pack).and_then(|pack| pack.sticker(index)).map_err(to_status)?;
        Ok(Response::new(Sticker { shown: sticker.to_json().into() }))
    }

    async fn put(
        &self,
        request: Request<PutPackRequest>,
    ) -> Result<Response<PutPackResponse>, Status> {
        let PutPackRequest { id, body, new } = request.into_inner();
        self.change(|packs| if new { packs.with(&id, &body) } else { packs.changed(&id, &body) })
            .await?;
        Ok(Response::new(PutPackResponse {}))
    }

    async fn delete(
        &self,
        request: Request<DeletePackRequest>,
    ) -> Result<Response<DeletePackResponse>, Status> {
        let id = request.into_inner().id;
        self.change(|packs| packs.without(&id)).await?;
        Ok(Response::new(DeletePackResponse {}))
    }

    async fn put_sticker(
        &self,
        request: Request<PutStickerRequest>,
    ) -> Result<Response<PutStickerResponse>, Status> {
        let PutStickerRequest { pack, body, index } = request.into_inner();
        let change = StickerChange::read(&body, index.is_none()).map_err(to_status)?;
        self.has_image(&change).await.map_err(to_status)?;
        let mut at = index.unwrap_or_default();
        self.change(|packs| match index {
            Some(index) => packs.with_changed_sticker(&pack, index, change),
            None => {
                let (packs, new) = packs.with_sticker(&pack, change)?;
                at = new;
                Ok(packs)
            }
        })
        .await?;
        Ok(Response::new(PutStickerResponse { index: at }))
    }

    async fn delete_sticker(
        &self,
        request: Request<DeleteStickerRequest>,
    ) -> Result<Response<DeleteStickerResponse>, Status> {
        let DeleteStickerRequest { pack, index } = request.into_inner();
        self.change(|packs| packs.without_sticker(&pack, index)).await?;
        Ok(Response::new(DeleteStickerResponse {}))
    }
}

impl StickersService {
    async fn packs(&self) -> Result<Packs, ApiError> {
        stickers::packs(&self.control).await
    }

    async fn change(
        &self,
        change: impl FnOnce(Packs) -> Result<Packs, ApiError>,
    ) -> Result<(), Status> {
        stickers::change(&self.control, change).await.map_err(to_status)
    }

    /// Is the file there, and may it be a sticker's?
    async fn has_image(&self, change: &StickerChange) -> Result<(), ApiError> {
        let Some(id) = change.image else { return Ok(()) };
        let file = match self.shelf.find(id).await {
            Err(error) if error.code == Code::NOT_FOUND => return Err(no_image()),
            file => file?.media,
        };
        if file.state == MediaState::Absent {
            return Err(no_image());
        }
        fits(&file.mime, file.size.unsigned_abs())
    }
}
