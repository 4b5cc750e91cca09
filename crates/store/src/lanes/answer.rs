//! Outcomes to those who wait: one list a channel and commit.

use contract::ShardId;
use tokio::sync::mpsc;

use crate::{
    batch::{Item, ReplyTo},
    write::{Answer, Committed, WriteError},
};

/// Gathers the answers of one commit.
#[derive(Default)]
pub(crate) struct Answers {
    /// At most one entry a channel; shards are few, so a list it is.
    lists: Vec<(mpsc::UnboundedSender<Vec<Answer>>, Vec<Answer>)>,
}

impl Answers {
    pub(crate) fn add(
        &mut self,
        shard: ShardId,
        to: ReplyTo,
        result: Result<Committed, WriteError>,
    ) {
        match to {
            ReplyTo::Token(token, Some(channel)) => {
                let answer = Answer { shard, token, result };
                match self.lists.iter_mut().find(|(known, _)| known.same_channel(&channel)) {
                    Some((_, list)) => list.push(answer),
                    None => self.lists.push((channel, vec![answer])),
                }
            }
            // Whoever dropped its end no longer wants to know.
            ReplyTo::Once(sender) => drop(sender.send(result)),
            // No shard task was ever there to hear it.
            ReplyTo::Token(_, None) | ReplyTo::None => {}
        }
    }

    pub(crate) fn refuse(&mut self, item: Item, error: WriteError) {
        self.add(item.shard, item.to, Err(error));
    }

    pub(crate) fn send(self) {
        for (channel, list) in self.lists {
            drop(channel.send(list));
        }
    }
}
