//! base64, hex and decimals: one spelling per value.

use proptest::prelude::*;
use verifier::{
    hash::{Hash, leaf_hash},
    text::{TextError, b64, decimal, hex, rfc3339, unb64, unhex},
};

#[test]
fn base64_has_one_spelling() {
    // RFC 4648 §10.
    let vectors =
        [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
    for (bytes, text) in vectors {
        assert_eq!(b64(bytes.as_bytes()), text);
        assert_eq!(unb64(text).unwrap(), bytes.as_bytes());
    }
    for other in ["Zg", "Zg=", "Zg===", "Zh==", "Zm9", "Zm9=", "Zm9v\n", " Zm9v", "Zm9v=", "-_-_", "Zg==Zg==", "Zm 9v"]
    {
        assert_eq!(unb64(other), Err(TextError::Base64), "`{other}`");
    }
}

#[test]
fn hex_has_one_spelling() {
    assert_eq!(hex(&[0x00, 0x0f, 0xa5, 0xff]), "000fa5ff");
    assert_eq!(unhex("000fa5ff").unwrap(), [0x00, 0x0f, 0xa5, 0xff]);
    for other in ["0", "0A", "0g", "0x00", " 00", "0\u{e9}"] {
        assert_eq!(unhex(other), Err(TextError::Hex), "`{other}`");
    }
}

#[test]
fn decimals_have_one_spelling_below_two_to_the_sixty_third() {
    for (text, value) in [("0", 0), ("7", 7), ("10", 10), ("9223372036854775807", i64::MAX.unsigned_abs())] {
        assert_eq!(decimal(text), Ok(value));
    }
    for other in ["", "00", "01", "+1", "-1", " 1", "1 ", "1_0", "0x1", "1e3", "\u{0663}"] {
        assert_eq!(decimal(other), Err(TextError::Decimal), "`{other}`");
    }
    for large in ["9223372036854775808", "18446744073709551615", "18446744073709551616", "99999999999999999999999"] {
        assert_eq!(decimal(large), Err(TextError::Range), "`{large}`");
    }
}

#[test]
fn a_hash_is_base64_of_thirty_two_bytes_everywhere() {
    let hash = leaf_hash(b"");
    let text = "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=";
    assert_eq!(hash.to_string(), text);
    assert_eq!(format!("{hash:?}"), text);
    assert_eq!(text.parse::<Hash>(), Ok(hash));
    assert_eq!(serde_json::to_string(&hash).unwrap(), format!("\"{text}\""));
    assert_eq!(serde_json::from_str::<Hash>(&format!("\"{text}\"")).unwrap(), hash);
    let unused_bits = text.replace("B0=", "B1=");
    assert_eq!(unused_bits.parse::<Hash>(), Err(TextError::Base64));
    assert_eq!("A".repeat(44).parse::<Hash>().unwrap_err(), TextError::Base64);
    assert_eq!(format!("{}==", "A".repeat(42)).parse::<Hash>().unwrap_err(), TextError::Length);
}

#[test]
fn times_have_three_digits_of_fraction_and_no_offset() {
    assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
    assert_eq!(rfc3339(1_700_000_000_000), "2023-11-14T22:13:20.000Z");
    assert_eq!(rfc3339(1_709_164_800_001), "2024-02-29T00:00:00.001Z");
    assert_eq!(rfc3339(253_402_300_799_999), "9999-12-31T23:59:59.999Z");
    assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59.999Z");
}

#[test]
fn the_fast_encoder_writes_what_the_plain_one_writes_at_every_length() {
    use base64::Engine;
    let bytes: Vec<u8> = (0..400_u32).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    for length in 0..bytes.len() {
        let plain = base64::engine::general_purpose::STANDARD.encode(&bytes[..length]);
        assert_eq!(b64(&bytes[..length]), plain, "{length}");
    }
}

proptest! {
    #[test]
    fn what_is_read_is_written_back(bytes in proptest::collection::vec(any::<u8>(), 0..100), number in 0_u64..1 << 63) {
        prop_assert_eq!(unb64(&b64(&bytes)).unwrap(), bytes.clone());
        prop_assert_eq!(unhex(&hex(&bytes)).unwrap(), bytes);
        prop_assert_eq!(decimal(&number.to_string()), Ok(number));
    }

    #[test]
    fn what_is_accepted_is_written_back(text in "[A-Za-z0-9+/=]{0,12}") {
        if let Ok(bytes) = unb64(&text) {
            prop_assert_eq!(b64(&bytes), text);
        }
    }
}
