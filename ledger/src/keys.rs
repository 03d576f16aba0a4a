//! From permit id and leaf hash to index. Derived.
//!
//! Guarantees: what is found is below the published size, and is what was asked for.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use verifier::decision::PermitId;
use verifier::hash::Hash;

/// The look-up tables of one log.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    maps: RwLock<Maps>,
}

#[derive(Debug, Default)]
struct Maps {
    leaves: HashMap<Hash, u64>,
    permits: HashMap<[u8; 16], u64>,
}

impl Keys {
    /// Learns the keys of a batch that begins at index `first`, before it is published.
    pub(crate) fn learn<'a>(
        &self,
        first: u64,
        leaves: impl Iterator<Item = &'a Hash>,
        permits: impl Iterator<Item = (u64, PermitId)>,
    ) {
        let mut maps = self.maps.write().unwrap_or_else(PoisonError::into_inner);
        for (index, leaf) in (first..).zip(leaves) {
            maps.leaves.entry(*leaf).or_insert(index);
        }
        maps.permits.extend(permits.map(|(index, permit)| (permit.0, index)));
    }

    /// The first index below `size` that has this leaf hash.
    pub(crate) fn leaf(&self, leaf: &Hash, size: u64) -> Option<u64> {
        let maps = self.maps.read().unwrap_or_else(PoisonError::into_inner);
        maps.leaves.get(leaf).copied().filter(|index| *index < size)
    }

    /// The index below `size` of the decision with this permit id.
    pub(crate) fn permit(&self, permit: &PermitId, size: u64) -> Option<u64> {
        let maps = self.maps.read().unwrap_or_else(PoisonError::into_inner);
        maps.permits.get(&permit.0).copied().filter(|index| *index < size)
    }
}
