//! `state` records: every so many decisions the log says what everything that may still count comes to.
//!
//! Guarantees: the digest is that of the state before its record, settled by the record's time, so that anybody who folds the log has the
//! same there. Does not: stand between the decisions of one body, which are in a row; nor write the snapshot, which is its shortcut.

use verifier::record::Record;

use super::{Fault, Sequencer};

impl Sequencer {
    /// Records the state where it is due. No body is half in the batch here.
    pub(super) fn state(&mut self) -> Result<(), Fault> {
        let due = self.state_due || self.fold.decisions.saturating_sub(self.fold.stated) >= self.state_every;
        if self.fold.frozen || !due {
            return Ok(());
        }
        let reading = self.shared.clock.read(self.fold.last_ms);
        // At a time that is in doubt, or before one by which something was forgotten already, nothing is stated; soon it will be.
        if reading.trouble.is_some() || reading.at_ms < self.fold.seen_ms {
            return Ok(());
        }
        self.fold.settle_by(reading.at_ms);
        let snapshot = self.fold.snapshot();
        let index = self.ledger.size().saturating_add(self.batch.len() as u64);
        let record =
            Record::State { recorded_at: reading.at_ms, decisions: self.fold.decisions, digest: snapshot.digest() };
        self.batch.push(&record, None)?;
        // A start that began behind a system switch would not know of it.
        (self.unsaved, self.state_due) = ((!self.fold.by_plain).then_some((index, snapshot)), false);
        Ok(())
    }
}
