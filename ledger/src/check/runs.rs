//! Runs of keys against the log: exactly the rows that its entries make, in order.
//!
//! Why sums: what a run must hold follows from the entries of its span alone, and the walk that hashes them anyway sums up their rows on the
//! way. A run with that sum has them all, and unless one key stands twice in it, nothing else. A run with another has lost a row, or its span
//! repeats a key: only the first of two equal keys has a row in a shortest run, while longer ones keep a row of each that they were merged
//! from. Then its rows are made once more, each repeated key left out, and the first one that is missing is named.
//!
//! Guarantees: a missing, repeated, foreign or displaced row is found, whatever the run's checksums say; so is a gap between runs. Does not:
//! withstand sums that somebody forged; whoever can write runs can make a look-up fail, never answer wrongly (`keys.rs`).

use std::cmp::Reverse;
use std::collections::HashSet;

use rayon::prelude::*;
use verifier::record::Record;

use super::walk::{Checked, Log};
use super::{CheckError, Problem, Report};
use crate::keys::prefix;
use crate::layout::SEGMENT_HEADER;
use crate::levels::Levels;
use crate::runs::{Kind, Row, Run, Span};
use crate::scan::{JournalScan, Step};

/// Leaf hashes read at once: 32 KiB.
const STEP: u64 = 1024;

/// The first bytes of the permit id that a leaf states, if it states a decision.
pub(super) fn stated_permit(leaf: &[u8]) -> Option<u64> {
    Record::stated_permit(leaf).ok().flatten().map(|permit| prefix(&permit.0))
}

/// What the shortest runs must hold, each the sums of [`mix`] over its span's rows, none left out: one of leaves, one of permits.
#[derive(Debug)]
pub(super) struct Windows {
    /// Entries of the shortest runs.
    run: u64,
    sums: Vec<[u64; 2]>,
}

impl Windows {
    pub(super) fn new(run: u64) -> Self {
        Self { run, sums: Vec::new() }
    }

    /// Sums a group's entries up; answers how many are decisions.
    pub(super) fn add(&mut self, group: &Checked<'_, Option<u64>>) -> u64 {
        let Some((first, hashes)) = group.growth.levels().next() else { return 0 };
        let mut decisions = 0;
        for ((index, hash), permit) in (first..).zip(hashes).zip(&group.made) {
            let window = usize::try_from(index / self.run).unwrap_or(usize::MAX);
            if self.sums.len() <= window {
                self.sums.resize(window + 1, [0; 2]);
            }
            let Some([leaves, permits]) = self.sums.get_mut(window) else { continue };
            *leaves = leaves.wrapping_add(mix((prefix(&hash.0), index)));
            if let Some(permit) = permit {
                *permits = permits.wrapping_add(mix((*permit, index)));
                decisions += 1;
            }
        }
        decisions
    }

    /// The sum over the rows of a span of whole windows.
    fn sum(&self, span: &Span) -> u64 {
        let window = |index: u64| usize::try_from(index / self.run).unwrap_or(usize::MAX);
        let inside = self.sums.get(window(span.first)..window(span.end)).unwrap_or_default();
        inside.iter().map(|[leaves, permits]| if span.kind == Kind::Leaf { leaves } else { permits }).fold(0, add)
    }
}

fn add(sum: u64, one: &u64) -> u64 {
    sum.wrapping_add(*one)
}

/// A number for a row: sums over the same rows in any order are equal, and over others hardly ever, whatever keys have to do with indexes.
fn mix((key, index): Row) -> u64 {
    scatter(key ^ scatter(index.wrapping_add(1)))
}

/// The output function of SplitMix64: one to one, and every bit depends on all.
fn scatter(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Every run has right checksums and exactly its rows, and runs cover whatever they can.
pub(super) fn compare_runs(
    log: &Log,
    levels: &Levels,
    windows: &Windows,
    report: &mut Report,
) -> Result<(), CheckError> {
    let dir = log.layout.index();
    let names = if log.files.exists(&dir)? { log.files.list(&dir)? } else { Vec::new() };
    // A run may end above the remembered size while the log grows beside us.
    let mut spans: Vec<Span> =
        names.iter().filter_map(|name| Span::of_name(name)).filter(|span| span.end <= report.entries).collect();
    let judged: Result<Vec<Option<Problem>>, CheckError> =
        spans.par_iter().map(|span| compare_run(log, levels, windows, *span)).collect();
    judged?.into_iter().flatten().for_each(|problem| report.add(problem));
    // Runs that were merged may still stand beside what was made of them.
    spans.sort_unstable_by_key(|span| (span.first, Reverse(span.end)));
    let reach = |kind| {
        let of_kind = spans.iter().filter(|span| span.kind == kind);
        of_kind.fold(0, |reach: u64, span| if span.first <= reach { reach.max(span.end) } else { reach })
    };
    let reach = Kind::ALL.map(reach).into_iter().min().unwrap_or(0);
    if reach < report.entries / windows.run * windows.run {
        let what = "runs are missing; opening the log makes them again".to_owned();
        report.add(Problem { file: dir, index: Some(reach), offset: None, what });
    }
    Ok(())
}

/// What is wrong with a run, if anything.
fn compare_run(log: &Log, levels: &Levels, windows: &Windows, span: Span) -> Result<Option<Problem>, CheckError> {
    let dir = log.layout.index();
    let tell = |index: u64, what: &str| {
        let file = dir.join(span.file_name());
        Ok(Some(Problem { file, index: Some(index), offset: None, what: what.to_owned() }))
    };
    if !(span.first.is_multiple_of(windows.run) && span.end.is_multiple_of(windows.run)) {
        return tell(span.first, "no run begins or ends there");
    }
    let run = match Run::open(&log.files, &dir, span, &log.identity.id)? {
        Some(run) if run.is_whole()? => run,
        _ => return tell(span.first, "the run is damaged"),
    };
    let (mut sum, mut last, mut repeats) = (0_u64, None, false);
    for row in run.rows() {
        let row = row?;
        if last >= Some(row) {
            return tell(row.1, "the run's rows do not ascend");
        }
        repeats |= last.is_some_and(|last: Row| last.0 == row.0 && last.1 / windows.run == row.1 / windows.run);
        last = Some(row);
        sum = add(sum, &mix(row));
    }
    if sum == windows.sum(&span) && !repeats {
        return Ok(None);
    }
    let mut wanted = 0_u64;
    let known = rows(log, levels, windows.run, span, |row| {
        wanted = add(wanted, &mix(row));
        Ok(true)
    })?;
    // Without leaf hashes in the tree there is nothing to compare with; that they are missing was told already.
    if !known || sum == wanted {
        return Ok(None);
    }
    let mut missing = None;
    rows(log, levels, windows.run, span, |(key, index)| {
        if !run.find(key)?.contains(&index) {
            missing = Some(index);
        }
        Ok(missing.is_none())
    })?;
    match missing {
        Some(index) => tell(index, "the run does not have the row of this entry"),
        None => tell(span.first, "the run has a row that no entry makes"),
    }
}

/// Makes the rows of a span as they are filed, by ascending index, until `visit` has enough. `false` if what they are made of is not there.
fn rows(
    log: &Log,
    levels: &Levels,
    run: u64,
    span: Span,
    mut visit: impl FnMut(Row) -> Result<bool, CheckError>,
) -> Result<bool, CheckError> {
    let (mut seen, mut window) = (HashSet::new(), 0);
    let mut file = |index: u64, key: &[u8]| {
        if index / run != window {
            window = index / run;
            seen.clear();
        }
        if seen.insert(key.to_vec()) { visit((prefix(key), index)) } else { Ok(true) }
    };
    match span.kind {
        Kind::Leaf => {
            let mut from = span.first;
            while from < span.end {
                let count = (span.end - from).min(STEP);
                let Ok(hashes) = levels.nodes(0, from, usize::try_from(count).unwrap_or(usize::MAX)) else {
                    return Ok(false);
                };
                for (index, hash) in (from..).zip(hashes.as_chunks::<32>().0) {
                    if !file(index, hash)? {
                        return Ok(true);
                    }
                }
                from += count;
            }
        }
        Kind::Permit => {
            let mut scan = JournalScan::new(&log.journal, 0, SEGMENT_HEADER, 0, 0)?;
            while scan.next < span.end {
                let Step::Frame(frame) = scan.step()? else { return Ok(false) };
                for (index, leaf) in (frame.header.first..).zip(&frame.leaves) {
                    let leaf = frame.body.get(leaf.clone()).unwrap_or_default();
                    let permit = Record::stated_permit(leaf).ok().flatten();
                    let Some(permit) = permit.filter(|_| (span.first..span.end).contains(&index)) else { continue };
                    if !file(index, &permit.0)? {
                        return Ok(true);
                    }
                }
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use super::*;
    use crate::check::fsck;
    use crate::small::{DIR, SHORT, append, new_log, open};
    use crate::storage::Files;
    use crate::storage::ram::Ram;

    /// The header of a run (runs.rs), behind which its rows of 16 bytes stand.
    const HEADER: usize = 72;

    /// Three merged runs and shorter ones of each kind. Leaves and permits repeat: inside the run where they stood first (entry 5 in entry 3,
    /// 202 in 200), inside another that is merged with it (100), in another merged run (250).
    fn sample() -> Ram {
        let number = |index| match index {
            5 | 100 | 250 => 3,
            202 => 200,
            _ => index,
        };
        let ram = new_log();
        append(&mut open(&ram).0, (0..300).map(number));
        ram
    }

    fn problems(ram: &Ram) -> Vec<(PathBuf, Option<u64>, String)> {
        let mut report = Report::default();
        let log = Log::look(Files(Arc::new(ram.process())), Path::new(DIR), None, &mut report).unwrap();
        fsck::examine(&log, SHORT, &mut |_| {}, &mut report).unwrap();
        report.problems.into_iter().map(|problem| (problem.file, problem.index, problem.what)).collect()
    }

    /// What fsck says of a run whose rows were changed and whose checksums were made right again.
    fn with_rows(
        ram: &Ram,
        path: &Path,
        change: impl FnOnce(&mut Vec<[u8; 16]>),
    ) -> Vec<(PathBuf, Option<u64>, String)> {
        let whole = ram.snapshot()[path].clone();
        ram.damage(path, |bytes| {
            let mut rows = bytes.split_off(HEADER).as_chunks().0.to_vec();
            change(&mut rows);
            let rows = rows.concat();
            bytes[56..64].copy_from_slice(&(rows.len() as u64 / 16).to_be_bytes());
            bytes[64..68].copy_from_slice(&crc32fast::hash(&rows).to_be_bytes());
            let crc = crc32fast::hash(&bytes[..68]);
            bytes[68..72].copy_from_slice(&crc.to_be_bytes());
            bytes.extend(rows);
        })
        .unwrap();
        let found = problems(ram);
        ram.damage(path, |bytes| *bytes = whole).unwrap();
        found
    }

    fn index_of(row: &[u8; 16]) -> u64 {
        u64::from_be_bytes(*row.last_chunk().unwrap())
    }

    #[test]
    fn every_row_that_is_missing_from_a_run_is_named_whatever_is_repeated_in_the_log() {
        let ram = sample();
        assert_eq!(problems(&ram), []);
        let runs: Vec<(PathBuf, Vec<u8>)> =
            ram.snapshot().into_iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "run")).collect();
        assert_eq!(runs.len(), 14, "two merged runs and five short ones, of each kind");
        let mut rows = 0;
        for (path, bytes) in &runs {
            for at in 0..(bytes.len() - HEADER) / 16 {
                let mut gone = 0;
                let found = with_rows(&ram, path, |rows| gone = index_of(&rows.remove(at)));
                assert_eq!(
                    found,
                    [(path.clone(), Some(gone), "the run does not have the row of this entry".to_owned())]
                );
                rows += 1;
            }
        }
        // A leaf for each entry but 5 and 202; a permit for each odd entry and 100 and 250, but not for 5.
        assert_eq!(rows, (296 - 2) + (148 + 2 - 1));
    }

    #[test]
    fn a_row_too_many_or_out_of_place_and_a_run_that_is_missing_are_told() {
        let ram = sample();
        let index = Path::new(DIR).join("index");
        let merged = |kind, first| index.join(Span { kind, first, end: first + 128 }.file_name());
        for (kind, first, entry, again) in
            [(Kind::Leaf, 0, 3, 5_u64), (Kind::Permit, 0, 3, 5), (Kind::Leaf, 128, 200, 202)]
        {
            let path = merged(kind, first);
            let found = with_rows(&ram, &path, |rows| {
                let at = rows.iter().position(|row| index_of(row) == entry).unwrap();
                let mut row = rows[at];
                row[8..].copy_from_slice(&again.to_be_bytes());
                rows.insert(at + 1, row);
            });
            assert_eq!(found, [(path.clone(), Some(first), "the run has a row that no entry makes".to_owned())]);
            for (one, other) in [(3, 4), (3, 60)] {
                let found = with_rows(&ram, &path, |rows| rows.swap(one, other));
                assert_eq!(found.len(), 1);
                assert_eq!((&found[0].0, &*found[0].2), (&path, "the run's rows do not ascend"));
            }
            let found = with_rows(&ram, &path, |rows| rows.insert(3, rows[3]));
            assert_eq!((found.len(), &*found[0].2), (1, "the run's rows do not ascend"));
        }
        let what = "runs are missing; opening the log makes them again".to_owned();
        for (kind, first, length) in [(Kind::Leaf, 0, 128), (Kind::Permit, 128, 128), (Kind::Leaf, 256, 8)] {
            let path = index.join(Span { kind, first, end: first + length }.file_name());
            let ram = ram.fork();
            ram.lose(&path);
            assert_eq!(problems(&ram), [(index.clone(), Some(first), what.clone())]);
        }
    }
}
