//! Behind a proxy every request comes from the proxy's address: limits by address would count all
//! callers as one. Proxies that are trusted say in `X-Forwarded-For` where a request came from.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};

use super::request::source;
use crate::network::Network;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Proxies a request is followed back through; at the bound the last one reached counts as its
/// source. The header is the client's to fill.
const MAX_HOPS: usize = 16;

/// The proxies whose word counts.
pub(crate) struct Proxies(Vec<Network>);

impl Proxies {
    pub(crate) fn new(trusted: Vec<Network>) -> Self {
        Self(trusted)
    }

    /// Where a request came from, as limits see it: the right-most address of the way that is no
    /// trusted proxy. Each proxy appends the address it was called from, so everything further left
    /// may be invented. An entry that is no address ends the way at the proxy that passed it on.
    pub(crate) fn source(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut reached = peer;
        if self.trusted(peer) {
            let lines = headers.get_all(FORWARDED_FOR).iter().rev();
            let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
            for entry in entries.take(MAX_HOPS) {
                let entry = std::str::from_utf8(entry).unwrap_or_default();
                let Some(address) = address(entry.trim()) else { break };
                reached = address;
                if !self.trusted(address) {
                    break;
                }
            }
        }
        source(reached)
    }

    fn trusted(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// An address as proxies write it: some add the port, and brackets around IPv6.
fn address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => text.split_once(':')?.0,
    };
    bare.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(trusted: &[&str], peer: &str, lines: &[&str]) -> String {
        let networks = trusted.iter().map(|text| text.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        Proxies::new(networks).source(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_a_trusted_peer_is_believed() {
        let forwarded = ["203.0.113.9"];
        assert_eq!(of(&[], "10.0.0.1", &forwarded), "10.0.0.1");
        assert_eq!(of(&["10.0.0.0/8"], "192.0.2.1", &forwarded), "192.0.2.1");
        assert_eq!(of(&["10.0.0.0/8"], "10.0.0.1", &forwarded), "203.0.113.9");
        assert_eq!(of(&["10.0.0.0/8"], "::ffff:10.0.0.1", &forwarded), "203.0.113.9");
        assert_eq!(of(&["10.0.0.0/8"], "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn what_a_client_wrote_itself_changes_nothing() {
        for lines in [
            &["1.1.1.1, 203.0.113.9"][..],
            &["10.9.9.9, 203.0.113.9, 10.0.0.2"],
            &["1.1.1.1", "203.0.113.9,10.0.0.2"],
            &["\u{fc}, 203.0.113.9"],
            &["\u{fc}", "203.0.113.9"],
        ] {
            assert_eq!(of(&["10.0.0.0/8"], "10.0.0.1", lines), "203.0.113.9", "{lines:?}");
        }
    }

    #[test]
    fn the_way_ends_where_an_entry_is_no_address_or_there_are_no_more() {
        for (lines, source) in [
            (&["203.0.113.9, unknown, 10.0.0.2"][..], "10.0.0.2"),
            (&["203.0.113.9,"], "10.0.0.1"),
            (&["203.0.113.9", "\u{fc}"], "10.0.0.1"),
            (&["10.0.0.9, 10.0.0.2"], "10.0.0.9"),
        ] {
            assert_eq!(of(&["10.0.0.0/8"], "10.0.0.1", lines), source, "{lines:?}");
        }
        let long = format!("203.0.113.9{}", ", 10.0.0.2".repeat(MAX_HOPS));
        assert_eq!(of(&["10.0.0.0/8"], "10.0.0.1", &[&long]), "10.0.0.2");
    }

    #[test]
    fn ports_and_brackets_are_no_part_of_an_address() {
        for (line, source) in [
            ("203.0.113.9:4711", "203.0.113.9"),
            ("[2001:db8:1:2:3::4]:4711", "2001:db8:1:2::"),
            ("[2001:db8:1:2:3::4]", "2001:db8:1:2::"),
            ("2001:db8:1:2:3::4", "2001:db8:1:2::"),
        ] {
            assert_eq!(of(&["10.0.0.0/8"], "10.0.0.1", &[line]), source, "{line}");
        }
    }
}
