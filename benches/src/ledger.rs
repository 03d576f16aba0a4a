//! Durable appends against what the machine could do at best, measured in the same run on the same disk.
//!
//! Workload: statement records of exactly [`Settings::entry_bytes`] bytes, different in every one, pushed into batches and appended through
//! the public `Ledger` API with every sync on; a batch counts once its head is published, when every proof in it can be had.
//!
//! Limits, each in turns with the appends so that a disk or a machine that changes its mood changes it for all:
//! * raw hashing: leaf and inner node hashes of the same leaves, all cores, nothing else;
//! * raw writing: the same bytes, written one after the other with an fdatasync after each batch's worth.
//!
//! Does not: start from a cold cache, nor share the disk with anybody by intent.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use ledger::{Batch, Ledger, Options};
use rayon::prelude::*;
use verifier::hash::{Hash, leaf_hash, node_hash};
use verifier::record::Record;

use crate::random::Random;
use crate::tiles::{self, Rates};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A directory on the disk to be measured; a temporary directory is made in it and removed.
    pub place: PathBuf,
    /// Bytes of each leaf.
    pub entry_bytes: usize,
    /// Entries a batch.
    pub batch: usize,
    /// Batches a round.
    pub batches: usize,
    /// Rounds; in each all limits and the appends take their turn.
    pub rounds: usize,
}

impl Settings {
    /// 256-byte entries in batches of 16,384 (4 MiB), some 330 MB in all, limits and appends taking turns every 80 MiB.
    pub fn new(place: &Path) -> Self {
        Self { place: place.to_owned(), entry_bytes: 256, batch: 16_384, batches: 20, rounds: 4 }
    }
}

/// What was measured. Rates are entries a second.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Entries appended in all.
    pub entries: u64,
    /// Bytes of each leaf.
    pub entry_bytes: usize,
    /// Entries a batch.
    pub batch: usize,
    /// Durable appends.
    pub append: f64,
    /// Raw leaf and node hashing on all cores.
    pub hashing: f64,
    /// Raw sequential write + fdatasync of the same bytes.
    pub writing: f64,
    /// Inclusion proofs at random indexes and random published sizes, one core.
    pub proofs: f64,
    /// Tiles over HTTP, and a constant of their size.
    pub tiles: Rates,
    /// The longest that one batch took from being staged to its published head.
    pub slowest_batch: Duration,
    /// Closing and opening the log again.
    pub reopen: Duration,
}

impl Figures {
    /// The smaller of the two limits, entries a second.
    pub fn limit(&self) -> f64 {
        self.hashing.min(self.writing)
    }

    /// Appends as a share of the smaller limit.
    pub fn ratio(&self) -> f64 {
        self.append / self.limit()
    }
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The place cannot be used.
    #[error("cannot measure there: {0}")]
    Place(#[from] io::Error),
    /// The ledger refused.
    #[error("the ledger refused: {0}")]
    Ledger(String),
}

/// Measures appends and their limits.
///
/// # Errors
/// If the disk or the ledger refuses.
pub fn run(settings: &Settings) -> Result<Figures, BenchError> {
    let place = tempfile::tempdir_in(&settings.place)?;
    let dir = place.path().join("log");
    let refused = |error: &dyn std::error::Error| BenchError::Ledger(error.to_string());
    ledger::create(&dir, "bench.example/ledger", 1).map_err(|error| refused(&error))?;
    let (mut ledger, reader) = Ledger::open(Options::new(&dir), 1).map_err(|error| refused(&error))?;
    let raw = File::options().create_new(true).read(true).write(true).open(place.path().join("raw"))?;

    let (mut appending, mut hashing, mut writing) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let mut slowest_batch = Duration::ZERO;
    let mut work = Work::new(settings);
    for _ in 0..settings.rounds {
        writing += work.write(&raw)?;
        hashing += work.hash();
        let start = Instant::now();
        let slowest = append(&mut ledger, &mut work, settings)?;
        appending += start.elapsed();
        slowest_batch = slowest_batch.max(slowest);
    }
    let entries = reader.size();
    let proofs = proofs(&reader, settings).map_err(|error| refused(&error))?;
    let tiles = tiles::run(&reader, Duration::from_secs(6))?;
    let start = Instant::now();
    drop((ledger, reader));
    let (_ledger, reader) = Ledger::open(Options::new(&dir), 1).map_err(|error| refused(&error))?;
    let reopen = start.elapsed();
    if reader.size() != entries {
        return Err(BenchError::Ledger("it lost entries".to_owned()));
    }
    let rate = |time: Duration| (settings.rounds * settings.batches * settings.batch) as f64 / time.as_secs_f64();
    Ok(Figures {
        entries,
        entry_bytes: settings.entry_bytes,
        batch: settings.batch,
        append: rate(appending),
        hashing: rate(hashing),
        writing: rate(writing),
        proofs,
        tiles,
        slowest_batch,
        reopen,
    })
}

/// Appends a round: one thread encodes batches, one stages them, one commits them, each while the others have the batches before and behind.
fn append(ledger: &mut Ledger, work: &mut Work, settings: &Settings) -> Result<Duration, BenchError> {
    let mut spare = std::mem::take(&mut work.spare);
    let (full, batches) = sync_channel::<Batch>(0);
    let (empty, emptied) = sync_channel::<Batch>(settings.batches);
    let (ready, staged) = sync_channel(0);
    let (stager, committer) = ledger.split();
    let refused = |error: &dyn std::error::Error| BenchError::Ledger(error.to_string());
    let mut slowest = Duration::ZERO;
    std::thread::scope(|scope| {
        let encoder = scope.spawn(move || {
            for _ in 0..settings.batches {
                let mut batch = spare.pop().or_else(|| emptied.try_recv().ok()).unwrap_or_default();
                batch.clear();
                for _ in 0..settings.batch {
                    batch.push(work.next_record(), None).map_err(|error| refused(&error))?;
                }
                if full.send(batch).is_err() {
                    break;
                }
            }
            drop(full);
            work.spare.extend(spare.into_iter().chain(emptied));
            Ok(())
        });
        let staging = scope.spawn(move || {
            for batch in batches {
                let begun = Instant::now();
                let batch = stager.stage(batch, 1).map_err(|error| refused(&error))?;
                if ready.send((begun, batch)).is_err() {
                    break;
                }
            }
            Ok(())
        });
        for (begun, batch) in staged {
            let (_, batch) = committer.commit(batch).map_err(|error| refused(&error))?;
            slowest = slowest.max(begun.elapsed());
            // Its memory is used again, as in a service that goes on.
            let _gone = empty.send(batch);
        }
        drop(empty);
        for thread in [encoder, staging] {
            thread.join().unwrap_or_else(|_| Err(BenchError::Ledger("a thread panicked".to_owned())))?;
        }
        Ok::<(), BenchError>(())
    })?;
    Ok(slowest)
}

/// Inclusion proofs a second on one core, for random indexes at random published sizes.
fn proofs(reader: &ledger::Reader, settings: &Settings) -> Result<f64, ledger::ReadError> {
    const COUNT: u64 = 100_000;
    let sizes = reader.size() / settings.batch as u64;
    let mut random = Random::new(7);
    let mut hashes = 0;
    let start = Instant::now();
    for _ in 0..COUNT {
        let size = (1 + random.next() % sizes) * settings.batch as u64;
        hashes += reader.inclusion(random.next() % size, size)?.len();
    }
    std::hint::black_box(hashes);
    Ok(COUNT as f64 / start.elapsed().as_secs_f64())
}

/// The same entries for all.
struct Work {
    record: Record,
    number: u64,
    leaves: Vec<u8>,
    entry_bytes: usize,
    batches: usize,
    written: u64,
    /// Batches between two rounds.
    spare: Vec<Batch>,
}

impl Work {
    fn new(settings: &Settings) -> Self {
        let statement = |len| Record::Statement {
            recorded_at: 1,
            realm: "main".to_owned(),
            media_type: "application/octet-stream".to_owned(),
            body: vec![b'.'; len],
        };
        // The body that makes the leaf exactly as long as asked for.
        let body = (8..settings.entry_bytes).find(|len| statement(*len).encode().len() == settings.entry_bytes);
        let record = statement(body.unwrap_or(settings.entry_bytes));
        let entry_bytes = record.encode().len();
        let mut work = Self {
            record,
            number: 0,
            leaves: Vec::new(),
            entry_bytes,
            batches: settings.batches,
            written: 0,
            spare: Vec::new(),
        };
        let mut leaves = Vec::with_capacity(settings.batch * entry_bytes);
        for _ in 0..settings.batch {
            work.next_record().encode_into(&mut leaves);
        }
        work.leaves = leaves;
        work
    }

    fn next_record(&mut self) -> &Record {
        self.number += 1;
        if let Record::Statement { body, .. } = &mut self.record
            && let Some(place) = body.first_chunk_mut()
        {
            *place = self.number.to_be_bytes();
        }
        &self.record
    }

    /// Leaf hashes and inner nodes of a round's leaves, level by level on all cores.
    fn hash(&self) -> Duration {
        let start = Instant::now();
        for _ in 0..self.batches {
            let mut level: Vec<Hash> =
                self.leaves.par_chunks(self.entry_bytes).with_min_len(64).map(leaf_hash).collect();
            while level.len() > 1 {
                level = level
                    .par_chunks(2)
                    .with_min_len(128)
                    .map(|pair| match pair {
                        [left, right] => node_hash(left, right),
                        alone => alone.first().copied().unwrap_or(Hash([0; 32])),
                    })
                    .collect();
            }
            std::hint::black_box(level);
        }
        start.elapsed()
    }

    /// A round's bytes, one batch after the other, each followed by an fdatasync.
    fn write(&mut self, raw: &File) -> io::Result<Duration> {
        let start = Instant::now();
        for _ in 0..self.batches {
            raw.write_all_at(&self.leaves, self.written)?;
            raw.sync_data()?;
            self.written += self.leaves.len() as u64;
        }
        Ok(start.elapsed())
    }
}
