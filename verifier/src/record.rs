//! The records of the log: the one place where leaf bytes are made and read.
//!
//! A leaf is one record, deterministic CBOR (RFC 8949 §4.2.1) of at most [`MAX_RECORD`] bytes, laid out in `record.cddl`. A version number
//! leads; unknown versions, kinds and keys are refused. [`Record::encode_into`] is the only way from values to leaf bytes, so bytes that a
//! client chose can only ever stand inside a [`Record::Statement`], never be a leaf of their own.
//!
//! Kinds that no part of the system writes yet are in the format already, since the format cannot change later.

use thiserror::Error;

use crate::cbor::{CborError, Decoder, Encoder, Map};
use crate::decision::{Classes, Decision, Grant, Outcome, PermitId, Shadow};
use crate::hash::Hash;

/// A record has at most so many bytes: the entry bundle's length prefix is 16 bits (C2SP tlog-tiles).
pub const MAX_RECORD: usize = 65_535;
/// The longest byte string that a record carries for somebody else: an epoch's part, a statement's body, an anchor's entry.
pub const MAX_BODY: usize = 60_000;
/// The longest signed note that a governance record carries.
pub const MAX_NOTE: usize = 16_384;
/// The longest name that a record carries: realm, audience, media type, cause, instance.
pub const MAX_NAME: usize = 255;

/// The format that this crate writes and reads.
const VERSION: u64 = 1;
// The largest record fits: one body or two notes, and less than 2 KiB of everything else.
const _: () = assert!(MAX_BODY + 2_048 <= MAX_RECORD && 2 * MAX_NOTE + 2_048 <= MAX_RECORD);

/// Why bytes are not a record.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    /// Not the deterministic CBOR of the schema.
    #[error("record is malformed: {0}")]
    Malformed(#[from] CborError),
    /// A format that this crate does not know.
    #[error("record version {0} is not known")]
    UnknownVersion(u64),
    /// A kind that this crate does not know.
    #[error("record kind {0} is not known")]
    UnknownKind(u64),
    /// More than [`MAX_RECORD`] bytes.
    #[error("record has {0} bytes, more than 65,535")]
    TooLong(usize),
}

/// What the executor reports about an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExecutionEvent {
    /// It begins.
    Started,
    /// It ended as permitted.
    Completed,
    /// It ended in an error.
    Failed,
    /// It was given up.
    Aborted,
    /// Nothing was reported in time.
    Missing,
}

/// What became of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum LeaseEvent {
    /// It goes on.
    Renewed,
    /// It was ended by revocation, switch or epoch.
    Halted,
    /// It ran out.
    Expired,
}

/// One record. Times are Unix milliseconds; `note` is a whole signed note (C2SP signed-note) of a governance act, verbatim.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are documented key by key in `record.cddl`")]
pub enum Record {
    /// A piece of an epoch's content document; only the closing [`Record::Epoch`] makes it count.
    EpochPart { recorded_at: u64, epoch: u64, part: u64, bytes: Vec<u8> },
    /// Closes a run of parts and switches to the epoch. The log's very first epoch may name the final head of the log that it succeeds.
    Epoch { recorded_at: u64, governance: u64, first_part: u64, parts: u64, note: String, predecessor: Option<String> },
    /// A decision.
    Decision(Box<Decision>),
    /// A report about an execution; `executed` is the commitment to what was really done, under the permit's request salt.
    Closure { recorded_at: u64, permit: PermitId, event: ExecutionEvent, executed: Option<Hash>, note: Option<String> },
    /// A lease's next step.
    Lease { recorded_at: u64, permit: PermitId, event: LeaseEvent, ends_at: Option<u64>, cause: Option<String> },
    /// An approver's consent to a denied decision.
    Approval { recorded_at: u64, decision: PermitId, note: String },
    /// A permit, key, issuer, subject or policy is revoked.
    Revocation { recorded_at: u64, governance: u64, note: String },
    /// A kill switch is thrown or released by an administrator.
    Switch { recorded_at: u64, governance: u64, note: String },
    /// The system itself switches, with its cause: a compiled policy disagreed with Cedar.
    SystemSwitch { recorded_at: u64, governance: u64, cause: String },
    /// Evidence that a service submitted.
    Statement { recorded_at: u64, realm: String, media_type: String, body: Vec<u8> },
    /// The digest of the authorizer's fold after so many decisions.
    State { recorded_at: u64, decisions: u64, digest: Hash },
    /// A head of this log stands in another log.
    Anchor { recorded_at: u64, size: u64, root: Hash, instance: String, entry: Vec<u8> },
    /// Private parts of a decision were erased: bit 0 the request, bit 1 the detail.
    Erasure { recorded_at: u64, index: u64, parts: u64, note: String },
    /// The log ends here; the note names its successor, if any.
    Freeze { recorded_at: u64, governance: u64, note: String },
    /// The log was re-opened at this size in a way that needed an operator's word, which is the cause.
    Recovery { recorded_at: u64, size: u64, cause: String },
}

impl Record {
    /// The kind's number in the format.
    pub fn kind(&self) -> u64 {
        match self {
            Self::EpochPart { .. } => 1,
            Self::Epoch { .. } => 2,
            Self::Decision(_) => 3,
            Self::Closure { .. } => 4,
            Self::Lease { .. } => 5,
            Self::Approval { .. } => 6,
            Self::Revocation { .. } => 7,
            Self::Switch { .. } => 8,
            Self::Statement { .. } => 9,
            Self::State { .. } => 10,
            Self::Anchor { .. } => 11,
            Self::Erasure { .. } => 12,
            Self::Freeze { .. } => 13,
            Self::Recovery { .. } => 14,
            Self::SystemSwitch { .. } => 15,
        }
    }

    /// The kind's name in answers and documents.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::EpochPart { .. } => "epoch-part",
            Self::Epoch { .. } => "epoch",
            Self::Decision(_) => "decision",
            Self::Closure { .. } => "closure",
            Self::Lease { .. } => "lease",
            Self::Approval { .. } => "approval",
            Self::Revocation { .. } => "revocation",
            Self::Switch { .. } => "switch",
            Self::Statement { .. } => "statement",
            Self::State { .. } => "state",
            Self::Anchor { .. } => "anchor",
            Self::Erasure { .. } => "erasure",
            Self::Freeze { .. } => "freeze",
            Self::Recovery { .. } => "recovery",
            Self::SystemSwitch { .. } => "system-switch",
        }
    }

    /// When the record was given its place in the log, Unix milliseconds.
    pub fn recorded_at(&self) -> u64 {
        match self {
            Self::Decision(decision) => decision.recorded_at,
            Self::EpochPart { recorded_at, .. }
            | Self::Epoch { recorded_at, .. }
            | Self::Closure { recorded_at, .. }
            | Self::Lease { recorded_at, .. }
            | Self::Approval { recorded_at, .. }
            | Self::Revocation { recorded_at, .. }
            | Self::Switch { recorded_at, .. }
            | Self::SystemSwitch { recorded_at, .. }
            | Self::Statement { recorded_at, .. }
            | Self::State { recorded_at, .. }
            | Self::Anchor { recorded_at, .. }
            | Self::Erasure { recorded_at, .. }
            | Self::Freeze { recorded_at, .. }
            | Self::Recovery { recorded_at, .. } => *recorded_at,
        }
    }

    /// The leaf's bytes at the end of a buffer.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let mut w = Fields { e: Encoder(out), next: 2 };
        match self {
            Self::EpochPart { epoch, part, bytes, .. } => {
                w.open(self, 3).uint(*epoch).uint(*part).bytes(bytes);
            }
            Self::Epoch { governance, first_part, parts, note, predecessor, .. } => {
                let w = w.open(self, 4 + usize::from(predecessor.is_some()));
                w.uint(*governance)
                    .uint(*first_part)
                    .uint(*parts)
                    .text(note)
                    .maybe(predecessor.as_deref(), Fields::text);
            }
            Self::Decision(decision) => encode_decision(w.open(self, decision_fields(decision)), decision),
            Self::Closure { permit, event, executed, note, .. } => {
                let w = w.open(self, 2 + usize::from(executed.is_some()) + usize::from(note.is_some()));
                w.bytes(&permit.0).uint(*event as u64);
                w.maybe(executed.as_ref(), |w, hash| w.bytes(&hash.0)).maybe(note.as_deref(), Fields::text);
            }
            Self::Lease { permit, event, ends_at, cause, .. } => {
                let w = w.open(self, 2 + usize::from(ends_at.is_some()) + usize::from(cause.is_some()));
                w.bytes(&permit.0)
                    .uint(*event as u64)
                    .maybe(*ends_at, Fields::uint)
                    .maybe(cause.as_deref(), Fields::text);
            }
            Self::Approval { decision, note, .. } => {
                w.open(self, 2).bytes(&decision.0).text(note);
            }
            Self::Revocation { governance, note, .. }
            | Self::Switch { governance, note, .. }
            | Self::Freeze { governance, note, .. } => {
                w.open(self, 2).uint(*governance).text(note);
            }
            Self::SystemSwitch { governance, cause, .. } => {
                w.open(self, 2).uint(*governance).text(cause);
            }
            Self::Statement { realm, media_type, body, .. } => {
                w.open(self, 3).text(realm).text(media_type).bytes(body);
            }
            Self::State { decisions, digest, .. } => {
                w.open(self, 2).uint(*decisions).bytes(&digest.0);
            }
            Self::Anchor { size, root, instance, entry, .. } => {
                w.open(self, 4).uint(*size).bytes(&root.0).text(instance).bytes(entry);
            }
            Self::Erasure { index, parts, note, .. } => {
                w.open(self, 3).uint(*index).uint(*parts).text(note);
            }
            Self::Recovery { size, cause, .. } => {
                w.open(self, 2).uint(*size).text(cause);
            }
        }
    }

    /// The leaf's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(192);
        self.encode_into(&mut out);
        out
    }

    /// Reads a leaf; refuses all but the one encoding of a known kind.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > MAX_RECORD {
            return Err(RecordError::TooLong(bytes.len()));
        }
        let mut d = Decoder::new(bytes);
        let mut map = d.map()?;
        map.required(&mut d, 0)?;
        let version = d.uint()?;
        if version != VERSION {
            return Err(RecordError::UnknownVersion(version));
        }
        map.required(&mut d, 1)?;
        let kind = d.uint()?;
        map.required(&mut d, 2)?;
        let recorded_at = d.uint()?;
        let mut r = Reading { d, map, next: 3 };
        let record = r.record(kind, recorded_at)?;
        r.map.finish(&r.d)?;
        r.d.finish()?;
        Ok(record)
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

/// Reads the fields back, in the same order and under the same keys.
struct Reading<'a> {
    d: Decoder<'a>,
    map: Map,
    next: u64,
}

impl<'a> Reading<'a> {
    fn record(&mut self, kind: u64, recorded_at: u64) -> Result<Record, RecordError> {
        Ok(match kind {
            1 => Record::EpochPart { recorded_at, epoch: self.uint()?, part: self.uint()?, bytes: self.body()? },
            2 => Record::Epoch {
                recorded_at,
                governance: self.uint()?,
                first_part: self.uint()?,
                parts: self.uint()?,
                note: self.text(MAX_NOTE)?,
                predecessor: self.optional(|r, key| r.bounded(key, MAX_NOTE))?,
            },
            3 => Record::Decision(Box::new(self.decision(recorded_at)?)),
            4 => Record::Closure {
                recorded_at,
                permit: PermitId(self.fixed()?),
                event: self.event(&[
                    ExecutionEvent::Started,
                    ExecutionEvent::Completed,
                    ExecutionEvent::Failed,
                    ExecutionEvent::Aborted,
                    ExecutionEvent::Missing,
                ])?,
                executed: self.optional(|r, _| Ok(Hash(r.d.bytes_of()?)))?,
                note: self.optional(|r, key| r.bounded(key, MAX_NOTE))?,
            },
            5 => Record::Lease {
                recorded_at,
                permit: PermitId(self.fixed()?),
                event: self.event(&[LeaseEvent::Renewed, LeaseEvent::Halted, LeaseEvent::Expired])?,
                ends_at: self.optional(|r, _| r.d.uint())?,
                cause: self.optional(|r, key| r.bounded(key, MAX_NAME))?,
            },
            6 => Record::Approval { recorded_at, decision: PermitId(self.fixed()?), note: self.text(MAX_NOTE)? },
            7 => Record::Revocation { recorded_at, governance: self.uint()?, note: self.text(MAX_NOTE)? },
            8 => Record::Switch { recorded_at, governance: self.uint()?, note: self.text(MAX_NOTE)? },
            9 => Record::Statement {
                recorded_at,
                realm: self.text(MAX_NAME)?,
                media_type: self.text(MAX_NAME)?,
                body: self.body()?,
            },
            10 => Record::State { recorded_at, decisions: self.uint()?, digest: Hash(self.fixed()?) },
            11 => Record::Anchor {
                recorded_at,
                size: self.uint()?,
                root: Hash(self.fixed()?),
                instance: self.text(MAX_NAME)?,
                entry: self.body()?,
            },
            12 => Record::Erasure {
                recorded_at,
                index: self.uint()?,
                parts: self.within(1..=3)?,
                note: self.text(MAX_NOTE)?,
            },
            13 => Record::Freeze { recorded_at, governance: self.uint()?, note: self.text(MAX_NOTE)? },
            14 => Record::Recovery { recorded_at, size: self.uint()?, cause: self.text(MAX_NAME)? },
            15 => Record::SystemSwitch { recorded_at, governance: self.uint()?, cause: self.text(MAX_NAME)? },
            _ => return Err(RecordError::UnknownKind(kind)),
        })
    }

    fn decision(&mut self, recorded_at: u64) -> Result<Decision, CborError> {
        let governance = self.uint()?;
        let epoch = self.uint()?;
        let permit = PermitId(self.fixed()?);
        let realm = self.text(MAX_NAME)?;
        let evaluated_at = self.uint()?;
        let outcome = Outcome::from_uint(self.uint()?, 8)?;
        let classes = Classes::decode(self.fixed()?, 9)?;
        let request = Hash(self.fixed()?);
        let detail = Hash(self.fixed()?);
        let expires_at = self.optional(|r, _| r.d.uint())?;
        let uses = self.optional(|r, key| {
            let uses = r.d.uint()?;
            u32::try_from(uses).ok().filter(|uses| *uses >= 1).ok_or(CborError::OutOfRange(key))
        })?;
        let lease_ends_at = self.optional(|r, _| r.d.uint())?;
        let audience = self.optional(|r, key| r.bounded(key, MAX_NAME))?;
        let shadow = self.optional(|r, key| {
            r.d.array_of(3)?;
            let epoch = r.d.uint()?;
            let outcome = Outcome::from_uint(r.d.uint()?, key)?;
            Ok(Shadow { epoch, outcome, classes: Classes::decode(r.d.bytes_of()?, key)? })
        })?;
        // An allowing decision grants, a denial grants nothing: neither half may be missing.
        let grant = match (outcome, expires_at, uses, lease_ends_at) {
            (Outcome::Allow, Some(expires_at), Some(uses), lease_ends_at) => {
                Some(Grant { expires_at, uses, lease_ends_at })
            }
            (Outcome::Deny, None, None, None) => None,
            (Outcome::Allow | Outcome::Deny, _, _, _) => return Err(CborError::OutOfRange(8)),
        };
        Ok(Decision {
            recorded_at,
            governance,
            epoch,
            permit,
            realm,
            evaluated_at,
            outcome,
            classes,
            request,
            detail,
            grant,
            audience,
            shadow,
        })
    }

    fn key(&mut self) -> Result<u64, CborError> {
        let key = self.next;
        self.next += 1;
        self.map.required(&mut self.d, key)?;
        Ok(key)
    }

    fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self, u64) -> Result<T, CborError>,
    ) -> Result<Option<T>, CborError> {
        let key = self.next;
        self.next += 1;
        if self.map.optional(&mut self.d, key)? { read(self, key).map(Some) } else { Ok(None) }
    }

    fn uint(&mut self) -> Result<u64, CborError> {
        self.key()?;
        self.d.uint()
    }

    fn within(&mut self, range: std::ops::RangeInclusive<u64>) -> Result<u64, CborError> {
        let key = self.key()?;
        let value = self.d.uint()?;
        if range.contains(&value) { Ok(value) } else { Err(CborError::OutOfRange(key)) }
    }

    fn event<T: Copy>(&mut self, all: &[T]) -> Result<T, CborError> {
        let key = self.key()?;
        let value = self.d.uint()?;
        let event = usize::try_from(value).ok().and_then(|at| all.get(at));
        event.copied().ok_or(CborError::OutOfRange(key))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], CborError> {
        self.key()?;
        self.d.bytes_of()
    }

    fn text(&mut self, most: usize) -> Result<String, CborError> {
        let key = self.key()?;
        self.bounded(key, most)
    }

    fn bounded(&mut self, key: u64, most: usize) -> Result<String, CborError> {
        let text = self.d.text()?;
        if text.len() <= most { Ok(text.to_owned()) } else { Err(CborError::OutOfRange(key)) }
    }

    fn body(&mut self) -> Result<Vec<u8>, CborError> {
        let key = self.key()?;
        let bytes = self.d.bytes()?;
        if bytes.len() <= MAX_BODY { Ok(bytes.to_vec()) } else { Err(CborError::OutOfRange(key)) }
    }
}
