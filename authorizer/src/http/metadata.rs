//! AuthZEN's metadata: where the decision API is to be found, and a signed copy of it (JWS compact, RFC 7515; EdDSA, RFC 8037).
//!
//! The address by which clients come is for the operator to say (`--base-url`); without it there is no metadata, with or without a key.
//! The copy is signed by the log's own key, once, at the start: whoever pins the log's key need pin no other.
//!
//! Guarantees: nothing is said but the base and what follows from it. Does not: follow the base's TLS, which ends before us.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ledger::Ledger;
use serde_json::{Map, Value, json};

/// A base address has at most so many bytes.
const MAX_BASE: usize = 512;
/// Where the document stands, before the base's own path.
pub const WELL_KNOWN: &str = "/.well-known/authzen-configuration";
const ENDPOINTS: [(&str, &str); 5] = [
    ("access_evaluation_endpoint", "/access/v1/evaluation"),
    ("access_evaluations_endpoint", "/access/v1/evaluations"),
    ("search_subject_endpoint", "/access/v1/search/subject"),
    ("search_resource_endpoint", "/access/v1/search/resource"),
    ("search_action_endpoint", "/access/v1/search/action"),
];

/// The address by which clients come: `https`, without query, fragment or final slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(String);

/// Why an address cannot be the base.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an `https://` address of printable ASCII without query, fragment, user or final slash, of at most {MAX_BASE} bytes"
)]
pub struct NoBase(String);

impl std::str::FromStr for BaseUrl {
    type Err = NoBase;

    fn from_str(text: &str) -> Result<Self, NoBase> {
        let host = text.strip_prefix("https://").map(|rest| rest.split('/').next().unwrap_or_default());
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '@' | '"' | '\\' | '<' | '>');
        let good = host.is_some_and(|host| !host.is_empty())
            && text.len() <= MAX_BASE
            && text.chars().all(plain)
            && !text.ends_with('/');
        if good { Ok(Self(text.to_owned())) } else { Err(NoBase(text.chars().take(MAX_BASE).collect())) }
    }
}

/// The document and its path.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// [`WELL_KNOWN`], and the base's path behind it.
    pub path: String,
    /// JSON.
    pub body: String,
}

impl Metadata {
    /// What is said of this base, signed by the log's key. `None` only if that key signs no such thing, which it always does.
    #[must_use]
    pub fn of(base: &BaseUrl, ledger: &Ledger) -> Option<Self> {
        let BaseUrl(base) = base;
        let mut said = Map::new();
        said.insert("policy_decision_point".to_owned(), json!(base));
        said.extend(ENDPOINTS.map(|(name, path)| (name.to_owned(), Value::String(format!("{base}{path}")))));
        let mut claims = said.clone();
        claims.insert("iss".to_owned(), json!(base));
        let header = json!({ "alg": "EdDSA", "kid": ledger.verifier_key().to_string(), "typ": "JWT" });
        let encode = |value: String| BASE64_URL_SAFE_NO_PAD.encode(value);
        let input = format!("{}.{}", encode(header.to_string()), encode(Value::Object(claims).to_string()));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(ledger.sign_jws(&input)?);
        said.insert("signed_metadata".to_owned(), json!(format!("{input}.{signature}")));
        let behind_host = base.get("https://".len()..).and_then(|rest| rest.find('/').and_then(|at| rest.get(at..)));
        let path = format!("{WELL_KNOWN}{}", behind_host.unwrap_or_default());
        Some(Self { path, body: Value::Object(said).to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_an_https_address_and_nothing_behind_it() {
        for good in ["https://pdp.example", "https://pdp.example:8443", "https://pdp.example/tenant1"] {
            assert!(good.parse::<BaseUrl>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "http://pdp.example",
            "https://",
            "https:///x",
            "https://pdp.example/",
            "https://pdp.example?a",
            "https://pdp.example#a",
            "https://u@pdp.example",
            "https://pdp.example/a b",
            "https://pdp.exämple",
        ] {
            assert!(bad.parse::<BaseUrl>().is_err(), "{bad}");
        }
        assert!(format!("https://{}", "a".repeat(MAX_BASE)).parse::<BaseUrl>().is_err());
    }
}
