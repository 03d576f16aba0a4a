//! Why: the log is the only truth; what the authorizer must remember between decisions is a fold over its records.
//!
//! Guarantees: the state after a restart is the state before it, computed again from journal and vault; every act of
//! governance is checked again, signature and all; a record that this version cannot fold refuses the start instead of
//! being skipped, since a skipped revocation would allow.
//! Does not: keep a snapshot (every record is read at start, and the details of those that can still count). Permits that nothing depends on
//! stay in the log and are looked up.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use ledger::{ReadError, Reader};
use verifier::act::{Act, Deed, Mode, Power, Revoked, Target};
use verifier::decision::{Decision, Detail, Named};
use verifier::epoch::{self, EpochContent};
use verifier::record::{Record, RecordError};
use verifier::request::Request;

use crate::approval::Given;
use crate::engine::{self, MAX_WINDOW_MS, PublishError, Trust};
use crate::governance::{ActError, Governors};
use crate::state::State;

/// An idempotency key is kept so long, by recorded time (DESIGN §7.1).
pub const IDEMPOTENCY_MS: u64 = 24 * 3_600_000;
/// Idempotency keys that are kept at once, about 100 bytes each; beyond it requests that bring one get 503.
pub const MAX_IDEMPOTENCY_KEYS: usize = 1 << 20;
/// Records that are read at a time while folding.
const CHUNK: u64 = 1_024;

/// What is stopped now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    halted: HashSet<Target>,
}

impl Switches {
    /// Throws or releases one switch.
    pub fn set(&mut self, target: &Target, power: Power) {
        match power {
            Power::Halt => self.halted.insert(target.clone()),
            Power::Run => self.halted.remove(target),
        };
    }

    /// Whether anything that concerns the request is stopped. `policies` are the determining policies that are known
    /// by name; where there are more than are named, any stopped policy is taken to be among them.
    #[must_use]
    pub fn halt(&self, realm: &str, subject: (&str, &str), action: &str, policies: &[String], more: bool) -> bool {
        self.halted.iter().any(|target| match target {
            Target::Global => true,
            Target::Realm(name) => name == realm,
            Target::Subject(kind, id) => (kind.as_str(), id.as_str()) == subject,
            Target::Action(name) => name == action,
            Target::Policy(id) => more || policies.contains(id),
        })
    }

    /// [`Switches::halt`] for a request; policies beyond the 32 that a record names count as not named, so that the
    /// answer is the same when it is computed again from the log.
    #[must_use]
    pub fn halt_request(&self, realm: &str, request: &Request, policies: &[String]) -> bool {
        if self.halted.is_empty() {
            return false;
        }
        let subject = (request.subject.kind.as_str(), request.subject.id.as_str());
        let shown = policies.get(..Named::SHOWN).unwrap_or(policies);
        self.halt(realm, subject, &request.action.name, shown, policies.len() > Named::SHOWN)
    }

    /// [`Switches::halt`] for a decision that stands in the log.
    #[must_use]
    pub fn halt_recorded(&self, realm: &str, detail: &Detail) -> bool {
        let subject = (detail.subject.0.as_str(), detail.subject.1.as_str());
        let (shown, more) = match &detail.policies {
            Some(named) => (named.shown.as_slice(), named.count > named.shown.len() as u64),
            None => (&[][..], false),
        };
        self.halt(realm, subject, &detail.action, shown, more)
    }
}

/// The idempotency keys of the last 24 hours.
#[derive(Debug, Default)]
pub struct Idempotency {
    index_of: HashMap<[u8; 32], u64>,
    by_age: VecDeque<(u64, [u8; 32], u64)>,
}

impl Idempotency {
    /// The record under a key.
    #[must_use]
    pub fn get(&self, tag: &[u8; 32]) -> Option<u64> {
        self.index_of.get(tag).copied()
    }

    /// Whether `more` keys can be kept.
    #[must_use]
    pub fn has_room(&self, more: usize) -> bool {
        self.index_of.len().saturating_add(more) <= MAX_IDEMPOTENCY_KEYS
    }

    fn insert(&mut self, tag: [u8; 32], index: u64, recorded_at: u64) {
        self.index_of.insert(tag, index);
        self.by_age.push_back((recorded_at, tag, index));
    }

    /// Forgets what is older than [`IDEMPOTENCY_MS`]; recorded time never goes backwards, so the oldest is in front. A key that was used
    /// again since stands for its newer record, whichever of the two is noticed first.
    pub fn forget(&mut self, now_ms: u64) {
        while let Some((recorded_at, tag, index)) = self.by_age.front()
            && recorded_at.saturating_add(IDEMPOTENCY_MS) <= now_ms
        {
            if self.index_of.get(tag) == Some(index) {
                self.index_of.remove(tag);
            }
            self.by_age.pop_front();
        }
    }
}

/// The state.
#[derive(Debug, Default)]
pub struct Fold {
    /// Raised by each epoch, switch and freeze; 0 before the first epoch.
    pub governance: u64,
    /// The live epoch; 0 before the first.
    pub epoch: u64,
    /// The epoch that is tried in its shadow.
    pub candidate: Option<u64>,
    /// The indexes of the closing records of all epochs, in order.
    pub epochs: Arc<[u64]>,
    /// What is stopped. Shared with workers as it was after the last durable batch.
    pub switches: Arc<Switches>,
    /// Idempotency keys.
    pub idempotency: Idempotency,
    /// The realms that any epoch so far lists as committed.
    pub committed: Arc<BTreeSet<String>>,
    /// The live epoch's trust configuration: what is counted by.
    pub trust: Arc<Trust>,
    /// Counters and open permits.
    pub state: State,
    /// The log has ended: nothing is recorded in it any more.
    pub frozen: bool,
    /// The time of the last record, Unix milliseconds.
    pub last_ms: u64,
    parts: Vec<u8>,
    parts_from: u64,
    parts_next: u64,
}

/// The epochs that a fold ends with: what engines are built from.
#[derive(Debug, Default)]
pub struct Contents {
    /// Of the live epoch.
    pub live: Option<EpochContent>,
    /// Of the epoch in its shadow.
    pub candidate: Option<EpochContent>,
}

impl Contents {
    /// Takes over what a record publishes.
    pub fn publish(&mut self, (mode, content): (Mode, EpochContent)) {
        match mode {
            Mode::Live => *self = Contents { live: Some(content), candidate: None },
            Mode::Shadow => self.candidate = Some(content),
        }
    }
}

/// Why the log cannot be folded.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// A record cannot be read.
    #[error("record {index} cannot be read: {source}")]
    Read {
        /// Its index.
        index: u64,
        /// Why.
        source: ReadError,
    },
    /// A record cannot be decoded.
    #[error("record {index}: {source}")]
    Record {
        /// Its index.
        index: u64,
        /// Why.
        source: RecordError,
    },
    /// A record of a kind that this version does not fold.
    #[error("record {index} is a `{kind}`, which this version does not know how to apply")]
    NotImplemented {
        /// Its index.
        index: u64,
        /// Its kind.
        kind: &'static str,
    },
    /// An act does not stand up to its check.
    #[error("record {index}: {source}")]
    Act {
        /// Its index.
        index: u64,
        /// Why.
        source: ActError,
    },
    /// An epoch's trust configuration does not validate: this version is stricter than the one that published it.
    #[error("the epoch that record {index} publishes does not validate: {source}")]
    Trust {
        /// Its closing record.
        index: u64,
        /// Why.
        source: PublishError,
    },
    /// An act does not follow from what stands before it.
    #[error("record {index} does not follow from the records before it: {reason}")]
    Broken {
        /// Its index.
        index: u64,
        /// Why.
        reason: &'static str,
    },
}

impl Fold {
    /// Folds the whole published log. Returns the content of the live epoch too, and of the candidate in its shadow.
    ///
    /// # Errors
    /// [`FoldError`]: the service must not start.
    pub fn of(reader: &Reader, governors: &Governors) -> Result<(Fold, Contents), FoldError> {
        let size = reader.head().checkpoint.size;
        let last_ms = recorded_at(reader, size)?;
        let mut fold = Fold::default();
        let mut contents = Contents::default();
        let mut first = 0;
        while first < size {
            let count = CHUNK.min(size - first);
            let entries = reader.entries(first, count).map_err(|source| FoldError::Read { index: first, source })?;
            for (index, leaf) in (first..).zip(&entries) {
                let record = Record::decode(leaf).map_err(|source| FoldError::Record { index, source })?;
                let detail = match &record {
                    Record::Decision(decision) if matters(decision, last_ms, &fold.trust) => {
                        Some(detail(reader, index)?)
                    }
                    _ => None,
                };
                if let Some(epoch) = fold.apply(governors, index, &record, detail.as_ref())? {
                    contents.publish(epoch);
                }
                if let Some(tag) = detail.and_then(|detail| detail.idempotency) {
                    fold.idempotency.insert(tag, index, record.recorded_at());
                }
            }
            first += count;
        }
        fold.idempotency.forget(fold.last_ms);
        Ok((fold, contents))
    }

    /// Applies the next record. `detail` is a decision's, or none where nothing of it matters any more. Answers an epoch's content where the
    /// record publishes it.
    ///
    /// # Errors
    /// [`FoldError`]: the record does not follow from those before it, or is of a kind that this version cannot apply.
    pub fn apply(
        &mut self,
        governors: &Governors,
        index: u64,
        record: &Record,
        detail: Option<&Detail>,
    ) -> Result<Option<(Mode, EpochContent)>, FoldError> {
        let broken = |reason| FoldError::Broken { index, reason };
        let recorded_at = record.recorded_at();
        if recorded_at < self.last_ms {
            return Err(broken("recorded time goes backwards"));
        }
        self.last_ms = recorded_at;
        if self.frozen {
            return Err(broken("a record behind the freeze"));
        }
        match record {
            Record::EpochPart { part, bytes, .. } => {
                if *part == 0 {
                    self.parts.clear();
                    (self.parts_from, self.parts_next) = (index, index);
                }
                if self.parts_next != index || self.parts.len() + bytes.len() > epoch::MAX_CONTENT {
                    return Err(broken("an epoch part out of its run"));
                }
                self.parts_next = index + 1;
                self.parts.extend_from_slice(bytes);
                Ok(None)
            }
            Record::Epoch { governance, first_part, parts, note, predecessor, .. } => {
                let act = governors.open(note).map_err(|source| FoldError::Act { index, source })?;
                let Deed::Epoch { number, content, mode } = act.act().deed else {
                    return Err(broken("an epoch record with another act"));
                };
                if *first_part != self.parts_from || self.parts_next != index || first_part + parts != index {
                    return Err(broken("an epoch record that does not close its run of parts"));
                }
                if number != self.newest_epoch() + 1 {
                    return Err(broken("an epoch number is skipped"));
                }
                if number == 1 && mode == Mode::Shadow {
                    return Err(broken("a candidate without a live epoch"));
                }
                if predecessor.is_some() && number != 1 {
                    return Err(broken("only a log's first epoch names a predecessor"));
                }
                let document = std::mem::take(&mut self.parts);
                if epoch::digest(&document) != content {
                    return Err(broken("an epoch's content is not what its act names"));
                }
                let content = EpochContent::decode(&document).map_err(|_| broken("an epoch's content is malformed"))?;
                self.follow(index, act.act(), *governance)?;
                let trust = engine::trust(&content).map_err(|source| FoldError::Trust { index, source })?;
                self.publish_at(number, mode, index, trust);
                Ok(Some((mode, content)))
            }
            Record::Switch { governance, note, .. } => {
                let act = governors.open(note).map_err(|source| FoldError::Act { index, source })?;
                let Deed::Switch { target, power, .. } = &act.act().deed else {
                    return Err(broken("a switch record with another act"));
                };
                self.follow(index, act.act(), *governance)?;
                Arc::make_mut(&mut self.switches).set(target, *power);
                Ok(None)
            }
            Record::Revocation { governance, note, .. } => {
                let act = governors.open(note).map_err(|source| FoldError::Act { index, source })?;
                let Deed::Revocation { what, .. } = &act.act().deed else {
                    return Err(broken("a revocation record with another act"));
                };
                self.follow(index, act.act(), *governance)?;
                self.state.revoke(what);
                Ok(None)
            }
            Record::Lease { permit, event, ends_at, .. } => {
                self.state.leased(*permit, *event, *ends_at, recorded_at).map_err(broken)?;
                Ok(None)
            }
            Record::Closure { permit, event, note, .. } => {
                self.state.reported(*permit, *event, note.is_some(), recorded_at).map_err(broken)?;
                Ok(None)
            }
            Record::Freeze { governance, note, .. } => {
                let act = governors.open(note).map_err(|source| FoldError::Act { index, source })?;
                let Deed::Freeze { .. } = &act.act().deed else {
                    return Err(broken("a freeze record with another act"));
                };
                self.follow(index, act.act(), *governance)?;
                self.frozen = true;
                Ok(None)
            }
            Record::Decision(decision) => {
                if let Some(detail) = detail {
                    self.state.decided(&self.trust, index, decision, detail).map_err(broken)?;
                }
                Ok(None)
            }
            Record::Approval { decision, note, .. } => {
                let given = Given::open(note, &self.trust, governors.origin());
                let given = given.map_err(|_| broken("an approval that no approver signed"))?;
                if given.approval().decision != *decision {
                    return Err(broken("an approval of another decision"));
                }
                self.state.advance(recorded_at);
                self.state.admits(&given, recorded_at).map_err(|_| broken("an approval that could not be given"))?;
                self.state.approve(&given);
                Ok(None)
            }
            // They change nothing that a decision rests on.
            Record::Statement { .. } | Record::Anchor { .. } | Record::Recovery { .. } | Record::State { .. } => {
                Ok(None)
            }
            Record::SystemSwitch { .. } | Record::Erasure { .. } => {
                Err(FoldError::NotImplemented { index, kind: record.kind_name() })
            }
        }
    }

    fn follow(&mut self, index: u64, act: &Act, governance: u64) -> Result<(), FoldError> {
        if act.follows != self.governance || governance != self.governance + 1 {
            return Err(FoldError::Broken { index, reason: "an act follows another governance version" });
        }
        self.governance = governance;
        Ok(())
    }

    /// Notes a switch that the sequencer records now.
    pub fn switch(&mut self, target: &Target, power: Power) {
        self.governance += 1;
        Arc::make_mut(&mut self.switches).set(target, power);
    }

    /// Notes a revocation that the sequencer records now.
    pub fn revoke(&mut self, what: &Revoked) {
        self.governance += 1;
        self.state.revoke(what);
    }

    /// Notes the freeze that the sequencer records now.
    pub fn freeze(&mut self) {
        self.governance += 1;
        self.frozen = true;
    }

    /// Notes an epoch that the sequencer records now, with its closing record at `index`.
    pub fn publish(&mut self, number: u64, mode: Mode, index: u64, trust: Arc<Trust>) {
        self.governance += 1;
        self.publish_at(number, mode, index, trust);
    }

    fn publish_at(&mut self, number: u64, mode: Mode, index: u64, trust: Arc<Trust>) {
        self.epochs = self.epochs.iter().copied().chain([index]).collect();
        match mode {
            Mode::Shadow => self.candidate = Some(number),
            Mode::Live => {
                (self.epoch, self.candidate) = (number, None);
                Arc::make_mut(&mut self.committed).extend(trust.committed().map(str::to_owned));
                self.trust = trust;
            }
        }
    }

    /// The number of the newest epoch, in force or in shadow; 0 before the first.
    #[must_use]
    pub fn newest_epoch(&self) -> u64 {
        self.epochs.len() as u64
    }

    /// Notes a decision that the sequencer records now; what it counts goes to [`State::decided`].
    pub fn decided(&mut self, tag: Option<[u8; 32]>, index: u64, recorded_at: u64) {
        self.last_ms = self.last_ms.max(recorded_at);
        if let Some(tag) = tag {
            self.idempotency.insert(tag, index, recorded_at);
        }
    }
}

/// Whether anything of a decision can still count when the last record was made at `last_ms`: an idempotency key, a counter of its epoch,
/// an open permit.
fn matters(decision: &Decision, last_ms: u64, trust: &Trust) -> bool {
    // A window is left a step after its length; twice the length covers it.
    let remembered_ms = if trust.counts() { 2 * MAX_WINDOW_MS } else { IDEMPOTENCY_MS };
    decision.recorded_at.saturating_add(remembered_ms) > last_ms
        || decision.grant.is_some_and(|grant| grant.expires_at > last_ms || grant.lease_ends_at.is_some())
}

fn detail(reader: &Reader, index: u64) -> Result<Detail, FoldError> {
    let private = reader.private(index).map_err(|source| FoldError::Read { index, source })?;
    let malformed = |_| FoldError::Broken { index, reason: "its detail is malformed" };
    Detail::decode(&private.detail).map_err(malformed)
}

/// The time of the last record; 0 in an empty log.
fn recorded_at(reader: &Reader, size: u64) -> Result<u64, FoldError> {
    let Some(index) = size.checked_sub(1) else { return Ok(0) };
    let leaf = reader.entry(index).map_err(|source| FoldError::Read { index, source })?;
    let record = Record::decode(&leaf).map_err(|source| FoldError::Record { index, source })?;
    Ok(record.recorded_at())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_stops_what_it_names_and_nothing_else() {
        let subject = ("Agent", "a");
        let policies = ["p1".to_owned(), "p2".to_owned()];
        let cases = [
            ("global", true),
            ("realm main", true),
            ("realm other", false),
            ("subject Agent::\"a\"", true),
            ("subject Agent::\"b\"", false),
            ("subject Bot::\"a\"", false),
            ("action read", true),
            ("action write", false),
            ("policy p2", true),
            ("policy p3", false),
        ];
        for (line, halted) in cases {
            let target = Target::parse(line).unwrap();
            let mut switches = Switches::default();
            switches.set(&target, Power::Halt);
            assert_eq!(switches.halt("main", subject, "read", &policies, false), halted, "{line}");
            switches.set(&target, Power::Run);
            assert_eq!(switches, Switches::default());
        }
    }

    #[test]
    fn a_stopped_policy_stops_decisions_that_do_not_name_all_of_theirs() {
        let mut switches = Switches::default();
        switches.set(&Target::Policy("p9".into()), Power::Halt);
        assert!(!switches.halt("main", ("A", "a"), "read", &["p1".into()], false));
        assert!(switches.halt("main", ("A", "a"), "read", &["p1".into()], true));
    }

    #[test]
    fn an_idempotency_key_is_forgotten_after_24_hours_of_recorded_time() {
        let mut keys = Idempotency::default();
        keys.insert([1; 32], 7, 1_000);
        keys.insert([2; 32], 8, 2_000);
        keys.forget(IDEMPOTENCY_MS + 999);
        assert_eq!((keys.get(&[1; 32]), keys.get(&[2; 32])), (Some(7), Some(8)));
        keys.forget(IDEMPOTENCY_MS + 1_000);
        assert_eq!((keys.get(&[1; 32]), keys.get(&[2; 32])), (None, Some(8)));
    }

    /// A restart reads both records before it forgets anything: the newer one was forgotten with the older, and a second permit was given
    /// under one key. The simulation found it.
    #[test]
    fn a_key_that_is_used_again_after_a_day_is_not_forgotten_with_its_first_record() {
        let mut keys = Idempotency::default();
        keys.insert([1; 32], 7, 1_000);
        keys.insert([1; 32], 9, IDEMPOTENCY_MS + 2_000);
        keys.forget(IDEMPOTENCY_MS + 2_000);
        assert_eq!(keys.get(&[1; 32]), Some(9));
    }
}
