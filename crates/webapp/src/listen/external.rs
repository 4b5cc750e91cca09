//! A certificate as an administrator uploads it: private key, certificate, intermediates, in this order.
//! Everything that would make clients refuse it is found here, and told by the place of the block it is in.

use std::{borrow::Cow, sync::Arc};

use contract::{ApiError, Code, monitoring::iso8601};
use tokio_rustls::rustls::{
    crypto::ring::{default_provider, sign::any_supported_type},
    pki_types::{
        CertificateDer, PrivateKeyDer, UnixTime,
        pem::{PemObject as _, SectionKind},
    },
    sign::CertifiedKey,
};
use webpki::{EndEntityCert, Error as Fault, KeyUsage, anchor_from_trusted_cert};

/// Bytes of an upload, and blocks.
pub(crate) const MAX_BYTES: usize = 64 << 10;
const MAX_BLOCKS: usize = 16;
const ORDER: &str = "give the private key, the certificate and its intermediates, in this order";

fn invalid(what: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::new(Code::INVALID, what)
}

/// Reads an upload and checks it as clients will.
///
/// # Errors
/// 1008 for nothing, 1009 with the block that is wrong.
pub(crate) fn checked(pem: &[u8], now_s: i64) -> Result<Arc<CertifiedKey>, ApiError> {
    let key = read(pem)?;
    let now =
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(now_s.max(0).unsigned_abs()));
    chain(&key.cert, now, now_s)?;
    Ok(key)
}

/// Reads one that was checked when it was uploaded; it may have expired since.
///
/// # Errors
/// As [`checked`], but for times and signatures.
pub(crate) fn read(pem: &[u8]) -> Result<Arc<CertifiedKey>, ApiError> {
    if pem.iter().all(u8::is_ascii_whitespace) {
        let details = format!("The body is empty: {ORDER}, as PEM");
        return Err(ApiError::new(Code::MISSING, details));
    }
    if pem.len() > MAX_BYTES {
        return Err(invalid(format!("The body has more than {} KiB", MAX_BYTES >> 10)));
    }
    let blocks: Result<Vec<_>, _> = <(SectionKind, Vec<u8>)>::pem_slice_iter(pem).collect();
    let mut blocks = blocks.map_err(|_| invalid("The body is malformed PEM"))?.into_iter();
    if blocks.len() > MAX_BLOCKS {
        return Err(invalid(format!("The body has more than {MAX_BLOCKS} PEM blocks")));
    }
    let key = match blocks.next() {
        Some((SectionKind::PrivateKey, der)) => PrivateKeyDer::Pkcs8(der.into()),
        Some((SectionKind::RsaPrivateKey, der)) => PrivateKeyDer::Pkcs1(der.into()),
        Some((SectionKind::EcPrivateKey, der)) => PrivateKeyDer::Sec1(der.into()),
        _ => return Err(invalid(format!("Block 1 is no private key: {ORDER}"))),
    };
    let mut certificates = Vec::new();
    for (place, (kind, der)) in (2..).zip(blocks) {
        if kind != SectionKind::Certificate {
            return Err(invalid(format!("Block {place} is no certificate: {ORDER}")));
        }
        certificates.push(CertificateDer::from(der));
    }
    if certificates.len() < 2 {
        let missing =
            if certificates.is_empty() { "certificate" } else { "intermediate certificate" };
        return Err(invalid(format!("There is no {missing}: {ORDER}")));
    }
    let signing = any_supported_type(&key)
        .map_err(|_| invalid("Block 1 is no private key of a kind that is supported"))?;
    let key = CertifiedKey::new(certificates, signing);
    key.end_entity_cert()
        .ok()
        .and_then(|der| EndEntityCert::try_from(der).ok())
        .ok_or_else(|| invalid("Block 2 is no X.509 certificate"))?;
    key.keys_match().map_err(|_| invalid("Block 1 is not the private key of block 2"))?;
    Ok(Arc::new(key))
}

/// Each certificate is issued by the one behind it, and all are valid now.
fn chain(chain: &[CertificateDer<'_>], now: UnixTime, now_s: i64) -> Result<(), ApiError> {
    let Some((own, issuers)) = chain.split_first() else { return Ok(()) };
    let own = EndEntityCert::try_from(own).map_err(|error| invalid(fault(2, &error)))?;
    let algorithms = default_provider().signature_verification_algorithms.all;
    for (n, issuer) in issuers.iter().enumerate() {
        // The blocks are counted from 1, and the first issuer is the third.
        let place = n + 3;
        let anchor =
            anchor_from_trusted_cert(issuer).map_err(|error| invalid(fault(place, &error)))?;
        let between = issuers.get(..n).unwrap_or_default();
        let usage = KeyUsage::server_auth();
        let anchors = &[anchor];
        let verified = own.verify_for_usage(algorithms, anchors, between, now, usage, None, None);
        // Whatever is wrong up to here is wrong with the certificate before this one: this one is only
        // believed.
        match verified {
            Ok(_) => {}
            Err(Fault::UnknownIssuer) => {
                let details = format!("Block {place} did not issue block {}: {ORDER}", place - 1);
                return Err(invalid(details));
            }
            Err(error) => return Err(invalid(fault(place - 1, &error))),
        }
    }
    let last = chain.last().and_then(|last| validity(last));
    let (from, to) = last.ok_or_else(|| invalid("The last block has no validity"))?;
    let now: String = iso8601(now_s).chars().filter(char::is_ascii_digit).collect();
    let place = chain.len() + 1;
    if now < from {
        return Err(invalid(format!("Block {place} is not valid yet")));
    }
    if now > to {
        return Err(invalid(format!("Block {place} has expired")));
    }
    Ok(())
}

fn fault(place: usize, fault: &Fault) -> String {
    match fault {
        Fault::CertExpired { .. } => format!("Block {place} has expired"),
        Fault::CertNotValidYet { .. } => format!("Block {place} is not valid yet"),
        Fault::CaUsedAsEndEntity => format!("Block {place} is an authority's: {ORDER}"),
        Fault::EndEntityUsedAsCa => format!("Block {place} is no authority's: {ORDER}"),
        other => format!("Block {place} cannot be used: {other}"),
    }
}

/// From when to when, as fourteen digits of UTC.
fn validity(certificate: &[u8]) -> Option<(String, String)> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (_, outer, _) = element(certificate)?;
    let (_, signed, _) = element(outer)?;
    let (first, _, behind) = element(signed)?;
    let (_, _, behind) = if first == VERSION { element(behind)? } else { (0, &[][..], behind) };
    let (_, _, behind) = element(behind)?;
    let (_, _, behind) = element(behind)?;
    let (SEQUENCE, times, _) = element(behind)? else { return None };
    let (kind, from, behind) = element(times)?;
    let (kind_to, to, _) = element(behind)?;
    Some((time(kind, from)?, time(kind_to, to)?))
}

/// Tag, contents and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (contents, behind) = rest.split_at_checked(length)?;
    Some((tag, contents, behind))
}

fn time(kind: u8, text: &[u8]) -> Option<String> {
    const UTC: u8 = 0x17;
    const GENERALIZED: u8 = 0x18;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let century = match kind {
        // RFC 5280, 4.1.2.5.1.
        UTC if text < "50" => "20",
        UTC => "19",
        GENERALIZED => "",
        _ => return None,
    };
    let text = format!("{century}{text}");
    (text.len() == 14 && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd,
    };

    use super::*;

    /// 2026-01-01.
    const NOW: i64 = 1_767_225_600;

    fn authority(name: &str, years: (i32, i32)) -> CertificateParams {
        let mut params = dated(CertificateParams::new([name.to_owned()]).unwrap(), years);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params
    }

    fn dated(mut params: CertificateParams, (from, to): (i32, i32)) -> CertificateParams {
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        params
    }

    /// Key, certificate, intermediate, root.
    fn blocks(own: (i32, i32), middle: (i32, i32), root: (i32, i32)) -> [String; 4] {
        let root =
            CertifiedIssuer::self_signed(authority("root", root), KeyPair::generate().unwrap());
        let root = root.unwrap();
        let middle = authority("middle", middle);
        let middle = CertifiedIssuer::signed_by(middle, KeyPair::generate().unwrap(), &root);
        let middle = middle.unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["gateway.example".to_owned()]).unwrap();
        let certificate = dated(params, own).signed_by(&key, &middle).unwrap();
        [key.serialize_pem(), certificate.pem(), middle.pem(), root.pem()]
    }

    fn good() -> [String; 4] {
        blocks((2025, 2027), (2020, 2030), (2000, 2060))
    }

    fn told(blocks: &[&String]) -> String {
        let pem: String = blocks.iter().map(|block| block.as_str()).collect();
        match checked(pem.as_bytes(), NOW) {
            Ok(_) => "good".to_owned(),
            Err(error) => format!("{}: {}", error.code.get(), error.details),
        }
    }

    #[test]
    fn a_key_its_certificate_and_the_chain_to_an_authority_are_taken() {
        let [key, own, middle, root] = &good();
        assert_eq!(told(&[key, own, middle]), "good");
        assert_eq!(told(&[key, own, middle, root]), "good");
    }

    #[test]
    fn whatever_is_out_of_place_is_told_by_its_block() {
        let [key, own, middle, root] = &good();
        let [other_key, other, _, _] = &good();
        for (blocks, says) in [
            (&[own, key, middle][..], "1009: Block 1 is no private key"),
            (&[key, own], "1009: There is no intermediate certificate"),
            (&[key], "1009: There is no certificate"),
            (&[], "1008: "),
            (&[key, own, key], "1009: Block 3 is no certificate"),
            (&[other_key, own, middle], "1009: Block 1 is not the private key of block 2"),
            (&[key, middle, own], "1009: Block 1 is not the private key of block 2"),
            (&[key, own, root], "1009: Block 3 did not issue block 2"),
            (&[key, own, root, middle], "1009: Block 3 did not issue block 2"),
            (&[key, own, middle, other], "1009: Block 4 did not issue block 3"),
            (&[&"-----BEGIN RUBBISH-----\nAA".to_owned()], "1009: "),
        ] {
            let told = told(blocks);
            assert!(told.starts_with(says), "{told}, not {says}");
        }
    }

    #[test]
    fn what_is_not_valid_now_is_told_by_its_block() {
        let (past, now, future) = ((2000, 2001), (2020, 2030), (2040, 2050));
        for (own, middle, root, says) in [
            (past, now, now, "1009: Block 2 has expired"),
            (future, now, now, "1009: Block 2 is not valid yet"),
            (now, past, now, "1009: Block 3 has expired"),
            (now, future, now, "1009: Block 3 is not valid yet"),
            (now, now, past, "1009: Block 4 has expired"),
            (now, now, (2049, 2061), "1009: Block 4 is not valid yet"),
        ] {
            let [key, own, middle, root] = &blocks(own, middle, root);
            assert_eq!(told(&[key, own, middle, root]), says);
        }
        let [key, own, middle, _] = &blocks(now, past, now);
        assert_eq!(told(&[key, own, middle]), "1009: Block 3 has expired", "nothing above it");
        let pem = [key.as_str(), own, middle].concat();
        assert!(read(pem.as_bytes()).is_ok(), "what was taken once stays readable");
    }

    #[test]
    fn a_validity_of_arbitrary_bytes_is_none() {
        let [_, own, ..] = good();
        let der = CertificateDer::from_pem_slice(own.as_bytes()).unwrap();
        assert_eq!(
            validity(&der),
            Some(("20250101000000".to_owned(), "20270101000000".to_owned()))
        );
        for end in 0..der.len().min(200) {
            let _any = validity(&der[..end]);
        }
        assert_eq!(validity(&[0x30, 0x84, 1, 1, 1, 1]), None);
    }
}
