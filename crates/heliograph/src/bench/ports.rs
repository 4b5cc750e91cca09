//! Free loopback ports in a row.

use std::io;

use contract::Rng;
use telemetry::SystemRng;
use tokio::net::TcpListener;

/// Below the range from which the system takes ports for outgoing connections, so that none is
/// taken meanwhile.
const FIRST: u16 = 14_000;
const SPAN: u64 = 17_000;
const TRIES: u64 = 50;

/// The first of `count` free ports in a row.
pub(crate) async fn free(count: u16) -> io::Result<u16> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    let rng = SystemRng::new();
    for _ in 0..TRIES {
        let base = FIRST + u16::try_from(rng.next_u64() % SPAN).unwrap_or(0);
        let mut held = Vec::new();
        for port in base..base + count {
            match TcpListener::bind((super::stack::LOOPBACK, port)).await {
                Ok(listener) => held.push(listener),
                Err(error) => {
                    last = error;
                    break;
                }
            }
        }
        if held.len() == usize::from(count) {
            return Ok(base);
        }
    }
    Err(last)
}
