//! One step of the walk: a call, its answer written down, and who is turned away from its route.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use crate::support::{API_KEY, Gateway, PASSWORD, exchange};

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum For {
    Everybody,
    /// Who logs in shows name and password.
    Login,
    Users,
    /// And the API key.
    Monitors,
    Admins,
}

pub struct Walk {
    pub gateway: Gateway,
    /// Authorizations by name.
    pub callers: BTreeMap<&'static str, String>,
    /// By `GET /v1/users/{username}`, with who may.
    routes: BTreeMap<String, For>,
    /// What each of them has answered.
    pub statuses: BTreeSet<(String, u16)>,
    text: String,
}

/// What came back.
pub struct Given {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

impl Given {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    pub fn text(&self, pointer: &str) -> String {
        let body = self.json();
        let text = body.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_else(|| panic!("no {pointer} in {body}")).to_owned()
    }
}

impl Walk {
    /// A new installation; nobody has logged in yet.
    pub async fn start() -> Self {
        let directory = std::sync::Arc::new(tempfile::tempdir().unwrap());
        let gateway = Gateway::start_in_with(directory, &["--no-limits"]).await;
        let key = format!("Apikey {API_KEY}");
        let callers = [("nobody", String::new()), ("API key", key)].into();
        Self {
            gateway,
            callers,
            routes: BTreeMap::new(),
            statuses: BTreeSet::new(),
            text: String::new(),
        }
    }

    /// The description that the gateway serves.
    pub async fn document(&mut self) -> Value {
        self.call("nobody", "GET", "/v1/openapi.json", "", b"").await.json()
    }

    pub fn walked(&self, route: &str) -> bool {
        self.routes.contains_key(route)
    }

    /// A call with JSON, or nothing, in its body, by the least of those who may.
    pub async fn step(&mut self, whom: For, method: &str, route: &str, body: &Value) -> Given {
        self.at(whom, method, route, route, body).await
    }

    /// The same of a path of the route.
    pub async fn at(
        &mut self,
        whom: For,
        method: &str,
        route: &str,
        path: &str,
        body: &Value,
    ) -> Given {
        let (kind, body) = match body {
            Value::Null => ("", String::new()),
            Value::String(text) => ("application/json", text.clone()),
            body => ("application/json", body.to_string()),
        };
        self.raw(whom, method, route, path, (kind, body.as_bytes())).await
    }

    /// The same with any body of some content type.
    pub async fn raw(
        &mut self,
        whom: For,
        method: &str,
        route: &str,
        path: &str,
        (kind, body): (&str, &[u8]),
    ) -> Given {
        let name = format!("{method} {}", route.split('?').next().unwrap());
        if self.routes.insert(name.clone(), whom).is_none() {
            self.text.push_str(&format!("\n## {name}\n"));
            self.turned_away(whom, method, path).await;
        }
        let caller = match whom {
            For::Everybody | For::Login => "nobody",
            For::Monitors => "API key",
            For::Users => "user",
            For::Admins => "admin",
        };
        let given = self.told(caller, method, path, (kind, body)).await;
        self.statuses.insert((name, given.status));
        given
    }

    /// [`Walk::at`] with a secret in the body that differs from run to run.
    pub async fn masked(
        &mut self,
        whom: For,
        method: &str,
        route: &str,
        path: &str,
        body: &Value,
        secret: &str,
    ) -> Given {
        let begin = self.text.len();
        let given = self.at(whom, method, route, path, body).await;
        let shown = self.text.split_off(begin);
        self.text.push_str(&shown.replace(secret, "<secret>"));
        given
    }

    /// A call to a route whose answer is judged otherwise.
    pub async fn unwritten(&mut self, whom: For, method: &str, route: &str) -> Given {
        let begin = self.text.len();
        let given = self.step(whom, method, route, &Value::Null).await;
        let shown = self.text.split_off(begin);
        // The heading and who is turned away.
        if let Some(heading) = shown.strip_prefix("\n##") {
            let heading = heading.split("\n\n").next().unwrap_or_default().trim_end();
            self.text.push_str(&format!("\n##{heading}\n"));
        }
        given
    }

    /// A call by that caller, written down.
    pub async fn told(
        &mut self,
        caller: &str,
        method: &str,
        path: &str,
        (kind, body): (&str, &[u8]),
    ) -> Given {
        let given = self.call(caller, method, path, kind, body).await;
        let shown = match std::str::from_utf8(body) {
            Ok(text) if text.contains("BEGIN") => "<certificates>".to_owned(),
            Ok(text) if text.len() <= 400 => scrubbed(text),
            _ => format!("<{} bytes>", body.len()),
        };
        let kind = if kind == "application/json" || kind.is_empty() {
            String::new()
        } else {
            format!(" ({kind})")
        };
        self.text
            .push_str(&format!("\n{caller}: {method} {}{kind} {shown}", scrubbed(path)).trim_end());
        self.text.push('\n');
        self.text.push_str(&answer(&given));
        given
    }

    /// Those who may not, and how they are told.
    async fn turned_away(&mut self, whom: For, method: &str, path: &str) {
        let refused: &[(&str, u16)] = match whom {
            For::Everybody => &[],
            For::Login => &[("nobody", 401), ("API key", 401), ("user", 401), ("admin", 401)],
            For::Users => &[("nobody", 401), ("API key", 401)],
            For::Monitors => &[("nobody", 401)],
            For::Admins => &[("nobody", 401), ("API key", 401), ("user", 403)],
        };
        for (caller, status) in refused {
            // Some have not logged in yet.
            if !self.callers.contains_key(caller) {
                continue;
            }
            let given = self.call(caller, method, path, "", b"").await;
            let body = given.json();
            let error = &body["errors"][0];
            let whole = json!({
                "errors": [{
                    "code": 1005, "title": "Access denied", "details": error["details"],
                    "href": "/docs/errors/1005",
                }],
                "meta": body["meta"],
            });
            assert_eq!((given.status, &body), (*status, &whole), "{method} {path} as {caller}");
            let details = error["details"].as_str().unwrap();
            self.text.push_str(&format!("{caller}: {status} 1005 Access denied: {details}\n"));
        }
    }

    /// A call that is not written down.
    pub async fn call(
        &self,
        caller: &str,
        method: &str,
        path: &str,
        kind: &str,
        body: &[u8],
    ) -> Given {
        let authorization = self.callers.get(caller).unwrap_or_else(|| panic!("no {caller} yet"));
        let mut request = Request::builder().method(method).uri(path).header("host", "gateway");
        for (name, value) in [("authorization", authorization.as_str()), ("content-type", kind)] {
            if !value.is_empty() {
                request = request.header(name, value);
            }
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body)).boxed_unsync());
        let (status, headers, bytes) = exchange(self.gateway.http, request.unwrap()).await;
        Given { status: status.as_u16(), headers, bytes }
    }

    /// As whom the following calls with this name are made.
    pub async fn log_in(&mut self, caller: &'static str, name: &str) {
        self.callers.insert("Basic", basic(name, PASSWORD));
        let given = self.call("Basic", "POST", "/v1/users/login", "", b"").await;
        self.callers.insert(caller, format!("Bearer {}", given.text("/users/0/token")));
    }

    /// Everything since the last one, under a resource's name.
    pub fn settle(&mut self, resource: &str) {
        let text = std::mem::take(&mut self.text);
        insta::with_settings!({prepend_module_to_snapshot => false, snapshot_path => "answers", omit_expression => true}, {
            insta::assert_snapshot!(resource, text.trim());
        });
    }
}

pub fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// Status and whole body, a line for each part of it.
fn answer(given: &Given) -> String {
    let mut text = format!("{}", given.status);
    let kind = given.headers.get("content-type").map_or("", |kind| kind.to_str().unwrap());
    for name in ["retry-after", "idempotency-replayed"] {
        if given.headers.contains_key(name) {
            text.push_str(&format!(" {name}"));
        }
    }
    if kind != "application/json" {
        return format!(
            "{text} {kind} <{}>\n",
            if given.bytes.is_empty() { "nothing" } else { "bytes" }
        );
    }
    text.push('\n');
    let Value::Object(body) = normal("", given.json()) else { panic!("{text}: no object") };
    for (name, part) in body {
        text.push_str(&format!("  {name}: {part}\n"));
    }
    text
}

/// Without what differs from run to run.
fn normal(name: &str, value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(|item| normal(name, item)).collect(),
        Value::Object(map) => {
            map.into_iter().map(|(name, item)| (name.clone(), normal(&name, item))).collect()
        }
        Value::String(_) | Value::Number(_) if VARYING.contains(&name) => {
            format!("<{name}>").into()
        }
        Value::String(text) => scrubbed(&text).into(),
        other => other,
    }
}

const VARYING: [&str; 14] = [
    "token",
    "expires_after",
    "timestamp",
    "created",
    "created_timestamp",
    "expiration_timestamp",
    "hash",
    "cursor",
    "oldest",
    "version",
    "data",
    "sha256",
    "link",
    "uptime",
];

/// A text without ids and ports.
fn scrubbed(text: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    for char in text.chars().chain(['\n']) {
        if char.is_ascii_alphanumeric() || matches!(char, '-' | '_') {
            word.push(char);
            continue;
        }
        let dashes = word.matches('-').count();
        let kind = match word.len() {
            24..=40 if word.starts_with("gB") || word.starts_with("AB") => Some("<id>"),
            36 if dashes == 4 => Some("<uuid>"),
            16 | 32 if word.bytes().all(|byte| byte.is_ascii_hexdigit()) => Some("<hex>"),
            5 if out.ends_with("127.0.0.1:") => Some("<port>"),
            _ => None,
        };
        out.push_str(kind.unwrap_or(&word));
        word.clear();
        out.push(char);
    }
    out.pop();
    out
}
