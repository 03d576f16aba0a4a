//! Acts of governance, recorded by the same thread: each alone, before any decision that waits.
//!
//! Guarantees: an act is put in force only when its record is durable, and before its administrator is answered; from
//! then on a proposal from before it is stale. An epoch counts only with its closing record.

use std::sync::{Arc, PoisonError};

use ledger::{BatchError, Head};
use verifier::act::{Deed, Mode};
use verifier::epoch;
use verifier::record::Record;

use super::{Fault, Sequencer};
use crate::engine::Trust;
use crate::governance::{Candidate, Engines, NewEpoch, NotRecorded, Proposed, Recorded, Verified};
use crate::live::Live;
use crate::notices::Notice;
use crate::traces::Queued;

/// The trust configuration that an epoch's engines decide by.
fn trust_of(engines: &Engines) -> Option<Arc<Trust>> {
    Some(engines.first()?.lock().unwrap_or_else(PoisonError::into_inner).trust().clone())
}

impl Sequencer {
    /// Records one act alone, puts it in force, and answers. The batch is empty here.
    pub(super) fn govern(&mut self, proposed: Proposed) -> Result<(), Fault> {
        let Proposed { verified, epoch, trace, reply } = proposed;
        let sequencing = Queued::taken(trace);
        self.appended = sequencing.is_traced().then(Vec::new);
        let result = self.act(&verified, epoch)?;
        sequencing.enforced(&self.appended.take().unwrap_or_default());
        // An administrator who went away reads the version in force, and finds the act in the log.
        let _ = reply.send(result);
        Ok(())
    }

    fn act(&mut self, verified: &Verified, epoch: Option<NewEpoch>) -> Result<Result<Recorded, NotRecorded>, Fault> {
        if self.fold.frozen {
            return Ok(Err(NotRecorded::Frozen));
        }
        if verified.act().follows != self.fold.governance {
            return Ok(Err(NotRecorded::Stale(self.fold.governance)));
        }
        if let Deed::Erasure { index, parts, .. } = verified.act().deed {
            return self.erase(verified, index, parts);
        }
        let recorded_at = self.shared.clock.read(self.fold.last_ms).at_ms;
        let governance = self.fold.governance + 1;
        let note = verified.note().to_owned();
        let live = self.shared.live.load_full();
        let unchanged = || (live.engines.clone(), live.candidate.clone());
        let (index, head, (engines, candidate)) = match (&verified.act().deed, epoch) {
            (Deed::Epoch { number, .. }, Some(_)) if *number != self.fold.newest_epoch() + 1 => {
                return Ok(Err(NotRecorded::EpochNumber(self.fold.newest_epoch())));
            }
            (Deed::Epoch { number: 1, mode: Mode::Shadow, .. }, Some(_)) => return Ok(Err(NotRecorded::NoEpoch)),
            (Deed::Epoch { number, mode, .. }, Some(NewEpoch { document, engines, predecessor })) => {
                let Some(trust) = trust_of(&engines) else { return Ok(Err(NotRecorded::NoEpoch)) };
                self.fold.last_ms = recorded_at;
                let closing =
                    |first_part, parts| Record::Epoch { recorded_at, governance, first_part, parts, note, predecessor };
                let (index, head) = self.append_epoch(*number, &document, recorded_at, closing)?;
                self.fold.publish(*number, *mode, index, trust);
                let in_force = match mode {
                    Mode::Live => (Some(engines), None),
                    Mode::Shadow => (live.engines.clone(), Some(Candidate { epoch: *number, engines })),
                };
                (index, head, in_force)
            }
            (Deed::Switch { target, power, .. }, None) if self.fold.epoch > 0 => {
                self.fold.last_ms = recorded_at;
                self.batch.push(&Record::Switch { recorded_at, governance, note }, None)?;
                let (index, head) = self.append()?;
                self.fold.switch(target, *power);
                (index, head, unchanged())
            }
            (Deed::Revocation { what, .. }, None) if self.fold.epoch > 0 => {
                self.fold.last_ms = recorded_at;
                self.batch.push(&Record::Revocation { recorded_at, governance, note }, None)?;
                let (index, head) = self.append()?;
                self.fold.revoke(what);
                (index, head, unchanged())
            }
            (Deed::Freeze { .. }, None) if self.fold.epoch > 0 => {
                self.fold.last_ms = recorded_at;
                self.batch.push(&Record::Freeze { recorded_at, governance, note }, None)?;
                // A crash from here on: the freeze stands or it does not; if it does, the next opening is frozen.
                let (index, head) = self.append()?;
                self.fold.freeze();
                (index, head, (None, None))
            }
            (
                Deed::Switch { .. }
                | Deed::Epoch { .. }
                | Deed::Revocation { .. }
                | Deed::Freeze { .. }
                | Deed::Erasure { .. },
                _,
            ) => {
                return Ok(Err(NotRecorded::NoEpoch));
            }
        };
        // Durable: from the next body on, workers decide under it; what they decided before is sent back.
        self.shared.live.store(Arc::new(Live::of(&self.fold, engines, candidate)));
        if self.shared.doubles.is_gone()
            && let Some(engines) = &self.shared.live.load().engines
        {
            engines.mistrust();
        }
        let (act, target) = match &verified.act().deed {
            Deed::Epoch { mode: Mode::Live, .. } => ("epoch", None),
            Deed::Epoch { mode: Mode::Shadow, .. } => ("shadow-epoch", None),
            Deed::Switch { target, .. } => ("switch", Some(target.text())),
            Deed::Revocation { what, .. } => ("revocation", Some(what.text())),
            Deed::Freeze { .. } => ("freeze", None),
            // Never: it is recorded elsewhere, and changes nothing that is in force.
            Deed::Erasure { .. } => ("erasure", None),
        };
        self.shared.notices.tell(Notice::Governance { version: governance, act, target });
        Ok(Ok(Recorded { index, recorded_at, governance, head }))
    }

    /// A crash between two appends leaves parts without their closing record: they count for nothing.
    fn append_epoch(
        &mut self,
        number: u64,
        document: &[u8],
        recorded_at: u64,
        closing: impl FnOnce(u64, u64) -> Record,
    ) -> Result<(u64, Arc<Head>), Fault> {
        let first_part = self.ledger.size();
        let mut parts = 0;
        for bytes in epoch::parts(document) {
            let record = Record::EpochPart { recorded_at, epoch: number, part: parts, bytes: bytes.to_vec() };
            self.push_or_append(&record)?;
            parts += 1;
        }
        self.push_or_append(&closing(first_part, parts))?;
        let (_, head) = self.append()?;
        Ok((first_part + parts, head))
    }

    fn push_or_append(&mut self, record: &Record) -> Result<(), Fault> {
        match self.batch.push(record, None) {
            Err(BatchError::Full) => {
                self.append()?;
                Ok(self.batch.push(record, None)?)
            }
            done => Ok(done?),
        }
    }
}
