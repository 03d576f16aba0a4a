//! What becomes of a worker's verdict at the place where it is recorded: arithmetic only.
//!
//! Why: the sequencer applies this when it records a decision, and replay when it computes it again; one function for both, so that they
//! cannot drift apart. Guarantees: a verdict is only ever lowered. Does not: make an outcome; the sequencer does.

use verifier::decision::{Detail, Grant, Named};
use verifier::request::Request;

use crate::engine::{Code, Verdict};
use crate::fold::Switches;

/// Applies what is known only at the record's place: a doubt of the operator's own, kill switches, a deadline that passed meanwhile.
pub fn settle(
    verdict: &mut Verdict,
    request: &Request,
    switches: &Switches,
    realm: &str,
    now_ms: u64,
    doubt: Option<Code>,
) {
    if let Some(code) = doubt {
        verdict.unknown(code);
    }
    if switches.halt_request(realm, request, &verdict.policies) {
        verdict.fail(Code::Halted);
    }
    if request.deadline.is_some_and(|deadline| deadline <= now_ms) {
        verdict.fail(Code::Deadline);
    }
}

/// What a permit grants if a verdict stands.
#[must_use]
pub fn grant(verdict: &Verdict, now_ms: u64) -> Grant {
    Grant { expires_at: now_ms.saturating_add(verdict.ttl_ms), uses: verdict.uses, lease_ends_at: None }
}

/// The private detail of a decision. `key_id`, `idempotency` (an HMAC) and `authzen` are input facts.
#[must_use]
pub fn detail(
    request: &Request,
    verdict: &Verdict,
    key_id: &str,
    idempotency: Option<[u8; 32]>,
    authzen: bool,
) -> Detail {
    let named = |names: &[String]| (!names.is_empty()).then(|| Named::new(names));
    Detail {
        subject: (request.subject.kind.clone(), request.subject.id.clone()),
        action: request.action.name.clone(),
        resource: (request.resource.kind.clone(), request.resource.id.clone()),
        parent: request.parent,
        key_id: key_id.to_owned(),
        codes: verdict.codes().map(|(condition, code)| (condition, code.name().to_owned())).collect(),
        policies: named(&verdict.policies),
        errors: named(&verdict.errors),
        idempotency,
        retry_of: request.retry_of,
        authzen,
    }
}
