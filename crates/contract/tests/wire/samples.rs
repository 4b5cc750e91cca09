//! One good message of every type, as old clients write them: with every field that each may have.

use serde_json::{Value, json};

/// The customer all of them go to.
pub const TO: &str = "16315550111";
/// Of a message this customer wrote.
pub const QUOTED: &str = "ABGGFjFVUBEfAgkHBwcHBwcHBwc";

/// What each is called, and its body without `to`.
pub fn all() -> Vec<(&'static str, Value)> {
    let reply =
        |id: &str, title: &str| json!({"type": "reply", "reply": {"id": id, "title": title}});
    let interactive = |kind: &str, rest: Value, action: Value| {
        let mut message =
            json!({"type": kind, "body": {"text": "Please choose"}, "action": action});
        let object = message.as_object_mut().unwrap();
        object.extend(rest.as_object().unwrap().clone());
        json!({"type": "interactive", "interactive": message})
    };
    let footer = json!({"footer": {"text": "Until Friday"}});
    let picture = json!({"type": "image", "image": {"link": "https://cdn.example/1.png"}});
    vec![
        (
            "text",
            json!({"type": "text", "text": {"body": "See https://example.org"}, "preview_url": true}),
        ),
        (
            "quoting",
            json!({"type": "text", "text": {"body": "Yes"}, "context": {"message_id": QUOTED}}),
        ),
        (
            "image_by_link",
            json!({"type": "image", "image": {"link": "https://cdn.example/1.png", "caption": "Our shop", "provider": {"name": "cdn"}}}),
        ),
        (
            "image_by_id",
            json!({"type": "image", "image": {"id": "f043afd0-f0ae-4b9c-ab3d-696fb4c8cd68"}}),
        ),
        (
            "video",
            json!({"type": "video", "video": {"id": "f043afd0-f0ae-4b9c-ab3d-696fb4c8cd68", "caption": "A film"}}),
        ),
        ("audio", json!({"type": "audio", "audio": {"link": "http://cdn.example/1.ogg"}})),
        (
            "document",
            json!({"type": "document", "document": {"link": "https://cdn.example/1.pdf", "caption": "The bill", "filename": "bill.pdf"}}),
        ),
        (
            "sticker",
            json!({"type": "sticker", "sticker": {"id": "f043afd0-f0ae-4b9c-ab3d-696fb4c8cd68"}}),
        ),
        (
            "location",
            json!({"type": "location", "location": {"latitude": 52.5, "longitude": "-13.25", "name": "Shop", "address": "Long street 1"}}),
        ),
        (
            "contacts",
            json!({"type": "contacts", "contacts": [{
                "name": {"formatted_name": "Dr. Ada L.", "first_name": "Ada", "last_name": "L.", "middle_name": "M.", "prefix": "Dr.", "suffix": "Jr."},
                "phones": [{"phone": "+1 631 555 0111", "type": "CELL", "wa_id": "16315550111"}],
                "emails": [{"email": "ada@example.org", "type": "WORK"}],
                "addresses": [{"street": "Long street 1", "city": "Berlin", "state": "BE", "zip": "10115", "country": "Germany", "country_code": "de", "type": "HOME"}],
                "urls": [{"url": "https://example.org", "type": "WORK"}],
                "org": {"company": "Engines", "department": "Notes", "title": "Countess"},
                "birthday": "1815-12-10",
                "ims": [{"service": "AIM", "user_id": "ada"}, "AIM:ada"]
            }]}),
        ),
        (
            "reaction",
            json!({"type": "reaction", "reaction": {"message_id": QUOTED, "emoji": "👍🏽"}}),
        ),
        (
            "reaction_removed",
            json!({"type": "reaction", "reaction": {"message_id": QUOTED, "emoji": ""}}),
        ),
        (
            "template_bare",
            json!({"type": "template", "template": {"name": "hello_1", "language": {"code": "en"}}}),
        ),
        ("template", template()),
        (
            "template_authentication",
            json!({"type": "template", "template": {
            "namespace": "8f4c", "name": "login_code", "language": {"policy": "deterministic", "code": "pt_BR"},
            "components": [
                {"type": "BODY", "parameters": [{"type": "text", "text": "123456"}]},
                {"type": "BUTTON", "sub_type": "URL", "index": 0, "parameters": [{"type": "text", "text": "123456"}]}]}}),
        ),
        (
            "hsm",
            json!({"type": "hsm", "hsm": {
            "namespace": "8f4c", "element_name": "order_shipped", "language": {"policy": "fallback", "code": "en_US"},
            "localizable_params": [
                {"default": "1"},
                {"default": "$1", "currency": {"currency_code": "USD", "amount_1000": 1000}},
                {"default": "today", "date_time": {"component": {"day_of_week": "FRIDAY", "day_of_month": 25, "year": 1977, "month": 2, "hour": 15, "minute": 33, "calendar": "GREGORIAN"}}},
                {"default": "now", "date_time": {"unix_epoch": {"timestamp": 1_485_470_276}}}]}}),
        ),
        (
            "interactive_button",
            interactive(
                "button",
                json!({"header": {"type": "document", "document": {"id": "f043", "filename": "bill.pdf"}}, "footer": {"text": "Until Friday"}}),
                json!({"buttons": [reply("yes", "Yes"), reply("no", "No"), reply("later", "Later")]}),
            ),
        ),
        (
            "interactive_list",
            interactive(
                "list",
                json!({"header": {"type": "text", "text": "Hours"}, "footer": {"text": "Until Friday"}}),
                json!({"button": "Choose", "sections": [
                    {"title": "Morning", "rows": [{"id": "1", "title": "9 h", "description": "before coffee"}]},
                    {"title": "Evening", "rows": [{"id": "2", "title": "21 h"}]}]}),
            ),
        ),
        (
            "interactive_product",
            json!({"type": "interactive", "interactive": {"type": "product", "action": {"catalog_id": "7", "product_retailer_id": "shoe-1"}}}),
        ),
        (
            "interactive_product_list",
            interactive(
                "product_list",
                json!({"header": {"type": "text", "text": "Shoes"}}),
                json!({"catalog_id": "7", "sections": [{"title": "New", "product_items": [{"product_retailer_id": "shoe-1"}, {"product_retailer_id": "shoe-2"}]}]}),
            ),
        ),
        (
            "interactive_catalog_message",
            interactive(
                "catalog_message",
                footer,
                json!({"name": "catalog_message", "parameters": {"thumbnail_product_retailer_id": "shoe-1"}}),
            ),
        ),
        (
            "interactive_location_request_message",
            interactive("location_request_message", json!({}), json!({"name": "send_location"})),
        ),
        (
            "interactive_flow",
            interactive(
                "flow",
                json!({"header": picture}),
                json!({"name": "flow", "parameters": {
                "flow_message_version": "3", "flow_token": "t", "flow_id": "1", "flow_cta": "Book", "flow_action": "navigate",
                "flow_action_payload": {"screen": "FIRST", "data": {"b": 1, "a": [true, null]}}}}),
            ),
        ),
        (
            "interactive_address_message",
            interactive(
                "address_message",
                json!({}),
                json!({"name": "address_message", "parameters": {"country": "IN", "values": {"name": "Ada", "in_pin_code": "400063"}}}),
            ),
        ),
        (
            "interactive_order_details",
            interactive(
                "order_details",
                json!({"header": {"type": "image", "image": {"id": "f043"}}}),
                json!({"name": "review_and_pay", "parameters": {
                "reference_id": "order-1", "type": "digital-goods", "payment_configuration": "upi", "currency": "INR",
                "total_amount": {"value": 100, "offset": 100}, "order": {"status": "pending", "items": []}}}),
            ),
        ),
        (
            "interactive_order_status",
            interactive(
                "order_status",
                json!({}),
                json!({"name": "review_order", "parameters": {"reference_id": "order-1", "order": {"status": "shipped"}}}),
            ),
        ),
    ]
}

/// Every component and parameter there is.
fn template() -> Value {
    json!({"type": "template", "template": {
        "namespace": "8f4c", "name": "order_shipped", "language": {"policy": "deterministic", "code": "en_US"},
        "components": [
            {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://cdn.example/1.png", "provider": {"name": "cdn"}}}]},
            {"type": "body", "parameters": [
                {"type": "text", "text": "Ada"},
                {"type": "currency", "currency": {"fallback_value": "$9.90", "code": "USD", "amount_1000": 9_900}},
                {"type": "date_time", "date_time": {"fallback_value": "25 Feb 1977", "day_of_week": 5, "day_of_month": 25, "year": 1977, "month": 2, "hour": 15, "minute": 33}},
                {"type": "date_time", "date_time": {"fallback_value": "25 Feb 1977", "component": {"day_of_week": "FRIDAY", "month": "2"}}},
                {"type": "date_time", "date_time": {"fallback_value": "now", "unix_epoch": {"timestamp": 1_485_470_276}}}]},
            {"type": "footer"},
            {"type": "button", "sub_type": "quick_reply", "index": "0", "parameters": [{"type": "payload", "payload": "yes-17"}]},
            {"type": "button", "sub_type": "url", "index": 1, "parameters": [{"type": "text", "text": "track/17"}]},
            {"type": "button", "sub_type": "copy_code", "index": "2", "parameters": [{"type": "coupon_code", "coupon_code": "SUMMER"}]},
            {"type": "button", "sub_type": "catalog", "index": "3"},
            {"type": "button", "sub_type": "mpm", "index": "4", "parameters": [{"type": "action", "action": {"sections": [{"title": "New", "product_items": []}]}}]},
            {"type": "button", "sub_type": "flow", "index": "5", "parameters": [{"type": "action", "action": {"flow_token": "t"}}]}]}})
}

/// The body of a request.
pub fn request(sample: &Value) -> String {
    let mut body = sample.clone();
    body["to"] = TO.into();
    body.to_string()
}

/// Changes one place of a sample: `null` takes it away.
pub fn with(name: &str, pointer: &str, value: Value) -> Value {
    let (_, mut sample) = all().into_iter().find(|(known, _)| *known == name).unwrap();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = sample.pointer_mut(parent).unwrap_or_else(|| panic!("{name} has no {parent}"));
    match field.parse::<usize>() {
        Ok(n) if parent.is_array() => parent[n] = value,
        _ => parent[field] = value,
    }
    sample
}
