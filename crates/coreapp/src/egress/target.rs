//! A parsed URL: where to connect and what to put into each request.

use std::{fmt, net::IpAddr};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderValue, Uri};

use super::{
    Allow, EgressError,
    literal::{self, Host},
};

/// Longest URL taken, characters: a link to a file; that of a webhook has a limit of its own.
const MAX_URL_LEN: usize = 8_192;

/// A URL that passed the checks that need no resolver.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    tls: bool,
    host: String,
    literal: Option<IpAddr>,
    port: u16,
    host_header: HeaderValue,
    authorization: Option<HeaderValue>,
    path: Uri,
}

impl Target {
    pub(super) fn parse(url: &str, allow: &Allow) -> Result<Self, EgressError> {
        if url.len() > MAX_URL_LEN {
            return Err(EgressError::Url("it is longer than 8192 characters"));
        }
        let uri: Uri = url.trim().parse().map_err(|_| EgressError::Url("it is malformed"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if allow.http() => false,
            Some("http") => return Err(EgressError::PlainHttp),
            _ => return Err(EgressError::Url("it does not start with https://")),
        };
        let authority = uri.authority().ok_or(EgressError::Url("it has no host"))?;
        let host = authority.host().to_ascii_lowercase();
        let after_user = authority.as_str().rsplit('@').next().unwrap_or_default();
        let port = match after_user.get(host.len()..).unwrap_or_default() {
            "" | ":" => {
                if tls {
                    443
                } else {
                    80
                }
            }
            port => match port.trim_start_matches(':').parse() {
                Ok(0) | Err(_) => return Err(EgressError::Url("its port is not 1 to 65535")),
                Ok(port) => port,
            },
        };
        let literal = match literal::read(&host) {
            Host::Address(address) => Some(address),
            Host::Name if host.is_empty() => return Err(EgressError::Url("it has no host")),
            Host::Name if !is_name(&host) => {
                let why = "its host is no DNS name (write an international one as xn--…)";
                return Err(EgressError::Url(why));
            }
            Host::Name => None,
            Host::Broken => return Err(EgressError::Url("its host is a malformed address")),
        };
        // The name is reserved for this machine (RFC 6761), so no resolver need be asked.
        let name = host.trim_end_matches('.');
        let own = name == "localhost" || name.ends_with(".localhost");
        if let Some(address) = literal.or(own.then_some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)))
            && let Err(class) = allow.judge(address)
        {
            return Err(Allow::denied(&host, address, class));
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            tls,
            literal,
            port,
            host_header: HeaderValue::from_str(after_user)
                .map_err(|_| EgressError::Url("its host is malformed"))?,
            authorization: authorization(authority.as_str())?,
            path: path.parse().map_err(|_| EgressError::Url("its path is malformed"))?,
            host,
        })
    }

    /// Whether TLS is spoken.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Name or address, as written.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query, as the request line carries them.
    #[must_use]
    pub fn path(&self) -> &Uri {
        &self.path
    }

    /// Value of the `host` header.
    #[must_use]
    pub fn host_header(&self) -> &HeaderValue {
        &self.host_header
    }

    /// Value of the `authorization` header, when the URL carries a user.
    #[must_use]
    pub fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    pub(super) fn literal(&self) -> Option<IpAddr> {
        self.literal
    }
}

/// Labels of letters, digits, `-` and `_`, with at most one dot at the end: nothing that a resolver
/// might read in a way of its own.
fn is_name(host: &str) -> bool {
    let labels = host.strip_suffix('.').unwrap_or(host).split('.');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    host.len() <= 254
        && labels.into_iter().all(|label| !label.is_empty() && label.bytes().all(plain))
}

/// `https://user:password@host` is what integrators have for want of other credentials.
fn authorization(authority: &str) -> Result<Option<HeaderValue>, EgressError> {
    let Some((user, _)) = authority.rsplit_once('@') else { return Ok(None) };
    let mut bytes = Vec::with_capacity(user.len());
    let mut rest = user.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let hex = [rest.next().unwrap_or(b'x'), rest.next().unwrap_or(b'x')];
                std::str::from_utf8(&hex)
                    .ok()
                    .and_then(|hex| u8::from_str_radix(hex, 16).ok())
                    .ok_or(EgressError::Url("its user is malformed"))?
            }
            byte => byte,
        });
    }
    if !bytes.contains(&b':') {
        bytes.push(b':');
    }
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(bytes)))
        .map_err(|_| EgressError::Url("its user is malformed"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

impl fmt::Debug for Target {
    /// Host and port only: paths and users of webhook URLs are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({}:{})", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str, allow: &[&str]) -> Result<Target, EgressError> {
        Target::parse(url, &Allow::parse(allow).unwrap())
    }

    #[test]
    fn a_url_is_taken_apart() {
        let target = parse("https://bot:s%20t@Hooks.Example:8443/in?k=1#top", &[]).unwrap();
        assert_eq!((target.host(), target.port(), target.is_tls()), ("hooks.example", 8443, true));
        assert_eq!(target.path().to_string(), "/in?k=1");
        assert_eq!(target.host_header(), "Hooks.Example:8443");
        assert_eq!(target.authorization().unwrap(), "Basic Ym90OnMgdA==");
        assert_eq!(parse("https://hooks.example", &[]).unwrap().path(), "/");
        assert_eq!(format!("{target:?}"), "Target(hooks.example:8443)");
    }

    #[test]
    fn what_is_refused_says_how_to_permit_it() {
        for (url, word) in [
            ("http://hooks.example/", "\"http\""),
            ("https://127.0.0.1/", "\"loopback\""),
            ("https://2130706433/", "\"loopback\""),
            ("https://0x7f.1/", "\"loopback\""),
            ("https://[::ffff:127.0.0.1]/", "\"loopback\""),
            ("https://localhost./", "\"loopback\""),
            ("https://user@a.localhost:1/", "\"loopback\""),
            ("https://169.254.169.254/latest", "\"169.254.169.254/32\""),
            ("https://0.0.0.0/", "\"0.0.0.0/32\""),
        ] {
            let error = parse(url, &[]).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("egress.allow"), "{url}: {error}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for url in [
            "",
            "hooks.example",
            "/in",
            "ftp://hooks.example/",
            "https://",
            "https://:443/",
            "https://hooks.example:0/",
            "https://hooks.example:70000/",
            "https://256.1.1.1/",
            "https://1.2.3.4.5/",
            "https://hö.example/",
            "https://a b/",
            "https://u%zz@a.example/",
        ] {
            assert!(matches!(parse(url, &["http"]), Err(EgressError::Url(_))), "{url}");
        }
    }
}
