//! A coreapp for tests: the generated services on one port, in a runtime of its own, so that it can
//! be killed like a process and does not share the test's clock.

use std::{
    collections::HashMap,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use contract::{ApiError, Code, Direction, Key, MessageId, Number};
use futures_util::{Stream, StreamExt as _};
use rpc::coreapp::{
    self as proto, SendFrame, SendFrames, SendReplies, SendReply, Snapshot,
    admin_server::{Admin, AdminServer},
    contacts_server::{Contacts, ContactsServer},
    directory_server::{Directory, DirectoryServer},
    messages_server::{Messages, MessagesServer},
    ops_server::{Ops, OpsServer},
    send_reply,
};
use tokio::{
    net::TcpListener,
    runtime::Runtime,
    sync::{mpsc, watch},
};
use tokio_stream::wrappers::{ReceiverStream, WatchStream};
use tonic::{Request, Response, Status, Streaming};

pub(crate) const TOKEN_KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

/// What to do with a frame.
pub(crate) enum Reaction {
    Accept,
    /// As another request with this idempotency key was.
    Replay(MessageId),
    Refuse(ApiError),
    /// Never answer.
    Hold,
    /// End the stream.
    Break,
}

type CancelScript = Box<dyn Fn(&str) -> Result<(), ApiError> + Send>;
type Script = Box<dyn Fn(usize, &SendFrame) -> Reaction + Send>;

/// What outlives a kill.
pub(crate) struct Shared {
    frames: Mutex<Vec<SendFrame>>,
    /// How many came together.
    pub(crate) together: Mutex<Vec<usize>>,
    pub(crate) quota: Mutex<Option<proto::Quota>>,
    pub(crate) cancel: Mutex<CancelScript>,
    script: Mutex<Script>,
    pub(crate) snapshot: watch::Sender<Snapshot>,
    /// Password hashes by name.
    pub(crate) hashes: Mutex<Vec<(String, String)>>,
    pub(crate) actors: Mutex<Vec<String>>,
    /// Identities by wa_id.
    pub(crate) identities: Mutex<HashMap<String, proto::Identity>>,
    /// Blocks and reports, as they were asked for.
    pub(crate) standing: Mutex<Vec<String>>,
    /// Put into the directory's answers; else nothing of a change comes back.
    pub(crate) settings: Mutex<Vec<u8>>,
    authorities: Mutex<bytes::Bytes>,
}

pub(crate) struct Core {
    pub(crate) address: SocketAddr,
    pub(crate) shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl Core {
    /// Starts one that owns all shards, knows `admin` and `clerk_7`, and accepts everything.
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared {
            frames: Mutex::default(),
            together: Mutex::default(),
            quota: Mutex::default(),
            cancel: Mutex::new(Box::new(|_| Ok(()))),
            script: Mutex::new(Box::new(|_, _| Reaction::Accept)),
            snapshot: watch::Sender::new(Snapshot::default()),
            hashes: Mutex::default(),
            actors: Mutex::default(),
            identities: Mutex::default(),
            standing: Mutex::default(),
            settings: Mutex::new(br#"{"sent_status":false}"#.to_vec()),
            authorities: Mutex::default(),
        });
        let mut core = Self { address: "127.0.0.1:0".parse().unwrap(), shared, runtime: None };
        core.revive();
        core.shared.snapshot.send_replace(core.everything());
        core
    }

    /// Starts it again on the same port.
    pub(crate) fn revive(&mut self) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let std = std::net::TcpListener::bind(self.address).unwrap();
        std.set_nonblocking(true).unwrap();
        self.address = std.local_addr().unwrap();
        let shared = Arc::clone(&self.shared);
        runtime.spawn(async move {
            let incoming = rpc::io::incoming(TcpListener::from_std(std).unwrap(), None);
            let peer = Peer(shared);
            rpc::http2::server(64)
                .add_service(MessagesServer::new(peer.clone()))
                .add_service(ContactsServer::new(peer.clone()))
                .add_service(DirectoryServer::new(peer.clone()))
                .add_service(AdminServer::new(peer.clone()))
                .add_service(OpsServer::new(peer))
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
        self.runtime = Some(runtime);
    }

    /// As `kill -9`: every socket closes, nothing is answered.
    pub(crate) fn kill(&mut self) {
        let runtime = self.runtime.take().unwrap();
        // Not from within another runtime, and not before its port is free again.
        std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(5)))
            .join()
            .unwrap();
    }

    /// A whole snapshot.
    pub(crate) fn everything(&self) -> Snapshot {
        let user = |name: &str, role: proto::Role| proto::User {
            name: name.to_owned(),
            role: role.into(),
            ..proto::User::default()
        };
        Snapshot {
            version: 1,
            shards: Some(proto::ShardMap {
                owners: vec![self.address.to_string(); 64],
                control: self.address.to_string(),
                version: 1,
            }),
            users: Some(proto::Users {
                users: vec![user("admin", proto::Role::Admin), user("clerk_7", proto::Role::User)],
            }),
            revocations: Some(proto::Revocations::default()),
            token_key: Some(proto::TokenKey { key: TOKEN_KEY.into() }),
            account: Some(proto::AccountState { number: "15550100100".to_owned() }),
            limits: Some(proto::Limits::default()),
            stale: false,
            logging: None,
            certificate: None,
        }
    }

    /// From now on.
    pub(crate) fn script(&self, script: impl Fn(usize, &SendFrame) -> Reaction + Send + 'static) {
        *self.shared.script.lock().unwrap() = Box::new(script);
    }

    /// Everything that came over pipes.
    pub(crate) fn frames(&self) -> Vec<SendFrame> {
        self.shared.frames.lock().unwrap().clone()
    }

    pub(crate) fn address(&self) -> webapp::CoreAddress {
        let at = self.address.to_string();
        webapp::CoreAddress { messages: at.clone(), contacts: at.clone(), control: at }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[derive(Clone)]
struct Peer(Arc<Shared>);

impl Peer {
    /// Takes note of what is asked for a number; one ending in 0000 is not engaged.
    fn stands(&self, number: &str, what: &str) -> Result<(), Status> {
        if number.ends_with("0000") {
            return Err(rpc::error::to_status(ApiError::new(Code::NOT_ENGAGED, "not engaged")));
        }
        self.0.standing.lock().unwrap().push(format!("{number} {what}"));
        Ok(())
    }

    fn heard<T>(&self, request: &Request<T>) {
        let actor = request.metadata().get("hg-actor").and_then(|value| value.to_str().ok());
        let role = request.metadata().get("hg-role").and_then(|value| value.to_str().ok());
        let heard = format!("{}/{}", actor.unwrap_or("-"), role.unwrap_or("-"));
        self.0.actors.lock().unwrap().push(heard);
    }
}

type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Messages for Peer {
    type PipeStream = BoxStream<SendReplies>;

    async fn pipe(
        &self,
        request: Request<Streaming<SendFrames>>,
    ) -> Result<Response<Self::PipeStream>, Status> {
        let (replies, out) = mpsc::channel(2_048);
        let (mut frames, shared) = (request.into_inner(), Arc::clone(&self.0));
        tokio::spawn(async move {
            let mut together = std::collections::VecDeque::new();
            loop {
                let Some(frame): Option<SendFrame> = together.pop_front() else {
                    let Some(Ok(next)) = frames.next().await else { return };
                    shared.together.lock().unwrap().push(next.frames.len());
                    together.extend(next.frames);
                    continue;
                };
                let reaction = {
                    let mut seen = shared.frames.lock().unwrap();
                    seen.push(frame.clone());
                    (shared.script.lock().unwrap())(seen.len(), &frame)
                };
                let result = match reaction {
                    Reaction::Replay(id) => send_reply::Result::Accepted(proto::Accepted {
                        id: id.to_string(),
                        replayed: true,
                    }),
                    Reaction::Accept => send_reply::Result::Accepted(proto::Accepted {
                        replayed: false,
                        id: MessageId {
                            direction: Direction::Outbound,
                            number: frame.to.parse::<Number>().unwrap(),
                            key: Key::from_bytes(&frame.key).unwrap(),
                        }
                        .to_string(),
                    }),
                    Reaction::Refuse(error) => send_reply::Result::Error(error.into()),
                    Reaction::Hold => continue,
                    Reaction::Break => return,
                };
                let reply = SendReply { seq: frame.seq, result: Some(result) };
                let quota = *shared.quota.lock().unwrap();
                if replies.send(Ok(SendReplies { replies: vec![reply], quota })).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(out))))
    }

    async fn send(&self, _: Request<SendFrame>) -> Result<Response<SendReply>, Status> {
        Err(Status::unimplemented("the edge does not use it"))
    }

    type SendManyStream = BoxStream<SendReply>;

    async fn send_many(
        &self,
        _: Request<Streaming<SendFrame>>,
    ) -> Result<Response<Self::SendManyStream>, Status> {
        Err(Status::unimplemented("the edge does not use it"))
    }

    async fn cancel(
        &self,
        request: Request<proto::CancelRequest>,
    ) -> Result<Response<proto::CancelResponse>, Status> {
        self.heard(&request);
        let cancelled = (self.0.cancel.lock().unwrap())(&request.into_inner().id);
        cancelled.map_err(rpc::error::to_status)?;
        Ok(Response::new(proto::CancelResponse {}))
    }

    async fn mark_read(
        &self,
        _: Request<proto::MarkReadRequest>,
    ) -> Result<Response<proto::MarkReadResponse>, Status> {
        Ok(Response::new(proto::MarkReadResponse {}))
    }
}

#[tonic::async_trait]
impl Contacts for Peer {
    async fn check(
        &self,
        request: Request<proto::CheckRequest>,
    ) -> Result<Response<proto::CheckResponse>, Status> {
        self.heard(&request);
        let contact = |input: String| match input.parse::<Number>() {
            Ok(number) => proto::Contact {
                input,
                status: proto::contact::Status::Valid.into(),
                wa_id: number.to_string(),
            },
            Err(_) => proto::Contact {
                input,
                status: proto::contact::Status::Invalid.into(),
                wa_id: String::new(),
            },
        };
        let contacts = request.into_inner().inputs.into_iter().map(contact).collect();
        Ok(Response::new(proto::CheckResponse { contacts }))
    }

    async fn get_identity(
        &self,
        request: Request<proto::GetIdentityRequest>,
    ) -> Result<Response<proto::Identity>, Status> {
        self.heard(&request);
        let identities = self.0.identities.lock().unwrap();
        match identities.get(&request.into_inner().wa_id) {
            Some(identity) => Ok(Response::new(identity.clone())),
            None => Err(rpc::error::to_status(ApiError::new(Code::NOT_FOUND, "not known"))),
        }
    }

    async fn ack_identity(
        &self,
        request: Request<proto::AckIdentityRequest>,
    ) -> Result<Response<proto::Identity>, Status> {
        self.heard(&request);
        let proto::AckIdentityRequest { wa_id, hash } = request.into_inner();
        let mut identities = self.0.identities.lock().unwrap();
        match identities.get_mut(&wa_id) {
            Some(identity) if identity.hash == hash => {
                identity.acknowledged = true;
                Ok(Response::new(identity.clone()))
            }
            Some(_) => Err(rpc::error::to_status(ApiError::new(Code::INVALID, "it is stale"))),
            None => Err(rpc::error::to_status(ApiError::new(Code::NOT_FOUND, "not known"))),
        }
    }

    async fn block(
        &self,
        request: Request<proto::BlockRequest>,
    ) -> Result<Response<proto::BlockResponse>, Status> {
        self.heard(&request);
        self.stands(&request.get_ref().number, "block")?;
        Ok(Response::new(proto::BlockResponse {}))
    }

    async fn unblock(
        &self,
        request: Request<proto::UnblockRequest>,
    ) -> Result<Response<proto::UnblockResponse>, Status> {
        self.heard(&request);
        self.stands(&request.get_ref().number, "unblock")?;
        Ok(Response::new(proto::UnblockResponse {}))
    }

    async fn report(
        &self,
        request: Request<proto::ReportRequest>,
    ) -> Result<Response<proto::ReportResponse>, Status> {
        self.heard(&request);
        let proto::ReportRequest { number, reason, block, message_id } = request.get_ref();
        self.stands(number, &format!("report {reason:?} {block} {message_id:?}"))?;
        Ok(Response::new(proto::ReportResponse {}))
    }
}

#[tonic::async_trait]
impl Directory for Peer {
    type WatchStream = BoxStream<Snapshot>;

    async fn credential(
        &self,
        request: Request<proto::CredentialRequest>,
    ) -> Result<Response<proto::CredentialResponse>, Status> {
        let name = request.into_inner().user;
        let hashes = self.0.hashes.lock().unwrap();
        let Some((_, hash)) = hashes.iter().find(|(known, _)| *known == name) else {
            return Err(rpc::error::to_status(ApiError::new(Code::NOT_FOUND, "no such user")));
        };
        let snapshot = self.0.snapshot.borrow();
        let users = &snapshot.users.as_ref().unwrap().users;
        let user = users.iter().find(|user| user.name == name).unwrap();
        Ok(Response::new(proto::CredentialResponse {
            user: name,
            password_hash: hash.clone(),
            role: user.role,
            must_change: user.must_change,
        }))
    }

    async fn watch(
        &self,
        _: Request<proto::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let snapshots = WatchStream::new(self.0.snapshot.subscribe());
        Ok(Response::new(Box::pin(snapshots.map(Ok))))
    }
}

#[tonic::async_trait]
impl Admin for Peer {
    async fn get_settings(
        &self,
        request: Request<proto::GetSettingsRequest>,
    ) -> Result<Response<proto::Settings>, Status> {
        self.heard(&request);
        let application = self.0.settings.lock().unwrap().clone().into();
        Ok(Response::new(proto::Settings { version: 1, application }))
    }

    async fn patch_settings(
        &self,
        request: Request<proto::PatchSettingsRequest>,
    ) -> Result<Response<proto::Settings>, Status> {
        self.heard(&request);
        let application = request.into_inner().patch;
        if application.is_empty() {
            let error = ApiError::new(Code::MISSING, "Give at least one parameter to change");
            return Err(rpc::error::to_status(error));
        }
        *self.0.settings.lock().unwrap() = application.to_vec();
        Ok(Response::new(proto::Settings { version: 2, application }))
    }

    async fn reset_settings(
        &self,
        request: Request<proto::ResetSettingsRequest>,
    ) -> Result<Response<proto::Settings>, Status> {
        self.heard(&request);
        *self.0.settings.lock().unwrap() = b"{}".to_vec();
        Ok(Response::new(proto::Settings { version: 3, application: "{}".into() }))
    }

    async fn get_webhook_authorities(
        &self,
        request: Request<proto::GetWebhookAuthoritiesRequest>,
    ) -> Result<Response<proto::WebhookAuthorities>, Status> {
        self.heard(&request);
        let pem = self.0.authorities.lock().unwrap().clone();
        Ok(Response::new(proto::WebhookAuthorities { pem }))
    }

    async fn set_webhook_authorities(
        &self,
        request: Request<proto::SetWebhookAuthoritiesRequest>,
    ) -> Result<Response<proto::SetWebhookAuthoritiesResponse>, Status> {
        self.heard(&request);
        *self.0.authorities.lock().unwrap() = request.into_inner().pem;
        Ok(Response::new(proto::SetWebhookAuthoritiesResponse {}))
    }

    async fn set_password(
        &self,
        request: Request<proto::SetPasswordRequest>,
    ) -> Result<Response<proto::SetPasswordResponse>, Status> {
        self.heard(&request);
        let proto::SetPasswordRequest { user, password_hash } = request.into_inner();
        self.0.hashes.lock().unwrap().retain(|(name, _)| *name != user);
        self.0.hashes.lock().unwrap().push((user.clone(), password_hash));
        let shared = Arc::clone(&self.0);
        // The change comes back with the directory later than the call is answered.
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            shared.snapshot.send_modify(|snapshot| {
                for known in &mut snapshot.users.as_mut().unwrap().users {
                    known.must_change &= known.name != user;
                }
            });
        });
        Ok(Response::new(proto::SetPasswordResponse {}))
    }

    async fn revoke_token(
        &self,
        request: Request<proto::RevokeTokenRequest>,
    ) -> Result<Response<proto::RevokeTokenResponse>, Status> {
        self.heard(&request);
        let rand = request.into_inner().rand;
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            shared.snapshot.send_modify(|snapshot| {
                snapshot.revocations.as_mut().unwrap().rands.push(rand);
            });
        });
        Ok(Response::new(proto::RevokeTokenResponse {}))
    }
}

#[tonic::async_trait]
impl Ops for Peer {
    async fn health(
        &self,
        _: Request<proto::HealthRequest>,
    ) -> Result<Response<proto::HealthResponse>, Status> {
        let node = proto::NodeHealth {
            node: "core-1".to_owned(),
            gateway_status: "connected".to_owned(),
            role: "primary_master".to_owned(),
        };
        Ok(Response::new(proto::HealthResponse { nodes: vec![node] }))
    }

    async fn stats(
        &self,
        _: Request<proto::StatsRequest>,
    ) -> Result<Response<proto::StatsResponse>, Status> {
        let metric = proto::Metric {
            name: "pending_messages".to_owned(),
            r#type: "gauge".to_owned(),
            help: "Jobs.".to_owned(),
            samples: vec![proto::Sample { labels: Default::default(), value: 3.0 }],
        };
        let (metrics, node) = (vec![metric], "core-1".to_owned());
        Ok(Response::new(proto::StatsResponse { metrics, node }))
    }
}
