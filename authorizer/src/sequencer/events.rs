//! Executions under a lease: what is reported about them, renewals, and leases that ran out.
//!
//! Guarantees: whether execution goes on is said by a record, at its place in the log, from the fold before it; a lease that nobody renewed
//! is recorded as expired by the first batch after its end. Does not: rely on that record; a lease is over at its end.

use verifier::event::Step;
use verifier::record::{ExecutionEvent, LeaseEvent, Record};

use super::{Fault, Sequencer, Waiting};
use crate::clock::Reading;
use crate::execution::{Answer, Refused, Report};
use crate::notices::Notice;
use crate::present::{Look, Survey, present_state, state_of};
use crate::proposal::MAX_AGE_MS;
use crate::settle;
use crate::traces::Queued;

/// Leases that are recorded as expired in one batch.
const MAX_LAPSED: usize = 1_024;

impl Sequencer {
    /// Gives an event its place, sends it back, or refuses it.
    pub(super) fn report(&mut self, mut report: Report) -> Result<(), Fault> {
        let sequencing = Queued::taken(report.trace.take());
        let Reading { at_ms, trouble } = self.shared.clock.read(self.fold.last_ms);
        let now = at_ms.max(report.evaluated_at);
        let refusal = if self.fold.frozen {
            Some(Answer::Refused(Refused::Frozen))
        } else if trouble.is_some() {
            // Nothing is recorded at a time that is in doubt; the lease runs out.
            Some(Answer::Refused(Refused::Clock))
        } else if report.governance != self.fold.governance || now.saturating_sub(report.evaluated_at) > MAX_AGE_MS {
            Some(Answer::Stale)
        } else {
            self.unfit(&report, now).map(Answer::Refused)
        };
        if refusal.is_some() || report.reply.is_closed() {
            self.shared.queue.release(report.load);
            if let Some(refusal) = refusal {
                // A caller that went away in between has no answer.
                let _ = report.reply.send(refusal);
            }
            return Ok(());
        }
        let (record, codes) = self.step(&report, now);
        let index = self.ledger.size().saturating_add(self.batch.len() as u64);
        self.batch.push(&record, None)?;
        self.fold.last_ms = self.fold.last_ms.max(now);
        self.moved(&record).map_err(Fault::Fold)?;
        let realm = report.decision.realm;
        let (load, reply, trace) = (report.load, report.reply, sequencing.end());
        self.batched(load, Waiting::Event { index, record, codes, realm, load, reply, trace });
        Ok(())
    }

    /// What in the execution's own state stands against the event.
    fn unfit(&self, report: &Report, now: u64) -> Option<Refused> {
        match (self.fold.state.permits.running(&report.decision.permit, now), report.step) {
            (Err(over), _) => Some(Refused::Over(over)),
            (Ok((permit, _)), Step::Started) => permit.started.then_some(Refused::AlreadyStarted),
            (Ok((_, lease)), Step::Renew { ends_at }) if ends_at != lease.ends_at => {
                Some(Refused::OtherEnd(lease.ends_at))
            }
            // Its end minus its length is the time of evaluation, so that it can be computed again: it is never cut short.
            (Ok((permit, lease)), Step::Renew { .. }) => {
                let beyond = report.evaluated_at.saturating_add(lease.length_ms) > permit.expires_at;
                beyond.then_some(Refused::BeyondPermit(permit.expires_at))
            }
            (Ok(_), Step::Completed { .. } | Step::Failed { .. } | Step::Aborted { .. }) => None,
        }
    }

    /// The record of a step: whether execution begins, goes on or stops is said here, at log time.
    fn step(&self, report: &Report, recorded_at: u64) -> (Record, Vec<&'static str>) {
        let permit = report.decision.permit;
        let closure = |event, executed| {
            (Record::Closure { recorded_at, permit, event, executed, note: report.note.clone() }, Vec::new())
        };
        match report.step {
            Step::Started | Step::Renew { .. } => {}
            // An execution of something else is no completion of this permit, whatever its executor calls it.
            Step::Completed { executed } if executed == report.decision.request => {
                return closure(ExecutionEvent::Completed, Some(executed));
            }
            Step::Completed { executed } => return closure(ExecutionEvent::Failed, Some(executed)),
            Step::Failed { executed } => return closure(ExecutionEvent::Failed, executed),
            Step::Aborted { executed } => return closure(ExecutionEvent::Aborted, executed),
        }
        let mut verdict = (*report.verdict).clone();
        settle::renew(&mut verdict, &report.request, &self.fold, &permit, &report.decision.realm, recorded_at);
        let length = self.fold.state.permits.lease(&permit).map_or(0, |lease| lease.length_ms);
        match (verdict.stands(), report.step) {
            (true, Step::Started) => closure(ExecutionEvent::Started, None),
            (true, _) => {
                let ends_at = Some(report.evaluated_at.saturating_add(length));
                (Record::Lease { recorded_at, permit, event: LeaseEvent::Renewed, ends_at, cause: None }, Vec::new())
            }
            (false, _) => {
                let codes = verdict.codes().map(|(_, code)| code.name()).collect();
                let (ends_at, cause) = (Some(report.evaluated_at), Some(settle::cause(&verdict)));
                (Record::Lease { recorded_at, permit, event: LeaseEvent::Halted, ends_at, cause }, codes)
            }
        }
    }

    fn moved(&mut self, record: &Record) -> Result<(), &'static str> {
        match record {
            Record::Lease { recorded_at, permit, event, ends_at, .. } => {
                self.fold.state.leased(*permit, *event, *ends_at, *recorded_at)
            }
            Record::Closure { recorded_at, permit, event, note, .. } => {
                self.fold.state.reported(*permit, *event, note.is_some(), *recorded_at)
            }
            _ => Ok(()),
        }
    }

    /// Records the leases that ran out. The batch is empty here.
    pub(super) fn lapse(&mut self) -> Result<(), Fault> {
        if self.fold.frozen || !self.fold.state.permits.has_leases() {
            return Ok(());
        }
        let Reading { at_ms, trouble } = self.shared.clock.read(self.fold.last_ms);
        if trouble.is_some() {
            return Ok(());
        }
        for permit in self.fold.state.permits.lapsed(at_ms, MAX_LAPSED) {
            let realm = self.fold.state.permits.realm(&permit).to_owned();
            let event = LeaseEvent::Expired;
            let record = Record::Lease { recorded_at: at_ms, permit, event, ends_at: None, cause: None };
            self.batch.push(&record, None)?;
            self.fold.last_ms = self.fold.last_ms.max(at_ms);
            self.moved(&record).map_err(Fault::Fold)?;
            self.lapsed.push(Notice::Permit { realm, permit, what: "expired" });
        }
        Ok(())
    }

    /// Looks what a permit is worth now; answered with the batch, so that it rests on nothing that is not durable.
    pub(super) fn look(&mut self, look: Look) {
        let Reading { at_ms, trouble } = self.shared.clock.read(self.fold.last_ms);
        let present = present_state(&self.fold, &look.decision, &look.detail, at_ms, trouble.is_some());
        self.waiting.push(Waiting::Look { present, reply: look.reply });
    }

    /// Looks what the log tells of permits now; answered as [`Sequencer::look`] is.
    pub(super) fn survey(&mut self, survey: Survey) {
        let now = self.shared.clock.read(self.fold.last_ms).at_ms;
        let states = survey.permits.iter().map(|(permit, expires_at)| state_of(&self.fold, permit, *expires_at, now));
        let states = states.collect();
        self.waiting.push(Waiting::Survey { states, reply: survey.reply });
    }
}
