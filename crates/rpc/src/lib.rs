//! Code generated from `proto/`, and what both ends of every gRPC hop share: HTTP/2 settings, who
//! the other one is.
//!
//! Nothing here decides anything: services are implemented in the coreapp and the sandbox, called
//! from the webapp and the upstream client.

pub mod error;
pub mod gated;
pub mod http2;
pub mod identity;
pub mod io;

/// Both APIs as an encoded `FileDescriptorSet`, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// `heliograph.coreapp.v1`: the internal API of the coreapp.
#[allow(
    clippy::all,
    clippy::pedantic,
    reason = "generated; what a generator emits changes with its version"
)]
pub mod coreapp {
    tonic::include_proto!("heliograph.coreapp.v1");
}

/// `heliograph.upstream.v1`: what the coreapp speaks with the network.
#[allow(
    clippy::all,
    clippy::pedantic,
    reason = "generated; what a generator emits changes with its version"
)]
pub mod upstream {
    tonic::include_proto!("heliograph.upstream.v1");
}
