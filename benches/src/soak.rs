//! A long run that must not grow: memory, descriptors and maps of a process that appends, seals, rolls and reads.
//!
//! Workload: batches of decisions with private parts and of statements, appended through the public `Ledger` API with every sync on, in
//! segments so small that hundreds are closed; between them entries, private parts, look-ups, proofs, tiles and old heads at random places.
//!
//! What is watched is the process itself (`/proc/self`), so nothing else may run in it. Does not: count the page cache, which is the kernel's.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ledger::{Batch, Ledger, Options, Private, Reader};
use verifier::decision::{Class, Classes, Decision, Outcome, PermitId, commitment};
use verifier::record::Record;
use verifier::tile::Tile;

use crate::ledger::BenchError;
use crate::random::Random;

/// Entries a batch.
const BATCH: u64 = 256;
/// Bytes of a segment: a thousandth of the usual, so that a short run closes hundreds.
const SEGMENT_BYTES: u64 = 64 << 10;
/// Reads after each batch.
const READS: u64 = 16;
/// Keys of so many entries are held in memory before they are written out; before that, memory grows as it must.
const WARM_UP: u64 = 80_000;
/// Anonymous memory may differ by so much between the halves of the run behind the warm-up: the keys of [`WARM_UP`] entries come and go.
const MAX_GROWTH: u64 = 16 << 20;
/// Descriptors that a ledger of any length holds at most: 64 readers' segments of journal and vault each, 63 heights of the tree, 15 runs of
/// keys of two kinds for each of three lengths, and two dozen of everything else. Maps are fewer, but for those of the program itself.
pub const MAX_DESCRIPTORS: usize = 64 + 64 + 63 + 90 + 24;

/// Samples, spread evenly over the time.
const SAMPLES: u32 = 10;

/// How long, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A directory; a temporary one is made in it and removed.
    pub place: PathBuf,
    /// How long, behind a warm-up of 80,000 entries.
    pub time: Duration,
}

/// What the process held at one time.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Entries so far.
    pub entries: u64,
    /// Resident memory, bytes: the pages of mapped files too, which the kernel takes back when it needs them.
    pub resident: u64,
    /// Anonymous resident memory, bytes: what the process itself holds.
    pub anonymous: u64,
    /// Open descriptors.
    pub descriptors: usize,
    /// Maps.
    pub maps: usize,
}

/// The course of a run.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Samples behind the warm-up, at even times.
    pub samples: Vec<Sample>,
    /// Segments of the journal at the end.
    pub segments: usize,
}

impl Figures {
    /// What grew although it must not; empty if nothing did.
    pub fn grown(&self) -> Vec<String> {
        let mut grown = Vec::new();
        let (first, second) = self.samples.split_at(self.samples.len() / 2);
        let most = |samples: &[Sample], of: fn(&Sample) -> u64| samples.iter().map(of).max().unwrap_or_default();
        let (before, after) = (most(first, |s| s.anonymous), most(second, |s| s.anonymous));
        if after > before + MAX_GROWTH {
            grown.push(format!("anonymous memory grew from {} to {} MiB", before >> 20, after >> 20));
        }
        if let Some(sample) = self.samples.iter().find(|sample| sample.descriptors > MAX_DESCRIPTORS) {
            grown.push(format!("{} descriptors are open, at most {MAX_DESCRIPTORS} may be", sample.descriptors));
        }
        let (before, after) = (most(first, |s| s.maps as u64), most(second, |s| s.maps as u64));
        // A longer log has more runs and higher levels, a window or two each.
        if after > before + 90 {
            grown.push(format!("maps grew from {before} to {after}"));
        }
        grown
    }
}

/// Runs the soak.
///
/// # Errors
/// The disk, or the ledger.
pub fn run(settings: &Settings) -> Result<Figures, BenchError> {
    let refused = |error: &dyn std::error::Error| BenchError::Ledger(error.to_string());
    let place = tempfile::tempdir_in(&settings.place)?;
    let dir = place.path().join("log");
    ledger::create(&dir, "ledger.example/soak", 0).map_err(|error| refused(&error))?;
    let options = Options { segment_bytes: SEGMENT_BYTES, ..Options::new(&dir) };
    let (mut ledger, reader) = Ledger::open(options, 0).map_err(|error| refused(&error))?;
    let (mut random, mut batch, mut samples) = (Random::new(11), Batch::default(), Vec::new());
    let step = settings.time / SAMPLES;
    let mut next: Option<Instant> = None;
    while samples.len() < SAMPLES as usize {
        batch.clear();
        for number in ledger.size()..ledger.size() + BATCH {
            push(&mut batch, number).map_err(|error| refused(&error))?;
        }
        ledger.append(&batch, ledger.size()).map_err(|error| refused(&error))?;
        for _ in 0..READS {
            read(&reader, &mut random).map_err(|error| refused(&error))?;
        }
        let now = Instant::now();
        match next {
            None if ledger.size() >= WARM_UP => next = Some(now + step),
            Some(due) if now >= due => {
                samples.push(sample(ledger.size())?);
                next = Some(due + step);
            }
            None | Some(_) => {}
        }
    }
    let segments = std::fs::read_dir(dir.join("journal"))?.count();
    Ok(Figures { samples, segments })
}

/// Three decisions, then a statement.
fn push(batch: &mut Batch, number: u64) -> Result<(), ledger::BatchError> {
    let body = number.to_be_bytes();
    if number.is_multiple_of(4) {
        let (realm, media_type) = ("main".to_owned(), "text/plain".to_owned());
        return batch.push(&Record::Statement { recorded_at: 0, realm, media_type, body: body.to_vec() }, None);
    }
    let parts = Private {
        disclosed: true,
        request_salt: salt(number),
        request: &[body; 32].concat(),
        detail_salt: salt(!number),
        detail: &[body; 16].concat(),
    };
    let decision = Decision {
        recorded_at: 0,
        governance: 1,
        epoch: 1,
        permit: permit(number),
        realm: "main".to_owned(),
        evaluated_at: 0,
        outcome: Outcome::Deny,
        classes: Classes::new([Class::Fail; 9]),
        request: commitment(&parts.request_salt, parts.request),
        detail: commitment(&parts.detail_salt, parts.detail),
        grant: None,
        audience: None,
        shadow: None,
    };
    batch.push(&Record::Decision(Box::new(decision)), Some(parts))
}

/// Spread over all keys, as random ones are.
fn permit(number: u64) -> PermitId {
    PermitId(salt(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

fn salt(number: u64) -> [u8; 16] {
    u128::from(number).wrapping_mul(0xd1b5_4a32_d192_ed03_9e37_79b9_7f4a_7c15).to_be_bytes()
}

/// Everything that a reader may ask, once.
fn read(reader: &Reader, random: &mut Random) -> Result<(), ledger::ReadError> {
    let size = reader.size();
    let index = random.next() % size.max(1);
    reader.entry(index)?;
    if !index.is_multiple_of(4) {
        reader.private(index)?;
        reader.permit(&permit(index))?;
    }
    reader.leaf(&reader.leaf_hash(index)?)?;
    reader.inclusion(index, size)?;
    reader.consistency(index, size)?;
    reader.head_at(index - index % BATCH)?;
    if index / 256 < size / 256 {
        let tile = Tile { level: 0, index: index / 256, width: 256 };
        reader.tile(&tile)?;
    }
    Ok(())
}

fn sample(entries: u64) -> io::Result<Sample> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
    };
    let missing = || io::Error::other("/proc/self/status does not tell the resident memory");
    Ok(Sample {
        entries,
        resident: bytes("VmRSS:").ok_or_else(missing)?,
        anonymous: bytes("RssAnon:").ok_or_else(missing)?,
        descriptors: std::fs::read_dir("/proc/self/fd")?.count(),
        maps: std::fs::read_to_string("/proc/self/maps")?.lines().count(),
    })
}
