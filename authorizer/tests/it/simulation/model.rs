//! What must hold of a log, whoever wrote it: read from its published records alone, with none of the authorizer's own state.
//!
//! It forgets nothing when the process does, so that a history that went back or was told otherwise is seen.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use authorizer::fold::{IDEMPOTENCY_MS, Switches};
use authorizer::proposal::MAX_AGE_MS;
use ledger::{Head, Reader};
use verifier::act::{Act, Deed, Revoked};
use verifier::decision::{Decision, Detail, Outcome, PermitId};
use verifier::hash::{EMPTY_ROOT, Hash};
use verifier::note::Note;
use verifier::proof::verify_consistency;
use verifier::record::{ExecutionEvent, LeaseEvent, Record};

use super::requests::allows_reads;

/// What was read so far.
#[derive(Default)]
pub struct Model {
    pub size: u64,
    pub epochs: u64,
    pub governance: u64,
    pub allowed: u64,
    pub denied: u64,
    pub renewed: u64,
    root: Option<Hash>,
    last_ms: u64,
    switches: Switches,
    revoked: HashSet<PermitId>,
    permits: HashMap<PermitId, Permit>,
    tags: HashMap<[u8; 32], u64>,
}

struct Permit {
    parent: Option<PermitId>,
    expires_at: u64,
    lease_ends_at: Option<u64>,
    realm: String,
    detail: Detail,
}

impl Model {
    /// Reads what is published since the last time. `latest_ms` is the latest time that a record may have.
    ///
    /// # Panics
    /// Something does not hold.
    pub fn read(&mut self, reader: &Reader, latest_ms: u64) {
        let head: Arc<Head> = reader.head();
        let (size, root) = (head.checkpoint.size, head.checkpoint.root);
        assert!(size >= self.size, "the head went back from {} to {size}", self.size);
        let before = self.root.unwrap_or(EMPTY_ROOT);
        let proof = reader.consistency(self.size, size).unwrap();
        verify_consistency(self.size, size, &proof, &before, &root).expect("the head contradicts the one before");
        for index in self.size..size {
            let record = reader.record(index).unwrap();
            self.follow(reader, index, &record, latest_ms);
        }
        (self.size, self.root) = (size, Some(root));
    }

    fn follow(&mut self, reader: &Reader, index: u64, record: &Record, latest_ms: u64) {
        let at = record.recorded_at();
        assert!(at >= self.last_ms, "entry {index}: time went back from {} to {at}", self.last_ms);
        assert!(at <= latest_ms, "entry {index} is of {at}, which is later than {latest_ms}");
        self.last_ms = at;
        match record {
            Record::Epoch { governance, note, .. }
            | Record::Switch { governance, note, .. }
            | Record::Revocation { governance, note, .. } => self.govern(index, *governance, note),
            Record::Decision(decision) => {
                let private = reader.private(index).unwrap_or_else(|error| panic!("entry {index}: {error}"));
                self.decided(index, decision, Detail::decode(&private.detail).unwrap());
            }
            Record::Lease { permit, event: LeaseEvent::Renewed, ends_at, recorded_at, .. } => {
                self.renewed += 1;
                let known = self.permits.get(permit).expect("a lease of a permit");
                assert!(known.lease_ends_at.unwrap() > *recorded_at, "entry {index}: a lease that was over goes on");
                assert!(ends_at.unwrap() <= known.expires_at, "entry {index}: a lease beyond its permit");
                self.alive(index, permit, *recorded_at);
                self.permits.get_mut(permit).unwrap().lease_ends_at = *ends_at;
            }
            // A lease that was halted, has expired or was closed never goes on.
            Record::Lease { permit, .. } => self.permits.get_mut(permit).unwrap().lease_ends_at = Some(0),
            Record::Closure { permit, event, .. } if *event != ExecutionEvent::Started => {
                self.permits.get_mut(permit).unwrap().lease_ends_at = Some(0);
            }
            _ => {}
        }
    }

    fn govern(&mut self, index: u64, governance: u64, note: &str) {
        let act = Act::parse(&Note::parse(note).unwrap().text).unwrap();
        assert_eq!((act.follows, governance), (self.governance, self.governance + 1), "entry {index}");
        self.governance = governance;
        match act.deed {
            Deed::Epoch { number, .. } => {
                assert_eq!(number, self.epochs + 1, "entry {index}");
                self.epochs = number;
            }
            Deed::Switch { target, power, .. } => self.switches.set(&target, power),
            Deed::Revocation { what, .. } => {
                let Revoked::Permit(permit) = what else { panic!("entry {index}: only permits are revoked here") };
                self.revoked.insert(permit);
            }
            Deed::Freeze { .. } | Deed::Erasure { .. } => panic!("entry {index}: nobody froze the log or erased"),
        }
    }

    fn decided(&mut self, index: u64, decision: &Decision, detail: Detail) {
        assert_eq!(
            (decision.governance, decision.epoch),
            (self.governance, self.epochs),
            "entry {index}: not in force"
        );
        assert!(decision.evaluated_at <= decision.recorded_at, "entry {index}");
        if let Some(tag) = detail.idempotency
            && let Some(before) = self.tags.insert(tag, decision.recorded_at)
        {
            let again = decision.recorded_at - before;
            assert!(again >= IDEMPOTENCY_MS, "entry {index}: a second permit under one key after {again} ms");
        }
        let permit = Permit {
            parent: detail.parent,
            expires_at: decision.grant.map_or(0, |grant| grant.expires_at),
            lease_ends_at: decision.grant.and_then(|grant| grant.lease_ends_at),
            realm: decision.realm.clone(),
            detail,
        };
        if decision.outcome == Outcome::Allow {
            self.allowed += 1;
            assert!(decision.recorded_at - decision.evaluated_at <= MAX_AGE_MS, "entry {index}: an old verdict allows");
            assert!(permit.expires_at > decision.recorded_at, "entry {index}: void when it is recorded");
            let halted = self.switches.halt_recorded(&permit.realm, &permit.detail);
            assert!(!halted, "entry {index}: allowed behind the switch that stops it");
            let read = permit.detail.action == "read";
            assert!(!read || allows_reads(self.epochs), "entry {index}: allowed by a policy of an epoch before");
            if let Some(parent) = permit.parent {
                self.alive(index, &parent, decision.recorded_at);
            }
        } else {
            self.denied += 1;
        }
        let second = self.permits.insert(decision.permit, permit);
        assert!(second.is_none(), "entry {index}: permit {} is there twice", decision.permit);
    }

    /// A permit and all above it: known, not void, not taken back, and no switch stops them.
    fn alive(&self, index: u64, permit: &PermitId, now_ms: u64) {
        let mut next = Some(*permit);
        while let Some(id) = next {
            let permit = self.permits.get(&id).unwrap_or_else(|| panic!("entry {index}: permit {id} is not known"));
            assert!(permit.expires_at > now_ms, "entry {index} rests on {id}, which is void");
            assert!(!self.revoked.contains(&id), "entry {index} rests on {id}, which was revoked");
            let halted = self.switches.halt_recorded(&permit.realm, &permit.detail);
            assert!(!halted, "entry {index} rests on {id}, which a switch stops");
            next = permit.parent;
        }
    }
}
