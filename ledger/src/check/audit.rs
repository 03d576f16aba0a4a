//! Audit: every published entry is a record of our format, every root follows from the entries, and the vault holds what the leaves commit to.
//!
//! With the verification key alone: the key must be the one that the log claims, and the remembered head must carry its signature. Beyond
//! that this is the operator's own disk: it says nothing about what others were shown. That is for witnesses and for audits over HTTP.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use verifier::checkpoint::Checkpoint;
use verifier::hash::Hash;
use verifier::note::VerifierKey;
use verifier::record::Record;

use super::walk::Log;
use super::{CheckError, Problem, Progress, Report};
use crate::layout::SEGMENT_HEADER;
use crate::scan::{Frame, VaultScan};
use crate::storage::disk::Disk;
use crate::storage::{Files, Storage};

/// What of a leaf the audit keeps until its frame's turn comes.
enum Seen {
    Decision { request: Hash, detail: Hash },
    Erasure { index: u64 },
    Other,
    NotARecord(String),
}

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
    if log.identity.key != *key {
        let (file, what) =
            (log.layout.log_toml(), "the log names another verification key than the one given".to_owned());
        report.add(Problem { file, index: None, offset: None, what });
    }
    check_signature(&log, key, &mut report);
    let mut vault = VaultScan::new(&log.vault, 0, SEGMENT_HEADER)?;
    let mut vault_lost = false;
    let (mut missing, mut erased) = (Vec::new(), HashSet::new());
    log.walk(
        &mut report,
        progress,
        |_, leaf| look(leaf),
        |report, frame, _, seen| {
            for (index, seen) in (frame.header.first..).zip(&seen) {
                match seen {
                    Seen::Decision { .. } => report.decisions += 1,
                    Seen::Erasure { index } => _ = erased.insert(*index),
                    Seen::Other => {}
                    Seen::NotARecord(why) => {
                        let file = log.journal.path(frame.segment);
                        report.add(Problem { file, index: Some(index), offset: Some(frame.offset), what: why.clone() });
                    }
                }
            }
            if !vault_lost {
                vault_lost = check_parts(&log, &mut vault, frame, &seen, report, &mut missing)?;
            }
            Ok(())
        },
    )?;
    for (index, problem) in missing {
        if erased.contains(&index) {
            report.erased += 1;
        } else {
            report.add(problem);
        }
    }
    Ok(report)
}

fn look(leaf: &[u8]) -> Seen {
    match Record::decode(leaf) {
        Ok(Record::Decision(decision)) => Seen::Decision { request: decision.request, detail: decision.detail },
        Ok(Record::Erasure { index, .. }) => Seen::Erasure { index },
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

/// Compares the private parts of a frame with its leaves' commitments; `true` once the vault cannot be followed any further.
fn check_parts(
    log: &Log,
    vault: &mut VaultScan<'_>,
    frame: &Frame,
    seen: &[Seen],
    report: &mut Report,
    missing: &mut Vec<(u64, Problem)>,
) -> Result<bool, CheckError> {
    let parts = match vault.frame_of(&frame.header)? {
        Ok(parts) => parts,
        Err(broken) => {
            let what = "the vault is broken here; private parts from this entry on cannot be checked".to_owned();
            let index = Some(frame.header.first);
            report.add(Problem { file: broken.file, index, offset: Some(broken.offset), what });
            return Ok(true);
        }
    };
    let body = parts.as_ref().map(|parts| parts.body(&log.vault)).transpose()?;
    for (position, seen) in seen.iter().enumerate() {
        let Seen::Decision { request, detail } = seen else { continue };
        let index = frame.header.first + position as u64;
        let found = match (&parts, &body) {
            (Some(parts), Some(body)) => parts.parts(body, position),
            _ => Ok(None),
        };
        let what = match found {
            Ok(Some(private)) if private.matches(request, detail) => {
                report.kept += 1;
                continue;
            }
            Ok(Some(_)) => "its private parts are not those that its leaf commits to",
            Ok(None) => "its private parts are lost",
            Err(()) => "its private parts are damaged",
        };
        let (segment, offset) = parts.as_ref().map_or((vault.segment, None), |p| (p.segment, Some(p.offset)));
        let file = log.vault.path(segment);
        missing.push((index, Problem { file, index: Some(index), offset, what: what.to_owned() }));
    }
    Ok(false)
}
