//! Statements and approvals, which nobody decides: each gets its place in the batch, or is refused.

use super::{Fault, Sequencer, Waiting};
use crate::clock::Reading;
use crate::proposal::Refusal;
use crate::state::approvals::Untaken;
use crate::statement::{Answer, Kept, Submission};
use crate::traces::Queued;
use verifier::record::Record;

impl Sequencer {
    /// Gives a statement its place, sends it back, or refuses it.
    pub(super) fn keep(&mut self, submission: Submission) -> Result<(), Fault> {
        let Submission { caller, what, body, governance, load, trace, reply } = submission;
        let sequencing = Queued::taken(trace);
        let Reading { at_ms, trouble } = self.shared.clock.read(self.fold.last_ms);
        let refusal = if self.fold.frozen {
            Some(Answer::Refused(Refusal::Frozen))
        } else if trouble.is_some() {
            Some(Answer::Refused(Refusal::Clock))
        } else {
            // The realm may be public no longer, and what is recorded is public for ever.
            (governance != self.fold.governance).then_some(Answer::Stale)
        };
        let refusal = refusal.or_else(|| self.untaken(&what, at_ms).map(Refusal::Approval).map(Answer::Refused));
        if refusal.is_some() || reply.is_closed() {
            self.shared.queue.release(load);
            if let Some(refusal) = refusal {
                // A caller that went away in between has no answer.
                let _ = reply.send(refusal);
            }
            return Ok(());
        }
        let index = self.ledger.size().saturating_add(self.batch.len() as u64);
        let record = match &what {
            Kept::Statement { media_type } => {
                let (realm, media_type) = (caller.realm().to_owned(), media_type.clone());
                Record::Statement { recorded_at: at_ms, realm, media_type, body: body.to_vec() }
            }
            Kept::Approval(given) => {
                let (decision, note) = (given.approval().decision, given.note().to_owned());
                Record::Approval { recorded_at: at_ms, decision, note }
            }
        };
        self.batch.push(&record, None)?;
        if let Kept::Approval(given) = &what {
            self.fold.state.approve(given);
        }
        self.fold.last_ms = self.fold.last_ms.max(at_ms);
        self.batched(load, Waiting::Statement { index, record, load, reply, trace: sequencing.end() });
        Ok(())
    }

    /// Why an approval cannot be recorded now.
    fn untaken(&mut self, what: &Kept, now_ms: u64) -> Option<Untaken> {
        let Kept::Approval(given) = what else { return None };
        self.fold.advance(now_ms);
        self.fold.state.admits(given, now_ms).err()
    }
}
