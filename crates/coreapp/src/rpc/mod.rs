//! The four listeners: messages, contacts, control, health. A flood of one starves no other: each
//! has its own port, quota and limits.

mod account;
mod certificates;
mod collection;
mod contacts;
mod control;
mod events;
mod health;
mod media;
mod messages;
mod monitoring;
mod peer;
mod providers;
mod serve;
mod starting;
mod stickers;

pub(crate) use account::AccountService;
pub(crate) use collection::CollectionService;
pub(crate) use contacts::ContactsService;
pub(crate) use control::ControlService;
pub(crate) use events::EventsService;
pub(crate) use health::Probes;
pub(crate) use media::MediaService;
pub(crate) use monitoring::MonitoringService;
pub(crate) use peer::PeerService;
pub(crate) use serve::{Services, bind, serve};
pub(crate) use starting::Starting;
