//! `heliograph bench` as a user runs it: the real program, a small load.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

/// Runs it; gives the JSON object of the last line of stdout.
async fn bench(options: &[&str]) -> Value {
    let child = Command::new(env!("CARGO_BIN_EXE_heliograph"))
        .args(["bench", "--json", "--warmup", "0", "--upstream-latency", "1..5"])
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}", output.status);
    let stdout = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(stdout.lines().last().unwrap()).unwrap()
}

#[tokio::test]
async fn a_closed_loop_of_twenty_messages_loses_none_and_draws_its_report() {
    let report = tempfile::tempdir().unwrap();
    let directory = report.path().to_str().unwrap();
    let options = ["--messages", "20", "--contacts", "--phones", "decrypt", "--report", directory];
    let result = bench(&options).await;
    assert_eq!(result["accepted"], 20, "{result}");
    for what in ["failed", "lost", "duplicated", "not_started"] {
        assert_eq!(result[what], 0, "{what}: {result}");
    }
    for status in ["sent", "delivered", "read"] {
        assert_eq!(result["callbacks"][status], 20, "{result}");
    }
    for step in ["contacts", "accept", "sent", "delivered", "callback"] {
        assert!(result["latency_ms"][step]["p99"].as_f64().unwrap() > 0.0, "{step}: {result}");
    }
    for process in ["webapp", "coreapp", "sandbox", "load"] {
        assert!(result["cpu_us_per_message"][process].is_number(), "{process}: {result}");
    }
    for kind in ["contact_syncs", "pre_key_fetches"] {
        let batches = &result["batches"][kind];
        assert_eq!(
            (&batches["items"], &batches["in_flight_max"]),
            (&20.into(), &1.into()),
            "{result}"
        );
    }
    assert!(result["job_queue_peak"].as_f64().unwrap() >= 1.0, "{result}");
    assert!(result["messages_per_second"].as_f64().unwrap() > 0.0, "{result}");

    let page = std::fs::read_to_string(report.path().join("index.html")).unwrap();
    for graph in ["Operations", "UnifiedSyncResult", "SendGetPreKeyBatchResult", "Job queue"] {
        assert!(page.contains(graph), "{graph} is not in the page");
    }
    let written = std::fs::read_to_string(report.path().join("report.json")).unwrap();
    let written: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(written["summary"]["accepted"], 20);
    assert!(written["samples"].as_array().unwrap().len() >= 2);
}

#[tokio::test]
async fn an_open_loop_through_two_webapps_shows_the_refusals_of_one_quota() {
    let options = ["--rate", "400", "--seconds", "1", "--no-retry", "--webapps", "2"];
    let result = bench(&options).await;
    let accepted = result["accepted"].as_u64().unwrap();
    let refused = result["refused"]["429/1015"].as_u64().unwrap();
    assert_eq!(accepted + refused, 400, "{result}");
    assert_eq!(result["failed"], refused, "{result}");
    assert_eq!((&result["lost"], &result["retries"]), (&0.into(), &0.into()), "{result}");
    // What one quota gives until the last 201; two would give twice as much.
    let most = 41.0 + 80.0 * result["duration_s"].as_f64().unwrap();
    assert!(accepted as f64 <= most, "more than {most}: {result}");
}

#[tokio::test]
async fn contact_checks_run_beside_the_messages() {
    let checks = ["--contact-rate", "20", "--contact-batch", "50"];
    let result = bench(&[&checks[..], &["--rate", "20", "--seconds", "2"]].concat()).await;
    assert_eq!((&result["accepted"], &result["lost"]), (&40.into(), &0.into()), "{result}");
    let checks = &result["contact_checks"];
    assert!(checks["by_status"]["valid"].as_u64().unwrap() >= 50, "{result}");
    assert_eq!(checks["failed"], 0, "{result}");
}
