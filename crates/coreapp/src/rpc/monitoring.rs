//! Port 6252: support information, and counts of the database's rows.

use std::sync::Arc;

use ::rpc::{
    coreapp::{
        Count, DatabaseRequest, DatabaseResponse, SupportRequest, SupportResponse,
        monitoring_server::Monitoring,
    },
    error::to_status,
};
use contract::{ApiError, Code};
use tonic::{Request, Response, Status};

use crate::{census::Census, control::Control, support};

/// See the proto.
#[derive(Clone)]
pub(crate) struct MonitoringService {
    pub desk: Arc<support::Desk>,
    pub census: Arc<Census>,
    pub control: Arc<Control>,
}

#[tonic::async_trait]
impl Monitoring for MonitoringService {
    async fn support(
        &self,
        _: Request<SupportRequest>,
    ) -> Result<Response<SupportResponse>, Status> {
        // Text keys and plain values always serialise.
        let support = serde_json::to_vec(&self.desk.support().await).unwrap_or_default().into();
        Ok(Response::new(SupportResponse { node: self.desk.node.clone(), support }))
    }

    async fn database(
        &self,
        _: Request<DatabaseRequest>,
    ) -> Result<Response<DatabaseResponse>, Status> {
        if !self.control.is_owner() {
            let details = "another coreapp looks after the account";
            return Err(to_status(ApiError::new(Code::NOT_PRIMARY_MASTER, details)));
        }
        let counts = self.census.counts().await.map_err(to_status)?;
        let count = |name: &str, r#type: &str, rows| Count {
            name: name.to_owned(),
            r#type: r#type.to_owned(),
            rows,
        };
        let counts = vec![
            count("db_contacts", "whatsapp_user", counts.users),
            count("db_contacts", "non_whatsapp_user", counts.strangers),
            count("db_messages", "outgoing", counts.outgoing),
            count("db_messages", "incoming", counts.incoming),
            count("db_message_receipts", "", counts.receipts),
        ];
        Ok(Response::new(DatabaseResponse { counts }))
    }
}
