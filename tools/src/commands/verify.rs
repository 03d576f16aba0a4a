//! `interlock verify`: receipts against a key, offline. Says rung by rung what held, then the verdict, then what was not checked.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use verifier::decision::Outcome;
use verifier::note::VerifierKey;
use verifier::receipt::Receipt;
use verifier::record::Record;
use verifier::text::{hex, rfc3339};
use verifier::verify::{Climb, LogKey, NOT_CHECKED, Refusal, Verified, climb};

use crate::exit::{Exit, Failure};
use crate::files;

/// Verify receipts offline.
#[derive(Debug, Args)]
pub struct Verify {
    /// Receipts, C2SP tlog-proof v1 with the leaf as `extra`; `-` reads standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The log's verification key, or a file that holds it
    #[arg(long)]
    vkey: Option<String>,
    /// One JSON object a receipt
    #[arg(long)]
    json: bool,
}

impl Verify {
    /// Verifies every file; the worst verdict is the exit code.
    pub fn run(&self) -> Result<Exit, Failure> {
        let keys: Vec<LogKey> = match &self.vkey {
            Some(vkey) => vec![LogKey::unlimited(read_vkey(vkey)?)],
            None => Vec::new(),
        };
        let mut worst = Exit::Ok;
        for file in &self.files {
            let name = file.display().to_string();
            let text = files::read_text(file, files::MAX_RECEIPT)?;
            let receipt = Receipt::parse(&text).map_err(|error| Failure::undecidable(format!("{name}: {error}")))?;
            let climb = climb(&receipt, None, &keys);
            if self.json {
                println!("{}", as_json(&name, &climb));
            } else {
                print!("{}", as_text(&name, &climb));
            }
            let exit = climb.verdict.as_ref().map_or_else(|refusal| Exit::from_code(refusal.exit_code()), |_| Exit::Ok);
            if worst == Exit::Ok || exit == Exit::Invalid {
                worst = exit;
            }
        }
        Ok(worst)
    }
}

/// The key itself, or the first line of a file with that name.
pub fn read_vkey(text: &str) -> Result<VerifierKey, Failure> {
    let parse = |text: &str| text.trim().parse::<VerifierKey>();
    if let Ok(key) = parse(text) {
        return Ok(key);
    }
    let content = files::read_text(text.as_ref(), files::MAX_KEY_FILE).map_err(|error| {
        Failure::usage(format!("`{text}` is neither a verification key nor a file with one: {error}"))
    })?;
    parse(&content).map_err(|error| Failure::usage(format!("{text}: {error}")))
}

/// The tick list for people.
pub fn as_text(name: &str, climb: &Climb) -> String {
    let mut out = format!("{name}\n");
    for rung in &climb.held {
        out.push_str(&format!("  ok    {rung}\n"));
    }
    match &climb.verdict {
        Ok(verified) => {
            out.push_str(&format!("verified: {}\n", in_words(verified)));
            let head = verified.head();
            out.push_str(&format!(
                "  entry {} of {} in {}, leaf {}\n",
                verified.index(),
                head.size,
                head.origin,
                hex(&verified.leaf().0)
            ));
        }
        Err(refusal) => {
            out.push_str(&format!("  FAIL  {}\n", broken_rung(refusal)));
            out.push_str(&format!("not verified: {refusal} ({})\n", refusal.code()));
        }
    }
    NOT_CHECKED.iter().for_each(|what| out.push_str(&format!("  not checked: {what}\n")));
    out
}

fn broken_rung(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NoLeaf | Refusal::Record(_) => "decoded",
        Refusal::Inclusion(_) => "included",
        Refusal::Head(_) | Refusal::UnknownKey | Refusal::RetiredKey => "signed",
    }
}

fn in_words(verified: &Verified) -> String {
    match verified.record() {
        Record::Decision(decision) => {
            let what = match (decision.outcome, decision.grant) {
                (Outcome::Allow, Some(grant)) => {
                    format!("permit {} allows until {}", decision.permit, rfc3339(grant.expires_at))
                }
                (Outcome::Allow | Outcome::Deny, _) => format!("decision {} denies", decision.permit),
            };
            format!(
                "{what}; realm {}, epoch {}, recorded {}",
                decision.realm,
                decision.epoch,
                rfc3339(decision.recorded_at)
            )
        }
        record => format!("{} record of {}", record.kind_name(), rfc3339(record.recorded_at())),
    }
}

fn as_json(name: &str, climb: &Climb) -> serde_json::Value {
    let held: Vec<String> = climb.held.iter().map(ToString::to_string).collect();
    let verdict = match &climb.verdict {
        Ok(verified) => json!({
            "verified": true,
            "kind": verified.record().kind_name(),
            "index": verified.index(),
            "size": verified.head().size,
            "origin": verified.head().origin,
            "leaf": hex(&verified.leaf().0),
            "recorded_at": rfc3339(verified.record().recorded_at()),
            "decision": decision_json(verified.record()),
        }),
        Err(refusal) => json!({"verified": false, "code": refusal.code(), "reason": refusal.to_string()}),
    };
    json!({"schema": "interlock/verdict/v1", "file": name, "held": held, "verdict": verdict, "not_checked": NOT_CHECKED})
}

fn decision_json(record: &Record) -> serde_json::Value {
    let Record::Decision(decision) = record else { return serde_json::Value::Null };
    json!({
        "permit": decision.permit.to_string(),
        "allow": decision.outcome == Outcome::Allow,
        "realm": decision.realm,
        "epoch": decision.epoch,
        "expires_at": decision.grant.map(|grant| rfc3339(grant.expires_at)),
    })
}
