//! Policies, heads that witnesses cosigned, and evidence of forks.

mod bundles;

use ed25519_dalek::{Signer, SigningKey};
use verifier::checkpoint::Checkpoint;
use verifier::cose::CoseReceipt;
use verifier::cosignature::{WitnessKey, signed_bytes};
use verifier::hash::Hash;
use verifier::proof::prove_consistency;
use verifier::receipt::Receipt;
use verifier::text::b64;
use verifier::verify::{ForkEvidence, LogKey};

use super::log::ORIGIN;
use super::{Case, Kind, Log, OTHER};
use crate::support::sure;

/// A witness of the corpus, by its number.
struct Witness {
    name: String,
    signing: SigningKey,
}

impl Witness {
    fn new(number: u8) -> Self {
        Self { name: format!("witness.example/w{number}"), signing: SigningKey::from_bytes(&[20 + number; 32]) }
    }

    fn key(&self) -> WitnessKey {
        WitnessKey::new(&self.name, self.signing.verifying_key().as_bytes()).unwrap()
    }

    fn line(&self, text: &str, time: u64) -> String {
        self.line_of(&self.cosignature(text, time))
    }

    fn cosignature(&self, text: &str, time: u64) -> Vec<u8> {
        let signature = self.signing.sign(&signed_bytes(time, text)).to_bytes();
        [&time.to_be_bytes()[..], &signature].concat()
    }

    fn line_of(&self, cosignature: &[u8]) -> String {
        format!("\u{2014} {} {}\n", self.name, b64(&[&self.key().id()[..], cosignature].concat()))
    }
}

const TIME: u64 = 1_700_000_000;

fn text(log: &Log, size: u64) -> String {
    Checkpoint { origin: ORIGIN.into(), size, root: log.root(size) }.text()
}

/// A head with lines of these witnesses behind the log's.
fn cosigned(log: &Log, size: u64, witnesses: &[u8]) -> String {
    let text = text(log, size);
    let lines: String = witnesses.iter().map(|number| Witness::new(*number).line(&text, TIME)).collect();
    format!("{}{lines}", log.head(size))
}

fn witness_lines() -> String {
    (1..=4).map(|number| format!("witness W{number} {}\n", Witness::new(number).key())).collect()
}

/// Two of three, and the fourth.
fn policy(log: &Log) -> String {
    let witnesses = witness_lines();
    format!(
        "# ours\nlog {} https://{ORIGIN}\n\n{witnesses}group three 2 W1 W2 W3\n\tgroup both all three W4\nquorum both\n",
        log.vkey()
    )
}

fn under(policy: &str, case: Case) -> Case {
    Case { keys: vec![], policy: Some(policy.to_owned()), ..case }
}

pub fn good() -> Vec<Case> {
    let log = Log::new();
    let ours = policy(&log);
    let receipt = Receipt { checkpoint: cosigned(&log, 9, &[1, 3, 4]), ..log.receipt(4, 9) };
    let mut range = log.range(2, 4, 9);
    range.checkpoint = cosigned(&log, 9, &[2, 3, 4]);
    let again = format!("{}{}", cosigned(&log, 9, &[1, 2, 4]), Witness::new(1).line(&text(&log, 9), TIME + 1));
    let late = format!("{}{}", log.head(9), Witness::new(1).line(&text(&log, 9), (1 << 63) - 1));
    let one = format!("log {}\n{}quorum W1\n", log.vkey(), witness_lines());
    let none = format!("log {}\n{}quorum none\n", log.vkey(), witness_lines());
    let cose = CoseReceipt::Inclusion(log.inclusion(4, 9)).encode().unwrap();
    let mut cases = vec![
        under(&ours, log.evidence("head that the quorum cosigned", cosigned(&log, 9, &[1, 2, 4]))),
        under(&ours, log.evidence("head that all witnesses cosigned", cosigned(&log, 9, &[4, 3, 2, 1]))),
        under(&ours, log.evidence("head that one witness cosigned twice", again)),
        under(&ours, log.evidence("head that a stranger cosigned too", cosigned(&log, 9, &[1, 2, 4, 9]))),
        under(&ours, log.evidence("receipt whose head the quorum cosigned", receipt.text())),
        under(&ours, log.evidence("JSON receipt whose head the quorum cosigned", receipt.to_json().unwrap())),
        Case {
            leaves: log.run(2, 4),
            ..under(&ours, log.evidence("range whose head the quorum cosigned", range.to_json()))
        },
        Case {
            kept: Some(log.head(5)),
            ..under(&ours, log.evidence("receipt beside a kept head, cosigned", receipt.text()))
        },
        under(&one, log.evidence("head cosigned at the last second", late)),
        under(&none, log.evidence("head that nobody cosigned, where nobody must", log.head(9))),
        under(&none, log.evidence("head that one cosigned, where nobody must", cosigned(&log, 9, &[3]))),
        Case {
            leaves: vec![log.leaf(4)],
            ..under(&none, log.evidence("COSE inclusion where nobody must have cosigned", cose))
        },
        Case {
            keys: vec![log.key()],
            policy: Some(format!("{}quorum W1\n", witness_lines())),
            ..log.evidence("head of a log that stands beside the policy", cosigned(&log, 9, &[1]))
        },
    ];
    for (name, text) in [
        ("two groups", ours.clone()),
        ("nothing but a quorum", "quorum none".to_owned()),
        ("tabs, spaces and comments", "\t # a comment \u{7801}\n \t\n  quorum \t none \t\n# quorum none\n".to_owned()),
        ("a name beyond ASCII", witness_lines().replace(" W1 ", " K\u{212a} ") + "quorum K\u{212a}\n"),
        ("an address", format!("witness a {} https://w.example/\nquorum a\n", Witness::new(1).key())),
        ("a threshold of all", witness_lines() + "group g 4 W1 W2 W3 W4\nquorum g\n"),
    ] {
        cases.push(Case::new(format!("policy with {name}"), Kind::Policy, text));
    }
    cases.extend(bundles::good());
    cases
}

pub fn evil() -> Vec<Case> {
    let log = Log::new();
    [cosignatures(&log), policies(&log), forks(&log), bundles::evil()].concat()
}

/// Heads that the quorum did not cosign.
fn cosignatures(log: &Log) -> Vec<Case> {
    let ours = policy(log);
    let body = text(log, 9);
    let first = Witness::new(1);
    let with = |line: String| format!("{}{line}", cosigned(log, 9, &[2, 3, 4]));
    let mut flipped = first.cosignature(&body, TIME);
    flipped[40] ^= 1;
    let mut earlier = first.cosignature(&body, TIME);
    earlier[7] ^= 1;
    let cose = CoseReceipt::Inclusion(log.inclusion(4, 9)).encode().unwrap();
    let other = Log { origin: OTHER, ..log.clone() };
    let plain = log.signing.sign(body.as_bytes()).to_bytes();
    let renamed = cosigned(log, 9, &[1, 2, 4]).replace("example/w4 ", "example/x4 ");
    let receipt = Receipt { checkpoint: cosigned(log, 9, &[1, 4]), ..log.receipt(4, 9) };
    let forged = Receipt { checkpoint: with(first.line_of(&flipped)), ..log.receipt(4, 9) };
    let mut cases = vec![
        under(&ours, log.evidence("head that nobody cosigned", log.head(9))),
        under(&ours, log.evidence("head that one of two groups cosigned", cosigned(log, 9, &[1, 2, 3]))),
        under(&ours, log.evidence("head that too few cosigned", cosigned(log, 9, &[1, 4]))),
        under(&ours, log.evidence("head that strangers cosigned", cosigned(log, 9, &[7, 8, 9]))),
        under(&ours, log.evidence("head whose cosignature has another name", renamed)),
        under(&ours, log.evidence("receipt whose head too few cosigned", receipt.text())),
        under(&ours, log.evidence("receipt whose head has a false cosignature", forged.text())),
        under(&ours, log.evidence("cosigned head of a log that is not in the policy", other.head(9))),
        Case {
            leaves: vec![log.leaf(4)],
            ..under(&ours, log.evidence("COSE inclusion, which nobody can have cosigned", cose))
        },
    ];
    for (name, line) in [
        ("a bit flipped", first.line_of(&flipped)),
        ("another time", first.line_of(&earlier)),
        ("the time 0", first.line(&body, 0)),
        ("a time of 2^63", first.line(&body, 1 << 63)),
        ("another text", first.line(&text(log, 8), TIME)),
        ("no time", first.line_of(&first.signing.sign(body.as_bytes()).to_bytes())),
        ("the log's signature", first.line_of(&plain)),
        ("71 bytes", first.line_of(&first.cosignature(&body, TIME)[..71])),
        ("73 bytes", first.line_of(&[first.cosignature(&body, TIME), vec![0]].concat())),
    ] {
        cases.push(under(&ours, log.evidence(format!("cosignature with {name}"), with(line))));
    }
    cases
}

/// Texts that are no policies.
fn policies(log: &Log) -> Vec<Case> {
    let (log_line, witnesses) = (format!("log {}\n", log.vkey()), witness_lines());
    let key = Witness::new(1).key();
    let names = |count: u8| (1..=count).map(|number| format!("witness w{number} {}\n", Witness::new(number).key()));
    let renamed = WitnessKey::new("another.example", &key.key_bytes()).unwrap();
    let logs =
        (0..65_u8).map(|number| Log { signing: SigningKey::from_bytes(&[100 + number; 32]), ..log.clone() }.vkey());
    let of_the_log = WitnessKey::new("w.example", &log.vkey().key_bytes()).unwrap();
    let texts: Vec<(&str, String)> = vec![
        ("nothing in it", String::new()),
        ("no quorum", format!("{log_line}{witnesses}")),
        ("two quorums", "quorum none\nquorum none\n".into()),
        ("a quorum of nobody", format!("{witnesses}quorum W5\n")),
        ("a quorum above its witness", format!("quorum W1\n{witnesses}")),
        ("a quorum of two", format!("{witnesses}quorum W1 W2\n")),
        ("an empty quorum", "quorum\n".into()),
        ("another word", "policy none\n".into()),
        ("a word in capitals", "Quorum none\n".into()),
        ("a comment behind a line", "quorum none # nobody\n".into()),
        ("carriage returns", "quorum none\r\n".into()),
        ("a byte order mark", "\u{feff}quorum none\n".into()),
        ("a wide space", "quorum\u{3000}none\n".into()),
        ("a delete character", "# \u{7f}\nquorum none\n".into()),
        ("a log without a key", "log\nquorum none\n".into()),
        ("a log with three items", format!("{} a b\nquorum none\n", log_line.trim())),
        ("a log with a witness's key", format!("log {key}\nquorum none\n")),
        ("a log with a key that is none", "log ledger.example\nquorum none\n".into()),
        ("one log twice", format!("{log_line}{log_line}quorum none\n")),
        ("a witness without a name", format!("witness {key}\nquorum none\n")),
        ("a witness with four items", format!("witness a {key} b c\nquorum none\n")),
        ("a witness with a log's key", format!("witness a {}\nquorum none\n", log.vkey())),
        ("a witness with another id", format!("witness a {}\nquorum none\n", key.to_string().replacen('+', "+0", 1))),
        ("a witness that is the log", format!("{log_line}witness a {of_the_log}\nquorum none\n")),
        ("one witness under two names", format!("witness a {key}\nwitness b {renamed}\nquorum none\n")),
        ("a witness called none", format!("witness none {key}\nquorum none\n")),
        ("a name of 256 bytes", format!("witness {} {key}\nquorum none\n", "n".repeat(256))),
        ("two witnesses of one name", witnesses.replace(" W2 ", " W1 ") + "quorum none\n"),
        ("a group without members", format!("{witnesses}group g any\nquorum g\n")),
        ("a group of nobody", format!("{witnesses}group g any W5\nquorum g\n")),
        ("a group of itself", format!("{witnesses}group g any g\nquorum g\n")),
        ("a group of none", format!("{witnesses}group g any none\nquorum g\n")),
        ("a group with the name of a witness", format!("{witnesses}group W1 any W2\nquorum W1\n")),
        ("a member twice", format!("{witnesses}group g 2 W1 W1\nquorum g\n")),
        ("a member of two groups", format!("{witnesses}group g any W1\ngroup h any W1\nquorum g\n")),
        ("a threshold of 0", format!("{witnesses}group g 0 W1\nquorum g\n")),
        ("a threshold beyond the members", format!("{witnesses}group g 3 W1 W2\nquorum g\n")),
        ("a threshold with a leading zero", format!("{witnesses}group g 01 W1\nquorum g\n")),
        ("a threshold that is a word", format!("{witnesses}group g constructor W1\nquorum g\n")),
        ("a threshold of 2^64", format!("{witnesses}group g 18446744073709551616 W1\nquorum g\n")),
        ("101 witnesses", names(101).collect::<String>() + "quorum none\n"),
        ("65 logs", logs.map(|vkey| format!("log {vkey}\n")).collect::<String>() + "quorum none\n"),
        (
            "65 groups",
            names(65).chain((1..=65).map(|n| format!("group g{n} any w{n}\n"))).collect::<String>() + "quorum none\n",
        ),
    ];
    let mut cases: Vec<Case> =
        (texts.into_iter()).map(|(name, text)| Case::new(format!("policy with {name}"), Kind::Policy, text)).collect();
    cases.push(Case::new("policy that is not UTF-8", Kind::Policy, b"# \xff\nquorum none\n"));
    cases
}

/// Two heads of one log: those that contradict each other are told by their own code, and none of it is verified.
fn forks(log: &Log) -> Vec<Case> {
    let fork = Log::forked();
    let vkey = log.vkey();
    let of = |name: &str, evidence: ForkEvidence| log.evidence(name, evidence.to_json());
    // What the fork has at the older size, proved below its own head.
    let shown = |from: u64, to: u64| {
        let proof = sure(prove_consistency(&fork.tree(), from, to));
        ForkEvidence::of_two_sizes(&log.head(from), &fork.head(to), &vkey, fork.root(from), proof)
    };
    let same = ForkEvidence::of_one_size(&log.head(9), &fork.head(9), &vkey);
    let proof = sure(prove_consistency(&log.tree(), 5, 9));
    let grown = ForkEvidence::of_two_sizes(&log.head(5), &log.head(9), &vkey, log.root(5), proof.clone());
    let lied = ForkEvidence::of_two_sizes(&log.head(5), &log.head(9), &vkey, Hash([7; 32]), proof.clone());
    let turned = ForkEvidence::of_two_sizes(&log.head(9), &fork.head(5), &vkey, fork.root(5), proof.clone());
    let empty = ForkEvidence::of_two_sizes(&log.head(0), &log.head(9), &vkey, log.root(0), vec![]);
    let mut short = sure(prove_consistency(&fork.tree(), 5, 9));
    short.pop();
    let short = ForkEvidence::of_two_sizes(&log.head(5), &fork.head(9), &vkey, fork.root(5), short);
    let unproved = ForkEvidence::of_one_size(&log.head(5), &fork.head(9), &vkey);
    let stranger = Log { signing: SigningKey::from_bytes(&[2; 32]), ..fork.clone() };
    let foreign = ForkEvidence::of_one_size(&log.head(9), &stranger.head(9), &stranger.vkey());
    let limited = LogKey { not_after: Some(0), max_size: Some(1), ..log.key() };
    let json = shown(5, 9).to_json();
    let note = ForkEvidence::of_one_size("no head", &fork.head(9), &vkey);
    let mut cases = vec![
        of("fork shown at one size", same.clone()),
        of("fork shown from 1 to 2", shown(1, 2)),
        of("fork shown from 5 to 9", shown(5, 9)),
        of("fork shown from 8 to 9", shown(8, 9)),
        of("fork shown with another node", shown(2, 12)),
        Case { keys: vec![limited], ..of("fork by a key beyond its limits", shown(5, 9)) },
        of("two heads that are one", ForkEvidence::of_one_size(&log.head(9), &log.head(9), &vkey)),
        of("two heads that agree", grown),
        of("the empty log and another head", empty),
        of("two heads and an invented root", lied),
        of("two heads the wrong way round", turned),
        of("two heads and a short proof", short),
        of("two heads of two sizes without a proof", unproved),
        of("two heads of which one is of a stranger", foreign),
        of("a fork of which one head is none", note),
        Case { keys: vec![], ..of("a fork under no key", same.clone()) },
        Case { keys: vec![stranger.key(), log.key()], ..of("fork by one of two keys of one name", same.clone()) },
        Case { policy: Some(policy(log)), keys: vec![], ..of("fork under a policy", same) },
    ];
    for (name, json) in [
        ("another schema", json.replace("fork/v1", "fork/v2")),
        ("a space in front", format!(" {json}")),
        ("a field twice", json.replacen("\"older\"", "\"newer\":\"\",\"older\"", 1)),
        ("a field too many", json.replacen("\"older\"", "\"x\":1,\"older\"", 1)),
        ("no proof", json.replace("\"proof\"", "\"extra\"")),
        ("a root and null for the proof", format!("{}null}}", json.split("[").next().unwrap())),
        ("a proof and null for the root", json.replacen(&format!("\"{}\"", fork.root(5)), "null", 1)),
        ("65 hashes", json.replacen('[', &format!("[{}", format!("\"{}\",", fork.root(5)).repeat(65)), 1)),
        ("something behind it", format!("{json}x")),
        ("128 KiB of spaces behind it", format!("{json}{}", " ".repeat(128 << 10))),
        ("nothing but its beginning", "{\"schema\":\"interlock/fork/v1\",".to_owned()),
    ] {
        cases.push(log.evidence(format!("evidence of a fork with {name}"), json));
    }
    cases
}
