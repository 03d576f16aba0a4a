//! The idempotency keys of the last 24 hours, in the order in which they were recorded.
//!
//! Why in runs: a million keys are a part of the state whose digest is taken while decisions wait. Keys are only ever added behind and
//! forgotten in front, so all runs but the first and the last have a digest that never changes, and are shared with whoever writes a
//! snapshot, not copied.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use verifier::cbor::{CborError, Decoder, Encoder};
use verifier::hash::Hash;

/// An idempotency key is kept so long, by recorded time (DESIGN §7.1).
pub const IDEMPOTENCY_MS: u64 = 24 * 3_600_000;
/// Idempotency keys that are kept at once, about 130 bytes each; beyond it requests that bring one get 503.
pub const MAX_IDEMPOTENCY_KEYS: usize = 1 << 20;
/// A run is of the keys of so many records: hashed in a millisecond, and few enough runs for a million keys.
const RUN: u64 = 1 << 14;
/// Bytes of a key in a run: time, index, HMAC.
const ROW: usize = 8 + 8 + 32;

type Row = [u8; ROW];

/// The keys of the records `number * RUN..(number + 1) * RUN`.
#[derive(Clone, Debug)]
struct Run {
    number: u64,
    rows: Arc<Vec<Row>>,
    /// So many were forgotten.
    forgotten: usize,
    /// Of all rows, once a later run has begun.
    digest: Option<Hash>,
}

impl Run {
    fn kept(&self) -> &[Row] {
        self.rows.get(self.forgotten..).unwrap_or_default()
    }
}

/// The idempotency keys of the last 24 hours.
#[derive(Debug, Default)]
pub struct Idempotency {
    index_of: HashMap<[u8; 32], u64>,
    runs: VecDeque<Run>,
}

impl Idempotency {
    /// The record under a key.
    #[must_use]
    pub fn get(&self, tag: &[u8; 32]) -> Option<u64> {
        self.index_of.get(tag).copied()
    }

    /// Whether `more` keys can be kept.
    #[must_use]
    pub fn has_room(&self, more: usize) -> bool {
        self.index_of.len().saturating_add(more) <= MAX_IDEMPOTENCY_KEYS
    }

    /// Whether the key of a record is kept.
    #[must_use]
    pub fn holds(&self, index: u64) -> bool {
        let run = self.runs.iter().find(|run| run.number == index / RUN);
        run.is_some_and(|run| run.kept().iter().any(|row| split(row).1 == index))
    }

    /// Keeps a key, of a record behind all others.
    pub(super) fn insert(&mut self, tag: [u8; 32], index: u64, recorded_at: u64) {
        self.index_of.insert(tag, index);
        if self.runs.back().is_none_or(|run| run.number != index / RUN) {
            self.runs.push_back(Run { number: index / RUN, rows: Arc::default(), forgotten: 0, digest: None });
        }
        if let Some(run) = self.runs.back_mut() {
            Arc::make_mut(&mut run.rows).push(row(recorded_at, index, &tag));
        }
    }

    /// Forgets what is older than [`IDEMPOTENCY_MS`]; recorded time never goes backwards, so the oldest is in front.
    pub fn forget(&mut self, now_ms: u64) {
        while let Some(run) = self.runs.front_mut() {
            let Some((recorded_at, index, tag)) = run.kept().first().map(split) else {
                self.runs.pop_front();
                continue;
            };
            if recorded_at.saturating_add(IDEMPOTENCY_MS) > now_ms {
                return;
            }
            run.forgotten += 1;
            // A key that was forgotten and is used again stands under its later record.
            if self.index_of.get(&tag) == Some(&index) {
                self.index_of.remove(&tag);
            }
        }
    }

    /// Writes what the digest of the state covers (`FORMAT.md`), and answers the runs themselves.
    pub(super) fn encode(&mut self, e: &mut Encoder<'_>) -> Rows {
        let last = self.runs.len().saturating_sub(1);
        e.array(self.runs.len());
        let mut all = Vec::with_capacity(self.runs.len());
        for (place, run) in self.runs.iter_mut().enumerate() {
            let whole = place < last && run.forgotten == 0;
            let digest = match run.digest.filter(|_| whole) {
                Some(digest) => digest,
                None => Hash(Sha256::digest(run.kept().as_flattened()).into()),
            };
            if whole {
                run.digest = Some(digest);
            }
            e.array(3);
            e.uint(run.number);
            e.uint(run.kept().len() as u64);
            e.bytes(&digest.0);
            all.push((run.rows.clone(), run.forgotten));
        }
        Rows(all)
    }

    /// Reads back what [`Idempotency::encode`] wrote, and takes the rows from the front of `rows`.
    pub(super) fn decode(d: &mut Decoder<'_>, rows: &mut &[u8]) -> Result<Self, CborError> {
        let mut keys = Self::default();
        for _ in 0..d.array()? {
            d.array_of(3)?;
            let (number, count, _digest) = (d.uint()?, d.uint()?, d.bytes_of::<32>()?);
            let len = usize::try_from(count).ok().and_then(|count| count.checked_mul(ROW));
            let (these, rest) = len.and_then(|len| rows.split_at_checked(len)).ok_or(CborError::Truncated(0))?;
            *rows = rest;
            let (these, _) = these.as_chunks::<ROW>();
            keys.index_of.extend(these.iter().map(split).map(|(_, index, tag)| (tag, index)));
            keys.runs.push_back(Run { number, rows: Arc::new(these.to_vec()), forgotten: 0, digest: None });
        }
        // The digest of the whole state is taken again by whoever asked, so these are what it covers or nothing is believed.
        Ok(keys)
    }
}

/// The rows of all runs, shared with the keys that are in force.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows(Vec<(Arc<Vec<Row>>, usize)>);

impl Rows {
    /// The bytes of the runs, one after the other.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|(rows, forgotten)| rows.get(*forgotten..).unwrap_or_default().as_flattened())
    }
}

fn row(recorded_at: u64, index: u64, tag: &[u8; 32]) -> Row {
    let mut row = [0; ROW];
    let fields = recorded_at.to_be_bytes().into_iter().chain(index.to_be_bytes()).chain(*tag);
    row.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
    row
}

fn split(row: &Row) -> (u64, u64, [u8; 32]) {
    let (numbers, tag) = (row.first_chunk::<16>(), row.last_chunk::<32>());
    let number =
        |at: usize| numbers.and_then(|numbers| numbers.as_chunks::<8>().0.get(at)).copied().unwrap_or_default();
    (u64::from_be_bytes(number(0)), u64::from_be_bytes(number(1)), tag.copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idempotency_key_is_forgotten_after_24_hours_of_recorded_time() {
        let mut keys = Idempotency::default();
        keys.insert([1; 32], 7, 1_000);
        keys.insert([2; 32], 8, 2_000);
        keys.forget(IDEMPOTENCY_MS + 999);
        assert_eq!((keys.get(&[1; 32]), keys.get(&[2; 32])), (Some(7), Some(8)));
        assert!(keys.holds(7) && keys.holds(8) && !keys.holds(9));
        keys.forget(IDEMPOTENCY_MS + 1_000);
        assert_eq!((keys.get(&[1; 32]), keys.get(&[2; 32])), (None, Some(8)));
        assert!(!keys.holds(7));
    }

    /// A restart reads both records before it forgets anything: the newer one was forgotten with the older, and a second permit was given
    /// under one key. The simulation found it.
    #[test]
    fn a_key_that_is_used_again_after_a_day_is_not_forgotten_with_its_first_record() {
        let mut keys = Idempotency::default();
        keys.insert([1; 32], 7, 1_000);
        keys.insert([1; 32], 9, IDEMPOTENCY_MS + 2_000);
        keys.forget(IDEMPOTENCY_MS + 2_000);
        assert_eq!(keys.get(&[1; 32]), Some(9));
    }

    #[test]
    fn the_runs_that_are_kept_are_the_same_however_they_came_about() {
        let tag = |n: u64| {
            let mut tag = [0; 32];
            tag[..8].copy_from_slice(&n.to_be_bytes());
            tag
        };
        let encoded = |keys: &mut Idempotency| {
            let mut out = Vec::new();
            let rows = keys.encode(&mut Encoder(&mut out));
            (out, rows.pieces().flatten().copied().collect::<Vec<u8>>())
        };
        for forgotten in [0, 1, RUN - 1, RUN, RUN + 1, 3 * RUN] {
            let (mut lived, mut late) = (Idempotency::default(), Idempotency::default());
            for n in 0..3 * RUN + 5 {
                lived.insert(tag(n), n, n);
                if n % 5_000 == 0 {
                    encoded(&mut lived);
                }
                if n >= forgotten {
                    late.insert(tag(n), n, n);
                }
            }
            if let Some(last) = forgotten.checked_sub(1) {
                lived.forget(IDEMPOTENCY_MS + last);
            }
            let (body, rows) = encoded(&mut lived);
            assert_eq!((&body, &rows), (&encoded(&mut late).0, &encoded(&mut late).1), "{forgotten}");
            let mut left = rows.as_slice();
            let mut read = Idempotency::decode(&mut Decoder::new(&body), &mut left).unwrap();
            assert!(left.is_empty() && encoded(&mut read).0 == body && read.get(&tag(3 * RUN)) == Some(3 * RUN));
        }
    }
}
