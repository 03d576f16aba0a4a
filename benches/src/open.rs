//! What opening a log costs, however large it is.
//!
//! [`grow`] makes the log, [`open`] is for a fresh process, since its peak of resident memory is what is measured.

use std::path::Path;
use std::time::{Duration, Instant};

use ledger::{Batch, Ledger, MAX_BATCH_ENTRIES, Options};
use verifier::record::Record;

use crate::ledger::BenchError;
use crate::random::Random;

/// Bytes of a statement's body: small, so that a hundred million of them fit a disk of 30 GB with their tree and index.
const BODY: usize = 16;

/// What an opening took.
#[derive(Clone, Copy, Debug)]
pub struct Opened {
    /// Entries in the log.
    pub entries: u64,
    /// From the call of open to a ledger that can append.
    pub time: Duration,
    /// The process's peak of resident memory, bytes.
    pub resident: u64,
}

/// Makes a log in `dir` if there is none, and appends until it has so many entries.
///
/// # Errors
/// If the disk or the ledger refuses.
pub fn grow(dir: &Path, entries: u64) -> Result<(), BenchError> {
    let refused = |error: &dyn std::error::Error| BenchError::Ledger(error.to_string());
    if !dir.exists() {
        ledger::create(dir, "bench.example/open", 1).map_err(|error| refused(&error))?;
    }
    let (mut ledger, _) = Ledger::open(Options::new(dir), 1).map_err(|error| refused(&error))?;
    let mut random = Random::new(ledger.size());
    let mut batch = Batch::default();
    while ledger.size() < entries {
        batch.clear();
        let left = usize::try_from(entries - ledger.size()).unwrap_or(usize::MAX);
        for _ in 0..left.min(MAX_BATCH_ENTRIES) {
            let body = [random.next().to_be_bytes(), random.next().to_be_bytes()].concat();
            debug_assert_eq!(body.len(), BODY);
            let record = Record::Statement {
                recorded_at: 1,
                realm: "main".to_owned(),
                media_type: "application/octet-stream".to_owned(),
                body,
            };
            batch.push(&record, None).map_err(|error| refused(&error))?;
        }
        ledger.append(&batch, 1).map_err(|error| refused(&error))?;
    }
    Ok(())
}

/// Opens a log for writing and closes it.
///
/// # Errors
/// If the disk or the ledger refuses.
pub fn open(dir: &Path) -> Result<Opened, BenchError> {
    let start = Instant::now();
    let (ledger, reader) = Ledger::open(Options::new(dir), 1).map_err(|error| BenchError::Ledger(error.to_string()))?;
    let time = start.elapsed();
    let resident = peak_resident()?;
    let entries = reader.size();
    drop((ledger, reader));
    Ok(Opened { entries, time, resident })
}

/// The process's peak of resident memory, bytes (`VmHWM` of proc_pid_status(5)).
fn peak_resident() -> Result<u64, BenchError> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024)
        .ok_or_else(|| BenchError::Ledger("this system does not tell its peak of memory".to_owned()))
}
