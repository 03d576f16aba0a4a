//! What the tree proves: inclusion, consistency, ranges, tiles, receipts.
//!
//! Guarantees: as in `reader.rs`: one published size a call, nothing above it. The paths are those of RFC 6962 §2.1, in the forms of C2SP
//! tlog-tiles and tlog-proof. Proofs under a head ([`Reader::proved`], receipts) are checked against it before they are given: a damaged
//! tree is an error, never a bad proof. Does not: check bare paths and tiles; whoever gets those does.

use std::sync::Arc;

use verifier::checkpoint::Checkpoint;
use verifier::cose::{Consistency, CoseReceipt, Inclusion};
use verifier::hash::{Hash, leaf_hash};
use verifier::proof::{
    Nodes, prove_consistency, prove_inclusion, prove_range, root, verify_consistency, verify_inclusion, verify_range,
};
use verifier::receipt::{RangeReceipt, Receipt};
use verifier::tile::{Bundle, Tile};

use crate::head::Head;
use crate::reader::{ReadError, Reader};

impl Reader {
    /// The inclusion path of an entry in the tree of the first `size` leaves (RFC 6962 §2.1.1); any published or smaller size.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, ReadError> {
        self.within(size)?;
        if index >= size {
            return Err(ReadError::Beyond { asked: index, size });
        }
        Ok(prove_inclusion(&*self.shared.levels, index, size)?)
    }

    /// The inclusion path of a leaf under a signed head, checked.
    pub fn proved(&self, leaf: &Hash, index: u64, head: &Head) -> Result<Vec<Hash>, ReadError> {
        let Checkpoint { size, root, .. } = &head.checkpoint;
        let path = self.inclusion(index, *size)?;
        verify_inclusion(leaf, index, *size, &path, root).map_err(|_| ReadError::Contradiction { index })?;
        Ok(path)
    }

    /// The proof of `count` leaves from `first` under a signed head, checked.
    pub fn proved_range(&self, first: u64, count: u64, head: &Head) -> Result<Vec<Hash>, ReadError> {
        let Checkpoint { size, root, .. } = &head.checkpoint;
        let proof = self.range(first, count, *size)?;
        let leaves = (first..first + count).map(|index| self.shared.levels.node(0, index));
        let leaves = leaves.collect::<Result<Vec<Hash>, _>>()?;
        verify_range(first, &leaves, *size, &proof, root).map_err(|_| ReadError::Contradiction { index: first })?;
        Ok(proof)
    }

    /// The consistency proof between two sizes (RFC 6962 §2.1.2), `from` at most `to`.
    pub fn consistency(&self, from: u64, to: u64) -> Result<Vec<Hash>, ReadError> {
        self.within(to)?;
        if from > to {
            return Err(ReadError::Range);
        }
        Ok(prove_consistency(&*self.shared.levels, from, to)?)
    }

    /// The proof of `count` leaves from `first` in the tree of the first `size` leaves, for `verifier::proof::verify_range`.
    pub fn range(&self, first: u64, count: u64, size: u64) -> Result<Vec<Hash>, ReadError> {
        self.within(size)?;
        match first.checked_add(count) {
            Some(end) if count > 0 && end <= size => Ok(prove_range(&*self.shared.levels, first, count, size)?),
            Some(end) if count > 0 => Err(ReadError::Beyond { asked: end, size }),
            _ => Err(ReadError::Range),
        }
    }

    /// The root of the tree of the first `size` leaves.
    pub fn root_at(&self, size: u64) -> Result<Hash, ReadError> {
        self.within(size)?;
        Ok(root(&*self.shared.levels, size)?)
    }

    /// The hash of one leaf.
    pub fn leaf_hash(&self, index: u64) -> Result<Hash, ReadError> {
        let size = self.size();
        if index >= size {
            return Err(ReadError::Beyond { asked: index, size });
        }
        Ok(self.shared.levels.node(0, index)?)
    }

    /// The bytes of a tile (C2SP tlog-tiles), full or partial; `None` unless all its hashes are published.
    pub fn tile(&self, tile: &Tile) -> Result<Option<Vec<u8>>, ReadError> {
        let size = self.size();
        let Some(height) = tile.level.checked_mul(8).filter(|height| *height < 63) else { return Ok(None) };
        match tile.index.checked_mul(256) {
            Some(first) if tile.exists_at(size) => {
                Ok(Some(self.shared.levels.nodes(height, first, usize::from(tile.width))?))
            }
            _ => Ok(None),
        }
    }

    /// The bytes of an entry bundle (C2SP tlog-tiles), full or partial; `None` unless all its entries are published.
    pub fn bundle(&self, bundle: &Bundle) -> Result<Option<Vec<u8>>, ReadError> {
        match bundle.first() {
            Some(first) if bundle.exists_at(self.size()) => {
                Ok(Some(self.believed_run(first, u64::from(bundle.width))?))
            }
            _ => Ok(None),
        }
    }

    /// The receipt of an entry under the head of `size`, or under the newest one; the leaf's bytes stand in `extra`.
    pub fn receipt(&self, index: u64, size: Option<u64>) -> Result<Receipt, ReadError> {
        let head = self.head_or_newest(size)?;
        let leaf = self.entry(index)?;
        let path = self.proved(&leaf_hash(&leaf), index, &head)?;
        Ok(Receipt { index, path, extra: Some(leaf), checkpoint: head.note.clone() })
    }

    /// The receipt of `count` entries from `first` under the head of `size`, or under the newest one.
    pub fn range_receipt(&self, first: u64, count: u64, size: Option<u64>) -> Result<RangeReceipt, ReadError> {
        let head = self.head_or_newest(size)?;
        let proof = self.proved_range(first, count, &head)?;
        Ok(RangeReceipt { first, count, proof, checkpoint: head.note.clone() })
    }

    /// The COSE receipt of an entry under a published head. The only entry of a log has a path that COSE cannot say; the receipt is then
    /// one that does not encode.
    pub fn cose_inclusion(&self, leaf: &Hash, index: u64, head: &Head) -> Result<CoseReceipt, ReadError> {
        let path = self.proved(leaf, index, head)?;
        let signature = self.shared.signer(head.checkpoint.size)?.sign_cose(head);
        Ok(CoseReceipt::Inclusion(Inclusion { size: head.checkpoint.size, index, path, signature }))
    }

    /// The COSE receipt of the consistency of two published heads, checked. Where the proof is empty it does not encode.
    pub fn cose_consistency(&self, from: &Head, to: &Head) -> Result<CoseReceipt, ReadError> {
        let (old, new) = (&from.checkpoint, &to.checkpoint);
        let path = self.consistency(old.size, new.size)?;
        verify_consistency(old.size, new.size, &path, &old.root, &new.root)
            .map_err(|_| ReadError::Contradiction { index: old.size })?;
        let signature = self.shared.signer(new.size)?.sign_cose(to);
        Ok(CoseReceipt::Consistency(Consistency { from: old.size, to: new.size, path, signature }))
    }

    fn head_or_newest(&self, size: Option<u64>) -> Result<Arc<Head>, ReadError> {
        let newest = self.head();
        match size {
            None => Ok(newest),
            Some(size) if size == newest.checkpoint.size => Ok(newest),
            Some(size) => {
                let head = self.head_at(size)?;
                head.map(Arc::new).ok_or(ReadError::Beyond { asked: size, size: newest.checkpoint.size })
            }
        }
    }

    fn within(&self, size: u64) -> Result<(), ReadError> {
        let published = self.size();
        if size > published { Err(ReadError::Beyond { asked: size, size: published }) } else { Ok(()) }
    }
}
