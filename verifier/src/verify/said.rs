//! What verifying commands say about evidence of any form: the rungs that held, the verdict, what was not checked.
//!
//! One wording for the commands, the pages and whoever reads `--json`. It decides nothing.

use serde_json::{Value, json};

use super::fork::{Fork, ForkRefusal};
use super::{
    BUNDLE_NOT_CHECKED, Climb, Compared, FormRefusal, KeptRefusal, NOBODY_ASKED, NOT_CHECKED, NOTHING_COMPARED,
    OTHERS_NOT_ASKED, PLACE_NOT_CHECKED, Refusal, Rung, Verified, VerifiedBundle, VerifiedCose, VerifiedGrowth,
    VerifiedRange,
};
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::cose::Inclusion;
use crate::decision::Outcome;
use crate::note::NoteError;
use crate::policy::Witnessing;
use crate::record::Record;
use crate::text::{hex, rfc3339};

/// Names the JSON form. What is added to it keeps the name; what changes its meaning takes another.
pub const SCHEMA: &str = "interlock/verdict/v1";

/// Said of evidence about heads alone.
const NO_RECORDS: &str = "records: none was looked at";
/// Said of a kept head beside a COSE receipt.
const NO_SIZE: &str = "consistency: a COSE receipt signs no size at which your head could be compared";

/// A verdict in words.
#[derive(Debug)]
pub struct Said {
    held: Vec<Rung>,
    verdict: Result<Good, Bad>,
    beside: Vec<String>,
    /// Each witness of the reader's policy, and when it cosigned; none where no policy was given.
    witnesses: Option<Vec<(String, Option<String>)>>,
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
    exit: u8,
}

impl Said {
    /// About a receipt of one leaf.
    #[must_use]
    pub fn leaf(climb: &Climb) -> Self {
        Self::new(&climb.held, climb.verdict.as_ref().map(Good::leaf).map_err(Bad::ladder), &[])
    }

    /// About a range receipt.
    #[must_use]
    pub fn range(climb: &Climb<VerifiedRange, FormRefusal>) -> Self {
        Self::new(&climb.held, climb.verdict.as_ref().map(Good::range).map_err(Bad::form), &[])
    }

    /// About a COSE receipt of inclusion; `kept` if the reader gave a head to compare, which this form cannot be.
    #[must_use]
    pub fn cose(climb: &Climb<VerifiedCose, FormRefusal>, receipt: &Inclusion, kept: bool) -> Self {
        let verdict = climb.verdict.as_ref().map(|verified| Good::cose(verified, receipt)).map_err(Bad::form);
        let beside: &[&str] = if kept { &[PLACE_NOT_CHECKED, NO_SIZE] } else { &[PLACE_NOT_CHECKED] };
        Self::new(&climb.held, verdict, beside)
    }

    /// About a COSE receipt of consistency.
    #[must_use]
    pub fn growth(verdict: &Result<VerifiedGrowth, FormRefusal>) -> Self {
        let held: &[Rung] = if verdict.is_ok() { &[Rung::Signed, Rung::Consistent] } else { &[] };
        Self::new(held, verdict.as_ref().map(Good::growth).map_err(Bad::form), &[PLACE_NOT_CHECKED, NO_RECORDS])
    }

    /// About an evidence bundle.
    #[must_use]
    pub fn bundle(climb: &Climb<VerifiedBundle<'_>, FormRefusal>) -> Self {
        let verdict = climb.verdict.as_ref().map(Good::bundle).map_err(Bad::form);
        Self::new(&climb.held, verdict, &BUNDLE_NOT_CHECKED)
    }

    /// About a head by itself.
    #[must_use]
    pub fn head(verdict: &Result<SignedCheckpoint, Refusal>) -> Self {
        let held: &[Rung] = if verdict.is_ok() { &[Rung::Signed] } else { &[] };
        let verdict = verdict.as_ref().map(|head| Good::head(head.checkpoint())).map_err(Bad::ladder);
        Self::new(held, verdict, &[NO_RECORDS])
    }

    /// About evidence of a fork: it is never good news.
    #[must_use]
    pub fn fork(held: &[Rung], verdict: &Result<Fork, ForkRefusal>) -> Self {
        let bad = match verdict {
            Ok(fork) => Bad { rung: "consistent", code: "fork", reason: fork.words(), exit: 7 },
            Err(refusal) => Bad::fork(refusal),
        };
        Self::new(held, Err(bad), &[NO_RECORDS])
    }

    /// About evidence that was not looked at further.
    #[must_use]
    pub fn refused(refusal: &FormRefusal, beside: &[&str]) -> Self {
        Self::new(&[], Err(Bad::form(refusal)), beside)
    }

    /// The same, and how it stands to a head that the reader kept.
    #[must_use]
    pub fn compared(mut self, compared: Result<Compared, KeptRefusal>) -> Self {
        match compared {
            Ok(Compared::Consistent) => self.held.push(Rung::Consistent),
            Ok(Compared::NotCarried { kept, head }) => self.beside.push(format!(
                "consistency: the evidence has no proof between your head of size {kept} and its own of size {head}"
            )),
            Err(refusal) => self.verdict = Err(Bad::form(&FormRefusal::Kept(refusal))),
        }
        self
    }

    /// The same, and which witnesses of the reader's policy cosigned its head; `quorum` is the name of who had to.
    #[must_use]
    pub fn witnessed(mut self, witnessing: &Witnessing, quorum: Option<&str>) -> Self {
        let time = |seconds: u64| rfc3339(seconds.saturating_mul(1000));
        let each = witnessing.each.iter().map(|(name, seen)| (name.clone(), seen.map(time)));
        self.witnesses = Some(each.collect());
        if let Some(quorum) = quorum {
            if witnessing.met {
                self.held.push(Rung::Witnessed);
            } else {
                let reason =
                    format!("the witnesses that cosigned the head are not the quorum `{quorum}` of your policy");
                self.verdict = Err(Bad { rung: "witnessed", code: "no_quorum", reason, exit: 6 });
            }
        }
        self
    }

    /// The same, whose head has a line under a witness's name and id that does not verify.
    #[must_use]
    pub fn badly_witnessed(mut self, error: NoteError) -> Self {
        self.verdict = Err(Bad { rung: "witnessed", code: "bad_head", reason: format!("head: {error}"), exit: 1 });
        self
    }

    fn new(held: &[Rung], verdict: Result<Good, Bad>, beside: &[&str]) -> Self {
        let beside = beside.iter().map(ToString::to_string).collect();
        Self { held: held.to_vec(), verdict, beside, witnesses: None }
    }

    /// The code of the refusal; none if it is verified.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        self.verdict.as_ref().err().map(|bad| bad.code)
    }

    /// The exit code of verifying commands: 0 verified, 1 invalid, 3 undecidable, 5 not anchored in a trusted key, 6 quorum of witnesses not
    /// met, 7 fork.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.verdict.as_ref().map_or_else(|bad| bad.exit, |_| 0)
    }

    /// The tick list for people.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        let mut out = format!("{name}\n");
        for rung in &self.held {
            out.push_str(&format!("  ok    {rung}\n"));
        }
        for (name, seen) in self.witnesses.iter().flatten() {
            out.push_str(&match seen {
                Some(time) => format!("  ok    witness {name}: cosigned at {time}\n"),
                None => format!("  --    witness {name}: no cosignature\n"),
            });
        }
        match &self.verdict {
            Ok(good) => out.push_str(&format!("verified: {}\n  {}\n", good.what, good.place)),
            Err(bad) => {
                out.push_str(&format!("  FAIL  {}\nnot verified: {} ({})\n", bad.rung, bad.reason, bad.code));
            }
        }
        self.not_checked().for_each(|what| out.push_str(&format!("  not checked: {what}\n")));
        out
    }

    /// The same for programs: the schema is [`SCHEMA`].
    #[must_use]
    pub fn json(&self, name: &str) -> Value {
        let verdict = match &self.verdict {
            Ok(good) => good.json.clone(),
            Err(bad) => json!({"verified": false, "code": bad.code, "rung": bad.rung, "reason": bad.reason}),
        };
        let mut said = json!({
            "schema": SCHEMA, "file": name, "held": self.held.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "verdict": verdict, "exit": self.exit_code(), "not_checked": self.not_checked().collect::<Vec<_>>(),
        });
        if let (Some(witnesses), Some(said)) = (&self.witnesses, said.as_object_mut()) {
            let each = witnesses.iter().map(|(name, seen)| json!({"name": name, "cosigned_at": seen}));
            said.insert("witnesses".to_owned(), each.collect());
        }
        said
    }

    fn not_checked(&self) -> impl Iterator<Item = &str> {
        let split_view = match (self.held.contains(&Rung::Witnessed), self.held.contains(&Rung::Consistent)) {
            (true, _) => OTHERS_NOT_ASKED,
            (false, true) => NOBODY_ASKED,
            (false, false) => NOTHING_COMPARED,
        };
        self.beside.iter().map(String::as_str).chain([split_view]).chain(NOT_CHECKED)
    }
}

/// The exit code for several verdicts: a fork before all else, then what is invalid, then whatever was first to fail.
#[must_use]
pub fn worst(exits: impl IntoIterator<Item = u8>) -> u8 {
    let weight = |exit: u8| match exit {
        7 => 3,
        1 => 2,
        0 => 0,
        _ => 1,
    };
    exits.into_iter().fold(0, |worst, exit| if weight(exit) > weight(worst) { exit } else { worst })
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

    fn bundle(verified: &VerifiedBundle<'_>) -> Self {
        let (head, entries) = (verified.head(), verified.bundle().entries.len());
        let outcomes = |wanted| verified.decisions().filter(|(_, decision, _)| decision.outcome == wanted).count();
        let (allowed, denied) = (outcomes(Outcome::Allow), outcomes(Outcome::Deny));
        let [first, last] =
            [verified.records().next(), verified.records().last()].map(|entry| entry.map_or(0, |(index, _, _)| index));
        Self {
            what: format!(
                "a bundle of {entries} records: {allowed} decisions that allow, {denied} that deny, {} epochs",
                verified.epochs().len()
            ),
            place: format!("entries between {first} and {last} of {} in {}", head.size, head.origin),
            json: json!({
                "verified": true, "entries": entries, "allowed": allowed, "denied": denied, "size": head.size,
                "origin": head.origin, "choice": verified.bundle().manifest.choice,
                "epochs": verified.epochs().keys().collect::<Vec<_>>(),
                "records": verified.records().map(|(index, record, parts)| json!({
                    "index": index, "kind": record.kind_name(), "recorded_at": rfc3339(record.recorded_at()),
                    "decision": decision_json(record), "request": parts.map(|parts| parts.request.state()),
                    "detail": parts.map(|parts| parts.detail.state()),
                })).collect::<Vec<_>>(),
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

    fn head(head: &Checkpoint) -> Self {
        let Checkpoint { origin, size, root } = head;
        Self {
            what: format!("a head of {origin}"),
            place: format!("{size} entries with root {root}"),
            json: json!({"verified": true, "origin": origin, "size": size, "root": root}),
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
        Self { rung, code: refusal.code(), reason: refusal.to_string(), exit: refusal.exit_code() }
    }

    fn fork(refusal: &ForkRefusal) -> Self {
        let rung = match refusal {
            ForkRefusal::Ladder(refusal) => return Self::ladder(refusal),
            ForkRefusal::Unread => "read",
            ForkRefusal::Proof(_) | ForkRefusal::NoFork => "consistent",
        };
        Self { rung, code: refusal.code(), reason: refusal.to_string(), exit: refusal.exit_code() }
    }

    fn form(refusal: &FormRefusal) -> Self {
        let rung = match refusal {
            FormRefusal::Ladder(refusal) => return Self::ladder(refusal),
            FormRefusal::Unread(_) => "read",
            FormRefusal::Leaves { .. } => "decoded",
            FormRefusal::Cose(_) => "included and signed",
            FormRefusal::Bundle(refusal) => refusal.rung(),
            FormRefusal::OtherSize { .. } | FormRefusal::NoHead | FormRefusal::Kept(_) => "consistent",
        };
        Self { rung, code: refusal.code(), reason: refusal.to_string(), exit: refusal.exit_code() }
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
