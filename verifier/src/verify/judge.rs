//! Evidence of any form to a verdict in words: what the commands print, and what the pages' own verifier must say alike.
//!
//! Guarantees: bytes that are evidence of no form are refused with a code, as everything else is; nothing is taken for another form.

use super::fork::{FORK, ForkEvidence};
use super::{
    BUNDLE_NOT_CHECKED, Compared, FormRefusal, KeptRefusal, LogKey, PLACE_NOT_CHECKED, Refusal, Said, climb,
    climb_bundle, climb_cose, climb_range, compare, verify_consistency_receipt, verify_head,
};
use crate::bundle::{Bundle, MAGIC};
use crate::cose::{Consistency, CoseReceipt, Inclusion};
use crate::policy::Policy;
use crate::proof::root_of_prefix;
use crate::receipt::{COSE, Form, HEADER, RangeReceipt, Receipt};

/// What the reader gives beside the evidence.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beside<'a> {
    /// Bytes of the leaves that the evidence does not carry, in order.
    pub leaves: &'a [Vec<u8>],
    /// A head that the reader kept, a signed note: what a receipt of consistency continues; else compared as far as the evidence goes.
    pub kept: Option<&'a str>,
}

/// Judges a receipt (tlog-proof text, JSON or COSE), a range receipt, a checkpoint, an evidence bundle or evidence of a fork under the keys that the reader trusts.
#[must_use]
pub fn judge(evidence: &[u8], beside: Beside<'_>, keys: &[LogKey]) -> Said {
    if evidence.starts_with(&MAGIC) {
        return bundle(evidence, beside, keys);
    }
    if evidence.starts_with(FORK.as_bytes()) {
        return fork(evidence, keys);
    }
    if let Some(note) = as_head(evidence) {
        return head(note, beside, keys);
    }
    match Form::read(evidence) {
        Ok(Form::Leaf(receipt)) => leaf(&receipt, beside, keys),
        Ok(Form::Range(receipt)) => range(&receipt, beside, keys),
        Ok(Form::Cose(CoseReceipt::Inclusion(receipt))) => inclusion(&receipt, beside, keys),
        Ok(Form::Cose(CoseReceipt::Consistency(receipt))) => consistency(&receipt, beside, keys),
        Err(error) => Said::refused(&FormRefusal::Unread(error), &[]),
    }
}

/// As [`judge`], under a policy: its logs are believed beside `keys`, and its quorum of witnesses must have cosigned the head that the
/// evidence rests on.
#[must_use]
pub fn judge_under(policy: &Policy, evidence: &[u8], beside: Beside<'_>, keys: &[LogKey]) -> Said {
    let logs = policy.logs().iter().map(|log| LogKey::unlimited(log.key.clone()));
    let keys: Vec<LogKey> = keys.iter().cloned().chain(logs).collect();
    let said = judge(evidence, beside, &keys);
    if said.code().is_some() {
        return said;
    }
    match head_below(evidence).map(|note| policy.witnessing(&note)) {
        Some(Ok(witnessing)) => said.witnessed(&witnessing, policy.quorum()),
        Some(Err(error)) => said.badly_witnessed(error),
        None => said.witnessed(&policy.unwitnessed(), policy.quorum()),
    }
}

/// The signed note that evidence rests on; none where it carries no head that anybody could have cosigned.
fn head_below(evidence: &[u8]) -> Option<String> {
    if evidence.starts_with(&MAGIC) {
        return Bundle::decode(evidence).ok().map(|bundle| bundle.checkpoint.to_owned());
    }
    if let Some(note) = as_head(evidence) {
        return Some(note.to_owned());
    }
    match Form::read(evidence) {
        Ok(Form::Leaf(receipt)) => Some(receipt.checkpoint),
        Ok(Form::Range(receipt)) => Some(receipt.checkpoint),
        Ok(Form::Cose(_)) | Err(_) => None,
    }
}

fn fork(evidence: &[u8], keys: &[LogKey]) -> Said {
    let mut held = Vec::new();
    let verdict = ForkEvidence::read(evidence).and_then(|evidence| evidence.climb(keys, &mut held));
    Said::fork(&held, &verdict)
}

/// A text that does not begin as any receipt does and has signature lines behind an empty one is a head.
pub(super) fn as_head(evidence: &[u8]) -> Option<&str> {
    let text = str::from_utf8(evidence).ok()?;
    let other = text.starts_with(HEADER) || matches!(evidence.trim_ascii_start().first(), Some(&(b'{' | COSE)));
    (!other && text.contains("\n\n\u{2014} ")).then_some(text)
}

fn leaf(receipt: &Receipt, beside: Beside<'_>, keys: &[LogKey]) -> Said {
    let given = match one_leaf(beside) {
        Ok(given) => given,
        Err(refusal) => return Said::refused(&refusal, &[]),
    };
    let climb = climb(receipt, given, keys);
    let compared = climb.verdict.as_ref().ok().zip(beside.kept).map(|(verified, kept)| {
        let (leaf, index, head) = (verified.leaf(), verified.index(), verified.head());
        // The path was checked: the prefix is proved below the same root.
        let prefix = root_of_prefix(leaf, index, head.size, &receipt.path).ok();
        compare(head, prefix.map(|root| (index + 1, root)), kept, keys)
    });
    held_against(Said::leaf(&climb), compared)
}

fn range(receipt: &RangeReceipt, beside: Beside<'_>, keys: &[LogKey]) -> Said {
    let leaves: Vec<&[u8]> = beside.leaves.iter().map(Vec::as_slice).collect();
    let climb = climb_range(receipt, &leaves, keys);
    let compared =
        climb.verdict.as_ref().ok().zip(beside.kept).map(|(verified, kept)| compare(verified.head(), None, kept, keys));
    held_against(Said::range(&climb), compared)
}

fn inclusion(receipt: &Inclusion, beside: Beside<'_>, keys: &[LogKey]) -> Said {
    match one_leaf(beside) {
        Ok(Some(leaf)) => Said::cose(&climb_cose(receipt, leaf, keys), receipt, beside.kept.is_some()),
        Ok(None) => Said::refused(&FormRefusal::Ladder(Refusal::NoLeaf), &[PLACE_NOT_CHECKED]),
        Err(refusal) => Said::refused(&refusal, &[PLACE_NOT_CHECKED]),
    }
}

fn consistency(receipt: &Consistency, beside: Beside<'_>, keys: &[LogKey]) -> Said {
    let verdict = beside.kept.ok_or(FormRefusal::NoHead);
    Said::growth(&verdict.and_then(|older| verify_consistency_receipt(receipt, older, keys)))
}

fn head(note: &str, beside: Beside<'_>, keys: &[LogKey]) -> Said {
    let verdict = verify_head(note, keys);
    let compared =
        verdict.as_ref().ok().zip(beside.kept).map(|(verified, kept)| compare(verified.checkpoint(), None, kept, keys));
    held_against(Said::head(&verdict), compared)
}

fn bundle(evidence: &[u8], beside: Beside<'_>, keys: &[LogKey]) -> Said {
    if !beside.leaves.is_empty() {
        let given = beside.leaves.len() as u64;
        return Said::refused(&FormRefusal::Leaves { covers: 0, given }, &BUNDLE_NOT_CHECKED);
    }
    let climb = climb_bundle(evidence, keys);
    let compared =
        climb.verdict.as_ref().ok().zip(beside.kept).map(|(verified, kept)| compare(verified.head(), None, kept, keys));
    held_against(Said::bundle(&climb), compared)
}

fn held_against(said: Said, compared: Option<Result<Compared, KeptRefusal>>) -> Said {
    match compared {
        Some(compared) => said.compared(compared),
        None => said,
    }
}

fn one_leaf(beside: Beside<'_>) -> Result<Option<&[u8]>, FormRefusal> {
    match beside.leaves {
        [] => Ok(None),
        [leaf] => Ok(Some(leaf)),
        more => Err(FormRefusal::Leaves { covers: 1, given: more.len() as u64 }),
    }
}
