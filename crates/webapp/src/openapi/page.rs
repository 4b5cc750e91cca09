//! The description as a page: static, it reads the document and shows it. And what pages are made of.

use std::sync::LazyLock;

use axum::{body::Body, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, header};
use ring::digest::{SHA256, digest};

const PAGE: &str = include_str!("page.html");

/// Runs its own script, and nothing that anybody may have put into a text.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |name: &str| {
        let open = format!("<{name}>");
        let inner = PAGE.split_once(&open).and_then(|(_, rest)| rest.split_once("</"));
        let inner = inner.map(|(inner, _)| inner).unwrap_or_default();
        STANDARD.encode(digest(&SHA256, inner.as_bytes()))
    };
    let (script, style) = (hash("script"), hash("style"));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// The page.
pub(crate) fn page() -> Response {
    html(Body::from(PAGE), POLICY.clone())
}

pub(super) fn html(body: Body, policy: HeaderValue) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

/// A text as HTML shows it.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The little of Markdown inside a paragraph: `code`, **strong**, *emphasis*.
pub(super) fn spans(text: &str) -> String {
    let mut out = escaped(text);
    for (mark, name) in [("`", "code"), ("**", "strong"), ("*", "em")] {
        let mut open = false;
        while let Some((before, after)) = out.split_once(mark) {
            // A mark that is never closed stays.
            if !open && !after.contains(mark) {
                break;
            }
            out = format!("{before}<{}{name}>{after}", if open { "/" } else { "" });
            open = !open;
        }
    }
    out
}
