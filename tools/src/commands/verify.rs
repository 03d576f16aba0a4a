//! `interlock verify`: receipts and bundles against a key, offline. Says rung by rung what held, then the verdict, then what was not checked.
//!
//! The form is told by the content: tlog-proof text, JSON, a range receipt, a COSE receipt of inclusion or consistency, a checkpoint, an
//! evidence bundle, of which `--summary` writes a page to read and print. What a
//! form does not carry is given beside it: `--leaf` for COSE and ranges. A head that the reader kept (`--pin`) is compared as far as the
//! evidence goes; a policy (`--policy`) names logs and the witnesses that must have cosigned. The words are the verifier's: `interlock-verify` says the same.

use std::path::{Path, PathBuf};

use clap::Args;
use verifier::note::VerifierKey;
use verifier::policy::{MAX_POLICY, Policy};
use verifier::verify::{Beside, LogKey, Said, climb_bundle, judge, judge_under, worst};

use crate::exit::{Exit, Failure};
use crate::files;
use crate::output::{self, note, say};
use crate::summary;

/// Verify receipts and bundles offline.
#[derive(Debug, Args)]
pub struct Verify {
    /// Receipts (tlog-proof text or JSON with the leaf in it, ranges, COSE), checkpoints, bundles and evidence of a fork; `-` reads standard
    /// input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The log's verification key, or a file that holds it
    #[arg(long)]
    vkey: Option<String>,
    /// A C2SP tlog-policy: its logs are trusted beside `--vkey`, and its quorum of witnesses must have cosigned the head
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// A leaf's bytes, for a receipt that does not carry them; for a range receipt once for each leaf, in order
    #[arg(long)]
    leaf: Vec<PathBuf>,
    /// A checkpoint that you kept: what a COSE receipt of consistency continues, else compared as far as the evidence goes
    #[arg(long, alias = "head")]
    pin: Option<PathBuf>,
    /// Of one bundle that verifies: a page in plain words, for people and for paper
    #[arg(long, value_name = "FILE.html")]
    summary: Option<PathBuf>,
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
        let leaves: Vec<Vec<u8>> =
            self.leaf.iter().map(|path| files::read_bytes(path, files::MAX_LEAF)).collect::<Result<_, _>>()?;
        let kept = self.pin.as_deref().map(|path| files::read_text(path, files::MAX_RECEIPT)).transpose()?;
        let beside = Beside { leaves: &leaves, kept: kept.as_deref() };
        if self.summary.is_some() && self.files.len() != 1 {
            return Err(Failure::usage("--summary is of one bundle"));
        }
        let policy = self.policy.as_deref().map(read_policy).transpose()?;
        let mut exits = Vec::with_capacity(self.files.len());
        for file in &self.files {
            let name = file.display().to_string();
            let evidence = files::read_bytes(file, files::MAX_EVIDENCE)?;
            let said = match &policy {
                Some(policy) => judge_under(policy, &evidence, beside, &keys),
                None => judge(&evidence, beside, &keys),
            };
            if self.json {
                say!("{}", said.json(&name))?;
            } else {
                output::print(said.text(&name))?;
            }
            exits.push(said.exit_code());
            if let Some(page) = &self.summary {
                write_summary(page, &evidence, &said, &keys)?;
            }
        }
        Ok(Exit::from_code(worst(exits)))
    }
}

/// The page of a bundle that was verified; of anything else there is none.
fn write_summary(page: &Path, evidence: &[u8], said: &Said, keys: &[LogKey]) -> Result<(), Failure> {
    if said.exit_code() != 0 {
        note!("no summary: the bundle is not verified");
        return Ok(());
    }
    if !evidence.starts_with(&verifier::bundle::MAGIC) {
        return Err(Failure::usage("--summary is of a bundle"));
    }
    match climb_bundle(evidence, keys).verdict {
        Ok(verified) => files::write_new(page, &summary::page(&verified, &said.json("")), 0o644),
        Err(refusal) => Err(Failure::refused(refusal)),
    }
}

fn read_policy(path: &Path) -> Result<Policy, Failure> {
    Policy::parse(&files::read_bytes(path, MAX_POLICY)?)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
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
