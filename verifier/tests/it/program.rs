//! `interlock-verify` as its users run it: every case of the corpus through files and arguments, the exit codes, and its arithmetic done
//! again by others.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use verifier::hash::{leaf_hash, node_hash};
use verifier::text::{hex, unhex};

use crate::corpus::{Case, Kind, Log, cases};

fn program<I: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = I>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_interlock-verify")).args(arguments).output().unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// A folder with what a case is judged with, and the arguments that name it.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn write(&self, name: &str, content: &[u8]) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn arguments(&self, case: &Case) -> Vec<String> {
        let mut arguments = vec![self.write("evidence", &case.input)];
        for (number, leaf) in case.leaves.iter().enumerate() {
            arguments.extend(["--leaf".to_owned(), self.write(&format!("leaf {number}"), leaf)]);
        }
        if let Some(kept) = &case.kept {
            arguments.push(format!("--pin={}", self.write("kept", kept.as_bytes())));
        }
        if let Some(policy) = &case.policy {
            arguments.push(format!("--policy={}", self.write("policy", policy.as_bytes())));
        }
        arguments
    }
}

#[test]
fn every_case_of_the_corpus_ends_with_its_verdict_and_exit_code() {
    let files = Files::new();
    // The command line knows no limits of keys.
    let unlimited =
        |case: &Case| case.keys.iter().all(|key| (key.not_before, key.not_after, key.max_size) == (None, None, None));
    let mut seen = std::collections::BTreeSet::new();
    for case in cases().iter().filter(|case| case.kind == Kind::Evidence && unlimited(case)) {
        let mut arguments = files.arguments(case);
        arguments.push("--json".to_owned());
        arguments.extend(case.keys.iter().flat_map(|key| ["--vkey".to_owned(), key.key.to_string()]));
        let output = program(&arguments);
        let mut said: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        said.as_object_mut().unwrap().remove("file");
        let expected = case.said();
        assert_eq!(said, expected, "{}", case.name);
        let exit = output.status.code().unwrap();
        assert_eq!(expected["exit"], exit, "{}", case.name);
        seen.insert(exit);
    }
    assert_eq!(Vec::from_iter(seen), [0, 1, 3, 5, 6, 7]);
}

#[test]
fn the_tick_list_has_a_line_for_each_check_and_ends_with_what_was_not_checked() {
    let (files, log) = (Files::new(), Log::new());
    let case = Case { kept: Some(log.head(5)), ..log.evidence("x", log.receipt(4, 9).text()) };
    let mut arguments = files.arguments(&case);
    arguments.extend(["--vkey".to_owned(), files.write("keys", format!("# ours\n{}\n", log.vkey()).as_bytes())]);
    let output = program(&arguments);
    assert_eq!(output.status.code(), Some(0));
    let said = text(output.stdout);
    let lines: Vec<&str> = said.lines().skip(1).map(|line| line.split(':').next().unwrap().trim()).collect();
    let ticks = ["ok    decoded", "ok    included", "ok    signed", "ok    consistent", "verified"];
    assert_eq!(lines[..5], ticks, "{said}");
    assert!(lines[6..].iter().all(|line| *line == "not checked") && lines.len() == 10, "{said}");
    arguments.pop();
    arguments.push(Log { origin: "other.example/log", ..log }.vkey().to_string());
    let output = program(&arguments);
    let said = text(output.stdout);
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("FAIL  signed\nnot verified: no trusted key signed the head (unknown_key)"), "{said}");
}

#[test]
fn the_worst_of_several_verdicts_is_the_exit_code() {
    let (files, log) = (Files::new(), Log::new());
    let vkey = ["--vkey".to_owned(), log.vkey().to_string()];
    let good = files.write("good", log.receipt(4, 9).text().as_bytes());
    let unread = files.write("unread", b"hello");
    let wrong = files.write("wrong", log.receipt(4, 9).text().replace("index 4", "index 5").as_bytes());
    let code = |files: &[&String]| program(files.iter().copied().chain(&vkey)).status.code();
    assert_eq!(code(&[&good, &good]), Some(0));
    assert_eq!(code(&[&good, &unread]), Some(3));
    assert_eq!(code(&[&unread, &good, &wrong]), Some(1));
}

#[test]
fn what_was_not_judged_has_an_exit_code_of_its_own() {
    let files = Files::new();
    let file = files.write("file", b"x");
    for arguments in [
        &[][..],
        &["--vkey", "no key", &file],
        &["--what", &file],
        &["--vkey"],
        &["--json=1", &file],
        &["explain", "--json", &file],
        &["--pin", &file, "--pin", &file, &file],
        &["--vkey", &file, &file],
    ] {
        let output = program(arguments);
        let said = text(output.stderr);
        assert_eq!(
            (output.status.code(), said.starts_with("interlock-verify: ")),
            (Some(2), true),
            "{arguments:?}: {said}"
        );
    }
    assert_eq!(program(["/nowhere"]).status.code(), Some(4));
    let help = program(["--help"]);
    assert!(help.status.success() && text(help.stdout).contains("exit code"));
}

#[test]
fn each_equation_that_explain_shows_holds_and_the_last_is_the_root() {
    let files = Files::new();
    // A policy is nothing to compute. Evidence of a fork is never verified, and its equations hold.
    let shown = |case: &Case| {
        let exit = &case.said()["exit"];
        case.policy.is_none() && (exit == 0 || exit == 7 && case.name.starts_with("fork shown"))
    };
    for case in cases().iter().filter(|case| case.kind == Kind::Evidence && shown(case)) {
        let mut arguments = vec!["explain".to_owned()];
        arguments.extend(files.arguments(case));
        let output = program(&arguments);
        assert!(output.status.success());
        let said = text(output.stdout);
        let lines: Vec<&str> = said.lines().collect();
        let mut last = None;
        for pair in lines.windows(2) {
            let Some((_, sum)) = pair[0].split_once("SHA-256(") else { continue };
            let mut parts = sum.trim_end_matches(')').split(" ‖ ").map(|hex| unhex(hex).unwrap());
            let (domain, first) = (parts.next().unwrap(), parts.next().unwrap());
            let hash = |bytes: Vec<u8>| verifier::hash::Hash(bytes.try_into().unwrap());
            let holds = match parts.next() {
                Some(second) => {
                    assert_eq!(domain, [1]);
                    node_hash(&hash(first), &hash(second))
                }
                None => {
                    assert_eq!(domain, [0]);
                    leaf_hash(&first)
                }
            };
            assert_eq!(pair[1].trim().strip_prefix("= "), Some(hex(&holds.0).as_str()), "{}", case.name);
            last = Some(holds);
        }
        let root = |name: &str| {
            let line = lines.iter().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next().map(ToOwned::to_owned)
        };
        if let Some(last) = last {
            assert_eq!(root("computed root"), Some(hex(&last.0)), "{}", case.name);
        }
        if let (Some(computed), Some(stated)) = (root("computed root"), root("stated root")) {
            assert_eq!(computed, stated, "{}", case.name);
        }
    }
}

/// By sha256sum, openssl and Python alone: `testdata/without-us/check.sh`.
#[test]
fn a_receipt_is_verified_without_any_code_of_ours() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/without-us/check.sh");
    let missing = ["bash", "openssl", "python3", "sha256sum"].into_iter().find(|tool| {
        let asked = if *tool == "openssl" { "version" } else { "--version" };
        Command::new(tool).arg(asked).output().is_err()
    });
    if let Some(tool) = missing {
        println!("NOT RUN: the check without us needs `{tool}`");
        return;
    }
    let (files, log) = (Files::new(), Log::new());
    let check = |receipt: &str, log: &Log| {
        let file = files.write("receipt.tlog-proof", receipt.as_bytes());
        Command::new(&script).args([file, log.vkey().to_string()]).output().unwrap()
    };
    let verified = |receipt: &str| {
        let output = check(receipt, &log);
        output.status.success() && text(output.stdout).ends_with("signed by the key\nverified\n")
    };
    for (index, size) in [(0, 1), (0, 2), (4, 9), (8, 9), (6, 7), (5, log.size())] {
        let receipt = log.receipt(index, size).text();
        assert!(verified(&receipt), "{index} of {size}: {:?}", check(&receipt, &log));
    }
    let good = log.receipt(4, 9).text();
    let mut spoiled = log.receipt(4, 9);
    spoiled.path.swap(0, 1);
    let mut short = log.receipt(4, 9);
    short.path.pop();
    let forged = verifier::receipt::Receipt { checkpoint: Log::forked().head(9), ..log.receipt(4, 9) };
    for evil in [
        good.replace("index 4", "index 5"),
        spoiled.text(),
        short.text(),
        forged.text(),
        good.replace("\n9\n", "\n10\n"),
        good.get(..good.len() / 2).unwrap().to_owned(),
    ] {
        assert!(!verified(&evil), "{evil}");
    }
    let stranger = Log { signing: ed25519_dalek::SigningKey::from_bytes(&[2; 32]), ..log.clone() };
    assert_eq!(check(&good, &stranger).status.code(), Some(1), "another key");
}
