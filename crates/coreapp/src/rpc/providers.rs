//! Port 6252: media providers.

use std::sync::Arc;

use ::rpc::{
    coreapp::{
        DeleteProviderRequest, DeleteProviderResponse, ListProvidersRequest, Providers as Shown,
        PutProvidersRequest, PutProvidersResponse, media_providers_server::MediaProviders,
    },
    error::to_status,
};
use contract::{ApiError, Code, media::Providers};
use tonic::{Request, Response, Status};

use crate::control::{Control, Document};

/// See the proto.
pub(crate) struct ProvidersService {
    pub control: Arc<Control>,
}

#[tonic::async_trait]
impl MediaProviders for ProvidersService {
    async fn list(&self, _: Request<ListProvidersRequest>) -> Result<Response<Shown>, Status> {
        let document = self.control.document(Document::MediaProviders).await;
        let providers = read(&document).map_err(to_status)?.to_json().into();
        Ok(Response::new(Shown { providers }))
    }

    async fn put(
        &self,
        request: Request<PutProvidersRequest>,
    ) -> Result<Response<PutProvidersResponse>, Status> {
        let given = request.into_inner().providers;
        let change = |now: &[u8]| Ok(read(now)?.with(&given)?.to_json());
        self.control.change(Document::MediaProviders, change).await.map_err(to_status)?;
        Ok(Response::new(PutProvidersResponse {}))
    }

    async fn delete(
        &self,
        request: Request<DeleteProviderRequest>,
    ) -> Result<Response<DeleteProviderResponse>, Status> {
        let name = request.into_inner().name;
        let change = |now: &[u8]| Ok(read(now)?.without(&name)?.to_json());
        self.control.change(Document::MediaProviders, change).await.map_err(to_status)?;
        Ok(Response::new(DeleteProviderResponse {}))
    }
}

fn read(document: &[u8]) -> Result<Providers, ApiError> {
    Providers::from_json(document).map_err(|error| {
        tracing::error!(%error, "the row of the media providers is not readable");
        ApiError::new(Code::INTERNAL, "The stored media providers are not readable")
    })
}
