//! Port 6252: collection on request.

use std::sync::Arc;

use ::rpc::{
    coreapp::{CollectRequest, CollectResponse, collection_server::Collection},
    error::to_status,
};
use tonic::{Request, Response, Status};

use crate::collection::{Collector, Kind};

/// See the proto.
pub(crate) struct CollectionService {
    pub collector: Arc<Collector>,
    pub node: String,
}

#[tonic::async_trait]
impl Collection for CollectionService {
    async fn media(&self, _: Request<CollectRequest>) -> Result<Response<CollectResponse>, Status> {
        self.begin(Kind::Media)
    }

    async fn messages(
        &self,
        _: Request<CollectRequest>,
    ) -> Result<Response<CollectResponse>, Status> {
        self.begin(Kind::Messages)
    }
}

impl CollectionService {
    fn begin(&self, kind: Kind) -> Result<Response<CollectResponse>, Status> {
        self.collector.begin(kind).map_err(to_status)?;
        Ok(Response::new(CollectResponse { node: self.node.clone() }))
    }
}
