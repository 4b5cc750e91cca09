//! Every way in which a server can refuse us: what the operator reads names the setting and the
//! remedy, and never the password. Cases are data, and the same for every engine; where the servers
//! themselves differ, a case says so with [`Engine::pick`].

mod absent;
mod certificates;
mod login;
mod server;
mod tls;

use store::{Settings, Store, TlsSettings};

use crate::database::rng;
use server::{Engine, PASSWORD};

/// Runs each test against the real server of each engine.
macro_rules! of_each_engine {
    ($($test:ident),+ $(,)?) => {
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::refusals::Engine::Postgres).await;
            })+
        }
        mod mariadb {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::refusals::Engine::Mariadb).await;
            })+
        }
    };
}
use of_each_engine;

/// Code and words of an error; `None`: it works.
type Refused = Option<(&'static str, &'static [&'static str])>;

/// One set-up, and what is expected of it.
struct Case {
    name: &'static str,
    settings: Settings,
    refused: Refused,
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
