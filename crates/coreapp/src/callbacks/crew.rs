//! The workers of an endpoint: hired when a POST finds none idle, dismissed when the settings ask
//! for fewer. The one that was idle last works first, so that quiet times use few connections.

use std::sync::Arc;

use tokio::{sync::mpsc, task::JoinSet};

use super::{
    MAX_CONCURRENT,
    worker::{Done, Job, Sender, Worker},
};

pub(super) struct Crew {
    jobs: Vec<Option<mpsc::Sender<Job>>>,
    idle: Vec<usize>,
    /// Places of `jobs` that are taken.
    size: usize,
    limit: usize,
    sender: Arc<Sender>,
    done: mpsc::Sender<Done>,
    /// Aborted when the crew is dropped.
    tasks: JoinSet<()>,
}

// === impl Crew ===

impl Crew {
    /// A crew without workers, and where their results come out. Each worker has at most one
    /// result there, so there is always room.
    pub(super) fn new(limit: usize, sender: Sender) -> (Self, mpsc::Receiver<Done>) {
        let (done, results) = mpsc::channel(usize::from(MAX_CONCURRENT));
        let (jobs, idle, sender) = (Vec::new(), Vec::new(), Arc::new(sender));
        (Self { jobs, idle, size: 0, limit, sender, done, tasks: JoinSet::new() }, results)
    }

    /// Has a job done. False if nobody is free, which the dispatcher's count prevents.
    pub(super) fn give(&mut self, job: Job) -> bool {
        let mut job = job;
        while let Some(id) = self.idle.pop().or_else(|| self.hire()) {
            let Some(Some(jobs)) = self.jobs.get(id) else { continue };
            job = match jobs.try_send(job) {
                Ok(()) => return true,
                Err(error) => error.into_inner(),
            };
            self.dismiss(id);
        }
        false
    }

    /// A worker has come back.
    pub(super) fn back(&mut self, worker: usize, alive: bool) {
        if alive && self.size <= self.limit {
            self.idle.push(worker);
        } else {
            self.dismiss(worker);
        }
        while self.tasks.try_join_next().is_some() {}
    }

    /// Changes how many may work at the same time.
    pub(super) fn resize(&mut self, limit: usize) {
        self.limit = limit;
        while self.size > limit
            && let Some(id) = self.idle.pop()
        {
            self.dismiss(id);
        }
    }

    fn hire(&mut self) -> Option<usize> {
        let free = self.jobs.iter().position(Option::is_none);
        let id = free.unwrap_or(self.jobs.len());
        if id >= usize::from(MAX_CONCURRENT) {
            return None;
        }
        self.size += 1;
        let (jobs, inbox) = mpsc::channel(1);
        self.tasks.spawn(Worker::new(id, self.sender.clone(), self.done.clone()).run(inbox));
        match self.jobs.get_mut(id) {
            Some(place) => *place = Some(jobs),
            None => self.jobs.push(Some(jobs)),
        }
        Some(id)
    }

    fn dismiss(&mut self, id: usize) {
        if self.jobs.get_mut(id).and_then(Option::take).is_some() {
            self.size -= 1;
        }
    }
}
