//! Replay of what follows a permit: each renewal and each halt is evaluated again, each report is held against its signature.
//!
//! Guarantees: a step counts as the same only if its record's bytes follow from the permit, the epoch, the fold before it and the time that
//! it names. That the requester's key was revoked since is an input fact, which only ever halts. Does not: know whether anything ran.

use std::sync::PoisonError;

use verifier::decision::{Condition, Decision, Detail};
use verifier::event::{Event, Step};
use verifier::hash::Hash;
use verifier::note::Note;
use verifier::record::{ExecutionEvent, LeaseEvent, Record};
use verifier::request::Request;

use super::{Came, Source, State, Stored, own_engine};
use crate::engine::{Code, Standing};
use crate::governance::Governors;
use crate::proposal::MAX_AGE_MS;
use crate::settle;

impl State {
    /// Computes a record about an execution again, before the fold follows it; `None` for all other records.
    pub(super) fn execution<S: Source>(
        &self,
        source: &mut S,
        governors: &Governors,
        leaf: &[u8],
        record: &Record,
    ) -> Result<Option<Came>, S::Error> {
        let permit = match record {
            Record::Lease { permit, event: LeaseEvent::Renewed | LeaseEvent::Halted, .. } => permit,
            Record::Closure { permit, .. } => permit,
            _ => return Ok(None),
        };
        // Where it is not known, the fold says whether that follows.
        let Some(index) = self.fold.state.permits.index(permit) else { return Ok(Some(Came::Withheld)) };
        let stored = source.read(index, 1)?;
        let Some(stored) = stored.first() else { return Ok(Some(Came::Withheld)) };
        let Ok(Record::Decision(decision)) = Record::decode(&stored.leaf) else {
            return Ok(Some(Came::Differs("its permit is no decision".to_owned())));
        };
        Ok(Some(match record {
            Record::Closure { event, executed, note, .. } => {
                self.report(governors, &decision, *event, *executed, note.as_deref())
            }
            _ => self.lease(governors.origin(), &decision, stored, leaf, record),
        }))
    }

    fn lease(&self, origin: &str, decision: &Decision, stored: &Stored, leaf: &[u8], record: &Record) -> Came {
        let differs = |what: &str| Came::Differs(what.to_owned());
        let Some(private) = &stored.private else { return Came::Withheld };
        if !private.matches(&decision.request, &decision.detail) {
            return differs("its permit's private parts are not those that it commits to");
        }
        let (Ok(request), Ok(detail)) = (Request::parse(&private.request), Detail::decode(&private.detail)) else {
            return differs("its permit's request or detail cannot be read");
        };
        let Record::Lease { recorded_at, permit, event, ends_at: Some(ends_at), cause } = record else {
            return differs("it names no time");
        };
        let length_ms = self.fold.state.permits.lease(permit).map_or(0, |lease| lease.length_ms);
        let evaluated_at = match event {
            LeaseEvent::Renewed => ends_at.checked_sub(length_ms),
            LeaseEvent::Halted | LeaseEvent::Expired => Some(*ends_at),
        };
        let Some(now_ms) = evaluated_at.filter(|at| recorded_at.checked_sub(*at).is_some_and(|age| age <= MAX_AGE_MS))
        else {
            return differs("it was evaluated after it was recorded, or too long before");
        };
        let Some(engine) = own_engine(self.engines.as_ref()) else {
            return differs("no epoch was published before it");
        };
        let engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
        let mut verdict = engine.decide_again(&request, &detail, &decision.realm, origin, now_ms);
        drop(engine);
        settle::renew(&mut verdict, &request, &self.fold, permit, &decision.realm, *recorded_at);
        let said = |cause: &str| cause.split(' ').any(|name| name == Condition::Identity.name());
        // Whether the API key was revoked is not for anybody to see; whether the epoch still has the agent's key is.
        let revoked = cause.as_deref().is_some_and(said) && verdict.standing(Condition::Identity) == Standing::Pass;
        if revoked {
            verdict.fail(Code::KeyRevoked);
        }
        let (recorded_at, permit) = (*recorded_at, *permit);
        let expected = if verdict.stands() {
            let ends_at = Some(now_ms.saturating_add(length_ms));
            Record::Lease { recorded_at, permit, event: LeaseEvent::Renewed, ends_at, cause: None }
        } else {
            let cause = Some(settle::cause(&verdict));
            Record::Lease { recorded_at, permit, event: LeaseEvent::Halted, ends_at: Some(now_ms), cause }
        };
        if expected.encode() == leaf {
            return Came::Same(if revoked { &["key_revoked"] } else { &[] });
        }
        Came::Differs(format!("it says {event:?}, computed again what fails is `{}`", settle::cause(&verdict)))
    }

    fn report(
        &self,
        governors: &Governors,
        decision: &Decision,
        event: ExecutionEvent,
        executed: Option<Hash>,
        note: Option<&str>,
    ) -> Came {
        let differs = |what: &str| Came::Differs(what.to_owned());
        let Some(note) = note else {
            let aborted = event == ExecutionEvent::Aborted && executed.is_none();
            return if aborted { Came::Same(&["api_key"]) } else { differs("nobody signed it") };
        };
        let keys = decision.audience.as_deref().map_or(&[][..], |audience| self.fold.trust.audience(audience));
        let event_of = Note::open(note, keys).ok().and_then(|note| Event::parse(note.text()).ok());
        let Some(signed) = event_of else { return differs("its audience did not sign it") };
        if signed.permit != decision.permit || signed.origin != governors.origin() {
            return differs("what was signed is about another permit");
        }
        let expected = match signed.step {
            Step::Started => (ExecutionEvent::Started, None),
            Step::Completed { executed } if executed == decision.request => (ExecutionEvent::Completed, Some(executed)),
            Step::Completed { executed } => (ExecutionEvent::Failed, Some(executed)),
            Step::Failed { executed } => (ExecutionEvent::Failed, executed),
            Step::Aborted { executed } => (ExecutionEvent::Aborted, executed),
            Step::Renew { .. } => return differs("what was signed is a renewal"),
        };
        if expected == (event, executed) {
            Came::Same(&[])
        } else {
            differs("it says something else than what was signed")
        }
    }
}
