//! Threads that yield to every other: long computations on them take what processor time is left, and
//! do not make requests wait. Not the runtime's blocking threads, as a thread that has once lowered its
//! priority cannot raise it again.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use rustix::process::{getpriority_process, setpriority_process};
use tokio::sync::oneshot;

/// Beside one busy thread of usual priority on the same core, a tenth of the time.
const NICE: i32 = 10;

type Job = Box<dyn FnOnce() + Send>;

/// The thread has panicked or the process ends: there is no result.
#[derive(Debug)]
pub(super) struct Gone;

/// See the module. The threads end with it.
pub(super) struct Background {
    /// Bounded by the callers, who hold a permit for a thread.
    jobs: mpsc::Sender<Job>,
}

impl Background {
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(name: &str, threads: usize) -> io::Result<Self> {
        let (jobs, taken) = mpsc::channel::<Job>();
        let taken = Arc::new(Mutex::new(taken));
        for _ in 0..threads {
            let taken = Arc::clone(&taken);
            thread::Builder::new().name(name.to_owned()).spawn(move || work(&taken))?;
        }
        Ok(Self { jobs })
    }

    /// Computes on one of the threads.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        compute: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let (done, result) = oneshot::channel();
        let job = Box::new(move || {
            let _gone = done.send(compute());
        });
        self.jobs.send(job).map_err(|_| Gone)?;
        result.await.map_err(|_| Gone)
    }
}

fn work(jobs: &Mutex<mpsc::Receiver<Job>>) {
    // Linux takes it of the calling thread alone. Where it is not permitted this is a thread as any.
    if getpriority_process(None).is_ok_and(|usual| usual < NICE) {
        let _usual = setpriority_process(None, NICE);
    }
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // Its caller sees that there is no result; the next one needs this thread.
        let _panicked = catch_unwind(AssertUnwindSafe(job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_computed_in_the_background_yields_to_the_rest() {
        let usual = getpriority_process(None).unwrap();
        let background = Background::start("test", 1).unwrap();
        let nice = background.run(|| getpriority_process(None).unwrap()).await.unwrap();
        assert_eq!(nice, NICE.max(usual));
        assert_eq!(getpriority_process(None).unwrap(), usual, "only that thread");
    }

    #[tokio::test]
    async fn a_computation_that_panics_takes_no_thread_with_it() {
        let background = Background::start("test", 1).unwrap();
        assert!(background.run(|| -> u8 { panic!("on purpose") }).await.is_err());
        assert_eq!(background.run(|| 7).await.unwrap(), 7);
    }
}
