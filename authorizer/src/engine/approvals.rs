//! Condition 9 as far as a worker can see it: what must be approved, and which denied decision a request tries again.
//!
//! The salt of that decision's request is looked up by the worker and stands in the detail; it proves itself, since only the salt and the
//! core that were signed give the digest that approvers signed. Pure. Does not: count approvals; `settle` does.

use verifier::approval::core_digest;
use verifier::decision::PermitId;
use verifier::hash::Hash;
use verifier::request::Request;

use super::codes::Code;
use super::decide::Verdict;
use super::trust::Trust;

/// The denied decision that a request tries again, and what was asked there if it is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The decision.
    pub decision: PermitId,
    /// The salt of its request.
    pub salt: [u8; 16],
    /// The digest of this request's core under that salt.
    pub core: Hash,
}

pub(super) fn approvals(verdict: &mut Verdict, trust: &Trust, request: &Request, salt: Option<[u8; 16]>) {
    let subject = (request.subject.kind.as_str(), request.subject.id.as_str());
    let rules: Vec<_> = trust.approvals().needed(&request.action.name, subject).cloned().collect();
    if rules.is_empty() {
        return;
    }
    verdict.demands.approvals = rules;
    // The core does not say how often: what was approved was approved once.
    if verdict.uses != 1 {
        verdict.fail(Code::UsesExceeded);
    }
    let salt = salt.filter(|_| request.retry_of.is_some());
    let Some(core) = core_digest(&salt.unwrap_or_default(), request) else {
        return verdict.fail(Code::ApprovalNumber);
    };
    match (request.retry_of, salt) {
        (Some(decision), Some(salt)) => verdict.demands.retry = Some(Retry { decision, salt, core }),
        (Some(_), None) => verdict.fail(Code::ApprovalUnknown),
        (None, _) => verdict.fail(Code::ApprovalMissing),
    }
}
