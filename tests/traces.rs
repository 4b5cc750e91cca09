//! One trace from a request to the last callback of its message, as a collector gets it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use http::StatusCode;
use serde_json::json;
use support::{
    Gateway,
    collector::{Collector, Seen},
    roles::Roles,
    until,
    webhook::Webhook,
};

const CALLER: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER_SPAN: &str = "00f067aa0ba902b7";
const PHONE: &str = "4915112345678";
const SECRET: &str = "nobody but the phone reads this";
/// As the metrics name it.
const REQUEST: &str = "POST_v1_messages";
const CALLBACK: &str = "POST callback";
const RECEIPTS: [&str; 3] = ["receipt sent", "receipt delivered", "receipt read"];

fn named<'a>(spans: &'a [Seen], name: &str) -> Vec<&'a Seen> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn only<'a>(spans: &'a [Seen], name: &str) -> &'a Seen {
    let found = named(spans, name);
    assert_eq!(found.len(), 1, "{name}: {spans:#?}");
    found[0]
}

/// The whole trace, once the callback of the read receipt has been taken.
async fn whole(collector: &Collector, trace: &str) -> Vec<Seen> {
    until("the trace of the read receipt's callback", async || {
        let spans = collector.trace(trace);
        let taken = RECEIPTS.iter().all(|name| {
            let receipt = named(&spans, name).first().map(|span| span.id.clone());
            named(&spans, CALLBACK).iter().any(|callback| {
                Some(&callback.parent) == receipt.as_ref() && callback.error.is_empty()
            })
        });
        (taken && !named(&spans, "accept").is_empty()).then_some(spans)
    })
    .await
}

/// What every message to a stranger goes through, in its place.
fn assert_tree(spans: &[Seen], request: &Seen) {
    let accept = only(spans, "accept");
    assert_eq!(accept.parent, request.id);
    let below = ["UnifiedSyncResult", "SendGetPreKeyBatchResult", "seal", "send"];
    for name in below.iter().chain(&RECEIPTS) {
        assert_eq!(only(spans, name).parent, accept.id, "{name}");
    }
    for callback in named(spans, CALLBACK) {
        let receipt = spans.iter().find(|span| span.id == callback.parent).unwrap();
        assert!(RECEIPTS.contains(&&*receipt.name), "{}", receipt.name);
    }
    let ends = |name| only(spans, name).ended_ns;
    let begins = |name| only(spans, name).began_ns;
    assert!(ends("seal") <= begins("send"), "nothing leaves before its commit");
    assert!(spans.iter().all(|span| span.began_ns <= span.ended_ns));
}

fn assert_nothing_personal(spans: &[Seen]) {
    let all = format!("{spans:?}");
    for personal in [PHONE, SECRET, "Bearer", "admin"] {
        assert!(!all.contains(personal), "{personal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_a_callers_request_to_the_last_callback_over_kills_of_both_processes()
{
    let (collector, webhook) = (Collector::start().await, Webhook::start().await);
    let (endpoint, url) = (collector.url(), webhook.url());
    let environment =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint), ("HELIOGRAPH_TELEMETRY__SAMPLE_RATIO", "0")];
    let mut roles = Roles::start_in(1, &environment).await;
    let settings = json!({
        "webhooks": {"url": url, "message": {"sent": true}},
        "callback_backoff_delay_ms": 50, "max_callback_backoff_delay_ms": 200,
    });
    let path = "/v1/settings/application";
    let answer = roles.call(0, "PATCH", path, &[], &settings.to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    roles.set_offline(PHONE, true).await;
    // Whatever is POSTed before the kill is refused, so all of it comes again from rows.
    webhook.answer_next(100_000, StatusCode::SERVICE_UNAVAILABLE);

    let message = json!({"to": PHONE, "type": "text", "text": {"body": SECRET}}).to_string();
    let caller = format!("00-{CALLER}-{CALLER_SPAN}-01");
    let header = [("traceparent", &*caller)];
    let answer = roles.call(0, "POST", "/v1/messages", &header, &message).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    until("the message is sent and its first callback refused", async || {
        let spans = collector.trace(CALLER);
        let there = |name| !named(&spans, name).is_empty();
        ([REQUEST, "accept", "send", "receipt sent", CALLBACK].into_iter().all(there)).then_some(())
    })
    .await;
    roles.kill("coreapp").await;
    roles.kill("webapp-0").await;
    webhook.recover();
    roles.start_coreapp();
    roles.start_webapp_again(0).await;
    roles.set_offline(PHONE, false).await;

    let spans = whole(&collector, CALLER).await;
    println!("{}", collector.tree(CALLER));
    let request = only(&spans, REQUEST);
    assert_eq!(request.parent, CALLER_SPAN);
    assert_eq!(request.service, "webapp");
    assert_eq!(request.attributes["http.response.status_code"], "201");
    assert_tree(&spans, request);
    // Each POST that was taken names its span to the webhook.
    let taken = webhook.traced().into_iter().filter(|(status, ..)| *status == StatusCode::OK);
    let told: Vec<_> = taken.map(|(.., trace)| trace.unwrap()).collect();
    assert_eq!(told.len(), RECEIPTS.len());
    for told in told {
        let id = told.strip_prefix(&format!("00-{CALLER}-")).unwrap().strip_suffix("-01").unwrap();
        assert!(named(&spans, CALLBACK).iter().any(|callback| callback.id == id), "{told}");
    }

    // Nobody asked for the others to be recorded.
    let unsampled = format!("00-{}-{CALLER_SPAN}-00", CALLER.replace('4', "5"));
    for header in [&[][..], &[("traceparent", &*unsampled)]] {
        let answer = roles.call(0, "POST", "/v1/messages", header, &message).await;
        let id = answer.body["messages"][0]["id"].as_str().unwrap().to_owned();
        until("its callbacks", async || {
            (webhook.statuses_of(&id).len() == RECEIPTS.len()).then_some(())
        })
        .await;
    }
    let silent = webhook.traced().iter().filter(|(.., trace)| trace.is_none()).count();
    assert_eq!(silent, 2 * RECEIPTS.len());
    let last = format!("00-{}-{CALLER_SPAN}-01", CALLER.replace('4', "6"));
    roles.call(0, "GET", "/v1/health", &[("traceparent", &*last)], "").await;
    until("the span of a later request", async || {
        (!collector.trace(&CALLER.replace('4', "6")).is_empty()).then_some(())
    })
    .await;
    let others = collector.all();
    assert!(others.iter().all(|span| [CALLER, &CALLER.replace('4', "6")].contains(&&*span.trace)));
    assert_nothing_personal(&others);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_share_a_call_of_the_network_are_linked_and_a_request_id_is_its_traces() {
    let (collector, webhook) = (Collector::start().await, Webhook::start().await);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("traced.toml");
    let endpoint = collector.url();
    std::fs::write(
        &file,
        format!("[telemetry]\notlp_endpoint = \"{endpoint}\"\nsample_ratio = 1.0\n"),
    )
    .unwrap();
    let gateway = Gateway::start_with(&["--config", file.to_str().unwrap()]).await;
    let settings = json!({"webhooks": {"url": webhook.url(), "message": {"sent": true}}});
    gateway.settings(settings).await;
    // The first call of the network is under way when the others come: they share the next.
    let first = json!({"to": PHONE, "type": "text", "text": {"body": SECRET}}).to_string();
    gateway.call("POST", "/v1/messages", &first).await;
    let mut traces = Vec::new();
    for n in 0..6 {
        let to = format!("49151123456{}", 31 + n);
        let body = json!({"to": to, "type": "text", "text": {"body": SECRET}}).to_string();
        let answer = gateway.call("POST", "/v1/messages", &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        traces.push(answer.headers["x-request-id"].to_str().unwrap().to_owned());
    }
    for trace in &traces {
        let spans = whole(&collector, trace).await;
        let request = only(&spans, REQUEST);
        assert_eq!((&*request.parent, &*request.service), ("", "heliograph"));
        assert_tree(&spans, request);
    }
    println!("{}", collector.tree(&traces[5]));
    let linked = traces.iter().any(|trace| {
        let spans = collector.trace(trace);
        only(&spans, "UnifiedSyncResult").links.iter().any(|other| traces.contains(other))
    });
    assert!(linked, "at least two shared a call");
    assert_nothing_personal(&collector.all());
}
