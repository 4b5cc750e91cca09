//! What the driver's errors mean for the operator.

use std::error::Error as _;

use tokio_postgres::{
    Config,
    config::Host,
    error::{DbError, SqlState},
};

use crate::{
    fault::{Fault, Unsaid},
    probe::{self, Behind},
    tls::{Tls, fault_in, rustls_in},
};

/// The server a connection is for, as far as messages need it.
pub(super) struct Target<'a> {
    pub(super) config: &'a Config,
    pub(super) tls: Option<&'a Tls>,
}

impl Target<'_> {
    /// `HOST:PORT`, or the directory of a socket.
    pub(super) fn server(&self) -> String {
        match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) => format!("{host}:{}", self.port()),
            #[cfg(unix)]
            Some(Host::Unix(path)) => path.display().to_string(),
            None => String::new(),
        }
    }

    fn port(&self) -> u16 {
        self.config.get_ports().first().copied().unwrap_or(5432)
    }

    fn user(&self) -> String {
        self.config.get_user().unwrap_or_default().to_owned()
    }

    /// Whether we have one to show.
    fn certificate(&self) -> bool {
        self.tls.is_some_and(Tls::has_identity)
    }

    /// A certificate that is another user's is refused in the words for a wrong password.
    fn unsaid(&self) -> Unsaid {
        if self.certificate() { Unsaid::OthersCertificate } else { Unsaid::Nothing }
    }

    /// The driver's error, or `None` when it ran out of time.
    pub(super) async fn explain(&self, error: Option<&tokio_postgres::Error>) -> Fault {
        let server = self.server();
        if let Some(error) = error {
            if let Some(db) = error.as_db_error() {
                return self.said(db);
            }
            if let (Some(found), Some(tls)) = (rustls_in(error), self.tls) {
                return fault_in(found, &server, tls);
            }
            if self.config.get_password().is_none() && error.to_string().contains("configuration") {
                let cause = "it asks for one, and none is set".to_owned();
                return Fault::Password { server, user: self.user(), cause, unsaid: self.unsaid() };
            }
        }
        let after = self.config.get_connect_timeout().copied().unwrap_or_default();
        let wrong =
            |found| Fault::WrongEngine { server: server.clone(), found, wanted: "PostgreSQL" };
        let broken = |error: Option<&tokio_postgres::Error>| match error {
            Some(error) => Fault::Lost { server: server.clone(), cause: words(error) },
            None => Fault::Silent { server: server.clone(), after },
        };
        let Some(Host::Tcp(host)) = self.config.get_hosts().first() else { return broken(error) };
        match probe::behind(host, self.port()).await {
            Behind::Refused => Fault::Refused { server },
            Behind::Unresolved(cause) => Fault::Unresolved { host: host.clone(), cause },
            Behind::MySql => wrong("MySQL or MariaDB"),
            Behind::Stranger => wrong("no database server that is known here"),
            Behind::Postgres { tls: false } if self.tls.is_some() => Fault::NoTls { server },
            Behind::Silence if error.is_some_and(timed_out) => broken(None),
            Behind::Postgres { .. } | Behind::Silence => broken(error),
        }
    }

    /// The server has answered. Its words may be in any language; the codes are not.
    fn said(&self, db: &DbError) -> Fault {
        let (server, user, cause) = (self.server(), self.user(), db.message().to_owned());
        let code = db.code();
        match code {
            _ if *code == SqlState::INVALID_PASSWORD => {
                Fault::Password { server, user, cause, unsaid: self.unsaid() }
            }
            _ if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => Fault::NoRule {
                server,
                user,
                cause,
                tls: self.tls.is_some(),
                certificate: self.certificate(),
            },
            _ if *code == SqlState::INVALID_CATALOG_NAME => {
                Fault::NoDatabase { name: self.config.get_dbname().unwrap_or_default().to_owned() }
            }
            _ if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
                let name = self.config.get_dbname().unwrap_or_default();
                Fault::Privilege {
                    what: format!("connect ({cause})"),
                    remedy: format!("GRANT CONNECT ON DATABASE \"{name}\" TO \"{user}\""),
                    user,
                }
            }
            _ if code.code().starts_with("53") => Fault::Full { server, cause },
            // Starting, stopping, and what a pooler says while it has no server.
            _ if ["57", "08"].iter().any(|class| code.code().starts_with(class)) => {
                Fault::NotServing { server, cause }
            }
            _ => Fault::Other { server, cause },
        }
    }
}

fn timed_out(error: &tokio_postgres::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::TimedOut)
}

/// The driver's own, with the cause it wraps.
fn words(error: &tokio_postgres::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
