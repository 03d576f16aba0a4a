//! Why: what the stateful conditions rest on: counters of subjects, and permits that are open, as a fold over decisions and what follows
//! them.
//!
//! Guarantees: it is moved by records alone, at their recorded times, in integers; so the sequencer, a restart and a replay have the same
//! state before the same record. Memory is bounded: counters exist for registered subjects only, open permits have a limit, and both are
//! forgotten by recorded time.
//! Does not: decide; [`crate::settle`] does, by looking only.

pub mod approvals;
pub mod counters;
pub mod nonces;
pub mod permits;
pub mod revoked;

use std::collections::{BTreeMap, HashMap};

use verifier::act::Revoked;
use verifier::cbor::{CborError, Decoder, Encoder};
use verifier::decision::{Condition, Counted, Counter, Decision, Detail, EvidenceNonce, PermitId};
use verifier::record::{ExecutionEvent, LeaseEvent};

use crate::approval::Given;
use crate::engine::{MAX_WINDOW_MS, Nonce, Scope, Trust, WINDOW_STEPS};
use approvals::{Approved, Untaken};
use counters::{Counters, Key};
use nonces::Nonces;
use permits::{Ended, Lease, Over, Permit, Permits};
use revoked::Revocations;

/// A detail moves a counter that its epoch does not have.
pub const NO_SUCH_COUNTER: &str = "it moves a counter that its epoch does not have";
/// A detail holds a scope that is not of the language.
pub const NO_SCOPE: &str = "it allows a scope that is none";
/// A record about an execution that is not under way at its place.
pub const NO_SUCH_LEASE: &str = "it is about an execution that is not under way there";

/// Counters and open permits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// What subjects have used of their limits.
    pub counters: Counters,
    /// Permits that others depend on.
    pub permits: Permits,
    /// Nonces of signed requests.
    pub nonces: Nonces,
    /// Nonces of attestations.
    pub attestations: Nonces,
    /// Approvals of denied decisions.
    pub approved: Approved,
    /// Issuers, keys, subjects and policies that were taken back.
    pub revoked: Revocations,
    /// By realm, decisions whose detail cannot be read, with their times, which follow their indexes.
    blind: HashMap<String, BTreeMap<u64, u64>>,
}

impl State {
    /// Lets time pass: what ends by `now_ms` gives back what it held. Recorded times only, which never go backwards.
    pub fn advance(&mut self, now_ms: u64) {
        self.nonces.forget(now_ms);
        self.attestations.forget(now_ms);
        self.approved.forget(now_ms);
        for permit in self.permits.end_by(now_ms) {
            self.give_back(&permit);
        }
    }

    /// As [`State::advance`], and forgets too what is otherwise forgotten now and then: what is left depends on the log alone.
    pub fn settle_by(&mut self, now_ms: u64) {
        self.advance(now_ms);
        self.counters.forget(now_ms);
    }

    /// Writes nonces, those of attestations, approvals, permits, what was taken back and counters (`FORMAT.md`).
    pub(crate) fn encode(&self, e: &mut Encoder<'_>) {
        self.nonces.encode(e);
        self.attestations.encode(e);
        self.approved.encode(e);
        self.permits.encode(e);
        self.revoked.encode(e);
        self.counters.encode(e);
    }

    /// Reads back what [`State::encode`] wrote.
    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, CborError> {
        let (nonces, attestations, approved) = (Nonces::decode(d)?, Nonces::decode(d)?, Approved::decode(d)?);
        let (permits, revoked, counters) = (Permits::decode(d)?, Revocations::decode(d)?, Counters::decode(d)?);
        Ok(State { counters, permits, nonces, attestations, approved, revoked, blind: HashMap::new() })
    }

    /// Whether a decision changes anything here.
    #[must_use]
    pub fn concerns(detail: &Detail, lease: bool) -> bool {
        !detail.counted.is_empty() || detail.parent.is_some() || !detail.delegates.is_empty() || lease
    }

    /// Follows a decision that stands in the log, under the trust configuration that it was decided under.
    ///
    /// # Errors
    /// What in it does not follow from the epoch. It must not be passed over: a counter that was not moved would allow.
    pub fn decided(
        &mut self,
        trust: &Trust,
        index: u64,
        decision: &Decision,
        detail: &Detail,
    ) -> Result<(), &'static str> {
        let now = decision.recorded_at;
        self.advance(now);
        // A signature that does not hold uses up nothing.
        if let Some(signed) = &detail.signed
            && detail.codes.iter().all(|(condition, _)| *condition != Condition::Identity)
            && let Some(nonce) = Nonce::of(signed)
        {
            self.nonces.consume(&nonce);
        }
        if let Some(EvidenceNonce { id, expires_ms }) = detail.evidence.as_ref().and_then(|evidence| evidence.nonce) {
            self.attestations.consume(&Nonce { id, body: [0; 16], item: 0, expires_ms });
        }
        // What was allowed by approvals has used them.
        let subject = (detail.subject.0.as_str(), detail.subject.1.as_str());
        if let Some(retried) = detail.retry_of.filter(|_| decision.grant.is_some())
            && trust.approvals().needed(&detail.action, subject).next().is_some()
        {
            self.approved.use_up(&retried, &decision.realm);
        }
        let lease = decision.grant.and_then(|grant| grant.lease_ends_at);
        if !Self::concerns(detail, lease.is_some()) {
            return Ok(());
        }
        for counted in &detail.counted {
            let limit = trust.limit(counted.counter, &counted.name);
            let limit = limit.ok_or(NO_SUCH_COUNTER)?;
            let key = Key::new(counted.counter, &counted.name, &decision.realm, &detail.subject);
            self.counters.add(key, &limit.rule, counted.amount, now);
        }
        let Some(grant) = decision.grant else { return Ok(()) };
        if detail.parent.is_none() && detail.delegates.is_empty() && lease.is_none() {
            return Ok(());
        }
        let scopes: Option<Vec<Scope>> = detail.scopes.iter().map(|text| Scope::parse(text)).collect();
        let held = detail.counted.iter().filter(|counted| counted.counter == Counter::Concurrency);
        let (policies, more_policies) = match &detail.policies {
            Some(named) => (named.shown.clone(), named.count > named.shown.len() as u64),
            None => (Vec::new(), false),
        };
        let permit = Permit {
            index,
            realm: decision.realm.clone(),
            subject: detail.subject.clone(),
            action: detail.action.clone(),
            policies,
            more_policies,
            parent: detail.parent,
            depth: 0,
            children: 0,
            delegates: detail.delegates.clone(),
            scopes: scopes.ok_or(NO_SCOPE)?,
            holds: held.map(|counted| counted.name.clone()).collect(),
            rests_on: revoked::rests_on(detail),
            expires_at: grant.expires_at,
            lease: lease.map(|ends_at| Lease { length_ms: ends_at.saturating_sub(now), ends_at }),
            started: false,
            held: false,
            ended: None,
        };
        self.permits.open(decision.permit, permit);
        Ok(())
    }

    /// Follows a step of a lease.
    ///
    /// # Errors
    /// It does not follow: there is no such lease, or it is over, or not yet.
    pub fn leased(
        &mut self,
        id: PermitId,
        event: LeaseEvent,
        ends_at: Option<u64>,
        recorded_at: u64,
    ) -> Result<(), &'static str> {
        self.advance(recorded_at);
        if self.permits.lease(&id).is_none() && !self.blind.is_empty() {
            return Ok(()); // whoever recomputes was not shown the permit
        }
        match (event, self.permits.running(&id, recorded_at), ends_at) {
            (LeaseEvent::Renewed, Ok((permit, lease)), Some(ends_at))
                if ends_at >= lease.ends_at && ends_at <= permit.expires_at =>
            {
                self.permits.renew(&id, ends_at);
                Ok(())
            }
            (LeaseEvent::Halted, Ok(_), Some(_)) => {
                self.ended(&id, Ended::Halted);
                Ok(())
            }
            (LeaseEvent::Expired, Err(Over::Closed), None) if self.permits.lapsed_by(&id, recorded_at) => {
                self.ended(&id, Ended::Expired);
                Ok(())
            }
            (LeaseEvent::Renewed | LeaseEvent::Halted | LeaseEvent::Expired, _, _) => Err(NO_SUCH_LEASE),
        }
    }

    /// Follows what was reported about an execution.
    ///
    /// # Errors
    /// As [`State::leased`]; also a second beginning.
    pub fn reported(
        &mut self,
        id: PermitId,
        event: ExecutionEvent,
        signed: bool,
        recorded_at: u64,
    ) -> Result<(), &'static str> {
        self.advance(recorded_at);
        if self.permits.lease(&id).is_none() && !self.blind.is_empty() {
            return Ok(()); // whoever recomputes was not shown the permit
        }
        let (permit, _) = self.permits.running(&id, recorded_at).map_err(|_| NO_SUCH_LEASE)?;
        match event {
            ExecutionEvent::Started if !permit.started => self.permits.start(&id),
            // Whoever asked gives it up; but the executor was told how long it may go on, and is taken to do so.
            ExecutionEvent::Aborted if !signed && permit.held => self.permits.give_up(&id),
            ExecutionEvent::Completed | ExecutionEvent::Failed | ExecutionEvent::Aborted => {
                self.ended(&id, Ended::Closed);
            }
            ExecutionEvent::Started | ExecutionEvent::Missing => return Err(NO_SUCH_LEASE),
        }
        Ok(())
    }

    /// Takes something back for the rest of the log.
    pub fn revoke(&mut self, what: &Revoked) {
        match what {
            Revoked::Permit(id) => self.permits.revoke(*id),
            Revoked::Issuer(_) | Revoked::Key(_) | Revoked::Subject(..) | Revoked::Policy(_) => {
                self.revoked.revoke(what.clone());
            }
        }
    }

    fn ended(&mut self, id: &PermitId, how: Ended) {
        if let Some(permit) = self.permits.end(id, how) {
            self.give_back(&permit);
        }
    }

    fn give_back(&mut self, permit: &Permit) {
        for name in &permit.holds {
            self.counters.release(&Key::new(Counter::Concurrency, name, &permit.realm, &permit.subject));
        }
    }

    /// Whether an approval can be recorded now: each of its signers may give it.
    ///
    /// # Errors
    /// [`Untaken`], of the first who may not.
    pub fn admits(&self, given: &Given, now_ms: u64) -> Result<(), Untaken> {
        let mut keys = given.keys().iter();
        keys.try_for_each(|key| self.approved.admits(given.approval(), &key.key_bytes(), now_ms))
    }

    /// Keeps an approval that was admitted.
    pub fn approve(&mut self, given: &Given) {
        given.keys().iter().for_each(|key| self.approved.give(given.approval(), key.key_bytes()));
    }

    /// A decision of this realm cannot be read: what it counted is not known, for whoever recomputes.
    pub fn lose_sight(&mut self, realm: &str, index: u64, recorded_at: u64) {
        self.blind.entry(realm.to_owned()).or_default().insert(index, recorded_at);
    }

    /// The detail of a decision was erased by record, so nothing rests on it from here on.
    pub fn erased(&mut self, index: u64) {
        self.blind.retain(|_, unseen| {
            unseen.remove(&index);
            !unseen.is_empty()
        });
    }

    /// Why the parts of a decision are needed still; `None` if nothing rests on them. `detail` is looked at only where the detail goes.
    #[must_use]
    pub fn needs(
        &self,
        trust: &Trust,
        decision: &Decision,
        detail: Option<&Detail>,
        now_ms: u64,
    ) -> Option<&'static str> {
        if self.permits.index(&decision.permit).is_some() {
            return Some("its permit is open");
        }
        if self.approved.holds(&decision.permit) {
            return Some("approvals of it may still count");
        }
        let detail = detail?;
        if detail.retry_of.is_some_and(|retried| self.approved.holds(&retried)) {
            return Some("that it used up approvals keeps them from counting again");
        }
        if let Some(nonce) = detail.signed.as_ref().and_then(Nonce::of)
            && nonce.expires_ms > now_ms
        {
            return Some("its signature has not run out");
        }
        if detail.evidence.as_ref().and_then(|evidence| evidence.nonce).is_some_and(|nonce| nonce.expires_ms > now_ms) {
            return Some("its attestation is not stale yet");
        }
        let counts = |counted: &Counted| {
            let key = Key::new(counted.counter, &counted.name, &decision.realm, &detail.subject);
            let moved = trust.limit(counted.counter, &counted.name).is_some() || !self.counters.is_idle(&key, now_ms);
            match counted.counter {
                // A step of the window, and the longest that an epoch may make of it.
                Counter::Budget => {
                    let step = MAX_WINDOW_MS.div_ceil(WINDOW_STEPS);
                    moved && decision.recorded_at.saturating_add(MAX_WINDOW_MS + step) > now_ms
                }
                Counter::Rate => !self.counters.is_idle(&key, now_ms),
                // Its permit is not open.
                Counter::Concurrency => false,
            }
        };
        detail.counted.iter().any(counts).then_some("a window or a rate that it counts in is not over")
    }

    /// Whether all decisions of all realms could be read.
    #[must_use]
    pub fn sees_all(&self) -> bool {
        self.blind.is_empty()
    }

    /// Whether every nonce is known that may be in use at a time, where a decision uses one for at most `longest_ms`. Nonces hold across
    /// realms; what a decision used that cannot be read is free again after so long.
    #[must_use]
    pub fn sees_nonces(&self, now_ms: u64, longest_ms: u64) -> bool {
        let mut last = self.blind.values().filter_map(BTreeMap::last_key_value);
        last.all(|(_, recorded_at)| recorded_at.saturating_add(longest_ms) <= now_ms)
    }

    /// Whether all decisions of a realm could be read.
    #[must_use]
    pub fn sees(&self, realm: &str) -> bool {
        !self.blind.contains_key(realm)
    }
}
