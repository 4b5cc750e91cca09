//! Binds and serves the four ports.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsFd as _,
    sync::Arc,
};

use ::rpc::{
    coreapp::{
        account_server::AccountServer, admin_server::AdminServer,
        certificates_server::CertificatesServer, collection_server::CollectionServer,
        contacts_server::ContactsServer, directory_server::DirectoryServer,
        events_server::EventsServer, media_providers_server::MediaProvidersServer,
        media_server::MediaServer, messages_server::MessagesServer,
        monitoring_server::MonitoringServer, ops_server::OpsServer, peer_server::PeerServer,
        stickerpacks_server::StickerpacksServer, user_admin_server::UserAdminServer,
    },
    http2,
    identity::Identity,
    io::incoming,
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use upstream::sandbox::Sandbox;

use super::{
    account::AccountService,
    certificates::CertificatesService,
    collection::CollectionService,
    contacts::ContactsService,
    control::ControlService,
    events::EventsService,
    health::{self, Probes},
    media::MediaService,
    messages::MessagesService,
    monitoring::MonitoringService,
    peer::PeerService,
    providers::ProvidersService,
    stickers::StickersService,
};
use crate::{inbound::Reading, intake::Intake};

/// Streams of one connection at once, by port.
const MESSAGES_STREAMS: u32 = 64;
const CONTACTS_STREAMS: u32 = 256;
pub(super) const CONTROL_STREAMS: u32 = 128;
const HEALTH_STREAMS: u32 = 32;

/// Attempts to find four free ports in a row.
const TRIES_MAX: usize = 64;

/// The bound listeners: messages, contacts, control, health.
pub(crate) struct Ports([TcpListener; 4]);

/// What is served on them.
pub(crate) struct Services {
    pub intake: Arc<Intake>,
    pub reading: Reading,
    pub contacts: ContactsService,
    pub control: ControlService,
    pub account: AccountService<Sandbox>,
    pub events: EventsService,
    pub collection: CollectionService,
    pub media: MediaService,
    pub monitoring: MonitoringService,
    pub peer: PeerService,
    pub probes: Probes,
}

/// Takes `port` and the three after it; 0 takes any four in a row.
///
/// # Errors
/// The address that could not be had.
pub(crate) async fn bind(ip: IpAddr, port: u16) -> Result<Ports, (SocketAddr, io::Error)> {
    let one = async |port: u16| {
        let addr = SocketAddr::new(ip, port);
        TcpListener::bind(addr).await.map_err(|error| (addr, error))
    };
    let mut tries = 0;
    loop {
        let first = one(port).await?;
        let bound = first.local_addr().map_err(|error| (SocketAddr::new(ip, port), error))?.port();
        let at = |offset: u16| one(bound.saturating_add(offset));
        match (at(1).await, at(2).await, at(3).await) {
            (Ok(second), Ok(third), Ok(fourth)) => {
                return Ok(Ports([first, second, third, fourth]));
            }
            _ if port == 0 && tries < TRIES_MAX => tries += 1,
            (Err(taken), ..) | (_, Err(taken), _) | (.., Err(taken)) => return Err(taken),
        }
    }
}

impl Ports {
    /// The control listener once more: both take from one queue.
    pub(super) fn control_again(&self) -> io::Result<TcpListener> {
        let [_, _, control, _] = &self.0;
        let twin = std::net::TcpListener::from(control.as_fd().try_clone_to_owned()?);
        TcpListener::from_std(twin)
    }

    /// Where they listen.
    pub(crate) fn addresses(&self) -> io::Result<[SocketAddr; 4]> {
        let [a, b, c, d] = &self.0;
        Ok([a.local_addr()?, b.local_addr()?, c.local_addr()?, d.local_addr()?])
    }
}

/// What tools ask to learn the services of all listeners. Like everything on the control listener it is
/// for those who have a certificate.
fn reflection() -> Result<
    tonic_reflection::server::v1::ServerReflectionServer<
        impl tonic_reflection::server::v1::ServerReflection,
    >,
    tonic_reflection::server::Error,
> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(rpc::DESCRIPTORS)
        .build_v1()
}

/// Serves until `stop`; running calls are finished.
pub(crate) async fn serve(
    ports: Ports,
    services: Services,
    identity: Option<&Arc<Identity>>,
    stop: &CancellationToken,
) -> JoinSet<()> {
    let Ports([messages, contacts, control, health]) = ports;
    let mut tasks = JoinSet::new();
    let mut start = |listener, streams, routes: Routes, identity: Option<&Arc<Identity>>| {
        let stopped = stop.clone().cancelled_owned();
        let server = http2::server(streams).accept_http1(true);
        let incoming = incoming(listener, identity.cloned());
        tasks.spawn(async move {
            let mut server = server;
            let served =
                server.add_routes(routes).serve_with_incoming_shutdown(incoming, stopped).await;
            if let Err(error) = served {
                tracing::error!(%error, "a listener ended");
            }
        });
    };
    let limit = http2::MAX_MESSAGE;
    let service =
        MessagesService { intake: services.intake, reading: services.reading, stop: stop.clone() };
    let service = MessagesServer::new(service).max_decoding_message_size(limit);
    start(messages, MESSAGES_STREAMS, Routes::new(service), identity);
    let service = ContactsServer::new(services.contacts).max_decoding_message_size(limit);
    start(contacts, CONTACTS_STREAMS, Routes::new(service), identity);
    let directory = DirectoryServer::new(services.control.clone());
    let admin = AdminServer::new(services.control.clone()).max_decoding_message_size(limit);
    let peer = PeerServer::new(services.peer).max_decoding_message_size(limit);
    let events = EventsServer::new(services.events).max_decoding_message_size(limit);
    let stickers = StickersService {
        control: services.control.control.clone(),
        shelf: services.media.shelf.clone(),
    };
    let stickers = StickerpacksServer::new(stickers).max_decoding_message_size(limit);
    let media = MediaServer::new(services.media).max_decoding_message_size(limit);
    let routes = Routes::new(directory).add_service(admin).add_service(peer).add_service(events);
    let providers = ProvidersService { control: services.control.control.clone() };
    let providers = MediaProvidersServer::new(providers).max_decoding_message_size(limit);
    let routes = routes.add_service(media).add_service(providers).add_service(stickers);
    let account = AccountServer::new(services.account.clone()).max_decoding_message_size(limit);
    let users = UserAdminServer::new(services.account);
    let routes = routes.add_service(CollectionServer::new(services.collection));
    let routes = routes.add_service(account).add_service(users);
    let certificates = CertificatesService { control: services.control.control.clone() };
    let certificates = CertificatesServer::new(certificates).max_decoding_message_size(limit);
    let routes = routes.add_service(certificates);
    let routes = routes.add_service(MonitoringServer::new(services.monitoring));
    let mut routes = routes.add_service(OpsServer::new(services.control));
    match reflection() {
        Ok(reflection) => routes = routes.add_service(reflection),
        // Our own descriptors, from the same build; the services work without it.
        Err(error) => tracing::error!(%error, "reflection is not served"),
    }
    start(control, CONTROL_STREAMS, routes, identity);

    let (reporter, standard) = tonic_health::server::health_reporter();
    reporter.set_serving::<MessagesServer<MessagesService>>().await;
    let report = health::report(reporter, services.probes.beat.clone(), stop.clone());
    let http = health::routes(services.probes);
    let routes = Routes::from(http).add_service(standard);
    // Probes and collectors have no certificate.
    start(health, HEALTH_STREAMS, routes, None);
    tasks.spawn(report);
    tasks
}
