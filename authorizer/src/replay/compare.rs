//! A decision that was computed again, held against what is recorded: every byte of its leaf and of its detail must follow.

use sha2::{Digest, Sha256};
use verifier::decision::{Condition, Decision, Detail, Outcome, Shadow, commitment};
use verifier::hash::Hash;
use verifier::record::Record;

use super::{Came, Evaluated, Task};
use crate::fold::Fold;
use crate::settle;

/// Holds what came out against what is recorded.
pub(super) fn compare(task: &Task<'_>, again: Evaluated, fold: &Fold) -> Came {
    let differs = |what: &str| Came::Differs(what.to_owned());
    let Evaluated { request, detail, verdict, shadow, doubt, mismatch } = again;
    let (Record::Decision(recorded), Some(private)) = (&task.record, &task.stored.private) else {
        return differs("it is no decision");
    };
    let recorded = &**recorded;
    let expected =
        settle::detail(&request, &verdict, &detail.key_id, detail.idempotency, detail.authzen, detail.signed.clone());
    if request.idempotency_key.is_some() != detail.idempotency.is_some() {
        return differs("its detail has an idempotency key and its request has none, or the other way round");
    }
    if expected != detail {
        return Came::Differs(detail_difference(&detail, &expected));
    }
    if verdict.stands() != (recorded.outcome == Outcome::Allow) {
        return Came::Differs(format!("it says {:?}, its conditions come out otherwise", recorded.outcome));
    }
    let expected = Decision {
        governance: fold.governance,
        epoch: fold.epoch,
        classes: verdict.classes(),
        request: commitment(&private.request_salt, &private.request),
        detail: commitment(&private.detail_salt, &expected.encode()),
        grant: verdict.stands().then(|| settle::grant(&verdict, recorded.recorded_at)),
        audience: request.audience.clone(),
        shadow: fold.candidate.zip(shadow).map(|(epoch, verdict)| Shadow::of(epoch, verdict.classes())),
        ..recorded.clone()
    };
    if let Some(what) = leaf_difference(recorded, &expected) {
        return Came::Differs(what);
    }
    if Record::Decision(Box::new(expected)).encode() != task.stored.leaf {
        return differs("its leaf is not the one encoding of what it says");
    }
    // Whoever holds a body of one request sees that it is what was signed; the digest of any other body is the operator's word.
    let digest = Hash(Sha256::digest(&private.request).into());
    let unseen = detail.signed.as_ref().is_some_and(|signed| signed.signature.digest != digest);
    Came::Same(match (doubt.is_some(), unseen, mismatch) {
        (false, false, false) => &["api_key"],
        (true, false, false) => &["api_key", "clock"],
        (false, true, false) => &["api_key", "body_digest"],
        (true, true, false) => &["api_key", "body_digest", "clock"],
        (false, false, true) => &["api_key", "engine_mismatch"],
        (true, false, true) => &["api_key", "clock", "engine_mismatch"],
        (false, true, true) => &["api_key", "body_digest", "engine_mismatch"],
        (true, true, true) => &["api_key", "body_digest", "clock", "engine_mismatch"],
    })
}

fn detail_difference(recorded: &Detail, expected: &Detail) -> String {
    let codes = |detail: &Detail| {
        let each =
            detail.codes.iter().map(|(condition, code): &(Condition, String)| format!("{}:{code}", condition.name()));
        each.collect::<Vec<_>>().join(" ")
    };
    if recorded.codes != expected.codes {
        format!("its detail says `{}`, computed again it is `{}`", codes(recorded), codes(expected))
    } else if recorded.policies != expected.policies {
        let names = |detail: &Detail| detail.policies.as_ref().map_or(String::new(), |named| named.shown.join(" "));
        format!("its detail names the policies `{}`, computed again they are `{}`", names(recorded), names(expected))
    } else if recorded.errors != expected.errors {
        "its detail names other policies that erred".to_owned()
    } else if recorded.counted != expected.counted {
        let all = |detail: &Detail| {
            let each = detail.counted.iter().map(|counted| format!("{}+{}", counted.name, counted.amount));
            each.collect::<Vec<_>>().join(" ")
        };
        format!("its detail counts `{}`, computed again it is `{}`", all(recorded), all(expected))
    } else {
        "its detail names other evidence, or another subject, action, resource, parent, scopes, delegates or retry than its request"
            .to_owned()
    }
}

fn leaf_difference(recorded: &Decision, expected: &Decision) -> Option<String> {
    let unequal = [
        ("governance version", recorded.governance == expected.governance),
        ("epoch", recorded.epoch == expected.epoch),
        ("verdicts", recorded.classes == expected.classes),
        ("expiry or uses", recorded.grant == expected.grant),
        ("audience", recorded.audience == expected.audience),
        ("shadow verdict", recorded.shadow == expected.shadow),
    ];
    let (name, _) = unequal.into_iter().find(|(_, equal)| !equal)?;
    Some(format!("its {name} does not follow"))
}
