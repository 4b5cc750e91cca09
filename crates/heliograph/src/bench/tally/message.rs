//! One message: when it was due, which callbacks it has.

use tokio::time::Instant;

use super::Step;

/// Of a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Sent,
    Delivered,
    Read,
    Failed,
}

impl Status {
    pub(crate) const ALL: [Self; 4] = [Self::Sent, Self::Delivered, Self::Read, Self::Failed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Failed => "failed",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == text)
    }
}

#[derive(Debug, Default)]
pub(super) struct Message {
    /// Absent until its 201 is seen; then also whether it counts.
    due: Option<(Instant, bool)>,
    /// First callback of each status.
    at: [Option<Instant>; 4],
}

impl Message {
    pub(super) fn accepted(&mut self, due: Instant, counted: bool) {
        self.due = Some((due, counted));
    }

    pub(super) fn due(&self) -> Option<(Instant, bool)> {
        self.due
    }

    pub(super) fn counts(&self) -> bool {
        self.due.is_some_and(|(_, counted)| counted)
    }

    /// Takes note; gives the steps that ended with it, `None` if it was here before.
    pub(super) fn callback(&mut self, status: Status, now: Instant) -> Option<Vec<Step>> {
        let at = self.at.get_mut(status as usize)?;
        if at.is_some() {
            return None;
        }
        *at = Some(now);
        let mut steps = Vec::with_capacity(2);
        steps.extend(step(status));
        if self.is_complete() {
            steps.push(Step::Callback);
        }
        Some(steps)
    }

    /// All steps that have ended.
    pub(super) fn steps(&self) -> impl Iterator<Item = (Step, Instant)> {
        let single = Status::ALL.into_iter().filter_map(|s| Some((step(s)?, self.has(s)?)));
        let last = self.at.iter().flatten().max().filter(|_| self.is_complete());
        single.chain(last.map(|at| (Step::Callback, *at)))
    }

    pub(super) fn has(&self, status: Status) -> Option<Instant> {
        self.at.get(status as usize).copied().flatten()
    }

    /// It has an end. Phones may drop `delivered` when `read` follows at once.
    pub(super) fn is_settled(&self) -> bool {
        [Status::Delivered, Status::Read, Status::Failed].iter().any(|s| self.has(*s).is_some())
    }

    /// Nothing more will come.
    pub(super) fn is_complete(&self) -> bool {
        let all = [Status::Sent, Status::Delivered, Status::Read];
        self.has(Status::Failed).is_some() || all.iter().all(|status| self.has(*status).is_some())
    }
}

fn step(status: Status) -> Option<Step> {
    match status {
        Status::Sent => Some(Step::Sent),
        Status::Delivered => Some(Step::Delivered),
        Status::Read => Some(Step::Read),
        Status::Failed => None,
    }
}
