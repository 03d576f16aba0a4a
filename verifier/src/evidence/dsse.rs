//! DSSE envelopes (github.com/secure-systems-lab/dsse, protocol and envelope v1), with one signature and an in-toto payload.
//!
//! ```text
//! {"payloadType": "application/vnd.in-toto+json", "payload": BASE64, "signatures": [{"keyid": ISSUER, "sig": BASE64 of 64 bytes}]}
//! ```
//!
//! What is signed is the pre-authentication encoding ([`pae`]). `keyid` says which issuer's key to try and no more: the key decides. One
//! signature, since an envelope here is one issuer's word; base64 is RFC 4648 §4 with padding; other fields are refused. DSSE names no
//! algorithm, so there is none to confuse: it is the key's.

use super::{EvidenceError, MAX_NAME, MAX_TOKEN, Signed};
use crate::json::Json;
use crate::text::unb64;

/// The payload type that is taken.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// An envelope as read, nothing verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// `keyid`: the issuer that it says it is by.
    pub issuer: String,
    /// The bytes that are stated.
    pub payload: Vec<u8>,
    /// What is signed.
    pub signed: Signed,
}

impl Envelope {
    /// Reads an envelope.
    ///
    /// # Errors
    /// Everything but the closed form.
    pub fn read(json: &Json) -> Result<Self, EvidenceError> {
        let [kind, payload, signatures] = members(json, ["payloadType", "payload", "signatures"])?;
        let (Json::String(kind), Json::String(payload), Json::Array(signatures)) = (kind, payload, signatures) else {
            return Err(EvidenceError::Form);
        };
        let [signature] = signatures.as_slice() else { return Err(EvidenceError::Form) };
        let [Json::String(issuer), Json::String(signature)] = members(signature, ["keyid", "sig"])? else {
            return Err(EvidenceError::Form);
        };
        if issuer.is_empty() || issuer.len() > MAX_NAME {
            return Err(EvidenceError::Form);
        }
        if payload.len() > MAX_TOKEN {
            return Err(EvidenceError::TooLong);
        }
        if kind != IN_TOTO {
            return Err(EvidenceError::Type);
        }
        let payload = unb64(payload).map_err(|_| EvidenceError::Base64)?;
        let signature = unb64(signature).map_err(|_| EvidenceError::Base64)?;
        let signature = signature.try_into().map_err(|_| EvidenceError::Signature)?;
        let signed = Signed { message: pae(kind, &payload), algorithm: None, signature };
        Ok(Self { issuer: issuer.to_string(), payload, signed })
    }
}

/// The pre-authentication encoding: lengths keep type and payload apart.
#[must_use]
pub fn pae(kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

/// The members of an object that has exactly these.
fn members<'a, const N: usize>(json: &'a Json, names: [&str; N]) -> Result<[&'a Json; N], EvidenceError> {
    let Json::Object(pairs) = json else { return Err(EvidenceError::Form) };
    let found = names.map(|name| json.get(name));
    if pairs.len() != N || found.iter().any(Option::is_none) {
        return Err(EvidenceError::Form);
    }
    Ok(found.map(|value| value.unwrap_or(json)))
}

#[cfg(test)]
mod tests {
    use super::super::NotSigned;
    use super::super::key::IssuerKey;
    use super::*;

    /// The protocol's own example: type, payload, key and signature.
    #[test]
    fn the_example_of_the_protocol_holds() {
        let message = pae("http://example.com/HelloWorld", b"hello world");
        assert_eq!(message, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
        let key: IssuerKey = "p256:AmfNOQ93qjWcsIwiNfZSJwSTqe2DKwq8wB9wlUwDkNI4".parse().unwrap();
        let signature = "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA==";
        let signature = unb64(signature).unwrap().try_into().unwrap();
        let signed = Signed { message, algorithm: None, signature };
        assert_eq!(signed.is_by(&key), Ok(()));
        let other = Signed { message: pae("http://example.com/HelloWorl", b"dhello world"), ..signed };
        assert_eq!(other.is_by(&key), Err(NotSigned::Signature));
    }

    #[test]
    fn what_is_not_of_the_closed_form_is_refused_with_its_reason() {
        let signature = crate::text::b64(&[0; 64]);
        let good = format!(
            r#"{{"payloadType":"{IN_TOTO}","payload":"e30=","signatures":[{{"keyid":"i","sig":"{signature}"}}]}}"#
        );
        let read = |text: &str| Envelope::read(&Json::parse(text.as_bytes()).unwrap());
        let envelope = read(&good).unwrap();
        assert_eq!((envelope.issuer.as_str(), envelope.payload.as_slice()), ("i", &b"{}"[..]));
        let one = good.split("[").nth(1).unwrap().trim_end_matches("]}").to_owned();
        for (from, to, why) in [
            (IN_TOTO, "text/plain", EvidenceError::Type),
            (IN_TOTO, "application/vnd.in-toto+JSON", EvidenceError::Type),
            ("\"e30=\"", "\"e30\"", EvidenceError::Base64),
            ("\"e30=\"", "7", EvidenceError::Form),
            ("\"keyid\":\"i\",", "", EvidenceError::Form),
            ("\"keyid\":\"i\"", "\"keyid\":\"\"", EvidenceError::Form),
            ("\"keyid\":\"i\"", "\"keyid\":\"i\",\"cert\":\"x\"", EvidenceError::Form),
            (&one, &format!("{one},{one}"), EvidenceError::Form),
            (&one, "", EvidenceError::Form),
            (&signature, "AAAA", EvidenceError::Signature),
            (&signature, "AAA", EvidenceError::Base64),
            ("{\"payloadType\"", "{\"more\":1,\"payloadType\"", EvidenceError::Form),
            ("\"payloadType\"", "\"payloadtype\"", EvidenceError::Form),
        ] {
            let changed = good.replacen(from, to, 1);
            assert_ne!(changed, good);
            assert_eq!(read(&changed), Err(why), "{changed}");
        }
        assert_eq!(read("[]"), Err(EvidenceError::Form));
        assert_eq!(read(&good.replace("e30=", &"A".repeat(MAX_TOKEN + 4))), Err(EvidenceError::TooLong));
    }
}
