//! Every spelling of a forbidden place that is known to have fooled a client, and what becomes of
//! it here.

use super::{Allow, EgressError, Policy, Target};

/// How a URL is refused, or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Called.
    Open,
    /// No URL at all, or a host nobody can mean.
    Broken,
    /// By its address.
    Denied,
    /// Plain HTTP.
    Plain,
}
use Verdict::{Broken, Denied, Open, Plain};

const CORPUS: &[(&str, Verdict)] = &[
    // Public, and private networks: an administrator sets webhook URLs.
    ("https://hooks.example/", Open),
    ("https://hooks.example./in", Open),
    ("https://8.8.8.8/", Open),
    ("https://[2606:4700::1111]/", Open),
    ("https://10.0.0.1/", Open),
    ("https://172.16.0.1/", Open),
    ("https://192.168.1.1/", Open),
    ("https://100.64.0.1/", Open),
    ("https://[fd12:3456::1]/", Open),
    ("https://xn--bcher-kva.example/", Open),
    ("https://user:pass@hooks.example:8443/in?token=x", Open),
    // This machine, in every spelling.
    ("https://127.0.0.1/", Denied),
    ("https://127.0.0.1./", Denied),
    ("https://127.1/", Denied),
    ("https://127.0.1/", Denied),
    ("https://127.255.255.254/", Denied),
    ("https://2130706433/", Denied),
    ("https://017700000001/", Denied),
    ("https://0177.0.0.1/", Denied),
    ("https://0177.0.0.01/", Denied),
    ("https://0x7f.0.0.1/", Denied),
    ("https://0x7f000001/", Denied),
    ("https://0X7F000001/", Denied),
    ("https://0x7f.1/", Denied),
    ("https://127.0x0.0.1/", Denied),
    ("https://0/", Denied),
    ("https://0x0/", Denied),
    ("https://0.0.0.0/", Denied),
    ("https://localhost/", Denied),
    ("https://LOCALHOST/", Denied),
    ("https://localhost./", Denied),
    ("https://hooks.localhost/", Denied),
    ("https://[::1]/", Denied),
    ("https://[0:0:0:0:0:0:0:1]/", Denied),
    ("https://[::]/", Denied),
    ("https://[::ffff:127.0.0.1]/", Denied),
    ("https://[::ffff:7f00:1]/", Denied),
    ("https://[::127.0.0.1]/", Denied),
    ("https://[64:ff9b::127.0.0.1]/", Denied),
    ("https://[64:ff9b::7f00:1]/", Denied),
    ("https://[64:ff9b:1::127.0.0.1]/", Denied),
    ("https://[2002:7f00:1::]/", Denied),
    ("https://[::ffff:0:127.0.0.1]/", Denied),
    // The cloud's secrets.
    ("https://169.254.169.254/latest/meta-data/", Denied),
    ("https://2852039166/", Denied),
    ("https://0xa9fea9fe/", Denied),
    ("https://0251.0376.0251.0376/", Denied),
    ("https://169.254.43518/", Denied),
    ("https://169.254.170.2/", Denied),
    ("https://100.100.100.200/", Denied),
    ("https://168.63.129.16/", Denied),
    ("https://192.0.0.192/", Denied),
    ("https://[fd00:ec2::254]/", Denied),
    ("https://[fd20:ce::254]/", Denied),
    ("https://[::ffff:169.254.169.254]/", Denied),
    ("https://[64:ff9b::a9fe:a9fe]/", Denied),
    ("https://[2002:a9fe:a9fe::]/", Denied),
    // This link, and nobody.
    ("https://169.254.0.1/", Denied),
    ("https://[fe80::1]/", Denied),
    ("https://[febf::1]/", Denied),
    ("https://224.0.0.1/", Denied),
    ("https://255.255.255.255/", Denied),
    ("https://240.0.0.1/", Denied),
    ("https://192.0.2.1/", Denied),
    ("https://198.51.100.1/", Denied),
    ("https://203.0.113.1/", Denied),
    ("https://198.18.0.1/", Denied),
    ("https://[ff02::1]/", Denied),
    ("https://[2001:db8::1]/", Denied),
    ("https://[2001::1]/", Denied),
    ("https://[100::1]/", Denied),
    // The host is what comes after the last @ and before the path.
    ("https://hooks.example@127.0.0.1/", Denied),
    ("https://hooks.example:443@127.0.0.1/", Denied),
    ("https://127.0.0.1#@hooks.example/", Denied),
    ("https://127.0.0.1/@hooks.example/", Denied),
    ("https://127.0.0.1?@hooks.example/", Denied),
    ("https://127.0.0.1:8443/", Denied),
    ("https://hooks.example\\@127.0.0.1/", Broken),
    ("https://127.0.0.1@hooks.example/", Open),
    // Near misses are no names for a resolver to interpret.
    ("https://256.0.0.1/", Broken),
    ("https://1.2.3.4.5/", Broken),
    ("https://127.0.0.1../", Broken),
    ("https://127..1/", Broken),
    ("https://08.1/", Broken),
    ("https://4294967296/", Broken),
    ("https://127%2e0%2e0%2e1/", Broken),
    ("https://loc%61lhost/", Broken),
    ("https://[fe80::1%25eth0]/", Broken),
    ("https://[::1/", Broken),
    ("https://.example/", Broken),
    ("https://hooks..example/", Broken),
    // Letters and dots that only look like ours.
    ("https://ⓛocalhost/", Broken),
    ("https://１２７.0.0.1/", Broken),
    ("https://127。0。0。1/", Broken),
    ("https://bücher.example/", Broken),
    // Ports and schemes.
    ("https://hooks.example:1/", Open),
    ("https://hooks.example:65535/", Open),
    ("https://hooks.example:0/", Broken),
    ("https://hooks.example:65536/", Broken),
    ("https://hooks.example:-1/", Broken),
    ("http://hooks.example/", Plain),
    ("http://127.0.0.1/", Plain),
    ("ftp://hooks.example/", Broken),
    ("file:///etc/passwd", Broken),
    ("gopher://127.0.0.1:25/", Broken),
    ("unix:/var/run/docker.sock", Broken),
    ("//hooks.example/", Broken),
    ("/in", Broken),
    ("", Broken),
    ("https://", Broken),
    ("https:///in", Broken),
];

fn verdict(url: &str, allow: &Allow) -> Verdict {
    match Target::parse(url, allow) {
        Ok(_) => Open,
        Err(EgressError::Denied { .. }) => Denied,
        Err(EgressError::PlainHttp) => Plain,
        Err(EgressError::Url(_)) => Broken,
        Err(error) => panic!("{url}: {error}"),
    }
}

#[test]
fn no_spelling_of_a_forbidden_place_gets_through() {
    let allow = Allow::default();
    let wrong: Vec<_> = CORPUS
        .iter()
        .map(|(url, expected)| (url, expected, verdict(url, &allow)))
        .filter(|(_, expected, found)| *expected != found)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_refusal_names_the_setting_that_would_permit_it_and_no_secret() {
    let policy = Policy::new(Allow::default());
    for (url, expected) in CORPUS {
        if matches!(expected, Denied | Plain) {
            let with_secret = url.replacen("://", "://bot:s3cret@", 1);
            let error = policy.judge(&with_secret).await.unwrap_err().to_string();
            assert!(error.contains("egress.allow") && !error.contains("s3cret"), "{error}");
        }
    }
}
