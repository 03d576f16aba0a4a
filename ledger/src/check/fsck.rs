//! Fsck: tree and index are exactly what journal and vault make them.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use verifier::hash::Hash;

use super::runs::{Windows, compare_runs, stated_permit};
use super::walk::{CheckedFrame, Log, PARTS_AT_ONCE, Parts};
use super::{CheckError, Problem, Progress, Report, unbroken};
use crate::derived::{Mark, Owner};
use crate::frame::FRAME_HEADER;
use crate::grow::Growth;
use crate::keys::RUN;
use crate::layout::SEGMENT_HEADER;
use crate::levels::{Levels, level_name};
use crate::open::{OpenError, read_signer};
use crate::recover::row_of;
use crate::rows::{RowError, Rows, STRIDE};
use crate::storage::disk::Disk;
use crate::storage::{Files, IoFailure, Storage};
use crate::vault_scan::VaultBroken;

/// Checks the log in `dir`, with its memory at the default place unless another is named.
///
/// # Errors
/// If there is no log to check or the disk fails. What is wrong with the log stands in the report.
pub fn fsck(dir: &Path, memory: Option<&Path>, progress: &mut dyn FnMut(Progress)) -> Result<Report, CheckError> {
    fsck_in(Arc::new(Disk), dir, memory, progress)
}

/// As [`fsck`], on any storage.
///
/// # Errors
/// As [`fsck`].
pub fn fsck_in(
    storage: Arc<dyn Storage>,
    dir: &Path,
    memory: Option<&Path>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, CheckError> {
    let mut report = Report::default();
    let log = Log::look(Files(storage), dir, memory, &mut report)?;
    examine(&log, RUN, progress, &mut report)?;
    Ok(report)
}

/// With so many entries in the shortest runs of keys.
pub(super) fn examine(
    log: &Log,
    run: u64,
    progress: &mut dyn FnMut(Progress),
    report: &mut Report,
) -> Result<(), CheckError> {
    let levels = Levels::for_reading(&log.files, &log.layout.tree());
    let rows = Rows::for_reading(&log.files, &log.layout.index());
    let mut windows = Windows::new(run);
    let mut wrong = Wrong::default();
    let _nobody_breaks_it_off = log.walk(
        report,
        &mut unbroken(progress),
        |_, leaf| stated_permit(leaf),
        |report, group| {
            compare_nodes(&levels, group.growth, report, &mut wrong);
            let damaged: Result<Vec<(Vec<usize>, u64)>, IoFailure> =
                (0..group.len()).into_par_iter().filter_map(|n| Some(damaged_parts(log, &group.frame(n)?))).collect();
            report.decisions += windows.add(group);
            for ((number, frame), damaged) in (report.frames..).zip(group.frames()).zip(damaged?) {
                let (damaged, erased) = damaged;
                report.erased += erased;
                match frame.parts {
                    Parts::Lost => {}
                    Parts::Absent => {
                        let wanted = row_of(frame.header, frame.segment, frame.offset, None, (0, SEGMENT_HEADER));
                        compare_row(rows.as_ref(), number, &frame, &wanted.encode(), report, &mut wrong, log);
                    }
                    Parts::Broken(VaultBroken { file, offset }) => {
                        let (what, index) = ("the vault is broken here".to_owned(), Some(frame.header.first));
                        report.add(Problem { file: file.clone(), index, offset: Some(*offset), what });
                    }
                    Parts::Followed { found, end } => {
                        let found = found.as_ref().map(|(vault, _)| vault);
                        for position in damaged {
                            let (segment, offset) =
                                found.map_or((end.0, None), |vault| (vault.segment, Some(vault.offset)));
                            let index = Some(frame.header.first + position as u64);
                            let what = "private parts are damaged".to_owned();
                            report.add(Problem { file: log.vault.path(segment), index, offset, what });
                        }
                        let wanted = row_of(frame.header, frame.segment, frame.offset, found, *end);
                        compare_row(rows.as_ref(), number, &frame, &wanted.encode(), report, &mut wrong, log);
                    }
                }
            }
            Ok(())
        },
    )?;
    compare_runs(log, &levels, &windows, report)?;
    check_mark(log, report)?;
    check_owner(log, report)?;
    check_key(log, report);
    Ok(())
}

/// The entries of a frame whose private parts do not read, and how many have parts that say that they were erased; audit tells whether a
/// record says so too.
fn damaged_parts(log: &Log, frame: &CheckedFrame<'_, Option<u64>>) -> Result<(Vec<usize>, u64), IoFailure> {
    let Parts::Followed { found: Some((vault, body)), .. } = frame.parts else { return Ok((Vec::new(), 0)) };
    log.rooms.lend(|room| {
        let (body, erased) = (body.bytes(room)?, AtomicU64::new(0));
        let positions = (0..frame.made.len()).into_par_iter().with_min_len(PARTS_AT_ONCE);
        let damaged = positions.filter(|position| match vault.borrow(body, *position) {
            Ok(Some(found)) if found.erased != 0 => {
                erased.fetch_add(1, Ordering::Relaxed);
                false
            }
            Ok(_) => false,
            Err(()) => true,
        });
        let damaged = damaged.collect();
        Ok((damaged, erased.into_inner()))
    })
}

/// Kinds of derived files of which the first problem was told already: one is enough, since all of it is made again together.
#[derive(Debug, Default)]
struct Wrong {
    heights: Vec<usize>,
    frames: bool,
    positions: bool,
}

/// How many nodes are compared at once: 32 KiB of stored ones stay in the first cache.
const COMPARE_AT_ONCE: usize = 1024;

fn compare_nodes(levels: &Levels, growth: &Growth, report: &mut Report, wrong: &mut Wrong) {
    for (height, (first, nodes)) in growth.levels().enumerate() {
        if nodes.is_empty() || wrong.heights.contains(&height) {
            continue;
        }
        let differs = |stored: &mut Vec<u8>, (number, nodes): (usize, &[Hash])| {
            let at = first + (number * COMPARE_AT_ONCE) as u64;
            stored.resize(nodes.len() * Hash::LEN, 0);
            if let Err(failure) = levels.read(height, at, stored) {
                return Some((at, failure.to_string()));
            }
            let position = stored.as_chunks::<{ Hash::LEN }>().0.iter().zip(nodes).position(|(a, b)| *a != b.0);
            let node = at + position? as u64;
            Some((node, format!("node {node} of height {height} is not the hash of what lies below")))
        };
        let pieces = nodes.par_chunks(COMPARE_AT_ONCE).enumerate();
        let found = pieces.map_init(Vec::new, differs).find_map_first(|found| found);
        report.nodes += nodes.len() as u64;
        if let Some((node, what)) = found {
            let (file, offset) = (levels.path(&level_name(height)), Some(node * Hash::LEN as u64));
            report.add(Problem { file, index: Some(node << height), offset, what });
            wrong.heights.push(height);
        }
    }
}

fn compare_row(
    rows: Result<&Rows, &IoFailure>,
    number: u64,
    frame: &CheckedFrame<'_, Option<u64>>,
    wanted: &[u8],
    report: &mut Report,
    wrong: &mut Wrong,
    log: &Log,
) {
    let index = frame.header.first;
    let mut tell = |name: &str, index: u64, what: String| {
        report.add(Problem { file: log.layout.index().join(name), index: Some(index), offset: None, what });
    };
    let rows = match rows {
        Ok(rows) => rows,
        Err(failure) => {
            if !wrong.frames {
                tell("frames", index, failure.to_string());
            }
            wrong.frames = true;
            return;
        }
    };
    if !wrong.frames {
        match rows.row(number) {
            Ok(row) if row.encode() == wanted => {}
            Ok(_) => {
                tell("frames", index, format!("row {number} is not that of the frame of entry {index}"));
                wrong.frames = true;
            }
            Err(error @ (RowError::Io(_) | RowError::Damaged { .. })) => {
                tell("frames", index, error.to_string());
                wrong.frames = true;
            }
        }
    }
    let mut at = index.next_multiple_of(STRIDE);
    while at < frame.header.end() && !wrong.positions {
        let inside = usize::try_from(at - index).unwrap_or(usize::MAX);
        let stands = frame.offset + FRAME_HEADER as u64 + frame.start(inside);
        if rows.position(at).ok() != Some(stands) {
            tell("positions", at, format!("the position of entry {at} is wrong or missing"));
            wrong.positions = true;
        }
        at += STRIDE;
    }
}

/// The mark does not promise more than is published.
fn check_mark(log: &Log, report: &mut Report) -> Result<(), CheckError> {
    let file = log.layout.tree().join("synced");
    let what = match Mark::read(&log.files, &log.layout, &log.identity.id)? {
        Some(mark) if mark.size <= report.size => return Ok(()),
        Some(_) => "the mark is above the published size".to_owned(),
        None => "the mark is missing or damaged; opening the log derives everything again".to_owned(),
    };
    report.add(Problem { file, index: None, offset: None, what });
    Ok(())
}

/// The rows say that they are of this log.
fn check_owner(log: &Log, report: &mut Report) -> Result<(), CheckError> {
    if !Owner::is(&log.files, &log.layout, &log.identity.id)? {
        let what = "it does not name this log; opening the log derives everything again".to_owned();
        report.add(Problem { file: Owner::file(&log.layout), index: None, offset: None, what });
    }
    Ok(())
}

/// The signing key is the log's and whole. A copy of a log for somebody else has none, or one that they cannot read.
fn check_key(log: &Log, report: &mut Report) {
    let what = match read_signer(&log.files, &log.layout, &log.identity) {
        // Without its key a directory is read only; an archive never has it.
        Ok(_) | Err(OpenError::NoKey { .. }) => return,
        Err(OpenError::Io(failure))
            if matches!(failure.source.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) =>
        {
            return;
        }
        Err(unusable) => unusable.to_string(),
    };
    report.add(Problem { file: log.layout.log_key(), index: None, offset: None, what });
}
