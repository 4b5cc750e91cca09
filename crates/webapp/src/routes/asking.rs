//! Who asks, and the way to the coreapps on their behalf: what handlers share that pass a call on.

use std::{sync::Arc, time::Duration};

use axum::extract::FromRequestParts;
use contract::{ApiError, Code, Number};
use http::request::Parts;
use tonic::{Request, Response, Status, transport::Channel};

use crate::{
    app::App,
    auth::{Admin, Caller},
    edge::{Consulted, Context, Refusal},
    hop::Asker,
};

/// A caller, ready to ask.
pub(super) struct Asking {
    pub(super) app: Arc<App>,
    pub(super) caller: Caller,
    asker: Asker,
}

/// The same for an admin.
pub(super) struct AskingAdmin(pub(super) Asking);

impl Asking {
    fn of(parts: &Parts, app: &Arc<App>, caller: Caller) -> Result<Self, Refusal> {
        let context = parts.extensions.get::<Context>().ok_or_else(|| {
            ApiError::new(Code::INTERNAL, "The request has lost its context on the way")
        })?;
        let asker = caller.asker(context, &parts.headers);
        Ok(Self { app: Arc::clone(app), caller, asker })
    }

    /// Asks any coreapp on its control listener. Only for calls that may be repeated.
    ///
    /// # Errors
    /// What it refused with; 503/1011 when none answered within `limit`.
    pub(super) async fn any<M, T, F>(
        &self,
        limit: Duration,
        message: M,
        call: impl Fn(Channel, Request<M>) -> F,
    ) -> Result<T, Refusal>
    where
        M: Clone,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let call = |channel| call(channel, self.request(&message, limit));
        self.app.cores.control(limit, call).await.map_err(consulted)
    }

    /// The same over the connection for files; `limit` is for the answer to begin.
    ///
    /// # Errors
    /// As [`Self::any`].
    pub(super) async fn media<M, T, F>(
        &self,
        limit: Duration,
        message: M,
        call: impl Fn(Channel, Request<M>) -> F,
    ) -> Result<T, Refusal>
    where
        M: Clone,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let call = |channel| call(channel, self.request(&message, limit));
        self.app.cores.media(limit, call).await.map_err(consulted)
    }

    /// Asks the coreapp that changes what belongs to the account.
    ///
    /// # Errors
    /// As [`Self::any`].
    pub(super) async fn writer<M, T, F>(
        &self,
        limit: Duration,
        message: M,
        call: impl Fn(Channel, Request<M>) -> F,
    ) -> Result<T, Refusal>
    where
        M: Clone,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let call = |channel| call(channel, self.request(&message, limit));
        self.app.cores.writer(limit, call).await.map_err(consulted)
    }

    /// Asks the coreapp that owns a contact's shard on its contacts listener.
    ///
    /// # Errors
    /// As [`Self::any`].
    pub(super) async fn owner_of<M, T, F>(
        &self,
        number: &Number,
        limit: Duration,
        message: M,
        call: impl Fn(Channel, Request<M>) -> F,
    ) -> Result<T, Refusal>
    where
        M: Clone,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let call = |channel| call(channel, self.request(&message, limit));
        self.app.cores.owner_of(number, limit, call).await.map_err(consulted)
    }

    /// The same on its messages listener.
    ///
    /// # Errors
    /// As [`Self::any`].
    pub(super) async fn messages_owner_of<M, T, F>(
        &self,
        number: &Number,
        limit: Duration,
        message: M,
        call: impl Fn(Channel, Request<M>) -> F,
    ) -> Result<T, Refusal>
    where
        M: Clone,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let call = |channel| call(channel, self.request(&message, limit));
        self.app.cores.messages_owner_of(number, limit, call).await.map_err(consulted)
    }

    /// Asks every coreapp on its control listener: address and answer of each.
    pub(super) async fn every<M, T, F>(
        &self,
        limit: Duration,
        message: M,
        call: impl Fn(Channel, Request<M>) -> F,
    ) -> Vec<(String, Result<T, ApiError>)>
    where
        M: Clone,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.app.cores.every(limit, |channel| call(channel, self.request(&message, limit))).await
    }

    fn request<M: Clone>(&self, message: &M, limit: Duration) -> Request<M> {
        self.asker.request(message.clone(), limit)
    }
}

/// A refusal after a coreapp was asked.
pub(super) fn consulted(error: ApiError) -> Refusal {
    Refusal::from(error).consulted(Consulted(None))
}

impl FromRequestParts<Arc<App>> for Asking {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let caller = Caller::from_request_parts(parts, app).await?;
        Self::of(parts, app, caller)
    }
}

impl FromRequestParts<Arc<App>> for AskingAdmin {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let Admin(caller) = Admin::from_request_parts(parts, app).await?;
        Asking::of(parts, app, caller).map(Self)
    }
}
