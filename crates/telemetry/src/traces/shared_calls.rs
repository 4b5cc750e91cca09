//! Calls of the network that many messages share: each traced one gets a span of the call in its own
//! trace, with links to the others.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use contract::{Number, TraceContext};
use tokio::time::Instant;

use super::{Kind, Span};

/// Traced messages that wait for calls; a further one has no span of its call.
const WAITING: usize = 1_024;
/// Links of a span.
const LINKS: usize = 16;

#[derive(Default)]
pub(super) struct SharedCalls {
    waiting: Mutex<HashMap<(&'static str, Number), Vec<TraceContext>>>,
    /// How many there are, so that calls nobody traces take no lock.
    len: AtomicUsize,
}

impl SharedCalls {
    pub(super) fn waits(&self, operation: &'static str, number: Number, context: TraceContext) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.len.load(Relaxed) < WAITING {
            // Who asks again waits once.
            let there = waiting.entry((operation, number)).or_default();
            if !there.contains(&context) {
                there.push(context);
                self.len.fetch_add(1, Relaxed);
            }
        }
    }

    pub(super) fn take(&self, operation: &'static str, numbers: &[Number]) -> Vec<TraceContext> {
        if self.len.load(Relaxed) == 0 {
            return Vec::new();
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::new();
        for number in numbers {
            taken.extend(waiting.remove(&(operation, *number)).into_iter().flatten());
        }
        self.len.fetch_sub(taken.len(), Relaxed);
        taken
    }
}

pub(super) fn spans<'a>(
    operation: &'static str,
    waiting: &'a [TraceContext],
    numbers: usize,
    began: Instant,
    error: Option<&'a str>,
) -> impl Iterator<Item = Span> + 'a {
    // One that has waited for a call that failed waits for the next: their spans differ by place.
    let nth = began.elapsed().as_nanos();
    let nth = u64::try_from(nth).unwrap_or(0);
    let of = move |context: &TraceContext| context.child(operation, nth);
    waiting.iter().map(move |context| {
        let others = waiting.iter().filter(move |other| *other != context);
        let mut span = Span::below(*context, operation, nth, began)
            .kind(Kind::Client)
            .with("rpc.system", "grpc")
            .with("batch.items", i64::try_from(numbers).unwrap_or(i64::MAX))
            .failed(error.map(str::to_owned));
        span.links = others.take(LINKS).map(of).collect();
        span
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waited_for_a_call_finds_it_in_its_trace_and_the_others_by_its_links() {
        let calls = SharedCalls::default();
        let number = |n: u64| Number::parse(&format!("4915{n:09}")).unwrap();
        let context = |n: u64| TraceContext { trace_id: n.into(), span_id: n };
        assert!(calls.take("Sync", &[number(1)]).is_empty());
        for n in 1..=3 {
            calls.waits("Sync", number(n), context(n));
        }
        calls.waits("Fetch", number(1), context(1));
        let numbers = [number(1), number(2), number(9)];
        let waiting = calls.take("Sync", &numbers);
        let spans: Vec<_> = spans("Sync", &waiting, 3, Instant::now(), None).collect();
        assert_eq!(spans.len(), 2);
        assert_eq!(spans[0].context.trace_id, 1);
        assert_eq!(spans[0].parent, Some(1));
        assert_eq!(spans[0].links, [spans[1].context]);
        assert_eq!(spans[1].links, [spans[0].context]);
        assert!(calls.take("Sync", &numbers).is_empty(), "once");
        assert_eq!(calls.take("Fetch", &numbers), [context(1)]);
    }

    #[test]
    fn only_so_many_wait() {
        let calls = SharedCalls::default();
        let number = Number::parse("4915112345678").unwrap();
        for n in 1..=WAITING as u64 + 10 {
            calls.waits("Sync", number, TraceContext { trace_id: 1, span_id: n });
        }
        assert_eq!(calls.take("Sync", &[number]).len(), WAITING);
    }
}
