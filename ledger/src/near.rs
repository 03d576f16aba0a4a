//! Inclusion paths of neighbours under one head, checked.
//!
//! Why: the records of one batch stand side by side, and most of each one's way up to the root is the same. Guarantees: as
//! [`Reader::proved`]: every path that is given leads from its leaf to the head's root. What is remembered was checked under the very head
//! that the next path is for, and is thrown away with it.

use verifier::checkpoint::Checkpoint;
use verifier::hash::Hash;
use verifier::proof::{Nodes, inclusion_length, prove_inclusion, root, verify_inclusion};

use crate::head::Head;
use crate::levels::Levels;
use crate::reader::{ReadError, Reader};

/// Leaves that share what stands above them: as many as a tile has, so that a run is a complete subtree or the last one of the tree.
const RUN: u64 = 256;
/// Levels below the top of a run.
const HEIGHT: u32 = RUN.trailing_zeros();

/// What the leaves of one run share under one head.
#[derive(Debug, Default)]
pub struct Near {
    shared: Option<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Size and root of the head, and the run's first leaf.
    of: (u64, Hash, u64),
    /// The root of the run, which leads to the head's root by `above`.
    top: Hash,
    above: Vec<Hash>,
}

/// The leaves of a run, counted from its first.
struct Run<'a> {
    levels: &'a Levels,
    first: u64,
}

impl Nodes for Run<'_> {
    type Error = <Levels as Nodes>::Error;

    fn node(&self, height: u8, index: u64) -> Result<Hash, Self::Error> {
        self.levels.node(height, (self.first >> height) + index)
    }
}

impl Reader {
    /// The inclusion path of a leaf under a signed head, checked; `near` is what the path before this one left.
    ///
    /// # Errors
    /// As [`Reader::proved`].
    pub fn proved_near(&self, leaf: &Hash, index: u64, head: &Head, near: &mut Near) -> Result<Vec<Hash>, ReadError> {
        let Checkpoint { size, root: head_root, .. } = &head.checkpoint;
        if index >= *size {
            return Err(ReadError::Beyond { asked: index, size: *size });
        }
        let first = index & !(RUN - 1);
        let (place, count) = (index - first, RUN.min(size - first));
        let run = Run { levels: &self.shared.levels, first };
        let of = (*size, *head_root, first);
        let known = near.shared.take().filter(|shared| shared.of == of);
        let shared = match known {
            Some(shared) => shared,
            None => self.above(index, of)?,
        };
        let mut path = prove_inclusion(&run, place, count)?;
        verify_inclusion(leaf, place, count, &path, &shared.top).map_err(|_| ReadError::Contradiction { index })?;
        path.extend_from_slice(&shared.above);
        near.shared = Some(shared);
        Ok(path)
    }

    /// What stands above the run of a leaf, checked.
    fn above(&self, index: u64, (size, head_root, first): (u64, Hash, u64)) -> Result<Shared, ReadError> {
        let count = RUN.min(size - first);
        let whole = self.inclusion(index, size)?;
        let below = inclusion_length(index - first, count).ok_or(ReadError::Range)?;
        let above = whole.get(below..).unwrap_or_default().to_vec();
        let top = root(&Run { levels: &self.shared.levels, first }, count)?;
        // The runs are the leaves of a tree of their own: the same tree, without its lowest levels.
        let (number, runs) = (first >> HEIGHT, size.div_ceil(RUN));
        verify_inclusion(&top, number, runs, &above, &head_root).map_err(|_| ReadError::Contradiction { index })?;
        Ok(Shared { of: (size, head_root, first), top, above })
    }
}
