//! Which message fits which template, and what the phone shows of it.

use serde_json::{Value, json};

use super::*;

fn definition(definition: &Value) -> Definition {
    let fields = Fields::of_body(definition.to_string().as_bytes()).unwrap();
    Definition::read(fields).unwrap_or_else(|error| panic!("{definition}: {error}"))
}

fn shop() -> Catalogue {
    let mut catalogue = Catalogue::default();
    let mut put = |name: &str, language: &str, it: Value| {
        let id = TemplateId::new("shop", name, language).unwrap();
        catalogue.put(id, definition(&it)).unwrap();
    };
    put(
        "order",
        "en_US",
        json!({"components": [
        {"type": "HEADER", "format": "TEXT", "text": "Order {{1}}"},
        {"type": "BODY", "text": "Hi {{1}}, {{2}} on {{3}}. Bye {{1}}", "parameters": ["text", "currency", "date_time"]},
        {"type": "FOOTER", "text": "Your shop"},
        {"type": "BUTTONS", "buttons": [
            {"type": "QUICK_REPLY", "text": "Yes"},
            {"type": "URL", "text": "Track", "url": "https://shop.example/{{1}}"},
            {"type": "PHONE_NUMBER", "text": "Call", "phone_number": "+1 631 555 0199"}]}]}),
    );
    put(
        "picture",
        "en",
        json!({"components": [{"type": "header", "format": "image"}, {"type": "body", "text": "Look"}]}),
    );
    put("plain", "de", json!({"components": [{"type": "body", "text": "Hallo {{1}}"}]}));
    put("plain", "de_AT", json!({"components": [{"type": "body", "text": "Servus {{1}}"}]}));
    for status in ["pending", "rejected", "paused", "disabled"] {
        put(status, "en", json!({"status": status, "components": [{"type": "body", "text": "x"}]}));
    }
    for (name, button) in [
        ("call", json!({"type": "phone_number", "text": "Call", "phone_number": "us"})),
        ("blocked", json!({"type": "flow", "text": "Go", "flow": "blocked"})),
        ("throttled", json!({"type": "flow", "text": "Go", "flow": "throttled"})),
        ("link", json!({"type": "url", "text": "Go", "url": "{{1}}"})),
        ("coupon", json!({"type": "copy_code", "text": "Copy"})),
    ] {
        put(
            name,
            "en",
            json!({"components": [{"type": "body", "text": "x"}, {"type": "buttons", "buttons": [button]}]}),
        );
    }
    catalogue
}

fn order() -> Value {
    json!({"type": "template", "template": {"namespace": "shop", "name": "order", "language": {"code": "en_US"}, "components": [
        {"type": "header", "parameters": [{"type": "text", "text": "17"}]},
        {"type": "body", "parameters": [
            {"type": "text", "text": "Ada"},
            {"type": "currency", "currency": {"fallback_value": "$9.90", "code": "USD", "amount_1000": 9900}},
            {"type": "date_time", "date_time": {"fallback_value": "Friday"}}]},
        {"type": "button", "sub_type": "url", "index": "1", "parameters": [{"type": "text", "text": "t/17"}]}]}})
}

fn hsm(name: &str, policy: &str, code: &str, parameters: &[&str]) -> Value {
    let parameters: Vec<Value> = parameters.iter().map(|text| json!({"default": text})).collect();
    json!({"type": "hsm", "hsm": {"namespace": "shop", "element_name": name, "language": {"policy": policy, "code": code}, "localizable_params": parameters}})
}

fn named(name: &str, components: Value) -> Value {
    json!({"type": "template", "template": {"namespace": "shop", "name": name, "language": {"code": "en"}, "components": components}})
}

fn code(catalogue: &Catalogue, message: &Value) -> Option<u16> {
    let message = Bytes::from(message.to_string());
    let refused = catalogue.check(&message).err();
    assert_eq!(catalogue.rendered(&message).err(), refused, "judged alike at both places");
    refused.map(|error| error.code.get())
}

fn shown(catalogue: &Catalogue, message: &Value) -> Value {
    let rendered = catalogue.rendered(&Bytes::from(message.to_string())).unwrap();
    let mut rendered: Value = serde_json::from_slice(&rendered).unwrap();
    let kind = message["type"].as_str().unwrap();
    json!([rendered[kind]["rendered"].take(), rendered[kind]["buttons"].take()])
}

#[test]
fn the_phone_shows_the_text_with_its_parameters() {
    let catalogue = shop();
    assert_eq!(
        shown(&catalogue, &order()),
        json!(["Order 17\nHi Ada, $9.90 on Friday. Bye Ada\nYour shop", [
            {"type": "quick_reply", "text": "Yes"},
            {"type": "url", "text": "Track", "url": "https://shop.example/t/17"},
            {"type": "phone_number", "text": "Call", "phone_number": "+1 631 555 0199"}]])
    );
    assert_eq!(
        shown(&catalogue, &hsm("plain", "deterministic", "de_AT", &["Ada"])),
        json!(["Servus Ada", null])
    );
    // Of a template nobody knows: name and parameters.
    let unknown = json!({"type": "template", "template": {"name": "hello", "language": {"code": "en"}, "components": order()["template"]["components"]}});
    assert_eq!(shown(&catalogue, &unknown), json!(["hello: 17, Ada, $9.90, Friday", null]));
    assert_eq!(
        shown(&Catalogue::default(), &hsm("hi", "fallback", "en", &[])),
        json!(["hi", null])
    );
    let text = Bytes::from_static(br#"{"type":"text","text":{"body":"x"}}"#);
    assert_eq!(catalogue.rendered(&text).unwrap(), text);
    let long = hsm("hi", "fallback", "en", &["x".repeat(MAX_MESSAGE / 2).as_str()]);
    let long = Bytes::from(long.to_string());
    assert_eq!(catalogue.rendered(&long).unwrap(), long, "too long with its text twice");
}

#[test]
fn a_language_falls_back_only_where_it_may() {
    let catalogue = shop();
    for (policy, given, found) in [
        ("deterministic", "de", Ok("Hallo x")),
        ("deterministic", "de_CH", Err(2003)),
        ("fallback", "de_CH", Ok("Hallo x")),
        ("fallback", "de_AT", Ok("Servus x")),
        ("fallback", "en_GB", Err(2001)),
        ("fallback", "fr", Err(2003)),
    ] {
        let message = hsm("plain", policy, given, &["x"]);
        match found {
            Ok(text) => assert_eq!(shown(&catalogue, &message)[0], text, "{policy} {given}"),
            Err(refused) => {
                assert_eq!(code(&catalogue, &message), Some(refused), "{policy} {given}")
            }
        }
    }
}

/// What is wrong, its code.
#[test]
fn every_mistake_has_its_code() {
    let mut catalogue = shop();
    let with = |path: &str, value: Value| {
        let mut message = order();
        *message.pointer_mut(&format!("/template{path}")).unwrap() = value;
        message
    };
    let without = |place: usize| {
        let mut message = order();
        message["template"]["components"].as_array_mut().unwrap().remove(place);
        message
    };
    let text = |text: &str| json!([{"type": "text", "text": text}]);
    let picture = |kind: &str| {
        named(
            "picture",
            json!([{"type": "header", "parameters": [{"type": kind, kind: {"link": "https://x.example/1"}}]}]),
        )
    };
    let button = |kind: &str, index: &str| json!([{"type": "button", "sub_type": kind, "index": index, "parameters": [{"type": "text", "text": "x"}]}]);
    assert_eq!(code(&catalogue, &order()), None);
    assert_eq!(code(&catalogue, &picture("image")), None);
    for (message, expected) in [
        (with("/components/1/parameters", text("Ada")), 2000),
        (without(1), 2000),
        (hsm("plain", "deterministic", "de", &[]), 2000),
        (named("plain", json!([])), 2001),
        (named("pending", json!([])), 2001),
        (with("/language/code", json!("fr")), 2003),
        (with("/components/1/parameters/0/text", json!("x".repeat(1_025))), 2004),
        (with("/components/1/parameters/0/text", json!("x".repeat(600))), 2005),
        (with("/components/0/parameters/0/text", json!("x".repeat(55))), 2005),
        (with("/components/0/parameters/0/text", json!("*17*")), 2007),
        (picture("video"), 2008),
        (without(0), 2009),
        (without(2), 2009),
        (named("picture", json!([])), 2009),
        (named("coupon", json!([])), 2009),
        (with("/components/2/parameters/0/text", json!("a b")), 2010),
        (named("link", button("url", "0")), 2010),
        (named("call", json!([])), 2011),
        (with("/components/1/parameters/1", json!({"type": "text", "text": "$9"})), 2012),
        (picture("location"), 2012),
        (with("/components/2/sub_type", json!("quick_reply")), 2012),
        (with("/components/2/index", json!("3")), 2013),
        (
            named(
                "picture",
                json!([picture("image")["template"]["components"][0], button("url", "0")[0]]),
            ),
            2013,
        ),
        (named("rejected", json!([])), 2060),
        (named("paused", json!([])), 2061),
        (named("disabled", json!([])), 2062),
        (named("blocked", json!([])), 2068),
        (named("throttled", json!([])), 2069),
    ] {
        assert_eq!(code(&catalogue, &message), Some(expected), "{message}");
    }
    // Two namespaces have it, and none is said.
    let other = TemplateId::new("other", "order", "en_US").unwrap();
    catalogue
        .put(other, definition(&json!({"components": [{"type": "body", "text": "x"}]})))
        .unwrap();
    let mut unsaid = order();
    unsaid["template"].as_object_mut().unwrap().remove("namespace");
    assert_eq!(code(&catalogue, &unsaid), Some(2014));
}

#[test]
fn who_is_not_in_the_catalogue_is_sent_unless_it_is_strict() {
    let mut catalogue = shop();
    let mut elsewhere = order();
    elsewhere["template"]["namespace"] = "mine".into();
    let [unknown, foreign] = [named("nothing", json!([])), named("nothing", json!([]))];
    let mut foreign = foreign;
    foreign["template"]["language"]["code"] = "fr".into();
    for (message, strict) in [(&elsewhere, 1009), (&unknown, 2001), (&foreign, 2003)] {
        catalogue.set_policy(Policy::Open);
        assert_eq!(code(&catalogue, message), None, "{message}");
        catalogue.set_policy(Policy::Strict);
        assert_eq!(code(&catalogue, message), Some(strict), "{message}");
    }
    let mut empty = Catalogue::default();
    assert_eq!(code(&empty, &unknown), None);
    empty.set_policy(Policy::Strict);
    assert_eq!(code(&empty, &unknown), Some(1009));
}

#[test]
fn a_catalogue_is_the_same_after_its_document() {
    let mut catalogue = shop();
    catalogue.set_policy(Policy::Strict);
    let document = catalogue.to_json().to_string();
    let again = Catalogue::from_json(document.as_bytes()).unwrap();
    assert_eq!(again, catalogue);
    assert_eq!(again.to_json().to_string(), document);
    assert_eq!(Catalogue::from_json(b"").unwrap(), Catalogue::default());
    assert_ne!(Catalogue::version(document.as_bytes()), Catalogue::version(b""));
}

#[test]
fn what_is_no_definition_is_refused_with_its_place() {
    for (it, words) in [
        (json!({}), "'components' is mandatory"),
        (json!({"components": [{"type": "footer", "text": "x"}]}), "no body"),
        (json!({"components": [{"type": "body", "text": "{{2}}"}]}), "'components[0].text'"),
        (
            json!({"components": [{"type": "body", "text": "x"}, {"type": "body", "text": "x"}]}),
            "second 'body'",
        ),
        (
            json!({"components": [{"type": "body", "text": "{{1}}", "parameters": ["image"]}]}),
            "parameters'",
        ),
        (json!({"components": [{"type": "body", "text": "x"}], "status": "new"}), "'status'"),
        (json!({"components": [{"type": "body", "text": "x", "colour": 1}]}), "colour"),
        (
            json!({"components": [{"type": "body", "text": "x"}, {"type": "header", "text": "{{1}} {{2}}"}]}),
            "'components[1].text'",
        ),
    ] {
        let fields = Fields::of_body(it.to_string().as_bytes()).unwrap();
        let error = Definition::read(fields).expect_err("a mistake");
        assert!(error.details.contains(words), "{it}: {error}");
    }
    for (namespace, name, language) in [("", "a", "en"), ("n", "A", "en"), ("n", "a", "english")] {
        TemplateId::new(namespace, name, language).unwrap_err();
    }
}

#[test]
fn what_is_too_much_for_a_catalogue_is_refused_and_leaves_it_as_it_was() {
    let mut catalogue = Catalogue::default();
    let body = |text: &str| definition(&json!({"components": [{"type": "body", "text": text}]}));
    let (large, mut before) = (body(&"x".repeat(30_000)), Catalogue::default());
    let refused = (0..100).find_map(|n| {
        before = catalogue.clone();
        let id = TemplateId::new("n", &format!("t{n}"), "en").unwrap();
        catalogue.put(id, large.clone()).err()
    });
    assert_eq!(refused.unwrap().code, Code::OVERLOADED);
    assert_eq!(catalogue, before);
    assert!(catalogue.to_json().to_string().len() <= MAX_DOCUMENT);
}
