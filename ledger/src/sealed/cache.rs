//! What was unpacked lately, so that neighbours are not unpacked again.
//!
//! Guarantees: at most [`BYTES`] in [`PIECES`] pieces are kept, or one piece if it is larger, for all sealed segments of a log together.

use std::sync::{Arc, Mutex, PoisonError};

/// Some hundred bundles of decisions: enough for readers that walk, little beside what a server holds.
const BYTES: usize = 8 << 20;
/// They are looked through one by one.
const PIECES: usize = 256;

/// Pieces by segment and number.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<Kept>);

/// Segment and number in it.
type Key = (u64, usize);

#[derive(Debug, Default)]
struct Kept {
    /// Most recently used last.
    pieces: Vec<(Key, Arc<[u8]>)>,
    bytes: usize,
}

impl Cache {
    pub(super) fn get(&self, key: Key) -> Option<Arc<[u8]>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let position = kept.pieces.iter().rposition(|(other, _)| *other == key)?;
        let piece = kept.pieces.remove(position);
        let bytes = piece.1.clone();
        kept.pieces.push(piece);
        Some(bytes)
    }

    pub(super) fn put(&self, key: Key, bytes: Arc<[u8]>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.pieces.iter().any(|(other, _)| *other == key) {
            return;
        }
        kept.bytes += bytes.len();
        kept.pieces.push((key, bytes));
        while (kept.bytes > BYTES || kept.pieces.len() > PIECES) && kept.pieces.len() > 1 {
            kept.bytes -= kept.pieces.remove(0).1.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_used_piece_makes_room_and_a_large_one_stands_alone() {
        let cache = Cache::default();
        let piece = |len: usize| Arc::from(vec![0; len]);
        for number in 0..4 {
            cache.put((0, number), piece(BYTES / 4));
        }
        assert!(cache.get((0, 0)).is_some());
        cache.put((0, 4), piece(1));
        assert!(cache.get((0, 0)).is_some() && cache.get((0, 1)).is_none() && cache.get((0, 2)).is_some());
        cache.put((1, 0), piece(BYTES + 1));
        assert!(cache.get((1, 0)).is_some() && cache.get((0, 0)).is_none());
        assert_eq!(cache.0.lock().unwrap().bytes, BYTES + 1);
    }
}
