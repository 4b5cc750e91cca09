//! The own number that a client speaks for: it may be none, and change while the client runs.

use contract::Number;
use tokio::sync::watch;

use crate::CallError;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Line(watch::Receiver<Option<Number>>);

impl Line {
    pub(super) fn new(number: watch::Receiver<Option<Number>>) -> Self {
        Self(number)
    }

    /// One that never changes.
    pub(super) fn fixed(number: Number) -> Self {
        Self(watch::channel(Some(number)).1)
    }

    /// For a call that needs one.
    pub(super) fn number(&self) -> Result<Number, CallError> {
        let number = *self.0.borrow();
        number.ok_or_else(|| CallError("no number is registered".to_owned()))
    }

    /// Waits until there is one.
    pub(super) async fn any(&mut self) -> Number {
        let known = self.0.wait_for(Option::is_some).await.map(|number| *number);
        match known {
            Ok(Some(number)) => number,
            // Whoever could register one is gone.
            _ => std::future::pending().await,
        }
    }

    /// Waits until it is another one than `number`.
    pub(super) async fn leaves(&mut self, number: Number) {
        if self.0.wait_for(|now| *now != Some(number)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
