//! Port 6252: the certificate that webapps serve with.

use std::sync::Arc;

use ::rpc::{
    coreapp::{SetExternalRequest, SetExternalResponse, certificates_server::Certificates},
    error::to_status,
};
use contract::{ApiError, Code};
use tonic::{Request, Response, Status};

use crate::control::{Control, Document};

/// Bytes of key and chain.
const MAX_BYTES: usize = 64 << 10;

/// See the proto.
pub(crate) struct CertificatesService {
    pub control: Arc<Control>,
}

#[tonic::async_trait]
impl Certificates for CertificatesService {
    async fn set_external(
        &self,
        request: Request<SetExternalRequest>,
    ) -> Result<Response<SetExternalResponse>, Status> {
        let pem = request.into_inner().pem;
        if pem.len() > MAX_BYTES {
            let details = format!("'pem' has more than {} KiB", MAX_BYTES >> 10);
            return Err(to_status(ApiError::new(Code::INVALID, details)));
        }
        self.control.put(vec![(Document::Certificate, pem)], None).await.map_err(to_status)?;
        Ok(Response::new(SetExternalResponse {}))
    }
}
