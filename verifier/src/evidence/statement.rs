//! in-toto Statements v1 (github.com/in-toto/attestation, spec/v1/statement.md): a predicate about artifacts, which are named by digest.
//!
//! Guarantees: type and predicate type are there, and at least one subject has a SHA-256. Does not: read names of subjects, which bind
//! nothing; nor fields that are not known, which the specification says to pass over.

use super::claims::is_name;
use super::{EvidenceError, MAX_PARTS};
use crate::json::Json;
use crate::text::unhex;

/// The type of statements that is taken.
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// A statement, as read.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// SHA-256 of each subject that has one.
    pub digests: Vec<[u8; 32]>,
    /// What kind of predicate it is.
    pub predicate_type: String,
    /// What is said of the subjects: an object.
    pub predicate: Json,
}

impl Statement {
    /// Reads the payload of an envelope.
    ///
    /// # Errors
    /// [`EvidenceError::Json`], [`EvidenceError::Type`], [`EvidenceError::Claim`], [`EvidenceError::TooMany`].
    pub fn read(payload: &[u8]) -> Result<Self, EvidenceError> {
        let json = Json::parse(payload).map_err(|_| EvidenceError::Json)?;
        if json.get("_type") != Some(&Json::String(STATEMENT.into())) {
            return Err(EvidenceError::Type);
        }
        let Some(Json::Array(subjects)) = json.get("subject") else { return Err(EvidenceError::Claim("subject")) };
        if subjects.len() > MAX_PARTS {
            return Err(EvidenceError::TooMany);
        }
        let mut digests = Vec::new();
        for subject in subjects {
            let Some(Json::Object(named)) = subject.get("digest") else { return Err(EvidenceError::Claim("subject")) };
            let sha256 = named.iter().find(|(name, _)| name == "sha256").map(|(_, value)| digest(value));
            digests.extend(sha256.transpose()?);
        }
        if digests.is_empty() {
            return Err(EvidenceError::Claim("subject"));
        }
        let predicate_type = match json.get("predicateType") {
            Some(Json::String(kind)) if is_name(kind) => kind.to_string(),
            Some(_) | None => return Err(EvidenceError::Claim("predicateType")),
        };
        match json.get("predicate") {
            Some(predicate @ Json::Object(_)) => Ok(Self { digests, predicate_type, predicate: predicate.clone() }),
            Some(_) | None => Err(EvidenceError::Claim("predicate")),
        }
    }
}

fn digest(value: &Json) -> Result<[u8; 32], EvidenceError> {
    let Json::String(hex) = value else { return Err(EvidenceError::Claim("subject")) };
    unhex(hex).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(EvidenceError::Claim("subject"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_read_and_what_it_must_have_is_asked_for() {
        let hex = "ab".repeat(32);
        let good = format!(
            r#"{{"_type":"{STATEMENT}","subject":[{{"name":"m","digest":{{"sha256":"{hex}","sha1":"x"}}}},{{"digest":{{"sha1":"x"}}}}],"predicateType":"https://slsa.dev/verification_summary/v1","predicate":{{"verificationResult":"PASSED"}},"more":1}}"#
        );
        let read = Statement::read(good.as_bytes()).unwrap();
        assert_eq!(
            (read.digests.as_slice(), read.predicate_type.as_str()),
            (&[[0xab; 32]][..], "https://slsa.dev/verification_summary/v1")
        );
        for (from, to, why) in [
            ("/v1\",\"subject", "/v0.1\",\"subject", EvidenceError::Type),
            ("\"sha256\"", "\"sha-256\"", EvidenceError::Claim("subject")),
            (hex.as_str(), "AB", EvidenceError::Claim("subject")),
            ("\"digest\":{\"sha1\"", "\"digests\":{\"sha1\"", EvidenceError::Claim("subject")),
            ("\"subject\"", "\"subjects\"", EvidenceError::Claim("subject")),
            ("\"predicateType\"", "\"predicatetype\"", EvidenceError::Claim("predicateType")),
            ("{\"verificationResult\":\"PASSED\"}", "\"PASSED\"", EvidenceError::Claim("predicate")),
            ("\"more\":1", "\"subject\":[]", EvidenceError::Json),
        ] {
            let changed = good.replacen(from, to, 1);
            assert_ne!(changed, good);
            assert_eq!(Statement::read(changed.as_bytes()), Err(why), "{changed}");
        }
        let many = vec![format!(r#"{{"digest":{{"sha256":"{hex}"}}}}"#); MAX_PARTS + 1].join(",");
        let many = good.replace(r#"{"digest":{"sha1":"x"}}"#, &many);
        assert_eq!(Statement::read(many.as_bytes()), Err(EvidenceError::TooMany));
    }
}
