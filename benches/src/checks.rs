//! Audit and fsck against raw hashing, on raw and on sealed segments, and what a log takes on the disk.
//!
//! Workloads: statements of 256 B in batches of 16,384, as in the ledger's measurement; and decisions like those of the airline traffic (realm
//! `main`, a grant, 390 B of request, 440 B of detail) in batches of 1,024.
//!
//! Two limits, both on all cores, over the same bytes in memory, with nothing of the ledger's readers:
//!
//! | limit | is the time for |
//! |---|---|
//! | SHA-256 | leaf and node hashes; in an audit of decisions also their two commitments, which fsck does not compute |
//! | with CRC-32 | the same, and the checksums of all that is read: leaves, and the private parts of decisions, in fsck too |
//!
//! The first is what audit, and fsck of statements, promise to come near to. For fsck of decisions it is the second: four of five bytes that it
//! reads are private parts, which it holds against their checksums and never hashes, so the first says nothing of most of its work, and their
//! hashes would be work that it does not do. Limits are taken before and after each check, so that a machine that changes its mood changes it
//! for all. Everything is in the page cache.

use std::path::Path;
use std::time::{Duration, Instant};

use ledger::{Batch, CheckError, Ledger, Options, Private, Progress, Report};
use rayon::prelude::*;
use verifier::decision::{Class, Classes, Decision, Grant, Outcome, PermitId, commitment};
use verifier::hash::{Hash, leaf_hash, node_hash};
use verifier::record::Record;

use crate::ledger::BenchError;
use crate::random::Random;
use crate::sizes::{Sizes, measure};

/// What is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// 256 B each, nothing private.
    Statements,
    /// With their private parts.
    Decisions,
}

/// What was measured; rates are entries a second.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Entries in the log.
    pub entries: u64,
    /// The checks of the raw log, then of the sealed one.
    pub checks: Vec<Check>,
    /// How long sealing took.
    pub sealing: Duration,
    /// The log's files before sealing and after it.
    pub sizes: [Sizes; 2],
}

/// One check beside its limit.
#[derive(Clone, Debug)]
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// Entries checked a second.
    pub rate: f64,
    /// Entries hashed a second, just before and after.
    pub hashing: f64,
    /// The same with the checksums of what is read.
    pub checking: f64,
}

impl Check {
    /// The check's share of raw hashing.
    pub fn of_hashing(&self) -> f64 {
        self.rate / self.hashing
    }

    /// The check's share of raw hashing with raw checksums.
    pub fn of_checking(&self) -> f64 {
        self.rate / self.checking
    }
}

/// Makes a log of `entries` in `place`, checks it raw and sealed, and removes it.
///
/// # Errors
/// If the disk or the ledger refuses, or a check finds something.
pub fn run(place: &Path, workload: Workload, entries: u64) -> Result<Figures, BenchError> {
    let place = tempfile::tempdir_in(place)?;
    let dir = place.path().join("log");
    let refused = |error: &dyn std::error::Error| BenchError::Ledger(error.to_string());
    let key = ledger::create(&dir, "bench.example/checks", 1).map_err(|error| refused(&error))?;
    let options = Options { seal: false, ..Options::new(&dir) };
    let (mut ledger, reader) = Ledger::open(options, 1).map_err(|error| refused(&error))?;
    let mut work = Work::new(workload);
    while ledger.size() < entries {
        let batch = work.batch()?;
        ledger.append(&batch, 1).map_err(|error| refused(&error))?;
    }
    let entries = reader.size();

    let mut checks = Vec::new();
    let fsck = |progress: &mut dyn FnMut(Progress)| ledger::fsck(&dir, None, progress);
    let audit = |progress: &mut dyn FnMut(Progress)| ledger::audit(&dir, None, &key, progress);
    let raw = measure(&dir)?;
    checks.push(work.check("fsck, raw", entries, fsck)?);
    checks.push(work.check("audit, raw", entries, audit)?);
    let start = Instant::now();
    ledger.seal().map_err(|error| refused(&error))?;
    let sealing = start.elapsed();
    checks.push(work.check("fsck, sealed", entries, fsck)?);
    checks.push(work.check("audit, sealed", entries, audit)?);
    Ok(Figures { entries, checks, sealing, sizes: [raw, measure(&dir)?] })
}

type Salts = ([u8; 16], [u8; 16]);

struct Work {
    workload: Workload,
    random: Random,
    /// Leaves and private parts of one batch, to be hashed over and over.
    leaves: Vec<Vec<u8>>,
    request: Vec<u8>,
    detail: Vec<u8>,
}

impl Work {
    fn new(workload: Workload) -> Self {
        let (request, detail) = (vec![b'r'; 390], vec![b'd'; 440]);
        Self { workload, random: Random::new(1), leaves: Vec::new(), request, detail }
    }

    fn batch(&mut self) -> Result<Batch, BenchError> {
        let full = |error: ledger::BatchError| BenchError::Ledger(error.to_string());
        let count = if self.workload == Workload::Statements { 16_384 } else { 1024 };
        let mut batch = Batch::default();
        self.leaves.clear();
        for _ in 0..count {
            let (record, salts) = self.record();
            let private = salts.map(|(request_salt, detail_salt)| Private {
                disclosed: true,
                request_salt,
                request: &self.request,
                detail_salt,
                detail: &self.detail,
            });
            batch.push(&record, private).map_err(full)?;
            self.leaves.push(record.encode());
        }
        Ok(batch)
    }

    /// The next record, and the salts of request and detail if it has them.
    fn record(&mut self) -> (Record, Option<Salts>) {
        let mut sixteen = || {
            let (high, low) = (self.random.next(), self.random.next());
            (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
        };
        let (permit, request_salt, detail_salt) = (sixteen(), sixteen(), sixteen());
        match self.workload {
            Workload::Statements => {
                let mut body = vec![b'.'; 206];
                body.splice(..16, permit);
                let media_type = "application/octet-stream".to_owned();
                (Record::Statement { recorded_at: 1, realm: "main".to_owned(), media_type, body }, None)
            }
            Workload::Decisions => {
                let decision = Decision {
                    recorded_at: 1_790_000_000_000,
                    governance: 1,
                    epoch: 1,
                    permit: PermitId(permit),
                    realm: "main".to_owned(),
                    evaluated_at: 1_790_000_000_000,
                    outcome: Outcome::Allow,
                    classes: Classes::new([Class::Pass; 9]),
                    request: commitment(&request_salt, &self.request),
                    detail: commitment(&detail_salt, &self.detail),
                    grant: Some(Grant { expires_at: 1_790_000_060_000, uses: 1, lease_ends_at: None }),
                    audience: None,
                    shadow: None,
                };
                (Record::Decision(Box::new(decision)), Some((request_salt, detail_salt)))
            }
        }
    }

    fn check(
        &self,
        name: &'static str,
        entries: u64,
        check: impl Fn(&mut dyn FnMut(Progress)) -> Result<Report, CheckError>,
    ) -> Result<Check, BenchError> {
        let refused = |error: CheckError| BenchError::Ledger(error.to_string());
        let commits = name.starts_with("audit");
        let limits = || [false, true].map(|sums| self.hash(entries, commits, sums));
        let before = limits();
        let start = Instant::now();
        let report = check(&mut |_| {}).map_err(refused)?;
        let took = start.elapsed();
        let after = limits();
        let [hashing, checking] = [(before[0] + after[0]) / 2, (before[1] + after[1]) / 2];
        if !report.is_clean() || report.entries != entries {
            return Err(BenchError::Ledger(format!("{name} found {:?}", report.problems)));
        }
        #[expect(clippy::cast_precision_loss, reason = "rates for people")]
        let rate = |time: Duration| entries as f64 / time.as_secs_f64();
        Ok(Check { name, rate: rate(took), hashing: rate(hashing), checking: rate(checking) })
    }

    /// How long all cores take for the hashes of so many entries, and with `sums` for their checksums.
    fn hash(&self, entries: u64, commits: bool, sums: bool) -> Duration {
        let start = Instant::now();
        let private = self.workload == Workload::Decisions;
        let one = |leaf: &Vec<u8>| {
            if sums {
                std::hint::black_box(crc32fast::hash(leaf));
            }
            if sums && private {
                std::hint::black_box(crc32fast::hash(&self.request));
                std::hint::black_box(crc32fast::hash(&self.detail));
            }
            if commits && private {
                std::hint::black_box(commitment(&[1; 16], &self.request));
                std::hint::black_box(commitment(&[2; 16], &self.detail));
            }
            leaf_hash(leaf)
        };
        let mut hashed = 0;
        while hashed < entries {
            let mut level: Vec<Hash> = self.leaves.par_iter().with_min_len(64).map(one).collect();
            hashed += level.len() as u64;
            while level.len() > 1 {
                let pair = |pair: &[Hash]| match pair {
                    [left, right] => node_hash(left, right),
                    alone => alone.first().copied().unwrap_or(Hash([0; 32])),
                };
                level = level.par_chunks(2).with_min_len(128).map(pair).collect();
            }
            std::hint::black_box(level);
        }
        start.elapsed()
    }
}
