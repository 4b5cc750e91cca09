//! Contact sync: which numbers have an account. One call in flight in the whole cluster, made by the
//! owner of shard -1 for all who ask, its own shards included.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use contract::Number;
use tokio::sync::mpsc;
use upstream::{CallError, ContactResult, ContactStatus, Upstream};

use super::PENDING_MAX;
use crate::batcher::Call;

/// The original's name for the call.
pub(crate) const OPERATION: &str = "UnifiedSyncResult";

/// What is said of a number that was asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Result(ContactResult),
    /// There was no room for it to wait.
    Refused(Number),
}

impl Word {
    fn number(&self) -> Number {
        match self {
            Self::Result(result) => result.number,
            Self::Refused(number) => *number,
        }
    }
}

/// Shard -1 is not ours, or not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotHere;

/// Who waits for the calls of this process. What waits is bounded by the askers: each has at most
/// [`PENDING_MAX`] numbers under way.
#[derive(Default)]
pub(crate) struct Central(Mutex<Open>);

#[derive(Default)]
struct Open {
    /// To the batcher, while shard -1 is ours.
    asked: Option<mpsc::UnboundedSender<Vec<Number>>>,
    waiting: HashMap<Number, Vec<mpsc::UnboundedSender<Word>>>,
}

impl Central {
    /// Shard -1 is ours; what is asked comes out here.
    pub(crate) fn begin(&self) -> mpsc::UnboundedReceiver<Vec<Number>> {
        let (asked, questions) = mpsc::unbounded_channel();
        self.with(|open| open.asked = Some(asked));
        questions
    }

    /// It is not any more: whoever waits asks the next owner.
    pub(crate) fn end(&self) {
        self.with(|open| *open = Open::default());
    }

    /// Asks; the order of the answers is that in which they came.
    ///
    /// # Errors
    /// [`NotHere`].
    pub(crate) async fn ask(&self, numbers: Vec<Number>) -> Result<Vec<Word>, NotHere> {
        let mut wanted: HashSet<Number> = numbers.into_iter().collect();
        let (tell, mut words) = mpsc::unbounded_channel();
        self.with(|open| {
            let asked = open.asked.as_ref().ok_or(NotHere)?;
            asked.send(wanted.iter().copied().collect()).map_err(|_| NotHere)?;
            for number in &wanted {
                let waiting = open.waiting.entry(*number).or_default();
                // Whoever gave up meanwhile is not told.
                waiting.retain(|waiter| !waiter.is_closed());
                waiting.push(tell.clone());
            }
            Ok(())
        })?;
        drop(tell);
        let mut said = Vec::with_capacity(wanted.len());
        while !wanted.is_empty() {
            let word = words.recv().await.ok_or(NotHere)?;
            wanted.remove(&word.number());
            said.push(word);
        }
        Ok(said)
    }

    fn say(&self, words: impl Iterator<Item = Word>) {
        self.with(|open| {
            for word in words {
                for waiter in open.waiting.remove(&word.number()).into_iter().flatten() {
                    let _gone = waiter.send(word);
                }
            }
        });
    }

    fn with<R>(&self, act: impl FnOnce(&mut Open) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The call and its audience.
pub(crate) struct Sync<U> {
    pub upstream: Arc<U>,
    pub central: Arc<Central>,
}

impl<U: Upstream> Call for Sync<U> {
    type Answer = ContactResult;
    const OPERATION: &str = OPERATION;
    const PENDING_MAX: usize = PENDING_MAX;

    fn call(
        &self,
        numbers: Vec<Number>,
    ) -> impl Future<Output = Result<Vec<ContactResult>, CallError>> + Send {
        self.upstream.check_contacts(numbers)
    }

    async fn deliver(&self, answers: Vec<ContactResult>) {
        self.central.say(answers.into_iter().map(Word::Result));
    }

    async fn failed(&self, numbers: Vec<Number>) {
        let failed = |number| ContactResult { number, status: ContactStatus::Failed };
        self.central.say(numbers.into_iter().map(failed).map(Word::Result));
    }

    async fn refused(&self, numbers: Vec<Number>) {
        self.central.say(numbers.into_iter().map(Word::Refused));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(range: std::ops::Range<u64>) -> Vec<Number> {
        range.map(|n| Number::parse(&format!("4915{n:09}")).unwrap()).collect()
    }

    #[tokio::test]
    async fn all_who_ask_hear_what_one_call_brings_and_who_waits_learns_of_the_end() {
        let central = Arc::new(Central::default());
        assert_eq!(central.ask(numbers(0..1)).await, Err(NotHere));
        let mut questions = central.begin();
        let ask = |range| {
            let central = central.clone();
            tokio::spawn(async move { central.ask(numbers(range)).await })
        };
        let (first, second) = (ask(0..3), ask(2..5));
        let mut asked = questions.recv().await.unwrap().len();
        asked += questions.recv().await.unwrap().len();
        assert_eq!(asked, 6);
        central.say(numbers(0..5).into_iter().map(Word::Refused));
        assert_eq!(first.await.unwrap().unwrap().len(), 3);
        assert_eq!(second.await.unwrap().unwrap().len(), 3);
        let third = ask(7..8);
        questions.recv().await.unwrap();
        central.end();
        assert_eq!(third.await.unwrap(), Err(NotHere));
    }
}
