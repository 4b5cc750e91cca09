use super::expand;
use crate::testing::hex;

/// RFC 5869 appendix A, cases 1 to 3 (SHA-256).
#[test]
fn expansion_is_that_of_rfc_5869() {
    let range = |from: u8, to: u8| (from..to).collect::<Vec<u8>>();
    let okm = expand::<42>(&range(0, 13), &[0x0b; 22], &range(0xf0, 0xfa)).unwrap();
    let case_1 = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf
                  34007208d5b887185865";
    assert_eq!(okm.as_slice(), hex(case_1));

    let info: Vec<u8> = (0xb0..=0xff).collect();
    let okm = expand::<82>(&range(0x60, 0xb0), &range(0, 0x50), &info).unwrap();
    let case_2 = "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c
                  59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71
                  cc30c58179ec3e87c14c01d5c1f3434f1d87";
    assert_eq!(okm.as_slice(), hex(case_2));

    let okm = expand::<42>(&[], &[0x0b; 22], &[]).unwrap();
    let case_3 = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d
                  9d201395faa4b61a96c8";
    assert_eq!(okm.as_slice(), hex(case_3));
}

/// RFC 4231, cases 1, 2 and 6.
#[test]
fn the_mac_is_that_of_rfc_4231() {
    let cases: [(&[u8], &[u8], &str); 3] = [
        (
            &[0x0b; 20],
            b"Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ];
    for (key, data, mac) in cases {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
        assert_eq!(ring::hmac::sign(&key, data).as_ref(), hex(mac));
    }
}
