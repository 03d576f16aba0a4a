//! From permit id and leaf hash to index. Derived.
//!
//! The newest keys stand in maps, the others in sorted runs (`runs.rs`) of [`RUN`] entries, merged by [`FAN`] into longer ones, so that a
//! look-up asks a handful of files however long the log is. All this happens behind the hot path: an append only leaves its permit ids here,
//! and a look-up that comes before they are filed walks over those that wait.
//!
//! Guarantees: what is found is the key that was asked for, compared whole, and below the size given; what is published is found. The files
//! are a function of the log's content alone. Does not: sync with the log; runs that are missing or broken at open are made again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use verifier::decision::PermitId;
use verifier::hash::Hash;
use verifier::proof::Nodes;

use crate::levels::Levels;
use crate::runs::{Kind, Row, Run, Span};
use crate::storage::{Files, IoFailure};

/// Entries in the shortest runs: so many keys are at most kept in memory (some 10 MiB), and read again at open.
pub(crate) const RUN: u64 = 65_536;
/// So many runs are merged into one: 10^9 entries lie in at most 60 runs, and each row is rewritten three times.
pub(crate) const FAN: u64 = 16;
/// Leaf hashes read at once when those not yet filed are walked over.
const STEP: u64 = 1024;

/// The look-up tables of one log.
#[derive(Debug)]
pub(crate) struct Keys {
    files: Files,
    dir: PathBuf,
    log: Hash,
    levels: Arc<Levels>,
    /// [`RUN`], or fewer in tests.
    run: u64,
    filed: RwLock<Filed>,
    /// Permit ids of published decisions that are not filed yet, ascending by index.
    waiting: Mutex<Vec<(u64, PermitId)>>,
}

#[derive(Debug, Default)]
struct Filed {
    /// All entries below are in runs.
    in_runs: u64,
    /// All entries below are in runs or maps.
    upto: u64,
    leaves: HashMap<Key<32>, u64>,
    permits: HashMap<Key<16>, u64>,
    runs: Vec<Run>,
}

/// A key that is random already: 8 of its bytes are enough to spread it. The map's own hash stays keyed, since clients can try many leaves.
#[derive(Debug, PartialEq, Eq)]
struct Key<const N: usize>([u8; N]);

impl<const N: usize> std::hash::Hash for Key<N> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(prefix(&self.0));
    }
}

impl Keys {
    /// The tables as far as whole runs below `size` cover them; everything else in the directory that looks like a run is removed.
    pub(crate) fn open(
        files: &Files,
        dir: &Path,
        log: Hash,
        levels: Arc<Levels>,
        size: u64,
        run: u64,
    ) -> Result<Self, IoFailure> {
        let keys = Self::look(files, dir, log, levels, size, run)?;
        let wanted: Vec<String> = {
            let filed = keys.filed.read().unwrap_or_else(PoisonError::into_inner);
            filed.runs.iter().map(|run| run.span.file_name()).collect()
        };
        let names = files.list(dir)?;
        for name in names.iter().filter(|name| name.ends_with(".run") || name.ends_with(".run.new")) {
            if !wanted.contains(name) {
                files.remove(&dir.join(name))?;
            }
        }
        Ok(keys)
    }

    /// As [`Keys::open`], without touching anything.
    pub(crate) fn look(
        files: &Files,
        dir: &Path,
        log: Hash,
        levels: Arc<Levels>,
        size: u64,
        run: u64,
    ) -> Result<Self, IoFailure> {
        let names = files.list(dir)?;
        let spans: Vec<Span> = names.iter().filter_map(|name| Span::of_name(name)).collect();
        let mut runs = Vec::new();
        let mut at = 0;
        'next: loop {
            let mut ends: Vec<u64> = spans
                .iter()
                .filter(|s| s.kind == Kind::Leaf && s.first == at && s.end <= size)
                .map(|s| s.end)
                .collect();
            ends.sort_unstable_by(|a, b| b.cmp(a));
            for end in ends {
                let mut both = Vec::new();
                for kind in Kind::ALL {
                    let span = Span { kind, first: at, end };
                    if spans.contains(&span) {
                        both.extend(Run::open(files, dir, span, &log)?);
                    }
                }
                if both.len() == Kind::ALL.len() {
                    runs.extend(both);
                    at = end;
                    continue 'next;
                }
            }
            break;
        }
        let filed = RwLock::new(Filed { in_runs: at, upto: at, runs, ..Filed::default() });
        Ok(Self { files: files.clone(), dir: dir.to_owned(), log, levels, run, filed, waiting: Mutex::default() })
    }

    /// No run covers at most so many entries when the log is opened, unless some were lost: what one merge takes, and what maps hold.
    pub(crate) fn most_left(&self) -> u64 {
        self.run * (FAN + 1)
    }

    /// All entries below are filed.
    pub(crate) fn upto(&self) -> u64 {
        self.filed.read().unwrap_or_else(PoisonError::into_inner).upto
    }

    /// Leaves permit ids to be filed later. Called before the head that covers them is published.
    pub(crate) fn leave(&self, permits: impl Iterator<Item = (u64, PermitId)>) {
        self.waiting().extend(permits);
    }

    /// Files everything below `size`, for which [`Keys::leave`] was called. One thread at a time. True if runs were written, and
    /// [`Keys::settle`] may find some to merge.
    pub(crate) fn file(&self, size: u64) -> Result<bool, IoFailure> {
        let mut written = false;
        loop {
            let (in_runs, upto) = {
                let filed = self.filed.read().unwrap_or_else(PoisonError::into_inner);
                (filed.in_runs, filed.upto)
            };
            if upto == in_runs + self.run {
                self.write_runs()?;
                written = true;
                continue;
            }
            let to = size.min(in_runs + self.run).min(upto + STEP);
            if to <= upto {
                return Ok(written);
            }
            self.file_some(upto, to)?;
        }
    }

    fn file_some(&self, from: u64, to: u64) -> Result<(), IoFailure> {
        let count = usize::try_from(to - from).unwrap_or(usize::MAX);
        let leaves = self.levels.nodes(0, from, count)?;
        let permits: Vec<(u64, PermitId)> = {
            let waiting = self.waiting();
            let some = waiting.partition_point(|(index, _)| *index < to);
            waiting.get(..some).unwrap_or_default().to_vec()
        };
        {
            let mut filed = self.filed.write().unwrap_or_else(PoisonError::into_inner);
            for (index, leaf) in (from..).zip(leaves.as_chunks().0) {
                filed.leaves.entry(Key(*leaf)).or_insert(index);
            }
            for (index, permit) in &permits {
                filed.permits.entry(Key(permit.0)).or_insert(*index);
            }
            filed.upto = to;
        }
        // Only now: a look-up asks those that wait first, and must find them there or in the maps.
        self.waiting().drain(..permits.len());
        Ok(())
    }

    /// Moves the full maps into runs.
    fn write_runs(&self) -> Result<(), IoFailure> {
        let (first, mut leaves, mut permits) = {
            let filed = self.filed.read().unwrap_or_else(PoisonError::into_inner);
            let leaves: Vec<Row> = filed.leaves.iter().map(|(key, index)| (prefix(&key.0), *index)).collect();
            let permits: Vec<Row> = filed.permits.iter().map(|(key, index)| (prefix(&key.0), *index)).collect();
            (filed.in_runs, leaves, permits)
        };
        leaves.sort_unstable();
        permits.sort_unstable();
        let end = first + self.run;
        let write = |kind, rows: Vec<Row>| {
            Run::write(&self.files, &self.dir, Span { kind, first, end }, &self.log, rows.into_iter().map(Ok))
        };
        let (leaves, permits) = (write(Kind::Leaf, leaves)?, write(Kind::Permit, permits)?);
        {
            let mut filed = self.filed.write().unwrap_or_else(PoisonError::into_inner);
            filed.runs.extend([leaves, permits]);
            filed.leaves.clear();
            filed.permits.clear();
            filed.in_runs = end;
        }
        Ok(())
    }

    /// Merges the runs that end at `end`, where [`FAN`] neighbours of one length are complete.
    fn merge_runs(&self, end: u64) -> Result<(), IoFailure> {
        let mut length = self.run * FAN;
        while end.is_multiple_of(length) {
            for kind in Kind::ALL {
                let span = Span { kind, first: end - length, end };
                let inside = |run: &Run| run.span.kind == kind && run.span.first >= span.first && run.span.end <= end;
                let parts: Vec<Run> = {
                    let filed = self.filed.read().unwrap_or_else(PoisonError::into_inner);
                    filed.runs.iter().filter(|run| inside(run)).cloned().collect()
                };
                if parts.len() < 2 {
                    continue;
                }
                let Some(merged) = Run::merge(&self.files, &self.dir, &parts, &self.log)? else { continue };
                {
                    let mut filed = self.filed.write().unwrap_or_else(PoisonError::into_inner);
                    filed.runs.retain(|run| !inside(run));
                    filed.runs.push(merged);
                }
                for part in parts {
                    self.files.remove(&part.path())?;
                }
            }
            length *= FAN;
        }
        Ok(())
    }

    /// Merges what is due, also where an earlier process began: the files depend on the log alone. It reads and writes whole runs, so it is
    /// not for whoever waits for the log to open.
    pub(crate) fn settle(&self) -> Result<(), IoFailure> {
        let in_runs = self.filed.read().unwrap_or_else(PoisonError::into_inner).in_runs;
        let mut end = self.run * FAN;
        while end <= in_runs {
            self.merge_runs(end)?;
            end += self.run * FAN;
        }
        Ok(())
    }

    /// The first index below `size` that has this leaf hash.
    pub(crate) fn leaf(&self, leaf: &Hash, size: u64) -> Result<Option<u64>, IoFailure> {
        let mut best: Option<u64> = None;
        let upto = {
            let filed = self.filed.read().unwrap_or_else(PoisonError::into_inner);
            for run in filed.runs.iter().filter(|run| run.span.kind == Kind::Leaf) {
                for index in run.find(prefix(&leaf.0))? {
                    if best.is_none_or(|best| index < best) && self.levels.node(0, index)? == *leaf {
                        best = Some(index);
                    }
                }
            }
            best = best.or_else(|| filed.leaves.get(&Key(leaf.0)).copied());
            filed.upto
        };
        let mut from = upto;
        while best.is_none() && from < size {
            let count = (size - from).min(STEP);
            let hashes = self.levels.nodes(0, from, usize::try_from(count).unwrap_or(usize::MAX))?;
            let found = hashes.as_chunks::<32>().0.iter().position(|other| *other == leaf.0);
            best = found.map(|position| from + position as u64);
            from += count;
        }
        Ok(best.filter(|index| *index < size))
    }

    /// The indexes below `size` that may be the decision with this permit id; all but one of them are chance.
    pub(crate) fn permit(&self, permit: &PermitId, size: u64) -> Result<Vec<u64>, IoFailure> {
        let mut found: Vec<u64> = self.waiting().iter().filter(|(_, other)| other == permit).map(|(i, _)| *i).collect();
        let filed = self.filed.read().unwrap_or_else(PoisonError::into_inner);
        found.extend(filed.permits.get(&Key(permit.0)));
        for run in filed.runs.iter().filter(|run| run.span.kind == Kind::Permit) {
            found.extend(run.find(prefix(&permit.0))?);
        }
        found.retain(|index| *index < size);
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<(u64, PermitId)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a run keeps of a key.
pub(crate) fn prefix(key: &[u8]) -> u64 {
    key.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grow::{Edge, Growth};
    use crate::storage::ram::Ram;
    use verifier::hash::{leaf_hash, sha256};

    struct Rig {
        ram: Ram,
        files: Files,
        levels: Arc<Levels>,
        edge: Edge,
    }

    fn rig() -> Rig {
        let ram = Ram::new();
        let files = Files(Arc::new(ram.process()));
        for dir in ["/tree", "/index"] {
            files.create_dir(Path::new(dir), false).unwrap();
        }
        let levels = Arc::new(Levels::new(&files, Path::new("/tree")));
        Rig { ram, files, levels, edge: Edge::empty() }
    }

    impl Rig {
        fn keys(&self, size: u64) -> Keys {
            Keys::open(&self.files, Path::new("/index"), sha256(b"log"), self.levels.clone(), size, 8).unwrap()
        }

        fn grow(&mut self, to: u64) {
            let mut growth = Growth::new();
            let arena: Vec<u8> = (self.edge.size()..to).flat_map(u64::to_be_bytes).collect();
            growth.compute(&self.edge, &arena, arena.len() / 8, |i| 8 * i..8 * i + 8);
            self.levels.write(&growth, &mut Vec::new()).unwrap();
            self.edge.clone_from(growth.edge());
        }
    }

    fn permit(index: u64) -> PermitId {
        PermitId(*sha256(&index.to_le_bytes()).0.first_chunk().unwrap())
    }

    /// As the thread behind the writer does.
    fn file(keys: &Keys, size: u64) {
        if keys.file(size).unwrap() {
            keys.settle().unwrap();
        }
    }

    fn check(keys: &Keys, size: u64) {
        for index in 0..size {
            assert_eq!(keys.leaf(&leaf_hash(&index.to_be_bytes()), size).unwrap(), Some(index));
            assert_eq!(keys.permit(&permit(index), size).unwrap(), [index]);
            assert_eq!(keys.leaf(&leaf_hash(&index.to_be_bytes()), index).unwrap(), None, "not below its own index");
            assert!(keys.permit(&permit(index), index).unwrap().is_empty());
        }
        assert_eq!(keys.leaf(&leaf_hash(b"other"), size).unwrap(), None);
        assert!(keys.permit(&permit(size + 1), size).unwrap().is_empty());
    }

    #[test]
    fn keys_are_found_whether_waiting_filed_or_in_runs_and_files_depend_on_the_log_alone() {
        let mut step_by_step = rig();
        let keys = step_by_step.keys(0);
        for size in 1..=300 {
            step_by_step.grow(size);
            keys.leave(std::iter::once((size - 1, permit(size - 1))));
            if size % 7 == 0 {
                file(&keys, size);
            }
            if size % 50 == 0 || size < 20 {
                check(&keys, size);
            }
        }
        file(&keys, 300);
        check(&keys, 300);

        let mut at_once = rig();
        at_once.grow(300);
        let keys = at_once.keys(300);
        keys.leave((0..300).map(|index| (index, permit(index))));
        file(&keys, 300);
        check(&keys, 300);
        assert_eq!(at_once.ram.snapshot(), step_by_step.ram.snapshot());
        // 300 = 2 · 128 + 5 · 8 + 4: two merged runs and five short ones, of each kind.
        let names: Vec<_> = at_once.ram.snapshot().into_keys().filter(|path| path.starts_with("/index")).collect();
        assert_eq!(names.len(), 14, "{names:?}");
    }

    #[test]
    fn runs_above_the_size_or_broken_are_made_again() {
        let mut rig = rig();
        rig.grow(200);
        let keys = rig.keys(200);
        keys.leave((0..200).map(|index| (index, permit(index))));
        file(&keys, 200);
        let whole = rig.ram.snapshot();
        let path = Path::new("/index").join(Span { kind: Kind::Permit, first: 136, end: 144 }.file_name());
        rig.ram.damage(&path, |bytes| bytes[60] ^= 1).unwrap();
        let keys = rig.keys(200);
        assert_eq!(keys.upto(), 136);
        keys.leave((136..200).map(|index| (index, permit(index))));
        file(&keys, 200);
        assert_eq!(rig.ram.snapshot(), whole);
        assert_eq!(rig.keys(150).upto(), 144, "what lies above the size is not believed");
    }

    #[test]
    fn of_two_equal_leaves_the_first_is_found() {
        let mut rig = rig();
        let mut growth = Growth::new();
        growth.compute(&rig.edge, b"abcdefghijklmnaa", 16, |i| i..i + 1);
        rig.levels.write(&growth, &mut Vec::new()).unwrap();
        rig.edge.clone_from(growth.edge());
        let keys = rig.keys(16);
        for filed in [0, 8, 12, 16] {
            file(&keys, filed);
            assert_eq!(keys.leaf(&leaf_hash(b"a"), 16).unwrap(), Some(0));
        }
    }
}
