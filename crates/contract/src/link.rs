//! Links that callers give: what counts as one.

use http::Uri;

/// Longest link, bytes.
pub(crate) const MAX_LINK: usize = 2_048;
/// Longest link to a file, bytes: one that a store has signed carries the token of a session.
pub(crate) const MAX_FILE_LINK: usize = 8_192;

/// An http or https URL with a host. Whether its address may be called at all is for whoever calls.
pub(crate) fn is_http(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let (Some("http" | "https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return false;
    };
    let host = authority.host();
    let host_and_port = authority.as_str().rsplit('@').next().unwrap_or_default();
    !host.is_empty() && (host_and_port == host || authority.port_u16().is_some())
}
