//! Evidence bundles: many records of one log with what they rest on, under one signed head, in one file that needs no server.
//!
//! A bundle is deterministic CBOR, laid out in `bundle.cddl`: a manifest, the head, the entries in the order of the log (the chosen records,
//! the records of the epochs that decisions name, the records of erasures), the private parts that are disclosed, and one proof for all.
//! Guarantees: what is read is exactly one bundle within named limits, and is written back byte for byte. Verifies nothing: `verify` does.

mod read;

use thiserror::Error;

use crate::cbor::{CborError, Encoder};
use crate::hash::Hash;
use crate::text::DECIMAL_LIMIT;

/// First bytes of a bundle: tag 55799, "self-described CBOR" (RFC 8949 §3.4.6). They begin no text and no other form of evidence.
pub const MAGIC: [u8; 3] = [0xd9, 0xd9, 0xf7];
/// The name of the format, which a bundle states first.
pub const NAME: &str = "interlock/bundle/v1";
/// The media type.
pub const MEDIA_TYPE: &str = "application/vnd.interlock.bundle+cbor";
/// Records that one bundle is made for: a day's audit of a busy desk, and proved in a second.
pub const MAX_CHOSEN: usize = 10_000;
/// Entries of a bundle: the chosen ones, and room for the records of epochs and erasures; a 64 MiB epoch has 1,119 parts.
pub const MAX_ENTRIES: usize = 16_384;
/// Bytes of a bundle: 10,000 usual decisions take a tenth. Who verifies holds it in memory.
pub const MAX_BUNDLE: usize = 64 << 20;
/// Bytes of the choice in words.
pub const MAX_CHOICE: usize = 4_096;
/// Epochs of one bundle: each names at least two records.
pub const MAX_EPOCHS: usize = MAX_ENTRIES / 2;

/// The tag that [`MAGIC`] spells.
const TAG: u64 = 55_799;

/// Why bytes are not a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BundleError {
    /// Another format, or a later version of this one.
    #[error("not an `interlock/bundle/v1`")]
    Name,
    /// More than [`MAX_BUNDLE`] bytes.
    #[error("bundle is too long")]
    TooLong,
    /// Not the deterministic CBOR of the schema, or beyond one of its limits.
    #[error("malformed bundle: {0}")]
    Malformed(#[from] CborError),
}

/// A bundle, as read or to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle<'a> {
    /// What the bundle says about itself.
    pub manifest: Manifest<'a>,
    /// The signed checkpoint, verbatim: the head of the one tree that all entries stand in.
    pub checkpoint: &'a str,
    /// The entries, ascending by index.
    pub entries: Vec<Entry<'a>>,
    /// For `proof::verify_many`.
    pub proof: Vec<Hash>,
}

/// What a bundle says about itself. Whatever follows from its content is held against that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest<'a> {
    /// The log's verification key, as the log tells it. Nobody should trust a key because it comes with the evidence.
    pub vkey: &'a str,
    /// What was asked for, in printable ASCII.
    pub choice: &'a str,
    /// How many entries are decisions.
    pub decisions: u64,
    /// The epochs that the decisions name, live and in shadow, ascending.
    pub epochs: Vec<u64>,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its place in the log, from 0.
    pub index: u64,
    /// The leaf's bytes.
    pub record: &'a [u8],
    /// Request and detail; of decisions only, and of every decision.
    pub parts: Option<Parts<'a>>,
}

/// The two private parts of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// What was asked, as committed.
    pub request: Part<'a>,
    /// What it rested on, as committed.
    pub detail: Part<'a>,
}

/// One private part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Here: SHA-256(salt ‖ bytes) stands in the record.
    Disclosed {
        /// The salt.
        salt: [u8; 16],
        /// The part.
        bytes: &'a [u8],
    },
    /// The realm is committed: the record's commitment is all that the public is told.
    Committed,
    /// Erased by the `erasure` record at this index, which is an entry of this bundle.
    Erased {
        /// Index of the record.
        by: u64,
    },
    /// Missing without a record that says so.
    Lost,
}

impl Part<'_> {
    /// In a word.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        match self {
            Self::Disclosed { .. } => "disclosed",
            Self::Committed => "committed",
            Self::Erased { .. } => "erased",
            Self::Lost => "lost",
        }
    }

    fn encode(&self, e: &mut Encoder<'_>) {
        match self {
            Self::Disclosed { salt, bytes } => {
                e.array(3);
                e.uint(0);
                e.bytes(salt);
                e.bytes(bytes);
            }
            Self::Committed => {
                e.array(1);
                e.uint(1);
            }
            Self::Erased { by } => {
                e.array(2);
                e.uint(2);
                e.uint(*by);
            }
            Self::Lost => {
                e.array(1);
                e.uint(3);
            }
        }
    }
}

impl<'a> Bundle<'a> {
    /// Reads a bundle.
    ///
    /// # Errors
    /// Every departure from the format, and the limits of this module. Order of the entries and their place in the tree are the proof's.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, BundleError> {
        read::bundle(bytes)
    }

    /// The bytes of the bundle. What is within the limits reads back as it was.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut e = Encoder(&mut out);
        e.tag(TAG);
        e.map(5);
        e.uint(0);
        e.text(NAME);
        e.uint(1);
        self.manifest.encode(&mut e);
        e.uint(2);
        e.text(self.checkpoint);
        e.uint(3);
        e.array(self.entries.len());
        for entry in &self.entries {
            entry.encode(&mut e);
        }
        e.uint(4);
        let proof: Vec<u8> = self.proof.iter().flat_map(|hash| hash.0).collect();
        e.bytes(&proof);
        out
    }

    /// The entry at an index, of entries that ascend.
    #[must_use]
    pub fn at(&self, index: u64) -> Option<usize> {
        self.entries.binary_search_by_key(&index, |entry| entry.index).ok()
    }
}

impl Manifest<'_> {
    fn encode(&self, e: &mut Encoder<'_>) {
        e.map(4);
        e.uint(0);
        e.text(self.vkey);
        e.uint(1);
        e.text(self.choice);
        e.uint(2);
        e.uint(self.decisions);
        e.uint(3);
        e.array(self.epochs.len());
        self.epochs.iter().for_each(|epoch| e.uint(*epoch));
    }
}

impl Entry<'_> {
    fn encode(&self, e: &mut Encoder<'_>) {
        e.map(if self.parts.is_some() { 4 } else { 2 });
        e.uint(0);
        e.uint(self.index);
        e.uint(1);
        e.bytes(self.record);
        if let Some(parts) = &self.parts {
            e.uint(2);
            parts.request.encode(e);
            e.uint(3);
            parts.detail.encode(e);
        }
    }
}

// Every index that is read is one that a proof may have.
const _: () = assert!(MAX_CHOSEN < MAX_ENTRIES && (MAX_ENTRIES as u64) < DECIMAL_LIMIT);
