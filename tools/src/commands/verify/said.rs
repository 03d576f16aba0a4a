//! What `interlock verify` says about a receipt of any form: the rungs that held, the verdict, what was not checked.

use serde_json::{Value, json};
use verifier::cose::Inclusion;
use verifier::decision::Outcome;
use verifier::record::Record;
use verifier::text::{hex, rfc3339};
use verifier::verify::{
    Climb, FormRefusal, NOT_CHECKED, PLACE_NOT_CHECKED, Refusal, Rung, Verified, VerifiedCose, VerifiedGrowth,
    VerifiedRange,
};

use crate::exit::Exit;

/// A verdict in words.
#[derive(Debug)]
pub struct Said {
    held: Vec<String>,
    verdict: Result<Good, Bad>,
    not_checked: Vec<&'static str>,
}

/// What was verified.
#[derive(Debug)]
struct Good {
    what: String,
    place: String,
    json: Value,
}

/// Why something was not.
#[derive(Debug)]
struct Bad {
    rung: &'static str,
    code: &'static str,
    reason: String,
    exit: Exit,
}

impl Said {
    /// About a receipt of one leaf.
    pub fn leaf(climb: &Climb) -> Self {
        let verdict = climb.verdict.as_ref().map(Good::leaf).map_err(Bad::ladder);
        Self::new(&climb.held, verdict, &[])
    }

    /// About a range receipt.
    pub fn range(climb: &Climb<VerifiedRange, FormRefusal>) -> Self {
        Self::new(&climb.held, climb.verdict.as_ref().map(Good::range).map_err(Bad::form), &[])
    }

    /// About a COSE receipt of inclusion.
    pub fn cose(climb: &Climb<VerifiedCose, FormRefusal>, receipt: &Inclusion) -> Self {
        let verdict = climb.verdict.as_ref().map(|verified| Good::cose(verified, receipt)).map_err(Bad::form);
        Self::new(&climb.held, verdict, &[PLACE_NOT_CHECKED])
    }

    /// About a COSE receipt of consistency.
    pub fn growth(verdict: &Result<VerifiedGrowth, FormRefusal>) -> Self {
        let held = match verdict {
            Ok(_) => vec![
                "consistent: the older head's tree is the beginning of the newer one".to_owned(),
                Rung::Signed.to_string(),
            ],
            Err(_) => Vec::new(),
        };
        Self {
            held,
            verdict: verdict.as_ref().map(Good::growth).map_err(Bad::form),
            not_checked: vec![PLACE_NOT_CHECKED, "records: none was looked at"],
        }
    }

    fn new(held: &[Rung], verdict: Result<Good, Bad>, beside: &[&'static str]) -> Self {
        let not_checked = beside.iter().copied().chain(NOT_CHECKED).collect();
        Self { held: held.iter().map(ToString::to_string).collect(), verdict, not_checked }
    }

    /// The exit code that goes with it.
    pub fn exit(&self) -> Exit {
        self.verdict.as_ref().map_or_else(|bad| bad.exit, |_| Exit::Ok)
    }

    /// The tick list for people.
    pub fn text(&self, name: &str) -> String {
        let mut out = format!("{name}\n");
        for rung in &self.held {
            out.push_str(&format!("  ok    {rung}\n"));
        }
        match &self.verdict {
            Ok(good) => out.push_str(&format!("verified: {}\n  {}\n", good.what, good.place)),
            Err(bad) => {
                out.push_str(&format!("  FAIL  {}\nnot verified: {} ({})\n", bad.rung, bad.reason, bad.code));
            }
        }
        self.not_checked.iter().for_each(|what| out.push_str(&format!("  not checked: {what}\n")));
        out
    }

    /// The same for programs.
    pub fn json(&self, name: &str) -> Value {
        let verdict = match &self.verdict {
            Ok(good) => good.json.clone(),
            Err(bad) => json!({"verified": false, "code": bad.code, "reason": bad.reason}),
        };
        json!({
            "schema": "interlock/verdict/v1", "file": name, "held": self.held, "verdict": verdict,
            "not_checked": self.not_checked,
        })
    }
}

impl Good {
    fn leaf(verified: &Verified) -> Self {
        let (head, record) = (verified.head(), verified.record());
        let leaf = hex(&verified.leaf().0);
        Self {
            what: in_words(record),
            place: format!("entry {} of {} in {}, leaf {leaf}", verified.index(), head.size, head.origin),
            json: json!({
                "verified": true, "kind": record.kind_name(), "index": verified.index(), "size": head.size,
                "origin": head.origin, "leaf": leaf, "recorded_at": rfc3339(record.recorded_at()),
                "decision": decision_json(record),
            }),
        }
    }

    fn range(verified: &VerifiedRange) -> Self {
        let (first, head, records) = (verified.first(), verified.head(), verified.records());
        let end = first.saturating_add(records.len() as u64);
        Self {
            what: format!("{} records", records.len()),
            place: format!("entries {first} to {} of {} in {}", end.saturating_sub(1), head.size, head.origin),
            json: json!({
                "verified": true, "first": first, "count": records.len(), "size": head.size, "origin": head.origin,
                "records": records.iter().map(|record| json!({
                    "kind": record.kind_name(), "recorded_at": rfc3339(record.recorded_at()),
                    "decision": decision_json(record),
                })).collect::<Vec<_>>(),
            }),
        }
    }

    fn cose(verified: &VerifiedCose, receipt: &Inclusion) -> Self {
        let (record, origin) = (verified.record(), verified.key().key.name());
        let leaf = hex(&verified.leaf().0);
        Self {
            what: in_words(record),
            place: format!("in the tree of {origin} with root {}, leaf {leaf}", verified.root()),
            json: json!({
                "verified": true, "kind": record.kind_name(), "origin": origin, "root": verified.root(), "leaf": leaf,
                "claimed_index": receipt.index, "claimed_size": receipt.size,
                "recorded_at": rfc3339(record.recorded_at()), "decision": decision_json(record),
            }),
        }
    }

    fn growth(verified: &VerifiedGrowth) -> Self {
        let (from, to, root) = (verified.from(), verified.to(), verified.root());
        Self {
            what: format!("{} grew from size {} and nothing below it changed", from.origin, from.size),
            place: format!("to the signed root {root}, of size {to} by the receipt's word"),
            json: json!({
                "verified": true, "origin": from.origin, "from": from.size, "from_root": from.root, "claimed_to": to,
                "to_root": root,
            }),
        }
    }
}

impl Bad {
    fn ladder(refusal: &Refusal) -> Self {
        let rung = match refusal {
            Refusal::NoLeaf | Refusal::Record(_) => "decoded",
            Refusal::Inclusion(_) => "included",
            Refusal::Head(_) | Refusal::UnknownKey | Refusal::RetiredKey => "signed",
        };
        let exit = Exit::from_code(refusal.exit_code());
        Self { rung, code: refusal.code(), reason: refusal.to_string(), exit }
    }

    fn form(refusal: &FormRefusal) -> Self {
        let rung = match refusal {
            FormRefusal::Ladder(refusal) => return Self::ladder(refusal),
            FormRefusal::Leaves { .. } => "decoded",
            FormRefusal::Cose(_) => "included and signed",
            FormRefusal::OtherSize { .. } => "consistent",
        };
        let exit = Exit::from_code(refusal.exit_code());
        Self { rung, code: refusal.code(), reason: refusal.to_string(), exit }
    }
}

fn in_words(record: &Record) -> String {
    match record {
        Record::Decision(decision) => {
            let what = match (decision.outcome, decision.grant) {
                (Outcome::Allow, Some(grant)) => {
                    format!("permit {} allows until {}", decision.permit, rfc3339(grant.expires_at))
                }
                (Outcome::Allow | Outcome::Deny, _) => format!("decision {} denies", decision.permit),
            };
            let tried = decision.shadow.map_or(String::new(), |shadow| {
                let would = if shadow.outcome == Outcome::Allow { "would allow" } else { "would deny" };
                format!(" (in shadow mode: the candidate epoch {} {would})", shadow.epoch)
            });
            let (realm, epoch) = (&decision.realm, decision.epoch);
            format!("{what}; realm {realm}, epoch {epoch}{tried}, recorded {}", rfc3339(decision.recorded_at))
        }
        record => format!("{} record of {}", record.kind_name(), rfc3339(record.recorded_at())),
    }
}

fn decision_json(record: &Record) -> Value {
    let Record::Decision(decision) = record else { return Value::Null };
    json!({
        "permit": decision.permit.to_string(),
        "allow": decision.outcome == Outcome::Allow,
        "realm": decision.realm,
        "epoch": decision.epoch,
        "shadow": decision.shadow.map(|shadow| json!({
            "epoch": shadow.epoch, "allow": shadow.outcome == Outcome::Allow,
        })),
        "expires_at": decision.grant.map(|grant| rfc3339(grant.expires_at)),
    })
}
