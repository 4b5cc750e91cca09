use std::{
    path::Path,
    sync::atomic::{AtomicI64, Ordering},
};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "another secret of thirty-two characters";
const WEEK_MS: i64 = 7 * 86_400_000;

/// A clock that is put forward; it starts with the machine's, by which certificates are judged.
struct Hand(AtomicI64);

impl Clock for Hand {
    fn unix_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn hand(ahead_ms: i64) -> Arc<Hand> {
    #[expect(clippy::disallowed_methods, reason = "rustls asks the machine's clock, too")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Arc::new(Hand(AtomicI64::new(i64::try_from(now.as_millis()).unwrap() + ahead_ms)))
}

fn of_secrets(me: Name, used: &str, accepted: &[&str]) -> Arc<Identity> {
    Identity::new(me, Source::Secrets(Secrets::new(used, accepted)), hand(0)).unwrap()
}

/// Shakes hands and lets each side write a word; gives whom the server sees, or why there is none.
async fn meet(client: &Identity, server: &Identity) -> Result<Name, String> {
    let (near, far) = duplex(16_384);
    let client = async {
        let mut stream = client.connect(near).await?;
        stream.write_all(b"ping").await?;
        let mut word = [0; 4];
        stream.read_exact(&mut word).await?;
        io::Result::Ok(word)
    };
    let server = async {
        let (mut stream, name): (server::TlsStream<DuplexStream>, Name) =
            server.accept(far).await?;
        let mut word = [0; 4];
        stream.read_exact(&mut word).await?;
        stream.write_all(b"pong").await?;
        stream.flush().await?;
        io::Result::Ok(name)
    };
    let (word, name) = tokio::join!(client, server);
    let name = name.map_err(|error| format!("server: {error}"))?;
    assert_eq!(&word.map_err(|error| format!("client: {error}"))?, b"pong");
    Ok(name)
}

#[tokio::test]
async fn whoever_has_the_secret_is_known_by_name() {
    let coreapp = of_secrets(Name::Coreapp, SECRET, &[]);
    for name in [Name::Webapp, Name::Coreapp, Name::Service("billing-2".to_owned())] {
        let other = of_secrets(name.clone(), SECRET, &[]);
        assert_eq!(meet(&other, &coreapp).await, Ok(name));
    }
}

#[tokio::test]
async fn whoever_has_another_secret_is_refused_by_both_sides() {
    let (coreapp, webapp) =
        (of_secrets(Name::Coreapp, SECRET, &[]), of_secrets(Name::Webapp, OTHER, &[]));
    assert!(meet(&webapp, &coreapp).await.is_err());
    // The server would take the client's, yet the client not the server's.
    let open = of_secrets(Name::Coreapp, SECRET, &[OTHER]);
    assert!(meet(&webapp, &open).await.is_err());
}

#[tokio::test]
async fn a_secret_is_rotated_by_accepting_the_new_one_before_it_is_used() {
    let (old, between, new) = (
        of_secrets(Name::Webapp, SECRET, &[OTHER]),
        of_secrets(Name::Coreapp, OTHER, &[SECRET]),
        of_secrets(Name::Webapp, OTHER, &[]),
    );
    assert_eq!(meet(&old, &between).await, Ok(Name::Webapp));
    assert_eq!(meet(&new, &between).await, Ok(Name::Webapp));
}

#[tokio::test]
async fn a_webapp_cannot_pass_for_a_coreapp() {
    let (webapp, pretender) =
        (of_secrets(Name::Webapp, SECRET, &[]), of_secrets(Name::Webapp, SECRET, &[]));
    let refused = meet(&webapp, &pretender).await.unwrap_err();
    assert!(refused.contains("server"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_renewed_in_time_and_an_expired_one_is_refused() {
    let clock = hand(-WEEK_MS - 7_200_000);
    let secrets = || Source::Secrets(Secrets::new(SECRET, &[]));
    let webapp = Identity::new(Name::Webapp, secrets(), clock.clone()).unwrap();
    let coreapp = of_secrets(Name::Coreapp, SECRET, &[]);
    assert!(meet(&webapp, &coreapp).await.is_err(), "expired two hours ago");
    let keep = tokio::spawn(webapp.clone().keep());
    clock.0.fetch_add(WEEK_MS / 2 - 60_000, Ordering::Relaxed);
    tokio::time::sleep(2 * LOOK).await;
    assert!(meet(&webapp, &coreapp).await.is_err(), "renewed too early");
    clock.0.store(hand(0).unix_ms(), Ordering::Relaxed);
    tokio::time::sleep(2 * LOOK).await;
    assert_eq!(meet(&webapp, &coreapp).await, Ok(Name::Webapp));
    keep.abort();
}

fn write(directory: &Path, secret: &str, name: &Name) -> Source {
    let [ca, cert, key] = Secrets::new(secret, &[]).issue(name, hand(0).unix_ms(), 30).unwrap();
    let file = |name: &str, text: String| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    Source::Files(Files {
        ca: file("ca.pem", ca),
        cert: file("cert.pem", cert),
        key: file("key.pem", key),
    })
}

#[tokio::test(start_paused = true)]
async fn files_are_read_again_when_they_change_and_bad_ones_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let source = write(directory.path(), SECRET, &Name::Webapp);
    let webapp = Identity::new(Name::Webapp, source, hand(0)).unwrap();
    let (old, new) =
        (of_secrets(Name::Coreapp, SECRET, &[]), of_secrets(Name::Coreapp, OTHER, &[]));
    assert_eq!(meet(&webapp, &old).await, Ok(Name::Webapp));
    let keep = tokio::spawn(webapp.clone().keep());
    std::fs::write(directory.path().join("cert.pem"), "not yet written").unwrap();
    tokio::time::sleep(2 * LOOK).await;
    assert_eq!(meet(&webapp, &old).await, Ok(Name::Webapp));
    write(directory.path(), OTHER, &Name::Webapp);
    tokio::time::sleep(2 * LOOK).await;
    assert_eq!(meet(&webapp, &new).await, Ok(Name::Webapp));
    assert!(meet(&webapp, &old).await.is_err());
    keep.abort();
}

#[test]
fn what_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let source = write(directory.path(), SECRET, &Name::Service("billing".to_owned()));
    let refused = |source: &Source| {
        Identity::new(Name::Webapp, source.clone(), hand(0)).err().unwrap().to_string()
    };
    let message = refused(&source);
    assert!(message.contains("service:billing") && message.contains("webapp"), "{message}");
    std::fs::write(directory.path().join("key.pem"), "").unwrap();
    assert!(refused(&source).contains("(internal.key) holds no PEM private key"));
    std::fs::remove_file(directory.path().join("ca.pem")).unwrap();
    assert!(refused(&source).contains("(internal.ca)"));
}

#[test]
fn names_of_services_are_short_and_plain() {
    assert_eq!("service:a.b-c_9".parse(), Ok(Name::Service("a.b-c_9".to_owned())));
    for wrong in ["", "service:", "service:a b", "servant", &format!("service:{}", "a".repeat(65))]
    {
        assert!(wrong.parse::<Name>().is_err(), "{wrong}");
    }
}

#[test]
fn no_secret_shows_in_debug() {
    assert!(!format!("{:?}", Secrets::new(SECRET, &[OTHER])).contains("0123"));
}
