//! What a TLS error means for the operator.

use std::{error::Error, io};

use rustls::{AlertDescription as Alert, CertificateError as Bad};

use crate::{fault::Fault, tls::Tls};

/// The TLS error among the causes of a driver's error.
pub(crate) fn rustls_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // The source of an I/O error is that of what it wraps, not what it wraps.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// Its meaning, for a connection to `server` under `tls`.
pub(crate) fn fault_in(error: &rustls::Error, server: &str, tls: &Tls) -> Fault {
    let server = server.to_owned();
    let cause = error.to_string();
    match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::Expired
            | Bad::ExpiredContext { .. }
            | Bad::NotValidYet
            | Bad::NotValidYetContext { .. } => Fault::OutOfTime { server, cause },
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                Fault::WrongName { server, cause, by_authority: true }
            }
            _ => Fault::Untrusted { server, trusted: tls.authority(), cause },
        },
        rustls::Error::AlertReceived(alert) => match alert {
            Alert::CertificateRequired => Fault::ClientCertificateNeeded { server },
            Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::CertificateExpired
            | Alert::CertificateRevoked
            | Alert::CertificateUnknown
            | Alert::UnsupportedCertificate
            | Alert::AccessDenied
                if tls.has_identity() =>
            {
                Fault::ClientCertificateRefused { server, cause }
            }
            Alert::ProtocolVersion => Fault::TlsVersion { server, cause },
            _ => Fault::Tls { server, cause },
        },
        rustls::Error::PeerIncompatible(_) => Fault::TlsVersion { server, cause },
        _ => Fault::Tls { server, cause },
    }
}
