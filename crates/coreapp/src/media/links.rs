//! Files by link: fetched with GET, over connections whose addresses were judged, piece by piece.
//!
//! A redirect is judged like the link itself. Credentials of a provider go to the host of the link alone.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use contract::{ApiError, Code, media, settings::MediaType};
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::{Body as _, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use ring::digest::{Context, SHA256};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, timeout, timeout_at},
};
use upstream::Piece;

use super::files::PIECE;
use crate::egress::{Egress, Target};

/// Redirects that are followed.
const REDIRECTS: usize = 3;
/// For the head of an answer, and for each piece of its body.
const STALL: Duration = Duration::from_secs(15);
/// For all of a file, redirects included.
const WHOLE: Duration = Duration::from_secs(120);
/// Files fetched from one host at once; further ones wait, so that a slow host costs itself.
const A_HOST: usize = 8;
/// Hosts that are remembered; then those that nothing is fetched from are forgotten.
const HOSTS: usize = 1_024;
/// Characters of a link that an error shows.
const SHOWN: usize = 300;
const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("heliograph/", env!("CARGO_PKG_VERSION")));

/// Credentials by the name of a provider; the outer `None`: there is no such provider.
pub(crate) type Credentials =
    Box<dyn Fn(String) -> BoxFuture<'static, Option<HeaderValue>> + Send + Sync>;

/// See the module.
pub(crate) struct Links {
    egress: Egress,
    credentials: Credentials,
    hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// The link cannot be fetched; asynchronous 1014 or what the file breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfetched(pub ApiError);

/// A file that is being fetched.
pub(crate) struct Link {
    pub content_type: String,
    url: String,
    kind: MediaType,
    body: Incoming,
    until: Instant,
    _place: OwnedSemaphorePermit,
}

impl Links {
    pub(crate) fn new(egress: Egress, credentials: Credentials) -> Self {
        Self { egress, credentials, hosts: Mutex::default() }
    }

    /// Gets the head of a file.
    ///
    /// # Errors
    /// [`Unfetched`], naming the link and what it was answered with.
    pub(crate) async fn open(
        &self,
        url: &str,
        provider: Option<&str>,
        kind: MediaType,
    ) -> Result<Link, Unfetched> {
        let until = Instant::now() + WHOLE;
        let authorization = match provider {
            None => None,
            Some(name) => Some((self.credentials)(name.to_owned()).await.ok_or_else(|| {
                let details = format!(
                    "There is no media provider '{name}': POST it to \
                     /v1/settings/application/media/providers"
                );
                Unfetched(ApiError::new(Code::NOT_FOUND, details))
            })?),
        };
        let mut at = url.trim().to_owned();
        let first = self.target(url, &at)?;
        for _ in 0..=REDIRECTS {
            let target = self.target(url, &at)?;
            let same = target.host() == first.host() && target.port() == first.port();
            let authorization =
                authorization.clone().filter(|_| same && target.is_tls() == first.is_tls());
            let place = self.place(target.host());
            // Never closed.
            let Ok(place) = place.acquire_owned().await else {
                return Err(unfetched(url, "it cannot be fetched now"));
            };
            let answer = timeout(STALL, self.get(&target, authorization)).await;
            let answer = answer
                .unwrap_or_else(|_| Err(format!("no answer within {} s", STALL.as_secs())))
                .map_err(|why| unfetched(url, why))?;
            let status = answer.status();
            if status.is_redirection() {
                let to = answer.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
                let to = to.and_then(|to| resolved(&at, to));
                at = to.ok_or_else(|| unfetched(url, format_args!("HTTP status {status}")))?;
                continue;
            }
            if status.as_u16() != 200 {
                return Err(unfetched(url, format_args!("HTTP status {status}")));
            }
            let given = answer.headers().get(header::CONTENT_TYPE);
            let content_type = media::content_type(given.and_then(|given| given.to_str().ok()))
                .map_err(|error| unfetched(url, error.details))?;
            let body = answer.into_body();
            kind.check(&content_type, body.size_hint().lower())
                .map_err(|error| unfetched(url, error.details))?;
            let url = url.to_owned();
            return Ok(Link { content_type, url, kind, body, until, _place: place });
        }
        Err(unfetched(url, format_args!("more than {REDIRECTS} redirects")))
    }

    fn target(&self, url: &str, at: &str) -> Result<Target, Unfetched> {
        self.egress.target(at).map_err(|error| unfetched(url, error))
    }

    fn place(&self, host: &str) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= HOSTS {
            hosts.retain(|_, places| Arc::strong_count(places) > 1);
        }
        hosts.entry(host.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(A_HOST))).clone()
    }

    async fn get(
        &self,
        target: &Target,
        authorization: Option<HeaderValue>,
    ) -> Result<Response<Incoming>, String> {
        let stream = self.egress.connect(target).await.map_err(|error| error.to_string())?;
        let (mut requests, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        // Ends with the answer's body.
        tokio::spawn(connection);
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = target.path().clone();
        let headers = request.headers_mut();
        headers.insert(header::HOST, target.host_header().clone());
        headers.insert(header::USER_AGENT, USER_AGENT);
        headers.insert(header::CONNECTION, const { HeaderValue::from_static("close") });
        if let Some(authorization) = authorization.or_else(|| target.authorization().cloned()) {
            headers.insert(header::AUTHORIZATION, authorization);
        }
        requests.send_request(request).await.map_err(|error| error.to_string())
    }
}

impl Link {
    /// Passes the bytes on; gives how many there were, and their SHA-256. Ends early when nobody takes
    /// them any more.
    ///
    /// # Errors
    /// [`Unfetched`] when they do not come, or are too many for what the file is sent as.
    pub(crate) async fn pass_on(
        &mut self,
        out: &mpsc::Sender<Piece>,
    ) -> Result<(u64, [u8; 32]), Unfetched> {
        let (mut digest, mut size) = (Context::new(&SHA256), 0);
        loop {
            let next = timeout_at(self.until.min(Instant::now() + STALL), self.body.frame()).await;
            let frame = match next {
                Err(_) => return Err(unfetched(&self.url, "its bytes do not come")),
                Ok(None) => break,
                Ok(Some(Err(error))) => return Err(unfetched(&self.url, error)),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(mut data) = frame.into_data() else { continue };
            size += data.len() as u64;
            self.kind
                .check(&self.content_type, size)
                .map_err(|error| unfetched(&self.url, error.details))?;
            digest.update(&data);
            while !data.is_empty() {
                let piece = data.split_to(data.len().min(PIECE));
                if out.send(Piece::Bytes(piece)).await.is_err() {
                    break;
                }
            }
        }
        if size == 0 {
            return Err(unfetched(&self.url, "it is empty"));
        }
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest.finish().as_ref());
        Ok((size, sha256))
    }
}

/// 1014, as the original says it; without a user's name and password.
fn unfetched(url: &str, why: impl std::fmt::Display) -> Unfetched {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    let shown: String = format!("{scheme}://{host}{path}").chars().take(SHOWN).collect();
    Unfetched(ApiError::new(Code::INTERNAL, format!("Failed to fetch {shown}: {why}")))
}

/// Where a `Location` leads from.
fn resolved(from: &str, to: &str) -> Option<String> {
    if to.contains("://") {
        return Some(to.to_owned());
    }
    let from: Uri = from.parse().ok()?;
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    if to.starts_with("//") {
        return Some(format!("{scheme}:{to}"));
    }
    let host = authority.as_str().rsplit('@').next()?;
    if to.starts_with('/') {
        return Some(format!("{scheme}://{host}{to}"));
    }
    let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
    Some(format!("{scheme}://{host}{folder}/{to}"))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    use axum::{Router, http::HeaderMap, response::Redirect, routing::get};
    use tokio::net::TcpListener;

    use crate::egress::{Allow, Policy};

    /// A server of files, and links to it that may be fetched.
    async fn served(allow: &[&str]) -> (String, Links) {
        let typed = |kind: &'static str, body: Vec<u8>| ([(header::CONTENT_TYPE, kind)], body);
        let router = Router::new()
            .route("/a.png", get(move || async move { typed("image/png", vec![7; 600_000]) }))
            .route("/a.gif", get(move || async move { typed("image/gif", vec![7]) }))
            .route("/large", get(move || async move { typed("image/png", vec![7; (5 << 20) + 1]) }))
            .route("/empty", get(move || async move { typed("image/png", Vec::new()) }))
            .route("/once", get(|| async { Redirect::to("/a.png") }))
            .route("/for-ever", get(|| async { Redirect::to("for-ever") }))
            .route("/inside", get(|| async { Redirect::to("http://169.254.169.254/latest") }))
            .route(
                "/secret",
                get(move |headers: HeaderMap| async move {
                    let known =
                        headers.get(header::AUTHORIZATION).is_some_and(|it| it == "Bearer t");
                    if known {
                        Ok(typed("image/png", vec![7]))
                    } else {
                        Err(http::StatusCode::FORBIDDEN)
                    }
                }),
            );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let policy = Policy::new(Allow::parse(allow).unwrap()).for_links();
        let credentials = |name: String| {
            let found = (name == "cdn").then_some(HeaderValue::from_static("Bearer t"));
            std::future::ready(found).boxed()
        };
        let links = Links::new(Egress::new(&policy, Vec::new()).unwrap(), Box::new(credentials));
        (format!("http://{address}"), links)
    }

    async fn fetch(
        links: &Links,
        url: &str,
        provider: Option<&str>,
    ) -> Result<(u64, [u8; 32]), String> {
        let why = |Unfetched(error)| format!("{} {}", error.code.get(), error.details);
        let mut link = links.open(url, provider, MediaType::Image).await.map_err(why)?;
        let (out, mut pieces) = mpsc::channel(1);
        let taken = async {
            let mut all = Vec::new();
            while let Some(Piece::Bytes(piece)) = pieces.recv().await {
                assert!(piece.len() <= PIECE);
                all.extend(piece);
            }
            all
        };
        let passed = async {
            let passed = link.pass_on(&out).await;
            drop(out);
            passed
        };
        let (passed, all) = tokio::join!(passed, taken);
        let (size, sha256) = passed.map_err(why)?;
        assert_eq!(size, all.len() as u64);
        assert_eq!(sha256, ring::digest::digest(&SHA256, &all).as_ref());
        Ok((size, sha256))
    }

    #[tokio::test]
    async fn a_link_is_fetched_over_redirects_that_stay_outside() {
        let (at, links) = served(&["loopback"]).await;
        for path in ["/a.png", "/once"] {
            assert_eq!(
                fetch(&links, &format!("{at}{path}"), None).await.unwrap().0,
                600_000,
                "{path}"
            );
        }
        for (path, why) in [
            ("/nothing", "HTTP status 404"),
            ("/for-ever", "more than 3 redirects"),
            ("/inside", "169.254.169.254"),
            ("/a.gif", "image/gif"),
            ("/large", "5242880"),
            ("/empty", "it is empty"),
        ] {
            let error = fetch(&links, &format!("{at}{path}"), None).await.unwrap_err();
            let named = error.starts_with("1014 Failed to fetch") && error.contains(path);
            assert!(named && error.contains(why), "{path}: {error}");
        }
    }

    #[tokio::test]
    async fn a_providers_credentials_go_with_its_links_and_an_unknown_one_is_told() {
        let (at, links) = served(&["loopback"]).await;
        let secret = format!("{at}/secret");
        assert!(fetch(&links, &secret, None).await.unwrap_err().contains("403"));
        assert_eq!(fetch(&links, &secret, Some("cdn")).await.unwrap().0, 1);
        let error = fetch(&links, &secret, Some("other")).await.unwrap_err();
        assert!(error.starts_with("1006") && error.contains("'other'"), "{error}");
    }

    #[tokio::test]
    async fn a_link_into_this_machine_is_not_fetched() {
        let (at, links) = served(&[]).await;
        let error = fetch(&links, &format!("{at}/a.png"), None).await.unwrap_err();
        assert!(error.contains("egress.allow"), "{error}");
    }

    #[test]
    fn a_redirect_leads_where_a_browser_would_go() {
        let from = "https://u:p@a.example:8443/x/y?q=1";
        for (to, there) in [
            ("https://b.example/z", "https://b.example/z"),
            ("//b.example/z", "https://b.example/z"),
            ("/z?k=2", "https://a.example:8443/z?k=2"),
            ("z", "https://a.example:8443/x/z"),
        ] {
            assert_eq!(resolved(from, to).as_deref(), Some(there), "{to}");
        }
    }

    #[test]
    fn an_error_names_the_link_and_never_its_password() {
        let Unfetched(error) =
            unfetched("https://me:s3cret@a.example/x.png?s=1", "HTTP status 404");
        assert_eq!(error.code, Code::INTERNAL);
        assert_eq!(error.details, "Failed to fetch https://a.example/x.png?s=1: HTTP status 404");
    }
}
