//! What kind of network an address belongs to.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Kinds of addresses, by who may answer there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The internet.
    Public,
    /// RFC 1918, carrier-grade NAT, unique local.
    Private,
    /// This machine.
    Loopback,
    /// This link.
    LinkLocal,
    /// Where clouds hand out credentials.
    Metadata,
    /// Nobody who should be called: unspecified, multicast, documentation, reserved, tunnels.
    Unroutable,
}

/// Metadata services that have an address of their own.
const METADATA_V4: [Ipv4Addr; 5] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

impl Class {
    /// Judges an address. One that only wraps an IPv4 address is judged as that.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match unwrapped(address) {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        if METADATA_V4.contains(&address) {
            return Self::Metadata;
        }
        match address.octets() {
            [127, ..] => Self::Loopback,
            [169, 254, ..] => Self::LinkLocal,
            [10, ..] | [192, 168, ..] | [172, 16..=31, ..] | [100, 64..=127, ..] => Self::Private,
            [0 | 224..=255, ..]
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _] => Self::Unroutable,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        if METADATA_V6.contains(&address) {
            return Self::Metadata;
        }
        if address == Ipv6Addr::LOCALHOST {
            return Self::Loopback;
        }
        match address.segments() {
            [0xfe80..=0xfebf, ..] => Self::LinkLocal,
            [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Self::Private,
            // 2000::/3 is all that is given out; of it Teredo, ORCHID, benchmarks, documentation.
            [0x2001, 0..=0x01ff | 0x0db8, ..] | [0x3fff, ..] => Self::Unroutable,
            [0x2000..=0x3fff, ..] => Self::Public,
            _ => Self::Unroutable,
        }
    }
}

/// The IPv4 address inside a mapped, compatible, NAT64 (64:ff9b::/96) or 6to4 one; else itself.
#[must_use]
pub(super) fn unwrapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [a, b, c, d] = match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, hi, lo] | [0x64, 0xff9b, 0, 0, 0, 0, hi, lo] => split(hi, lo),
        // ::/96, but for :: and ::1, which are no IPv4 addresses.
        [0, 0, 0, 0, 0, 0, hi, lo] if hi != 0 || lo > 1 => split(hi, lo),
        [0x2002, hi, lo, ..] => split(hi, lo),
        _ => return address,
    };
    Ipv4Addr::new(a, b, c, d).into()
}

fn split(hi: u16, lo: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (hi.to_be_bytes(), lo.to_be_bytes());
    [a, b, c, d]
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "a public address",
            Self::Private => "a private address",
            Self::Loopback => "a loopback address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "the address of a cloud's metadata service",
            Self::Unroutable => "an address nobody is to be called at",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_judged_by_who_answers_there() {
        for (address, class) in [
            ("1.1.1.1", Class::Public),
            ("172.15.0.1", Class::Public),
            ("172.16.0.1", Class::Private),
            ("100.64.0.1", Class::Private),
            ("100.100.100.200", Class::Metadata),
            ("127.8.8.8", Class::Loopback),
            ("0.0.0.0", Class::Unroutable),
            ("169.254.1.1", Class::LinkLocal),
            ("169.254.169.254", Class::Metadata),
            ("192.0.2.1", Class::Unroutable),
            ("255.255.255.255", Class::Unroutable),
            ("2606:4700::1111", Class::Public),
            ("::", Class::Unroutable),
            ("::1", Class::Loopback),
            ("::7f00:1", Class::Loopback),
            ("::ffff:127.0.0.1", Class::Loopback),
            ("::ffff:169.254.169.254", Class::Metadata),
            ("64:ff9b::10.0.0.1", Class::Private),
            ("64:ff9b::8.8.8.8", Class::Public),
            ("64:ff9b:1::8.8.8.8", Class::Unroutable),
            ("2002:7f00:1::", Class::Loopback),
            ("2001:0:1::", Class::Unroutable),
            ("2001:db8::1", Class::Unroutable),
            ("fe80::1", Class::LinkLocal),
            ("fd12::1", Class::Private),
            ("fd00:ec2::254", Class::Metadata),
            ("ff02::1", Class::Unroutable),
        ] {
            assert_eq!(Class::of(address.parse().unwrap()), class, "{address}");
        }
    }
}
