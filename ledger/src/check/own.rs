//! A running server's audit of its own log: the stored bytes of all entries against a head that it has published.
//!
//! Why: what was durable once may rot, or be changed by whoever reaches the disk, and nobody reads old entries every day. An interlock whose
//! evidence no longer holds must notice by itself, and issue nothing on top of it.
//!
//! Guarantees: the same walk as [`crate::audit`], over files that are opened anew: every frame's checksum, every leaf's hash and form, every
//! frame's root, the root under the head, and that head's signature. It is done by two threads of its own, which inherit the niceness of
//! whoever calls, in pieces of [`PIECE`] bytes, after each of which the caller may pause or break off. A fault poisons the writer before it is
//! told, and a file says so, so that no restart goes on with this log: nothing more is appended, whatever comes of the report. Readers go on.
//!
//! Does not: look at private parts, each of which is held against its leaf whenever it is read, and which an erasure may take away at any
//! moment; nor at what is derived (fsck does); nor notice a second audit beside it, which would only cost time.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::audit::examine;
use super::walk::Log;
use super::{CheckError, Progress, Report};
use crate::head::Head;
use crate::memory::Remembered;
use crate::reader::{Reader, Shared};
use crate::storage::Mode;

/// Bytes of the journal that are read and hashed between two looks at the clock: a few milliseconds of one core. A frame that is larger is
/// read whole.
const PIECE: usize = 1 << 20;

impl Reader {
    /// Audits the entries under a head of this log; `None` if `watch`, who is told after each piece, broke it off.
    ///
    /// # Errors
    /// If the disk fails, or there is no thread: then nothing is known. What is wrong with the log stands in the report, and the log is
    /// poisoned.
    pub fn audit_own(
        &self,
        head: &Head,
        watch: &mut (dyn FnMut(Progress) -> ControlFlow<()> + Send),
    ) -> Result<Option<Report>, CheckError> {
        let (shared, mut report) = (&self.shared, Report::default());
        let identity = shared.identity.clone();
        let mut log =
            Log::at(shared.files.clone(), shared.layout.clone(), identity, Some(Remembered::of(head)), &mut report)?;
        // Two: one waits for whoever reads, whose unpacking is done by the other.
        let pool =
            Arc::new(rayon::ThreadPoolBuilder::new().num_threads(2).thread_name(|n| format!("audit-{n}")).build()?);
        (log.group, log.pool, log.has_vault) = (PIECE, Some(pool.clone()), false);
        let flow = pool.install(|| examine(&log, &shared.identity.key, &mut *watch, &mut report))?;
        if flow.is_break() {
            return Ok(None);
        }
        if !report.is_clean() {
            shared.poisoned.store(true, Ordering::Release);
            // Nobody goes on with an archive, which is only read.
            if shared.signer.is_some() {
                mark(shared, &report);
            }
        }
        Ok(Some(report))
    }
}

/// Keeps a restart from going on with this log. As much as can be done on a disk that holds other bytes than were written: without it the next
/// audit finds the fault again.
fn mark(shared: &Shared, report: &Report) {
    let (files, layout) = (&shared.files, &shared.layout);
    let index = report.first_fault().map_or_else(|| "unknown".to_owned(), |index| index.to_string());
    let what = report
        .problems
        .first()
        .map_or_else(String::new, |problem| format!("{}: {}", problem.file.display(), problem.what));
    let text = format!("first_fault={index} size={} problems={}\n{what}\n", report.size, report.problem_count);
    let _best_effort =
        files.write_new(&layout.unsound(), Mode::New, text.as_bytes()).and_then(|()| files.sync_dir(&layout.dir));
}

impl Report {
    /// The first entry with which something is wrong; `None` where nothing is, or no entry has to do with it. Of a frame that does not hold it
    /// is the entry that the tree tells apart, so what follows from that frame (the journal ends before it) may name a smaller one.
    pub fn first_fault(&self) -> Option<u64> {
        self.problems.iter().find_map(|problem| problem.index)
    }
}
