//! A sandbox network as a process of its own, which outlives gateways.

use std::process::Stdio;

use http::StatusCode;
use serde_json::Value;
use tokio::process::{Child, Command};

use super::{call, free_ports, until};

pub struct Network {
    _child: Child,
    grpc: u16,
    pub http: u16,
}

impl Network {
    pub async fn start() -> Self {
        let [grpc, http, _, _] = free_ports().await;
        Self::start_on(grpc, http).await
    }

    /// Where a gateway expects it already.
    pub async fn start_on(grpc: u16, http: u16) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_heliograph"))
            .arg("sandbox")
            .args(["--listen", &format!("127.0.0.1:{grpc}")])
            .args(["--http", &format!("127.0.0.1:{http}")])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        until("the network", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", http)).await.ok()
        })
        .await;
        Self { _child: child, grpc, http }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc)
    }

    pub async fn stats(&self) -> Value {
        let answer = call(self.http, "GET", "/stats", "", "").await;
        assert_eq!(answer.status, StatusCode::OK);
        answer.body
    }

    pub async fn set_offline(&self, phone: &str, offline: bool) {
        let body = serde_json::json!({ "offline": offline }).to_string();
        let answer = call(self.http, "PUT", &format!("/phones/{phone}"), "", &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }

    /// Names of the sessions a phone has decrypted messages with, message by message.
    pub async fn sessions_of(&self, phone: &str) -> Vec<String> {
        let answer = call(self.http, "GET", &format!("/phones/{phone}/messages"), "", "").await;
        let messages = answer.body["messages"].as_array().unwrap().clone();
        let session =
            |message: &Value| message.pointer("/counters/session")?.as_str().map(str::to_owned);
        messages.iter().filter_map(session).collect()
    }
}
