//! The pages' verifier (`site/*.js`) against this one: a second implementation, in another language, that must say the same about
//! everything, word for word. It runs under node, which `tools/check` installs.

use std::cell::RefCell;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use verifier::cose::CoseReceipt;
use verifier::decision::Detail;
use verifier::text::b64;

use crate::corpus::{Case, Kind, Log, beyond_limits, cases, resign};
use crate::mutate::{as_it_is, mutate};
use crate::records::details;

/// So many mutants of a sort are compared: node looks at some hundreds a second.
const MOST: usize = 400;

#[test]
fn the_pages_verifier_says_the_same_about_the_whole_corpus() {
    let cases = cases();
    if let Some(engine) = compare("corpus", &cases, &[]) {
        assert_eq!(engine["hashes"], "WebCrypto");
    }
}

#[test]
fn the_pages_verifier_says_the_same_by_its_own_arithmetic() {
    let cases = cases();
    if let Some(engine) = compare("corpus", &cases, &["own"]) {
        assert_eq!(engine["signatures"], "our own arithmetic");
    }
}

#[test]
fn the_pages_verifier_says_the_same_about_what_is_beyond_a_limit() {
    let log = Log::new();
    let (receipt, json) = (log.receipt(4, 9), log.receipt(4, 9).to_json().unwrap());
    let long = |length: usize| format!("{}\n{}", "x\n".repeat(length / 2), log.head(9));
    let with = |extra: usize, checkpoint: String| {
        let receipt = verifier::receipt::Receipt { extra: Some(vec![7; extra]), checkpoint, ..receipt.clone() };
        receipt.text()
    };
    let inputs = [
        with(65_535, log.head(9)),
        with(65_536, log.head(9)),
        with(65_538, log.head(9)),
        with(1, long(1_000_000)),
        with(1, long(999_000)),
        long(999_000),
        long(1_000_000),
        json.clone() + &" ".repeat(5 << 20),
        json.clone() + &" ".repeat(7 << 20),
        json.replace("\"checkpoint\":\"", &format!("\"checkpoint\":\"{}", "\\u0041".repeat(1_000_000))),
        json.replace("\"extra\":\"", &format!("\"extra\":\"{}", "AAAA".repeat(30_000))),
    ];
    let mut cases: Vec<Case> =
        (0..).zip(inputs).map(|(number, input)| log.evidence(format!("limit {number}"), input)).collect();
    cases.push(Case::new("a record of 65,536 bytes", Kind::Record, vec![0xa1; 65_536]));
    cases.push(Case::new("a key of 17 KiB", Kind::Key, "k".repeat(17 << 10)));
    let cose = CoseReceipt::Inclusion(log.inclusion(4, 9)).encode().unwrap();
    cases.push(log.evidence("a long COSE receipt", [cose, vec![0; 4_608]].concat()));
    cases.extend(beyond_limits());
    compare("limits", &cases, &[]);
}

#[test]
fn the_pages_verifier_says_the_same_about_mutants() {
    let log = Log::new();
    let good: Vec<Case> = cases().into_iter().filter(|case| case.said()["verdict"]["verified"] == true).collect();
    // Members of a group are judged beside the same leaves, head and keys, since a mutant may begin as one and end as another.
    let group =
        |wanted: &dyn Fn(&Case) -> bool| -> Vec<Case> { good.iter().filter(|case| wanted(case)).cloned().collect() };
    let alone = |case: &Case| {
        case.leaves.is_empty() && case.kept.is_none() && case.policy.is_none() && case.keys == [log.key()]
    };
    let one = |name: &str| group(&|case| case.name == name);
    let mut mutants = Vec::new();
    for (name, members) in [
        ("text receipts", group(&|case| alone(case) && case.name.starts_with("text"))),
        ("JSON receipts", group(&|case| alone(case) && case.name.starts_with("JSON"))),
        ("bare receipts", group(&|case| case.name.ends_with("leaf beside it"))),
        ("heads", group(&|case| alone(case) && case.name.starts_with("head"))),
        ("records", group(&|case| case.kind == Kind::Record)),
        ("keys", group(&|case| case.kind == Kind::Key)),
        ("policies", group(&|case| case.kind == Kind::Policy)),
        ("a cosigned head", one("head that the quorum cosigned")),
        ("a cosigned receipt", one("receipt whose head the quorum cosigned")),
        ("a range", one("range of 4 from 2 in 9")),
        ("a COSE inclusion", one("COSE inclusion of 4 in 9")),
        ("a COSE consistency", one("COSE consistency from 4 to 9")),
        ("bundles", group(&|case| alone(case) && case.name.starts_with("bundle"))),
        ("a cosigned bundle", one("bundle whose head the quorum cosigned")),
        ("a bundle beside a kept head", one("bundle beside its own head")),
        ("a receipt beside a kept head", one("receipt of 4, which was the last leaf of the kept head")),
    ] {
        mutants.extend(mutants_of(name, &members));
    }
    mutants.extend(forks(&log));
    println!("{} mutants", mutants.len());
    assert!(mutants.len() > 3_000);
    compare("mutants", &mutants, &[]);
}

#[test]
fn the_pages_read_details_as_they_were_written_and_refuse_what_is_cut_or_longer() {
    let details = details();
    let mut inputs: Vec<Vec<u8>> = details.iter().map(Detail::encode).collect();
    let full = inputs[1].clone();
    inputs.extend((0..full.len()).map(|length| full[..length].to_vec()));
    inputs.push([full, vec![0]].concat());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/detail.mjs");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for input in &inputs {
        writeln!(file, "{}", b64(input)).unwrap();
    }
    let input = std::fs::File::open(file.path()).unwrap();
    let output = match Command::new("node").arg(script).stdin(input).output() {
        Ok(output) => output,
        Err(error) => return println!("NOT RUN: the pages' decoder needs `node` (Debian's package nodejs): {error}"),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let said: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(said.len(), inputs.len());
    for (detail, said) in details.iter().zip(&said) {
        assert_eq!(said["subject"], json!([detail.subject.0, detail.subject.1]));
        assert_eq!(said["resource"], json!([detail.resource.0, detail.resource.1]));
        assert_eq!((&said["action"], &said["key"]), (&json!(detail.action), &json!(detail.key_id)));
        let codes: serde_json::Map<String, Value> =
            detail.codes.iter().map(|(condition, code)| (condition.name().to_owned(), json!(code))).collect();
        assert_eq!(said["codes"], Value::Object(codes));
        assert_eq!(said.get("parent"), detail.parent.map(|parent| json!(parent.to_string())).as_ref());
        assert_eq!(said.get("retry_of"), detail.retry_of.map(|permit| json!(permit.to_string())).as_ref());
        for (named, said) in [(&detail.policies, said.get("policies")), (&detail.errors, said.get("policy_errors"))] {
            let named = named.as_ref().map(|named| json!({"count": named.count.to_string(), "names": named.shown}));
            assert_eq!(said, named.as_ref());
        }
        assert_eq!(said["counted"].as_array().map_or(0, Vec::len), detail.counted.len());
        assert_eq!(said["scopes"].as_array().map_or(0, Vec::len), detail.scopes.len());
        assert_eq!(said.get("authzen").is_some(), detail.authzen);
        assert_eq!(said.get("signed").is_some(), detail.signed.is_some());
        assert_eq!(
            said["evidence"]["issuers"].as_array().map_or(0, Vec::len),
            detail.evidence.as_ref().map_or(0, |it| it.issuers.len())
        );
    }
    assert!(said[details.len()..].iter().all(Value::is_null), "what is cut or longer was read");
}

/// Mutants of the inputs of these cases: the accepted ones, those that were read and then refused, and some that were not read.
fn mutants_of(name: &str, members: &[Case]) -> Vec<Case> {
    let inputs: Vec<Vec<u8>> = members.iter().map(|case| case.input.clone()).collect();
    let found: RefCell<[Vec<Case>; 3]> = RefCell::default();
    let judged = |bytes: &[u8]| {
        if members[0].kind == Kind::Key && str::from_utf8(bytes).is_err() {
            return None;
        }
        let mut found = found.borrow_mut();
        let number = found.iter().map(Vec::len).sum::<usize>();
        let case = Case { name: format!("mutant {number} of {name}"), input: bytes.to_vec(), ..members[0].clone() };
        let verdict = case.said()["verdict"].clone();
        let verified = verdict["verified"] == true;
        let unread = verdict["code"] == "malformed_receipt" || case.kind != Kind::Evidence;
        let kept = &mut found[if verified {
            0
        } else if unread {
            2
        } else {
            1
        }];
        if kept.len() < MOST {
            kept.push(case);
        }
        verified.then(|| bytes.to_vec())
    };
    mutate(name, &inputs, if name == "heads" { resign } else { as_it_is }, judged);
    found.into_inner().concat()
}

/// Mutants of evidence of forks, which is never verified: those that still show one, and those that do not.
fn forks(log: &Log) -> Vec<Case> {
    let group: Vec<Case> = cases().into_iter().filter(|case| case.name.starts_with("fork shown")).collect();
    let inputs: Vec<Vec<u8>> = group.iter().map(|case| case.input.clone()).collect();
    let found: RefCell<[Vec<Case>; 3]> = RefCell::default();
    mutate("forks", &inputs, as_it_is, |bytes: &[u8]| {
        let case = log.evidence("", bytes);
        let code = case.said()["verdict"]["code"].clone();
        let sort = match code.as_str().unwrap() {
            "fork" => 0,
            "malformed_receipt" => 2,
            _ => 1,
        };
        let mut found = found.borrow_mut();
        let number = found.iter().map(Vec::len).sum::<usize>();
        if found[sort].len() < MOST {
            found[sort].push(Case { name: format!("mutant {number} of a fork"), ..case });
        }
        (sort == 0).then(|| bytes.to_vec())
    });
    assert!(found.borrow().iter().all(|sort| !sort.is_empty()), "mutants of every sort");
    found.into_inner().concat()
}

/// Has node judge the cases and holds every answer against ours; answers which arithmetic ran, or `None` where node is missing.
fn compare(what: &str, cases: &[Case], arguments: &[&str]) -> Option<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judge.mjs");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for case in cases {
        writeln!(file, "{}", case.question()).unwrap();
    }
    let run = Command::new("node").arg("--no-warnings").arg(script).arg(file.path()).args(arguments).output();
    let output = match run {
        Ok(output) => output,
        Err(error) => {
            println!("NOT RUN: the pages' verifier needs `node` (Debian's package nodejs): {error}");
            return None;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let mut lines = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let engine = lines.next().unwrap();
    let mut answered = 0;
    for (case, theirs) in cases.iter().zip(lines) {
        assert_eq!(
            theirs,
            case.said(),
            "{}: the pages' verifier (left) says otherwise about {}",
            case.name,
            case.question()
        );
        answered += 1;
    }
    assert_eq!(answered, cases.len(), "an answer for each case");
    println!("{what}: {answered} judged alike, by {engine}");
    Some(engine)
}
