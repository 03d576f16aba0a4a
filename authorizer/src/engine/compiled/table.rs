//! A flat hash table from what a pool holds to its number: filled at publishing, read by every decision.
//!
//! Open addressing in one vector, at most half full. The hash is fast and not keyed: what stands in a table was published by the operator, so
//! callers can look for what they like and find no chain that they made. Does not keep the keys: whoever asks compares.

/// Numbers by hash.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The number and the upper half of its hash; a power of two of them.
    places: Vec<Option<(u32, u32)>>,
    filled: usize,
}

impl Table {
    /// The number under a hash that is the right one.
    pub(super) fn find(&self, hash: u64, mut right: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        loop {
            let (number, upper) = (*self.places.get(at)?)?;
            if upper == upper_half(hash) && right(number) {
                return Some(number);
            }
            at = self.behind(at);
        }
    }

    /// Adds a number that is not in it; `hash_of` tells the hash of each that is.
    pub(super) fn insert(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        if self.filled * 2 >= self.places.len() {
            let wider = vec![None; (self.places.len() * 2).max(16)];
            let old = std::mem::replace(&mut self.places, wider);
            old.into_iter().flatten().for_each(|(number, _)| self.put(hash_of(number), number));
        }
        self.put(hash, number);
        self.filled += 1;
    }

    fn put(&mut self, hash: u64, number: u32) {
        let mut at = self.home(hash);
        while let Some(place) = self.places.get_mut(at) {
            if place.is_none() {
                *place = Some((number, upper_half(hash)));
                return;
            }
            at = self.behind(at);
        }
    }

    fn home(&self, hash: u64) -> usize {
        // The length is a power of two, or nothing: then no place is found.
        let mask = (self.places.len() as u64).wrapping_sub(1);
        usize::try_from(hash & mask).unwrap_or_default()
    }

    fn behind(&self, at: usize) -> usize {
        (at + 1) & self.places.len().wrapping_sub(1)
    }
}

fn upper_half(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// A hash of numbers and text.
pub(super) fn hash(numbers: [u32; 2], text: &str) -> u64 {
    /// A large odd number without pattern: the golden ratio's fraction.
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let [one, two] = numbers.map(u64::from);
    let mut hash = ((one << 32) | two).wrapping_mul(MIX);
    let mut words = text.as_bytes().chunks_exact(8);
    for word in &mut words {
        let word = word.try_into().map(u64::from_le_bytes).unwrap_or_default();
        hash = (hash.rotate_left(5) ^ word).wrapping_mul(MIX);
    }
    let rest = words.remainder().iter().fold(text.len() as u64, |rest, byte| (rest << 8) | u64::from(*byte));
    hash = (hash.rotate_left(5) ^ rest).wrapping_mul(MIX);
    hash ^ (hash >> 29)
}
