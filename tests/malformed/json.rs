//! Good bodies: method, path, JSON. One of each kind that is read in its own way. None changes what the
//! others need: passwords, quotas, the webhook.

pub const GOOD: &[(&str, &str, &str)] = &[
    (
        "POST",
        "/v1/messages",
        r#"{"to":"4915112345678","type":"text","text":{"body":"Hello"},"preview_url":true,"context":{"message_id":"gBGGFjFVURECEQIJWkKdb3Fz7l0v"}}"#,
    ),
    (
        "POST",
        "/v1/messages",
        r#"{"to":"4915112345678","recipient_type":"individual","type":"image","image":{"link":"https://cdn.example/1.png","caption":"A picture","provider":{"name":"cdn"}}}"#,
    ),
    (
        "POST",
        "/v1/messages",
        r#"{"to":"4915112345678","type":"document","document":{"id":"f043afd0-f0ae-4b9c-ab3d-696fb4c8cd68","filename":"a.pdf","caption":"b"}}"#,
    ),
    (
        "POST",
        "/v1/messages",
        r#"{"to":"4915112345678","type":"location","location":{"latitude":52.5,"longitude":"13.4","name":"Berlin","address":"Mitte"}}"#,
    ),
    (
        "POST",
        "/v1/messages",
        r#"{"to":"4915112345678","type":"contacts","contacts":[{"name":{"formatted_name":"Ada L.","first_name":"Ada"},"phones":[{"phone":"+1 631 555 1004","type":"CELL","wa_id":"16315551004"}],"emails":[{"email":"ada@example.com"}],"addresses":[{"city":"London"}],"urls":[{"url":"https://example.com"}],"org":{"company":"A"},"birthday":"1990-12-31","ims":[{"service":"x","user_id":"y"}]}]}"#,
    ),
    (
        "POST",
        "/v1/messages",
        r#"{"to":"4915112345678","type":"reaction","reaction":{"message_id":"gBGGFjFVURECEQIJWkKdb3Fz7l0v","emoji":"👍"}}"#,
    ),
    (
        "POST",
        "/v1/messages",
        r#"{"to":"4915112345678","type":"template","template":{"namespace":"8f4c","name":"order_shipped","language":{"policy":"deterministic","code":"en_US"},"components":[{"type":"header","parameters":[{"type":"image","image":{"link":"https://cdn.example/1.png"}}]},{"type":"body","parameters":[{"type":"text","text":"Ada"},{"type":"currency","currency":{"fallback_value":"$9","code":"USD","amount_1000":9000}},{"type":"date_time","date_time":{"fallback_value":"25 Feb","day_of_week":5,"year":1977,"month":2}}]},{"type":"button","sub_type":"quick_reply","index":"0","parameters":[{"type":"payload","payload":"yes"}]}]}}"#,
    ),
    (
        "POST",
        "/v1/messages",
        r#"{"to":"4915112345678","type":"hsm","hsm":{"namespace":"8f4c","element_name":"order","language":{"policy":"fallback","code":"en"},"localizable_params":[{"default":"1"},{"default":"$1","currency":{"currency_code":"USD","amount_1000":1000}},{"default":"x","date_time":{"unix_epoch":{"timestamp":1}}}]}}"#,
    ),
    (
        "POST",
        "/v1/messages",
        r#"{"to":"4915112345678","type":"interactive","interactive":{"type":"button","header":{"type":"text","text":"H"},"body":{"text":"B"},"footer":{"text":"F"},"action":{"buttons":[{"type":"reply","reply":{"id":"1","title":"Yes"}},{"type":"reply","reply":{"id":"2","title":"No"}}]}}}"#,
    ),
    (
        "POST",
        "/v1/messages",
        r#"{"to":"4915112345678","type":"interactive","interactive":{"type":"list","body":{"text":"B"},"action":{"button":"Choose","sections":[{"title":"S","rows":[{"id":"1","title":"One","description":"1"},{"id":"2","title":"Two"}]}]}}}"#,
    ),
    (
        "POST",
        "/v1/messages",
        r#"{"to":"4915112345678","type":"interactive","interactive":{"type":"product_list","header":{"type":"text","text":"H"},"body":{"text":"B"},"action":{"catalog_id":"c","sections":[{"title":"S","product_items":[{"product_retailer_id":"p"}]}]}}}"#,
    ),
    (
        "POST",
        "/v1/messages",
        r#"{"to":"4915112345678","type":"interactive","interactive":{"type":"flow","body":{"text":"B"},"action":{"name":"flow","parameters":{"flow_message_version":"3","flow_token":"t","flow_id":"i","flow_cta":"Go","flow_action":"navigate","flow_action_payload":{"screen":"S","data":{"a":1}}}}}}"#,
    ),
    (
        "POST",
        "/v1/messages",
        r#"{"to":"4915112345678","type":"interactive","interactive":{"type":"order_details","body":{"text":"B"},"action":{"name":"review_and_pay","parameters":{"reference_id":"r","type":"x","currency":"EUR","total_amount":{"value":1},"order":{"items":[]}}}}}"#,
    ),
    (
        "POST",
        "/v1/messages/batch",
        r#"{"messages":[{"to":"4915112345678","text":{"body":"a"},"idempotency_key":"k-1"},{"to":"4915112345679","text":{"body":"b"}}]}"#,
    ),
    ("PUT", "/v1/messages/ABGGFjFVURECDwYwZjEyMzQ1Njc4OTA", r#"{"status":"read"}"#),
    (
        "POST",
        "/v1/contacts",
        r#"{"contacts":["+49 151 12345678","6315551002"],"blocking":"no_wait","force_check":false}"#,
    ),
    ("PUT", "/v1/contacts/4915112345678/identity", r#"{"hash":"UKD6Y/5SqDU="}"#),
    ("POST", "/v1/contacts/4915112345678/block", r#"{"reason":"spam"}"#),
    (
        "POST",
        "/v1/contacts/4915112345678/report",
        r#"{"reason":"spam","block":false,"message_id":"ABGGFjFVURECDwYwZjEyMzQ1Njc4OTA"}"#,
    ),
    (
        "PATCH",
        "/v1/settings/application",
        r#"{"callback_backoff_delay_ms":"3000","media":{"auto_download":["image","audio"]},"webhooks":{"message":{"sent":true,"read":true}},"garbagecollector_enable":{"media":false},"heliograph":{"contacts":{"cache_days":7},"events":{"retention_s":604800}}}"#,
    ),
    (
        "POST",
        "/v1/events/replay",
        r#"{"from":1704070800,"to":1704070900,"kind":"statuses","number":"4915112345678","rate":20}"#,
    ),
    (
        "POST",
        "/v1/settings/application/media/providers",
        r#"[{"name":"cdn","type":"www","config":{"basic":{"username":"u","password":"p"}}}]"#,
    ),
    ("POST", "/v1/users", r#"{"username":"clerk_7","password":"Passw0rd!x"}"#),
    (
        "POST",
        "/v1/account/shards",
        r#"{"cc":"1","phone_number":"5550100100","shards":4,"pin":"123456","cert":"Y2VydA=="}"#,
    ),
    ("POST", "/v1/account/verify", r#"{"code":"123-456"}"#),
    (
        "POST",
        "/v1/settings/business/profile",
        r#"{"address":"1 Street","description":"d","email":"ada@example.com","vertical":"Education","websites":["https://example.com"]}"#,
    ),
    ("PATCH", "/v1/settings/profile/about", r#"{"text":"About us"}"#),
];
