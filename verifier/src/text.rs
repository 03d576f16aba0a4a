//! The spellings in which the log writes bytes, numbers and times: base64, lower-case hex, decimal, RFC 3339.
//!
//! Guarantees that each value has one spelling: what these functions read, they write back byte for byte.
//! Does not guess: no missing padding, no upper-case hex, no sign, no leading zero, no space.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;

/// Writes base64. A record of 270 bytes takes 68 ns with the vector unit and 163 ns without, and an answer holds three; what is
/// written wrongly is found by whoever reads it. Reading stays with the scalar decoder, which is the one that refuses.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
static ENCODER: std::sync::LazyLock<base64::engine::Simd> =
    std::sync::LazyLock::new(|| base64::engine::Simd::standard(base64::engine::general_purpose::PAD));
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
static ENCODER: base64::engine::GeneralPurpose = STANDARD;

/// Numbers in the log stay below 2^63: clients in Go and SQL read them as signed 64-bit integers.
pub const DECIMAL_LIMIT: u64 = 1 << 63;

/// Digits of the largest number below [`DECIMAL_LIMIT`] (9223372036854775807).
const DECIMAL_DIGITS: usize = 19;

/// Why a text is not the one spelling of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Not strict standard base64 (RFC 4648 §4, padded, unused bits zero).
    #[error("not standard base64 with padding")]
    Base64,
    /// Not lower-case hexadecimal digits in pairs.
    #[error("not lower-case hex")]
    Hex,
    /// Well-formed but of another length than the value has.
    #[error("wrong length")]
    Length,
    /// Not a decimal without sign, spaces and leading zeros.
    #[error("not a plain decimal number")]
    Decimal,
    /// A decimal that is 2^63 or more.
    #[error("number is not below 2^63")]
    Range,
}

/// Standard base64 with padding (RFC 4648 §4).
#[must_use]
pub fn b64(bytes: &[u8]) -> String {
    ENCODER.encode(bytes)
}

/// Appends standard base64 of `bytes` to `out`.
pub fn push_b64(out: &mut String, bytes: &[u8]) {
    ENCODER.encode_string(bytes, out);
}

/// Reads strict standard base64.
///
/// # Errors
/// [`TextError::Base64`] on any other spelling, including missing padding and non-zero unused bits.
pub fn unb64(text: &str) -> Result<Vec<u8>, TextError> {
    STANDARD.decode(text).map_err(|_| TextError::Base64)
}

/// URL-safe base64 without padding (RFC 4648 §5), as JOSE and EAT write bytes (RFC 7515 §2).
#[must_use]
pub fn b64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads strict URL-safe base64 without padding.
///
/// # Errors
/// [`TextError::Base64`] on any other spelling, including padding and non-zero unused bits.
pub fn unb64url(text: &str) -> Result<Vec<u8>, TextError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| TextError::Base64)
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or_default());
        out.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or_default());
    }
    out
}

/// Reads lower-case hexadecimal digits.
///
/// # Errors
/// [`TextError::Hex`] on upper-case or other characters and on an odd number of digits.
pub fn unhex(text: &str) -> Result<Vec<u8>, TextError> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return Err(TextError::Hex);
    }
    pairs.iter().map(|[high, low]| Ok(nibble(*high)? << 4 | nibble(*low)?)).collect()
}

fn nibble(digit: u8) -> Result<u8, TextError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(TextError::Hex),
    }
}

/// Reads a decimal without sign, spaces and leading zeros, below 2^63.
///
/// # Errors
/// [`TextError::Decimal`] on another spelling, [`TextError::Range`] from 2^63 on.
pub fn decimal(text: &str) -> Result<u64, TextError> {
    let digits = text.as_bytes();
    let (Some(first), true) = (digits.first(), digits.iter().all(u8::is_ascii_digit)) else {
        return Err(TextError::Decimal);
    };
    if *first == b'0' && digits.len() > 1 {
        return Err(TextError::Decimal);
    }
    if digits.len() > DECIMAL_DIGITS {
        return Err(TextError::Range);
    }
    // 19 digits are below 10^19 < 2^64: no overflow.
    let value = digits.iter().fold(0_u64, |value, digit| value * 10 + u64::from(digit - b'0'));
    if value < DECIMAL_LIMIT { Ok(value) } else { Err(TextError::Range) }
}

/// A time in Unix milliseconds as RFC 3339 in UTC, always with three digits of fraction: `2026-11-23T03:14:15.926Z`.
/// Times after 9999-12-30T22:00:00Z, which in some zone is another year, are written as the last millisecond of the year 9999.
#[must_use]
pub fn rfc3339(unix_ms: u64) -> String {
    let time = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    match time {
        Some(time) => format!("{time:.3}"),
        None => String::from("9999-12-31T23:59:59.999Z"),
    }
}

/// Characters of 32 bytes in padded base64.
const B64_32: usize = 44;

/// Gives the base64 of 32 bytes to `write` without allocating: every hash line of a receipt passes here.
pub(crate) fn with_b64_32<T>(bytes: &[u8; 32], write: impl FnOnce(&str) -> T) -> T {
    let mut buffer = [0_u8; B64_32];
    // 32 bytes are exactly 44 ASCII characters: neither can fail.
    let length = STANDARD.encode_slice(bytes, &mut buffer).unwrap_or_default();
    write(buffer.get(..length).and_then(|ascii| core::str::from_utf8(ascii).ok()).unwrap_or_default())
}

/// Reads base64 of exactly 32 bytes without allocating.
pub(crate) fn unb64_32(text: &str) -> Result<[u8; 32], TextError> {
    // Length first, so that a shorter or longer value never reaches a comparison (tlog-formats: hostile cases).
    if text.len() != B64_32 {
        return Err(TextError::Length);
    }
    let mut bytes = [0_u8; 32];
    // The decoder wants room for 33 bytes unless it sees the padding; 44 characters with one `=` are exactly 32.
    match STANDARD.decode_slice(text, &mut bytes) {
        Ok(32) => Ok(bytes),
        Ok(_) => Err(TextError::Length),
        Err(_) => Err(TextError::Base64),
    }
}
