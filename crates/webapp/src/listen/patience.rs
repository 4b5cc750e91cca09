//! How long a connection is waited for: a good while when nothing is said on it, not long once a
//! request has begun.
//!
//! hyper has one limit for both. It asks its timer for a sleep whenever it begins to wait for a
//! request (and for nothing else), drops the sleep when the head is whole, and looks at it each
//! time the head is not. So the timer is the place to tell the two apart; it only has to be told
//! when bytes come.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::rt;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// For the head of a request to arrive, from its first byte on; on a new connection also for that
/// first byte.
pub(super) const HEAD: Duration = Duration::from_secs(10);
/// For the next request to begin. The pools of healthy clients keep connections for 60 to 90 s and
/// should not meet closed ones. The beginning of a request that came together with the one before
/// it is not noticed before more of it comes.
pub(super) const IDLE: Duration = Duration::from_secs(90);

/// What the stream of a connection and its timer tell each other. One task uses both.
#[derive(Default)]
struct Signs {
    /// Bytes came since the present wait began.
    heard: AtomicBool,
    /// The wait for the first request has begun.
    awaited: AtomicBool,
}

/// A stream to serve, and the timer that goes with it. The timer expects that hyper's limit is
/// [`IDLE`].
pub(super) fn patient<T>(stream: T) -> (Heard<T>, Patience) {
    let signs = Arc::new(Signs::default());
    (Heard { stream, signs: Arc::clone(&signs) }, Patience(signs))
}

/// Notes when bytes come.
pub(super) struct Heard<T> {
    stream: T,
    signs: Arc<Signs>,
}

/// A timer for hyper.
pub(super) struct Patience(Arc<Signs>);

/// From the beginning of a wait for a request to the end of its head.
struct Wait {
    signs: Arc<Signs>,
    begun: bool,
    until: Pin<Box<Sleep>>,
}

// === impl Patience ===

impl rt::Timer for Patience {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, idle: std::time::Instant) -> Pin<Box<dyn rt::Sleep>> {
        let first = !self.0.awaited.swap(true, Ordering::Relaxed);
        self.0.heard.store(false, Ordering::Relaxed);
        let until = if first { Instant::now() + HEAD } else { idle.into() };
        let until = Box::pin(sleep_until(until));
        Box::pin(Wait { signs: Arc::clone(&self.0), begun: false, until })
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

// === impl Wait ===

impl rt::Sleep for Wait {}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.begun && self.signs.heard.load(Ordering::Relaxed) {
            self.begun = true;
            self.until.as_mut().reset(Instant::now() + HEAD);
        }
        self.until.as_mut().poll(cx)
    }
}

// === impl Heard ===

impl<T: AsyncRead + Unpin> AsyncRead for Heard<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.signs.heard.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Heard<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
