//! Why a database server cannot be used: each cause once, with the setting it is about and the
//! remedy. The engines' modules tell the causes apart; nothing here knows a driver.

use std::time::Duration;

use telemetry::config::named;

/// What is wrong between us and a server. No text holds a password or a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nobody listens there.
    #[error(
        "{server} refuses connections: is the server running, and are {} and {} right?",
        named("database.host"),
        named("database.port")
    )]
    Refused { server: String },
    #[error("the name {host} does not resolve ({cause}): check {}", named("database.host"))]
    Unresolved { host: String, cause: String },
    #[error(
        "{server} does not answer within {:.1} s: check {}, {} and the firewalls between, or raise \
         database.connect_timeout_ms",
        .after.as_secs_f64(), named("database.host"), named("database.port")
    )]
    Silent { server: String, after: Duration },
    #[error("{server} does not serve at the moment: {cause}")]
    NotServing { server: String, cause: String },
    #[error(
        "{server} has no connection left: {cause}; raise its limit (max_connections) or lower \
         database.lanes, database.read_connections and database.control_connections"
    )]
    Full { server: String, cause: String },
    #[error("the connection to {server} broke: {cause}")]
    Lost { server: String, cause: String },

    #[error(
        "what answers at {server} is {found}, not {wanted}: check {}, {} and {}",
        named("database.engine"),
        named("database.host"),
        named("database.port")
    )]
    WrongEngine { server: String, found: &'static str, wanted: &'static str },
    #[error("{server} offers no TLS: switch TLS on there, or set database.ssl_mode to disable")]
    NoTls { server: String },
    #[error(
        "{server} speaks no TLS version of ours ({cause}): allow TLS 1.2 or 1.3 there \
         (ssl_min_protocol_version, tls_version)"
    )]
    TlsVersion { server: String, cause: String },
    #[error(
        "the certificate of {server} does not come from {trusted} ({cause}): put the authority that \
         issued it into {}",
        named("database.ssl_ca")
    )]
    Untrusted { server: String, trusted: &'static str, cause: String },
    #[error(
        "the certificate of {server} is not valid at this time ({cause}): renew it on the server, or \
         set this machine's clock right; database.ssl_mode = verify-full and verify-ca need one that \
         is valid"
    )]
    OutOfTime { server: String, cause: String },
    #[error(
        "the certificate of {server} is for another name ({cause}): set {} to a name in its subject \
         alternative names (a common name does not count), or database.ssl_mode to {}",
        named("database.host"),
        weaker_mode(*.by_authority)
    )]
    WrongName { server: String, cause: String, by_authority: bool },
    #[error(
        "{server} asks for a client certificate: set {} and {}",
        named("database.ssl_cert"),
        named("database.ssl_key")
    )]
    ClientCertificateNeeded { server: String },
    #[error(
        "{server} does not accept our certificate ({cause}): check {}, which must come from an \
         authority the server trusts and may have to name the user",
        named("database.ssl_cert")
    )]
    ClientCertificateRefused { server: String, cause: String },
    #[error(
        "TLS with {server} fails: {cause}; check database.ssl_mode and {}",
        named("database.ssl_ca")
    )]
    Tls { server: String, cause: String },

    /// One of our own settings about TLS.
    #[error("the setting {} cannot be used: {cause}", named(.setting))]
    Setting { setting: &'static str, cause: String },

    #[error(
        "{server} does not accept the password of the user {user} ({cause}): check {} and {}{}",
        named("database.username"),
        named("database.password"),
        .unsaid.remedy()
    )]
    Password { server: String, user: String, cause: String, unsaid: Unsaid },
    #[error(
        "{server} has no rule that lets the user {user} in ({cause}): {}",
        rule_remedy(*.tls, *.certificate)
    )]
    NoRule { server: String, user: String, cause: String, tls: bool, certificate: bool },
    /// The engine creates it if it may.
    #[error("there is no database {name}: check {} or create it", named("database.name_prefix"))]
    NoDatabase { name: String },
    #[error("the user {user} may not {what}: as an administrator, run {remedy}")]
    Privilege { user: String, what: String, remedy: String },
    /// Anything else the server says, in its words.
    #[error("{server} refuses: {cause}")]
    Other { server: String, cause: String },
}

/// What a server may mean when it says that a password is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsaid {
    /// Nothing else.
    Nothing,
    /// The user has to come with TLS.
    NoTls,
    /// The user has to show a certificate.
    NoCertificate,
    /// The certificate is another user's.
    OthersCertificate,
}

impl Unsaid {
    fn remedy(self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::NoTls => format!(
                ", and, if this user has to come with TLS, {} or database.ssl_mode",
                named("database.ssl_ca")
            ),
            Self::NoCertificate => format!(
                ", and, if this user has to show a certificate, {} and {}",
                named("database.ssl_cert"),
                named("database.ssl_key")
            ),
            Self::OthersCertificate => {
                format!(", and that {} is for this user", named("database.ssl_cert"))
            }
        }
    }
}

/// The engine's mode in which the name does not matter.
fn weaker_mode(by_authority: bool) -> &'static str {
    match by_authority {
        true => "verify-ca",
        false => "require without database.ssl_ca, which trusts anybody",
    }
}

fn rule_remedy(tls: bool, certificate: bool) -> String {
    match (tls, certificate) {
        (false, _) => format!(
            "if it wants TLS, set {} (or database.ssl_mode); else check {} and the server's own rules",
            named("database.ssl_ca"),
            named("database.username")
        ),
        (true, false) => format!(
            "if it wants a client certificate, set {} and {}; else check {} and the server's own rules",
            named("database.ssl_cert"),
            named("database.ssl_key"),
            named("database.username")
        ),
        (true, true) => format!(
            "check that {} is for {}, and the server's own rules",
            named("database.ssl_cert"),
            named("database.username")
        ),
    }
}

impl Fault {
    /// A stable name for logs, `doctor` and help pages.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "store_refused",
            Self::Unresolved { .. } => "store_unresolved",
            Self::Silent { .. } => "store_silent",
            Self::NotServing { .. } => "store_not_serving",
            Self::Full { .. } => "store_full",
            Self::Lost { .. } => "store_lost",
            Self::WrongEngine { .. } => "store_wrong_engine",
            Self::NoTls { .. } => "store_no_tls",
            Self::TlsVersion { .. } => "store_tls_version",
            Self::Untrusted { .. } => "store_untrusted",
            Self::OutOfTime { .. } => "store_certificate_time",
            Self::WrongName { .. } => "store_certificate_name",
            Self::ClientCertificateNeeded { .. } => "store_client_certificate_needed",
            Self::ClientCertificateRefused { .. } => "store_client_certificate_refused",
            Self::Tls { .. } => "store_tls",
            Self::Setting { .. } => "store_setting",
            Self::Password { .. } => "store_password",
            Self::NoRule { .. } => "store_no_rule",
            Self::NoDatabase { .. } => "store_no_database",
            Self::Privilege { .. } => "store_privilege",
            Self::Other { .. } => "store_other",
        }
    }

    /// It may pass without anybody changing a setting: the server is starting, a name is not known
    /// yet, a network is being repaired.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. }
                | Self::Unresolved { .. }
                | Self::Silent { .. }
                | Self::NotServing { .. }
                | Self::Full { .. }
                | Self::Lost { .. }
        )
    }
}
