//! The progress bar of a run, on stderr.

use std::{sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;

use super::tally::Tally;

const PERIOD: Duration = Duration::from_millis(200);

/// Invisible where stderr is no terminal.
#[derive(Debug)]
pub(crate) struct Bar {
    bar: ProgressBar,
    follower: Option<JoinHandle<()>>,
}

impl Bar {
    pub(crate) fn new(messages: u64) -> Self {
        let bar = ProgressBar::new(messages);
        let template = "{elapsed:>4} {wide_bar} {pos}/{len} {per_sec} {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar, follower: None }
    }

    pub(crate) fn say(&self, what: &'static str) {
        self.bar.set_message(what);
        self.bar.tick();
    }

    /// Shows what the tally counts from now on.
    pub(crate) fn follow(&mut self, tally: &Arc<Tally>) {
        self.bar.reset();
        let (bar, tally) = (self.bar.clone(), tally.clone());
        self.follower = Some(tokio::spawn(async move {
            loop {
                show(&bar, &tally);
                tokio::time::sleep(PERIOD).await;
            }
        }));
    }

    pub(crate) fn finish(&self) {
        if let Some(follower) = &self.follower {
            follower.abort();
        }
        self.bar.finish_and_clear();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.finish();
    }
}

fn show(bar: &ProgressBar, tally: &Tally) {
    let progress = tally.progress();
    bar.set_position(progress.accepted_counted);
    let delivered = progress.settled;
    bar.set_message(match (progress.accepted_counted, progress.refused) {
        (0, _) => format!("warming up, delivered {delivered}"),
        (_, 0) => format!("delivered {delivered}"),
        (_, refused) => format!("delivered {delivered}, refused {refused}"),
    });
}
