//! Why: a permit that was issued may be worth nothing now; whoever asks again learns its present state (threat 13).
//!
//! Guarantees: a denial stays one; a permit that ran out, that a switch stops, or that is asked for while the clock
//! cannot be relied on, is void. Pure.

use verifier::decision::{Decision, Detail};

use crate::engine::Code;
use crate::fold::Switches;

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

/// What a recorded decision is worth at a time: allowed only if it was, has not run out, and nothing is stopped.
#[must_use]
pub fn present_state(
    switches: &Switches,
    decision: &Decision,
    detail: &Detail,
    now: u64,
    clock_trouble: bool,
) -> Present {
    match decision.grant {
        Some(_) if clock_trouble => Present::Void(Code::Clock.name()),
        Some(grant) if grant.expires_at <= now => Present::Void("expired"),
        Some(_) if switches.halt_recorded(&decision.realm, detail) => Present::Void(Code::Halted.name()),
        Some(_) => Present::Allowed,
        None => Present::Denied,
    }
}
