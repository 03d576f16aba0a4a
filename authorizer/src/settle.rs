//! What becomes of a worker's verdict at the place where it is recorded: arithmetic only.
//!
//! Why: the sequencer applies this when it records a decision, and replay when it computes it again; one function for both, so that they
//! cannot drift apart. Guarantees: a verdict is only ever lowered; a decision counts for a rate only once its identity is known, for a
//! budget or a lease only if it allows. Does not: make an outcome, nor move a counter; the sequencer and the fold do.

use std::sync::Arc;

use verifier::act::Revoked;
use verifier::decision::{
    Condition, Counted, Counter, Detail, Evidence, EvidenceNonce, Grant, Named, PermitId, Signed,
};
use verifier::request::Request;

use crate::engine::{ApprovalRule, Approver, Code, MOST_MAX_DEPTH, Scope, Standing, Verdict};
use crate::fold::Fold;
use crate::state::State;
use crate::state::counters::Key;
use crate::state::nonces::Unusable;
use crate::state::permits::Over;
use crate::state::revoked::Revocations;

/// Applies what is known only at the record's place: a doubt of the operator's own, kill switches, a deadline that passed meanwhile, the
/// parent and what it descends from, and the subject's counters. `fold` is the state before the record, with [`State::advance`] to its time.
pub fn settle(verdict: &mut Verdict, request: &Request, fold: &Fold, realm: &str, now_ms: u64, doubt: Option<Code>) {
    if let Some(code) = doubt {
        verdict.doubt(code);
    }
    nonce(verdict, &fold.state, now_ms);
    attested(verdict, &fold.state, now_ms);
    revoked(verdict, request, &fold.state.revoked);
    if fold.switches.halt_request(realm, request, &verdict.policies) {
        verdict.fail(Code::Halted);
    }
    if request.deadline.is_some_and(|deadline| deadline <= now_ms) {
        verdict.fail(Code::Deadline);
    }
    lineage(verdict, request, fold, realm, now_ms);
    approvals(verdict, request, &fold.state, realm, now_ms);
    limits(verdict, request, &fold.state, realm, now_ms);
    if let Standing::Unknown(Code::Clock | Code::GovernanceRace) = verdict.standing(Condition::Runtime) {
        // What is in doubt is denied, and whoever computes it again cannot tell what it would have used.
        verdict.counted.clear();
    }
}

/// Condition 9 from the approvals in the log: enough different persons, none of whom asks, by this request or by one that it descends from.
fn approvals(verdict: &mut Verdict, request: &Request, state: &State, realm: &str, now_ms: u64) {
    let Some(retry) = verdict.demands.retry else { return };
    let Some(given) = state.approved.given(&retry.decision, realm, &retry.core, now_ms) else {
        return verdict.fail(Code::ApprovalOther);
    };
    let mut asking = vec![request.subject.named()];
    let mut next = request.parent;
    for _ in 0..=MOST_MAX_DEPTH {
        let Some(permit) = next.and_then(|id| state.permits.get(&id, now_ms)) else { break };
        asking.push(permit.subject.clone());
        next = permit.parent;
    }
    let counts = |approver: &Arc<Approver>| {
        given.contains(&approver.key.key_bytes())
            && !asking.contains(&approver.person)
            && !state.revoked.key(approver.key.name())
    };
    let met =
        |rule: &Arc<ApprovalRule>| rule.approvers.iter().filter(|approver| counts(approver)).count() >= rule.count;
    if !verdict.demands.approvals.iter().all(met) {
        verdict.fail(Code::ApprovalMissing);
    }
}

/// The nonce of a signature that holds is used once, and not after the signature.
fn nonce(verdict: &mut Verdict, state: &State, now_ms: u64) {
    let Some(nonce) = verdict.demands.nonce else { return };
    match state.nonces.admits(&nonce, now_ms) {
        Ok(()) => {}
        Err(Unusable::Used) => verdict.fail(Code::NonceUsed),
        Err(Unusable::Expired) => verdict.fail(Code::SignatureExpired),
        Err(Unusable::Full) => verdict.fail(Code::TooManyNonces),
    }
}

/// An attestation passes once, and not when it is stale.
fn attested(verdict: &mut Verdict, state: &State, now_ms: u64) {
    let Some(nonce) = verdict.demands.attested else { return };
    match state.attestations.admits(&nonce, now_ms) {
        Ok(()) => {}
        Err(Unusable::Used) => verdict.fail(Code::AttestationNonceUsed),
        Err(Unusable::Expired) => verdict.fail(Code::AttestationStale),
        Err(Unusable::Full) => verdict.fail(Code::TooManyAttestations),
    }
}

/// Nothing that was taken back counts: each with the code of the condition that rests on it.
fn revoked(verdict: &mut Verdict, request: &Request, revoked: &Revocations) {
    if revoked.is_empty() {
        return;
    }
    if revoked.subject(&request.subject.kind, &request.subject.id) {
        verdict.fail(Code::SubjectRevoked);
    }
    if verdict.demands.keys.iter().any(|key| revoked.key(key)) {
        verdict.fail(Code::KeyRevoked);
    }
    if revoked.of_verdict(&verdict.policies) {
        verdict.fail(Code::PolicyRevoked);
    }
    let issuers = verdict.demands.issuers.iter();
    let gone = issuers.filter(|(_, issuer)| revoked.has(&Revoked::Issuer(issuer.clone()))).map(|(of, _)| *of);
    for condition in gone.collect::<Vec<_>>() {
        if condition == Condition::Trust {
            verdict.fail(Code::AssertionRevoked);
            continue;
        }
        verdict.fail(Code::AttestationRevoked);
        if verdict.standing(Condition::Environment) == Standing::Pass {
            verdict.fail(Code::EnvironmentUnattested);
        }
    }
}

/// Whose evidence a decision relied on, and the nonce that it uses up: only where attestation and identity passed, so that nobody's nonce is
/// used up by a stranger, and not where the moment itself was in doubt, which nobody could compute again.
fn evidence(verdict: &Verdict) -> Option<Evidence> {
    let mut issuers: Vec<String> = verdict.demands.issuers.iter().map(|(_, issuer)| issuer.clone()).collect();
    issuers.sort_unstable();
    issuers.dedup();
    let passed = |condition| verdict.standing(condition) == Standing::Pass;
    let doubted = matches!(verdict.standing(Condition::Runtime), Standing::Unknown(_));
    let nonce =
        verdict.demands.attested.filter(|_| passed(Condition::Attestation) && passed(Condition::Identity) && !doubted);
    let nonce = nonce.map(|nonce| EvidenceNonce { id: nonce.id, expires_ms: nonce.expires_ms });
    (!issuers.is_empty()).then_some(Evidence { issuers, nonce })
}

/// Condition 5 from the parent upward, and what condition 6 says of lineages.
fn lineage(verdict: &mut Verdict, request: &Request, fold: &Fold, realm: &str, now_ms: u64) {
    let permits = &fold.state.permits;
    if opens(request) && permits.is_full() {
        verdict.fail(Code::TooManyOpen);
    }
    let Some(id) = request.parent else { return };
    let parent = permits.get(&id, now_ms).filter(|parent| parent.realm == realm && !parent.delegates.is_empty());
    let Some(parent) = parent else { return verdict.fail(Code::ParentUnknown) };
    let subject = format!("{}::\"{}\"", request.subject.kind, request.subject.id);
    if !parent.delegates.contains(&subject) {
        // Whoever is not named learns no more of it.
        return verdict.fail(Code::NotDelegated);
    }
    ancestors(verdict, &id, fold, now_ms);
    let held: Vec<&Scope> = parent.scopes.iter().collect();
    if !verdict.demands.scopes.iter().all(|scope| held.iter().any(|held| held.covers(scope))) {
        verdict.fail(Code::ScopeExceeded);
    }
    let remaining = parent.expires_at.saturating_sub(now_ms);
    match request.ttl_ms {
        None => verdict.ttl_ms = verdict.ttl_ms.min(remaining),
        Some(asked) if asked > remaining => verdict.fail(Code::OutlivesParent),
        Some(_) => {}
    }
    if parent.depth >= verdict.demands.max_depth {
        verdict.fail(Code::DepthExceeded);
    }
    if parent.children >= verdict.demands.max_children {
        verdict.fail(Code::FanOutExceeded);
    }
}

/// The parent and all above it must hold.
fn ancestors(verdict: &mut Verdict, parent: &PermitId, fold: &Fold, now_ms: u64) {
    if let Err(over) = fold.state.permits.holds(parent, now_ms, &fold.switches, &fold.state.revoked) {
        verdict.fail(match over {
            Over::Unknown => Code::ParentUnknown,
            Over::Revoked => Code::ParentRevoked,
            Over::Halted => Code::ParentHalted,
            Over::Closed => Code::ParentClosed,
        });
    }
}

/// As [`settle`], for an execution that wants to go on under its permit: nothing is counted again, and everything that could stop it is
/// asked again, for the permit as it was decided and for its request as it is evaluated now.
pub fn renew(verdict: &mut Verdict, request: &Request, fold: &Fold, id: &PermitId, realm: &str, now_ms: u64) {
    verdict.counted.clear();
    revoked(verdict, request, &fold.state.revoked);
    if fold.switches.halt_request(realm, request, &verdict.policies) {
        verdict.fail(Code::Halted);
    }
    if request.deadline.is_some_and(|deadline| deadline <= now_ms) {
        verdict.fail(Code::Deadline);
    }
    match fold.state.permits.running(id, now_ms) {
        Ok((permit, _)) => {
            let subject = (permit.subject.0.as_str(), permit.subject.1.as_str());
            if fold.switches.halt(&permit.realm, subject, &permit.action, &permit.policies, permit.more_policies) {
                verdict.fail(Code::Halted);
            }
            // Something that it rested on then, and does not now.
            if verdict.stands() && fold.state.revoked.touch(permit) {
                verdict.fail(Code::Revoked);
            }
        }
        // Never: the sequencer asks for what is under way. Doubt denies.
        Err(_) => verdict.unknown(Code::Halted),
    }
    if fold.state.permits.is_revoked(id) {
        verdict.fail(Code::Revoked);
    }
    if let Some(parent) = &request.parent {
        ancestors(verdict, parent, fold, now_ms);
    }
}

/// The cause of a halt as it stands in the leaf: the conditions that failed. Their codes are not for everybody.
#[must_use]
pub fn cause(verdict: &Verdict) -> String {
    verdict.codes().map(|(condition, _)| condition.name()).collect::<Vec<_>>().join(" ")
}

/// Whether a permit for this request would be one that others depend on.
#[must_use]
pub fn opens(request: &Request) -> bool {
    request.parent.is_some() || !request.delegates.is_empty() || request.lease_ms.is_some()
}

/// Condition 6 from the subject's counters, and what the decision adds to them.
fn limits(verdict: &mut Verdict, request: &Request, state: &State, realm: &str, now_ms: u64) {
    if verdict.demands.limits.is_empty() {
        return;
    }
    let subject = request.subject.named();
    let limits = std::mem::take(&mut verdict.demands.limits);
    let mut fitting = Vec::with_capacity(limits.len());
    for (limit, amount) in &limits {
        let counter = limit.counter();
        let key = Key::new(counter, &limit.name, realm, &subject);
        if state.counters.fits(&key, &limit.rule, *amount, now_ms) {
            fitting.push(Counted { counter, name: limit.name.clone(), amount: *amount });
        } else {
            verdict.fail(match counter {
                Counter::Rate => Code::RateExceeded,
                Counter::Budget => Code::BudgetExceeded,
                Counter::Concurrency => Code::ConcurrencyExceeded,
            });
        }
    }
    verdict.demands.limits = limits;
    // A stranger's requests must not use up anybody's rate, nor denied ones a budget (threat 14).
    let identified = verdict.standing(Condition::Identity) == Standing::Pass;
    let stands = verdict.stands();
    fitting.retain(|counted| match counted.counter {
        Counter::Rate => identified,
        Counter::Budget | Counter::Concurrency => stands,
    });
    verdict.counted = fitting;
}

/// What a permit grants if a verdict stands.
#[must_use]
pub fn grant(verdict: &Verdict, now_ms: u64) -> Grant {
    let expires_at = now_ms.saturating_add(verdict.ttl_ms);
    let lease_ends_at = verdict.lease_ms.map(|lease| now_ms.saturating_add(lease).min(expires_at));
    Grant { expires_at, uses: verdict.uses, lease_ends_at }
}

/// The private detail of a decision. `key_id`, `idempotency` (an HMAC) and `authzen` are input facts, and so is that the signed body had
/// its digest.
#[must_use]
pub fn detail(
    request: &Request,
    verdict: &Verdict,
    key_id: &str,
    idempotency: Option<[u8; 32]>,
    authzen: bool,
    signed: Option<Signed>,
) -> Detail {
    let named = |names: &[String]| (!names.is_empty()).then(|| Named::new(names));
    Detail {
        subject: request.subject.named(),
        action: request.action.name.to_string(),
        resource: request.resource.named(),
        parent: request.parent,
        key_id: key_id.to_owned(),
        codes: verdict.codes().map(|(condition, code)| (condition, code.name().to_owned())).collect(),
        policies: named(&verdict.policies),
        errors: named(&verdict.errors),
        idempotency,
        retry_of: request.retry_of,
        authzen,
        counted: verdict.counted.clone(),
        scopes: request.scopes.clone(),
        delegates: request.delegates.clone(),
        signed,
        retry_salt: verdict.demands.retry.map(|retry| retry.salt),
        evidence: evidence(verdict),
    }
}

#[cfg(test)]
mod tests {
    use verifier::decision::Class;
    use verifier::epoch::EpochContent;

    use super::*;
    use crate::engine::{Engine, Facts, Published};
    use crate::state::permits::{MAX_OPEN, Permit};

    const NOW: u64 = 1_795_428_000_000;

    fn engine(trust: &str) -> Engine {
        let policies = vec![("all".into(), r#"@id("all") permit(principal, action, resource);"#.into())];
        let content = EpochContent { policies, trust: Some(trust.into()), ..EpochContent::default() };
        Published::new(content).unwrap().replica().unwrap()
    }

    fn request(more: &str) -> Request {
        let text = format!(
            r#"{{"subject":{{"type":"A","id":"a"}},"action":{{"name":"x"}},"resource":{{"type":"R","id":"r"}},"context":{{"n":1}}{more}}}"#
        );
        Request::parse(text.as_bytes()).unwrap()
    }

    fn decide(engine: &Engine, request: &Request) -> Verdict {
        engine.decide(request, &Facts::unsigned("main", "k", NOW))
    }

    /// Threat 14: a stranger's requests use up nothing of anybody.
    #[test]
    fn nothing_is_counted_for_whose_identity_failed() {
        let engine = engine(
            "[[rates]]\nname = \"r\"\nsubjects = ['A::\"a\"']\ncount = 1\nper_ms = 1000\n\
             [[budgets]]\nname = \"b\"\namount = \"context.n\"\ncap = 9\nwindow_ms = 1000\n",
        );
        let (request, fold) = (request(""), Fold::default());
        let mut known = decide(&engine, &request);
        settle(&mut known, &request, &fold, "main", NOW, None);
        assert_eq!((known.stands(), known.counted.len()), (true, 2));
        let mut stranger = decide(&engine, &request);
        stranger.fail(Code::KeyRevoked);
        settle(&mut stranger, &request, &fold, "main", NOW, None);
        assert_eq!((stranger.stands(), stranger.counted), (false, vec![]));
    }

    /// Threat 32: memory has a bound, and what would go beyond it is denied.
    #[test]
    fn when_as_many_permits_are_open_as_are_kept_no_more_are_opened() {
        let engine = engine("");
        let mut fold = Fold::default();
        let permit = |expires_at| Permit {
            index: 0,
            realm: String::new(),
            subject: (String::new(), String::new()),
            action: String::new(),
            policies: Vec::new(),
            more_policies: false,
            parent: None,
            depth: 0,
            children: 0,
            delegates: Vec::new(),
            scopes: Vec::new(),
            holds: Vec::new(),
            rests_on: Vec::new(),
            expires_at,
            lease: None,
            started: false,
            held: false,
            ended: None,
        };
        for n in 0..MAX_OPEN as u128 {
            fold.state.permits.open(PermitId(n.to_be_bytes()), permit(NOW + 1));
        }
        let (opening, plain) = (request(r#","delegates":["A::\"b\""]"#), request(""));
        let standing = |fold: &Fold, request: &Request| {
            let mut verdict = decide(&engine, request);
            settle(&mut verdict, request, fold, "main", NOW, None);
            (verdict.classes().of(Condition::Operational), verdict.stands())
        };
        assert_eq!(standing(&fold, &opening), (Class::Fail, false));
        assert_eq!(standing(&fold, &plain), (Class::NotRequired, true));
        fold.state.advance(NOW + 1);
        assert!(standing(&fold, &opening).1);
    }
}
