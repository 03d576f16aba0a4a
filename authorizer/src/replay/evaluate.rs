//! One decision evaluated again from its committed bytes, by plain Cedar, before its place in the log is looked at.
//!
//! Guarantees: nothing is evaluated whose private parts are not those that the leaf commits to; a doubt that the record tells (a clock, a
//! race of governance) is taken only where it denied. Does not: know the fold.

use std::sync::{Mutex, PoisonError};

use verifier::decision::{Detail, Outcome};
use verifier::record::Record;
use verifier::request::Request;

use super::{Came, Task, own_engine};
use crate::engine::{Code, Engine, Verdict};
use crate::governance::Engines;
use crate::proposal::MAX_AGE_MS;

/// The engines of the live epoch and of its candidate.
pub(super) type Both<'a> = (Option<&'a Engines>, Option<&'a Engines>);

/// Evaluates one decision again, under its epoch alone, and under the candidate's.
pub(super) fn evaluate<'a>(
    task: Task<'a>,
    engines: Both<'_>,
    origin: &str,
) -> (Task<'a>, Result<Box<Evaluated>, Came>) {
    let evaluated = evaluated(&task, engines, origin);
    (task, evaluated)
}

fn evaluated(task: &Task<'_>, (live, candidate): Both<'_>, origin: &str) -> Result<Box<Evaluated>, Came> {
    let Record::Decision(recorded) = &task.record else { return Err(Came::Differs("it is no decision".to_owned())) };
    let Some(private) = &task.stored.private else { return Err(Came::NotRecomputable(recorded.outcome)) };
    let differs = |what: &str| Err(Came::Differs(what.to_owned()));
    if !private.matches(&recorded.request, &recorded.detail) {
        return differs("its private parts are not those that it commits to");
    }
    let (Ok(request), Ok(detail)) = (Request::parse(&private.request), Detail::decode(&private.detail)) else {
        return differs("its request or its detail cannot be read");
    };
    let Some(engine) = own_engine(live) else { return differs("no epoch was published before it") };
    let doubt = [Code::Clock, Code::GovernanceRace].into_iter().find(|doubt| says(&detail, *doubt));
    let age = recorded.recorded_at.checked_sub(recorded.evaluated_at);
    if doubt == Some(Code::GovernanceRace) {
        // It was evaluated under what was no longer in force, and denied for that: nothing else of it can follow.
        let denied = recorded.outcome == Outcome::Deny && !recorded.classes.none_denies();
        let used = detail.evidence.as_ref().is_some_and(|evidence| evidence.nonce.is_some());
        let denied = denied && detail.counted.is_empty() && !used && recorded.shadow.is_none();
        return if denied {
            Err(Came::Same(&["api_key", "governance_race"]))
        } else {
            differs("a governance race was allowed, or counted")
        };
    }
    if age.is_none_or(|age| age > MAX_AGE_MS) {
        return differs("it was evaluated after it was recorded, or too long before");
    }
    let find = |engine: &Mutex<Engine>| {
        let engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
        engine.decide_recorded(&request, recorded, &detail, origin)
    };
    let (mut verdict, shadow) = (find(engine), own_engine(candidate).map(find));
    let mismatch = says(&detail, Code::EngineMismatch);
    if mismatch {
        if !engine.lock().unwrap_or_else(PoisonError::into_inner).may_have_differed(&request) {
            return differs("it says that two engines differed, where only one was asked");
        }
        // That two engines differed is the operator's word. It only ever denies.
        verdict.doubt(Code::EngineMismatch);
    }
    Ok(Box::new(Evaluated { request: request.outline(), detail, verdict, shadow, doubt, mismatch }))
}

/// Whether a detail gives a code of the operator's own.
pub(crate) fn says(detail: &Detail, code: Code) -> bool {
    detail.codes.iter().any(|(condition, name)| *condition == code.condition() && name == code.name())
}

/// A decision that was evaluated again, before its place in the log is looked at.
pub(super) struct Evaluated {
    /// Without properties and context.
    pub(super) request: Request,
    pub(super) detail: Detail,
    pub(super) verdict: Verdict,
    /// Under the epoch in the live one's shadow.
    pub(super) shadow: Option<Verdict>,
    pub(super) doubt: Option<Code>,
    /// The operator says that the compiled policies differed from plain Cedar.
    pub(super) mismatch: bool,
}
