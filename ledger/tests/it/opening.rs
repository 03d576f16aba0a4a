//! Opening a log costs the same whatever its size: counted in reads of the storage, not in time.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ledger::storage::ram::Op;
use ledger::storage::{LockGuard, Mode, Storage, Stored};
use ledger::{Batch, Ledger, Options};

use crate::common::*;

/// A storage that counts what is read of it.
#[derive(Clone, Debug)]
struct Counting {
    inner: Arc<dyn Storage>,
    count: Arc<Count>,
}

#[derive(Debug, Default)]
struct Count {
    reads: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Debug)]
struct CountingFile {
    inner: Arc<dyn Stored>,
    count: Arc<Count>,
}

impl Storage for Counting {
    fn open(&self, path: &Path, mode: Mode, mapped: bool) -> io::Result<Arc<dyn Stored>> {
        let inner = self.inner.open(path, mode, mapped)?;
        Ok(Arc::new(CountingFile { inner, count: self.count.clone() }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.count.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.list(dir)
    }

    fn create_dir(&self, dir: &Path, secret: bool) -> io::Result<()> {
        self.inner.create_dir(dir, secret)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.inner.exists(path)
    }

    fn real(&self, path: &Path) -> io::Result<PathBuf> {
        self.inner.real(path)
    }

    fn permissions(&self, path: &Path) -> io::Result<u32> {
        self.inner.permissions(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn LockGuard>>> {
        self.inner.lock(path)
    }
}

impl Stored for CountingFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.count.reads.fetch_add(1, Ordering::Relaxed);
        self.count.bytes.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        self.inner.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_at(offset, bytes)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.inner.truncate(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }
}

/// Reads, bytes read, and segments of the journal.
type Cost = (u64, u64, u64);

/// Opens a log, and counts what is read of it from then on.
fn open_counted(rig: &Rig, segment_bytes: u64) -> (Ledger, Arc<Count>) {
    let count = Arc::new(Count::default());
    let storage = Counting { inner: Arc::new(rig.ram.process()), count: count.clone() };
    let options = Options { segment_bytes, seal: false, ..Options::new(&rig.dir) };
    let (ledger, _) = Ledger::open_in(Arc::new(storage), options, START + 1).unwrap();
    (ledger, count)
}

/// What it costs to open a log of `entries` small entries, closed well or killed.
fn cost(entries: u64, segment_bytes: u64, killed: bool) -> Cost {
    const BATCH: u64 = 8_192;
    let rig = Rig::with_segments(segment_bytes);
    let (mut ledger, _) = rig.open();
    let mut batch = Batch::default();
    while ledger.size() < entries {
        batch.clear();
        for number in ledger.size()..ledger.size() + BATCH {
            batch.push(&statement(number, 8), None).unwrap();
        }
        ledger.append(&batch, START).unwrap();
    }
    if killed {
        // The thread that files keys may lag by what it likes when a process is killed; here it must not, since it is the opening that is
        // measured, not how far that thread had come.
        ledger.settle();
        rig.ram.restart();
    }
    drop(ledger);
    let (ledger, count) = open_counted(&rig, segment_bytes);
    let cost = (count.reads.load(Ordering::Relaxed), count.bytes.load(Ordering::Relaxed));
    assert_eq!(ledger.size(), entries);
    drop(ledger);
    let journal = rig.path("journal");
    let segments = rig.ram.snapshot().keys().filter(|path| path.starts_with(&journal)).count();
    (cost.0, cost.1, segments as u64)
}

/// As many keys as are filed in memory before they are written out: what comes after it is the same for every size.
const N: u64 = 65_536;

#[test]
fn opening_a_log_costs_the_same_reads_whatever_its_size() {
    for killed in [false, true] {
        // In segments of 1 MiB, so that the larger one has some sixteen times as many.
        let (small, large) = (cost(N, 1 << 20, killed), cost(16 * N, 1 << 20, killed));
        println!("killed {killed}: {small:?} and {large:?} (reads, bytes, segments)");
        let more = large.2 - small.2;
        assert!(more >= 40, "{more} more segments");
        // Below the mark one row is looked up for each segment, by halving; beside that nothing depends on the size.
        // Whoever was killed may leave sixteen runs of keys of each kind to be merged behind the opening: ten reads each.
        let waiting = if killed { 2 * 16 * 10 } else { 0 };
        assert!(large.0 <= small.0 + 12 * more + 40 + waiting, "{small:?} {large:?}");
        // A look-up reads some hundred bytes. What lies above the mark is at most a segment and its last batch, read twice.
        let slack = if killed { 3 << 20 } else { 4_096 };
        assert!(large.1 <= small.1 + 256 * more + slack, "{small:?} {large:?}");
        // The last 65,536 entries for their keys, and what lies above the mark: read, written anew, confirmed.
        assert!(large.1 < 12 << 20, "the log has 60 MB, of which {} bytes were read", large.1);
    }
}

/// Every opening after a kill may go on in a segment of its own, which never becomes full.
#[test]
fn what_an_opening_after_a_kill_has_derived_the_next_one_does_not_derive_again() {
    const EACH: u64 = 20;
    let rig = Rig::with_segments(1 << 20);
    let mut derived = Vec::new();
    for life in 0..40 {
        rig.ram.record();
        let (mut ledger, _) = rig.open();
        assert_eq!(ledger.size(), life * EACH);
        // The nodes of a frame are written at once.
        let leaves = rig.path("tree").join("00");
        derived.push(rig.ram.history().iter().filter(|(op, path)| *op == Op::Write && *path == leaves).count());
        let mut batch = Batch::default();
        for number in ledger.size()..ledger.size() + EACH {
            batch.push(&statement(number, 100), None).unwrap();
        }
        ledger.append(&batch, START).unwrap();
        ledger.settle();
        rig.ram.restart();
        drop(ledger);
    }
    assert!(derived.iter().all(|frames| *frames <= 1), "frames derived by each opening: {derived:?}");
    assert!(derived.iter().sum::<usize>() >= 39, "{derived:?}");
}
