//! The settings document: partial changes, their refusals, the stored form.

use contract::callback::StatusKind;
use contract::settings::{Application, MediaType, SettingsError, WhenFull};
use proptest::prelude::*;
use serde_json::{Value, json};

fn patched(patch: &Value) -> Application {
    let patch = patch.to_string();
    Application::default().patch(patch.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn maybe<S: Strategy>(strategy: S) -> impl Strategy<Value = Option<S::Value>> {
    prop::option::of(strategy)
}

/// Patches that touch every kind of setting, each present or not.
fn patches() -> impl Strategy<Value = Value> {
    let top = (
        maybe(1_u32..=86_400_000),
        maybe(any::<bool>()),
        maybe("[a-z]{0,12}"),
        maybe(prop::collection::vec(prop::sample::select(vec!["audio", "voice", "image"]), 0..4)),
        maybe(prop::sample::select(vec!["", "http://h/", "https://u:p@h:8/x?y=1"])),
        maybe(any::<bool>()),
        maybe(1_u32..=256),
    );
    let ours = (
        maybe(1_u32..=1_000_000),
        maybe(0_u32..=1_000_000),
        maybe(prop::sample::select(vec!["refuse", "keep_sending"])),
        maybe(any::<bool>()),
        maybe(1_u32..=30),
    );
    (top, ours).prop_map(|((delay, flag, note, media, url, sent, concurrent), ours)| {
        let (jobs, quota, when_full, always_valid, days) = ours;
        json!({
            "callback_backoff_delay_ms": delay,
            "max_callback_backoff_delay_ms": delay.map(|ms| ms.to_string()),
            "pass_through": flag,
            "db_garbagecollector_enable": flag,
            "garbagecollector_enable": { "media": flag },
            "on_call_pager": note,
            "log_level": note,
            "media": { "auto_download": media },
            "sent_status": flag,
            "webhooks": { "url": url, "max_concurrent_requests": concurrent, "message": { "sent": sent } },
            "heliograph": {
                "jobs": { "max": jobs },
                "quotas": { "messages_per_second": quota },
                "callbacks": { "when_full": when_full },
                "contacts": { "always_valid": always_valid, "cache_days": days },
                "messages": { "undelivered_notice": always_valid },
                "web": { "per_user": quota },
            },
        })
    })
}

proptest! {
    #[test]
    fn sending_back_what_was_got_changes_nothing(patch in patches()) {
        let application = patched(&patch);
        let own = contract::Number::parse("16315550000").unwrap();
        for shown in [application.public_json(None), application.public_json(Some(&own))] {
            prop_assert!(application.patch(&shown).is_ok_and(|same| same == application));
            prop_assert!(Application::default().patch(&shown).is_ok_and(|same| same == application));
        }
    }

    #[test]
    fn the_stored_form_comes_back(patch in patches()) {
        let application = patched(&patch);
        let back = Application::from_json(&application.to_json());
        prop_assert!(back.is_ok_and(|back| back == application));
    }
}

#[test]
fn a_patch_changes_what_it_names_and_nothing_else() {
    let application = patched(&json!({
        "callback_backoff_delay_ms": "10",
        "max_callback_backoff_delay_ms": 20,
        "media": { "auto_download": ["voice", "image", "voice"] },
        "webhooks": { "url": "HTTPS://example.org:8443/cb?key=1", "max_concurrent_requests": 256,
                      "message": { "delivered": false } },
        "heliograph": { "callbacks": { "when_full": "keep_sending" }, "quotas": { "messages_per_second": 0 } },
    }));
    assert_eq!(application.callback_backoff_delay_ms, 10);
    assert_eq!(application.max_callback_backoff_delay_ms, 20);
    assert_eq!(application.media.auto_download, [MediaType::Voice, MediaType::Image]);
    assert_eq!(application.webhooks.url, "HTTPS://example.org:8443/cb?key=1");
    assert_eq!(application.webhooks.max_concurrent_requests, 256);
    let filter = application.webhooks.message;
    assert_eq!((filter.sent, filter.delivered, filter.read), (false, false, true));
    assert_eq!(application.heliograph.callbacks.when_full, WhenFull::KeepSending);
    assert_eq!(application.heliograph.quotas.messages_per_second, 0);
    assert_eq!(application.heliograph.quotas.contacts_per_second, 40);
    let shown = value(&application.public_json(None));
    assert_eq!(shown["callback_backoff_delay_ms"], 10);
    assert_eq!(shown.get("wa_id"), None);
}

#[test]
fn sent_status_is_another_name_and_of_both_the_one_that_changes_it_wins() {
    assert!(patched(&json!({ "sent_status": true })).webhooks.message.sent);
    for before in [false, true] {
        let application = patched(&json!({ "sent_status": before }));
        // Each by itself, and a whole document of which a client knows one name only.
        for (older, newer, after) in [
            (Some(before), None, before),
            (Some(!before), None, !before),
            (None, Some(before), before),
            (None, Some(!before), !before),
            (Some(before), Some(before), before),
            (Some(!before), Some(before), !before),
            (Some(before), Some(!before), !before),
            (Some(!before), Some(!before), !before),
        ] {
            let newer = json!({ "message": { "sent": newer } });
            let patch = json!({ "sent_status": older, "webhooks": newer }).to_string();
            let next = application.patch(patch.as_bytes()).ok().unwrap();
            assert_eq!(next.webhooks.message.sent, after, "{before} then {patch}");
        }
    }
    let shown = patched(&json!({ "webhooks": { "message": { "sent": true } } })).public_json(None);
    assert_eq!(value(&shown)["sent_status"], true);
}

#[test]
fn a_bad_patch_is_refused_by_the_path_of_its_parameter() {
    for (patch, code, words) in [
        ("{}", 1008, &["at least one"][..]),
        (r#"{"log_level":null}"#, 1008, &[]),
        ("[]", 1025, &["an array"]),
        (
            r#"{"callback_backoff_delay_ms":0}"#,
            1009,
            &["'callback_backoff_delay_ms'", "0", "1 to 86400000"],
        ),
        (r#"{"callback_backoff_delay_ms":"3 s"}"#, 1009, &["'3 s'"]),
        (r#"{"callback_backoff_delay_ms":-5}"#, 1009, &["-5"]),
        (r#"{"callback_backoff_delay_ms":1.5}"#, 1009, &["1.5"]),
        (r#"{"heartbeat_interval":"5"}"#, 1009, &["'heartbeat_interval'"]),
        (r#"{"callback_persist":1}"#, 1009, &["'callback_persist'", "true or false"]),
        (
            r#"{"media":{"auto_download":["fax"]}}"#,
            1009,
            &["'media.auto_download'", "'fax'", "'voice'"],
        ),
        (r#"{"media":{"auto_download":"audio"}}"#, 1009, &["an array"]),
        (r#"{"webhooks":[]}"#, 1009, &["'webhooks'", "an object"]),
        (
            r#"{"webhooks":{"max_concurrent_requests":257}}"#,
            1009,
            &["'webhooks.max_concurrent_requests'", "257", "1 to 256"],
        ),
        (r#"{"webhooks":{"max_concurrent_requests":0}}"#, 1009, &["1 to 256"]),
        (r#"{"webhooks":{"message":{"failed":false}}}"#, 1010, &["'webhooks.message.failed'"]),
        (r#"{"webhooks":{"surplus":1}}"#, 1010, &["'webhooks.surplus'"]),
        (r#"{"surplus":1}"#, 1010, &["'surplus'"]),
        (r#"{"garbagecollector_enable":{"all":true}}"#, 1010, &["'garbagecollector_enable.all'"]),
        (r#"{"heliograph":{"jobs":{"max":0}}}"#, 1009, &["'heliograph.jobs.max'", "1 to 1000000"]),
        (
            r#"{"heliograph":{"messages":{"undelivered_after_s":604801}}}"#,
            1009,
            &["'heliograph.messages.undelivered_after_s'", "1 to 604800"],
        ),
        (r#"{"heliograph":{"jobs":{"min":1}}}"#, 1010, &["'heliograph.jobs.min'"]),
        (
            r#"{"heliograph":{"callbacks":{"when_full":"drop"}}}"#,
            1009,
            &["'heliograph.callbacks.when_full'", "'drop'", "'keep_sending'"],
        ),
        (r#"{"heliograph":{"callbacks":{"when_full":{"refuse":1}}}}"#, 1009, &["an object"]),
        (
            r#"{"heliograph":{"contacts":{"cache_days":31}}}"#,
            1009,
            &["'heliograph.contacts.cache_days'"],
        ),
        (r#"{"heliograph":{"quotas":{"burst":0}}}"#, 1009, &["'heliograph.quotas.burst'"]),
        (r#"{"heliograph":{"surplus":{}}}"#, 1010, &["'heliograph.surplus'"]),
    ] {
        let error = Application::default().patch(patch.as_bytes()).err();
        let error = error.unwrap_or_else(|| panic!("accepted: {patch}"));
        assert_eq!((error.code.get(), error.status()), (code, 400), "{patch}: {error}");
        for word in words {
            assert!(error.details.contains(word), "{patch}: {error} lacks {word}");
        }
    }
}

#[test]
fn a_webhook_url_is_one_the_sender_can_call() {
    let long = format!("http://h/{}", "x".repeat(2_040));
    for good in
        ["", "http://127.0.0.1:9092/callback", "https://[::1]:1/", "http://h", &long[..2_048]]
    {
        assert_eq!(patched(&json!({ "webhooks": { "url": good } })).webhooks.url, good);
    }
    for bad in [
        "ftp://h/",
        "h",
        "/callback",
        "http://",
        "http:///x",
        "http://h:99999/",
        "http://h:/",
        "http://a b/",
        "http://h/\n",
        "file:///etc/passwd",
        &long,
    ] {
        let patch = json!({ "webhooks": { "url": bad } }).to_string();
        let error = Application::default().patch(patch.as_bytes()).err();
        assert_eq!(error.map(|error| error.code.get()), Some(1009), "{bad:.60}");
    }
    let secret = json!({ "webhooks": { "url": "ftp://user:pass@h/x?token=t0ken" } }).to_string();
    let error = Application::default().patch(secret.as_bytes()).err().unwrap();
    assert!(error.details.contains("'h/x'"), "{error}");
    assert!(!error.details.contains("pass@") && !error.details.contains("t0ken"), "{error}");
}

#[test]
fn events_are_kept_as_long_as_is_said_within_reason() {
    let patch = |seconds: i64| {
        let body = json!({"heliograph": {"events": {"retention_s": seconds}}}).to_string();
        Application::default().patch(body.as_bytes())
    };
    assert_eq!(patch(60).ok().unwrap().heliograph.events.retention_s, 60);
    for bad in [0, -1, 31_536_001] {
        let error = patch(bad).err().unwrap();
        assert!(error.details.contains("'heliograph.events.retention_s'"), "{error}");
    }
}

#[test]
fn keys_of_a_newer_version_survive_an_older_one() {
    let newer = json!({
        "schema": 1,
        "application": {
            "log_level": "debug",
            "tomorrow": { "a": [1] },
            "webhooks": { "url": "http://h/", "batch_max": 5 },
            "heliograph": { "jobs": { "max": 9, "min": 1 }, "plans": {} },
        },
    });
    let read = Application::from_json(newer.to_string().as_bytes()).ok().unwrap();
    assert_eq!((read.log_level.as_str(), read.heliograph.jobs.max), ("debug", 9));
    assert!(!String::from_utf8(read.public_json(None)).unwrap().contains("tomorrow"));

    let changed = read.patch(br#"{"heliograph":{"jobs":{"max":10}}}"#).ok().unwrap();
    let mut written = value(&changed.to_json());
    let application = &mut written["application"];
    assert_eq!(application["tomorrow"], json!({ "a": [1] }));
    assert_eq!(application["webhooks"]["batch_max"], 5);
    assert_eq!(application["heliograph"]["jobs"], json!({ "max": 10, "min": 1 }));
    assert_eq!(application["heliograph"]["plans"], json!({}));
    assert!(Application::from_json(&changed.to_json()).is_ok_and(|back| back == changed));
}

#[test]
fn a_document_of_another_schema_or_shape_is_refused_without_showing_it() {
    let read = |text: &str| Application::from_json(text.as_bytes()).err().unwrap();
    assert!(matches!(read(r#"{"schema":2,"application":{}}"#), SettingsError::Schema(2)));
    for damaged in ["", "{}", r#"{"schema":1,"application":{"webhooks":{"url":{"secret":1}}}}"#] {
        let error = read(damaged);
        assert!(matches!(error, SettingsError::Damaged { .. }));
        assert!(!error.to_string().contains("secret"));
    }
    assert!(
        Application::from_json(br#"{"schema":1,"application":{}}"#)
            .is_ok_and(|read| read == Application::default())
    );
}

#[test]
fn the_log_follows_the_document_and_words_of_the_original_are_kept_without_effect() {
    use contract::settings::LogLevel::{Debug, Error, Trace, Warn};
    for (patch, expected) in [
        (json!({"log_level": "info"}), None),
        (json!({"log_level": "WARN"}), Some(Warn)),
        (json!({"log_level": "error"}), Some(Error)),
        (json!({"log_level": "verbose"}), None),
        (json!({"verbose_logging": true}), Some(Debug)),
        (json!({"verbose_logging": true, "log_level": "error"}), Some(Debug)),
        (json!({"verbose_logging": true, "log_level": "trace"}), Some(Trace)),
    ] {
        let application = patched(&patch);
        assert_eq!(application.logging(), expected, "{patch}");
        let shown = value(&application.public_json(None));
        assert_eq!(shown["log_level"], *patch.get("log_level").unwrap_or(&json!("info")));
    }
}

#[test]
fn every_setting_of_the_original_is_taken_and_shown_as_it_showed_it() {
    let all = json!({
        "axolotl_context_striping_disabled": true,
        "callback_backoff_delay_ms": "3000",
        "max_callback_backoff_delay_ms": "900000",
        "callback_persist": true,
        "db_garbagecollector_enable": true,
        "garbagecollector_enable": { "messages": false, "media": true },
        "heartbeat_interval": 5,
        "log_level": "debug",
        "media": { "auto_download": ["image", "document", "audio", "video", "voice", "sticker"] },
        "notify_user_change_number": true,
        "on_call_pager": "16315551000",
        "pass_through": true,
        "sent_status": true,
        "show_security_notifications": true,
        "skip_referral_media_download": true,
        "unhealthy_interval": 30,
        "verbose_logging": true,
        "wa_id": "16315550000",
        "webhook_payload_conversation_pricingmodel_disabled": true,
        "webhooks": {
            "url": "https://h.example/",
            "max_concurrent_requests": 24,
            "message": { "sent": true, "delivered": false, "read": false },
        },
    });
    let own = contract::Number::parse("16315550000").unwrap();
    let mut shown = value(&patched(&all).public_json(Some(&own)));
    assert!(shown.as_object_mut().unwrap().remove("heliograph").is_some());
    let mut expected = all;
    // Given as texts, shown as numbers.
    expected["callback_backoff_delay_ms"] = json!(3000);
    expected["max_callback_backoff_delay_ms"] = json!(900_000);
    assert_eq!(shown, expected);
}

#[test]
fn failures_are_reported_whatever_the_filter_says() {
    let none =
        json!({ "webhooks": { "message": { "sent": false, "delivered": false, "read": false } } });
    let filter = patched(&none).webhooks.message;
    let wanted = |kind| filter.wants(kind);
    assert!([StatusKind::Failed, StatusKind::Deleted, StatusKind::Warning].into_iter().all(wanted));
    assert!(![StatusKind::Sent, StatusKind::Delivered, StatusKind::Read].into_iter().any(wanted));
    let default = Application::default().webhooks.message;
    assert!(!default.wants(StatusKind::Sent) && default.wants(StatusKind::Delivered));
}

#[test]
fn signing_secrets_go_in_and_never_come_out() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let signed = patched(&json!({ "heliograph": { "webhooks": { "secrets": [secret] } } }));
    assert_eq!(signed.heliograph.webhooks.secrets.len(), 1);
    let shown = String::from_utf8(signed.public_json(None)).unwrap();
    assert!(shown.contains(r#""webhooks":{"batch_max":1,"signed":true}"#), "{shown}");
    for text in [shown.clone(), format!("{:?}", signed.heliograph)] {
        assert!(!text.contains("MfKQ9r8G"), "{text}");
    }
    // A client may send back what it got, and the stored form keeps what is not shown.
    assert!(signed.patch(shown.as_bytes()).is_ok_and(|same| same == signed));
    assert!(Application::from_json(&signed.to_json()).is_ok_and(|same| same == signed));
    let off = signed.patch(br#"{"heliograph":{"webhooks":{"secrets":[]}}}"#).ok().unwrap();
    assert!(off == Application::default());
    assert!(Application::from_json(&off.to_json()).is_ok_and(|same| same == off));

    let typo = secret.replace("whsec_", "whsec-");
    for bad in [json!([typo]), json!([secret, secret, secret, secret, secret]), json!([7])] {
        let patch = json!({ "heliograph": { "webhooks": { "secrets": bad } } }).to_string();
        let error = Application::default().patch(patch.as_bytes()).err().unwrap();
        assert_eq!(error.code.get(), 1009);
        assert!(error.details.contains("heliograph.webhooks.secrets"), "{error}");
        assert!(!error.details.contains("MfKQ9r8G"), "{error}");
    }
}
