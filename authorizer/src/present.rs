//! Why: a permit that was issued may be worth nothing now; whoever asks again learns its present state (threat 13).
//!
//! Guarantees: a denial stays one; a permit that ran out, that was revoked or descends from one, whose execution is over, that a switch
//! stops, or that is asked for while the clock cannot be relied on, is void. Pure.

use tokio::sync::oneshot;
use verifier::decision::{Decision, Detail, PermitId};

use crate::engine::Code;
use crate::fold::Fold;
use crate::state::permits::Over;

/// The state of a permit that was issued before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    /// Allowed then, and nothing stands against it now.
    Allowed,
    /// Denied then.
    Denied,
    /// Allowed then, void now.
    Void(&'static str),
}

/// A permit whose present state is asked of the sequencer, which alone knows.
#[derive(Debug)]
pub struct Look {
    /// Its decision.
    pub decision: Box<Decision>,
    /// That decision's detail.
    pub detail: Box<Detail>,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Present>,
}

/// Permits whose present states are asked of the sequencer: each with the time at which it is void, none for a denial.
#[derive(Debug)]
pub struct Survey {
    /// Which.
    pub permits: Vec<(PermitId, Option<u64>)>,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Vec<&'static str>>,
}

/// What the log tells of a permit at a time: `denied`, `open`, `closed`, `halted`, `expired` or `revoked`. What is void is `expired`, however
/// its execution ended before.
#[must_use]
pub fn state_of(fold: &Fold, permit: &PermitId, expires_at: Option<u64>, now: u64) -> &'static str {
    let permits = &fold.state.permits;
    match expires_at {
        None => "denied",
        Some(_) if permits.is_revoked(permit) => "revoked",
        Some(expires_at) if expires_at <= now => "expired",
        // Nothing depends on it, so nothing more is known of it.
        Some(_) if permits.get(permit, now).is_none() => "open",
        Some(_) => match permits.holds(permit, now, &fold.switches, &fold.state.revoked) {
            Ok(()) => "open",
            Err(Over::Revoked) => "revoked",
            Err(Over::Halted) => "halted",
            Err(Over::Unknown) => "expired",
            Err(Over::Closed) if permits.lapsed_by(permit, now) || permits.expired(permit) => "expired",
            Err(Over::Closed) => "closed",
        },
    }
}

/// What a recorded decision is worth at a time: allowed only if it was, has not run out, and nothing is stopped.
#[must_use]
pub fn present_state(fold: &Fold, decision: &Decision, detail: &Detail, now: u64, clock_trouble: bool) -> Present {
    let permits = &fold.state.permits;
    let Some(grant) = decision.grant else { return Present::Denied };
    if clock_trouble {
        return Present::Void(Code::Clock.name());
    }
    if grant.expires_at <= now {
        return Present::Void("expired");
    }
    if permits.is_revoked(&decision.permit) || fold.state.revoked.touch_recorded(detail) {
        return Present::Void("revoked");
    }
    if fold.switches.halt_recorded(&decision.realm, detail) {
        return Present::Void(Code::Halted.name());
    }
    if grant.lease_ends_at.is_none() && detail.parent.is_none() {
        return Present::Allowed;
    }
    // It has a lease or a parent, so it is kept.
    match permits.holds(&decision.permit, now, &fold.switches, &fold.state.revoked) {
        Ok(()) => Present::Allowed,
        Err(Over::Unknown) => Present::Void("expired"),
        Err(Over::Revoked) => Present::Void("revoked"),
        Err(Over::Halted) => Present::Void(Code::Halted.name()),
        Err(Over::Closed) => Present::Void("closed"),
    }
}
