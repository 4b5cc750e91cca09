//! TLS in a database's address, under libpq's names. They are taken out of it, as the drivers know
//! others or none.

use telemetry::config::Secret;

use crate::{error::StoreError, tls::TlsSettings};

/// The address without its TLS parameters, and what they say.
///
/// # Errors
/// [`StoreError::Address`], naming the parameter.
pub(crate) fn split(address: &str) -> Result<(String, TlsSettings), StoreError> {
    let mut settings = TlsSettings::default();
    let Some((place, query)) = address.split_once('?') else {
        return Ok((address.to_owned(), settings));
    };
    let mut others = Vec::new();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let twice = match name {
            "sslmode" => {
                let mode = decode(name, value)?.parse();
                let mode = mode.map_err(|why| StoreError::Address(format!("sslmode: {why}")))?;
                settings.mode.replace(mode).is_some()
            }
            "sslrootcert" => settings.ca.replace(decode(name, value)?).is_some(),
            "sslcert" => settings.cert.replace(decode(name, value)?).is_some(),
            "sslkey" => settings.key.replace(Secret::new(decode(name, value)?)).is_some(),
            _ => {
                others.push(parameter);
                false
            }
        };
        if twice {
            return Err(StoreError::Address(format!("the parameter {name} is there twice")));
        }
    }
    let rest =
        if others.is_empty() { place.to_owned() } else { format!("{place}?{}", others.join("&")) };
    Ok((rest, settings))
}

/// Undoes percent-encoding (RFC 3986).
fn decode(name: &str, value: &str) -> Result<String, StoreError> {
    let bad = || StoreError::Address(format!("the parameter {name} is not well percent-encoded"));
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first == b'%' {
            let digits = rest.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
            let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
            let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            bytes.push(byte.ok_or_else(bad)?);
            rest = rest.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use telemetry::config::SslMode;

    use super::*;

    #[test]
    fn tls_parameters_are_taken_out_of_an_address_and_the_others_stay() {
        let (rest, tls) = split(
            "postgres://u:p%3F@h:1/d?sslmode=verify-ca&application_name=x&sslrootcert=%2Fa%20b&\
             sslcert=c&sslkey=k&options=y",
        )
        .unwrap();
        assert_eq!(rest, "postgres://u:p%3F@h:1/d?application_name=x&options=y");
        assert_eq!(tls.mode, Some(SslMode::VerifyCa));
        assert_eq!(tls.ca.as_deref(), Some("/a b"));
        assert_eq!((tls.cert.as_deref(), tls.key.unwrap().expose()), (Some("c"), "k"));
        let (rest, tls) = split("postgres://u@h/d?sslmode=require").unwrap();
        assert_eq!((&*rest, tls.mode), ("postgres://u@h/d", Some(SslMode::Require)));
        for (bad, word) in [
            ("postgres://u@h/d?sslmode=prefer", "clear text"),
            ("postgres://u@h/d?sslmode=disable&sslmode=require", "twice"),
            ("postgres://u@h/d?sslrootcert=%2", "sslrootcert"),
        ] {
            let error = split(bad).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
