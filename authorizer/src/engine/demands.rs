//! Conditions 5 and 6 as far as a worker can see them: what the request asks under the epoch alone.
//!
//! What depends on other records (the parent, counters) is handed on as [`Demands`], for the sequencer and for replay to hold against the
//! fold. Pure. Does not: look at any permit; `settle` does.

use std::sync::Arc;

use verifier::decision::{Condition, Counted};
use verifier::json::View;
use verifier::request::Request;

use super::approvals::Retry;
use super::codes::Code;
use super::decide::Verdict;
use super::evaluate::Evaluate;
use super::signatures::Nonce;
use super::trust::Trust;
use super::trust::approvals::ApprovalRule;
use super::trust::limits::{Amount, Limit, Rule};
use super::trust::scope::{Scope, all_covered};
use super::trust::subjects::named;

/// What the fold must grant at the place of the record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Demands {
    /// The limits that apply, with what the request would add to each.
    pub limits: Vec<(Arc<Limit>, u64)>,
    /// The scopes that the request claims, as read.
    pub scopes: Vec<Scope>,
    /// Most ancestors of a permit.
    pub max_depth: u32,
    /// Most open children of a permit.
    pub max_children: u32,
    /// The nonce of its signature.
    pub nonce: Option<Nonce>,
    /// The rules of approval that it falls under.
    pub approvals: Vec<Arc<ApprovalRule>>,
    /// The denied decision that it tries again, where approvals are asked for.
    pub retry: Option<Retry>,
    /// The ids of the keys that it is asked with: the caller's, and the one that signed.
    pub keys: Vec<String>,
    /// Whose evidence holds, for which condition.
    pub issuers: Vec<(Condition, String)>,
    /// What evidence would change the verdict.
    pub wanted: Wanted,
    /// The nonce of its attestation, where that may pass once only.
    pub attested: Option<Nonce>,
}

/// The evidence that an action demands and that was not brought, by the names that the epoch has for it: it is public, so they reveal nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Rules of assertions, all of them.
    pub assertions: Vec<String>,
    /// Issuers of attestations, any of them.
    pub attestation: Vec<String>,
    /// Sets of reference values, all of them.
    pub reference_values: Vec<String>,
}

impl Wanted {
    /// Whether nothing is.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.assertions.is_empty() && self.attestation.is_empty() && self.reference_values.is_empty()
    }
}

impl Demands {
    /// What a decision adds to its subject's counters if everything is granted.
    pub(super) fn counted(&self) -> Vec<Counted> {
        let one = |(limit, amount): &(Arc<Limit>, u64)| Counted {
            counter: limit.counter(),
            name: limit.name.clone(),
            amount: *amount,
        };
        self.limits.iter().map(one).collect()
    }
}

/// Condition 5 under the epoch: what is claimed can be read, is what the action needs, and is granted to the subject.
pub(super) fn scopes(verdict: &mut Verdict, trust: &Trust, request: &Request) {
    let required = trust.requires(&request.action.name, Condition::Scopes);
    let brings = request.parent.is_some() || !request.delegates.is_empty() || !request.scopes.is_empty();
    if !required && !brings {
        return;
    }
    verdict.evaluated(Condition::Scopes);
    let read: Option<Vec<Scope>> = request.scopes.iter().map(|text| Scope::parse(text)).collect();
    let Some(claimed) = read else { return verdict.fail(Code::ScopeMalformed) };
    if request.delegates.iter().any(|text| named(text).is_none()) {
        verdict.fail(Code::DelegateMalformed);
    }
    let held: Vec<&Scope> = claimed.iter().collect();
    if required && (claimed.is_empty() || !all_covered(&held, trust.needed_scopes(&request.action.name))) {
        verdict.fail(Code::ScopeMissing);
    }
    if required || !claimed.is_empty() {
        match trust.granted(&request.subject, request.parent.is_none()) {
            Some(granted) if all_covered(&granted, &claimed) => {}
            None if request.parent.is_none() && trust.granted(&request.subject, false).is_some() => {
                verdict.fail(Code::ParentRequired);
            }
            Some(_) | None => verdict.fail(Code::ScopeNotGranted),
        }
    }
    verdict.demands.scopes = claimed;
}

/// Condition 6 under the epoch: which limits apply, to whom, and by how much.
pub(super) fn operational(verdict: &mut Verdict, trust: &Trust, policies: &dyn Evaluate, request: &Request) {
    let limits = trust.limits();
    (verdict.demands.max_depth, verdict.demands.max_children) = (limits.max_depth, limits.max_children);
    let applying: Vec<&Arc<Limit>> = trust.counted().iter().filter(|limit| limit.reach.holds(request)).collect();
    let required = trust.requires(&request.action.name, Condition::Operational);
    if !required && applying.is_empty() && request.parent.is_none() && request.lease_ms.is_none() {
        return;
    }
    verdict.evaluated(Condition::Operational);
    if required && applying.is_empty() {
        verdict.fail(Code::Unlimited);
    }
    // Whoever can invent subjects would have a fresh counter for each call.
    if !applying.is_empty() && !policies.registered(&request.subject) && !trust.names(&request.subject) {
        return verdict.fail(Code::UnregisteredSubject);
    }
    // A permit for several uses is several uses.
    let uses = u64::from(verdict.uses);
    for limit in applying {
        let amount = match &limit.rule {
            Rule::Rate { .. } => uses,
            Rule::Concurrency { .. } => {
                if request.lease_ms.is_none() {
                    verdict.fail(Code::LeaseRequired);
                }
                1
            }
            Rule::Budget { amount, cap, .. } => {
                let sum = amount_of(amount, policies, request).and_then(|amount| amount.checked_mul(uses));
                let Some(sum) = sum.filter(|sum| sum <= cap) else {
                    verdict.fail(Code::Invalid);
                    continue;
                };
                sum
            }
        };
        verdict.demands.limits.push((limit.clone(), amount));
    }
}

/// The integer that a budget sums, as policies see it; `None` where there is none or it is negative.
fn amount_of(amount: &Amount, policies: &dyn Evaluate, request: &Request) -> Option<u64> {
    let registered = match amount {
        Amount::Subject(name) => policies.registered_number(&request.subject, name),
        Amount::Resource(name) => policies.registered_number(&request.resource, name),
        Amount::Context(_) | Amount::Action(_) => None,
    };
    let value = match (registered, amount.in_request(request)) {
        (Some(registered), _) => registered?,
        (None, Some(View::Int(value))) => value,
        (None, _) => return None,
    };
    u64::try_from(value).ok()
}
