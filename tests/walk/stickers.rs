//! Packs of stickers.

use serde_json::{Value, json};

use crate::steps::{For, Walk};

const PACKS: &str = "/v1/stickerpacks";
const PACK: &str = "/v1/stickerpacks/{id}";
const STICKERS: &str = "/v1/stickerpacks/{id}/stickers";
const STICKER: &str = "/v1/stickerpacks/{id}/stickers/{index}";

pub async fn walk(walk: &mut Walk) {
    let nothing = Value::Null;
    walk.step(For::Users, "GET", PACKS, &nothing).await;
    let mut id = String::new();
    for body in [
        json!({"publisher": "Shop", "name": "Bears", "ios_app_store_link": "https://example.org/a"}),
        json!({"name": "Bears"}),
        json!({"publisher": "Shop", "name": ""}),
        json!({"publisher": "Shop", "name": "Bears", "colour": "red"}),
        json!("{"),
    ] {
        let given = walk.step(For::Users, "POST", PACKS, &body).await;
        if id.is_empty() {
            id = given.text("/stickerpacks/0/id");
        }
    }
    walk.step(For::Users, "GET", PACKS, &nothing).await;
    walk.step(For::Users, "GET", &format!("{PACKS}?namespace=whatsapp"), &nothing).await;
    let pack = format!("{PACKS}/{id}");
    for path in [&*pack, "/v1/stickerpacks/nonsense"] {
        walk.at(For::Users, "GET", PACK, path, &nothing).await;
    }
    for body in [json!({"name": "Cats"}), json!({}), json!({"name": 7})] {
        walk.at(For::Users, "PATCH", PACK, &pack, &body).await;
    }

    let image = walk.call("user", "POST", "/v1/media", "image/webp", b"RIFF").await;
    let image = image.text("/media/0/id");
    let stickers = format!("{pack}/stickers");
    for body in [
        json!({"image_data_id": image, "emojis": ["\u{1F600}"]}),
        json!({"emojis": []}),
        json!({"image_data_id": "f043afd0-f0ae-4b9c-ab3d-696fb4c8cd68"}),
        json!({"image_data_id": image, "emojis": "\u{1F600}"}),
    ] {
        walk.at(For::Users, "POST", STICKERS, &stickers, &body).await;
    }
    walk.at(For::Users, "GET", STICKERS, &stickers, &nothing).await;
    let sticker = format!("{stickers}/1");
    for path in [&sticker, &format!("{stickers}/9"), &format!("{stickers}/x")] {
        walk.at(For::Users, "GET", STICKER, path, &nothing).await;
    }
    for body in [json!({"emojis": []}), json!({"emojis": 7}), json!({"colour": "red"})] {
        walk.at(For::Users, "PATCH", STICKER, &sticker, &body).await;
    }
    for _ in 0..2 {
        walk.at(For::Users, "DELETE", STICKER, &sticker, &nothing).await;
    }
    for _ in 0..2 {
        walk.at(For::Users, "DELETE", PACK, &pack, &nothing).await;
    }
    walk.settle("stickers");
}
