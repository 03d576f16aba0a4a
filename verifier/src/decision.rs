//! What a decision says in public: its leaf, and how that commits to the private parts.
//!
//! The leaf ([`Decision`]) holds nothing that names a person, an amount or an identifier of the request: those stand in the request bytes
//! and in the [`Detail`], and the leaf has one salted commitment to each. Whoever is given salt and part can check them; whoever is not
//! learns nothing. The leaf is deterministic CBOR, laid out in `record.cddl`.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::cbor::CborError;
pub use crate::detail::{Counted, Counter, Detail, Evidence, EvidenceNonce, MAX_COUNTED, Named, Signed};
use crate::hash::Hash;

/// A permit's name: 16 random bytes, written as 32 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PermitId(pub [u8; 16]);

impl fmt::Display for PermitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Text that is not 32 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a permit id has 32 lower-case hex digits")]
pub struct NotAPermitId;

impl FromStr for PermitId {
    type Err = NotAPermitId;

    fn from_str(text: &str) -> Result<Self, NotAPermitId> {
        let bytes = crate::text::unhex(text).map_err(|_| NotAPermitId)?;
        bytes.try_into().map(Self).map_err(|_| NotAPermitId)
    }
}

/// The nine conditions, in the order in which records hold their verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Condition {
    /// Policy requirements.
    Policy,
    /// Identity verification.
    Identity,
    /// Trust assertions.
    Trust,
    /// Runtime conditions.
    Runtime,
    /// Authorization scopes.
    Scopes,
    /// Operational constraints.
    Operational,
    /// Environmental integrity.
    Environment,
    /// Attestation status.
    Attestation,
    /// Cryptographic permissions.
    Permissions,
}

impl Condition {
    /// All nine, in record order.
    pub const ALL: [Self; 9] = [
        Self::Policy,
        Self::Identity,
        Self::Trust,
        Self::Runtime,
        Self::Scopes,
        Self::Operational,
        Self::Environment,
        Self::Attestation,
        Self::Permissions,
    ];

    /// The name in answers, trust files and documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Identity => "identity",
            Self::Trust => "trust",
            Self::Runtime => "runtime",
            Self::Scopes => "scopes",
            Self::Operational => "operational",
            Self::Environment => "environment",
            Self::Attestation => "attestation",
            Self::Permissions => "permissions",
        }
    }

    /// The condition of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|condition| condition.name() == name)
    }

    /// The place in [`Condition::ALL`] and in [`Classes`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// How a condition came out. `Fail` and `Unknown` deny; their codes stand in the detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    /// Evaluated and met.
    Pass,
    /// The epoch does not require it for this action.
    NotRequired,
    /// Evaluated and not met.
    Fail,
    /// Could not be evaluated.
    Unknown,
}

impl Class {
    /// The name in answers and documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::NotRequired => "not_required",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Pass, Self::NotRequired, Self::Fail, Self::Unknown].into_iter().find(|class| *class as u8 == byte)
    }
}

/// The nine verdict classes of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classes([Class; 9]);

impl Classes {
    /// All nine given in the order of [`Condition::ALL`].
    pub const fn new(classes: [Class; 9]) -> Self {
        Self(classes)
    }

    /// The verdict of one condition.
    pub fn of(&self, condition: Condition) -> Class {
        self.iter().find_map(|(this, class)| (this == condition).then_some(class)).unwrap_or(Class::Unknown)
    }

    /// Replaces the verdict of one condition.
    pub fn set(&mut self, condition: Condition, class: Class) {
        if let Some(slot) = self.0.get_mut(condition.index()) {
            *slot = class;
        }
    }

    /// Condition by condition, in record order.
    pub fn iter(&self) -> impl Iterator<Item = (Condition, Class)> + '_ {
        Condition::ALL.into_iter().zip(self.0)
    }

    /// Whether no condition failed or stayed unknown. That alone does not make a permit: see the guard for hollow ones.
    pub fn none_denies(&self) -> bool {
        self.0.iter().all(|class| matches!(class, Class::Pass | Class::NotRequired))
    }

    pub(crate) fn encode(&self) -> [u8; 9] {
        self.0.map(|class| class as u8)
    }

    pub(crate) fn decode(bytes: [u8; 9], key: u64) -> Result<Self, CborError> {
        let mut classes = Self([Class::Unknown; 9]);
        for (slot, byte) in classes.0.iter_mut().zip(bytes) {
            *slot = Class::from_byte(byte).ok_or(CborError::OutOfRange(key))?;
        }
        Ok(classes)
    }
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// The action must not run.
    Deny,
    /// The action may run once the permit has been verified.
    Allow,
}

impl Outcome {
    /// Its word, as filters and exports have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }

    pub(crate) fn from_uint(value: u64, key: u64) -> Result<Self, CborError> {
        match value {
            0 => Ok(Self::Deny),
            1 => Ok(Self::Allow),
            _ => Err(CborError::OutOfRange(key)),
        }
    }
}

/// The verdict of a candidate epoch that was evaluated beside the live one and enforced nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shadow {
    /// The candidate's number.
    pub epoch: u64,
    /// What it would have decided.
    pub outcome: Outcome,
    /// Its nine verdicts.
    pub classes: Classes,
}

impl Shadow {
    /// What a candidate with these verdicts would have decided.
    #[must_use]
    pub fn of(epoch: u64, classes: Classes) -> Self {
        let outcome = if classes.none_denies() { Outcome::Allow } else { Outcome::Deny };
        Self { epoch, outcome, classes }
    }
}

/// The public leaf of one decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// When the sequencer gave it its place, Unix milliseconds; never goes backwards along the log.
    pub recorded_at: u64,
    /// The governance version that it was decided under: raised by each epoch, switch and revocation.
    pub governance: u64,
    /// The epoch that it was decided under.
    pub epoch: u64,
    /// Its permit's name. A denial has one too.
    pub permit: PermitId,
    /// The realm of the key that asked.
    pub realm: String,
    /// The one time that every condition was evaluated at, Unix milliseconds.
    pub evaluated_at: u64,
    /// What was decided.
    pub outcome: Outcome,
    /// The nine verdicts.
    pub classes: Classes,
    /// [`commitment`] to the request's bytes.
    pub request: Hash,
    /// [`commitment`] to the encoded [`Detail`].
    pub detail: Hash,
    /// What an allowing decision grants; a denial grants nothing.
    pub grant: Option<Grant>,
    /// Who may act on the permit, if the request named somebody.
    pub audience: Option<String>,
    /// The verdict of a candidate epoch, in shadow mode only.
    pub shadow: Option<Shadow>,
}

/// What an allowing decision grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The permit is void at and after this time, Unix milliseconds.
    pub expires_at: u64,
    /// How often it may be acted on, at least once.
    pub uses: u32,
    /// Execution must stop at this time unless a renewal is recorded, Unix milliseconds.
    pub lease_ends_at: Option<u64>,
}

/// SHA-256(salt ‖ part): binds a leaf to a private part without telling anything about it.
pub fn commitment(salt: &[u8; 16], part: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update(salt).chain_update(part).finalize().into())
}
