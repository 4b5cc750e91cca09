//! Which request is refused with which code, and in which words.

use contract::{
    ApiError, Code,
    contacts::{CheckRequest, MAX_CONTACTS, MAX_ENTRY},
    json,
    login::{self, LoginRequest, Secret},
    message::{self, Outgoing},
};

fn assert_refused(error: Option<ApiError>, code: u16, status: u16, words: &[&str], of: &str) {
    let error = error.unwrap_or_else(|| panic!("accepted: {of:.200}"));
    assert_eq!((error.code.get(), error.status()), (code, status), "{of:.200}: {error}");
    for word in words {
        assert!(error.details.contains(word), "{of:.200}: {error} lacks {word}");
    }
}

#[test]
fn messages_are_refused_with_the_code_of_the_rule_they_break() {
    let text = r#""text":{"body":"x"}"#;
    let long = "é".repeat(4_097);
    for (body, code, words) in [
        (String::new(), 1025, &["line 1"][..]),
        ("{\"to\":\n  oops}".to_owned(), 1025, &["line 2", "column 3"]),
        ("[]".to_owned(), 1025, &["a JSON object", "an array"]),
        (format!("{{{text}}}"), 1008, &["Parameter 'to' is mandatory"]),
        (format!(r#"{{"to":null,{text}}}"#), 1008, &["'to'"]),
        (format!(r#"{{"to":16315551004,{text}}}"#), 1009, &["'to'", "16315551004", "a text"]),
        (format!(r#"{{"to":"call me",{text}}}"#), 1009, &["'to'", "'call me'", "phone number"]),
        (format!(r#"{{"to":"12",{text}}}"#), 1009, &["'12'", "5 to 15 digits"]),
        (format!(r#"{{"to":"1631555100{}4",{text}}}"#, " ".repeat(60)), 1009, &["at most 64"]),
        (format!(r#"{{"to":"12345","recipient_type":"group",{text}}}"#), 1002, &["'group'"]),
        (format!(r#"{{"to":"12345","recipient_type":1,{text}}}"#), 1002, &["individual"]),
        (format!(r#"{{"to":"12345","type":"fax",{text}}}"#), 1009, &["'type'", "'fax'", "'text'"]),
        (format!(r#"{{"to":"12345","type":7,{text}}}"#), 1009, &["'type'", "7"]),
        (r#"{"to":"12345"}"#.to_owned(), 1008, &["Parameter 'body' is mandatory for type 'text'"]),
        (
            r#"{"to":"12345","text":{}}"#.to_owned(),
            1008,
            &["Parameter 'body' is mandatory for type 'text'"],
        ),
        (r#"{"to":"12345","text":"x"}"#.to_owned(), 1009, &["'text'", "'x'", "an object"]),
        (r#"{"to":"12345","text":{"body":[1]}}"#.to_owned(), 1009, &["'text.body'", "an array"]),
        (
            r#"{"to":"12345","text":{"body":""}}"#.to_owned(),
            1009,
            &["'text.body'", "empty", "1 to 4096"],
        ),
        (format!(r#"{{"to":"12345","text":{{"body":"{long}"}}}}"#), 1001, &["4097", "4096"]),
        (
            r#"{"to":"12345","text":{"body":"x","preview_url":true}}"#.to_owned(),
            1010,
            &["'text.preview_url'"],
        ),
        (
            format!(r#"{{"to":"12345","preview_url":"yes",{text}}}"#),
            1009,
            &["'preview_url'", "'yes'", "true or false"],
        ),
        (format!(r#"{{"to":"12345","context":"id",{text}}}"#), 1009, &["'context'"]),
        (format!(r#"{{"to":"12345","context":{{}},{text}}}"#), 1008, &["'context.message_id'"]),
        (
            format!(r#"{{"to":"12345","context":{{"message_id":"x","a":1}},{text}}}"#),
            1010,
            &["'context.a'"],
        ),
        (format!(r#"{{"to":"12345","surplus":1,{text}}}"#), 1010, &["'surplus'"]),
    ] {
        assert_refused(Outgoing::parse(body.as_bytes()).err(), code, 400, words, &body);
    }
}

#[test]
fn a_text_of_exactly_4096_characters_passes_whatever_its_bytes() {
    for char in ["a", "é", "😀"] {
        let body = format!(r#"{{"to":"12345","text":{{"body":"{}"}}}}"#, char.repeat(4_096));
        assert!(Outgoing::parse(body.as_bytes()).is_ok());
    }
}

#[test]
fn a_canonical_message_has_no_recipient() {
    for (message, code) in [
        (r#"{"type":"text","text":{"body":"x"},"to":"12345"}"#, 1010),
        (r#"{"type":"text","text":{"body":"x"},"ttl":1}"#, 1010),
        (r#"{"type":"image","image":{}}"#, 1008),
        (r#"{"type":"text"}"#, 1008),
    ] {
        assert_refused(message::validate(message.as_bytes()).err(), code, 400, &[], message);
    }
}

#[test]
fn a_refusal_repeats_at_most_100_characters_and_no_control_character() {
    let body = format!(r#"{{"to":"{}","text":{{"body":"x"}}}}"#, "x".repeat(500));
    let error = Outgoing::parse(body.as_bytes()).err().unwrap();
    assert!(error.details.contains(&format!("'{}…'", "x".repeat(100))), "{error}");
    let error = Outgoing::parse(br#"{"to":"a\u0000\nb"}"#).err().unwrap();
    assert!(error.details.contains(r"'a\u{0}\nb'"), "{error}");
}

#[test]
fn bodies_are_bounded_before_they_are_parsed() {
    let limit = format!(r#""{}""#, "x".repeat(json::MAX_BODY - 2));
    assert!(json::check(limit.as_bytes()).is_ok());
    assert_refused(json::check(format!("{limit} ").as_bytes()).err(), 1025, 413, &["1048576"], "");
    let deep = |levels| [vec![b'['; levels], vec![b']'; levels]].concat();
    assert!(json::check(&deep(32)).is_ok());
    let words = ["32", "line 1", "column 33"];
    assert_refused(json::check(&deep(33)).err(), 1025, 400, &words, "33 deep");
    assert_refused(json::check(&vec![b'['; json::MAX_BODY]).err(), 1025, 400, &words, "all open");
}

#[test]
fn contact_checks_are_refused_by_field_and_place() {
    let long = "1".repeat(MAX_ENTRY + 1);
    let many = format!(r#"{{"contacts":[{}"1"]}}"#, r#""1","#.repeat(MAX_CONTACTS));
    for (body, code, words) in [
        ("{}", 1008, &["'contacts'"][..]),
        (r#"{"contacts":"12345"}"#, 1009, &["'contacts'", "an array"]),
        (r#"{"contacts":[]}"#, 1009, &["0 entries", "1 to 10000"]),
        (&many, 1009, &["10001 entries"]),
        (r#"{"contacts":["12345",7]}"#, 1009, &["'contacts[1]'", "7"]),
        (&format!(r#"{{"contacts":["{long}"]}}"#), 1009, &["'contacts[0]'", "1024"]),
        (r#"{"contacts":["1"],"blocking":"maybe"}"#, 1009, &["'maybe'", "'wait' or 'no_wait'"]),
        (r#"{"contacts":["1"],"blocking":true}"#, 1009, &["'blocking'"]),
        (r#"{"contacts":["1"],"force_check":"true"}"#, 1009, &["'force_check'"]),
        (r#"{"contacts":["1"],"surplus":1}"#, 1010, &["'surplus'"]),
    ] {
        assert_refused(CheckRequest::parse(body.as_bytes()).err(), code, 400, words, body);
    }
    let check = CheckRequest::parse(
        br#"{"contacts":["call me","12345","12345"],"blocking":"wait","force_check":true}"#,
    );
    assert!(check.is_ok_and(|check| check.inputs == ["call me", "12345", "12345"]
        && check.wait
        && check.force));
}

#[test]
fn what_is_too_long_to_be_a_number_is_set_apart_and_refuses_nothing() {
    let (most, long, longest) = ("1".repeat(64), "1".repeat(65), "\u{e9}".repeat(MAX_ENTRY));
    let body = serde_json::json!({"contacts": [most, long, "12345", longest]}).to_string();
    let check = CheckRequest::parse(body.as_bytes()).ok().unwrap();
    assert_eq!(check.inputs, [&*most, "", "12345", ""]);
    assert_eq!(check.too_long, [(1, long), (3, longest)]);
}

#[test]
fn a_login_reads_basic_credentials_and_an_optional_body() {
    let good = login::basic("basic  YWRtaW46c2U6Y3JldA== ").unwrap();
    assert_eq!((good.0.as_str(), good.1.expose()), ("admin", "se:cret"));
    let long = format!("Basic {}", "QUFB".repeat(400));
    for header in
        ["", "Basic", "Basic YWRtaW4=", "Bearer YWRtaW46eA==", "Basic !", "Basic /w==", &long]
    {
        assert_refused(login::basic(header).err(), 1005, 401, &["Basic"], header);
    }
    for body in ["", " \n", "null", "{}", r#"{"new_password":null}"#] {
        assert!(LoginRequest::parse(body.as_bytes()).unwrap().new_password.is_none());
    }
    let given = LoginRequest::parse(br#"{"new_password":"N3w-Secret"}"#).unwrap().new_password;
    assert_eq!(given.unwrap().expose(), "N3w-Secret");
    let surplus = LoginRequest::parse(br#"{"password":"N3w-Secret"}"#).err();
    assert_refused(surplus, 1010, 400, &["'password'"], "surplus");
}

#[test]
fn a_new_password_follows_the_rules_and_no_refusal_repeats_it() {
    for good in ["Passw0rd!", r"Aa1\aaaa", "Ää1`ääää", &format!("Aa1!{}", "x".repeat(60))] {
        assert!(login::check_password("password", &Secret::new(good.to_owned())).is_ok(), "{good}");
    }
    let long = format!("Aa1!{}", "x".repeat(61));
    for bad in ["", "Aa1!xxx", "passw0rd!", "PASSW0RD!", "Password!", "Passw0rdx", &long] {
        let body = serde_json::json!({ "new_password": bad }).to_string();
        let error = LoginRequest::parse(body.as_bytes()).err().unwrap();
        assert_eq!(error.code, Code::INVALID, "{bad}");
        assert!(error.details.contains("'new_password'"), "{error}");
        assert!(bad.is_empty() || !error.details.contains(bad), "{error}");
    }
    let number = LoginRequest::parse(br#"{"new_password":73310731}"#).err().unwrap();
    assert!(number.code == Code::INVALID && !number.details.contains("7331"), "{number}");
    assert_eq!(format!("{:?}", Secret::new("Passw0rd!".to_owned())), "Secret(…)");

    for (name, good) in
        [("abc", false), ("abcd", true), (&"x".repeat(32), true), (&"x".repeat(33), false)]
    {
        assert_eq!(login::check_username(name).is_ok(), good, "{name}");
    }
}

#[test]
fn no_user_is_called_what_its_path_would_not_lead_to() {
    for name in ["login", "logout"] {
        let path = format!("/v1/users/{name}");
        let words = ["'username'", name, &*path];
        assert_refused(login::check_username(name).err(), 1009, 400, &words, name);
    }
    for name in ["Login", "logins", "log out"] {
        assert!(login::check_username(name).is_ok(), "{name}");
    }
}

#[test]
fn statuses_are_those_of_the_contract() {
    for (code, status) in [
        (Code::ACCESS_DENIED, 403),
        (Code::NOT_FOUND, 404),
        (Code::TOO_MANY_REQUESTS, 429),
        (Code::OVERLOADED, 503),
        (Code::NOT_READY, 503),
        (Code::NOT_PRIMARY_MASTER, 503),
        (Code::NOT_PRIMARY_COREAPP, 503),
        (Code::DATABASE, 503),
        (Code::PASSWORD_CHANGE_REQUIRED, 403),
        (Code::NO_WEBHOOK, 400),
        (Code::RECEIVER_INCAPABLE, 400),
        (Code::ACKNOWLEDGEMENT_REQUIRED, 409),
        (Code::INTERNAL, 500),
        (Code::BAD_USER, 400),
        (Code::USER_NOT_VALID, 400),
    ] {
        assert_eq!(code.http_status(), status, "{code:?}");
    }
    for code in Code::ALL {
        assert_eq!(Code::from_u32(u32::from(code.get())), Some(*code));
    }
    assert_eq!(Code::from_u32(1003), None);
}
