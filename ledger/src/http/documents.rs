//! The JSON documents of the read API: records and heads in words. Times are RFC 3339 in UTC, bytes are standard base64.
//!
//! A view is for people and dashboards. What can be checked is the record's bytes, which every view carries.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use verifier::decision::{Classes, Decision, Outcome};
use verifier::hash::{Hash, leaf_hash};
use verifier::record::Record;
use verifier::text::{b64, rfc3339};

use crate::head::Head;

/// One entry.
#[derive(Serialize)]
pub(super) struct EntryView<'a> {
    index: u64,
    leaf: Hash,
    record: String,
    kind: &'static str,
    recorded_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<DecisionView<'a>>,
    /// The signed note that the record carries: a governance act, or an executor's report.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

impl<'a> EntryView<'a> {
    /// The view of the record whose bytes these are.
    pub(super) fn new(index: u64, bytes: &[u8], record: &'a Record) -> Self {
        let (decision, note) = match record {
            Record::Decision(decision) => (Some(DecisionView::new(decision)), None),
            Record::Epoch { note, .. }
            | Record::Switch { note, .. }
            | Record::Revocation { note, .. }
            | Record::Approval { note, .. }
            | Record::Erasure { note, .. }
            | Record::Freeze { note, .. } => (None, Some(note.as_str())),
            Record::Closure { note, .. } => (None, note.as_deref()),
            Record::EpochPart { .. }
            | Record::Lease { .. }
            | Record::SystemSwitch { .. }
            | Record::Statement { .. }
            | Record::State { .. }
            | Record::Anchor { .. }
            | Record::Recovery { .. } => (None, None),
        };
        Self {
            index,
            leaf: leaf_hash(bytes),
            record: b64(bytes),
            kind: record.kind_name(),
            recorded_at: rfc3339(record.recorded_at()),
            decision,
            note,
        }
    }
}

/// A decision's public leaf.
#[derive(Serialize)]
struct DecisionView<'a> {
    permit: String,
    decision: bool,
    realm: &'a str,
    evaluated_at: String,
    epoch: u64,
    governance: u64,
    conditions: Verdicts,
    request: Hash,
    detail: Hash,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uses: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_ends_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<&'a str>,
}

impl<'a> DecisionView<'a> {
    fn new(decision: &'a Decision) -> Self {
        Self {
            permit: decision.permit.to_string(),
            decision: decision.outcome == Outcome::Allow,
            realm: &decision.realm,
            evaluated_at: rfc3339(decision.evaluated_at),
            epoch: decision.epoch,
            governance: decision.governance,
            conditions: Verdicts(decision.classes),
            request: decision.request,
            detail: decision.detail,
            expires_at: decision.grant.map(|grant| rfc3339(grant.expires_at)),
            uses: decision.grant.map(|grant| grant.uses),
            lease_ends_at: decision.grant.and_then(|grant| grant.lease_ends_at).map(rfc3339),
            audience: decision.audience.as_deref(),
        }
    }
}

/// The nine classes by name, in the order of the record.
#[derive(Debug)]
pub struct Verdicts(pub Classes);

impl Serialize for Verdicts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(9))?;
        for (condition, class) in self.0.iter() {
            map.serialize_entry(condition.name(), class.name())?;
        }
        map.end()
    }
}

/// One salted part of a decision: SHA-256(salt ‖ bytes) stands in the leaf.
#[derive(Debug, Serialize)]
pub(super) struct PartView {
    salt: String,
    bytes: String,
}

impl PartView {
    pub(super) fn new(salt: &[u8; 16], bytes: &[u8]) -> Self {
        Self { salt: b64(salt), bytes: b64(bytes) }
    }
}

/// One head.
#[derive(Serialize)]
pub(super) struct HeadView<'a> {
    size: u64,
    root: Hash,
    time: String,
    checkpoint: &'a str,
}

impl<'a> HeadView<'a> {
    pub(super) fn new(head: &'a Head) -> Self {
        Self {
            size: head.checkpoint.size,
            root: head.checkpoint.root,
            time: rfc3339(head.time_ms),
            checkpoint: &head.note,
        }
    }
}
