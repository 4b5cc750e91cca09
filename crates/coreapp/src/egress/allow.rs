//! The policy: what `egress.allow` opens.
//!
//! Webhook URLs are set by an administrator: private networks are open to them. Links come with messages:
//! to them they are closed but for the entry `private`, and plain http is open, as the contract has it.

use std::net::IpAddr;

use super::{
    EgressError,
    address::{Class, unwrapped},
};

/// `egress.allow` of the configuration file. Nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    http: bool,
    loopback: bool,
    link_local: bool,
    private: bool,
    /// For links of messages.
    links: bool,
    networks: Vec<Network>,
}

/// An address and how many of its leading bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Allow {
    /// Reads the entries: `loopback`, `http`, `private`, `link-local`, or a network in CIDR form.
    /// A metadata service is opened only by its own network.
    ///
    /// # Errors
    /// [`EgressError::Allow`] names the entry that is none of these.
    pub fn parse(entries: &[impl AsRef<str>]) -> Result<Self, EgressError> {
        let mut allow = Self::default();
        for entry in entries {
            match entry.as_ref().trim() {
                "http" => allow.http = true,
                "loopback" => allow.loopback = true,
                "private" => allow.private = true,
                "link-local" => allow.link_local = true,
                other => allow.networks.push(
                    Network::parse(other).ok_or_else(|| EgressError::Allow(other.to_owned()))?,
                ),
            }
        }
        Ok(allow)
    }

    /// The same for links of messages.
    pub(super) fn for_links(mut self) -> Self {
        self.links = true;
        self
    }

    pub(super) fn http(&self) -> bool {
        self.http || self.links
    }

    /// Whether the address may be called.
    ///
    /// # Errors
    /// The class that stands against it.
    pub(super) fn judge(&self, address: IpAddr) -> Result<(), Class> {
        let class = Class::of(address);
        let open = match class {
            Class::Public => true,
            Class::Private => self.private || !self.links,
            Class::Loopback => self.loopback,
            Class::LinkLocal => self.link_local,
            Class::Metadata | Class::Unroutable => false,
        };
        let address = unwrapped(address);
        if open || self.networks.iter().any(|network| network.contains(address)) {
            Ok(())
        } else {
            Err(class)
        }
    }

    /// The error for a refused address, with the entry that would permit it.
    pub(super) fn denied(host: &str, address: IpAddr, class: Class) -> EgressError {
        let remedy = match class {
            Class::Loopback => "\"loopback\"".to_owned(),
            Class::LinkLocal => "\"link-local\"".to_owned(),
            Class::Private => "\"private\"".to_owned(),
            Class::Public | Class::Metadata | Class::Unroutable => {
                let address = unwrapped(address);
                format!("\"{address}/{}\"", width(address))
            }
        };
        EgressError::Denied { host: host.to_owned(), class, remedy }
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let network = Self { address: address.parse().ok()?, bits: bits.parse().ok()? };
        (network.bits <= width(network.address)).then_some(network)
    }

    fn contains(self, address: IpAddr) -> bool {
        let wide = width(self.address);
        let (mine, other) = match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits())),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits()),
            _ => return false,
        };
        let ignored = wide.saturating_sub(self.bits);
        // A shift by all 128 bits means that nothing counts.
        mine.checked_shr(ignored).unwrap_or(0) == other.checked_shr(ignored).unwrap_or(0)
    }
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(allow: &[&str], address: &str) -> bool {
        Allow::parse(allow).unwrap().judge(address.parse().unwrap()).is_ok()
    }

    #[test]
    fn webhooks_may_be_public_and_private() {
        for address in ["1.1.1.1", "2606:4700::1111", "10.0.0.1", "fd12::1"] {
            assert!(judge(&[], address), "{address}");
        }
    }

    #[test]
    fn links_of_messages_reach_no_private_network_that_is_not_named() {
        let judge = |allow: &[&str], address: &str| {
            let allow = Allow::parse(allow).unwrap().for_links();
            allow.judge(address.parse().unwrap()).is_ok()
        };
        for address in ["10.0.0.1", "192.168.1.1", "fd12::1", "127.0.0.1", "169.254.169.254"] {
            assert!(!judge(&["http"], address), "{address}");
        }
        assert!(judge(&[], "1.1.1.1") && judge(&["private"], "10.0.0.1"));
        assert!(judge(&["10.1.0.0/16"], "10.1.2.3") && !judge(&["10.1.0.0/16"], "10.2.2.3"));
    }

    #[test]
    fn this_machine_and_the_cloud_are_closed_until_named() {
        for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1"] {
            assert!(!judge(&["http", "private"], address), "{address}");
            assert!(judge(&["loopback"], address), "{address}");
        }
        let metadata = "169.254.169.254";
        assert!(!judge(&["loopback", "private", "link-local"], metadata));
        assert!(!judge(&["169.254.169.253/32", "10.0.0.0/8"], metadata));
        assert!(judge(&["169.254.169.254/32"], metadata));
        assert!(judge(&["0.0.0.0/0"], metadata));
    }

    #[test]
    fn an_unknown_entry_is_named() {
        for entry in ["everything", "10.0.0.0/33", "10.0.0/8", "::/129"] {
            let error = Allow::parse(&[entry]).unwrap_err().to_string();
            assert!(error.contains(entry) && error.contains("egress.allow"), "{error}");
        }
    }
}
