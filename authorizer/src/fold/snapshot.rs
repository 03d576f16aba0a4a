//! The whole fold as bytes, and its digest: what a `state` record vouches for (`FORMAT.md`).
//!
//! Guarantees: there is one encoding of a state that was settled by a time, however it came about, lived through or read back; whatever can
//! change a later decision is in it. What was read back is believed only under the digest of a `state` record that stands in the log.
//! Does not: hold the trust configuration, which is that of the epoch that it names; nor that compiled policies are out of use, which
//! changes no decision: while they are, none is kept (`sequencer/states.rs`).

use std::sync::Arc;

use sha2::{Digest, Sha256};
use verifier::act::{Power, Target};
use verifier::cbor::{CborError, Decoder, Encoder};
use verifier::hash::Hash;

use super::idempotency::{Idempotency, Rows};
use super::{Fold, Switches};
use crate::state::State;

/// What a snapshot begins with; another version of the format is passed over.
const MAGIC: &[u8; 8] = b"ILFOLD01";
/// The version of what the digest covers.
const VERSION: u64 = 1;

/// Why bytes are no snapshot that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damaged {
    /// It begins with something else.
    #[error("it is of another format")]
    Format,
    /// It does not decode.
    #[error("it is damaged: {0}")]
    Malformed(#[from] CborError),
    /// It is the snapshot of another state than the log's record says.
    #[error("its digest is not that of the `state` record")]
    Digest,
}

/// A fold as it was at one place.
#[derive(Clone, Debug)]
pub struct Snapshot {
    body: Vec<u8>,
    rows: Rows,
}

impl Snapshot {
    /// The digest that stands in a `state` record.
    #[must_use]
    pub fn digest(&self) -> Hash {
        Hash(Sha256::digest(&self.body).into())
    }

    /// The pieces of the file, in order.
    #[must_use]
    pub fn pieces(&self) -> Vec<Vec<u8>> {
        let head = [&MAGIC[..], &(self.body.len() as u64).to_be_bytes(), &self.body].concat();
        std::iter::once(head).chain(self.rows.pieces().map(<[u8]>::to_vec)).collect()
    }
}

impl Fold {
    /// The fold as it stands. It must have been settled by its last time, or the bytes depend on more than the log.
    pub fn snapshot(&mut self) -> Snapshot {
        let mut body = Vec::new();
        let e = &mut Encoder(&mut body);
        e.array(21);
        e.uint(VERSION);
        e.uint(self.decisions);
        e.uint(self.last_ms);
        e.uint(self.governance);
        e.uint(self.epoch);
        e.uint(self.candidate.unwrap_or(0));
        e.array(self.epochs.len());
        self.epochs.iter().for_each(|index| e.uint(*index));
        e.uint(u64::from(self.frozen));
        e.array(self.committed.len());
        self.committed.iter().for_each(|realm| e.text(realm));
        let mut halted: Vec<String> = self.switches.halted.iter().map(Target::text).collect();
        halted.sort_unstable();
        e.array(halted.len());
        halted.iter().for_each(|target| e.text(target));
        // Where no run of parts is open, it does not matter where the last one ended.
        let open = !self.parts.is_empty();
        e.uint(if open { self.parts_from } else { 0 });
        e.uint(if open { self.parts_next } else { 0 });
        e.bytes(&self.parts);
        let rows = self.idempotency.encode(e);
        self.state.encode(e);
        Snapshot { body, rows }
    }

    /// Reads a snapshot's file, and believes it under this digest. The trust configuration is left for whoever reads the epoch.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn restore(file: &[u8], digest: &Hash) -> Result<Fold, Damaged> {
        let (magic, rest) = file.split_first_chunk::<8>().ok_or(Damaged::Format)?;
        let (len, rest) = rest.split_first_chunk::<8>().filter(|_| magic == MAGIC).ok_or(Damaged::Format)?;
        let len = usize::try_from(u64::from_be_bytes(*len)).unwrap_or(usize::MAX);
        let (body, mut rows) = rest.split_at_checked(len).ok_or(CborError::Truncated(0))?;
        let mut fold = decode(body, &mut rows)?;
        if !rows.is_empty() {
            return Err(CborError::Trailing(rows.len()).into());
        }
        // Of what was read, not of the file: what decodes otherwise than it was written would be found here.
        if fold.snapshot().digest() == *digest { Ok(fold) } else { Err(Damaged::Digest) }
    }
}

fn decode(body: &[u8], rows: &mut &[u8]) -> Result<Fold, CborError> {
    let d = &mut Decoder::new(body);
    d.array_of(21)?;
    if d.uint()? != VERSION {
        return Err(CborError::OutOfRange(0));
    }
    let (decisions, last_ms, governance, epoch) = (d.uint()?, d.uint()?, d.uint()?, d.uint()?);
    let candidate = Some(d.uint()?).filter(|number| *number > 0);
    let epochs = (0..d.array()?).map(|_| d.uint()).collect::<Result<_, _>>()?;
    let frozen = d.uint()? != 0;
    let committed = (0..d.array()?).map(|_| d.text().map(str::to_owned)).collect::<Result<_, _>>()?;
    let mut switches = Switches::default();
    for _ in 0..d.array()? {
        switches.set(&Target::parse(d.text()?).map_err(|_| CborError::OutOfRange(8))?, Power::Halt);
    }
    let (parts_from, parts_next, parts) = (d.uint()?, d.uint()?, d.bytes()?.to_vec());
    let (idempotency, state) = (Idempotency::decode(d, rows)?, State::decode(d)?);
    d.clone().finish()?;
    Ok(Fold {
        decisions,
        stated: decisions,
        governance,
        epoch,
        candidate,
        epochs,
        switches: Arc::new(switches),
        idempotency,
        committed: Arc::new(committed),
        trust: Arc::default(),
        state,
        by_plain: false,
        frozen,
        last_ms,
        seen_ms: last_ms,
        parts,
        parts_from,
        parts_next,
    })
}
