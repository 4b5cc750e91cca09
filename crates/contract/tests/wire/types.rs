//! Every type of message that can be sent: its canonical form, its limits, and what a refusal says.

use contract::{
    ApiError, Direction, Key, MessageId, Number,
    message::{self, Category, Outgoing, Stored},
};
use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::samples::{TO, all, request, with};

fn parse(sample: &Value) -> Result<Outgoing, ApiError> {
    Outgoing::parse(request(sample).as_bytes())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn every_type_has_one_canonical_form() {
    let mut forms = String::new();
    for (name, sample) in all() {
        let outgoing = parse(&sample).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(sample["type"], outgoing.category.as_str(), "{name}");
        forms.push_str(&format!("{name}\n  {}\n", text(&outgoing.message)));
    }
    assert_snapshot!(forms);
}

#[test]
fn what_a_message_says_arrives_whole() {
    // Nothing was spelled the old way or left out in these: the canonical form is what was sent.
    for (name, sample) in all() {
        let outgoing = parse(&sample).unwrap();
        let canonical: Value = serde_json::from_slice(&outgoing.message).unwrap();
        let rewritten = [
            "location",
            "template",
            "template_bare",
            "template_authentication",
            "hsm",
            "interactive_flow",
        ];
        if !rewritten.contains(&name) {
            assert_eq!(canonical, sample, "{name}");
        }
    }
}

#[test]
fn the_canonical_form_is_taken_as_it_is_and_survives_its_row() {
    for (name, sample) in all() {
        let outgoing = parse(&sample).unwrap();
        assert_eq!(message::validate(&outgoing.message), Ok(outgoing.category), "{name}");
        let mut again: Value = serde_json::from_slice(&outgoing.message).unwrap();
        again["to"] = TO.into();
        let again = Outgoing::parse(again.to_string().as_bytes()).unwrap();
        assert_eq!(text(&again.message), text(&outgoing.message), "{name}");
        let stored = Stored::from(outgoing);
        assert!(Stored::decode(&stored.encode()).is_ok_and(|back| back == stored), "{name}");
    }
}

#[test]
fn a_message_quotes_what_may_belong_to_its_conversation_and_nothing_else() {
    let key = Key::from_bytes(&[7; 9]).unwrap();
    for (to, of, quotes) in [
        (TO, TO, true),
        ("+1 (631) 555-0111", TO, true),
        // The same person under the other notation of the number.
        ("525512345678", "5215512345678", true),
        ("16315550112", TO, false),
    ] {
        let number = Number::parse(of).unwrap();
        for direction in [Direction::Inbound, Direction::Outbound] {
            let id = MessageId { direction, number, key }.to_string();
            let body = json!({"to": to, "text": {"body": "Yes"}, "context": {"message_id": id}});
            let message = Outgoing::parse(body.to_string().as_bytes()).unwrap().message;
            assert_eq!(text(&message).contains(&id), quotes, "{to} quotes {of}");
        }
    }
}

#[test]
fn stored_numbers_of_types_never_change() {
    let names = Category::ALL.map(|kind| format!("{} {}", kind.get(), kind.as_str())).join(", ");
    assert_eq!(
        names,
        "1 text, 2 image, 3 audio, 4 video, 5 document, 6 sticker, 7 location, 8 contacts, \
         9 template, 10 interactive, 11 reaction, 12 hsm"
    );
    assert_eq!(Category::from_u8(13), None);
    assert!(Category::ALL.into_iter().filter(|kind| kind.is_template()).count() == 2);
}

fn chars(count: usize) -> Value {
    "é".repeat(count).into()
}

fn many(count: usize, item: impl Fn(usize) -> Value) -> Value {
    (0..count).map(item).collect()
}

/// A sample, the place that is changed, what just passes, what is one too much, and its code.
fn limits() -> Vec<(&'static str, &'static str, Value, Value, u16)> {
    let row = |n: usize| json!({"id": n.to_string(), "title": "x"});
    let product = |n: usize| json!({"product_retailer_id": n.to_string()});
    let section = |n: usize| json!({"title": format!("{n}"), "rows": [row(n)]});
    let products = |n: usize| json!({"title": format!("{n}"), "product_items": [product(n)]});
    let button =
        |n: usize| json!({"type": "reply", "reply": {"id": n.to_string(), "title": n.to_string()}});
    let list = "/interactive/action/sections";
    let reply = "/interactive/action/buttons/0/reply";
    let body = "/template/components/1/parameters/0/text";
    let card = |_| json!({"name": {"formatted_name": "A", "prefix": "B"}});
    let link = |bytes: usize| Value::from(format!("https://h/{}", "x".repeat(bytes - 10)));
    let join = |before: &str, after: &str| -> &'static str {
        Box::leak(format!("{before}{after}").into_boxed_str())
    };
    vec![
        ("text", "/text/body", chars(4_096), chars(4_097), 1001),
        ("image_by_link", "/image/caption", chars(1_024), chars(1_025), 1009),
        ("video", "/video/caption", chars(1_024), chars(1_025), 1009),
        ("document", "/document/caption", chars(1_024), chars(1_025), 1009),
        ("document", "/document/filename", chars(255), chars(256), 1009),
        ("image_by_link", "/image/link", link(8_192), link(8_193), 1009),
        ("image_by_id", "/image/id", chars(128), chars(129), 1009),
        ("image_by_link", "/image/provider/name", chars(200), chars(201), 1009),
        ("location", "/location/latitude", json!(90), json!(90.1), 1009),
        ("location", "/location/latitude", json!("-90"), json!("-90.1"), 1009),
        ("location", "/location/longitude", json!(180), json!(-180.1), 1009),
        ("location", "/location/name", chars(1_000), chars(1_001), 1009),
        ("contacts", "/contacts", many(257, card), many(258, card), 1009),
        ("contacts", "/contacts/0/name/formatted_name", chars(1_000), chars(1_001), 1009),
        ("contacts", "/contacts/0/urls", many(100, |_| json!({})), many(101, |_| json!({})), 1009),
        ("reaction", "/reaction/emoji", "👍".repeat(16).into(), "👍".repeat(17).into(), 1009),
        ("template", "/template/namespace", chars(128), chars(129), 1009),
        ("template", "/template/name", "a".repeat(512).into(), "a".repeat(513).into(), 1009),
        ("template", body, chars(1_024), chars(1_025), 2004),
        ("template", body, "a    b".into(), "a     b".into(), 2006),
        (
            "template",
            "/template/components/0/parameters/0",
            json!({"type": "text", "text": chars(60)}),
            json!({"type": "text", "text": chars(61)}),
            2004,
        ),
        (
            "template",
            "/template/components/0/parameters",
            json!([{"type": "text", "text": "x"}]),
            json!([]),
            2000,
        ),
        ("template", "/template/components/3/index", json!("9"), json!("10"), 1009),
        ("template", "/template/components/5/parameters/0/coupon_code", chars(15), chars(16), 2004),
        (
            "template_bare",
            "/template/components",
            json!([{"type": "body", "parameters": [{"type": "text", "text": chars(20_000)}, {"type": "text", "text": chars(12_768)}]}]),
            json!([{"type": "body", "parameters": [{"type": "text", "text": chars(20_000)}, {"type": "text", "text": chars(12_769)}]}]),
            2005,
        ),
        ("hsm", "/hsm/localizable_params/0/default", chars(1_024), chars(1_025), 1009),
        ("interactive_button", "/interactive/body/text", chars(1_024), chars(1_025), 1009),
        ("interactive_button", "/interactive/footer/text", chars(60), chars(61), 1009),
        ("interactive_list", "/interactive/header/text", chars(60), chars(61), 2036),
        (
            "interactive_button",
            "/interactive/action/buttons",
            many(3, button),
            many(4, button),
            1009,
        ),
        ("interactive_button", "/interactive/action/buttons", many(1, button), json!([]), 1009),
        ("interactive_button", join(reply, "/id"), chars(256), chars(257), 1009),
        ("interactive_button", join(reply, "/title"), chars(20), chars(21), 1009),
        ("interactive_list", "/interactive/action/button", chars(20), chars(21), 1009),
        ("interactive_list", list, many(10, section), many(11, section), 2015),
        ("interactive_list", list, many(1, section), json!([]), 2015),
        (
            "interactive_list",
            list,
            json!([{"rows": many(10, row)}]),
            json!([{"rows": many(11, row)}]),
            2016,
        ),
        ("interactive_list", list, json!([{"rows": many(1, row)}]), json!([{"rows": []}]), 2016),
        (
            "interactive_list",
            list,
            json!([{"title": "a", "rows": many(9, row)}, {"title": "b", "rows": [row(10)]}]),
            json!([{"title": "a", "rows": many(9, row)}, {"title": "b", "rows": [row(10), row(11)]}]),
            2016,
        ),
        ("interactive_list", join(list, "/0/title"), chars(24), chars(25), 1009),
        ("interactive_list", join(list, "/0/rows/0/title"), chars(24), chars(25), 1009),
        ("interactive_list", join(list, "/0/rows/0/id"), chars(200), chars(201), 1009),
        ("interactive_list", join(list, "/0/rows/0/description"), chars(72), chars(73), 1009),
        ("interactive_product_list", list, many(10, products), many(11, products), 2015),
        (
            "interactive_product_list",
            list,
            json!([{"title": "a", "product_items": many(30, product)}]),
            json!([{"title": "a", "product_items": many(31, product)}]),
            2023,
        ),
        ("interactive_product_list", list, many(1, products), json!([{"product_items": []}]), 2023),
        ("interactive_flow", "/interactive/action/parameters/flow_cta", chars(20), chars(21), 1009),
        (
            "interactive_order_details",
            "/interactive/action/parameters/reference_id",
            chars(35),
            chars(36),
            1009,
        ),
    ]
}

#[test]
fn every_limit_is_met_exactly_and_one_more_is_refused_with_its_code() {
    for (name, place, most, more, code) in limits() {
        if let Err(error) = parse(&with(name, place, most)) {
            panic!("{name} {place} at its limit: {error}");
        }
        let refused = parse(&with(name, place, more)).err();
        let refused = refused.unwrap_or_else(|| panic!("{name} {place} beyond its limit passed"));
        assert_eq!(
            (refused.code.get(), refused.status()),
            (code, 400),
            "{name} {place}: {refused}"
        );
    }
    // The whole of it, whatever it consists of.
    let data = |bytes: usize| {
        with(
            "interactive_flow",
            "/interactive/action/parameters/flow_action_payload",
            json!({"screen": "FIRST", "data": {"x": "x".repeat(bytes)}}),
        )
    };
    let room = message::MAX_MESSAGE - parse(&data(0)).unwrap().message.len();
    assert_eq!(parse(&data(room)).unwrap().message.len(), message::MAX_MESSAGE);
    assert_eq!(parse(&data(room + 1)).err().unwrap().code.get(), 1001);
}

/// A sample, the place that is changed, to what, the code, and what that place is called.
fn mistakes() -> Vec<(&'static str, &'static str, Value, u16, &'static str)> {
    let sections = "/interactive/action/sections";
    vec![
        ("image_by_link", "/image", Value::Null, 1008, "'image' is mandatory for type 'image'"),
        ("image_by_link", "/image/link", Value::Null, 1008, "'image.id' or 'image.link'"),
        ("image_by_link", "/image/id", json!("f043"), 1009, "'image.id'"),
        ("image_by_link", "/image/link", json!("ftp://cdn.example/1.png"), 1009, "'image.link'"),
        (
            "image_by_link",
            "/image/link",
            json!("https://user:secret@h:x/1.png?token=secret"),
            1009,
            "'image.link'",
        ),
        ("image_by_link", "/image/provider", json!({}), 1008, "'image.provider.name'"),
        ("image_by_id", "/image/provider", json!({"name": "cdn"}), 1010, "'image.provider'"),
        ("image_by_id", "/image/filename", json!("x.png"), 1010, "'image.filename'"),
        ("audio", "/audio/caption", json!("x"), 1010, "'audio.caption'"),
        ("sticker", "/sticker/caption", json!("x"), 1010, "'sticker.caption'"),
        ("document", "/document", json!("x.pdf"), 1009, "'document'"),
        ("location", "/location/latitude", Value::Null, 1008, "'location.latitude'"),
        ("location", "/location/longitude", json!("east"), 1009, "'location.longitude'"),
        ("contacts", "/contacts", json!({}), 1009, "'contacts'"),
        ("contacts", "/contacts", json!([]), 1009, "'contacts'"),
        ("contacts", "/contacts/0/name", Value::Null, 1008, "'contacts[0].name'"),
        (
            "contacts",
            "/contacts/0/name",
            json!({"formatted_name": "Ada"}),
            1008,
            "'contacts[0].name.first_name'",
        ),
        ("contacts", "/contacts/0/birthday", json!("1815-13-10"), 1009, "'contacts[0].birthday'"),
        (
            "contacts",
            "/contacts/0/phones/0/wa_id",
            json!("me"),
            1009,
            "'contacts[0].phones[0].wa_id'",
        ),
        ("contacts", "/contacts/0/emails/0/mail", json!("x"), 1010, "'contacts[0].emails[0].mail'"),
        ("contacts", "/contacts/0/ims/0", json!({"service": 7}), 1009, "'contacts[0].ims[0]'"),
        ("reaction", "/reaction/message_id", json!("wamid.x"), 1009, "'reaction.message_id'"),
        ("reaction", "/reaction/emoji", Value::Null, 1008, "'reaction.emoji'"),
        ("reaction", "/reaction/emoji", json!("yes"), 1009, "'reaction.emoji'"),
        ("template", "/template/name", json!("Order"), 1009, "'template.name'"),
        ("template", "/template/language", Value::Null, 1008, "'template.language'"),
        ("template", "/template/language/code", json!("english"), 1009, "'template.language.code'"),
        (
            "template",
            "/template/language/policy",
            json!("fallback"),
            1009,
            "'template.language.policy'",
        ),
        (
            "template",
            "/template/components/1/type",
            json!("header"),
            1009,
            "'template.components[1].type'",
        ),
        (
            "template",
            "/template/components/1/type",
            json!("carousel"),
            1009,
            "'template.components[1].type'",
        ),
        (
            "template",
            "/template/components/2/parameters",
            json!([{"type": "text", "text": "x"}]),
            2000,
            "'template.components[2].parameters'",
        ),
        (
            "template",
            "/template/components/0/parameters/0/type",
            json!("currency"),
            2012,
            "'template.components[0].parameters[0].type'",
        ),
        (
            "template",
            "/template/components/1/parameters/0/type",
            json!("smoke"),
            1009,
            "'template.components[1].parameters[0].type'",
        ),
        (
            "template",
            "/template/components/1/parameters/0/text",
            json!("a\nb"),
            2006,
            "'template.components[1].parameters[0].text'",
        ),
        (
            "template",
            "/template/components/1/parameters/0/text",
            json!(""),
            1009,
            "'template.components[1].parameters[0].text'",
        ),
        (
            "template",
            "/template/components/1/parameters/1/currency/code",
            json!("usd"),
            1009,
            "'template.components[1].parameters[1].currency.code'",
        ),
        (
            "template",
            "/template/components/1/parameters/1/currency/amount_1000",
            json!(9.5),
            1009,
            "currency.amount_1000'",
        ),
        (
            "template",
            "/template/components/1/parameters/2/date_time/fallback_value",
            Value::Null,
            1008,
            "date_time.fallback_value'",
        ),
        (
            "template",
            "/template/components/1/parameters/2/date_time/month",
            json!(13),
            1009,
            "date_time.month'",
        ),
        (
            "template",
            "/template/components/1/parameters/3/date_time/component/day_of_week",
            json!("FREITAG"),
            1009,
            "date_time.component.day_of_week'",
        ),
        (
            "template",
            "/template/components/3/sub_type",
            Value::Null,
            1008,
            "'template.components[3].sub_type'",
        ),
        (
            "template",
            "/template/components/3/index",
            Value::Null,
            1008,
            "'template.components[3].index'",
        ),
        (
            "template",
            "/template/components/3/index",
            json!(1),
            1009,
            "'template.components[4].index'",
        ),
        (
            "template",
            "/template/components/3/parameters",
            json!([]),
            2000,
            "'template.components[3].parameters'",
        ),
        (
            "template",
            "/template/components/3/parameters/0/type",
            json!("text"),
            2012,
            "'template.components[3].parameters[0].type'",
        ),
        ("hsm", "/hsm/namespace", Value::Null, 1008, "'hsm.namespace'"),
        ("hsm", "/hsm/localizable_params", Value::Null, 1008, "'hsm.localizable_params'"),
        (
            "hsm",
            "/hsm/localizable_params/0/default",
            Value::Null,
            1008,
            "'hsm.localizable_params[0].default'",
        ),
        (
            "hsm",
            "/hsm/localizable_params/2/date_time",
            json!({}),
            1008,
            "'hsm.localizable_params[2].date_time.component'",
        ),
        ("interactive_button", "/interactive/type", json!("cta_url"), 1009, "'interactive.type'"),
        ("interactive_button", "/interactive/body", Value::Null, 1008, "'interactive.body'"),
        (
            "interactive_button",
            "/interactive/body/text",
            json!(""),
            1009,
            "'interactive.body.text'",
        ),
        ("interactive_button", "/interactive/action", Value::Null, 1008, "'interactive.action'"),
        (
            "interactive_button",
            "/interactive/action/buttons/1/reply/id",
            json!("yes"),
            1009,
            "'interactive.action.buttons[1].reply.id'",
        ),
        (
            "interactive_button",
            "/interactive/action/buttons/1/reply/title",
            json!("Yes"),
            1009,
            "'interactive.action.buttons[1].reply.title'",
        ),
        (
            "interactive_button",
            "/interactive/action/buttons/0/reply/id",
            json!(" yes"),
            2017,
            "'interactive.action.buttons[0].reply.id'",
        ),
        (
            "interactive_button",
            "/interactive/header/type",
            json!("gif"),
            2036,
            "'interactive.header.type'",
        ),
        (
            "interactive_button",
            "/interactive/header/document/link",
            json!("http://h/"),
            2036,
            "'interactive.header.document.id'",
        ),
        (
            "interactive_list",
            "/interactive/header",
            json!({"type": "image", "image": {"id": "1"}}),
            2036,
            "'interactive.header.type'",
        ),
        (
            "interactive_list",
            "/interactive/action/button",
            json!("*Choose*"),
            2017,
            "'interactive.action.button'",
        ),
        (
            "interactive_list",
            "/interactive/action/sections/1/title",
            Value::Null,
            1008,
            "'interactive.action.sections[1].title'",
        ),
        (
            "interactive_list",
            "/interactive/action/sections/1/rows/0/id",
            json!("1"),
            1009,
            "'interactive.action.sections[1].rows[0].id'",
        ),
        ("interactive_list", sections, Value::Null, 1008, "'interactive.action.sections'"),
        (
            "interactive_product",
            "/interactive/header",
            json!({"type": "text", "text": "x"}),
            2036,
            "'interactive.header.type'",
        ),
        (
            "interactive_product",
            "/interactive/action/catalog_id",
            Value::Null,
            1008,
            "'interactive.action.catalog_id'",
        ),
        (
            "interactive_product_list",
            "/interactive/header",
            Value::Null,
            2036,
            "'interactive.header'",
        ),
        (
            "interactive_location_request_message",
            "/interactive/footer",
            json!({"text": "x"}),
            1010,
            "'interactive.footer'",
        ),
        (
            "interactive_location_request_message",
            "/interactive/action/name",
            json!("ask"),
            1009,
            "'interactive.action.name'",
        ),
        (
            "interactive_flow",
            "/interactive/action/parameters/mode",
            json!("live"),
            1009,
            "'interactive.action.parameters.mode'",
        ),
        (
            "interactive_flow",
            "/interactive/action/parameters/flow_id",
            Value::Null,
            1008,
            "'interactive.action.parameters.flow_id'",
        ),
        (
            "interactive_flow",
            "/interactive/action/parameters/flow_action_payload/data",
            json!([]),
            1009,
            "flow_action_payload.data'",
        ),
        (
            "interactive_address_message",
            "/interactive/action/parameters/country",
            json!("India"),
            1009,
            "'interactive.action.parameters.country'",
        ),
        (
            "interactive_order_details",
            "/interactive/action/parameters/order",
            Value::Null,
            1008,
            "'interactive.action.parameters.order'",
        ),
        ("quoting", "/preview_url", json!("yes"), 1009, "'preview_url'"),
        ("image_by_id", "/text", json!({"body": "x"}), 1010, "'text'"),
        ("text", "/recipient_type", json!("group"), 1002, "'recipient_type'"),
    ]
}

#[test]
fn every_mistake_is_told_with_its_code_place_gift_and_remedy() {
    let mut told = String::new();
    for (name, place, value, code, parameter) in mistakes() {
        let error = parse(&with(name, place, value)).err();
        let error = error.unwrap_or_else(|| panic!("{name} {place} passed"));
        assert_eq!((error.code.get(), error.status()), (code, 400), "{name} {place}: {error}");
        assert!(error.details.contains(parameter), "{name} {place}: {error}");
        assert!(!error.details.contains("secret"), "{error}");
        told.push_str(&format!("{code} {}\n", error.details));
    }
    assert_snapshot!(told);
}

#[test]
fn a_preview_is_for_texts_and_no_mistake_elsewhere() {
    let image = parse(&with("image_by_id", "/preview_url", json!(true))).unwrap();
    assert!(!text(&image.message).contains("preview_url"));
}

/// Puts `{}`, `[]`, texts and numbers where they do not belong, takes places away, adds others.
fn mutations() -> impl Strategy<Value = Value> {
    let samples: Vec<Value> = all().into_iter().map(|(_, sample)| sample).collect();
    let values = prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(""),
        json!("x"),
        json!("\n"),
        json!(-1),
        json!(1e300),
        json!([]),
        json!({}),
        json!([{}]),
        json!({"type": "text"}),
        json!([[[]]]),
        json!("😀".repeat(30)),
    ]);
    (
        prop::sample::select(samples),
        prop::collection::vec((any::<prop::sample::Index>(), values), 1..4),
    )
        .prop_map(|(mut sample, changes)| {
            for (at, value) in changes {
                let mut places = Vec::new();
                pointers(&sample, String::new(), &mut places);
                let place = &places[at.index(places.len())];
                if let Some(old) = sample.pointer_mut(place) {
                    *old = value;
                }
            }
            sample
        })
}

fn pointers(value: &Value, path: String, into: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(n, item)| pointers(item, format!("{path}/{n}"), into));
        }
        Value::Object(map) => {
            map.iter().for_each(|(name, item)| pointers(item, format!("{path}/{name}"), into));
        }
        _ => {}
    }
    if !path.is_empty() {
        into.push(path);
    }
}

/// The same object with its keys in the opposite order.
fn reversed(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            format!("[{}]", items.iter().map(reversed).collect::<Vec<_>>().join(","))
        }
        Value::Object(map) => {
            let pair = |(name, value): (&String, &Value)| {
                format!("{}: {}", Value::from(name.as_str()), reversed(value))
            };
            format!("{{{}}}", map.iter().rev().map(pair).collect::<Vec<_>>().join(" , "))
        }
        other => other.to_string(),
    }
}

proptest! {
    #[test]
    fn damaged_messages_are_refused_or_canonical(sample in mutations()) {
        if !sample.is_object() {
            return Ok(());
        }
        match parse(&sample) {
            Ok(outgoing) => {
                prop_assert_eq!(message::validate(&outgoing.message), Ok(outgoing.category));
                prop_assert!(outgoing.message.len() <= message::MAX_MESSAGE);
            }
            Err(error) => {
                prop_assert_eq!(error.status(), 400);
                prop_assert!(error.details.chars().count() < 600);
            }
        }
    }

    #[test]
    fn the_order_of_keys_and_empty_additions_change_no_byte(sample in mutations()) {
        if let Ok(outgoing) = parse(&sample) {
            let mut body = sample.clone();
            body["to"] = TO.into();
            body["ttl"] = json!({"days": 1});
            let again = Outgoing::parse(reversed(&body).as_bytes());
            prop_assert_eq!(again.map(|again| again.message).ok(), Some(outgoing.message));
        }
    }
}
