//! Every way in which a server can refuse us: what the operator reads names the setting and the
//! remedy, and never the password. Cases are data, so that they hold for every engine.

mod absent;
mod certificates;
mod login;
mod mariadb;
mod server;
mod tls;

use std::time::Duration;

use store::{DatabaseUrl, Settings, Store, TlsSettings};

use crate::database::rng;
use server::PASSWORD;

/// One set-up, and what is expected of it.
struct Case {
    name: &'static str,
    settings: Settings,
    /// Code and words of the error; `None`: it works.
    refused: Option<(&'static str, &'static [&'static str])>,
}

/// Somewhere on this machine, with [`PASSWORD`]. Does not wait for what is late.
fn at(host: &str, port: u16, user: &str, name: &str) -> Settings {
    let url = DatabaseUrl::postgres(host, port, user, PASSWORD, name);
    let connect_timeout = Duration::from_secs(30);
    let start_wait = Duration::ZERO;
    Settings { connect_timeout, start_wait, lanes: Some(2), ..Settings::new(url) }
}

/// A name no other test has.
fn unique(name: &str) -> String {
    format!("{name}_{}", std::process::id())
}

/// Tries each, and tells all that is wrong at once.
async fn check(cases: Vec<Case>) {
    let mut wrong = Vec::new();
    for Case { name, settings, refused } in cases {
        let error = match (Store::open(settings, rng()).await, refused) {
            (Ok(_), None) => continue,
            (Ok(_), Some(_)) => {
                wrong.push(format!("{name}: it works"));
                continue;
            }
            (Err(error), None) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
            (Err(error), Some((code, words))) => {
                let text = error.to_string();
                let missing: Vec<_> = words.iter().filter(|word| !text.contains(**word)).collect();
                if error.code() != code || !missing.is_empty() {
                    wrong.push(format!("{name}: {} without {missing:?}: {text}", error.code()));
                }
                text
            }
        };
        if error.contains(PASSWORD) {
            wrong.push(format!("{name}: the password is shown: {error}"));
        }
        println!("{name}: {error}");
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// With an authority, and nothing else.
fn trusting(ca: &str) -> TlsSettings {
    TlsSettings { ca: Some(ca.to_owned()), ..TlsSettings::default() }
}
