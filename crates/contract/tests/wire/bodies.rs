//! Every body that leaves, as it leaves.

use contract::{
    ApiError, Code, Direction, Key, MessageId, Number, answer,
    callback::{self, EventKind, InboundEvent, StatusEvent, StatusKind},
    contacts::{self, ContactEntry, ContactStatus},
    envelope::InboundContent,
    login::{LoginAnswer, Secret},
    message::{self, Outgoing, Stored, StoredError},
    settings::Application,
};

fn text(bytes: impl AsRef<[u8]>) -> String {
    String::from_utf8(bytes.as_ref().to_vec()).unwrap()
}

fn number(text: &str) -> Number {
    Number::parse(text).unwrap()
}

fn id(direction: Direction) -> MessageId {
    MessageId { direction, number: number("16315550111"), key: Key::from_bytes(&[7; 9]).unwrap() }
}

#[test]
fn rest_answers_are_enveloped_with_meta() {
    assert_eq!(text(answer::empty()), r#"{"meta":{"version":"2.53.0","api_status":"stable"}}"#);
    assert_eq!(
        text(answer::resource("users", &[[("username", "clerk_7")]])),
        r#"{"users":[[["username","clerk_7"]]],"meta":{"version":"2.53.0","api_status":"stable"}}"#
    );
    assert_eq!(
        text(answer::message_accepted(&id(Direction::Outbound))),
        format!(
            r#"{{"messages":[{{"id":"{}"}}],"meta":{{"version":"2.53.0","api_status":"stable"}}}}"#,
            id(Direction::Outbound)
        )
    );
    assert_eq!(
        text(answer::settings_application(br#"{"a":1}"#)),
        r#"{"settings":{"application":{"a":1}},"meta":{"version":"2.53.0","api_status":"stable"}}"#
    );
}

#[test]
fn an_error_answer_names_code_title_details_and_help_page() {
    let errors =
        [ApiError::new(Code::NOT_FOUND, "No \"picture\" set."), ApiError::new(Code::GENERIC, "")];
    assert_eq!(
        text(answer::errors(&errors)),
        concat!(
            r#"{"meta":{"version":"2.53.0","api_status":"stable"},"errors":["#,
            r#"{"code":1006,"title":"Resource not found","details":"No \"picture\" set.","#,
            r#""href":"/docs/errors/1006"},"#,
            r#"{"code":1000,"title":"Generic error","href":"/docs/errors/1000"}]}"#
        )
    );
}

#[test]
fn a_login_answer_gives_the_expiry_with_a_space_and_an_offset() {
    let answer = LoginAnswer { token: Secret::new("eyJ".to_owned()), expires_s: 1_769_071_848 };
    assert_eq!(
        text(answer.to_bytes()),
        concat!(
            r#"{"users":[{"token":"eyJ","expires_after":"2026-01-22 08:50:48+00:00"}],"#,
            r#""meta":{"version":"2.53.0","api_status":"stable"}}"#
        )
    );
}

#[test]
fn contact_answers_keep_the_order_and_show_a_wa_id_only_when_known() {
    let entry = |input: &str, status, wa_id: Option<&str>| ContactEntry {
        input: input.to_owned(),
        status,
        wa_id: wa_id.map(number),
    };
    let entries = [
        entry("+1 631 555 1001", ContactStatus::Valid, Some("16315551001")),
        entry("+49 30 9999", ContactStatus::Processing, None),
        entry("6315551002", ContactStatus::Invalid, None),
        entry("+49 30 9998", ContactStatus::Failed, None),
    ];
    let array = concat!(
        r#""contacts":[{"input":"+1 631 555 1001","status":"valid","wa_id":"16315551001"},"#,
        r#"{"input":"+49 30 9999","status":"processing"},"#,
        r#"{"input":"6315551002","status":"invalid"},"#,
        r#"{"input":"+49 30 9998","status":"failed"}]"#
    );
    assert_eq!(
        text(contacts::answer(&entries)),
        format!(r#"{{{array},"meta":{{"version":"2.53.0","api_status":"stable"}}}}"#)
    );
    assert_eq!(text(callback::contacts(&entries)), format!("{{{array}}}"));
}

#[test]
fn a_status_names_the_recipient_as_known_and_as_written() {
    let event = |kind, errors| {
        text(callback::status(&StatusEvent {
            id: id(Direction::Outbound),
            recipient: number("16315550111"),
            input: "+1 631 \"555\" 0111",
            kind,
            timestamp_s: 1_704_070_810,
            conversation: None,
            errors,
        }))
    };
    let common = format!(
        r#"{{"statuses":[{{"id":"{}","recipient_id":"16315550111","status""#,
        id(Direction::Outbound)
    );
    let tail = concat!(
        r#","timestamp":"1704070810","type":"message","#,
        r#""message":{"recipient_id":"+1 631 \"555\" 0111"}"#
    );
    for (kind, name) in [
        (StatusKind::Sent, "sent"),
        (StatusKind::Delivered, "delivered"),
        (StatusKind::Read, "read"),
        (StatusKind::Deleted, "deleted"),
        (StatusKind::Warning, "warning"),
    ] {
        assert_eq!(event(kind, &[]), format!(r#"{common}:"{name}"{tail}}}]}}"#));
    }
    let errors = [ApiError::new(Code::RE_ENGAGEMENT, "")];
    assert_eq!(
        event(StatusKind::Failed, &errors),
        format!(
            r#"{common}:"failed"{tail},"errors":[{{"code":470,"title":"Re-engagement message","href":"/docs/errors/470"}}]}}]}}"#
        )
    );
}

fn inbound(plaintext: &str) -> String {
    let body = text(callback::inbound(&InboundEvent {
        id: id(Direction::Inbound),
        from: number("16315550111"),
        business: Some(number("16315550000")),
        profile_name: "Ada L.",
        timestamp_s: 1_704_070_800,
        content: &InboundContent::parse(plaintext.as_bytes()),
        identity: None,
    }));
    let contact =
        r#"{"contacts":[{"profile":{"name":"Ada L."},"wa_id":"16315550111"}],"messages":[{"#;
    body.strip_prefix(contact).unwrap().to_owned()
}

fn sender() -> String {
    format!(r#""from":"16315550111","id":"{}","timestamp":"1704070800""#, id(Direction::Inbound))
}

#[test]
fn an_inbound_message_carries_the_object_named_like_its_type() {
    let sender = sender();
    for (kind, object) in [
        ("text", r#"{"body":"Hello"}"#),
        ("location", r#"{"latitude":52.5,"longitude":-13.25}"#),
        ("contacts", r#"[{"name":{"formatted_name":"Ada"}}]"#),
        ("button", r#"{"payload":"yes-17","text":"Yes"}"#),
    ] {
        assert_eq!(
            inbound(&format!(r#"{{"type":"{kind}","{kind}":{object}}}"#)),
            format!(r#"{sender},"type":"{kind}","{kind}":{object}}}]}}"#)
        );
    }
    assert_eq!(
        inbound(r#"{"type":"text","text":{"body":"ad"},"referral":{"body":"Offer"}}"#),
        format!(
            r#"{sender},"type":"text","text":{{"body":"ad"}},"referral":{{"body":"Offer"}}}}]}}"#
        )
    );
}

#[test]
fn a_reply_names_the_author_of_the_quoted_message() {
    let sender = sender();
    for (quoted, author) in
        [(id(Direction::Outbound), "16315550000"), (id(Direction::Inbound), "16315550111")]
    {
        for name in ["message_id", "id"] {
            assert_eq!(
                inbound(&format!(
                    r#"{{"type":"text","text":{{"body":"x"}},"context":{{"from":"1","{name}":"{quoted}"}}}}"#
                )),
                format!(
                    r#""context":{{"from":"{author}","id":"{quoted}"}},{sender},"type":"text","text":{{"body":"x"}}}}]}}"#
                )
            );
        }
    }
}

#[test]
fn what_a_device_may_not_say_becomes_unknown_with_501() {
    let unknown = format!(
        r#"{},"type":"unknown","errors":[{{"code":501,"title":"Message type is not currently supported","details":"Message type is not currently supported","href":"/docs/errors/501"}}]}}]}}"#,
        sender()
    );
    let long = format!(r#"{{"type":"text","text":{{"body":"{}"}}}}"#, "x".repeat(256 << 10));
    for plaintext in [
        "",
        "no json",
        "[]",
        r#"{"type":7,"text":{"body":"x"}}"#,
        r#"{"type":"text"}"#,
        r#"{"type":"text","text":{"body":7}}"#,
        r#"{"type":"image","image":"no object"}"#,
        r#"{"type":"contacts","contacts":{}}"#,
        r#"{"type":"system","system":{"type":"user_changed_number","new_wa_id":"1"}}"#,
        r#"{"type":"from","from":{"a":1}}"#,
        r#"{"type":"errors","errors":{}}"#,
        r#"{"type":"Image","Image":{}}"#,
        r#"{"type":"unknown","unknown":{}}"#,
        r#"{"type":"of_the_future","of_the_future":{"a":{"b":[1,2]}}}"#,
        r#"{"type":"template","template":{"name":"offer"}}"#,
        &long,
    ] {
        assert_eq!(inbound(plaintext), unknown, "{plaintext:.80}");
    }
    assert_eq!(
        inbound(
            r#"{"type":"text","text":{"body":"x"},"from":"1","id":"2","errors":[{}],"identity":{}}"#
        ),
        format!(r#"{},"type":"text","text":{{"body":"x"}}}}]}}"#, sender())
    );
    assert!(inbound(r#"{"type":"ephemeral","ephemeral":{"secret":1}}"#).ends_with(
        r#""type":"ephemeral","errors":[{"code":501,"title":"Message type is not currently supported","details":"Disappearing messages are not shown","href":"/docs/errors/501"}]}]}"#
    ));
}

#[test]
fn out_of_band_errors_stand_alone() {
    assert_eq!(
        text(callback::errors(&[ApiError::new(Code::INTERNAL, "why")])),
        r#"{"errors":[{"code":1014,"title":"Internal error","details":"why","href":"/docs/errors/1014"}]}"#
    );
}

#[test]
fn late_results_of_a_contact_check_stand_alone() {
    let entry =
        |input: &str, status, wa_id| ContactEntry { input: input.to_owned(), status, wa_id };
    let entries = [
        entry("+1 631 555 1001", ContactStatus::Valid, Some(number("16315551001"))),
        entry("12", ContactStatus::Invalid, None),
    ];
    assert_eq!(
        text(callback::contacts(&entries)),
        r#"{"contacts":[{"input":"+1 631 555 1001","status":"valid","wa_id":"16315551001"},{"input":"12","status":"invalid"}]}"#
    );
}

#[test]
fn stored_event_kinds_never_change() {
    for (kind, stored, name) in [
        (EventKind::Status, 1, "statuses"),
        (EventKind::Inbound, 2, "messages"),
        (EventKind::Errors, 3, "errors"),
        (EventKind::Contacts, 4, "contacts"),
        (EventKind::Services, 5, "services"),
        (EventKind::MediaItems, 6, "media_items"),
    ] {
        assert_eq!((kind.get(), kind.as_str()), (stored, name));
        assert_eq!(EventKind::from_i16(stored), Some(kind));
    }
    assert_eq!(EventKind::from_i16(7), None);
}

#[test]
fn what_came_of_a_collection_is_told_in_the_originals_words() {
    let text = |body: Vec<u8>| String::from_utf8(body).unwrap();
    assert_eq!(
        text(callback::messages_collected(Ok(5), Some("wacore2"))),
        r#"{"services":[{"message":{"gc":{"status":"complete","messages_deleted":5,"node":"wacore2"}}}]}"#
    );
    assert_eq!(
        text(callback::media_collected(Ok(0))),
        r#"{"services":[{"media":{"gc":{"status":"complete","items_deleted":0}}}]}"#
    );
    let error = ApiError::new(Code::INTERNAL, "why");
    assert_eq!(
        text(callback::media_collected(Err(&error))),
        r#"{"services":[{"media":{"gc":{"status":"failed","items_deleted":0,"errors":[{"code":1014,"title":"Internal error","details":"why","href":"/docs/errors/1014"}]}}}]}"#
    );
}

#[test]
fn equal_requests_give_equal_canonical_bytes() {
    let quoted = id(Direction::Inbound);
    let full = Outgoing::parse(
        format!(
            r#"{{ "ttl":{{"days":1}}, "messaging_product":"whatsapp", "preview_url":true, "biz_opaque_callback_data":"x",
               "context":{{"message_id":"{quoted}"}}, "text":{{"body":"H\u00e9llo / \"you\""}}, "recipient_type":"individual",
               "to":" +1 (631) 555-0111", "type":"text" }}"#
        )
        .as_bytes(),
    )
    .ok()
    .unwrap();
    assert_eq!((full.to, full.input.as_str()), (number("16315550111"), " +1 (631) 555-0111"));
    assert_eq!(full.category.as_str(), "text");
    assert_eq!(
        text(&full.message),
        format!(
            r#"{{"type":"text","text":{{"body":"Héllo / \"you\""}},"preview_url":true,"context":{{"message_id":"{quoted}"}}}}"#
        )
    );
    assert_eq!(message::validate(&full.message).unwrap(), full.category);

    let plain = br#"{"to":"16315550111","text":{"body":"x"},"preview_url":false,"context":{"message_id":"wamid.of-another-api"},"image":null}"#;
    let plain = Outgoing::parse(plain).ok().unwrap();
    assert_eq!(text(&plain.message), r#"{"type":"text","text":{"body":"x"}}"#);
}

#[test]
fn a_stored_message_has_a_fixed_form_and_comes_back() {
    let stored =
        Stored::from(Outgoing::parse(br#"{"to":"+12345","text":{"body":"x"}}"#).ok().unwrap());
    let bytes = stored.encode();
    assert_eq!(
        &bytes[..],
        b"\x01\x01\x0512345\x00\x06+12345{\"type\":\"text\",\"text\":{\"body\":\"x\"}}"
    );
    assert!(Stored::decode(&bytes).is_ok_and(|back| back == stored));
    // SHA-256 of the bytes above, from sha256sum.
    let hash = message::body_hash(&bytes).map(|byte| format!("{byte:02x}")).concat();
    assert_eq!(hash, "4269d014e9bc428e8a65d98bc4242f8eeb86120b4ac4147c0a6038ce99e137ea");
    assert_eq!(Stored::decode(b"\x03\x01").err(), Some(StoredError::Version(3)));
    for len in 0..16 {
        assert_eq!(Stored::decode(&bytes[..len]).err(), Some(StoredError::Damaged), "{len}");
    }

    let moved = Stored { moved_to: Some(number("67890")), ..stored };
    let bytes = moved.encode();
    assert!(bytes.starts_with(b"\x02\x0567890\x01\x0512345\x00\x06+12345{"));
    assert!(Stored::decode(&bytes).is_ok_and(|back| back == moved));
    for len in 0..22 {
        assert_eq!(Stored::decode(&bytes[..len]).err(), Some(StoredError::Damaged), "{len}");
    }
}

#[test]
fn settings_are_shown_in_the_shape_old_clients_know_with_ours_apart() {
    assert_eq!(
        text(Application::default().public_json(Some(&number("16315550000")))),
        concat!(
            r#"{"callback_backoff_delay_ms":3000,"max_callback_backoff_delay_ms":900000,"#,
            r#""callback_persist":true,"heartbeat_interval":5,"unhealthy_interval":30,"#,
            r#""media":{"auto_download":["audio","document","image","sticker","video","voice"]},"#,
            r#""webhooks":{"url":"","max_concurrent_requests":6,"#,
            r#""message":{"sent":false,"delivered":true,"read":true}},"#,
            r#""pass_through":false,"notify_user_change_number":false,"#,
            r#""show_security_notifications":false,"#,
            r#""garbagecollector_enable":{"messages":true,"media":false},"#,
            r#""axolotl_context_striping_disabled":false,"skip_referral_media_download":false,"#,
            r#""webhook_payload_conversation_pricingmodel_disabled":false,"#,
            r#""verbose_logging":false,"log_level":"info","#,
            r#""heliograph":{"jobs":{"max":50000},"#,
            r#""quotas":{"messages_per_second":80,"contacts_per_second":40,"burst":40},"#,
            r#""callbacks":{"when_full":"refuse","queue_max":100000,"max_age_s":604800,"#,
            r#""dead_letter_days":30,"min_free_mb":1024},"#,
            r#""events":{"retention_s":604800},"#,
            r#""contacts":{"always_valid":false,"cache_days":7},"#,
            r#""messages":{"undelivered_notice":false,"undelivered_after_s":86400},"#,
            r#""web":{"per_user":500,"per_address":1000,"login_per_address":5,"#,
            r#""login_failures_per_name":5},"#,
            r#""webhooks":{"batch_max":1,"signed":false}},"sent_status":false,"wa_id":"16315550000"}"#
        )
    );
}
