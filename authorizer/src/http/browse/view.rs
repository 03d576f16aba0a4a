//! Decisions and acts of governance as JSON. Times are RFC 3339 in UTC, hashes standard base64.
//!
//! A view is for people and dashboards; what can be checked is the receipt that each one names. Tokens, signatures and the caller's key are
//! not in it (threat 26).

use ledger::http::habits::Verdicts;
use serde::Serialize;
use verifier::act::{Act, Deed, Mode, Power};
use verifier::decision::{Detail, Named};
use verifier::hash::Hash;
use verifier::note::Note;
use verifier::record::Record;
use verifier::text::rfc3339;

use crate::browse::{ActAt, Found};

/// One decision: its leaf, and what is disclosed of its detail.
#[derive(Serialize)]
pub(super) struct DecisionView<'a> {
    index: u64,
    permit: String,
    outcome: &'static str,
    realm: &'a str,
    recorded_at: String,
    evaluated_at: String,
    epoch: u64,
    governance: u64,
    conditions: Verdicts,
    leaf: Hash,
    /// The commitments.
    request: Hash,
    detail: Hash,
    expires_at: Option<String>,
    uses: Option<u32>,
    lease_ends_at: Option<String>,
    audience: Option<&'a str>,
    shadow: Option<ShadowView>,
    /// `committed`, `erased` or `missing`, where the detail is not shown.
    withheld: Option<&'static str>,
    #[serde(flatten)]
    disclosed: Option<DetailView<'a>>,
    /// Where its receipt is.
    proof: String,
}

#[derive(Serialize)]
struct ShadowView {
    epoch: u64,
    outcome: &'static str,
}

#[derive(Serialize)]
struct DetailView<'a> {
    subject: EntityView<'a>,
    action: &'a str,
    resource: EntityView<'a>,
    reasons: Vec<ReasonView<'a>>,
    policies: Option<NamedView<'a>>,
    errors: Option<NamedView<'a>>,
    parent: Option<String>,
    retry_of: Option<String>,
    scopes: &'a [String],
    delegates: &'a [String],
}

#[derive(Serialize)]
struct EntityView<'a> {
    r#type: &'a str,
    id: &'a str,
}

#[derive(Serialize)]
struct ReasonView<'a> {
    condition: &'static str,
    code: &'a str,
}

/// The first names, and how many there are in all.
#[derive(Serialize)]
struct NamedView<'a> {
    names: &'a [String],
    count: u64,
}

impl<'a> DecisionView<'a> {
    pub(super) fn new(found: &'a Found) -> Self {
        let Found { node, leaf } = found;
        let decision = &node.decision;
        Self {
            index: node.index,
            permit: decision.permit.to_string(),
            outcome: decision.outcome.name(),
            realm: &decision.realm,
            recorded_at: rfc3339(decision.recorded_at),
            evaluated_at: rfc3339(decision.evaluated_at),
            epoch: decision.epoch,
            governance: decision.governance,
            conditions: Verdicts(decision.classes),
            leaf: *leaf,
            request: decision.request,
            detail: decision.detail,
            expires_at: decision.grant.map(|grant| rfc3339(grant.expires_at)),
            uses: decision.grant.map(|grant| grant.uses),
            lease_ends_at: decision.grant.and_then(|grant| grant.lease_ends_at).map(rfc3339),
            audience: decision.audience.as_deref(),
            shadow: decision.shadow.map(|shadow| ShadowView { epoch: shadow.epoch, outcome: shadow.outcome.name() }),
            withheld: node.detail.as_ref().err().map(|why| why.name()),
            disclosed: node.detail.as_ref().ok().map(DetailView::new),
            proof: format!("/v1/receipts/{}", node.index),
        }
    }
}

impl<'a> DetailView<'a> {
    fn new(detail: &'a Detail) -> Self {
        let entity = |(kind, id): &'a (String, String)| EntityView { r#type: kind, id };
        let named = |named: &'a Named| NamedView { names: &named.shown, count: named.count };
        let reason = |(condition, code): &'a (verifier::decision::Condition, String)| ReasonView {
            condition: condition.name(),
            code,
        };
        Self {
            subject: entity(&detail.subject),
            action: &detail.action,
            resource: entity(&detail.resource),
            reasons: detail.codes.iter().map(reason).collect(),
            policies: detail.policies.as_ref().map(named),
            errors: detail.errors.as_ref().map(named),
            parent: detail.parent.map(|parent| parent.to_string()),
            retry_of: detail.retry_of.map(|of| of.to_string()),
            scopes: &detail.scopes,
            delegates: &detail.delegates,
        }
    }
}

/// One act of governance.
#[derive(Serialize)]
pub(super) struct ActView<'a> {
    index: u64,
    /// The governance version that it made.
    governance: u64,
    recorded_at: String,
    /// `epoch`, `shadow-epoch`, `switch`, `revocation`, `freeze`, or `system-switch`, which is the service's own.
    act: &'static str,
    /// What it is about: an epoch's number, a switch's target, what is revoked, the successor's key.
    about: Option<String>,
    /// `halt` or `run`, of a switch.
    power: Option<&'static str>,
    reason: Option<String>,
    /// The signed note, verbatim.
    note: Option<&'a str>,
    /// Where its receipt is.
    proof: String,
}

impl<'a> ActView<'a> {
    pub(super) fn new(at: &'a ActAt) -> Self {
        let note = match &at.record {
            Record::Epoch { note, .. }
            | Record::Revocation { note, .. }
            | Record::Switch { note, .. }
            | Record::Freeze { note, .. } => Some(note.as_str()),
            _ => None,
        };
        let cause = match &at.record {
            Record::SystemSwitch { cause, .. } => Some(cause.clone()),
            _ => None,
        };
        let deed = note.and_then(|note| Act::parse(&Note::parse(note).ok()?.text).ok()).map(|act| act.deed);
        let (act, about, power, reason) = told(deed).unwrap_or((at.record.kind_name(), None, None, cause));
        Self {
            index: at.index,
            governance: at.governance,
            recorded_at: rfc3339(at.record.recorded_at()),
            act,
            about,
            power,
            reason,
            note,
            proof: format!("/v1/receipts/{}", at.index),
        }
    }
}

type Told = (&'static str, Option<String>, Option<&'static str>, Option<String>);

/// What an act says: its name, what it is about, which way, and why.
fn told(deed: Option<Deed>) -> Option<Told> {
    Some(match deed? {
        Deed::Epoch { number, content: _, mode } => {
            (if mode == Mode::Live { "epoch" } else { "shadow-epoch" }, Some(number.to_string()), None, None)
        }
        Deed::Switch { target, power, reason } => {
            let power = if power == Power::Halt { "halt" } else { "run" };
            ("switch", Some(target.text()), Some(power), Some(reason))
        }
        Deed::Revocation { what, reason } => ("revocation", Some(what.text()), None, Some(reason)),
        Deed::Freeze { successor, reason } => ("freeze", successor.map(|key| key.to_string()), None, Some(reason)),
        Deed::Erasure { .. } => return None,
    })
}
