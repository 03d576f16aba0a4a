//! COSE receipts (RFC 9942, for `RFC9162_SHA256`): the inclusion of one leaf, or the consistency of two sizes, as `COSE_Sign1` (RFC 9052).
//!
//! ```text
//! d2 84                                   tag 18, array of 4
//!    47 a2 01 27 19018b 01                protected {1: -8 (EdDSA), 395: 1 (RFC9162_SHA256)}
//!    a1 19018c a1 20|21 81 58..           unprotected {396: {-1|-2: [proof]}}
//!       83 uint uint 80+n n × 5820 …      proof: [size, index, path] or [from size, to size, path]
//!    f6                                   no payload: it is the root, which the proof gives
//!    5840 …                               Ed25519 of ["Signature1", protected, h'', root]
//! ```
//!
//! Guarantees: one decoder, which accepts exactly these bytes: deterministic CBOR, no other header (so none that is critical), one proof, no
//! payload, at most [`MAX_COSE`] bytes; what it accepts it writes back. The signature is over other bytes than any checkpoint: those begin
//! with 0x84, which begins no UTF-8 text, so neither can stand in for the other.
//!
//! Does not: bind the place. The signature covers the root alone (RFC 9942 §5.2.1), and index and size are bound only as far as they give
//! the path its turns: entry 1 of 2 and entry 2 of 3 may have the same receipt. Who needs the place takes the tlog-proof form.

use thiserror::Error;

use crate::cbor::{CborError, Decoder, Encoder};
use crate::hash::Hash;
use crate::note::VerifierKey;
use crate::proof::{MAX_CONSISTENCY, ProofError, root_of_consistency, root_of_inclusion};
use crate::text::DECIMAL_LIMIT;

/// The media type of a receipt.
pub const MEDIA_TYPE: &str = "application/scitt-receipt+cose";
/// Bytes of a receipt: 64 hashes of 34 bytes, a signature, and less than 100 bytes around them, fit twice.
pub const MAX_COSE: usize = 4_608;

/// Tag of `COSE_Sign1`.
const SIGN1: u64 = 18;
/// The protected header, of which only this form is accepted: `{1: -8, 395: 1}`.
const PROTECTED: [u8; 7] = [0xa2, 0x01, 0x27, 0x19, 0x01, 0x8b, 0x01];
/// Header label of the proofs.
const PROOFS: i64 = 396;
/// Label of inclusion proofs in it.
const INCLUSION: i64 = -1;
/// Label of consistency proofs in it.
const CONSISTENCY: i64 = -2;

/// Why a COSE receipt is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CoseError {
    /// Above [`MAX_COSE`] bytes or [`MAX_CONSISTENCY`] hashes.
    #[error("receipt is too long")]
    TooLong,
    /// Not the one CBOR form.
    #[error("malformed receipt: {0}")]
    Cbor(#[from] CborError),
    /// The protected header is not EdDSA over `RFC9162_SHA256` alone. Unknown headers are refused, and with them critical ones.
    #[error("protected header is not `{{1: -8, 395: 1}}`")]
    Protected,
    /// The unprotected header holds something else than one kind of proof.
    #[error("unprotected header is not one inclusion or consistency proof")]
    Proofs,
    /// An empty path: RFC 9942 has no form for it, so the only entry of a log, or a size with itself, has no COSE receipt.
    #[error("an empty path has no COSE form")]
    Empty,
    /// A size or index of 2^63 or more.
    #[error("number is not below 2^63")]
    Range,
    /// Path and place do not belong together.
    #[error("{0}")]
    Proof(#[from] ProofError),
    /// The root that the proof gives was not signed by this key.
    #[error("the key did not sign the root that the proof gives")]
    Signature,
}

/// That a leaf stands in the tree whose root is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inclusion {
    /// Leaves of the tree.
    pub size: u64,
    /// Index of the leaf.
    pub index: u64,
    /// Siblings on the way to the root, the leaf's first.
    pub path: Vec<Hash>,
    /// Ed25519 over [`signed_bytes`] of the root.
    pub signature: [u8; 64],
}

impl Inclusion {
    /// Checks that `key` signed the root to which the path leads from this leaf, and answers that root.
    ///
    /// # Errors
    /// [`CoseError::Proof`] if the path does not fit the place, [`CoseError::Signature`].
    pub fn verify(&self, leaf: &Hash, key: &VerifierKey) -> Result<Hash, CoseError> {
        signed_by(key, root_of_inclusion(leaf, self.index, self.size, &self.path)?, &self.signature)
    }
}

/// That the tree whose root is signed begins with an older one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consistency {
    /// Leaves of the older tree.
    pub from: u64,
    /// Leaves of the newer tree, whose root is signed.
    pub to: u64,
    /// The proof of RFC 9162 §2.1.4.
    pub path: Vec<Hash>,
    /// Ed25519 over [`signed_bytes`] of the newer root.
    pub signature: [u8; 64],
}

impl Consistency {
    /// Checks that `key` signed the newer root, to which the proof leads from an older root that the caller believes; answers the newer.
    ///
    /// # Errors
    /// [`CoseError::Proof`] if the proof does not begin at that root, [`CoseError::Signature`].
    pub fn verify(&self, from_root: &Hash, key: &VerifierKey) -> Result<Hash, CoseError> {
        signed_by(key, root_of_consistency(self.from, self.to, &self.path, from_root)?, &self.signature)
    }
}

/// A receipt of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoseReceipt {
    /// Of one leaf.
    Inclusion(Inclusion),
    /// Of two sizes.
    Consistency(Consistency),
}

impl CoseReceipt {
    /// Reads a receipt; verifies nothing.
    ///
    /// # Errors
    /// Every departure from the one form.
    pub fn decode(bytes: &[u8]) -> Result<CoseReceipt, CoseError> {
        if bytes.len() > MAX_COSE {
            return Err(CoseError::TooLong);
        }
        let mut receipt = Decoder::new(bytes);
        receipt.tag(SIGN1)?;
        receipt.array_of(4)?;
        if receipt.bytes()? != PROTECTED {
            return Err(CoseError::Protected);
        }
        receipt.map_of(1)?;
        if receipt.int()? != PROOFS {
            return Err(CoseError::Proofs);
        }
        receipt.map_of(1)?;
        let kind = receipt.int()?;
        receipt.array_of(1)?;
        let (first, second, path) = decode_proof(receipt.bytes()?)?;
        receipt.null()?;
        let signature = receipt.bytes_of()?;
        receipt.finish()?;
        match kind {
            INCLUSION => Ok(Self::Inclusion(Inclusion { size: first, index: second, path, signature })),
            CONSISTENCY => Ok(Self::Consistency(Consistency { from: first, to: second, path, signature })),
            _ => Err(CoseError::Proofs),
        }
    }

    /// The bytes of the receipt.
    ///
    /// # Errors
    /// What [`CoseReceipt::decode`] would refuse: [`CoseError::Empty`], [`CoseError::TooLong`], [`CoseError::Range`].
    pub fn encode(&self) -> Result<Vec<u8>, CoseError> {
        let (kind, first, second, path, signature) = match self {
            Self::Inclusion(Inclusion { size, index, path, signature }) => (INCLUSION, size, index, path, signature),
            Self::Consistency(Consistency { from, to, path, signature }) => (CONSISTENCY, from, to, path, signature),
        };
        within(*first, *second, path.len())?;
        let mut proof = Vec::with_capacity(24 + 34 * path.len());
        let mut encoder = Encoder(&mut proof);
        encoder.array(3);
        encoder.uint(*first);
        encoder.uint(*second);
        encoder.array(path.len());
        path.iter().for_each(|hash| encoder.bytes(&hash.0));
        let mut out = Vec::with_capacity(proof.len() + 100);
        let mut encoder = Encoder(&mut out);
        encoder.tag(SIGN1);
        encoder.array(4);
        encoder.bytes(&PROTECTED);
        encoder.map(1);
        encoder.int(PROOFS);
        encoder.map(1);
        encoder.int(kind);
        encoder.array(1);
        encoder.bytes(&proof);
        encoder.null();
        encoder.bytes(signature);
        Ok(out)
    }
}

/// What the signature of a receipt is over: the `Sig_structure` of RFC 9052 §4.4 with the root as detached payload.
#[must_use]
pub fn signed_bytes(root: &Hash) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    let mut encoder = Encoder(&mut out);
    encoder.array(4);
    encoder.text("Signature1");
    encoder.bytes(&PROTECTED);
    encoder.bytes(&[]);
    encoder.bytes(&root.0);
    out
}

fn decode_proof(bytes: &[u8]) -> Result<(u64, u64, Vec<Hash>), CoseError> {
    let mut proof = Decoder::new(bytes);
    proof.array_of(3)?;
    let (first, second) = (proof.uint()?, proof.uint()?);
    let length = proof.array()?;
    within(first, second, length)?;
    let path = (0..length).map(|_| proof.bytes_of().map(Hash)).collect::<Result<_, _>>()?;
    proof.finish()?;
    Ok((first, second, path))
}

fn within(first: u64, second: u64, length: usize) -> Result<(), CoseError> {
    match length {
        0 => Err(CoseError::Empty),
        1..=MAX_CONSISTENCY if first < DECIMAL_LIMIT && second < DECIMAL_LIMIT => Ok(()),
        1..=MAX_CONSISTENCY => Err(CoseError::Range),
        _ => Err(CoseError::TooLong),
    }
}

fn signed_by(key: &VerifierKey, root: Hash, signature: &[u8; 64]) -> Result<Hash, CoseError> {
    if key.verify(&signed_bytes(&root), signature) { Ok(root) } else { Err(CoseError::Signature) }
}
