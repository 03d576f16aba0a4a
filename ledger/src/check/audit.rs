//! Audit: every published entry is a record of our format, every root follows from the entries, and the vault holds what the leaves commit to.
//!
//! With the verification key alone: the key must be the one that the log claims, and the remembered head must carry its signature. Beyond
//! that this is the operator's own disk: it says nothing about what others were shown. That is for witnesses and for audits over HTTP.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use verifier::checkpoint::Checkpoint;
use verifier::hash::Hash;
use verifier::note::VerifierKey;
use verifier::record::Record;

use super::walk::{CheckedFrame, Log, PARTS_AT_ONCE, Parts, Watch};
use super::{CheckError, Problem, Progress, Report, unbroken};
use crate::head::Head;
use crate::layout::{Identity, Layout};
use crate::memory::Remembered;
use crate::storage::disk::Disk;
use crate::storage::{Files, IoFailure, Storage};

/// What of a leaf the audit keeps until its frame's turn comes. Small, since there is one for each entry and few have anything to tell.
enum Seen {
    Decision(Box<Committed>),
    Erasure { index: u64, parts: u64 },
    Freeze,
    Other,
    NotARecord(String),
}

/// What a decision commits to.
struct Committed {
    request: Hash,
    detail: Hash,
}

const _: () = assert!(size_of::<Seen>() <= 24);

/// Checks the log in `dir` against a verification key, with its memory at the default place unless another is named.
///
/// # Errors
/// If there is no log to check or the disk fails. What is wrong with the log stands in the report.
pub fn audit(
    dir: &Path,
    memory: Option<&Path>,
    key: &VerifierKey,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, CheckError> {
    audit_in(Arc::new(Disk), dir, memory, key, progress)
}

/// As [`audit`], on any storage.
///
/// # Errors
/// As [`audit`].
pub fn audit_in(
    storage: Arc<dyn Storage>,
    dir: &Path,
    memory: Option<&Path>,
    key: &VerifierKey,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, CheckError> {
    let mut report = Report::default();
    let log = Log::look(Files(storage), dir, memory, &mut report)?;
    let _nobody_breaks_it_off = examine(&log, key, &mut unbroken(progress), &mut report)?;
    Ok(report)
}

/// As [`audit_in`], for a directory that cannot be opened yet: what it is said to be comes from whoever makes it.
pub(crate) fn audit_at(
    files: &Files,
    layout: &Layout,
    identity: &Identity,
    head: &Head,
    report: &mut Report,
) -> Result<(), CheckError> {
    let log = Log::at(files.clone(), layout.clone(), identity.clone(), Some(Remembered::of(head)), report)?;
    let _nobody_breaks_it_off = examine(&log, &identity.key, &mut unbroken(&mut |_| {}), report)?;
    Ok(())
}

/// Looks at everything that a log's head covers, unless whoever watches breaks it off; then the report is of no use.
pub(super) fn examine(
    log: &Log,
    key: &VerifierKey,
    watch: &mut Watch<'_>,
    report: &mut Report,
) -> Result<ControlFlow<()>, CheckError> {
    if log.identity.key != *key {
        let (file, what) =
            (log.layout.log_toml(), "the log names another verification key than the one given".to_owned());
        report.add(Problem { file, index: None, offset: None, what });
    }
    check_signature(log, key, report);
    let (mut missing, mut erased) = (Vec::new(), HashMap::<u64, u64>::new());
    let mut frozen: Option<u64> = None;
    let flow = log.walk(
        report,
        watch,
        |_, leaf| look(leaf),
        |report, group| {
            for frame in group.frames() {
                for (index, seen) in (frame.header.first..).zip(frame.made) {
                    match seen {
                        Seen::Decision(_) => report.decisions += 1,
                        Seen::Erasure { index, parts } => *erased.entry(*index).or_default() |= parts,
                        Seen::Freeze => frozen = frozen.or(Some(index)),
                        Seen::Other => {}
                        Seen::NotARecord(why) => {
                            let (file, offset) = (log.journal.present(frame.segment), Some(frame.offset));
                            report.add(Problem { file, index: Some(index), offset, what: why.clone() });
                        }
                    }
                }
                if let Parts::Broken(broken) = frame.parts {
                    let what =
                        "the vault is broken here; private parts from this entry on cannot be checked".to_owned();
                    let (file, index) = (broken.file.clone(), Some(frame.header.first));
                    report.add(Problem { file, index, offset: Some(broken.offset), what });
                }
            }
            let found: Result<Vec<_>, IoFailure> =
                (0..group.len()).into_par_iter().filter_map(|n| Some(check_parts(log, &group.frame(n)?))).collect();
            for (kept, wrong) in found? {
                report.kept += kept;
                missing.extend(wrong);
            }
            Ok(())
        },
    )?;
    if flow.is_break() {
        return Ok(flow);
    }
    if let Some(index) = frozen.filter(|index| index + 1 < report.entries) {
        let what = "the log was frozen here and goes on behind it".to_owned();
        report.add(Problem { file: log.layout.journal(), index: Some(index), offset: None, what });
    }
    for (index, parts, problem) in missing {
        // What is gone without a record of it is lost, and so is what is gone in another way than by erasing.
        if parts != 0 && erased.get(&index).is_some_and(|erased| erased & parts == parts) {
            report.erased += 1;
        } else {
            report.add(problem);
        }
    }
    Ok(flow)
}

fn look(leaf: &[u8]) -> Seen {
    match Record::outline(leaf) {
        Ok(Record::Decision(decision)) => {
            Seen::Decision(Box::new(Committed { request: decision.request, detail: decision.detail }))
        }
        Ok(Record::Erasure { index, parts, .. }) => Seen::Erasure { index, parts },
        Ok(Record::Freeze { .. }) => Seen::Freeze,
        Ok(_) => Seen::Other,
        Err(error) => Seen::NotARecord(error.to_string()),
    }
}

fn check_signature(log: &Log, key: &VerifierKey, report: &mut Report) {
    let Some(head) = &log.remembered else { return };
    let checkpoint = Checkpoint { origin: log.identity.origin.clone(), size: head.size, root: head.root };
    if !key.verify(checkpoint.text().as_bytes(), &head.signature) {
        let what = "the remembered head is not signed by the key given".to_owned();
        report.add(Problem { file: log.layout.log_toml(), index: None, offset: None, what });
    }
}

/// An entry whose parts are wrong, which of them are gone, and what to tell of it.
type Wrong = (u64, u64, Problem);

/// Compares the private parts of a frame with its leaves' commitments: how many are right, and what is wrong.
fn check_parts(log: &Log, frame: &CheckedFrame<'_, Seen>) -> Result<(u64, Vec<Wrong>), IoFailure> {
    let Parts::Followed { found, end } = frame.parts else { return Ok((0, Vec::new())) };
    let judge = |body: &[u8], position: usize, seen: &Seen| {
        let Seen::Decision(committed) = seen else { return None };
        let private = found.as_ref().map_or(Ok(None), |(vault, _)| vault.borrow(body, position));
        Some(match private {
            Ok(Some(found)) if !found.matches(&committed.request, &committed.detail) => {
                Err((position, 0, "its private parts are not those that its leaf commits to"))
            }
            Ok(Some(found)) if found.erased == 0 => Ok(()),
            Ok(Some(found)) => {
                Err((position, found.erased, "its private parts are lost: no record says that they were erased"))
            }
            Ok(None) => Err((position, 0, "its private parts are lost")),
            Err(()) => Err((position, 0, "its private parts are damaged")),
        })
    };
    let judged = log.rooms.lend(|room| {
        let body = found.as_ref().map_or(Ok(&[][..]), |(_, body)| body.bytes(room))?;
        let all = frame.made.par_iter().enumerate().with_min_len(PARTS_AT_ONCE);
        let judged: Vec<Result<(), (usize, u64, &str)>> =
            all.filter_map(|(position, seen)| judge(body, position, seen)).collect();
        Ok::<_, IoFailure>(judged)
    })?;
    let right = judged.iter().filter(|judged| judged.is_ok()).count() as u64;
    let (segment, offset) = found.as_ref().map_or((end.0, None), |(vault, _)| (vault.segment, Some(vault.offset)));
    let tell = |(position, parts, what): (usize, u64, &str)| {
        let index = frame.header.first + position as u64;
        (index, parts, Problem { file: log.vault.path(segment), index: Some(index), offset, what: what.to_owned() })
    };
    Ok((right, judged.into_iter().filter_map(Result::err).map(tell).collect()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use verifier::decision::{Class, Classes, Decision, Outcome, commitment};

    use super::*;
    use crate::check::fsck;
    use crate::small::{DIR, SHORT, new_log, open, permit};
    use crate::storage::ram::Ram;
    use crate::{Batch, Ledger, Options, Private, create_in, default_memory};

    /// No writer of ours does it; a thief of the key may.
    #[test]
    fn a_log_that_goes_on_behind_its_freeze_is_told() {
        let (ram, dir) = (Ram::new(), Path::new("/srv/log"));
        let key = create_in(Arc::new(ram.process()), dir, &default_memory(dir), "log.example/test", 1).unwrap();
        let (mut ledger, reader) = Ledger::open_in(Arc::new(ram.process()), Options::new(dir), 1).unwrap();
        let mut batch = Batch::default();
        for note in ["a signed act\n", "another\n"] {
            batch.clear();
            batch.push(&Record::Freeze { recorded_at: 1, governance: 1, note: note.into() }, None).unwrap();
            ledger.append(&batch, 1).unwrap();
            let report = audit_in(Arc::new(ram.process()), dir, None, &key, &mut |_| {}).unwrap();
            assert_eq!(report.is_clean(), reader.size() == 1, "{report:?}");
            ledger.stager.poison.shared.frozen.store(false, Ordering::Release);
        }
    }

    /// Numbers whose bytes stand nowhere else in a vault.
    const FIRST: u64 = 0x5a << 56;

    /// A decision with private parts of so many bytes, which are its number over and over.
    fn decide(batch: &mut Batch, number: u64, len: usize) {
        let request = number.to_be_bytes().repeat(len / 8);
        let decision = Decision {
            recorded_at: 1,
            governance: 1,
            epoch: 1,
            permit: permit(number),
            realm: "main".into(),
            evaluated_at: 1,
            outcome: Outcome::Deny,
            classes: Classes::new([Class::Fail; 9]),
            request: commitment(&[1; 16], &request),
            detail: commitment(&[2; 16], b"detail"),
            grant: None,
            audience: None,
            shadow: None,
        };
        let private = Private {
            disclosed: true,
            request_salt: [1; 16],
            request: &request,
            detail_salt: [2; 16],
            detail: b"detail",
        };
        batch.push(&Record::Decision(Box::new(decision)), Some(private)).unwrap();
    }

    /// Short vault frames are read many at once, long ones each by whoever checks it.
    #[test]
    fn a_bit_of_the_private_parts_is_found_in_short_and_in_long_frames_whatever_stands_before_them() {
        let (ram, dir) = (new_log(), Path::new(DIR));
        let key: VerifierKey = {
            let (mut ledger, reader) = open(&ram);
            let (short, long) = ((2, 400), (30, 4000));
            let mut number = FIRST;
            for (count, len) in [short, short, long, short, long, long, (1, 200_000), short, short, long] {
                let mut batch = Batch::default();
                for _ in 0..count {
                    decide(&mut batch, number, len);
                    number += 1;
                }
                ledger.append(&batch, 1).unwrap();
            }
            reader.verifier_key().clone()
        };
        let look = || {
            let audited = audit_in(Arc::new(ram.process()), dir, None, &key, &mut |_| {}).unwrap();
            let mut checked = Report::default();
            let log = Log::look(Files(Arc::new(ram.process())), dir, None, &mut checked).unwrap();
            fsck::examine(&log, SHORT, &mut |_| {}, &mut checked).unwrap();
            [audited, checked]
        };
        let [audited, checked] = look();
        assert_eq!((audited.problems, audited.kept, audited.decisions), (vec![], 131, 131));
        assert_eq!((checked.problems, checked.decisions), (vec![], 131));
        let vault = dir.join("vault/00000000000000000000.seg");
        // First and last of each frame.
        for index in [0..5_u64, 33..37, 65..67, 95..102, 130..131].into_iter().flatten() {
            let bytes = ram.snapshot()[&vault].clone();
            let at = bytes.windows(8).position(|bytes| bytes == (FIRST + index).to_be_bytes()).unwrap();
            ram.damage(&vault, |bytes| bytes[at + 17] ^= 4).unwrap();
            for report in look() {
                let found: Vec<_> = report.problems.iter().map(|problem| (&problem.file, problem.index)).collect();
                assert_eq!(found, [(&vault, Some(index))], "{report:?}");
            }
            ram.damage(&vault, |bytes| bytes[at + 17] ^= 4).unwrap();
        }
    }
}
