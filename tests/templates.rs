//! Message templates, by role: the network's operator sets them, an integrator sends them, the customer
//! reads them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use http::StatusCode;
use serde_json::{Value, json};
use support::{Gateway, PASSWORD, free_ports, until, webhook::Webhook};

const CUSTOMER: &str = "16315550111";
const OWN_NUMBER: &str = "15550100100";

/// A call to the catalogue, in force at the gateway when it returns.
async fn catalogue(gateway: &Gateway, method: &str, path: &str, body: &Value) {
    gateway.network(method, &format!("/templates{path}"), body).await;
    until("the gateway goes by it", async || {
        let shown = gateway.network("GET", "/templates", &Value::Null).await;
        (shown["businesses"][OWN_NUMBER] == shown["version"]).then_some(())
    })
    .await;
}

async fn put(gateway: &Gateway, name: &str, language: &str, definition: Value) {
    catalogue(gateway, "PUT", &format!("/shop/{name}/{language}"), &definition).await;
}

fn template(name: &str, language: &str, components: Value) -> Value {
    json!({"to": CUSTOMER, "type": "template", "template": {
        "namespace": "shop", "name": name, "language": {"code": language}, "components": components}})
}

fn hsm(name: &str, policy: &str, language: &str, parameters: &[&str]) -> Value {
    let parameters: Vec<Value> = parameters.iter().map(|text| json!({"default": text})).collect();
    json!({"to": CUSTOMER, "type": "hsm", "hsm": {
        "namespace": "shop", "element_name": name, "language": {"policy": policy, "code": language},
        "localizable_params": parameters}})
}

fn texts(texts: &[&str]) -> Value {
    texts.iter().map(|text| json!({"type": "text", "text": text})).collect()
}

fn body(parameters: &[&str]) -> Value {
    json!({"type": "body", "parameters": texts(parameters)})
}

fn order() -> Value {
    json!({"components": [
        {"type": "HEADER", "format": "TEXT", "text": "Order {{1}}"},
        {"type": "BODY", "text": "Hi {{1}}, {{2}} left us {{1}}"},
        {"type": "FOOTER", "text": "Your shop"},
        {"type": "BUTTONS", "buttons": [
            {"type": "QUICK_REPLY", "text": "Thanks"},
            {"type": "URL", "text": "Track", "url": "https://shop.example/{{1}}"}]}]})
}

fn good() -> Value {
    template(
        "order",
        "en_US",
        json!([
        {"type": "header", "parameters": texts(&["17"])},
        body(&["Ada", "it"]),
        {"type": "button", "sub_type": "url", "index": "1", "parameters": texts(&["t/17"])}]),
    )
}

/// Accepts it; gives its id.
async fn accepted(gateway: &Gateway, message: &Value) -> String {
    let answer = gateway.call("POST", "/v1/messages", &message.to_string()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{message}: {}", answer.body);
    answer.body["messages"][0]["id"].as_str().unwrap().to_owned()
}

/// The template as the phone has it.
async fn read(gateway: &Gateway, message: &Value) -> Value {
    let id = accepted(gateway, message).await;
    let kind = message["type"].as_str().unwrap();
    until("the phone has it", async || {
        let phone =
            gateway.network("GET", &format!("/phones/{CUSTOMER}/messages"), &Value::Null).await;
        let mut messages = phone["messages"].as_array().unwrap().iter();
        messages.find(|it| it["id"] == *id).map(|it| it["content"][kind].clone())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_customer_reads_the_text_with_its_parameters() {
    let gateway = Gateway::start().await;
    // Nobody knows it: its name and its parameters.
    assert_eq!(read(&gateway, &good()).await["rendered"], "order: 17, Ada, it");
    put(&gateway, "order", "en_US", order()).await;
    let shown = read(&gateway, &good()).await;
    assert_eq!(shown["rendered"], "Order 17\nHi Ada, it left us Ada\nYour shop");
    assert_eq!(shown["buttons"][1]["url"], "https://shop.example/t/17");
    // Its newest text, from the next message on.
    let plain = |text: &str| json!({"components": [{"type": "body", "text": text}]});
    put(&gateway, "hello", "de", plain("Hallo {{1}}")).await;
    assert_eq!(
        read(&gateway, &hsm("hello", "fallback", "de_AT", &["Ada"])).await["rendered"],
        "Hallo Ada"
    );
    put(&gateway, "hello", "de_AT", plain("Servus {{1}}")).await;
    for (policy, language, text) in
        [("fallback", "de_AT", "Servus Ada"), ("deterministic", "de", "Hallo Ada")]
    {
        let shown = read(&gateway, &hsm("hello", policy, language, &["Ada"])).await;
        assert_eq!(shown["rendered"], text, "{policy} {language}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_its_template_is_refused_with_its_code() {
    let gateway = Gateway::start().await;
    let plain = json!({"type": "body", "text": "Look"});
    let with = |component: Value| json!({"components": [plain, component]});
    let button = |button: Value| with(json!({"type": "buttons", "buttons": [button]}));
    put(&gateway, "order", "en_US", order()).await;
    put(&gateway, "picture", "en_US", with(json!({"type": "header", "format": "image"}))).await;
    put(
        &gateway,
        "call",
        "en_US",
        button(json!({"type": "phone_number", "text": "Call", "phone_number": "us"})),
    )
    .await;
    put(
        &gateway,
        "blocked",
        "en_US",
        button(json!({"type": "flow", "text": "Go", "flow": "blocked"})),
    )
    .await;
    put(
        &gateway,
        "throttled",
        "en_US",
        button(json!({"type": "flow", "text": "Go", "flow": "throttled"})),
    )
    .await;
    put(&gateway, "bill", "en_US", json!({"components": [{"type": "body", "text": "{{1}} {{2}}", "parameters": ["text", "currency"]}]})).await;
    for status in ["pending", "rejected", "paused", "disabled"] {
        put(&gateway, status, "en_US", json!({"status": status, "components": [plain]})).await;
    }
    catalogue(&gateway, "PUT", "/another/order/en_US", &json!({"components": [plain]})).await;
    let at = |path: &str, value: Value| {
        let mut message = good();
        *message.pointer_mut(&format!("/template{path}")).unwrap() = value;
        message
    };
    let first = "/components/1/parameters/0/text";
    let named = |name: &str, components: Value| template(name, "en_US", components);
    let video = json!([{"type": "header", "parameters": [{"type": "video", "video": {"link": "https://x.example/1"}}]}]);
    let reply = json!([{"type": "button", "sub_type": "quick_reply", "index": 0, "parameters": [{"type": "payload", "payload": "x"}]}]);
    let mut nameless = good();
    nameless["template"].as_object_mut().unwrap().remove("namespace");
    for (message, code) in [
        (at("/components/1", body(&["Ada"])), 2000),
        (hsm("bill", "fallback", "en_GB", &["x"]), 2000),
        (named("pending", json!([])), 2001),
        (at("/language/code", json!("fr")), 2003),
        (at(first, json!("x".repeat(1_025))), 2004),
        (at(first, json!("x".repeat(600))), 2005),
        (at(first, json!("one\ntwo")), 2006),
        (at("/components/0/parameters/0/text", json!("*17*")), 2007),
        (named("picture", video), 2008),
        (named("picture", json!([])), 2009),
        (at("/components/2/parameters/0/text", json!("a b")), 2010),
        (named("call", json!([])), 2011),
        (named("bill", json!([body(&["x", "y"])])), 2012),
        (named("call", reply.clone()), 2012),
        (named("bill", reply), 2000),
        (at("/components/2/index", json!(2)), 2013),
        (nameless, 2014),
        (named("rejected", json!([])), 2060),
        (named("paused", json!([])), 2061),
        (named("disabled", json!([])), 2062),
        (named("blocked", json!([])), 2068),
        (named("throttled", json!([])), 2069),
    ] {
        let answer = gateway.call("POST", "/v1/messages", &message.to_string()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (400, Some(code)),
            "{message} is answered {}",
            answer.body
        );
    }
    // Whatever is not in the catalogue is taken; a strict network takes nothing else.
    let unknown = named("nothing", json!([]));
    accepted(&gateway, &unknown).await;
    catalogue(&gateway, "PUT", "", &json!({"policy": "strict"})).await;
    let mut elsewhere = unknown.clone();
    elsewhere["template"]["namespace"] = "not_ours".into();
    let mut foreign = unknown.clone();
    foreign["template"]["language"]["code"] = "fr".into();
    for (message, code) in [(unknown, 2001), (foreign, 2003), (elsewhere, 1009)] {
        let answer = gateway.call("POST", "/v1/messages", &message.to_string()).await;
        assert_eq!(answer.code(), Some(code), "{message} is answered {}", answer.body);
    }
    accepted(&gateway, &good()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_template_is_paused_while_it_waits_fails_with_that() {
    let gateway = Gateway::start().await;
    let webhook = Webhook::start().await;
    gateway.settings(json!({"webhooks": {"url": webhook.url()}})).await;
    put(&gateway, "order", "en_US", order()).await;
    // Nobody knows yet whether the customer has an account.
    gateway.network("PUT", "/faults", &json!({"contacts_failed": 1.0})).await;
    let id = accepted(&gateway, &good()).await;
    let paused = json!({"status": "paused", "components": order()["components"]});
    put(&gateway, "order", "en_US", paused).await;
    gateway.network("PUT", "/faults", &json!({"contacts_failed": 0.0})).await;
    let failed = until("it failed", async || {
        let taken = webhook.taken();
        let mut all = taken.iter().filter_map(|callback| callback["statuses"].get(0));
        all.find(|status| status["id"] == *id && status["status"] == "failed").cloned()
    })
    .await;
    assert_eq!(failed["errors"][0]["code"], 2061, "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_starts_without_its_network_goes_by_the_templates_of_before() {
    let gateway = Gateway::start().await;
    put(&gateway, "order", "en_US", order()).await;
    catalogue(&gateway, "PUT", "", &json!({"policy": "strict"})).await;
    let (_, directory) = gateway.stop().await;
    let [nobody, ..] = free_ports().await;
    let upstream = format!("http://127.0.0.1:{nobody}");
    let mut gateway = Gateway::start_in_with(directory, &["--upstream", &upstream]).await;
    gateway.login(PASSWORD, &json!({})).await;
    let unknown = template("nothing", "en_US", json!([]));
    let answer = gateway.call("POST", "/v1/messages", &unknown.to_string()).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (400, Some(2001)), "{}", answer.body);
    accepted(&gateway, &good()).await;
}
