//! What an epoch is made of: policies, schema, registered entities and trust configuration as one document.
//!
//! The document is deterministic CBOR. It stands in the log as a run of `epoch-part` records; the closing `epoch` record carries the
//! administrator's act, which names the document's SHA-256. So the content of every epoch, not only its digest, is in the log.

use sha2::{Digest, Sha256};

use crate::cbor::{CborError, Decoder, Encoder};
use crate::hash::Hash;
use crate::record::MAX_BODY;

/// At most so many policies stand in an epoch.
pub const MAX_POLICIES: usize = 100_000;
/// An epoch's document has at most so many bytes.
pub const MAX_CONTENT: usize = 64 * 1024 * 1024;

/// An epoch's content, as published.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EpochContent {
    /// Cedar policies: id and source text, ids strictly ascending.
    pub policies: Vec<(String, String)>,
    /// The schema in Cedar syntax.
    pub schema: Option<String>,
    /// Registered entities in Cedar's JSON entity format.
    pub entities: Option<String>,
    /// Trust configuration, TOML.
    pub trust: Option<String>,
}

impl EpochContent {
    const VERSION: u64 = 1;

    /// The document.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut e = Encoder(&mut out);
        let optional = [(2, &self.schema), (3, &self.entities), (4, &self.trust)];
        e.map(2 + optional.iter().filter(|(_, text)| text.is_some()).count());
        e.uint(0);
        e.uint(Self::VERSION);
        e.uint(1);
        e.array(self.policies.len());
        for (id, text) in &self.policies {
            e.array(2);
            e.text(id);
            e.text(text);
        }
        for (key, text) in optional {
            if let Some(text) = text {
                e.uint(key);
                e.text(text);
            }
        }
        out
    }

    /// Reads the document back; refuses all but the one encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let d = &mut Decoder::new(bytes);
        let mut map = d.map()?;
        map.required(d, 0)?;
        if d.uint()? != Self::VERSION {
            return Err(CborError::OutOfRange(0));
        }
        map.required(d, 1)?;
        let count = d.array()?;
        if count > MAX_POLICIES {
            return Err(CborError::OutOfRange(1));
        }
        let mut policies: Vec<(String, String)> = Vec::new();
        for _ in 0..count {
            d.array_of(2)?;
            let policy = (d.text()?.to_owned(), d.text()?.to_owned());
            if policies.last().is_some_and(|(last, _)| *last >= policy.0) {
                return Err(CborError::OutOfRange(1));
            }
            policies.push(policy);
        }
        let mut text =
            |d: &mut Decoder<'_>, key| map.optional(d, key)?.then(|| d.text().map(str::to_owned)).transpose();
        let (schema, entities, trust) = (text(d, 2)?, text(d, 3)?, text(d, 4)?);
        map.finish(d)?;
        d.clone().finish()?;
        Ok(Self { policies, schema, entities, trust })
    }

    /// SHA-256 of the document.
    pub fn digest(&self) -> Hash {
        digest(&self.encode())
    }
}

/// SHA-256 of a content document.
pub fn digest(document: &[u8]) -> Hash {
    Hash(Sha256::digest(document).into())
}

/// The pieces in which a document stands in the log; an empty document has none.
pub fn parts(document: &[u8]) -> impl ExactSizeIterator<Item = &[u8]> {
    document.chunks(MAX_BODY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_reads_back_as_written_and_in_one_form_only() {
        let content = EpochContent {
            policies: vec![("a".into(), "permit(principal,action,resource);".into()), ("b".into(), String::new())],
            schema: Some("entity A;".into()),
            entities: None,
            trust: Some("[limits]".into()),
        };
        let document = content.encode();
        assert_eq!(EpochContent::decode(&document), Ok(content.clone()));
        assert_eq!(content.digest(), digest(&document));
        let mut unsorted = content;
        unsorted.policies.reverse();
        assert_eq!(EpochContent::decode(&unsorted.encode()), Err(CborError::OutOfRange(1)));
        assert!(EpochContent::decode(&[document, vec![0]].concat()).is_err());
    }
}
