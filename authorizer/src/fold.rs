//! Why: the log is the only truth; what the authorizer must remember between decisions is a fold over its records.
//!
//! Guarantees: the state after a restart is the state before it, computed again from journal and vault; every act of
//! governance is checked again, signature and all; a record that this version cannot fold refuses the start instead of
//! being skipped, since a skipped revocation would allow.
//! Does not: read the log; `fold/start.rs` does, and `replay.rs`. Permits that nothing depends on stay in the log and are looked up.

#[cfg(test)]
mod format;
pub mod idempotency;
mod mistrust;
mod snapshot;
mod start;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use ledger::ReadError;
use verifier::act::{Act, Deed, Mode, Power, Revoked, Target};
use verifier::decision::{Detail, Named};
use verifier::epoch::{self, EpochContent};
use verifier::record::{Record, RecordError};
use verifier::request::Request;

use crate::approval::Given;
use crate::engine::{self, PublishError, Trust};
use crate::governance::{ActError, Governors};
use crate::state::State;
pub use idempotency::{IDEMPOTENCY_MS, Idempotency, MAX_IDEMPOTENCY_KEYS};
pub use mistrust::Mistrust;
pub use snapshot::{Damaged, Snapshot};
pub use start::{PassedOver, Started};

/// So many decisions stand between two `state` records: their digest is taken in milliseconds, and as many decisions are read again at a
/// start at the most, which is less than a second.
pub const STATE_EVERY: u64 = 1 << 16;

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

    /// The targets that are stopped, as acts write them, in order.
    #[must_use]
    pub fn halted(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.halted.iter().map(Target::text).collect();
        lines.sort_unstable();
        lines
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

/// The state.
#[derive(Debug, Default)]
pub struct Fold {
    /// Decisions that stand in the log so far.
    pub decisions: u64,
    /// As many as stood before the last `state` record.
    pub stated: u64,
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
    /// Plain Cedar decides the live epoch, whatever it says: what it compiles to was found to differ. Not in a snapshot, and so none is kept
    /// while it is so.
    pub by_plain: bool,
    /// The log has ended: nothing is recorded in it any more.
    pub frozen: bool,
    /// The time of the last record, Unix milliseconds.
    pub last_ms: u64,
    /// Up to when it was looked at: what ran out by then is forgotten. A `state` record is not before it.
    pub seen_ms: u64,
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
                self.decisions += 1;
                if let Some(detail) = detail {
                    self.state.decided(&self.trust, index, decision, detail).map_err(broken)?;
                    if let Some(tag) = detail.idempotency {
                        self.idempotency.insert(tag, index, recorded_at);
                    }
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
            // What its digest is of; whether it is that of this fold, replay asks, and a start that begins here.
            Record::State { .. } => {
                self.settle_by(recorded_at);
                Ok(None)
            }
            // They change nothing that a decision rests on.
            Record::Statement { .. } | Record::Anchor { .. } | Record::Recovery { .. } => Ok(None),
            Record::Erasure { index: of, parts, note, .. } => {
                let act = governors.open_erasure(note, &self.trust.erasure().keys);
                let act = act.map_err(|source| FoldError::Act { index, source })?;
                match &act.act().deed {
                    Deed::Erasure { index: named, parts: word, .. } if named == of && word.bits() == *parts => {}
                    _ => return Err(broken("an erasure record with another act")),
                }
                if act.act().follows != self.governance || *of >= index {
                    return Err(broken(
                        "an erasure that follows another governance version, or of what is not yet there",
                    ));
                }
                if parts & 2 != 0 {
                    self.state.erased(*of);
                }
                Ok(None)
            }
            Record::SystemSwitch { governance, cause, .. } => {
                let mistrust = Mistrust::parse(cause);
                let mistrust = mistrust.ok_or(FoldError::NotImplemented { index, kind: record.kind_name() })?;
                if self.epoch == 0 || *governance != self.governance + 1 {
                    return Err(broken("a switch of the service's own follows another governance version"));
                }
                self.mistrust(mistrust);
                Ok(None)
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

    /// Notes the service's own switch that the sequencer records now.
    pub fn mistrust(&mut self, mistrust: Mistrust) {
        self.governance += 1;
        self.by_plain = true;
        if let Some(permit) = mistrust.permit {
            self.state.revoke(&Revoked::Permit(permit));
        }
    }

    /// Notes the freeze that the sequencer records now.
    pub fn freeze(&mut self) {
        self.governance += 1;
        self.frozen = true;
    }

    /// Notes an epoch that the sequencer records now, with its closing record at `index`.
    pub fn publish(&mut self, number: u64, mode: Mode, index: u64, trust: Arc<Trust>) {
        self.governance += 1;
        // Parts that an interrupted publishing left do not count any more.
        self.parts.clear();
        self.publish_at(number, mode, index, trust);
    }

    fn publish_at(&mut self, number: u64, mode: Mode, index: u64, trust: Arc<Trust>) {
        self.epochs = self.epochs.iter().copied().chain([index]).collect();
        match mode {
            Mode::Shadow => self.candidate = Some(number),
            Mode::Live => {
                (self.epoch, self.candidate, self.by_plain) = (number, None, false);
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

    /// Lets time pass: what ends by `now_ms` is forgotten.
    pub fn advance(&mut self, now_ms: u64) {
        self.seen_ms = self.seen_ms.max(now_ms);
        self.idempotency.forget(now_ms);
        self.state.advance(now_ms);
    }

    /// Settles the state by the time of a `state` record: what is left depends on the log alone, and is what its digest is of.
    pub fn settle_by(&mut self, recorded_at: u64) {
        self.last_ms = self.last_ms.max(recorded_at);
        self.advance(recorded_at);
        self.state.settle_by(recorded_at);
        self.stated = self.decisions;
    }

    /// Notes a decision that the sequencer records now; what it counts goes to [`State::decided`].
    pub fn decided(&mut self, tag: Option<[u8; 32]>, index: u64, recorded_at: u64) {
        self.decisions += 1;
        self.last_ms = self.last_ms.max(recorded_at);
        if let Some(tag) = tag {
            self.idempotency.insert(tag, index, recorded_at);
        }
    }
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
}
