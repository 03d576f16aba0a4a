//! Entity attestation tokens (RFC 9711) as JWT or CWT: what a verifier in the sense of RFC 9334 says of the environment that a subject runs in.
//!
//! | claim | JWT | CWT | source | taken as |
//! |---|---|---|---|---|
//! | issuer, subject, audience, times | `iss` `sub` `aud` `exp` `nbf` `iat` | 1 2 3 4 5 6 | RFC 7519 §4.1, RFC 8392 §3.1 | [`Claims`]; `iat` must be there |
//! | nonce | `eat_nonce` | 10 | RFC 9711 §4.1 | one, 8 to 88 characters or 8 to 64 bytes |
//! | debug status | `dbgstat` | 263 | RFC 9711 §4.2.9 | `enabled` (0) is unsound: whoever debugs it changes what was measured |
//! | measurement results | `measres` | 274 | RFC 9711 §4.2.17 | anything but `success` (1) is unsound |
//! | measured digests | `psa-software-components` | 2399 | RFC 9783 §4.4.1 | type and value of each component with a SHA-256 |
//!
//! RFC 9711 leaves the inside of its own `measurements` (273) to other formats; the PSA token's components are the smallest registered one that
//! has a name and a digest. In JSON they are written as EAT writes bytes: base64url (RFC 9711 §7.2.2), with the names that the members have
//! there: `measurement-type` (1), `measurement-value` (2), `measurement-desc` (6; absent, `sha-256` or `sha256` count, others are not
//! comparable). Claims beyond these are passed over (RFC 9711 §4, RFC 8392 §3). A name that stands twice is refused.

use super::claims::{Claims, in_time, is_name};
use super::cwt::{self, Pairs};
use super::{EvidenceError, MAX_PARTS, MAX_TOKEN, Signed, jws};
use crate::cbor::Decoder;
use crate::json::Json;
use crate::text::unb64url;

/// Keys of claims in CWT (IANA registry "CBOR Web Token (CWT) Claims").
const NONCE: u64 = 10;
const DBGSTAT: u64 = 263;
const MEASRES: u64 = 274;
const COMPONENTS: u64 = 2399;
/// Members of a component (RFC 9783 §4.4.1).
const TYPE: u64 = 1;
const VALUE: u64 = 2;
const DESC: u64 = 6;
/// Bytes of a nonce in CBOR, and characters in JSON.
const CBOR_NONCE: std::ops::RangeInclusive<usize> = 8..=64;
const JSON_NONCE: std::ops::RangeInclusive<usize> = 8..=88;

/// What is attested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eat {
    /// Who says it, about whom, to whom, and for how long.
    pub claims: Claims,
    /// When it was said, Unix seconds.
    pub issued_at: u64,
    /// The challenge that it answers.
    pub nonce: Option<Vec<u8>>,
    /// The SHA-256 of each component that has a name; names are distinct.
    pub measured: Vec<(String, [u8; 32])>,
    /// Whether nothing in it says that the environment is not what it should be.
    pub sound: bool,
}

impl Eat {
    /// Reads a token, a JWT or the base64url of a CWT, and verifies nothing.
    ///
    /// # Errors
    /// Everything but the closed forms.
    pub fn read(text: &str) -> Result<(Signed, Self), EvidenceError> {
        if text.len() > MAX_TOKEN {
            return Err(EvidenceError::TooLong);
        }
        if text.contains('.') {
            let (signed, payload) = jws::read(text)?;
            return Ok((signed, Self::of_jwt(&payload)?));
        }
        let bytes = unb64url(text).map_err(|_| EvidenceError::Base64)?;
        let (signed, payload) = cwt::read(&bytes)?;
        Ok((signed, Self::of_cwt(payload)?))
    }

    fn of_jwt(payload: &[u8]) -> Result<Self, EvidenceError> {
        let (claims, json) = Claims::of_jwt(payload)?;
        let nonce = match json.get("eat_nonce") {
            None => None,
            Some(Json::String(nonce)) if JSON_NONCE.contains(&nonce.len()) => Some(nonce.as_bytes().to_vec()),
            Some(_) => return Err(EvidenceError::Claim("eat_nonce")),
        };
        let debugged = match json.get("dbgstat") {
            None => false,
            Some(Json::String(status)) => status == "enabled",
            Some(_) => return Err(EvidenceError::Claim("dbgstat")),
        };
        let mut compared = true;
        for group in array(json.get("measres"), "measres")? {
            let Json::Array(group) = group else { return Err(EvidenceError::Claim("measres")) };
            let [Json::String(_), results @ Json::Array(_)] = group.as_slice() else {
                return Err(EvidenceError::Claim("measres"));
            };
            for result in array(Some(results), "measres")? {
                let Json::Array(result) = result else { return Err(EvidenceError::Claim("measres")) };
                let [Json::String(_), Json::String(code)] = result.as_slice() else {
                    return Err(EvidenceError::Claim("measres"));
                };
                compared &= code == "success";
            }
        }
        let mut measured = Measured::default();
        for component in array(json.get("psa-software-components"), Measured::CLAIM)? {
            let Json::Object(_) = component else { return Err(EvidenceError::Claim(Measured::CLAIM)) };
            let text = |name| match component.get(name) {
                None => Ok(None),
                Some(Json::String(text)) => Ok(Some(text.as_str())),
                Some(_) => Err(EvidenceError::Claim(Measured::CLAIM)),
            };
            let value = text("measurement-value")?.ok_or(EvidenceError::Claim(Measured::CLAIM))?;
            let value = unb64url(value).map_err(|_| EvidenceError::Base64)?;
            measured.add(text("measurement-type")?, &value, text("measurement-desc")?)?;
        }
        Self::of(claims, nonce, measured, compared && !debugged)
    }

    fn of_cwt(payload: &[u8]) -> Result<Self, EvidenceError> {
        let pairs = Pairs::read(&mut Decoder::new(payload), payload.len())?;
        let text = |key, name| {
            let text = pairs.get(key).ok_or(EvidenceError::Claim(name))?.text()?;
            if is_name(text) { Ok(text.to_owned()) } else { Err(EvidenceError::Claim(name)) }
        };
        let time = |key, name| {
            let seconds = pairs.get(key).map(|mut value| value.uint()).transpose()?;
            seconds.map(|seconds| in_time(seconds).ok_or(EvidenceError::Claim(name))).transpose()
        };
        let claims = Claims {
            issuer: text(1, "iss")?,
            subject: text(2, "sub")?,
            audience: text(3, "aud")?,
            expires: time(4, "exp")?.ok_or(EvidenceError::Claim("exp"))?,
            not_before: time(5, "nbf")?,
            issued_at: time(6, "iat")?,
        };
        let nonce = pairs.get(NONCE).map(|mut value| value.bytes()).transpose()?;
        if nonce.is_some_and(|nonce| !CBOR_NONCE.contains(&nonce.len())) {
            return Err(EvidenceError::Claim("eat_nonce"));
        }
        let debugged = pairs.get(DBGSTAT).map(|mut value| value.uint()).transpose()? == Some(0);
        let mut compared = true;
        if let Some(mut groups) = pairs.get(MEASRES) {
            for _ in 0..count(groups.array()?)? {
                groups.array_of(2)?;
                groups.text()?;
                for _ in 0..count(groups.array()?)? {
                    groups.array_of(2)?;
                    groups.item(1)?; // text or bytes
                    compared &= groups.uint()? == 1;
                }
            }
        }
        let mut measured = Measured::default();
        if let Some(mut components) = pairs.get(COMPONENTS) {
            for _ in 0..count(components.array()?)? {
                let component = components.item(2)?;
                let members = Pairs::read(&mut Decoder::new(component), component.len())?;
                let text = |key| members.get(key).map(|mut value| value.text()).transpose();
                let value = members.get(VALUE).ok_or(EvidenceError::Claim(Measured::CLAIM))?.bytes()?;
                measured.add(text(TYPE)?, value, text(DESC)?)?;
            }
        }
        Self::of(claims, nonce.map(<[u8]>::to_vec), measured, compared && !debugged)
    }

    fn of(
        claims: Claims,
        nonce: Option<Vec<u8>>,
        Measured(measured): Measured,
        sound: bool,
    ) -> Result<Self, EvidenceError> {
        let issued_at = claims.issued_at.ok_or(EvidenceError::Claim("iat"))?;
        Ok(Self { claims, issued_at, nonce, measured, sound })
    }
}

#[derive(Default)]
struct Measured(Vec<(String, [u8; 32])>);

impl Measured {
    const CLAIM: &'static str = "psa-software-components";

    fn add(&mut self, name: Option<&str>, value: &[u8], algorithm: Option<&str>) -> Result<(), EvidenceError> {
        let Some(name) = name else { return Ok(()) };
        if !is_name(name) || self.0.iter().any(|(other, _)| other == name) {
            return Err(EvidenceError::Claim(Self::CLAIM));
        }
        if let Ok(digest) = value.try_into()
            && algorithm.is_none_or(|algorithm| matches!(algorithm, "sha-256" | "sha256"))
        {
            self.0.push((name.to_owned(), digest));
        }
        Ok(())
    }
}

fn array<'a>(value: Option<&'a Json>, name: &'static str) -> Result<&'a [Json], EvidenceError> {
    match value {
        None => Ok(&[]),
        Some(Json::Array(values)) if values.len() <= MAX_PARTS => Ok(values),
        Some(Json::Array(_)) => Err(EvidenceError::TooMany),
        Some(_) => Err(EvidenceError::Claim(name)),
    }
}

fn count(len: usize) -> Result<usize, EvidenceError> {
    if len <= MAX_PARTS { Ok(len) } else { Err(EvidenceError::TooMany) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cbor::{CborError, Encoder};
    use crate::text::b64url;

    const NAME: &str = "image";

    fn jwt(payload: &str) -> Result<Eat, EvidenceError> {
        let token = format!("{}.{}.{}", b64url(br#"{"alg":"EdDSA"}"#), b64url(payload.as_bytes()), b64url(&[0; 64]));
        Eat::read(&token).map(|(_, eat)| eat)
    }

    fn component(name: &str, digest: &[u8]) -> String {
        format!(r#"{{"measurement-type":"{name}","measurement-value":"{}","signer-id":"AA"}}"#, b64url(digest))
    }

    fn good() -> String {
        format!(
            r#"{{"iss":"i","sub":"s","aud":"a","exp":9,"iat":2,"eat_nonce":"12345678","dbgstat":"disabled","measres":[["m",[["r","success"]]]],"psa-software-components":[{}],"other":{{}}}}"#,
            component(NAME, &[7; 32])
        )
    }

    #[test]
    fn what_is_attested_is_read_from_json() {
        let eat = jwt(&good()).unwrap();
        assert_eq!((eat.claims.subject.as_str(), eat.issued_at, eat.sound), ("s", 2, true));
        assert_eq!((eat.nonce, eat.measured), (Some(b"12345678".to_vec()), vec![(NAME.to_owned(), [7; 32])]));
        for (from, to) in [("\"disabled\"", "\"enabled\""), ("\"success\"", "\"fail\""), ("\"success\"", "\"not-run\"")]
        {
            assert!(!jwt(&good().replace(from, to)).unwrap().sound, "{to}");
        }
        // What cannot be compared is not there: another algorithm, no name.
        for changed in [
            good().replace("\"signer-id\"", "\"measurement-desc\":\"sha-384\",\"signer-id\""),
            good().replace("measurement-type", "type"),
            good().replace(&component(NAME, &[7; 32]), &component(NAME, &[7; 48])),
        ] {
            assert_eq!(jwt(&changed).unwrap().measured, []);
        }
    }

    #[test]
    fn what_is_not_of_the_closed_form_is_refused_with_its_reason() {
        let one = component(NAME, &[7; 32]);
        for (from, to, why) in [
            ("\"iat\":2,", "", EvidenceError::Claim("iat")),
            ("\"12345678\"", "\"1234567\"", EvidenceError::Claim("eat_nonce")),
            ("\"12345678\"", "[\"12345678\"]", EvidenceError::Claim("eat_nonce")),
            ("\"disabled\"", "1", EvidenceError::Claim("dbgstat")),
            ("[\"r\",\"success\"]", "[\"r\"]", EvidenceError::Claim("measres")),
            ("[[\"m\",", "[[1,", EvidenceError::Claim("measres")),
            ("\"measurement-value\"", "\"value\"", EvidenceError::Claim(Measured::CLAIM)),
            (one.as_str(), &format!("{one},{one}"), EvidenceError::Claim(Measured::CLAIM)),
            (one.as_str(), "1", EvidenceError::Claim(Measured::CLAIM)),
            (one.as_str(), &vec!["{}"; MAX_PARTS + 1].join(","), EvidenceError::TooMany),
            ("\"signer-id\":\"AA\"", "\"measurement-desc\":1", EvidenceError::Claim(Measured::CLAIM)),
            (&b64url(&[7; 32]), "A===", EvidenceError::Base64),
        ] {
            let changed = good().replacen(from, to, 1);
            assert_ne!(changed, good());
            assert_eq!(jwt(&changed), Err(why), "{changed}");
        }
        assert_eq!(Eat::read("!").err(), Some(EvidenceError::Base64));
        assert_eq!(Eat::read(&"a".repeat(MAX_TOKEN + 1)).err(), Some(EvidenceError::TooLong));
    }

    /// A CWT of what `write` says; keys in whatever order.
    fn cwt(claims: usize, write: impl Fn(&mut Encoder<'_>)) -> Result<Eat, EvidenceError> {
        let (mut payload, mut token) = (Vec::new(), Vec::new());
        let mut e = Encoder(&mut payload);
        e.map(5 + claims);
        for (key, text) in [(3, "a"), (2, "s"), (1, "i")] {
            e.uint(key);
            e.text(text);
        }
        e.uint(4);
        e.uint(9);
        e.uint(6);
        e.uint(2);
        write(&mut e);
        let mut e = Encoder(&mut token);
        e.tag(18);
        e.array(4);
        e.bytes(&[0xa1, 0x01, 0x27]);
        e.map(0);
        e.bytes(&payload);
        e.bytes(&[0; 64]);
        Eat::read(&b64url(&token)).map(|(_, eat)| eat)
    }

    #[test]
    fn what_is_attested_is_read_from_cbor() {
        let whole = |status: u64, result: u64, nonce: usize, twice: bool| {
            cwt(5, |e| {
                e.uint(COMPONENTS);
                e.array(1 + usize::from(twice));
                for _ in 0..=usize::from(twice) {
                    e.map(3);
                    e.uint(VALUE);
                    e.bytes(&[7; 32]);
                    e.uint(TYPE);
                    e.text(NAME);
                    e.uint(5);
                    e.bytes(&[1; 32]);
                }
                e.uint(NONCE);
                e.bytes(&vec![3; nonce]);
                e.uint(DBGSTAT);
                e.uint(status);
                e.uint(MEASRES);
                e.array(1);
                e.array(2);
                e.text("m");
                e.array(1);
                e.array(2);
                e.bytes(b"r");
                e.uint(result);
                e.int(-75_000); // of somebody else: a float
                e.0.extend([0xf9, 0x3c, 0x00]);
            })
        };
        let eat = whole(2, 1, 8, false).unwrap();
        assert_eq!((eat.claims.subject.as_str(), eat.issued_at, eat.sound), ("s", 2, true));
        assert_eq!((eat.nonce, eat.measured), (Some(vec![3; 8]), vec![(NAME.to_owned(), [7; 32])]));
        assert!(!whole(0, 1, 8, false).unwrap().sound);
        assert!(!whole(2, 2, 8, false).unwrap().sound);
        assert_eq!(whole(2, 1, 7, false), Err(EvidenceError::Claim("eat_nonce")));
        assert_eq!(whole(2, 1, 65, false), Err(EvidenceError::Claim("eat_nonce")));
        assert_eq!(whole(2, 1, 64, true), Err(EvidenceError::Claim(Measured::CLAIM)));
        let twice = cwt(1, |e| {
            e.uint(1);
            e.text("other");
        });
        assert_eq!(twice, Err(EvidenceError::Form));
        let float = cwt(1, |e| {
            e.uint(5);
            e.0.extend([0xfb, 0x41, 0xd0, 0, 0, 0, 0, 0, 0]);
        });
        assert!(matches!(float, Err(EvidenceError::Cbor(CborError::WrongType { .. }))));
        assert_eq!(cwt(0, |_| {}).unwrap().nonce, None);
    }
}
