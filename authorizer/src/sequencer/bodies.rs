//! Bodies of requests: the final verdict on each item, in log order.
//!
//! Guarantees: an allowing outcome is constructed in one line of this file; a body is recorded together and in order, or sent back, or
//! refused, and what is looked up under idempotency keys is looked up before any of it is recorded.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Instant;

use ledger::{Private, ReadError};
use verifier::decision::{Decision, Detail, Outcome, Shadow};
use verifier::record::Record;

use super::{Fault, Sequencer, Waiting};
use crate::clock::Reading;
use crate::double;
use crate::engine::{Code, RealmMode};
use crate::keys::Identity;
use crate::present::{Present, present_state};
use crate::proposal::{Item, MAX_AGE_MS, MAX_ATTEMPTS, Place, Proposal, Refusal, Reply, Stop};
use crate::settle;
use crate::stages::Spent;
use crate::traces::Queued;

/// What stands under an item's idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Earlier {
    /// Nothing, or it has no key.
    No,
    /// A published record, and its state now.
    Recorded(u64, Present),
    /// The item with this number of the same body, which is the same request.
    InThisBody(usize),
}

impl Sequencer {
    /// Gives a body its place, sends it back, or refuses it; all of it or nothing.
    pub(super) fn sequence(&mut self, mut proposal: Proposal) -> Result<(), Fault> {
        let sequencing = Queued::taken(proposal.trace.take());
        if proposal.reply.is_closed() {
            // The caller has gone: deciding for nobody would only fill the log.
            self.shared.queue.release(proposal.load);
            return Ok(());
        }
        if self.fold.frozen {
            self.shared.queue.release(proposal.load);
            let _ = proposal.reply.send(Reply::Refused(Refusal::Frozen));
            return Ok(());
        }
        let Reading { at_ms, trouble } = self.shared.clock.read(self.fold.last_ms);
        let now = at_ms.max(proposal.evaluated_at);
        let stale = self.is_stale(&proposal, now);
        let answer = if stale && proposal.attempt <= MAX_ATTEMPTS {
            Err(None)
        } else {
            self.recall(&proposal, now, trouble.is_some()).map_err(Some)
        };
        let Proposal { caller, items, governance, evaluated_at, stop, load, reply, .. } = proposal;
        let mut earlier = match answer {
            Ok(earlier) => earlier.into_iter(),
            Err(refusal) => {
                self.shared.queue.release(load);
                // A caller that went away in between is denied by that.
                let _ = reply.send(refusal.map_or(Reply::Stale(items), Reply::Refused));
                return Ok(());
            }
        };
        let mut placed = Vec::with_capacity(items.len());
        for mut item in items {
            let earlier = earlier.next().unwrap_or(Earlier::No);
            let again = match earlier {
                Earlier::No => None,
                Earlier::Recorded(index, present) => Some(Place::Again { index, present }),
                Earlier::InThisBody(first) => placed.get(first).map(|(_, place): &(Box<Item>, Place)| place.again()),
            };
            let place = match again {
                Some(place) => place,
                None => {
                    let code = if earlier != Earlier::No {
                        // Never: the first item under a key stands before the second. It denies.
                        Some(Code::EngineError)
                    } else if stale {
                        Some(Code::GovernanceRace)
                    } else if trouble.is_some() {
                        Some(Code::Clock)
                    } else {
                        None
                    };
                    let discloses = governance == self.fold.governance && item.verdict.mode == RealmMode::Public;
                    self.record(&caller, &mut item, evaluated_at, now, code, discloses)?
                }
            };
            let stops = match stop {
                Stop::Never => false,
                Stop::AfterDeny => !place.is_allowed(),
                Stop::AfterAllow => place.is_allowed(),
            };
            placed.push((item, place));
            if stops {
                break;
            }
        }
        self.batched(load, Waiting::Decisions { items: placed, load, reply, trace: sequencing.end() });
        Ok(())
    }

    fn is_stale(&self, proposal: &Proposal, now: u64) -> bool {
        // A deadline that passed since is applied here; any other end of a verdict needs the worker again.
        let ran_out = |item: &Item| {
            let until = item.verdict.valid_until_ms;
            until > proposal.evaluated_at && until <= now && item.request.deadline.is_none_or(|deadline| deadline > now)
        };
        // What compiled policies say counts no more once they are mistrusted, but where it was just found, and denies.
        let found = |item: &Item| double::differed(&item.verdict);
        let mistrusted = proposal.compiled
            && self.shared.live.load().engines.as_ref().is_some_and(|engines| engines.is_mistrusted())
            && !proposal.items.iter().any(|item| found(item));
        mistrusted
            || proposal.governance != self.fold.governance
            || now.saturating_sub(proposal.evaluated_at) > MAX_AGE_MS
            || proposal.items.iter().any(|item| ran_out(item))
    }

    /// Looks every idempotency key of a body up before anything of the body is recorded.
    /// Two items under one key in one body are one request if they are the same bytes, and a reused key if not.
    fn recall(&mut self, proposal: &Proposal, now: u64, trouble: bool) -> Result<Vec<Earlier>, Refusal> {
        self.fold.advance(now);
        let mut found = Vec::with_capacity(proposal.items.len());
        let mut new_tags: HashMap<[u8; 32], (usize, &Item)> = HashMap::new();
        for (n, item) in proposal.items.iter().enumerate() {
            let Some(tag) = item.tag else {
                found.push(Earlier::No);
                continue;
            };
            found.push(match self.fold.idempotency.get(&tag) {
                // Above what is published: its answer is not out yet, so there is nothing to repeat.
                Some(index) if index >= self.ledger.size() => return Err(Refusal::InFlight { item: n }),
                Some(index) => Earlier::Recorded(index, self.present(n, item, index, now, trouble)?),
                None => match new_tags.entry(tag) {
                    Entry::Vacant(new) => {
                        new.insert((n, item));
                        Earlier::No
                    }
                    Entry::Occupied(first) if first.get().1.committed != item.committed => {
                        return Err(Refusal::KeyReused { item: n });
                    }
                    Entry::Occupied(first) => Earlier::InThisBody(first.get().0),
                },
            });
        }
        if !self.fold.idempotency.has_room(new_tags.len()) {
            return Err(Refusal::TooManyKeys);
        }
        Ok(found)
    }

    /// The present state of what was recorded for the same request; threat 13.
    fn present(&self, n: usize, item: &Item, index: u64, now: u64, trouble: bool) -> Result<Present, Refusal> {
        let gone = |_: ReadError| Refusal::Erased { item: n };
        let private = self.shared.reader.private(index).map_err(gone)?;
        if private.request != *item.committed {
            return Err(Refusal::KeyReused { item: n });
        }
        let leaf = self.shared.reader.entry(index).map_err(gone)?;
        let (Ok(Record::Decision(decision)), Ok(detail)) = (Record::decode(&leaf), Detail::decode(&private.detail))
        else {
            return Err(Refusal::Erased { item: n });
        };
        Ok(present_state(&self.fold, &decision, &detail, now, trouble))
    }

    /// Decides one item for good and records it.
    fn record(
        &mut self,
        caller: &Identity,
        item: &mut Item,
        evaluated_at: u64,
        now: u64,
        doubt: Option<Code>,
        disclosed: bool,
    ) -> Result<Place, Fault> {
        let before = (item.verdict.classes(), item.verdict.counted.len());
        self.fold.advance(now);
        settle::settle(&mut item.verdict, &item.request, &self.fold, caller.realm(), now, doubt);
        // After a race nothing follows from an epoch that may be over.
        let shadow = item.shadow.as_deref_mut().filter(|_| doubt != Some(Code::GovernanceRace));
        let shadow = shadow.map(|(epoch, verdict)| {
            settle::settle(verdict, &item.request, &self.fold, caller.realm(), now, doubt);
            Shadow::of(*epoch, verdict.classes())
        });
        let classes = item.verdict.classes();
        // What is counted is only ever left out.
        if (classes, item.verdict.counted.len()) != before {
            item.prepare_detail(caller);
        }
        // The one place where an action is allowed: nine verdicts, none of which failed or is unknown, at log time.
        let outcome = if item.verdict.stands() { Outcome::Allow } else { Outcome::Deny };
        let grant = (outcome == Outcome::Allow).then(|| settle::grant(&item.verdict, now));
        let index = self.ledger.size().saturating_add(self.batch.len() as u64);
        let decision = Box::new(Decision {
            recorded_at: now,
            governance: self.fold.governance,
            epoch: self.fold.epoch,
            permit: item.permit,
            realm: caller.realm().to_owned(),
            evaluated_at,
            outcome,
            classes,
            request: item.request_hash,
            detail: item.detail.hash,
            grant,
            audience: item.request.audience.clone(),
            shadow,
        });
        let moves = settle::opens(&item.request) || item.signed.is_some() || item.verdict.demands.retry.is_some();
        let moves = moves || item.verdict.demands.attested.is_some();
        if moves || !item.verdict.counted.is_empty() {
            let detail = item.detail_of(caller);
            self.fold.state.decided(&self.fold.trust, index, &decision, &detail).map_err(Fault::Fold)?;
        }
        let record = Record::Decision(decision);
        let private = Private {
            disclosed,
            request_salt: item.request_salt,
            request: &item.committed,
            detail_salt: item.detail.salt,
            detail: &item.detail.bytes,
        };
        // By the clock on the wall alone: a reading of the thread's clock would take as long as what it measures.
        let since = self.encoding.map(|_| Instant::now());
        self.batch.push(&record, Some(private))?;
        if let (Some(since), Some(encoding)) = (since, &mut self.encoding) {
            let took = since.elapsed();
            *encoding = encoding.and(Spent { cpu: took, wall: took });
        }
        self.fold.decided(item.tag, index, now);
        Ok(Place::New { index, record })
    }
}
