//! Which wa_id a dialled number has, and what its last four digits make of the phone.

use contract::Number;

use crate::countries;

/// Fewest digits of a phone; shorter ones are services.
const MIN_PHONE_DIGITS: usize = 7;

/// What a phone does unless the control API says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Behaviour {
    pub(crate) registered: bool,
    /// Since lately: nobody has noticed.
    pub(crate) deleted: bool,
    pub(crate) offline: bool,
    /// Confirms delivery.
    pub(crate) delivered: bool,
    /// Confirms reading.
    pub(crate) read: bool,
    pub(crate) refused: Option<Refusal>,
    pub(crate) keys: Keys,
    /// Devices the account has, numbered from 0.
    pub(crate) devices: u32,
}

/// What is special about a phone's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    Normal,
    /// No one-time pre-key is left.
    NoOneTime,
    /// Each message fails to decrypt when it comes for the first time.
    FailsFirst,
    /// Gets a new identity once the first message is decrypted.
    ChangesIdentity,
}

/// Why the network takes nothing for this phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Rate,
    Spam,
}

/// The wa_id of a dialled number: Mexican mobiles carry a `1`, Argentinian ones a `9`, Brazilian
/// ones (8 digits that begin with 6 to 9) a ninth digit.
pub(crate) fn wa_id(dialled: Number) -> Number {
    let (head, tail): (&[u8], &[u8]) = match dialled.as_bytes() {
        [b'5', b'2', tail @ ..] if tail.len() == 10 => (b"521", tail),
        [b'5', b'4', tail @ ..] if tail.len() == 10 => (b"549", tail),
        [b'5', b'5', a, b, tail @ ..] if tail.len() == 8 && matches!(tail, [b'6'..=b'9', ..]) => {
            (&[b'5', b'5', *a, *b, b'9'], tail)
        }
        _ => return dialled,
    };
    Number::from_digits(&[head, tail].concat()).unwrap_or(dialled)
}

/// What the digits of a wa_id say.
pub(crate) fn behaviour(wa_id: &Number) -> Behaviour {
    let digits = wa_id.as_bytes();
    let normal = Behaviour {
        registered: true,
        deleted: false,
        offline: false,
        delivered: true,
        read: true,
        refused: None,
        keys: Keys::Normal,
        devices: 1,
    };
    match digits {
        _ if digits.len() < MIN_PHONE_DIGITS || !countries::assigned(digits) => {
            Behaviour { registered: false, ..normal }
        }
        [.., b'0', b'0', b'0', last] => match last {
            b'0' => Behaviour { registered: false, ..normal },
            b'1' => Behaviour { offline: true, ..normal },
            b'2' => Behaviour { read: false, ..normal },
            b'3' => Behaviour { delivered: false, ..normal },
            b'4' => Behaviour { keys: Keys::NoOneTime, ..normal },
            b'5' => Behaviour { keys: Keys::FailsFirst, ..normal },
            b'6' => Behaviour { keys: Keys::ChangesIdentity, ..normal },
            b'7' => Behaviour { devices: 3, ..normal },
            b'8' => Behaviour { refused: Some(Refusal::Rate), ..normal },
            b'9' => Behaviour { refused: Some(Refusal::Spam), ..normal },
            _ => normal,
        },
        _ => normal,
    }
}

#[cfg(test)]
mod tests {
    use contract::Route;

    use super::*;

    fn number(digits: &str) -> Number {
        Number::from_digits(digits.as_bytes()).unwrap()
    }

    #[test]
    fn the_three_national_variants_keep_their_route() {
        for (dialled, expected) in [
            ("525512345678", "5215512345678"),
            ("5215512345678", "5215512345678"),
            ("541123456789", "5491123456789"),
            ("551187654321", "5511987654321"),
            ("5511987654321", "5511987654321"),
            ("551132654321", "551132654321"),
            ("4915112345678", "4915112345678"),
        ] {
            let wa_id = wa_id(number(dialled));
            assert_eq!(wa_id.as_str(), expected);
            assert_eq!(Route::of(&wa_id), Route::of(&number(dialled)), "{dialled}");
        }
    }

    #[test]
    fn the_last_four_digits_choose_the_behaviour() {
        let of = |digits: &str| behaviour(&number(digits));
        assert!(!of("4915112340000").registered);
        assert!(of("4915112340001").offline);
        assert!(!of("4915112340002").read && of("4915112340002").delivered);
        assert!(of("4915112340003").read && !of("4915112340003").delivered);
        assert_eq!(of("4915112340008").refused, Some(Refusal::Rate));
        assert_eq!(of("4915112340009").refused, Some(Refusal::Spam));
        assert_eq!(of("4915112340004").keys, Keys::NoOneTime);
        assert_eq!(of("4915112340005").keys, Keys::FailsFirst);
        assert_eq!(of("4915112340006").keys, Keys::ChangesIdentity);
        assert_eq!(of("4915112340007").devices, 3);
        for normal in ["4915112341001", "16315551004"] {
            assert_eq!(of(normal), of("4915112345678"), "{normal}");
        }
        assert!(!of("9994567890").registered && !of("491511").registered);
    }
}
