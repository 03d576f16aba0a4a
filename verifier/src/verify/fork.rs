//! Evidence of a fork: two heads of one log that one key signed, and that cannot both be true.
//!
//! At one size two roots are enough. At two sizes it takes the proof that the newer tree begins with another root than the older head says:
//! a consistency proof of the newer tree alone (RFC 6962 §2.1.2), with the root that it really has at the older size.
//! Guarantees: a [`Fork`] means that the key's holder signed two histories, unless SHA-256 has a collision; it needs no server, no word of
//! whoever found it, and no look at a record. A key's limits of size and time do not matter: it signed both.
//! Does not say which of the two was shown to whom.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{LogKey, Refusal, Rung, claimed, signed_by_any};
use crate::checkpoint::SignedCheckpoint;
use crate::hash::Hash;
use crate::note::{Note, VerifierKey};
use crate::proof::{MAX_CONSISTENCY, ProofError, verify_consistency};

/// Evidence of a fork begins with these bytes, and nothing else of ours does.
pub const FORK: &str = "{\"schema\":\"interlock/fork/v1\",";
/// Bytes of such evidence: two heads with their lines of others, and 64 hashes.
pub const MAX_FORK: usize = 128 * 1024;

const SCHEMA: &str = "interlock/fork/v1";

/// Two heads, and what stands between them; nothing of it is believed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForkEvidence {
    schema: String,
    pub(super) older: String,
    pub(super) newer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) root: Option<Hash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) proof: Option<Vec<Hash>>,
}

/// Two histories under one key. Made by [`ForkEvidence::check`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    older: SignedCheckpoint,
    newer: SignedCheckpoint,
}

impl Fork {
    /// The head of the smaller size, or one of two of the same.
    pub fn older(&self) -> &SignedCheckpoint {
        &self.older
    }

    /// The other one.
    pub fn newer(&self) -> &SignedCheckpoint {
        &self.newer
    }

    /// In a sentence.
    pub(super) fn words(&self) -> String {
        let (older, newer) = (self.older.checkpoint().size, self.newer.checkpoint().size);
        if older == newer {
            format!("fork: the key signed two trees of size {older}")
        } else {
            format!(
                "fork: the key signed a tree of size {newer} that does not begin with the tree of size {older} that it signed"
            )
        }
    }
}

/// Why evidence shows no fork. Exhaustive on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ForkRefusal {
    /// Not the JSON of two heads, or beyond a limit.
    #[error("malformed evidence of a fork")]
    Unread,
    /// A head is none, or not both are signed by one trusted key.
    #[error("{0}")]
    Ladder(#[from] Refusal),
    /// The proof does not lead from the root that it claims for the older size to the newer head.
    #[error("fork: {0}")]
    Proof(#[from] ProofError),
    /// The two heads can both be true.
    #[error("the two heads do not contradict each other")]
    NoFork,
}

impl ForkRefusal {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unread => "malformed_receipt",
            Self::Ladder(refusal) => refusal.code(),
            Self::Proof(_) => "bad_proof",
            Self::NoFork => "no_fork",
        }
    }

    /// The exit code of verifying commands, as for [`Refusal`].
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Unread => 3,
            Self::Ladder(refusal) => refusal.exit_code(),
            Self::Proof(_) | Self::NoFork => 1,
        }
    }
}

impl ForkEvidence {
    /// Of two heads of one size.
    #[must_use]
    pub fn of_one_size(one: &str, other: &str, key: &VerifierKey) -> Self {
        Self { schema: SCHEMA.into(), older: only(one, key), newer: only(other, key), root: None, proof: None }
    }

    /// Of two sizes: `root` is what the newer tree has at the older size, and `proof` the consistency proof of the newer tree.
    #[must_use]
    pub fn of_two_sizes(older: &str, newer: &str, key: &VerifierKey, root: Hash, proof: Vec<Hash>) -> Self {
        let (root, proof) = (Some(root), Some(proof));
        Self { schema: SCHEMA.into(), older: only(older, key), newer: only(newer, key), root, proof }
    }

    /// Reads evidence.
    ///
    /// # Errors
    /// [`ForkRefusal::Unread`].
    pub fn read(bytes: &[u8]) -> Result<Self, ForkRefusal> {
        if bytes.len() > MAX_FORK || !bytes.starts_with(FORK.as_bytes()) {
            return Err(ForkRefusal::Unread);
        }
        let read: Self = serde_json::from_slice(bytes).map_err(|_| ForkRefusal::Unread)?;
        let long = read.proof.as_ref().is_some_and(|proof| proof.len() > MAX_CONSISTENCY);
        if read.root.is_some() != read.proof.is_some() || long { Err(ForkRefusal::Unread) } else { Ok(read) }
    }

    /// The evidence in JSON, as [`ForkEvidence::read`] takes it.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings and hashes always serialise, and fields in their order.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether it shows a fork under one of these keys, and nobody's word is needed for it.
    ///
    /// # Errors
    /// [`ForkRefusal`].
    pub fn check(&self, keys: &[LogKey]) -> Result<Fork, ForkRefusal> {
        self.climb(keys, &mut Vec::new())
    }

    pub(super) fn climb(&self, keys: &[LogKey], held: &mut Vec<Rung>) -> Result<Fork, ForkRefusal> {
        claimed(&self.older)?;
        claimed(&self.newer)?;
        let (older, key) = signed_by_any(&self.older, keys)?;
        let (newer, _) = signed_by_any(&self.newer, &[key])?;
        held.push(Rung::Signed);
        let (from, to) = (older.checkpoint(), newer.checkpoint());
        // What the newer tree has at the older size: itself, where it is of that size.
        let root = self.root.unwrap_or(to.root);
        verify_consistency(from.size, to.size, self.proof.as_deref().unwrap_or_default(), &root, &to.root)?;
        if root == from.root { Err(ForkRefusal::NoFork) } else { Ok(Fork { older, newer }) }
    }
}

/// The note with the lines of one key alone: others may have added a megabyte.
fn only(raw: &str, key: &VerifierKey) -> String {
    Note::parse(raw).ok().and_then(|note| note.only(key)).unwrap_or_else(|| raw.to_owned())
}
