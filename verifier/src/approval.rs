//! Approvals: what a person signs so that a denied request may be tried again.
//!
//! An approval is the text of a signed note (C2SP signed-note) under the approver's own key, which the epoch registers. It is bound to one
//! denied decision and, by a salted digest, to what was asked there; the digest tells nothing to whoever has no salt.
//!
//! ```text
//! interlock/approval/v1
//! <origin>
//! <realm>
//! <the denied decision's id>
//! <base64 SHA-256(salt of that decision's request ‖ core)>
//! <void at and after this time, Unix milliseconds>
//! ```
//!
//! The core is the RFC 8785 form of subject, action, resource and context: what is done, to what, by whom. Does not: say who may approve
//! what, nor how often an approval counts; the epoch and the fold do.

use thiserror::Error;

use crate::decision::{PermitId, commitment};
use crate::hash::Hash;
use crate::json::{Json, Object, Text, View};
use crate::request::{Entity, Request};
use crate::text::decimal;

/// RFC 8785 writes numbers as doubles: beyond this two integers may have one form (threat 28).
const MAX_INTEGER: i64 = (1 << 53) - 1;

/// An approval, as signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The log that it is for.
    pub origin: String,
    /// The realm of the decision.
    pub realm: String,
    /// The denied decision.
    pub decision: PermitId,
    /// What was asked there: [`core_digest`].
    pub core: Hash,
    /// Void at and after this time, Unix milliseconds.
    pub expires_at: u64,
}

/// Text that is not an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not an approval: header, origin, realm, decision, digest and expiry, a line each")]
pub struct NotAnApproval;

impl Approval {
    /// The text to sign, with its final line feed. No field may hold a line feed; [`Approval::parse`] gives back the same then.
    pub fn text(&self) -> String {
        let Self { origin, realm, decision, core, expires_at } = self;
        format!("interlock/approval/v1\n{origin}\n{realm}\n{decision}\n{core}\n{expires_at}\n")
    }

    /// Reads the text of an opened note.
    pub fn parse(text: &str) -> Result<Self, NotAnApproval> {
        let lines: Vec<&str> = text.strip_suffix('\n').ok_or(NotAnApproval)?.split('\n').collect();
        let ["interlock/approval/v1", origin, realm, decision, core, expires_at] = lines.as_slice() else {
            return Err(NotAnApproval);
        };
        Ok(Self {
            origin: (*origin).to_owned(),
            realm: (*realm).to_owned(),
            decision: decision.parse().map_err(|_| NotAnApproval)?,
            core: core.parse().map_err(|_| NotAnApproval)?,
            expires_at: decimal(expires_at).map_err(|_| NotAnApproval)?,
        })
    }
}

/// The digest of a request's core under a salt; `None` where it holds an integer that RFC 8785 does not keep apart from others.
pub fn core_digest(salt: &[u8; 16], request: &Request) -> Option<Hash> {
    let properties = [&request.subject.properties, &request.action.properties, &request.resource.properties];
    let exact =
        properties.into_iter().chain([&request.context]).flat_map(Object::iter).all(|(_, value)| is_exact(value));
    exact.then(|| commitment(salt, &core(request)))
}

/// The RFC 8785 form of subject, action, resource and context, absent where empty.
pub fn core(request: &Request) -> Vec<u8> {
    let text = |text: &str| Json::String(text.into());
    let with = |mut pairs: Vec<(Text, Json)>, name: &str, more: &Object| {
        if !more.is_empty() {
            pairs.push((name.into(), Json::Object(more.to_pairs())));
        }
        pairs
    };
    let entity = |entity: &Entity| {
        let pairs = vec![("type".into(), text(&entity.kind)), ("id".into(), text(&entity.id))];
        Json::Object(with(pairs, "properties", &entity.properties))
    };
    let action = vec![("name".into(), text(&request.action.name))];
    let pairs = vec![
        ("subject".into(), entity(&request.subject)),
        ("action".into(), Json::Object(with(action, "properties", &request.action.properties))),
        ("resource".into(), entity(&request.resource)),
    ];
    let whole = Json::Object(with(pairs, "context", &request.context));
    // Only a number that is no number cannot be written, and JSON has none; what has no form cannot be read back, and is denied for that.
    serde_json_canonicalizer::to_vec(&whole).unwrap_or_default()
}

fn is_exact(value: View<'_>) -> bool {
    match value {
        View::Int(value) => (-MAX_INTEGER..=MAX_INTEGER).contains(&value),
        View::Array(items) => items.iter().all(is_exact),
        View::Object(pairs) => pairs.iter().all(|(_, value)| is_exact(value)),
        View::Null | View::Bool(_) | View::Float(_) | View::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(more: &str) -> Request {
        let text = format!(
            r#"{{"action":{{"name":"pay"}},"subject":{{"id":"a","type":"Agent"}},"resource":{{"type":"Account","id":"x"}}{more}}}"#
        );
        Request::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_approval_reads_back_as_written_and_has_one_spelling() {
        let approval = Approval {
            origin: "ledger.example/log".into(),
            realm: "main".into(),
            decision: PermitId([0xa5; 16]),
            core: Hash([7; 32]),
            expires_at: 1_795_428_000_000,
        };
        let text = approval.text();
        assert_eq!(Approval::parse(&text), Ok(approval));
        let zero = text.replace("\n1795", "\n01795");
        for other in
            [text.replace("/v1", "/v2"), text.replace("a5a5", "A5A5"), zero, format!("{text}more\n"), String::new()]
        {
            assert_eq!(Approval::parse(&other), Err(NotAnApproval));
        }
    }

    #[test]
    fn the_core_is_what_is_done_and_nothing_beside_it() {
        let core_of = |more: &str| String::from_utf8(core(&request(more))).unwrap();
        let plain =
            r#"{"action":{"name":"pay"},"resource":{"id":"x","type":"Account"},"subject":{"id":"a","type":"Agent"}}"#;
        assert_eq!(core_of(""), plain);
        assert_eq!(core_of(r#","context":{},"ttl_ms":5,"retry_of":"ffffffffffffffffffffffffffffffff""#), plain);
        assert_ne!(core_of(r#","context":{"cents":1}"#), plain);
        let digest = |more: &str| core_digest(&[1; 16], &request(more));
        assert_ne!(digest(r#","context":{"cents":1}"#), digest(r#","context":{"cents":2}"#));
        assert!(digest(r#","context":{"n":[9007199254740991]}"#).is_some());
        assert_eq!(digest(r#","context":{"n":[{"m":-9007199254740993}]}"#), None);
        assert_ne!(digest(""), core_digest(&[2; 16], &request("")));
    }
}
