//! The registered claims of a token: JWT (RFC 7519 §4.1) and CWT (RFC 8392 §3.1) have the same seven.
//!
//! Guarantees: issuer, subject, audience and expiry are there; the audience is one string, so that the token is for nobody else; times are
//! whole seconds since 1970. Does not: compare them with anything.

use super::{EvidenceError, MAX_NAME, MAX_PARTS};
use crate::json::Json;

/// Times stay below this: the year 9999, and milliseconds of it fit 63 bits.
const MAX_SECONDS: u64 = 253_402_300_800;

/// Who says it, about whom, to whom, and for how long. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `iss`
    pub issuer: String,
    /// `sub`
    pub subject: String,
    /// `aud`: one string.
    pub audience: String,
    /// `exp`: void at and after this time.
    pub expires: u64,
    /// `nbf`: void before this time.
    pub not_before: Option<u64>,
    /// `iat`
    pub issued_at: Option<u64>,
}

impl Claims {
    /// Reads the claims of a JWT's payload; claims beyond these are left to whoever understands them (RFC 7519 §4).
    ///
    /// # Errors
    /// [`EvidenceError::Json`], [`EvidenceError::Claim`], [`EvidenceError::TooMany`].
    pub fn of_jwt(payload: &[u8]) -> Result<(Self, Json), EvidenceError> {
        let json = Json::parse(payload).map_err(|_| EvidenceError::Json)?;
        match &json {
            Json::Object(pairs) if pairs.len() > MAX_PARTS => return Err(EvidenceError::TooMany),
            Json::Object(_) => {}
            _ => return Err(EvidenceError::Json),
        }
        let claims = Self {
            issuer: text(&json, "iss")?,
            subject: text(&json, "sub")?,
            audience: text(&json, "aud")?,
            expires: time(&json, "exp")?.ok_or(EvidenceError::Claim("exp"))?,
            not_before: time(&json, "nbf")?,
            issued_at: time(&json, "iat")?,
        };
        Ok((claims, json))
    }
}

/// A name that may stand in a claim.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME && !text.chars().any(char::is_control)
}

/// A time that may stand in a claim.
pub(super) fn in_time(seconds: u64) -> Option<u64> {
    Some(seconds).filter(|seconds| *seconds < MAX_SECONDS)
}

fn text(json: &Json, name: &'static str) -> Result<String, EvidenceError> {
    match json.get(name) {
        Some(Json::String(text)) if is_name(text) => Ok(text.to_string()),
        Some(_) | None => Err(EvidenceError::Claim(name)),
    }
}

fn time(json: &Json, name: &'static str) -> Result<Option<u64>, EvidenceError> {
    match json.get(name) {
        None => Ok(None),
        Some(Json::Int(seconds)) => {
            let seconds = u64::try_from(*seconds).ok().and_then(in_time);
            seconds.map(Some).ok_or(EvidenceError::Claim(name))
        }
        Some(_) => Err(EvidenceError::Claim(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_without_one_of_its_claims_or_with_another_kind_of_value_is_refused() {
        let good = r#"{"iss":"i","sub":"s","aud":"a","exp":9,"nbf":1,"iat":2,"more":[1.5]}"#;
        let (claims, json) = Claims::of_jwt(good.as_bytes()).unwrap();
        assert_eq!((claims.expires, claims.not_before, claims.issued_at), (9, Some(1), Some(2)));
        assert!(json.get("more").is_some());
        for (from, to, why) in [
            (r#""iss":"i","#, "", EvidenceError::Claim("iss")),
            (r#""iss":"i""#, r#""iss":"""#, EvidenceError::Claim("iss")),
            (r#""sub":"s""#, r#""sub":null"#, EvidenceError::Claim("sub")),
            (r#""aud":"a""#, r#""aud":["a"]"#, EvidenceError::Claim("aud")),
            (r#""aud":"a""#, r#""aud":"a\nb""#, EvidenceError::Claim("aud")),
            (r#""exp":9,"#, "", EvidenceError::Claim("exp")),
            (r#""exp":9"#, r#""exp":9.5"#, EvidenceError::Claim("exp")),
            (r#""exp":9"#, r#""exp":"9""#, EvidenceError::Claim("exp")),
            (r#""exp":9"#, r#""exp":253402300800"#, EvidenceError::Claim("exp")),
            (r#""nbf":1"#, r#""nbf":-1"#, EvidenceError::Claim("nbf")),
            (r#""iat":2"#, r#""iat":1e3"#, EvidenceError::Claim("iat")),
            (r#""sub":"s""#, r#""sub":"s","sub":"t""#, EvidenceError::Json),
        ] {
            let changed = good.replace(from, to);
            assert_ne!(changed, good);
            assert_eq!(Claims::of_jwt(changed.as_bytes()).err(), Some(why), "{changed}");
        }
        assert_eq!(Claims::of_jwt(b"[]").err(), Some(EvidenceError::Json));
        let many: String = (0..MAX_PARTS).map(|n| format!(r#""c{n}":0,"#)).collect();
        assert_eq!(
            Claims::of_jwt(good.replace('{', &format!("{{{many}")).as_bytes()).err(),
            Some(EvidenceError::TooMany)
        );
    }
}
