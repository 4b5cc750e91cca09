//! What a process may call and how: the rules, the way out, and who it says it is. The private
//! authorities are no part of it: they change while it runs.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::time::timeout;

use super::{Allow, EgressError, Target, proxy::Proxy};

/// How long a name may take to resolve while a URL is only being judged.
const JUDGE_TIMEOUT: Duration = Duration::from_secs(2);

/// Finds the addresses of a name; the system's unless a test has its own.
pub type Resolve =
    dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync;

/// See the module.
#[derive(Clone)]
pub struct Policy {
    pub(super) allow: Allow,
    pub(super) proxy: Option<Arc<Proxy>>,
    pub(super) identity: Option<Arc<Identity>>,
    pub(super) resolve: Arc<Resolve>,
}

/// What receivers that ask for a client certificate are shown.
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

// === impl Policy ===

impl Policy {
    /// Straight to the receiver, without a certificate.
    #[must_use]
    pub fn new(allow: Allow) -> Self {
        let system = |host: String, port| {
            async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) }.boxed()
        };
        Self { allow, proxy: None, identity: None, resolve: Arc::new(system) }
    }

    /// Through a proxy, but for the hosts that `direct` names (`host` or `.suffix`).
    ///
    /// # Errors
    /// [`EgressError::Proxy`].
    pub fn through(mut self, url: &str, direct: &[String]) -> Result<Self, EgressError> {
        self.proxy = Some(Arc::new(Proxy::parse(url, direct)?));
        Ok(self)
    }

    /// With a client certificate; both PEM.
    ///
    /// # Errors
    /// [`EgressError::Identity`].
    pub fn showing(mut self, chain: &[u8], key: &[u8]) -> Result<Self, EgressError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or(EgressError::Identity("egress.client_cert", "no certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| EgressError::Identity("egress.client_key", "no private key"))?;
        self.identity = Some(Arc::new(Identity { chain, key }));
        Ok(self)
    }

    /// The same for links that come with messages: whose hosts are nobody's choice of ours.
    #[must_use]
    pub fn for_links(mut self) -> Self {
        self.allow = self.allow.for_links();
        self.identity = None;
        self
    }

    /// Resolves names as the test says.
    #[cfg(test)]
    pub(crate) fn resolving(mut self, resolve: Arc<Resolve>) -> Self {
        self.resolve = resolve;
        self
    }

    /// Judges a URL as far as that is possible without calling it. A name that does not resolve now
    /// may do so later and is let through.
    ///
    /// # Errors
    /// As [`super::Egress::target`]; [`EgressError::Denied`] when all addresses of a name are.
    pub async fn judge(&self, url: &str) -> Result<(), EgressError> {
        let target = Target::parse(url, &self.allow)?;
        if target.literal().is_some() {
            return Ok(());
        }
        let found = (self.resolve)(target.host().to_owned(), target.port());
        match timeout(JUDGE_TIMEOUT, found).await {
            Ok(Ok(found)) if !found.is_empty() => self.admit(&target, &found).map(drop),
            _ => Ok(()),
        }
    }

    /// The addresses that may be called. A name with none such is refused with the first reason.
    pub(super) fn admit(
        &self,
        target: &Target,
        found: &[SocketAddr],
    ) -> Result<Vec<SocketAddr>, EgressError> {
        let mut refusal = None;
        let mut judged = Vec::new();
        for address in found {
            match self.allow.judge(address.ip()) {
                Ok(()) => judged.push(*address),
                Err(class) => {
                    refusal
                        .get_or_insert_with(|| Allow::denied(target.host(), address.ip(), class));
                }
            }
        }
        judged.truncate(super::MAX_ADDRESSES);
        match refusal {
            Some(error) if judged.is_empty() => Err(error),
            None if judged.is_empty() => Err(EgressError::NoAddress(target.host().to_owned())),
            _ => Ok(judged),
        }
    }
}

impl fmt::Debug for Policy {
    /// No key, no password of the proxy.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("allow", &self.allow)
            .field("proxy", &self.proxy.is_some())
            .field("identity", &self.identity.is_some())
            .finish_non_exhaustive()
    }
}
