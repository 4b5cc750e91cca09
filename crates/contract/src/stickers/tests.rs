//! Packs and stickers: what is kept, refused, and said of a mistake.

use serde_json::json;

use super::*;
use crate::{error::Code, media::MediaId};

const PACK: &[u8] = br#"{"publisher":"Shop","name":"Bears"}"#;
const IMAGE: &str = "f043afd0-f0ae-4b9c-ab3d-696fb4c8cd68";

fn sticker(body: &serde_json::Value) -> StickerChange {
    StickerChange::read(body.to_string().as_bytes(), true).unwrap()
}

fn packs() -> Packs {
    Packs::default().with("p", PACK).unwrap()
}

#[test]
fn a_pack_is_made_changed_in_what_is_given_and_deleted() {
    let packs = packs();
    let body = br#"{"name":"Cats","ios_app_store_link":"https://example.com/a"}"#;
    let packs = packs.changed("p", body).unwrap();
    let shown = json!({"publisher": "Shop", "name": "Cats",
        "ios_app_store_link": "https://example.com/a"});
    assert_eq!(packs.get("p").unwrap().shown(), shown);
    let packs = packs.changed("p", br#"{"ios_app_store_link":""}"#).unwrap();
    assert_eq!(packs.get("p").unwrap().shown(), json!({"publisher": "Shop", "name": "Cats"}));
    assert_eq!(Packs::from_json(&packs.to_json()).unwrap(), packs);
    assert_eq!(packs.ids().collect::<Vec<_>>(), ["p"]);
    assert_eq!(packs.without("p").unwrap(), Packs::default());
    for refused in [Packs::default().without("p"), Packs::default().changed("p", PACK)] {
        assert_eq!(refused.unwrap_err().code, Code::NOT_FOUND);
    }
}

#[test]
fn an_index_does_not_come_again_and_a_repeated_call_makes_no_second_sticker() {
    let image = |n: u8| MediaId::from_bytes([n; 16]).to_string();
    let body = |n| json!({"image_data_id": image(n), "emojis": ["😀"]});
    let (packs, first) = packs().with_sticker("p", sticker(&body(1))).unwrap();
    let (packs, again) = packs.with_sticker("p", sticker(&body(1))).unwrap();
    let (packs, second) = packs.with_sticker("p", sticker(&body(2))).unwrap();
    assert_eq!((first, again, second), (1, 1, 2));
    let packs = packs.without_sticker("p", 2).unwrap();
    let (packs, third) = packs.with_sticker("p", sticker(&body(3))).unwrap();
    assert_eq!(third, 3);
    let indexes: Vec<_> = packs.get("p").unwrap().stickers().map(|it| it.index).collect();
    assert_eq!(indexes, [1, 3]);
    let change = StickerChange::read(br#"{"emojis":[]}"#, false).unwrap();
    let packs = packs.with_changed_sticker("p", 3, change).unwrap();
    let shown = packs.get("p").unwrap().sticker(3).unwrap();
    assert_eq!((shown.id, shown.emojis), (image(3), Vec::<String>::new()));
    assert_eq!(packs.images().count(), 2);
    assert_eq!(packs.without_sticker("p", 2).unwrap_err().code, Code::NOT_FOUND);
}

#[test]
fn no_pack_and_no_account_grows_without_end() {
    let mut full = Packs::default();
    for n in 0..MAX_PACKS {
        full = full.with(&n.to_string(), PACK).unwrap();
    }
    assert_eq!(full.clone().with("one more", PACK).unwrap_err().code, Code::INVALID);
    assert!(full.clone().with("7", PACK).is_ok(), "a repeated call");
    for n in 0..MAX_STICKERS {
        let image = MediaId::from_bytes([u8::try_from(n).unwrap(); 16]).to_string();
        full = full.with_sticker("0", sticker(&json!({"image_data_id": image}))).unwrap().0;
    }
    let more = full.with_sticker("0", sticker(&json!({"image_data_id": IMAGE})));
    assert_eq!(more.unwrap_err().code, Code::INVALID);
}

#[test]
fn each_mistake_is_told_with_its_code_and_the_name_of_the_field() {
    let long = "x".repeat(129);
    for (body, code, name) in [
        (json!({"name": "n"}), Code::MISSING, "'publisher'"),
        (json!({"publisher": "p"}), Code::MISSING, "'name'"),
        (json!({"publisher": "p", "name": ""}), Code::INVALID, "'name'"),
        (json!({"publisher": long, "name": "n"}), Code::INVALID, "'publisher'"),
        (
            json!({"publisher": "p", "name": "n", "ios_app_store_link": "ftp://x"}),
            Code::INVALID,
            "'ios_app_store_link'",
        ),
        (
            json!({"publisher": "p", "name": "n", "android_app_store_link": 1}),
            Code::INVALID,
            "'android_app_store_link'",
        ),
        (json!({"publisher": "p", "name": "n", "tray": 1}), Code::NOT_REQUIRED, "'tray'"),
    ] {
        let error = Packs::default().with("p", body.to_string().as_bytes()).unwrap_err();
        assert!(error.code == code && error.details.contains(name), "{body}: {error:?}");
    }
    for (body, code, name) in [
        (json!({}), Code::MISSING, "'image_data_id'"),
        (json!({"image_data_id": "x"}), Code::NOT_FOUND, "'image_data_id'"),
        (json!({"image_data_id": IMAGE, "emojis": "😀"}), Code::INVALID, "'emojis'"),
        (json!({"image_data_id": IMAGE, "emojis": ["a", 1]}), Code::INVALID, "'emojis[1]'"),
        (
            json!({"image_data_id": IMAGE, "emojis": ["a", "b", "c", "d"]}),
            Code::INVALID,
            "'emojis'",
        ),
        (json!({"image_data_id": IMAGE, "index": 1}), Code::NOT_REQUIRED, "'index'"),
    ] {
        let error = StickerChange::read(body.to_string().as_bytes(), true).unwrap_err();
        assert!(error.code == code && error.details.contains(name), "{body}: {error:?}");
    }
    for body in [&b"{}"[..], br#"{"name":null}"#] {
        assert_eq!(packs().changed("p", body).unwrap_err().code, Code::MISSING);
        assert_eq!(StickerChange::read(body, false).unwrap_err().code, Code::MISSING);
    }
    assert_eq!(packs().changed("p", br#"{"name":""}"#).unwrap_err().code, Code::INVALID);
    assert_eq!(fits("image/webp", 100 << 10), Ok(()));
    for (mime, size) in [("image/png", 1), ("image/webp", (100 << 10) + 1)] {
        assert!(fits(mime, size).unwrap_err().details.contains("'image_data_id'"));
    }
    assert_eq!((first_party(""), first_party("namespace=whatsapp")), (Ok(false), Ok(true)));
    assert_eq!(first_party("namespace=x").unwrap_err().code, Code::INVALID);
    assert_eq!(first_party("name=x").unwrap_err().code, Code::NOT_REQUIRED);
}
