//! Keeps the copy fresh: one stream to one coreapp, the next coreapp when it breaks or falls silent.

use std::{sync::Arc, time::Duration};

use rpc::coreapp::{Snapshot, WatchRequest, directory_client::DirectoryClient};
use tokio::time::{sleep, timeout};
use tonic::{Status, Streaming};

use super::Directory;
use crate::hop::{Backoff, Cores, cause};

/// To open the stream and get its first frame.
const OPEN: Duration = Duration::from_secs(5);
/// Longest silence: a sign of life comes every second. Within it and one attempt more the shards of a
/// coreapp that says nothing are looked for with another one.
const SILENCE: Duration = Duration::from_secs(3);

/// Largest frame, bytes. 100,000 revoked tokens, the most there are, take 3.4 MB.
const MAX_FRAME: usize = 8 << 20;

const STALE: &str = "the coreapp does not hear of the database";

/// Follows the coreapps, one after another, for ever.
pub(crate) async fn follow(directory: Arc<Directory>, cores: Arc<Cores>, webapp: String) {
    let mut backoff = Backoff::default();
    loop {
        let (address, channel) = cores.preferred();
        let client = DirectoryClient::new(channel).max_decoding_message_size(MAX_FRAME);
        match timeout(OPEN, open(client, &webapp)).await.unwrap_or_else(|_| Err(silent(OPEN))) {
            Ok((first, _)) if first.stale => {
                directory.is_without_database();
                tracing::warn!(coreapp = address, "{STALE}");
            }
            Ok((first, stream)) => {
                let state = directory.state.borrow().first(first);
                directory.publish(state);
                directory.sign_of_life();
                directory.set_connected(true);
                tracing::info!(coreapp = address, "following the directory");
                backoff.reset();
                let end = read(&directory, stream).await;
                directory.set_connected(false);
                tracing::warn!(coreapp = address, cause = cause(&end), "the directory broke off");
            }
            Err(status) => {
                tracing::warn!(
                    coreapp = address,
                    cause = cause(&status),
                    "failed to follow the directory"
                );
            }
        }
        cores.prefer_next();
        sleep(backoff.next_delay()).await;
    }
}

async fn open(
    mut client: DirectoryClient<tonic::transport::Channel>,
    webapp: &str,
) -> Result<(Snapshot, Streaming<Snapshot>), Status> {
    let request = WatchRequest { webapp: webapp.to_owned() };
    let mut stream = client.watch(request).await?.into_inner();
    let first = stream.message().await?.ok_or_else(ended)?;
    Ok((first, stream))
}

/// Reads until the stream ends; says why it did.
async fn read(directory: &Directory, mut stream: Streaming<Snapshot>) -> Status {
    loop {
        match timeout(SILENCE, stream.message()).await {
            Err(_) => return silent(SILENCE),
            Ok(Err(status)) => return status,
            Ok(Ok(None)) => return ended(),
            Ok(Ok(Some(frame))) if frame.stale => {
                directory.is_without_database();
                return Status::unavailable(STALE);
            }
            Ok(Ok(Some(frame))) => {
                if frame != (Snapshot { version: frame.version, ..Snapshot::default() }) {
                    let state = directory.state.borrow().then(frame);
                    directory.publish(state);
                }
                directory.sign_of_life();
            }
        }
    }
}

fn silent(limit: Duration) -> Status {
    Status::deadline_exceeded(format!("nothing was heard for {} s", limit.as_secs()))
}

fn ended() -> Status {
    Status::unavailable("the coreapp ended the stream")
}
