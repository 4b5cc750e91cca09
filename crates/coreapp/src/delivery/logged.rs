//! Receipts that are in our log and that the network will repeat all the same.
//!
//! A receipt is acknowledged after its event's commit; when the process or the connection ends between the
//! two, it comes again. The network's Welcome tells how far our log had got with the last acknowledgement:
//! what the log holds beyond that is what may be repeated.

use std::time::Duration;

use contract::{
    Key, ShardId,
    callback::{EventKind, StatusKind},
};
use futures_util::future::join_all;
use serde::Deserialize;
use store::{
    Lanes, Reader,
    reader::EVENTS_MAX,
    rows::{Event, NewEvent},
};
use tokio::time::timeout;
use upstream::Item;

use super::greeting::Arrival;

/// The latest events of a shard that are looked through; receipts of earlier ones are told twice.
const LOOKED_THROUGH: i64 = 1_024;
/// How long reading them may hold up what the network sends; then receipts are told twice.
const PATIENCE: Duration = Duration::from_secs(2);

/// Message and status of receipts whose events are committed.
pub(crate) type Logged = Vec<(Key, StatusKind)>;

/// Of the shards that are welcomed by these.
pub(super) async fn logged(
    reader: &Reader,
    lanes: &Lanes,
    arrivals: &[Arrival],
) -> Vec<(ShardId, Logged)> {
    let stretches = arrivals.iter().filter_map(|(shard, _, item)| match item {
        // 0: it has nothing to repeat, or has forgotten us.
        Item::Welcome { acked_our_seq, .. } if *acked_our_seq > 0 => {
            let committed = lanes.committed_seq(*shard);
            let after = (*acked_our_seq).max(committed - LOOKED_THROUGH);
            (after < committed).then_some((*shard, after, committed))
        }
        _ => None,
    });
    let reads = stretches.map(|(shard, after, to)| async move {
        (shard, of_stretch(reader, shard, after, to).await)
    });
    let reads = timeout(PATIENCE, join_all(reads)).await;
    reads.unwrap_or_else(|_| {
        tracing::warn!("the log could not be read in time; some receipts are told twice");
        Vec::new()
    })
}

async fn of_stretch(reader: &Reader, shard: ShardId, mut after: i64, to: i64) -> Logged {
    let mut logged = Vec::new();
    while after < to {
        let page = match reader.events(shard, after, EVENTS_MAX).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(shard = shard.get(), %error, "failed to read the log; some receipts are told twice");
                break;
            }
        };
        let Some(last) = page.last() else { break };
        after = last.seq;
        let in_stretch = page.iter().filter(|event| event.seq <= to);
        logged.extend(in_stretch.filter_map(|Event { event, .. }| receipt(event)));
    }
    logged
}

/// Of an event that tells of a receipt.
fn receipt(event: &NewEvent) -> Option<(Key, StatusKind)> {
    #[derive(Deserialize)]
    struct Body {
        statuses: Vec<Status>,
    }
    #[derive(Deserialize)]
    struct Status {
        status: String,
    }
    if event.kind != EventKind::Status.get() {
        return None;
    }
    let body: Body = serde_json::from_slice(&event.body).ok()?;
    let name = &body.statuses.first()?.status;
    let kinds = [StatusKind::Delivered, StatusKind::Read, StatusKind::Failed, StatusKind::Warning];
    let kind = kinds.into_iter().find(|kind| kind.as_str() == name)?;
    Some((event.key?, kind))
}
