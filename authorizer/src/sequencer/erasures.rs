//! Erasing private parts of a decision: the record first, then the bytes.
//!
//! Guarantees: nothing is erased that a later decision, a renewal or a retry may rest on, nor before the epoch lets it be; whoever asked is
//! answered when the record is durable *and* the bytes are gone from every file of the log. Does not: take a governance version: what is
//! in force stays as it is; erase the salt of a denied request where its retry was recorded: that stands in the retry's detail, which replay
//! reads and which has to be erased too.

use ledger::ReadError;
use verifier::act::Parts;
use verifier::decision::Detail;
use verifier::record::Record;

use super::{Fault, Sequencer};
use crate::clock::Reading;
use crate::governance::{Needed, NotRecorded, Recorded, Verified};
use crate::saver::Saver;

impl Sequencer {
    /// Records an erasure alone and erases. The batch is empty here.
    pub(super) fn erase(
        &mut self,
        verified: &Verified,
        of: u64,
        parts: Parts,
    ) -> Result<Result<Recorded, NotRecorded>, Fault> {
        let Reading { at_ms: recorded_at, trouble } = self.shared.clock.read(self.fold.last_ms);
        if trouble.is_some() {
            return Ok(Err(NotRecorded::Needed(Needed::InUse(
                "the clock is in doubt, so nothing is known to be over",
            ))));
        }
        self.fold.advance(recorded_at);
        // Who may erase is asked again under what is in force here.
        let erasers = &self.fold.trust.erasure().keys;
        if self.shared.governors.open_erasure(verified.note(), erasers).is_err() {
            return Ok(Err(NotRecorded::Stale(self.fold.governance)));
        }
        if let Some(needed) = self.needed(of, parts, recorded_at) {
            return Ok(Err(NotRecorded::Needed(needed)));
        }
        self.fold.last_ms = recorded_at;
        let note = verified.note().to_owned();
        self.batch.push(&Record::Erasure { recorded_at, index: of, parts: parts.bits(), note }, None)?;
        let (index, head) = self.append()?;
        // If we crash from here on, the next start finds the record and erases what is left.
        self.ledger.erase(of, parts.bits(), index)?;
        if parts.has_detail() {
            self.fold.state.erased(of);
            self.forget_snapshots()?;
        }
        Ok(Ok(Recorded { index, recorded_at, governance: self.fold.governance, head }))
    }

    /// Why the parts cannot be erased now.
    fn needed(&self, of: u64, parts: Parts, now_ms: u64) -> Option<Needed> {
        if self.fold.epoch == 0 {
            return Some(Needed::NoDecision);
        }
        let reader = &self.shared.reader;
        let Ok(Record::Decision(decision)) = reader.record(of) else { return Some(Needed::NoDecision) };
        let erased = match reader.erased(of) {
            Ok(erased) => erased,
            Err(ReadError::Lost { .. } | ReadError::NoPrivate { .. }) => return Some(Needed::Gone),
            // Doubt keeps what is there.
            Err(_) => return Some(Needed::InUse("it cannot be read now")),
        };
        if parts.bits() & !erased == 0 {
            return Some(Needed::Gone);
        }
        let from = decision.recorded_at.saturating_add(self.fold.trust.erasure().after_ms);
        if from > now_ms {
            return Some(Needed::Retention(from));
        }
        if self.fold.idempotency.holds(of) {
            return Some(Needed::InUse("its idempotency key may still be used"));
        }
        let detail = match reader.detail(of).map(|bytes| bytes.map(|bytes| Detail::decode(&bytes)).transpose()) {
            Ok(Ok(detail)) => detail.filter(|_| parts.has_detail()),
            Ok(Err(_)) | Err(_) => return Some(Needed::InUse("its detail cannot be read")),
        };
        self.fold.state.needs(&self.fold.trust, &decision, detail.as_ref(), now_ms).map(Needed::InUse)
    }

    /// Snapshots from before may tell of what was erased: they go, and the state is stated anew.
    fn forget_snapshots(&mut self) -> Result<(), Fault> {
        let snapshots = self.ledger.snapshots();
        let aside = matches!(self.saver, Saver::Aside(_));
        // One that is being written is waited for.
        self.saver = Saver::Here(snapshots.clone());
        snapshots.clear().map_err(ledger::EraseError::from)?;
        if aside {
            // Without a thread they are written here from now on, between two batches.
            let _only_speed = self.save_aside();
        }
        self.state_due = true;
        Ok(())
    }
}
