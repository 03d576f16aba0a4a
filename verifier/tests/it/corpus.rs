//! One corpus of good and evil evidence, `testdata/verdicts.jsonl`: what every verifier of ours must judge alike, code for code.
//!
//! Each line is `{name, kind, input | input_b64, leaves, kept, keys, expected: {verified, code, reason}}`. `kind` says what the input is:
//! `evidence` (a receipt of any form, a checkpoint, a bundle or a fork, judged with the leaves, the kept head, the keys and the policy beside
//! it), `record` (a leaf's bytes), `key` (the text of a verification key) or `policy`; of the last three `verified` means that they were read. The file is made here and compared with
//! what stands there; changing it is approving other verdicts: `INTERLOCK_APPROVE=verdicts cargo test … corpus`.

mod desk;
mod evil;
mod log;
mod witnessed;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use verifier::note::VerifierKey;
use verifier::policy::Policy;
use verifier::record::Record;
use verifier::text::b64;
use verifier::verify::{Beside, LogKey, judge, judge_under};

pub use desk::{Desk, good as good_bundles};
pub use evil::bundles::beyond_limits;
pub use log::{Log, OTHER, resign};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/verdicts.jsonl");

/// What a case is a case of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Evidence,
    Record,
    Key,
    Policy,
}

/// One input with everything that it is judged with.
#[derive(Debug, Clone)]
pub struct Case {
    pub name: String,
    pub kind: Kind,
    pub input: Vec<u8>,
    pub leaves: Vec<Vec<u8>>,
    pub kept: Option<String>,
    pub keys: Vec<LogKey>,
    pub policy: Option<String>,
}

impl Case {
    pub fn new(name: impl Into<String>, kind: Kind, input: impl Into<Vec<u8>>) -> Self {
        let (leaves, kept, keys, policy) = (Vec::new(), None, Vec::new(), None);
        Self { name: name.into(), kind, input: input.into(), leaves, kept, keys, policy }
    }

    /// Everything but the verdict.
    pub fn question(&self) -> Value {
        let keys = self.keys.iter().map(|key| {
            json!({
                "vkey": key.key.to_string(), "not_before": key.not_before, "not_after": key.not_after,
                "max_size": key.max_size,
            })
        });
        let mut question = json!({
            "name": self.name,
            "kind": match self.kind {
                Kind::Evidence => "evidence", Kind::Record => "record", Kind::Key => "key", Kind::Policy => "policy",
            },
            "leaves": self.leaves.iter().map(|leaf| b64(leaf)).collect::<Vec<_>>(),
            "kept": self.kept,
            "keys": keys.collect::<Vec<_>>(),
        });
        let (field, input) = match str::from_utf8(&self.input) {
            Ok(text) => ("input", text.to_owned()),
            Err(_) => ("input_b64", b64(&self.input)),
        };
        question[field] = input.into();
        if let Some(policy) = &self.policy {
            question["policy"] = policy.as_str().into();
        }
        question
    }

    /// What the Rust verifier says: of evidence everything that `--json` prints, of the others whether they were read.
    pub fn said(&self) -> Value {
        let read = |result: Result<(), (&str, String)>| match result {
            Ok(()) => json!({"verdict": {"verified": true}}),
            Err((code, reason)) => json!({"verdict": {"verified": false, "code": code, "reason": reason}}),
        };
        match self.kind {
            Kind::Evidence => {
                let beside = Beside { leaves: &self.leaves, kept: self.kept.as_deref() };
                let said = match &self.policy {
                    Some(policy) => {
                        let policy = Policy::parse(policy.as_bytes()).unwrap();
                        judge_under(&policy, &self.input, beside, &self.keys)
                    }
                    None => judge(&self.input, beside, &self.keys),
                };
                let mut said = said.json("");
                said.as_object_mut().unwrap().remove("file");
                said
            }
            Kind::Record => {
                read(Record::decode(&self.input).map(drop).map_err(|error| ("malformed_record", error.to_string())))
            }
            Kind::Policy => {
                read(Policy::parse(&self.input).map(drop).map_err(|error| ("bad_policy", error.to_string())))
            }
            Kind::Key => {
                let text = str::from_utf8(&self.input).unwrap();
                read(text.parse::<VerifierKey>().map(drop).map_err(|error| ("bad_key", error.to_string())))
            }
        }
    }

    fn line(&self) -> Value {
        let mut line = self.question();
        let verdict = &self.said()["verdict"];
        line["expected"] =
            json!({"verified": verdict["verified"], "code": verdict["code"], "reason": verdict["reason"]});
        line
    }
}

/// Every case, good ones first.
pub fn cases() -> Vec<Case> {
    let cases: Vec<Case> = [good(), evil()].concat();
    let mut names = BTreeSet::new();
    for case in &cases {
        assert!(names.insert(case.name.as_str()), "two cases have the name `{}`", case.name);
    }
    cases
}

/// What must verify.
fn good() -> Vec<Case> {
    [log::good(), desk::good(), witnessed::good()].concat()
}

/// What must not.
fn evil() -> Vec<Case> {
    [evil::cases(), witnessed::evil()].concat()
}

#[test]
fn the_corpus_is_what_the_verifier_says_today() {
    let made: Vec<Value> = cases().iter().map(Case::line).collect();
    if std::env::var("INTERLOCK_APPROVE").as_deref() == Ok("verdicts") {
        let lines: Vec<String> = made.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(FILE, lines.concat()).unwrap();
        return;
    }
    let stands = std::fs::read_to_string(Path::new(FILE)).unwrap();
    // As values: the order of fields is a matter of how the JSON library was built.
    let stands: Vec<Value> = stands.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (made, stands) in made.iter().zip(&stands) {
        assert_eq!(made, stands, "another verdict; approve it with INTERLOCK_APPROVE=verdicts");
    }
    assert_eq!(made.len(), stands.len());
}

#[test]
fn good_cases_are_verified_and_evil_ones_are_not() {
    let wrong = |cases: Vec<Case>, verified: bool| -> Vec<String> {
        let said = cases.iter().map(|case| (case, case.said()));
        said.filter(|(_, said)| said["verdict"]["verified"] != verified)
            .map(|(case, said)| format!("{}: {}", case.name, said["verdict"]))
            .collect()
    };
    assert_eq!(wrong(good(), true), Vec::<String>::new());
    assert_eq!(wrong(evil(), false), Vec::<String>::new());
}

#[test]
fn every_refusal_code_stands_in_the_corpus() {
    let said: BTreeSet<String> =
        evil().iter().map(|case| case.said()["verdict"]["code"].as_str().unwrap().to_owned()).collect();
    let codes = [
        "bad_commitment",
        "bad_epoch",
        "bad_erasure",
        "bad_head",
        "bad_kept_head",
        "bad_key",
        "bad_manifest",
        "bad_policy",
        "bad_proof",
        "bad_signature",
        "fork",
        "malformed_bundle",
        "malformed_receipt",
        "malformed_record",
        "missing_epoch",
        "no_fork",
        "no_head",
        "no_leaf",
        "no_quorum",
        "other_head",
        "other_log",
        "retired_key",
        "unknown_key",
        "wrong_leaves",
    ];
    assert_eq!(said, codes.iter().map(ToString::to_string).collect());
    let chapter = include_str!("../../FORMAT.md");
    // Of keys and policies nothing is judged: one that is none ends a command before.
    for code in codes.iter().filter(|code| !["bad_key", "bad_policy"].contains(code)) {
        assert!(chapter.contains(&format!("`{code}`")), "FORMAT.md does not tell what `{code}` means");
    }
}
