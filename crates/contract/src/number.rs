//! Phone numbers as digits.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};

/// Fewest digits of a number, country code included.
pub const MIN_DIGITS: usize = 5;
/// Most digits of a number (ITU-T E.164).
pub const MAX_DIGITS: usize = 15;

/// A phone number: 5 to 15 ASCII digits with country code, without `+`. Also a wa_id.
///
/// 16 bytes, `Copy`: it is the key of every per-recipient map.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Number {
    len: u8,
    digits: [u8; MAX_DIGITS],
}

/// Why a text is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Something other than digits and the usual separators.
    #[error("a number has only digits, spaces and the characters + - ( ) . /")]
    Character,
    /// Outside [`MIN_DIGITS`]..=[`MAX_DIGITS`].
    #[error("a number has 5 to 15 digits with its country code")]
    Length,
}

impl Number {
    /// Reads any usual notation: `+1 (631) 555-1004`, `1-631-555-1005`, `0049…`.
    ///
    /// # Errors
    /// [`NumberError`] when it is none.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        let mut digits = [0; 2 * MAX_DIGITS];
        let mut len = 0;
        for byte in text.trim().bytes() {
            match byte {
                b'0'..=b'9' => {
                    *digits.get_mut(len).ok_or(NumberError::Length)? = byte;
                    len += 1;
                }
                b'+' if len == 0 => {}
                b' ' | b'-' | b'(' | b')' | b'.' | b'/' | b'\t' => {}
                _ => return Err(NumberError::Character),
            }
        }
        let digits = digits.get(..len).unwrap_or_default();
        Self::from_digits(digits.strip_prefix(b"00").unwrap_or(digits))
    }

    /// Takes plain digits, as stored.
    ///
    /// # Errors
    /// [`NumberError`] when there are others or too few or too many.
    pub fn from_digits(digits: &[u8]) -> Result<Self, NumberError> {
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(NumberError::Character);
        }
        let mut out = [0; MAX_DIGITS];
        match out.get_mut(..digits.len()) {
            Some(place) if digits.len() >= MIN_DIGITS => place.copy_from_slice(digits),
            _ => return Err(NumberError::Length),
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 15")]
        Ok(Self { len: digits.len() as u8, digits: out })
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The digits as ASCII bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.digits.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Shows only the length: numbers are personal and must not reach a log.
impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Number(…{} digits)", self.len)
    }
}

impl FromStr for Number {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        Self::parse(text)
    }
}

impl Serialize for Number {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_notation_gives_the_same_digits() {
        for text in [
            "16315551004",
            "+1 631 555 1004",
            "+1 (631) 555-1004",
            "1-631-555-1004",
            "001 631.555/1004",
        ] {
            assert_eq!(Number::parse(text).unwrap().as_str(), "16315551004", "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for (text, error) in [
            ("", NumberError::Length),
            ("1234", NumberError::Length),
            ("1234567890123456", NumberError::Length),
            ("12345678901234567890123456789012345", NumberError::Length),
            ("12345x", NumberError::Character),
            ("12+345", NumberError::Character),
            ("١٢٣٤٥٦", NumberError::Character),
        ] {
            assert_eq!(Number::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn debug_shows_no_digit_of_the_number() {
        assert_eq!(format!("{:?}", Number::parse("16315551004").unwrap()), "Number(…11 digits)");
    }
}
