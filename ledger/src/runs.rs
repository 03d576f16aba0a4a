//! Sorted runs of keys on disk: `index/<kind>-<first>-<end>.run`. Derived.
//!
//! ```text
//!      0   8  magic "ILRUN001"
//!      8  32  log id
//!     40   8  first index covered
//!     48   8  end of the indexes covered
//!     56   8  count of rows
//!     64   4  CRC-32 of the rows
//!     68   4  CRC-32 of all before
//!     72      rows: first 8 bytes of the key ‖ index, ascending; 16 bytes each
//! ```
//!
//! Why: keys are hashes or random, so a row is found by interpolation in a few probes of a map, and a run needs no tree of its own.
//! Why 8 bytes of the key: two among 10^9 keys are alike with probability 3 %, and then both rows are looked at.
//!
//! Guarantees: a run that opens is complete (it is synced before it gets its name) and covers what its name says. Does not: prove a match;
//! whoever asks compares the whole key with the log.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::{Path, PathBuf};

use verifier::hash::Hash;

use crate::bytes::{Put, Take, checked};
use crate::storage::{File, Files, IoFailure, Mode};

const MAGIC: &[u8; 8] = b"ILRUN001";
const HEADER: usize = 72;
const ROW: u64 = 16;
/// Rows read or written at once by a merge: 64 KiB a file, so that a merge of any length uses the same memory.
const BLOCK: usize = 4096;

/// One row: the first 8 bytes of a key, and the index that has it.
pub(crate) type Row = (u64, u64);

/// What a run's keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Leaf,
    Permit,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Leaf, Self::Permit];

    fn name(self) -> &'static str {
        match self {
            Self::Leaf => "leaf",
            Self::Permit => "permit",
        }
    }
}

/// Which run: its kind and the indexes that it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) kind: Kind,
    pub(crate) first: u64,
    pub(crate) end: u64,
}

impl Span {
    pub(crate) fn file_name(&self) -> String {
        format!("{}-{:020}-{:020}.run", self.kind.name(), self.first, self.end)
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".run")?.split('-');
        let kind = parts.next()?;
        let kind = Kind::ALL.into_iter().find(|other| other.name() == kind)?;
        let span = Self { kind, first: parts.next()?.parse().ok()?, end: parts.next()?.parse().ok()? };
        (span.first < span.end && span.file_name() == name).then_some(span)
    }
}

/// A run, open for look-ups.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) span: Span,
    file: File,
    rows: u64,
    crc: u32,
}

impl Run {
    /// Opens a run; `None` if it is not whole.
    pub(crate) fn open(files: &Files, dir: &Path, span: Span, log: &Hash) -> Result<Option<Self>, IoFailure> {
        let file = files.open_mapped(&dir.join(span.file_name()), Mode::Read)?;
        let len = file.len()?;
        if len < HEADER as u64 {
            return Ok(None);
        }
        let header: [u8; HEADER] = file.read_array(0)?;
        let read = || {
            let mut take = Take(checked(&header)?);
            let (magic, id, first, end) = (take.array::<8>()?, take.hash()?, take.u64()?, take.u64()?);
            let (rows, crc) = (take.u64()?, take.u32()?);
            let right = magic == *MAGIC && id == *log && (first, end) == (span.first, span.end);
            take.finish((rows, crc)).filter(|_| right)
        };
        let Some((rows, crc)) = read() else { return Ok(None) };
        let whole = rows.checked_mul(ROW).and_then(|bytes| bytes.checked_add(HEADER as u64)) == Some(len);
        Ok(whole.then_some(Self { span, file, rows, crc }))
    }

    /// Writes a run from sorted rows and opens it.
    pub(crate) fn write(
        files: &Files,
        dir: &Path,
        span: Span,
        log: &Hash,
        rows: impl Iterator<Item = Result<Row, IoFailure>>,
    ) -> Result<Self, IoFailure> {
        let (fresh, path) = (dir.join(span.file_name() + ".new"), dir.join(span.file_name()));
        if files.exists(&fresh)? {
            files.remove(&fresh)?;
        }
        let file = files.open(&fresh, Mode::New)?;
        let (mut count, mut offset, mut crc) = (0, HEADER as u64, crc32fast::Hasher::new());
        let mut block = Vec::with_capacity(BLOCK * 16);
        let mut last = None;
        let mut put = |block: &mut Vec<u8>| {
            crc.update(block);
            let result = file.write_at(offset, block);
            offset += block.len() as u64;
            block.clear();
            result
        };
        for row in rows {
            let row = row?;
            assert!(last < Some(row), "rows of a run ascend");
            last = Some(row);
            block.extend_from_slice(&row.0.to_be_bytes());
            block.extend_from_slice(&row.1.to_be_bytes());
            count += 1;
            if block.len() >= BLOCK * 16 {
                put(&mut block)?;
            }
        }
        put(&mut block)?;
        let crc = crc.finalize();
        let header: [u8; HEADER] =
            Put::new().bytes(MAGIC).bytes(&log.0).u64(span.first).u64(span.end).u64(count).u32(crc).crc().done();
        file.write_at(0, &header)?;
        file.sync()?;
        files.rename(&fresh, &path)?;
        let file = files.open_mapped(&path, Mode::Read)?;
        Ok(Self { span, file, rows: count, crc })
    }

    /// Merges neighbours of one kind into one run.
    pub(crate) fn merge(files: &Files, dir: &Path, runs: &[Run], log: &Hash) -> Result<Option<Self>, IoFailure> {
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else { return Ok(None) };
        let span = Span { end: last.span.end, ..first.span };
        let mut sources: Vec<_> = runs.iter().map(Run::rows).collect();
        let mut heap = BinaryHeap::with_capacity(sources.len());
        for (position, source) in sources.iter_mut().enumerate() {
            if let Some(row) = source.next() {
                heap.push(Reverse((row?, position)));
            }
        }
        let merged = std::iter::from_fn(move || {
            let Reverse((row, position)) = heap.pop()?;
            match sources.get_mut(position).and_then(Iterator::next) {
                Some(Ok(next)) => heap.push(Reverse((next, position))),
                Some(Err(failure)) => return Some(Err(failure)),
                None => {}
            }
            Some(Ok(row))
        });
        Self::write(files, dir, span, log, merged).map(Some)
    }

    /// The indexes whose keys begin with these 8 bytes, ascending.
    pub(crate) fn find(&self, key: u64) -> Result<Vec<u64>, IoFailure> {
        let mut found = Vec::new();
        let mut at = self.lower_bound(key)?;
        while at < self.rows {
            let (other, index) = self.row(at)?;
            if other != key {
                break;
            }
            found.push(index);
            at += 1;
        }
        Ok(found)
    }

    /// Position of the first row whose key is not below `key`.
    fn lower_bound(&self, key: u64) -> Result<u64, IoFailure> {
        // Rows below `low` are below the key, rows from `high` on are not; keys are spread evenly over [floor, ceiling].
        let (mut low, mut high) = (0, self.rows);
        let (mut floor, mut ceiling) = (0_u64, u64::MAX);
        let mut halve = false;
        while low < high {
            let width = high - low;
            let guess = if halve || ceiling <= floor {
                width / 2
            } else {
                let share = u128::from(width) * u128::from(key.saturating_sub(floor)) / u128::from(ceiling - floor);
                u64::try_from(share).unwrap_or(u64::MAX).min(width - 1)
            };
            halve = !halve;
            let (other, _) = self.row(low + guess)?;
            if other < key {
                low += guess + 1;
                floor = other;
            } else {
                high = low + guess;
                ceiling = other;
            }
        }
        Ok(low)
    }

    fn row(&self, at: u64) -> Result<Row, IoFailure> {
        Ok(split(self.file.read_array(HEADER as u64 + at * ROW)?))
    }

    /// All rows in order.
    pub(crate) fn rows(&self) -> Rows {
        Rows { run: self.clone(), next: 0, block: Vec::new(), at: 0 }
    }

    /// True if the rows have the checksum that the header states.
    pub(crate) fn is_whole(&self) -> Result<bool, IoFailure> {
        let mut crc = crc32fast::Hasher::new();
        let (mut at, end) = (HEADER as u64, HEADER as u64 + self.rows * ROW);
        while at < end {
            let len = (BLOCK as u64 * ROW).min(end - at);
            crc.update(&self.file.read_vec(at, usize::try_from(len).unwrap_or(usize::MAX))?);
            at += len;
        }
        Ok(crc.finalize() == self.crc)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.file.path().to_owned()
    }
}

fn split(bytes: [u8; 16]) -> Row {
    let [key, index] = bytes.as_chunks::<8>().0 else { return (0, 0) };
    (u64::from_be_bytes(*key), u64::from_be_bytes(*index))
}

/// Reads a run block by block.
#[derive(Debug)]
pub(crate) struct Rows {
    run: Run,
    next: u64,
    block: Vec<u8>,
    at: usize,
}

impl Iterator for Rows {
    type Item = Result<Row, IoFailure>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.block.len() {
            let count = (self.run.rows - self.next).min(BLOCK as u64);
            if count == 0 {
                return None;
            }
            let len = usize::try_from(count * ROW).ok()?;
            match self.run.file.read_vec(HEADER as u64 + self.next * ROW, len) {
                Ok(block) => self.block = block,
                Err(failure) => return Some(Err(failure)),
            }
            self.next += count;
            self.at = 0;
        }
        let row = self.block.get(self.at..)?.first_chunk()?;
        self.at += row.len();
        Some(Ok(split(*row)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::ram::Ram;
    use std::sync::Arc;
    use verifier::hash::sha256;

    fn files() -> Files {
        let files = Files(Arc::new(Ram::new().process()));
        files.create_dir(Path::new("/i"), false).unwrap();
        files
    }

    fn key(index: u64) -> u64 {
        // Some keys stand twice, some runs of equal keys cross block borders.
        u64::from_be_bytes(*sha256(&(index / 2).to_be_bytes()).0.first_chunk().unwrap())
    }

    fn run(files: &Files, first: u64, end: u64) -> Run {
        let mut rows: Vec<Row> = (first..end).map(|index| (key(index), index)).collect();
        rows.sort_unstable();
        let span = Span { kind: Kind::Leaf, first, end };
        Run::write(files, Path::new("/i"), span, &sha256(b"log"), rows.into_iter().map(Ok)).unwrap()
    }

    #[test]
    fn every_key_of_a_run_is_found_and_no_other() {
        let files = files();
        for (first, end) in [(0, 1), (0, 2), (7, 9), (0, 10_000)] {
            let run = run(&files, first, end);
            assert!(run.is_whole().unwrap());
            for index in first..end {
                assert!(run.find(key(index)).unwrap().contains(&index));
            }
            for other in [0, u64::MAX, key(end + 2), key(first) ^ 1] {
                assert!(run.find(other).unwrap().is_empty(), "{first}..{end}");
            }
        }
    }

    #[test]
    fn keys_that_are_not_spread_evenly_are_found_all_the_same() {
        let files = files();
        let span = Span { kind: Kind::Permit, first: 0, end: 5000 };
        let rows = (0..5000).map(|index| Ok((if index < 4000 { index } else { u64::MAX - 5000 + index }, index)));
        let run = Run::write(&files, Path::new("/i"), span, &sha256(b"log"), rows).unwrap();
        for index in 0..5000 {
            let key = if index < 4000 { index } else { u64::MAX - 5000 + index };
            assert_eq!(run.find(key).unwrap(), [index]);
        }
    }

    #[test]
    fn merged_runs_are_the_run_of_the_whole() {
        let files = files();
        let parts = [run(&files, 0, 3000), run(&files, 3000, 3001), run(&files, 3001, 9000)];
        let merged = Run::merge(&files, Path::new("/i"), &parts, &sha256(b"log")).unwrap().unwrap();
        let path = merged.path();
        let bytes = files.read(&path, 1 << 20).unwrap();
        run(&files, 0, 9000);
        assert_eq!(files.read(&path, 1 << 20).unwrap(), bytes);
    }

    #[test]
    fn a_name_has_one_spelling() {
        let span = Span { kind: Kind::Leaf, first: 0, end: 65_536 };
        assert_eq!(Span::of_name(&span.file_name()), Some(span));
        for other in ["leaf-0-65536.run", "leaf-00000000000000000001-00000000000000000001.run", "x.run"] {
            assert_eq!(Span::of_name(other), None);
        }
    }
}
