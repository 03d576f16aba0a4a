//! A decision as it stands in the log, held against what plain Cedar's worker would have found: arithmetic only.
//!
//! What the sequencer lowered at the decision's place is not known here, so a condition may have failed in the log and not here, by a code
//! that only the sequencer gives; never the other way round. Guarantees: a decision that was allowed and that plain Cedar denies differs,
//! whichever condition it is; so do other policies, other policies in error, or another amount counted.

use verifier::decision::{Condition, Decision, Detail, Named, Outcome};

use crate::engine::{Code, Verdict};

/// In what a recorded decision differs from what plain Cedar finds; nothing if it does not.
pub(super) fn differences(recorded: &Decision, detail: &Detail, plain: &Verdict) -> Vec<&'static str> {
    let named = |names: &[String]| (!names.is_empty()).then(|| Named::new(names));
    let mut differ = Vec::new();
    if recorded.outcome == Outcome::Allow && !plain.stands() {
        differ.push("outcome");
    }
    if detail.policies != named(&plain.policies) {
        differ.push("policies");
    }
    if detail.errors != named(&plain.errors) {
        differ.push("errors");
    }
    if !detail.counted.iter().all(|counted| plain.counted.contains(counted)) {
        differ.push("counted");
    }
    for condition in Condition::ALL {
        let said = detail.codes.iter().find(|(of, _)| *of == condition).map(|(_, code)| code.as_str());
        let found = plain.standing(condition);
        let same = match (said, found.code()) {
            // The operator's own doubt stands before everything else of its condition.
            (Some(code), _) if code == Code::Clock.name() => true,
            (Some(said), Some(found)) => said == found.name(),
            (Some(said), None) => !by_worker(condition, said),
            (None, Some(_)) => false,
            (None, None) => recorded.classes.of(condition) == found.class(),
        };
        if !same {
            differ.push(condition.name());
        }
    }
    differ
}

/// Whether a code is one that a worker alone gives, by what its engine says.
fn by_worker(condition: Condition, code: &str) -> bool {
    match condition {
        Condition::Policy => code != Code::PolicyRevoked.name(),
        Condition::Operational => [Code::Invalid, Code::UnregisteredSubject, Code::LeaseRequired, Code::Unlimited]
            .iter()
            .any(|of| of.name() == code),
        _ => false,
    }
}
