//! What a decision says: its public leaf, and the private detail that the leaf commits to.
//!
//! The leaf ([`Decision`]) holds nothing that names a person, an amount or an identifier of the request: those stand in the request bytes
//! and in the [`Detail`], and the leaf has one salted commitment to each. Whoever is given salt and part can check them; whoever is not
//! learns nothing. Both are deterministic CBOR, laid out in `record.cddl`.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::cbor::{CborError, Decoder, Encoder};
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

/// A sorted list of names that is cut to [`Named::SHOWN`], with the count and a digest of the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The first names.
    pub shown: Vec<String>,
    /// How many there are in all.
    pub count: u64,
    /// SHA-256 over the deterministic CBOR array of all names.
    pub digest: Hash,
}

impl Named {
    /// So many names are written out: thousands of determining policies must not overflow a record.
    pub const SHOWN: usize = 32;

    /// From all names, sorted ascending and distinct.
    pub fn new(names: &[String]) -> Self {
        let mut all = Vec::new();
        let mut encoder = Encoder(&mut all);
        encoder.array(names.len());
        names.iter().for_each(|name| encoder.text(name));
        Self {
            shown: names.iter().take(Self::SHOWN).cloned().collect(),
            count: names.len() as u64,
            digest: Hash(Sha256::digest(&all).into()),
        }
    }

    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.array(3);
        encoder.uint(self.count);
        encoder.bytes(&self.digest.0);
        encoder.array(self.shown.len());
        self.shown.iter().for_each(|name| encoder.text(name));
    }

    fn decode(decoder: &mut Decoder<'_>, key: u64) -> Result<Self, CborError> {
        decoder.array_of(3)?;
        let count = decoder.uint()?;
        let digest = Hash(decoder.bytes_of()?);
        let shown = texts(decoder, Self::SHOWN, key)?;
        let named = Self { shown, count, digest };
        let whole = named.count == named.shown.len() as u64;
        let honest = if whole { Self::new(&named.shown).digest == digest } else { named.shown.len() == Self::SHOWN };
        if honest && named.count >= 1 && named.shown.is_sorted_by(|a, b| a < b) {
            Ok(named)
        } else {
            Err(CborError::OutOfRange(key))
        }
    }
}

fn texts(decoder: &mut Decoder<'_>, most: usize, key: u64) -> Result<Vec<String>, CborError> {
    let len = decoder.array()?;
    if len > most {
        return Err(CborError::OutOfRange(key));
    }
    (0..len).map(|_| decoder.text().map(str::to_owned)).collect()
}

/// The private part of a decision that says what it rested on. Read by the fold, shown where the realm is public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    /// Type and id.
    pub subject: (String, String),
    /// The action's name.
    pub action: String,
    /// Type and id.
    pub resource: (String, String),
    /// The permit that this one descends from.
    pub parent: Option<PermitId>,
    /// The key that asked: an input fact, taken as given by replay.
    pub key_id: String,
    /// The code of each condition that failed or stayed unknown, in record order.
    pub codes: Vec<(Condition, String)>,
    /// The policies that determined the verdict.
    pub policies: Option<Named>,
    /// The policies that could not be evaluated.
    pub errors: Option<Named>,
    /// The idempotency key as HMAC under the server's pepper.
    pub idempotency: Option<[u8; 32]>,
    /// The denied decision that this request tries again.
    pub retry_of: Option<PermitId>,
}

impl Detail {
    const VERSION: u64 = 1;

    /// Deterministic CBOR, the bytes that the leaf commits to.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.encode_into(&mut out);
        out
    }

    /// [`Detail::encode`] at the end of a buffer.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let mut e = Encoder(out);
        let optional = [
            self.parent.is_some(),
            self.policies.is_some(),
            self.errors.is_some(),
            self.idempotency.is_some(),
            self.retry_of.is_some(),
        ];
        e.map(6 + optional.into_iter().filter(|present| *present).count());
        e.uint(0);
        e.uint(Self::VERSION);
        for (key, pair) in [(1, &self.subject), (3, &self.resource)] {
            if key == 3 {
                e.uint(2);
                e.text(&self.action);
            }
            e.uint(key);
            e.array(2);
            e.text(&pair.0);
            e.text(&pair.1);
        }
        if let Some(parent) = &self.parent {
            e.uint(4);
            e.bytes(&parent.0);
        }
        e.uint(5);
        e.text(&self.key_id);
        e.uint(6);
        e.array(self.codes.len());
        for (condition, code) in &self.codes {
            e.array(2);
            e.uint(condition.index() as u64);
            e.text(code);
        }
        for (key, named) in [(7, &self.policies), (8, &self.errors)] {
            if let Some(named) = named {
                e.uint(key);
                named.encode(&mut e);
            }
        }
        if let Some(idempotency) = &self.idempotency {
            e.uint(9);
            e.bytes(idempotency);
        }
        if let Some(retry_of) = &self.retry_of {
            e.uint(10);
            e.bytes(&retry_of.0);
        }
    }

    /// Reads the bytes back; refuses all but the one encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let d = &mut Decoder::new(bytes);
        let mut map = d.map()?;
        map.required(d, 0)?;
        if d.uint()? != Self::VERSION {
            return Err(CborError::OutOfRange(0));
        }
        map.required(d, 1)?;
        let subject = pair(d)?;
        map.required(d, 2)?;
        let action = d.text()?.to_owned();
        map.required(d, 3)?;
        let resource = pair(d)?;
        let parent = map.optional(d, 4)?.then(|| d.bytes_of().map(PermitId)).transpose()?;
        map.required(d, 5)?;
        let key_id = d.text()?.to_owned();
        map.required(d, 6)?;
        let codes = codes(d)?;
        let policies = map.optional(d, 7)?.then(|| Named::decode(d, 7)).transpose()?;
        let errors = map.optional(d, 8)?.then(|| Named::decode(d, 8)).transpose()?;
        let idempotency = map.optional(d, 9)?.then(|| d.bytes_of()).transpose()?;
        let retry_of = map.optional(d, 10)?.then(|| d.bytes_of().map(PermitId)).transpose()?;
        map.finish(d)?;
        d.clone().finish()?;
        Ok(Self { subject, action, resource, parent, key_id, codes, policies, errors, idempotency, retry_of })
    }
}

fn pair(d: &mut Decoder<'_>) -> Result<(String, String), CborError> {
    d.array_of(2)?;
    Ok((d.text()?.to_owned(), d.text()?.to_owned()))
}

fn codes(d: &mut Decoder<'_>) -> Result<Vec<(Condition, String)>, CborError> {
    let len = d.array()?;
    let mut codes: Vec<(Condition, String)> = Vec::new();
    for _ in 0..len {
        d.array_of(2)?;
        let index = d.uint()?;
        let condition = Condition::ALL.into_iter().find(|condition| condition.index() as u64 == index);
        let condition = condition.ok_or(CborError::OutOfRange(6))?;
        if codes.last().is_some_and(|(last, _)| *last >= condition) {
            return Err(CborError::OutOfRange(6));
        }
        codes.push((condition, d.text()?.to_owned()));
    }
    Ok(codes)
}
