//! Why: evidence that a service submits is kept as it came, beside the decisions, by the same writer.
//!
//! Guarantees: bytes of a client are never a leaf (threat 1): they stand inside a `statement` record, which decides nothing and which no
//! guard takes for a permit; a [`Stated`] exists only for a record that is durable under a signed head. A leaf is public, so a statement is
//! taken only from a realm whose requests are public.
//! Does not: verify what is submitted, neither a signature in a DSSE envelope nor what it says; recognise a statement that comes again:
//! each submission is an entry of its own, and whoever retries after an answer that was lost may find both in the log.

use std::sync::Arc;

use actix_web::web::Bytes;
use ledger::Head;
use tokio::sync::oneshot;
use verifier::json::Json;
use verifier::record::Record;
use verifier::text::unb64;

use crate::approval::Given;
use crate::keys::Identity;
use crate::proposal::Refusal;
use crate::queue::Load;
use crate::traces::Queued;

/// The media type of a DSSE envelope in JSON; what comes under it must be one.
pub const DSSE: &str = "application/vnd.dsse.envelope.v1+json";
/// The media type of bytes of which nothing is known.
pub const OPAQUE: &str = "application/octet-stream";

/// A statement on its way to the sequencer.
#[derive(Debug)]
pub struct Submission {
    /// Who submits.
    pub caller: Identity,
    /// What is kept.
    pub what: Kept,
    /// The bytes.
    pub body: Bytes,
    /// The governance version under which the realm was found to be public.
    pub governance: u64,
    /// What it counts for in the queue.
    pub load: Load,
    /// Its request's trace, where it has one.
    pub trace: Option<Queued>,
    /// Where the answer goes; dropping it tells the caller that there is none.
    pub reply: oneshot::Sender<Answer>,
}

/// What a service or a person wants kept.
#[derive(Debug)]
pub enum Kept {
    /// Bytes.
    Statement {
        /// What they claim to be.
        media_type: String,
    },
    /// An approval; the body is its note.
    Approval(Box<Given>),
}

/// What the sequencer answers.
#[derive(Debug)]
pub enum Answer {
    /// The record is durable, under a signed head that is remembered.
    Durable(Stated),
    /// Another governance version is in force: look at the realm again. Nothing was recorded.
    Stale,
    /// It cannot be taken. Nothing was recorded.
    Refused(Refusal),
}

/// A statement whose record is durable: made by the sequencer after `append` returned, and nowhere else.
#[derive(Debug)]
pub struct Stated {
    index: u64,
    record: Record,
    head: Arc<Head>,
}

impl Stated {
    /// For the sequencer, after `append` returned.
    pub(crate) fn new(index: u64, record: Record, head: Arc<Head>) -> Self {
        Stated { index, record, head }
    }

    /// Its place in the log.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The record that wraps it.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The signed head that covers it.
    #[must_use]
    pub fn head(&self) -> &Arc<Head> {
        &self.head
    }
}

/// Whether bytes have the shape of a DSSE envelope: a payload with its type and at least one signature. Whose, is not asked.
///
/// # Errors
/// What is missing.
pub fn check_envelope(bytes: &[u8]) -> Result<(), &'static str> {
    let text = |json: &Json, key: &str| match json.get(key) {
        Some(Json::String(text)) => Some(text.clone()),
        _ => None,
    };
    // The envelope's base64 is the standard or the URL-safe alphabet.
    let is_base64 = |text: &str| unb64(&text.replace('-', "+").replace('_', "/")).is_ok();
    let envelope = Json::parse(bytes).map_err(|_| "it is not JSON")?;
    if text(&envelope, "payloadType").is_none_or(|kind| kind.is_empty()) {
        return Err("`payloadType` is missing");
    }
    if !text(&envelope, "payload").is_some_and(|payload| is_base64(&payload)) {
        return Err("`payload` is not base64");
    }
    match envelope.get("signatures") {
        Some(Json::Array(signatures)) if !signatures.is_empty() => {
            let signed = |json: &Json| text(json, "sig").is_some_and(|sig| !sig.is_empty() && is_base64(&sig));
            if signatures.iter().all(signed) { Ok(()) } else { Err("a signature has no base64 `sig`") }
        }
        _ => Err("`signatures` is missing or empty"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_has_a_payload_its_type_and_a_signature() {
        let envelope = |payload: &str, kind: &str, signatures: &str| {
            check_envelope(
                format!(r#"{{"payload":{payload},"payloadType":{kind},"signatures":{signatures}}}"#).as_bytes(),
            )
        };
        let (payload, kind, signed) =
            ("\"e30=\"", "\"application/vnd.in-toto+json\"", r#"[{"keyid":"k","sig":"AA-_"}]"#);
        assert_eq!(envelope(payload, kind, signed), Ok(()));
        for (payload, kind, signatures) in [
            ("1", kind, signed),
            ("\"e30\"", kind, signed),
            (payload, "\"\"", signed),
            (payload, "null", signed),
            (payload, kind, "[]"),
            (payload, kind, "{}"),
            (payload, kind, r#"[{"sig":""}]"#),
            (payload, kind, r#"[{"sig":"AAAA"},{}]"#),
        ] {
            assert!(envelope(payload, kind, signatures).is_err(), "{payload} {kind} {signatures}");
        }
        assert!(check_envelope(b"[]").is_err() && check_envelope(b"").is_err());
    }
}
