//! Threads for what costs CPU: a stranger's first message takes about a quarter of a millisecond.
//!
//! Each phone belongs to one thread, which alone holds its sessions: no lock, and its messages stay
//! in order. The queues have no bound of their own: what is in them was accepted before and is
//! bounded by the network (answers that wait, phones that are offline, letters).

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, mpsc},
    thread,
};

use contract::{Number, Rng};

use super::{Advanced, Bundles, Done, Job, User, keys::Seed, worker::Worker};

#[derive(Default)]
pub(crate) struct Pool {
    queues: Vec<mpsc::Sender<Job>>,
}

impl Pool {
    /// `max(1, cores / 2)` threads. They end with the pool, once their queues are empty. `sessions`:
    /// those of before a restart, when there is a journal.
    pub(crate) fn start(
        seed: &Arc<Seed>,
        rng: &Arc<dyn Rng>,
        sessions: Option<&[Advanced]>,
        done: impl Fn(Done) + Clone + Send + 'static,
    ) -> std::io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = (cores / 2).max(1);
        let queues = (0..threads).map(|n| {
            let (queue, jobs) = mpsc::channel();
            let mut worker = Worker::new(seed.clone(), rng.clone(), sessions.is_some());
            let own = |session: &&Advanced| place(&session.between.1, threads) == n;
            sessions.into_iter().flatten().filter(own).for_each(|session| worker.resume(session));
            let done = done.clone();
            let thread = thread::Builder::new().name(format!("phones-{n}"));
            thread.spawn(move || {
                while let Ok(job) = jobs.recv() {
                    worker.run(job).into_iter().for_each(&done);
                }
            })?;
            Ok(queue)
        });
        Ok(Self { queues: queues.collect::<std::io::Result<_>>()? })
    }

    pub(crate) fn submit(&self, job: Job) {
        match job {
            Job::Open(open) => self.push(self.of(&open.phone.wa_id), Job::Open(open)),
            Job::Seal(seal) => self.push(self.of(&seal.phone.wa_id), Job::Seal(seal)),
            Job::Bundles(Bundles { users, reply }) => {
                let mut parts: Vec<Vec<User>> = self.queues.iter().map(|_| Vec::new()).collect();
                for user in users {
                    if let Some(part) = parts.get_mut(self.of(&user.phone.wa_id)) {
                        part.push(user);
                    }
                }
                for (place, users) in parts.into_iter().enumerate() {
                    let reply = reply.clone();
                    self.push(place, Job::Bundles(Bundles { users, reply }));
                }
            }
        }
    }

    fn of(&self, wa_id: &Number) -> usize {
        place(wa_id, self.queues.len())
    }

    /// A thread that is gone takes nothing; only a defect ends one.
    fn push(&self, place: usize, job: Job) {
        if let Some(queue) = self.queues.get(place)
            && queue.send(job).is_err()
        {
            tracing::error!("A thread of the sandbox's phones has ended; its phones are dead");
        }
    }
}

/// Which of so many threads a phone belongs to.
fn place(wa_id: &Number, threads: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    wa_id.hash(&mut hasher);
    #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
    let hash = hasher.finish() as usize;
    hash % threads.max(1)
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("threads", &self.queues.len()).finish()
    }
}
