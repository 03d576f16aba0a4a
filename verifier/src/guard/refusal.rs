//! The closed list of why an action must not run.

use thiserror::Error;

use super::UseStoreError;
use crate::decision::{Class, Condition};
use crate::record::RecordError;
use crate::request::RequestError;
use crate::verify;

/// Why an action must not run. Exhaustive on purpose: who enforces must know every one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The permit cannot be read.
    #[error("{0}")]
    Malformed(&'static str),
    /// The leaf is not a record.
    #[error("{0}")]
    BadRecord(#[from] RecordError),
    /// The path does not lead to the head, or the head's signature fails.
    #[error("bad proof: {0}")]
    BadProof(verify::Refusal),
    /// No trusted key signed the head.
    #[error("no trusted key signed the head")]
    UnknownKey,
    /// The key that signed the head is not believed for this size or time.
    #[error("the log's key is retired for this size or time")]
    RetiredKey,
    /// The record is no decision: bytes that somebody submitted are not a permit.
    #[error("the record is not a decision")]
    NotADecision,
    /// The decision is a denial.
    #[error("denied")]
    Denied,
    /// An allow with a condition that failed, stayed unknown, or was not required though this enforcement point demands it.
    #[error("hollow: condition `{}` is `{}`", .0.name(), .1.name())]
    Hollow(Condition, Class),
    /// The permit belongs to another realm.
    #[error("permit of another realm")]
    WrongRealm,
    /// The permit is for somebody else.
    #[error("permit for another audience")]
    WrongAudience,
    /// The permit is for other bytes.
    #[error("permit for another request")]
    WrongRequest,
    /// The committed bytes are not a request that can be read.
    #[error("the committed request cannot be read: {0}")]
    UnreadableRequest(RequestError),
    /// Times in the permit lie ahead of the clock.
    #[error("permit from the future")]
    FromTheFuture,
    /// The permit holds longer than this enforcement point accepts.
    #[error("permit holds too long")]
    LifetimeTooLong,
    /// The permit or its lease has run out.
    #[error("permit has expired")]
    Expired,
    /// Issued before the use store began to remember: it may have been used.
    #[error("permit is older than what the use store remembers")]
    OlderThanMemory,
    /// Every use was taken.
    #[error("permit was used already")]
    AlreadyUsed,
    /// The use store could not say.
    #[error(transparent)]
    UseStore(#[from] UseStoreError),
}

impl Refusal {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed_permit",
            Self::BadRecord(_) => "malformed_record",
            Self::BadProof(_) => "bad_proof",
            Self::UnknownKey => "unknown_key",
            Self::RetiredKey => "retired_key",
            Self::NotADecision => "not_a_decision",
            Self::Denied => "denied",
            Self::Hollow(_, _) => "hollow",
            Self::WrongRealm => "wrong_realm",
            Self::WrongAudience => "wrong_audience",
            Self::WrongRequest => "wrong_request",
            Self::UnreadableRequest(_) => "unreadable_request",
            Self::FromTheFuture => "from_the_future",
            Self::LifetimeTooLong => "lifetime_too_long",
            Self::Expired => "expired",
            Self::OlderThanMemory => "older_than_memory",
            Self::AlreadyUsed => "already_used",
            Self::UseStore(_) => "use_store_failed",
        }
    }
}
