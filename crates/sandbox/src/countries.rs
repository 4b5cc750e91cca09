//! Assigned country codes of ITU-T E.164 (list of Recommendation E.164, public knowledge):
//! geographic areas, networks and global services. Spare and reserved codes are left out, so that
//! numbers such as 999… are no phones.

/// By number of digits; no code is the beginning of another.
const ONE: &[u8] = &[1, 7];

const TWO: &[u8] = &[
    20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56,
    57, 58, 60, 61, 62, 63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94, 95, 98,
];

const THREE: &[u16] = &[
    211, 212, 213, 216, 218, 220, 221, 222, 223, 224, 225, 226, 227, 228, 229, 230, 231, 232, 233,
    234, 235, 236, 237, 238, 239, 240, 241, 242, 243, 244, 245, 246, 247, 248, 249, 250, 251, 252,
    253, 254, 255, 256, 257, 258, 260, 261, 262, 263, 264, 265, 266, 267, 268, 269, 290, 291, 297,
    298, 299, 350, 351, 352, 353, 354, 355, 356, 357, 358, 359, 370, 371, 372, 373, 374, 375, 376,
    377, 378, 379, 380, 381, 382, 383, 385, 386, 387, 389, 420, 421, 423, 500, 501, 502, 503, 504,
    505, 506, 507, 508, 509, 590, 591, 592, 593, 594, 595, 596, 597, 598, 599, 670, 672, 673, 674,
    675, 676, 677, 678, 679, 680, 681, 682, 683, 685, 686, 687, 688, 689, 690, 691, 692, 800, 808,
    850, 852, 853, 855, 856, 870, 878, 880, 881, 882, 883, 886, 960, 961, 962, 963, 964, 965, 966,
    967, 968, 970, 971, 972, 973, 974, 975, 976, 977, 979, 992, 993, 994, 995, 996, 998,
];

/// Do the digits begin with an assigned country code?
pub(crate) fn assigned(digits: &[u8]) -> bool {
    let [a, b, c, ..] = digits else { return false };
    let [a, b, c] = [a, b, c].map(|digit| digit.wrapping_sub(b'0'));
    let two = a.wrapping_mul(10).wrapping_add(b);
    let three = u16::from(two) * 10 + u16::from(c);
    ONE.contains(&a) || TWO.contains(&two) || THREE.binary_search(&three).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spare_and_reserved_codes_are_not_assigned() {
        for digits in ["16315551000", "79944067536", "4915112345678", "355691234567", "8835100012"]
        {
            assert!(assigned(digits.as_bytes()), "{digits}");
        }
        for digits in ["9991234567", "2101234567", "2591234567", "4241234567", "0123456", "6981234"]
        {
            assert!(!assigned(digits.as_bytes()), "{digits}");
        }
    }

    #[test]
    fn no_code_is_the_beginning_of_another() {
        let one: Vec<u16> = ONE.iter().map(|&code| code.into()).collect();
        let two: Vec<u16> = TWO.iter().map(|&code| code.into()).collect();
        assert!(two.iter().all(|code| !one.contains(&(code / 10))));
        assert!(
            THREE.iter().all(|code| !two.contains(&(code / 10)) && !one.contains(&(code / 100)))
        );
        assert!(THREE.is_sorted());
    }
}
