//! Hosts that are addresses, in every spelling that a resolver would take for one.
//!
//! `2130706433`, `0x7f.1` and `0177.0.0.1` are all 127.0.0.1 to `getaddrinfo`; they are recognised
//! here (as the URL standard does) so that they are judged before anything is resolved.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a host is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Host {
    Address(IpAddr),
    Name,
    /// Looks like an address and is none.
    Broken,
}

/// Tells a literal address from a name. IPv6 literals come in brackets.
pub(super) fn read(host: &str) -> Host {
    if let Some(inner) = host.strip_prefix('[') {
        return match inner.strip_suffix(']').and_then(|text| text.parse::<Ipv6Addr>().ok()) {
            Some(address) => Host::Address(address.into()),
            None => Host::Broken,
        };
    }
    let dotted = host.strip_suffix('.').unwrap_or(host);
    let last = dotted.rsplit('.').next().unwrap_or_default();
    let numeric = !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit());
    if !numeric && number(last).is_none() {
        return Host::Name;
    }
    match v4(dotted) {
        Some(address) => Host::Address(address.into()),
        None => Host::Broken,
    }
}

/// One to four numbers; the last fills the bytes that are left.
fn v4(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u32> = text.split('.').map(number).collect::<Option<_>>()?;
    let (last, heads) = parts.split_last()?;
    let left = 4usize.checked_sub(heads.len()).filter(|left| *left > 0)?;
    if left < 4 && *last >= 1 << (8 * left) {
        return None;
    }
    let mut address = *last;
    for (place, head) in heads.iter().enumerate() {
        if *head > 255 {
            return None;
        }
        address |= head << (8 * (3 - place));
    }
    Some(address.into())
}

/// Decimal, octal with a leading 0, hexadecimal with a leading 0x (which may have no digits).
fn number(text: &str) -> Option<u32> {
    let lower = text.to_ascii_lowercase();
    if let Some(hex) = lower.strip_prefix("0x") {
        return if hex.is_empty() { Some(0) } else { radix(hex, 16) };
    }
    if lower.len() > 1 && lower.starts_with('0') { radix(&lower, 8) } else { radix(&lower, 10) }
}

fn radix(text: &str, radix: u32) -> Option<u32> {
    // `from_str_radix` would take a sign.
    if text.is_empty() || !text.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    u32::from_str_radix(text, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_address_is_an_address() {
        for host in [
            "127.0.0.1",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7F.1",
            "0177.0.0.01",
            "127.0.0.1.",
        ] {
            assert_eq!(read(host), Host::Address(Ipv4Addr::LOCALHOST.into()), "{host}");
        }
        assert_eq!(read("[::1]"), Host::Address(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(read("0x"), Host::Address(Ipv4Addr::UNSPECIFIED.into()));
    }

    #[test]
    fn names_are_names_and_near_misses_are_refused() {
        for host in ["example.com", "1.example", "0xg.com", "a-1", "example.com."] {
            assert_eq!(read(host), Host::Name, "{host}");
        }
        for host in [
            "256.0.0.1",
            "1.2.3.4.5",
            "127.0.0.256",
            "4294967296",
            "08.1",
            "x.1",
            "[::1",
            "[1.2]",
            "[fe80::1%25eth0]",
        ] {
            assert_eq!(read(host), Host::Broken, "{host}");
        }
    }
}
