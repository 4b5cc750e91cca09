//! What the edge knows of a request besides its content.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::atomic::{AtomicU64, Ordering},
};

use contract::{Rng, trace::scrambled};
use http::{Uri, uri::PathAndQuery};

/// Travels in the extensions of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    pub(crate) id: RequestId,
    /// Where it came from, as limits see it.
    pub(crate) source: IpAddr,
}

/// `X-Request-ID`: 32 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RequestId(u128);

impl RequestId {
    /// Also that of its trace, if it begins one.
    pub(super) fn number(self) -> u128 {
        self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Gives ids that are unique, not secret: a counter, scrambled so that it does not tell the load.
/// Asking the operating system for each would cost a system call a request.
pub(crate) struct RequestIds {
    process: u64,
    counter: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new(rng: &impl Rng) -> Self {
        Self { process: rng.next_u64(), counter: AtomicU64::new(rng.next_u64()) }
    }

    pub(crate) fn next(&self) -> RequestId {
        let n = scrambled(self.counter.fetch_add(1, Ordering::Relaxed));
        RequestId(u128::from(n ^ self.process) << 64 | u128::from(scrambled(n ^ self.process)))
    }
}

/// An address as limits see it: an IPv6 subscriber has a whole /64.
pub(super) fn source(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// `/v1/messages/` as `/v1/messages`: clients use both. `None` when there is nothing to change.
pub(crate) fn without_trailing_slash(uri: &Uri) -> Option<Uri> {
    let path = uri.path().strip_suffix('/').filter(|path| !path.is_empty())?;
    let both = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    PathAndQuery::try_from(both).ok().map(Uri::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailing_slash_goes_and_the_query_stays() {
        for (given, path) in [
            ("/v1/messages/", Some("/v1/messages")),
            ("/metrics/?format=prometheus", Some("/metrics?format=prometheus")),
            ("/v1/messages", None),
            ("/", None),
        ] {
            let uri = without_trailing_slash(&given.parse().unwrap());
            assert_eq!(uri.map(|uri| uri.to_string()).as_deref(), path, "{given}");
        }
    }

    #[test]
    fn a_mapped_address_counts_as_its_ipv4_and_a_subscriber_as_one() {
        let of = |text: &str| source(text.parse().unwrap()).to_string();
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2:ffff::1"));
    }
}
