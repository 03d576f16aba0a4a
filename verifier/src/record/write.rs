//! From a record to its bytes: one key after the other, ascending.

use super::{Record, VERSION};
use crate::cbor::Encoder;
use crate::decision::Decision;

/// The leaf's bytes at the end of a buffer.
pub(super) fn record(record: &Record, out: &mut Vec<u8>) {
    let mut w = Fields { e: Encoder(out), next: 2 };
    match record {
        Record::EpochPart { epoch, part, bytes, .. } => {
            w.open(record, 3).uint(*epoch).uint(*part).bytes(bytes);
        }
        Record::Epoch { governance, first_part, parts, note, predecessor, .. } => {
            let w = w.open(record, 4 + usize::from(predecessor.is_some()));
            w.uint(*governance).uint(*first_part).uint(*parts).text(note).maybe(predecessor.as_deref(), Fields::text);
        }
        Record::Decision(decision) => encode_decision(w.open(record, decision_fields(decision)), decision),
        Record::Closure { permit, event, executed, note, .. } => {
            let w = w.open(record, 2 + usize::from(executed.is_some()) + usize::from(note.is_some()));
            w.bytes(&permit.0).uint(*event as u64);
            w.maybe(executed.as_ref(), |w, hash| w.bytes(&hash.0)).maybe(note.as_deref(), Fields::text);
        }
        Record::Lease { permit, event, ends_at, cause, .. } => {
            let w = w.open(record, 2 + usize::from(ends_at.is_some()) + usize::from(cause.is_some()));
            w.bytes(&permit.0).uint(*event as u64).maybe(*ends_at, Fields::uint).maybe(cause.as_deref(), Fields::text);
        }
        Record::Approval { decision, note, .. } => {
            w.open(record, 2).bytes(&decision.0).text(note);
        }
        Record::Revocation { governance, note, .. }
        | Record::Switch { governance, note, .. }
        | Record::Freeze { governance, note, .. } => {
            w.open(record, 2).uint(*governance).text(note);
        }
        Record::SystemSwitch { governance, cause, .. } => {
            w.open(record, 2).uint(*governance).text(cause);
        }
        Record::Statement { realm, media_type, body, .. } => {
            w.open(record, 3).text(realm).text(media_type).bytes(body);
        }
        Record::State { decisions, digest, .. } => {
            w.open(record, 2).uint(*decisions).bytes(&digest.0);
        }
        Record::Anchor { size, root, instance, entry, .. } => {
            w.open(record, 4).uint(*size).bytes(&root.0).text(instance).bytes(entry);
        }
        Record::Erasure { index, parts, note, .. } => {
            w.open(record, 3).uint(*index).uint(*parts).text(note);
        }
        Record::Recovery { size, cause, .. } => {
            w.open(record, 2).uint(*size).text(cause);
        }
    }
}

/// How many fields of a decision follow the common three.
fn decision_fields(decision: &Decision) -> usize {
    let grant = decision.grant.map_or(0, |grant| 2 + usize::from(grant.lease_ends_at.is_some()));
    9 + grant + usize::from(decision.audience.is_some()) + usize::from(decision.shadow.is_some())
}

fn encode_decision(w: &mut Fields<'_>, decision: &Decision) {
    w.uint(decision.governance).uint(decision.epoch).bytes(&decision.permit.0).text(&decision.realm);
    w.uint(decision.evaluated_at).uint(decision.outcome as u64).bytes(&decision.classes.encode());
    w.bytes(&decision.request.0).bytes(&decision.detail.0);
    w.maybe(decision.grant.map(|grant| grant.expires_at), Fields::uint);
    w.maybe(decision.grant.map(|grant| u64::from(grant.uses)), Fields::uint);
    w.maybe(decision.grant.and_then(|grant| grant.lease_ends_at), Fields::uint);
    w.maybe(decision.audience.as_deref(), Fields::text);
    w.maybe(decision.shadow, |w, shadow| {
        w.key();
        w.e.array(3);
        w.e.uint(shadow.epoch);
        w.e.uint(shadow.outcome as u64);
        w.e.bytes(&shadow.classes.encode());
        w
    });
}

/// Writes fields under ascending keys; a field that is absent still takes its key.
struct Fields<'a> {
    e: Encoder<'a>,
    next: u64,
}

impl Fields<'_> {
    fn open(&mut self, record: &Record, fields: usize) -> &mut Self {
        self.e.map(3 + fields);
        self.e.uint(0);
        self.e.uint(VERSION);
        self.e.uint(1);
        self.e.uint(record.kind());
        self.uint(record.recorded_at())
    }

    fn key(&mut self) {
        self.e.uint(self.next);
        self.next += 1;
    }

    fn uint(&mut self, value: u64) -> &mut Self {
        self.key();
        self.e.uint(value);
        self
    }

    fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.key();
        self.e.bytes(value);
        self
    }

    fn text(&mut self, value: &str) -> &mut Self {
        self.key();
        self.e.text(value);
        self
    }

    fn maybe<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T) -> &mut Self) -> &mut Self {
        match value {
            Some(value) => write(self, value),
            None => {
                self.next += 1;
                self
            }
        }
    }
}
