//! The records of the log: the one place where leaf bytes are made and read.
//!
//! A leaf is one record, deterministic CBOR (RFC 8949 §4.2.1) of at most [`MAX_RECORD`] bytes, laid out in `record.cddl`. A version number
//! leads; unknown versions, kinds and keys are refused. [`Record::encode_into`] is the only way from values to leaf bytes, so bytes that a
//! client chose can only ever stand inside a [`Record::Statement`], never be a leaf of their own.
//!
//! Kinds that no part of the system writes yet are in the format already, since the format cannot change later.

mod read;
mod write;

use thiserror::Error;

use crate::cbor::CborError;
use crate::decision::{Decision, PermitId};
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
        write::record(self, out);
    }

    /// The leaf's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(192);
        self.encode_into(&mut out);
        out
    }

    /// The permit id that a leaf states, if it states to be a decision. Whether it is one, [`Record::decode`] tells.
    pub fn stated_permit(bytes: &[u8]) -> Result<Option<PermitId>, RecordError> {
        read::stated_permit(bytes)
    }

    /// Reads a leaf; refuses all but the one encoding of a known kind.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        Self::read(bytes, true)
    }

    /// As [`Record::decode`], and refuses the same, but texts and bodies stay empty: for who reads millions to see whether they are records.
    pub fn outline(bytes: &[u8]) -> Result<Self, RecordError> {
        Self::read(bytes, false)
    }

    fn read(bytes: &[u8], keep: bool) -> Result<Self, RecordError> {
        if bytes.len() > MAX_RECORD {
            return Err(RecordError::TooLong(bytes.len()));
        }
        read::record(bytes, keep)
    }
}
