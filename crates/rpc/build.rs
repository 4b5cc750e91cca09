//! Generates the code of both gRPC APIs from `proto/` without a protoc on the machine.

use std::{env, error::Error, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let files = [
        "heliograph/coreapp/v1/account.proto",
        "heliograph/coreapp/v1/messages.proto",
        "heliograph/coreapp/v1/contacts.proto",
        "heliograph/coreapp/v1/control.proto",
        "heliograph/coreapp/v1/events.proto",
        "heliograph/coreapp/v1/media.proto",
        "heliograph/coreapp/v1/peer.proto",
        "heliograph/upstream/v1/upstream.proto",
    ];
    let set = protox::compile(files.map(|f| root.join(f)), [&root])?;
    tonic_prost_build::configure().bytes(".").compile_fds(set)?;
    Ok(())
}
