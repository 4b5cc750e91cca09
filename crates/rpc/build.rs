//! Generates the code of both gRPC APIs from `proto/` without a protoc on the machine.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let files = [
        "heliograph/coreapp/v1/account.proto",
        "heliograph/coreapp/v1/certificates.proto",
        "heliograph/coreapp/v1/messages.proto",
        "heliograph/coreapp/v1/contacts.proto",
        "heliograph/coreapp/v1/control.proto",
        "heliograph/coreapp/v1/events.proto",
        "heliograph/coreapp/v1/media.proto",
        "heliograph/coreapp/v1/monitoring.proto",
        "heliograph/coreapp/v1/peer.proto",
        "heliograph/coreapp/v1/stickers.proto",
        "heliograph/upstream/v1/upstream.proto",
    ];
    let set = protox::compile(files.map(|f| root.join(f)), [&root])?;
    // With its comments: what reflection gives is the documentation.
    let out = PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin");
    fs::write(out, set.encode_to_vec())?;
    tonic_prost_build::configure().bytes(".").compile_fds(set)?;
    Ok(())
}
