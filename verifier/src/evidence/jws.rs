//! JSON Web Signature in compact form (RFC 7515 §3.1), with `EdDSA` (RFC 8037) or `ES256` (RFC 7518 §3.4).
//!
//! ```text
//! BASE64URL({"alg":"EdDSA"|"ES256", "typ"?, "kid"?}) . BASE64URL(payload) . BASE64URL(64 bytes)
//! ```
//!
//! Guarantees: base64url without padding and with unused bits zero; a header with any other parameter is refused, so none that is critical
//! (`crit`, `b64`) and none that brings a key (`jwk`, `jku`, `x5c`, `x5u`) is passed over; a key stands once. Does not: read the payload, nor
//! trust `kid` or `typ`.

use super::key::Algorithm;
use super::{EvidenceError, MAX_TOKEN, Signed};
use crate::json::Json;
use crate::text::unb64url;

/// Reads a token: what is signed, and its payload. Verifies nothing.
///
/// # Errors
/// Everything but the closed form.
pub fn read(text: &str) -> Result<(Signed, Vec<u8>), EvidenceError> {
    if text.len() > MAX_TOKEN {
        return Err(EvidenceError::TooLong);
    }
    let (message, signature) = text.rsplit_once('.').ok_or(EvidenceError::Form)?;
    let (header, payload) = message.split_once('.').ok_or(EvidenceError::Form)?;
    if payload.contains('.') {
        return Err(EvidenceError::Form);
    }
    let bytes = |part| unb64url(part).map_err(|_| EvidenceError::Base64);
    let algorithm = algorithm(&Json::parse(&bytes(header)?).map_err(|_| EvidenceError::Json)?)?;
    let payload = bytes(payload)?;
    let signature = bytes(signature)?.try_into().map_err(|_| EvidenceError::Signature)?;
    Ok((Signed { message: message.as_bytes().to_vec(), algorithm: Some(algorithm), signature }, payload))
}

fn algorithm(header: &Json) -> Result<Algorithm, EvidenceError> {
    let Json::Object(parameters) = header else { return Err(EvidenceError::Header) };
    let mut algorithm = None;
    for parameter in parameters {
        match (parameter.0.as_str(), &parameter.1) {
            ("alg", Json::String(name)) => {
                algorithm = Some(Algorithm::of_jose(name).ok_or(EvidenceError::Algorithm)?);
            }
            ("typ" | "kid", Json::String(_)) => {}
            _ => return Err(EvidenceError::Header),
        }
    }
    algorithm.ok_or(EvidenceError::Header)
}

#[cfg(test)]
mod tests {
    use super::super::NotSigned;
    use super::super::key::IssuerKey;
    use super::*;
    use crate::text::b64url;

    /// RFC 8037, appendix A.4.
    const EDDSA: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
        hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    const EDDSA_KEY: &str = "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    /// RFC 7515, appendix A.3.
    const ES256: &str = "eyJhbGciOiJFUzI1NiJ9.\
        eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
        DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    const ES256_KEY: &str = "p256:A3/Nzidw9sRdQYPL7m/bS3tYBzM1e+nvE7rPbjx70VRF";

    fn key(text: &str) -> IssuerKey {
        text.parse().unwrap()
    }

    #[test]
    fn the_examples_of_the_specifications_hold_under_their_keys_alone() {
        let (signed, payload) = read(EDDSA).unwrap();
        assert_eq!((signed.is_by(&key(EDDSA_KEY)), payload.as_slice()), (Ok(()), &b"Example of Ed25519 signing"[..]));
        assert_eq!(signed.is_by(&key(ES256_KEY)), Err(NotSigned::Algorithm));
        let other = "ed25519:6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=";
        assert_eq!(signed.is_by(&key(other)), Err(NotSigned::Signature));
        let (signed, payload) = read(ES256).unwrap();
        assert_eq!(signed.is_by(&key(ES256_KEY)), Ok(()));
        assert!(payload.starts_with(b"{\"iss\":\"joe\","));
        assert_eq!(signed.is_by(&key(EDDSA_KEY)), Err(NotSigned::Algorithm));
    }

    /// Each bit of a token counts: one that is flipped is refused, or is not signed.
    #[test]
    fn no_bit_of_a_token_can_be_changed() {
        for (token, by) in [(EDDSA, key(EDDSA_KEY)), (ES256, key(ES256_KEY))] {
            for bit in 0..token.len() * 8 {
                let mut changed = token.as_bytes().to_vec();
                changed[bit / 8] ^= 1 << (bit % 8);
                let holds = std::str::from_utf8(&changed).ok().and_then(|text| read(text).ok());
                assert!(holds.is_none_or(|(signed, _)| signed.is_by(&by).is_err()), "bit {bit}");
            }
        }
    }

    #[test]
    fn what_is_not_of_the_closed_form_is_refused_with_its_reason() {
        let with = |header: &str| format!("{}.e30.{}", b64url(header.as_bytes()), b64url(&[0; 64]));
        let good = with(r#"{"alg":"EdDSA","typ":"JWT","kid":"k"}"#);
        assert!(read(&good).is_ok());
        for (token, why) in [
            (String::new(), EvidenceError::Form),
            ("a.b".to_owned(), EvidenceError::Form),
            (format!("{good}.x"), EvidenceError::Form),
            (good.replace(".e30.", ".e30=."), EvidenceError::Base64),
            (good.replace(".e30.", ".e31."), EvidenceError::Base64), // unused bits
            (good.replace(".e30.", ".e3+."), EvidenceError::Base64),
            (good.clone() + "AA", EvidenceError::Signature),
            (with("{\"alg\":\"EdDSA\",\"alg\":\"ES256\"}"), EvidenceError::Json),
            (with("{"), EvidenceError::Json),
            (with("[]"), EvidenceError::Header),
            (with("{}"), EvidenceError::Header),
            (with(r#"{"alg":["EdDSA"]}"#), EvidenceError::Header),
            (with(r#"{"alg":"none"}"#), EvidenceError::Algorithm),
            (with(r#"{"alg":"HS256"}"#), EvidenceError::Algorithm),
            (with(r#"{"alg":"eddsa"}"#), EvidenceError::Algorithm),
            (with(r#"{"alg":"EdDSA","crit":[]}"#), EvidenceError::Header),
            (with(r#"{"alg":"EdDSA","b64":false,"crit":["b64"]}"#), EvidenceError::Header),
            (with(r#"{"alg":"EdDSA","jwk":{}}"#), EvidenceError::Header),
            (with(r#"{"alg":"EdDSA","jku":"https://x"}"#), EvidenceError::Header),
            (with(r#"{"alg":"EdDSA","x5c":[]}"#), EvidenceError::Header),
            (with(r#"{"alg":"EdDSA","kid":1}"#), EvidenceError::Header),
            (format!("{}.e30.{}", b64url(br#"{"alg":"EdDSA"}"#), b64url(&[0; 63])), EvidenceError::Signature),
            ("a".repeat(MAX_TOKEN + 1), EvidenceError::TooLong),
        ] {
            assert_eq!(read(&token), Err(why), "{token:.200}");
        }
    }
}
