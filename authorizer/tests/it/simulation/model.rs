//! What must hold of a log, whoever wrote it: read from its published records alone, with none of the authorizer's own state.
//!
//! It forgets nothing when the process does, so that a history that went back or was told otherwise is seen.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use authorizer::fold::{IDEMPOTENCY_MS, Switches};
use authorizer::proposal::MAX_AGE_MS;
use ledger::{Head, PrivateOwned, Reader};
use rand::RngExt;
use rand::rngs::StdRng;
use verifier::act::{Act, Deed, Mode, Revoked};
use verifier::decision::{Class, Classes, Condition, Decision, Detail, Outcome, PermitId};
use verifier::hash::{EMPTY_ROOT, Hash};
use verifier::note::Note;
use verifier::proof::verify_consistency;
use verifier::record::{ExecutionEvent, LeaseEvent, Record};

use super::epochs::{self, KEPT_MS, allows_reads, approver};

/// What was read so far.
#[derive(Default)]
pub struct Model {
    pub size: u64,
    pub epochs: u64,
    pub governance: u64,
    pub allowed: u64,
    pub denied: u64,
    pub renewed: u64,
    pub tried: u64,
    pub nonces_used: u64,
    pub erasures: u64,
    pub permits: HashMap<PermitId, Permit>,
    /// The permits of all decisions, in order.
    pub decisions: Vec<PermitId>,
    live: u64,
    candidate: Option<u64>,
    root: Option<Hash>,
    last_ms: u64,
    switches: Switches,
    revoked: HashSet<Revoked>,
    tags: HashMap<[u8; 32], u64>,
    nonces: HashMap<(String, String), Use>,
    /// Resources that decisions were asked about, and those of bodies that were refused.
    resources: HashSet<String>,
    refused: HashSet<String>,
}

/// One decision.
pub struct Permit {
    pub index: u64,
    pub realm: String,
    pub detail: Detail,
    pub private: PrivateOwned,
    /// What is erased of it: bit 0 the request, bit 1 the detail.
    pub erased: u64,
    recorded_at: u64,
    expires_at: u64,
    lease_ends_at: Option<u64>,
}

/// Who used a nonce.
struct Use {
    body: [u8; 16],
    item: u64,
    until_ms: u64,
}

/// All that a decision rests on and that may be taken back.
pub fn rests_on(permit: PermitId, detail: &Detail) -> Vec<Revoked> {
    let (kind, id) = detail.subject.clone();
    let mut all = vec![Revoked::Permit(permit), Revoked::Subject(kind, id), Revoked::Key(detail.key_id.clone())];
    if let Some(signed) = &detail.signed {
        all.push(Revoked::Key(signed.signature.params().unwrap().key_id.to_owned()));
    }
    let policies = detail.policies.iter().flat_map(|named| &named.shown);
    all.extend(policies.map(|id| Revoked::Policy(id.clone())));
    let issuers = detail.evidence.iter().flat_map(|evidence| &evidence.issuers);
    all.extend(issuers.map(|name| Revoked::Issuer(name.clone())));
    all
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

    /// A body that asked about this was refused for its key's quota.
    pub fn refused(&mut self, resource: &str) {
        assert!(!self.resources.contains(resource), "{resource} was refused and had been recorded");
        self.refused.insert(resource.to_owned());
    }

    /// The index of one of all decisions.
    pub fn any_decision(&self, random: &mut StdRng) -> Option<u64> {
        let at = (!self.decisions.is_empty()).then(|| random.random_range(0..self.decisions.len()))?;
        Some(self.permits[&self.decisions[at]].index)
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
                self.decided(index, decision, private);
            }
            Record::Erasure { index: of, parts, note, .. } => self.erased(index, *of, *parts, note),
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
            Deed::Epoch { number, mode, .. } => {
                assert_eq!(number, self.epochs + 1, "entry {index}");
                self.epochs = number;
                match mode {
                    Mode::Live => (self.live, self.candidate) = (number, None),
                    Mode::Shadow => self.candidate = Some(number),
                }
            }
            Deed::Switch { target, power, .. } => self.switches.set(&target, power),
            Deed::Revocation { what, .. } => {
                self.revoked.insert(what);
            }
            Deed::Freeze { .. } | Deed::Erasure { .. } => {
                panic!("entry {index}: nobody froze the log, and erasing is no version")
            }
        }
    }

    /// Nothing is erased too early, nor while a retry, a lease or a descendant may ask for it.
    fn erased(&mut self, index: u64, of: u64, parts: u64, note: &str) {
        let act = Act::parse(&Note::parse(note).unwrap().text).unwrap();
        assert_eq!(act.follows, self.governance, "entry {index}");
        assert!(matches!(act.deed, Deed::Erasure { index, parts: word, .. } if index == of && word.bits() == parts));
        let permit = self.permits.values_mut().find(|permit| permit.index == of).expect("a decision is erased");
        let age = self.last_ms - permit.recorded_at;
        assert!(age >= KEPT_MS, "entry {index} erases entry {of} after {age} ms");
        assert!(permit.detail.idempotency.is_none() || age >= IDEMPOTENCY_MS, "entry {index}: a retry may come");
        assert!(permit.lease_ends_at.is_none_or(|end| end <= self.last_ms), "entry {index}: it is being acted on");
        assert!(parts & !permit.erased != 0, "entry {index} erases nothing");
        permit.erased |= parts;
        self.erasures += 1;
    }

    fn decided(&mut self, index: u64, decision: &Decision, private: PrivateOwned) {
        let detail = Detail::decode(&private.detail).unwrap();
        assert_eq!((decision.governance, decision.epoch), (self.governance, self.live), "entry {index}: not in force");
        assert!(decision.evaluated_at <= decision.recorded_at, "entry {index}");
        let resource = &detail.resource.1;
        assert!(!self.refused.contains(resource), "entry {index}: {resource} was refused");
        self.resources.insert(resource.clone());
        if let Some(tag) = detail.idempotency
            && let Some(before) = self.tags.insert(tag, decision.recorded_at)
        {
            let again = decision.recorded_at - before;
            assert!(again >= IDEMPOTENCY_MS, "entry {index}: a second permit under one key after {again} ms");
        }
        self.verdicts(index, decision, &detail);
        self.signed(index, decision, &detail);
        let permit = Permit {
            index,
            realm: decision.realm.clone(),
            detail,
            private,
            erased: 0,
            recorded_at: decision.recorded_at,
            expires_at: decision.grant.map_or(0, |grant| grant.expires_at),
            lease_ends_at: decision.grant.and_then(|grant| grant.lease_ends_at),
        };
        if decision.outcome == Outcome::Allow {
            self.allowed += 1;
            assert!(decision.recorded_at - decision.evaluated_at <= MAX_AGE_MS, "entry {index}: an old verdict allows");
            assert!(permit.expires_at > decision.recorded_at, "entry {index}: void when it is recorded");
            if let Some(parent) = permit.detail.parent {
                self.alive(index, &parent, decision.recorded_at);
            }
            if permit.detail.action == "pay" {
                let key = Revoked::Key(approver().verifier_key().name().to_owned());
                assert!(!self.revoked.contains(&key), "entry {index}: approved under a key that was taken back");
            }
        } else {
            self.denied += 1;
        }
        let second = self.permits.insert(decision.permit, permit);
        assert!(second.is_none(), "entry {index}: permit {} is there twice", decision.permit);
        if decision.outcome == Outcome::Allow {
            self.stopped_by_nothing(index, &decision.permit);
        }
        self.decisions.push(decision.permit);
    }

    /// The outcome is that of the live epoch's verdicts, and beside it stands what the candidate would have said.
    fn verdicts(&mut self, index: u64, decision: &Decision, detail: &Detail) {
        let raced = detail.codes.iter().any(|(_, code)| code == "governance_race");
        let shadow = decision.shadow.as_ref();
        let expected = self.candidate.filter(|_| !raced);
        assert_eq!(shadow.map(|shadow| shadow.epoch), expected, "entry {index}: another candidate is tried");
        self.tried += u64::from(shadow.is_some());
        let live = Some((self.live, decision.classes, decision.outcome));
        for (epoch, classes, outcome) in live.into_iter().chain(shadow.map(|s| (s.epoch, s.classes, s.outcome))) {
            let allows = outcome == Outcome::Allow;
            assert_eq!(stands(classes), allows, "entry {index}: epoch {epoch} says {outcome:?} over {classes:?}");
            let passes = classes.of(Condition::Policy) == Class::Pass;
            let read = detail.action == "read";
            assert!(!read || passes == allows_reads(epoch), "entry {index}: the policy of another epoch than {epoch}");
        }
    }

    /// A signature that holds is its speaker's, has not run out, and its nonce is used by one body.
    fn signed(&mut self, index: u64, decision: &Decision, detail: &Detail) {
        let identified = decision.classes.of(Condition::Identity) == Class::Pass;
        let Some(signed) = &detail.signed else {
            assert!(!identified || detail.action != "ship", "entry {index}: nobody signed it");
            return;
        };
        if !identified {
            return;
        }
        let params = signed.signature.params().unwrap();
        let speaker = epochs::speaker(params.key_id, &detail.subject).expect("who signs may speak for whom");
        assert_eq!(signed.signature.is_by(&speaker), Ok(true), "entry {index}: a forged signature");
        let until_ms = params.expires * 1_000;
        assert!(until_ms > decision.recorded_at, "entry {index}: its signature has run out");
        let nonce = (params.key_id.to_owned(), params.nonce.to_owned());
        self.nonces_used += 1;
        let (body, item) = (signed.body, signed.item);
        if let Some(before) = self.nonces.insert(nonce, Use { body, item, until_ms }) {
            let again = before.until_ms <= decision.recorded_at || (before.body == body && before.item < item);
            assert!(again, "entry {index}: the nonce `{}` admits twice", params.nonce);
        }
    }

    /// A permit and all above it: known, there, not void, not taken back, and no switch stops them.
    fn alive(&self, index: u64, permit: &PermitId, now_ms: u64) {
        let mut next = Some(*permit);
        while let Some(id) = next {
            let permit = self.permits.get(&id).unwrap_or_else(|| panic!("entry {index}: permit {id} is not known"));
            assert!(permit.expires_at > now_ms, "entry {index} rests on {id}, which is void");
            assert_eq!(permit.erased, 0, "entry {index} rests on {id}, which was erased");
            self.stopped_by_nothing(index, &id);
            next = permit.detail.parent;
        }
    }

    fn stopped_by_nothing(&self, index: u64, id: &PermitId) {
        let permit = &self.permits[id];
        let halted = self.switches.halt_recorded(&permit.realm, &permit.detail);
        assert!(!halted, "entry {index} rests on {id}, which a switch stops");
        for what in rests_on(*id, &permit.detail) {
            assert!(!self.revoked.contains(&what), "entry {index} rests on {id} and so on `{}`", what.text());
        }
    }
}

fn stands(classes: Classes) -> bool {
    Condition::ALL.into_iter().all(|of| matches!(classes.of(of), Class::Pass | Class::NotRequired))
}
