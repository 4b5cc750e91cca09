//! Routes and ids over generated numbers.

use contract::{Direction, Key, MessageId, Number, Route};
use proptest::prelude::*;

fn route(digits: &str) -> Route {
    Route::of(&Number::parse(digits).unwrap())
}

fn ids() -> impl Strategy<Value = MessageId> {
    ("[0-9]{5,15}", prop::collection::vec(any::<u8>(), 9..=16), any::<bool>()).prop_map(
        |(digits, key, outbound)| MessageId {
            direction: if outbound { Direction::Outbound } else { Direction::Inbound },
            number: Number::from_digits(digits.as_bytes()).unwrap(),
            key: Key::from_bytes(&key).unwrap(),
        },
    )
}

proptest! {
    #[test]
    fn the_dialled_form_and_the_wa_id_of_one_person_share_a_route(
        national in "[0-9]{10}",
        area in "[1-9]{2}",
        local in "[0-9]{8}",
    ) {
        prop_assert_eq!(route(&format!("52{national}")), route(&format!("521{national}")));
        prop_assert_eq!(route(&format!("54{national}")), route(&format!("549{national}")));
        prop_assert_eq!(route(&format!("55{area}{local}")), route(&format!("55{area}9{local}")));
    }

    #[test]
    fn notation_never_changes_the_route(
        digits in "[1-9][0-9]{4,14}",
        separators in prop::collection::vec("[ ().\t/-]{0,3}", 16),
        prefix in prop::sample::select(vec!["", "+", "00", " +", "+ "]),
    ) {
        let mut written = prefix.to_owned();
        for (digit, separator) in digits.chars().zip(&separators) {
            written.push(digit);
            written.push_str(separator);
        }
        prop_assert_eq!(Number::parse(&written), Number::parse(&digits));
        prop_assert_eq!(route(&written), route(&digits));
    }

    #[test]
    fn other_countries_are_not_folded(a in "49[0-9]{11}", b in "49[0-9]{11}") {
        prop_assert_eq!(a == b, route(&a) == route(&b));
    }

    #[test]
    fn every_id_comes_back_from_its_text(id in ids()) {
        let text = id.to_string();
        let prefix = match id.direction {
            Direction::Outbound => "gB",
            Direction::Inbound => "AB",
        };
        prop_assert!(text.starts_with(prefix));
        prop_assert_eq!(text.parse(), Ok(id));
    }

    #[test]
    fn an_id_has_one_text(id in ids(), at in any::<prop::sample::Index>(), byte in "[A-Za-z0-9_-]") {
        let mut text = id.to_string();
        let at = at.index(text.len());
        text.replace_range(at..=at, &byte);
        if let Ok(other) = text.parse::<MessageId>() {
            prop_assert_eq!(other.to_string(), text);
        }
    }

    #[test]
    fn no_text_makes_the_id_parser_panic(text in "\\PC{0,60}", like in "[A-Za-z0-9_-]{0,60}") {
        let _ = text.parse::<MessageId>();
        let _ = format!("gBGG{like}").parse::<MessageId>();
    }
}
