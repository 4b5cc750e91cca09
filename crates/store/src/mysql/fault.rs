//! What the driver's errors mean for the operator.

use std::time::Duration;

use mysql_async::{DriverError, Error, Opts, ServerError};

use crate::{
    fault::{Fault, Unsaid},
    mysql::error::describe,
    probe::{self, Behind},
    tls::{Tls, fault_in, rustls_in},
};

/// The server a connection is for, as far as messages need it.
pub(super) struct Target<'a> {
    pub(super) opts: &'a Opts,
    pub(super) tls: Option<&'a Tls>,
    pub(super) timeout: Duration,
}

impl Target<'_> {
    /// `HOST:PORT`.
    pub(super) fn server(&self) -> String {
        format!("{}:{}", self.opts.ip_or_hostname(), self.opts.tcp_port())
    }

    pub(super) fn user(&self) -> String {
        self.opts.user().unwrap_or_default().to_owned()
    }

    pub(super) fn database(&self) -> &str {
        self.opts.db_name().unwrap_or_default()
    }

    pub(super) fn silent(&self) -> Fault {
        Fault::Silent { server: self.server(), after: self.timeout }
    }

    /// The user may not do `what`.
    pub(super) fn privilege(&self, what: String, rights: &str) -> Fault {
        let (user, database) = (self.user(), self.database());
        let remedy = format!("GRANT {rights} ON `{database}`.* TO '{user}'");
        Fault::Privilege { user, what, remedy }
    }

    /// The driver's error, or `None` when it ran out of time.
    pub(super) async fn explain(&self, error: Option<&Error>) -> Fault {
        let server = self.server();
        match error {
            Some(Error::Server(said)) => {
                return self.said(said, describe(&Error::from(said.clone())));
            }
            Some(Error::Driver(DriverError::NoClientSslFlagFromServer)) => {
                return Fault::NoTls { server };
            }
            Some(error) => {
                if let (Some(found), Some(tls)) = (rustls_in(error), self.tls) {
                    return match fault_in(found, &server, tls) {
                        // The driver cannot leave the name out.
                        Fault::WrongName { server, cause, .. } => {
                            Fault::WrongName { server, cause, by_authority: false }
                        }
                        fault => fault,
                    };
                }
            }
            None => {}
        }
        let wrong = |found| Fault::WrongEngine {
            server: server.clone(),
            found,
            wanted: "MySQL or MariaDB",
        };
        let host = self.opts.ip_or_hostname();
        match probe::behind(host, self.opts.tcp_port()).await {
            Behind::Refused => Fault::Refused { server },
            Behind::Unresolved(cause) => Fault::Unresolved { host: host.to_owned(), cause },
            Behind::Postgres { .. } => wrong("PostgreSQL"),
            Behind::Stranger => wrong("no database server that is known here"),
            Behind::MySql | Behind::Silence => match error {
                Some(error) => Fault::Lost { server, cause: describe(error) },
                None => self.silent(),
            },
        }
    }

    /// Users that must come with TLS or a certificate (`REQUIRE`) are refused as with a wrong password.
    fn unsaid(&self) -> Unsaid {
        match self.tls {
            None => Unsaid::NoTls,
            Some(tls) if tls.has_identity() => Unsaid::OthersCertificate,
            Some(_) => Unsaid::NoCertificate,
        }
    }

    /// The server has answered. Its words may be in any language; the codes are not.
    fn said(&self, error: &ServerError, cause: String) -> Fault {
        let (server, user) = (self.server(), self.user());
        let certificate = self.tls.is_some_and(Tls::has_identity);
        match error.code {
            // Access denied, with and without a password, or for this way of giving one.
            1045 | 1698 | 1251 | 3118 => {
                Fault::Password { server, user, cause, unsaid: self.unsaid() }
            }
            // This host, or not without TLS.
            1130 | 3159 => {
                Fault::NoRule { server, user, cause, tls: self.tls.is_some(), certificate }
            }
            1049 => Fault::NoDatabase { name: self.database().to_owned() },
            // Also the answer when it is missing and may not be created.
            1044 => self.privilege(format!("use the database, if there is one ({cause})"), "ALL"),
            // Of all, of a user, and per hour.
            1040 | 1203 | 1226 => Fault::Full { server, cause },
            // Shutting down, blocked by failures before, killed.
            1053 | 1129 | 1927 => Fault::NotServing { server, cause },
            _ => Fault::Other { server, cause },
        }
    }
}
