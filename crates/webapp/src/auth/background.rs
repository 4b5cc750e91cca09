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

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// The thread has panicked or the process ends: there is no result.
#[derive(Debug)]
pub(super) struct Gone;

/// See the module. Each thread keeps an `S` from job to job. The threads end with it.
pub(super) struct Background<S> {
    /// Bounded by the callers, who hold a permit for a thread.
    jobs: mpsc::Sender<Job<S>>,
}

impl<S: Default + 'static> Background<S> {
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(name: &str, threads: usize) -> io::Result<Self> {
        let (jobs, taken) = mpsc::channel();
        let taken = Arc::new(Mutex::new(taken));
        for _ in 0..threads {
            let taken = Arc::clone(&taken);
            thread::Builder::new().name(name.to_owned()).spawn(move || work::<S>(&taken))?;
        }
        Ok(Self { jobs })
    }

    /// Computes on one of the threads.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        compute: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let (done, result) = oneshot::channel();
        let job = Box::new(move |kept: &mut S| {
            let _gone = done.send(compute(kept));
        });
        self.jobs.send(job).map_err(|_| Gone)?;
        result.await.map_err(|_| Gone)
    }
}

fn work<S: Default>(jobs: &Mutex<mpsc::Receiver<Job<S>>>) {
    // Linux takes it of the calling thread alone. Where it is not permitted this is a thread as any.
    if getpriority_process(None).is_ok_and(|usual| usual < NICE) {
        let _usual = setpriority_process(None, NICE);
    }
    let mut kept = S::default();
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // Its caller sees that there is no result; the next one needs this thread.
        if catch_unwind(AssertUnwindSafe(|| job(&mut kept))).is_err() {
            kept = S::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_computed_in_the_background_yields_to_the_rest() {
        let usual = getpriority_process(None).unwrap();
        let background = Background::<()>::start("test", 1).unwrap();
        let nice = background.run(|_| getpriority_process(None).unwrap()).await.unwrap();
        assert_eq!(nice, NICE.max(usual));
        assert_eq!(getpriority_process(None).unwrap(), usual, "only that thread");
    }

    #[tokio::test]
    async fn a_thread_keeps_what_it_computes_with() {
        let background = Background::<Vec<u8>>::start("test", 1).unwrap();
        background.run(|kept| kept.resize(1_000, 0)).await.unwrap();
        assert_eq!(background.run(|kept| kept.len()).await.unwrap(), 1_000);
    }

    #[tokio::test]
    async fn a_computation_that_panics_takes_no_thread_with_it_and_leaves_nothing() {
        let background = Background::<Vec<u8>>::start("test", 1).unwrap();
        let panics = |kept: &mut Vec<u8>| -> u8 {
            kept.push(1);
            panic!("on purpose")
        };
        assert!(background.run(panics).await.is_err());
        assert_eq!(background.run(|kept| kept.len()).await.unwrap(), 0);
    }
}
