//! `interlock approval`: an approver checks a denial offline, sees what was asked, and signs; an administrator posts what was signed.
//!
//! Guarantees: nothing is signed unless the denial stands in the log under a head that the given key signed, its record commits to the
//! request as given, and its answer asks for approvals of just that decision. Does not: know who may approve; the epoch says it, and the server refuses others.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;
use verifier::approval::{Approval, core, core_digest};
use verifier::decision::{Decision, Outcome, commitment};
use verifier::guard::Permit;
use verifier::record::{MAX_NOTE, Record};
use verifier::request::{MAX_REQUEST, Request};
use verifier::text::rfc3339;
use verifier::verify::{LogKey, verify_receipt};

use crate::commands::verify::read_vkey;
use crate::exit::{Exit, Failure};
use crate::files;
use crate::house::{self, AtServer};
use crate::output::{note, print, say};

/// No approval is taken that is good for longer.
const MOST_VALID: Duration = Duration::from_secs(24 * 3_600);

/// Approve what was denied for want of approvals.
#[derive(Debug, Subcommand)]
pub enum ApprovalCommand {
    /// Check a denial and its request offline, and sign that the request may pass once
    Sign(Sign),
    /// Post a signed approval to a running server
    Post {
        /// What `approval sign` wrote
        file: PathBuf,
        #[command(flatten)]
        at: AtServer,
    },
}

/// What to sign, and as whom.
#[derive(Debug, Args)]
pub struct Sign {
    /// The denial as the server answered it, in full
    #[arg(long)]
    answer: PathBuf,
    /// The request that was denied, as it was sent
    #[arg(long)]
    request: PathBuf,
    /// The log's verification key, or a file with it
    #[arg(long)]
    vkey: String,
    /// The file with the approver's key (`interlock keys signer`)
    #[arg(long)]
    key_file: PathBuf,
    /// For how many seconds, at most a day
    #[arg(long, default_value_t = 3_600)]
    valid: u64,
    /// Where to write it; standard output without
    #[arg(short, long)]
    output: Option<PathBuf>,
}

impl ApprovalCommand {
    /// Runs the subcommand.
    pub fn run(&self) -> Result<Exit, Failure> {
        match self {
            Self::Sign(sign) => sign.run(),
            Self::Post { file, at } => {
                let note = files::read_text(file, MAX_NOTE)?;
                say!("{}", at.post("/v1/approvals", note)?.text()?)?;
                Ok(Exit::Ok)
            }
        }
    }
}

impl Sign {
    fn run(&self) -> Result<Exit, Failure> {
        if self.valid == 0 || self.valid > MOST_VALID.as_secs() {
            return Err(Failure::usage(format!("--valid is from 1 to {} seconds", MOST_VALID.as_secs())));
        }
        let signer = house::read_signer(&self.key_file)?;
        let approval = self.approval(house::now_ms().saturating_add(self.valid.saturating_mul(1_000)))?;
        let signed = signer.sign_note(&approval.text());
        note!("signed as {} until {}", signer.verifier_key().name(), rfc3339(approval.expires_at));
        match &self.output {
            Some(path) => files::write(path, signed)?,
            None => print(signed)?,
        }
        Ok(Exit::Ok)
    }

    /// What is signed, once everything that can be checked here holds.
    fn approval(&self, expires_at: u64) -> Result<Approval, Failure> {
        let answer = files::read_bytes(&self.answer, Permit::MAX_ANSWER)?;
        let sent = files::read_bytes(&self.request, MAX_REQUEST)?;
        let permit = Permit::from_answer(&answer).map_err(|error| Failure::undecidable(format!("answer: {error}")))?;
        let keys = [LogKey::unlimited(read_vkey(&self.vkey)?)];
        let verified = verify_receipt(&permit.receipt, Some(&permit.record), &keys);
        let verified = verified.map_err(|error| Failure::refused(format!("the denial is not in that log: {error}")))?;
        let Record::Decision(decision) = verified.record() else {
            return Err(Failure::refused("the answer's record is no decision"));
        };
        if decision.outcome == Outcome::Allow {
            return Err(Failure::refused("the decision was not denied"));
        }
        let request = Request::parse(sent.trim_ascii()).map_err(|error| Failure::undecidable(error.to_string()))?;
        if !commits_to(decision, &permit.salt, sent.trim_ascii(), &request) {
            return Err(Failure::refused("the request is not the one that was denied"));
        }
        asks_for(&answer, decision)?;
        let core_of = core_digest(&permit.salt, &request);
        let core_digest = core_of.ok_or_else(|| Failure::refused("it holds an integer that no approval can name"))?;
        let what = String::from_utf8_lossy(&core(&request)).into_owned();
        note!(
            "decision {} of realm {} in {}, at {}",
            decision.permit,
            decision.realm,
            verified.head().origin,
            verified.index()
        );
        note!("it asked for: {what}");
        Ok(Approval {
            origin: verified.head().origin.clone(),
            realm: decision.realm.clone(),
            decision: decision.permit,
            core: core_digest,
            expires_at,
        })
    }
}

/// What was asked through AuthZEN is committed to in the form in which it was evaluated.
fn commits_to(decision: &Decision, salt: &[u8; 16], sent: &[u8], request: &Request) -> bool {
    [sent, &core(request)].iter().any(|bytes| commitment(salt, bytes) == decision.request)
}

/// A request that is tried again is approved under the decision that it tries again.
fn asks_for(answer: &[u8], decision: &Decision) -> Result<(), Failure> {
    let answer: Value = serde_json::from_slice(answer).map_err(Failure::undecidable)?;
    let first = answer.get("approval").and_then(|approval| approval.get("decision")).and_then(Value::as_str);
    match first {
        Some(first) if first == decision.permit.to_string() => Ok(()),
        Some(first) => Err(Failure::refused(format!("it tries {first} again: approve that decision, by its answer"))),
        None => Err(Failure::refused("the answer asks for no approval: it would change nothing")),
    }
}
