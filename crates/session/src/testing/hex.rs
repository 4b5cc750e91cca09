//! Hex in tests. Integration tests include this file too.

/// Bytes of a hex text.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter_map(|digit| char::from(digit).to_digit(16))
        .map(|digit| u8::try_from(digit).unwrap_or(0))
        .collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// 32 bytes of a hex text.
pub(crate) fn hex32(text: &str) -> [u8; 32] {
    hex(text).try_into().unwrap_or([0; 32])
}
