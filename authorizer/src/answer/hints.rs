//! What would change a denial: whose approvals, which evidence. The epoch is public, so are its names: they reveal nothing.

use verifier::approval::core_digest;
use verifier::decision::Condition;
use verifier::request::Request;

use super::{push_b64, push_hex, push_list, push_number};
use crate::engine::{Code, Standing, Wanted};
use crate::proposal::Item;

/// Where nothing but approvals is missing in condition 9: whose would change that, and what they sign. The epoch is public, so are its rules.
pub(super) fn approval(out: &mut String, item: &Item) {
    if item.verdict.standing(Condition::Permissions) != Standing::Fail(Code::ApprovalMissing) {
        return;
    }
    let (decision, core) = match item.verdict.demands.retry {
        Some(retry) => (retry.decision, Some(retry.core)),
        // What was evaluated is not kept; the committed bytes say the same.
        None => (
            item.permit,
            Request::parse(&item.committed).ok().and_then(|asked| core_digest(&item.request_salt, &asked)),
        ),
    };
    let Some(core) = core else { return };
    out.push_str(r#","approval":{"decision":""#);
    push_hex(out, &decision.0);
    out.push_str(r#"","core":""#);
    push_b64(out, &core.0);
    out.push_str(r#"","rules":["#);
    for (n, rule) in item.verdict.demands.approvals.iter().enumerate() {
        out.push_str(if n == 0 { r#"{"count":"# } else { r#",{"count":"# });
        push_number(out, rule.count as u64);
        out.push_str(r#","approvers":["#);
        push_list(out, rule.approvers.iter().map(|approver| approver.key.name()));
        out.push_str("]}");
    }
    out.push_str("]}");
}

/// The evidence that would change a denial: by name, for the epoch is public.
pub(super) fn evidence(out: &mut String, wanted: &Wanted) {
    if wanted.is_nothing() {
        return;
    }
    let all = [
        ("assertions", &wanted.assertions),
        ("attestation", &wanted.attestation),
        ("reference_values", &wanted.reference_values),
    ];
    out.push_str(r#","evidence":{"#);
    for (n, (name, names)) in all.into_iter().filter(|(_, names)| !names.is_empty()).enumerate() {
        out.push_str(if n == 0 { "\"" } else { ",\"" });
        out.push_str(name);
        out.push_str("\":[");
        push_list(out, names.iter().map(String::as_str));
        out.push(']');
    }
    out.push('}');
}
