//! TLS settings as the driver takes them. It verifies a server by itself: an authority only together
//! with the name, and no certificate that is its own authority.

use mysql_async::{ClientIdentity, SslOpts};
use telemetry::config::SslMode;

use crate::{
    fault::Fault,
    tls::{Identity, MODE, Tls, TlsSettings},
};

/// `None`: clear text.
///
/// # Errors
/// [`Fault::Setting`].
pub(super) fn load(settings: &TlsSettings) -> Result<Option<(Tls, SslOpts)>, Fault> {
    let Some(tls) = settings.load()? else { return Ok(None) };
    // Checks what the driver would read anew for each connection.
    tls.client_config()?;
    let roots: Vec<_> = tls.authorities().iter().map(|root| root.to_vec().into()).collect();
    let opts = match (tls.mode, roots.is_empty()) {
        (SslMode::VerifyFull, public) => {
            SslOpts::default().with_disable_built_in_roots(!public).with_root_certs(roots)
        }
        (SslMode::Require, true) => SslOpts::default().with_danger_accept_invalid_certs(true),
        (mode, _) => {
            let cause = format!(
                "for MySQL and MariaDB {} cannot verify the authority without the name: set \
                 verify-full, or require without database.ssl_ca",
                mode.name()
            );
            return Err(Fault::Setting { setting: MODE, cause });
        }
    };
    let identity = settings
        .identity()?
        .map(|Identity { certificates, key }| ClientIdentity::new(certificates.into(), key.into()));
    Ok(Some((tls, opts.with_client_identity(identity))))
}
