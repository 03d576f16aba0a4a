//! The guard: what an enforcement point asks before it acts.
//!
//! It is given the bytes that are about to be acted on, the permit that came with them and a time, and answers an [`Admitted`], which has
//! no other birthplace, or the closed reason why not. An executor acts on what [`Admitted::request`] holds and on nothing else: that value
//! was read from the committed bytes, so no second parser can find another action in them.
//!
//! It does not know whether the log shows others the same history: it keeps the head that it relied on ([`Admitted::head`]) so that a
//! later, witnessed head can be held against it.

mod permit;
mod refusal;
mod trust;
mod uses;

use crate::cbor::CborError;
use crate::checkpoint::SignedCheckpoint;
use crate::decision::{Class, Classes, Condition, Decision, Outcome, PermitId, commitment};
use crate::record::{Record, RecordError};
use crate::request::Request;
use crate::verify::{self, verify_receipt};

pub use permit::Permit;
pub use refusal::Refusal;
pub use trust::{DEFAULT_MAX_LIFETIME_MS, LONGEST_MAX_LIFETIME_MS, Trust, TrustError};
pub use uses::{Claim, UseStore, UseStoreError};

/// Clocks of honest machines differ by less: a permit from further ahead is refused.
pub const MAX_AHEAD_MS: u64 = 5_000;
/// Of a permit with more uses no more are admitted: finding the next free one must stay cheap.
pub const MAX_USES: u32 = 4_096;
/// These are never `not_required` in a permit that is admitted, whatever the trust file says.
pub const ALWAYS_REQUIRED: [Condition; 3] = [Condition::Policy, Condition::Identity, Condition::Permissions];

/// Leave to act, once. Made by [`Guard::admit`] only; it cannot be copied.
///
/// ```compile_fail,E0451
/// # fn forge(request: verifier::request::Request, head: verifier::checkpoint::SignedCheckpoint) {
/// let permit = verifier::decision::PermitId([0; 16]);
/// verifier::guard::Admitted { request, permit, nth: 0, ends_at: u64::MAX, index: 0, head };
/// # }
/// ```
#[derive(Debug)]
pub struct Admitted {
    request: Request,
    permit: PermitId,
    nth: u32,
    ends_at: u64,
    index: u64,
    head: SignedCheckpoint,
}

impl Admitted {
    /// What may be done, as read from the committed bytes. Act on this value alone.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The permit's name.
    pub fn permit(&self) -> PermitId {
        self.permit
    }

    /// Which of the permit's uses this is, from 0.
    pub fn nth(&self) -> u32 {
        self.nth
    }

    /// The action must have stopped by then, Unix milliseconds: the permit's end, or its lease's where that is earlier.
    pub fn ends_at(&self) -> u64 {
        self.ends_at
    }

    /// The decision's place in the log.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The head that was relied on. Keep it: a later, witnessed head of the log must prove consistent with it.
    pub fn head(&self) -> &SignedCheckpoint {
        &self.head
    }
}

/// The `remembers_since` of a store that knows nothing of what was before `now`, Unix milliseconds: records from up to [`MAX_AHEAD_MS`]
/// ahead were admitted too, so the first record that cannot have been used is a later one.
pub const fn remembers_from(now: u64) -> u64 {
    now.saturating_add(MAX_AHEAD_MS + 1)
}

/// Keys of a decision in `record.cddl`.
const EVALUATED_AT: u64 = 7;
const EXPIRES_AT: u64 = 12;

fn out_of_range(key: u64) -> Refusal {
    Refusal::BadRecord(RecordError::Malformed(CborError::OutOfRange(key)))
}

/// An enforcement point's judge.
#[derive(Debug)]
pub struct Guard<S> {
    trust: Trust,
    uses: S,
    remembers_since: u64,
}

impl<S: UseStore> Guard<S> {
    /// `remembers_since` is the record time from which on the store has every use, Unix milliseconds: 0 for a store that was never lost,
    /// [`remembers_from`] the start of this process for one that was.
    pub fn new(trust: Trust, uses: S, remembers_since: u64) -> Self {
        Self { trust, uses, remembers_since }
    }

    /// Judges `permit` for `request`, the bytes that are about to be acted on, at `now`, Unix milliseconds. Takes a use only if all else
    /// holds.
    pub fn admit(&mut self, request: &[u8], permit: &Permit, now: u64) -> Result<Admitted, Refusal> {
        // Two records in one permit: whoever looks at the other one sees another permit than the one that is judged here.
        if permit.receipt.extra.as_ref().is_some_and(|extra| *extra != permit.record) {
            return Err(Refusal::Malformed("the receipt carries another record than `record`"));
        }
        let verified =
            verify_receipt(&permit.receipt, Some(&permit.record), &self.trust.keys).map_err(|error| match error {
                verify::Refusal::Record(error) => Refusal::BadRecord(error),
                verify::Refusal::UnknownKey => Refusal::UnknownKey,
                verify::Refusal::RetiredKey => Refusal::RetiredKey,
                verify::Refusal::NoLeaf | verify::Refusal::Inclusion(_) | verify::Refusal::Head(_) => {
                    Refusal::BadProof(error)
                }
            })?;
        // Whoever stole a retired key can write any record time; the clock on the wall is ours.
        if !verified.key().covers_time(now) {
            return Err(Refusal::RetiredKey);
        }
        let Record::Decision(decision) = verified.record() else {
            return Err(Refusal::NotADecision);
        };
        let ends_at = self.judge(decision, now)?;
        if commitment(&permit.salt, request) != decision.request {
            return Err(Refusal::WrongRequest);
        }
        let request = Request::parse(request).map_err(Refusal::UnreadableRequest)?;
        let nth = self.take_use(decision)?;
        Ok(Admitted {
            request,
            permit: decision.permit,
            nth,
            ends_at,
            index: verified.index(),
            head: verified.signed_head().clone(),
        })
    }

    /// Everything that the decision alone shows; gives the time at which execution must have stopped.
    fn judge(&self, decision: &Decision, now: u64) -> Result<u64, Refusal> {
        let (Outcome::Allow, Some(grant)) = (decision.outcome, decision.grant) else {
            return Err(Refusal::Denied);
        };
        self.refuse_hollow(&decision.classes)?;
        if decision.realm != self.trust.realm {
            return Err(Refusal::WrongRealm);
        }
        if decision.audience != self.trust.audience {
            return Err(Refusal::WrongAudience);
        }
        let ends_at = grant.lease_ends_at.map_or(grant.expires_at, |lease| lease.min(grant.expires_at));
        // The sequencer writes neither; a log that signed one is not to be reasoned with.
        if decision.evaluated_at > decision.recorded_at {
            return Err(out_of_range(EVALUATED_AT));
        }
        if ends_at < decision.recorded_at {
            return Err(out_of_range(EXPIRES_AT));
        }
        let latest = now.saturating_add(MAX_AHEAD_MS);
        if decision.recorded_at > latest {
            return Err(Refusal::FromTheFuture);
        }
        let longest = self.trust.max_lifetime_ms.min(LONGEST_MAX_LIFETIME_MS);
        if grant.expires_at.saturating_sub(decision.evaluated_at) > longest {
            return Err(Refusal::LifetimeTooLong);
        }
        if ends_at <= now {
            return Err(Refusal::Expired);
        }
        if decision.recorded_at < self.remembers_since {
            return Err(Refusal::OlderThanMemory);
        }
        Ok(ends_at)
    }

    fn refuse_hollow(&self, classes: &Classes) -> Result<(), Refusal> {
        for (condition, class) in classes.iter() {
            let demanded = ALWAYS_REQUIRED.contains(&condition) || self.trust.require.contains(&condition);
            match class {
                Class::Pass => {}
                Class::NotRequired if !demanded => {}
                Class::NotRequired | Class::Fail | Class::Unknown => return Err(Refusal::Hollow(condition, class)),
            }
        }
        Ok(())
    }

    fn take_use(&mut self, decision: &Decision) -> Result<u32, Refusal> {
        let Some(grant) = decision.grant else { return Err(Refusal::Denied) };
        for nth in 0..grant.uses.min(MAX_USES) {
            match self.uses.claim(decision.permit, nth, grant.expires_at)? {
                Claim::Taken => return Ok(nth),
                Claim::AlreadyTaken => {}
            }
        }
        Err(Refusal::AlreadyUsed)
    }
}
