//! A small log with a record of every kind, and the evidence about it that must verify.

use ed25519_dalek::{Signer, SigningKey};
use verifier::checkpoint::Checkpoint;
use verifier::cose::{Consistency, CoseReceipt, Inclusion, signed_bytes};
use verifier::hash::{Hash, leaf_hash, root_of};
use verifier::note::{VerifierKey, signature_line};
use verifier::proof::{prove_consistency, prove_inclusion, prove_range};
use verifier::receipt::{RangeReceipt, Receipt};
use verifier::record::Record;
use verifier::verify::LogKey;

use super::{Case, Kind};
use crate::records::every_kind;
use crate::support::{Tree, sure};

pub const ORIGIN: &str = "ledger.example/evidence";
/// Another log.
pub const OTHER: &str = "ledger.example/other";

/// The log and its key.
#[derive(Clone)]
pub struct Log {
    pub origin: &'static str,
    pub signing: SigningKey,
    pub leaves: Vec<Vec<u8>>,
}

impl Log {
    pub fn new() -> Self {
        let leaves = every_kind().iter().map(Record::encode).collect();
        Self { origin: ORIGIN, signing: SigningKey::from_bytes(&[1; 32]), leaves }
    }

    /// The same key over another history: two leaves have changed places.
    pub fn forked() -> Self {
        let mut log = Self::new();
        log.leaves.swap(0, 1);
        log
    }

    pub fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    pub fn vkey(&self) -> VerifierKey {
        VerifierKey::new(self.origin, self.signing.verifying_key().as_bytes()).unwrap()
    }

    pub fn key(&self) -> LogKey {
        LogKey::unlimited(self.vkey())
    }

    pub fn tree(&self) -> Tree {
        Tree(self.leaves.iter().map(|leaf| leaf_hash(leaf)).collect())
    }

    pub fn root(&self, size: u64) -> Hash {
        root_of(&self.tree().0[..usize::try_from(size).unwrap()])
    }

    pub fn head(&self, size: u64) -> String {
        self.sign(&Checkpoint { origin: self.origin.into(), size, root: self.root(size) }.text())
    }

    /// A note of any text by the log's key.
    pub fn sign(&self, text: &str) -> String {
        format!("{text}\n{}", self.line(text))
    }

    pub fn line(&self, text: &str) -> String {
        signature_line(self.origin, self.vkey().id(), &self.signing.sign(text.as_bytes()).to_bytes())
    }

    pub fn receipt(&self, index: u64, size: u64) -> Receipt {
        let path = sure(prove_inclusion(&self.tree(), index, size));
        let extra = Some(self.leaf(index));
        Receipt { index, path, extra, checkpoint: self.head(size) }
    }

    pub fn leaf(&self, index: u64) -> Vec<u8> {
        self.leaves[usize::try_from(index).unwrap()].clone()
    }

    pub fn range(&self, first: u64, count: u64, size: u64) -> RangeReceipt {
        let proof = sure(prove_range(&self.tree(), first, count, size));
        RangeReceipt { first, count, proof, checkpoint: self.head(size) }
    }

    pub fn run(&self, first: u64, count: u64) -> Vec<Vec<u8>> {
        (first..first + count).map(|index| self.leaf(index)).collect()
    }

    pub fn inclusion(&self, index: u64, size: u64) -> Inclusion {
        Inclusion { size, index, path: self.receipt(index, size).path, signature: self.cose(size) }
    }

    pub fn consistency(&self, from: u64, to: u64) -> Consistency {
        let path = sure(prove_consistency(&self.tree(), from, to));
        Consistency { from, to, path, signature: self.cose(to) }
    }

    fn cose(&self, size: u64) -> [u8; 64] {
        self.signing.sign(&signed_bytes(&self.root(size))).to_bytes()
    }

    /// Evidence judged under the log's key.
    pub fn evidence(&self, name: impl Into<String>, input: impl Into<Vec<u8>>) -> Case {
        Case { keys: vec![self.key()], ..Case::new(name, Kind::Evidence, input) }
    }
}

/// Signs the last line of a note again, so that a changed text gets past the signature; other bytes stay as they are.
pub fn resign(bytes: &mut [u8]) {
    let log = Log::new();
    let Some(end) = bytes.windows(2).rposition(|pair| pair == b"\n\n") else { return };
    let Ok(text) = str::from_utf8(&bytes[..=end]) else { return };
    let line = log.line(text);
    let tail = &mut bytes[end + 2..];
    if tail.len() >= line.len() {
        let at = tail.len() - line.len();
        tail[at..].copy_from_slice(line.as_bytes());
    }
}

/// What must verify.
pub fn good() -> Vec<Case> {
    let log = Log::new();
    let size = log.size();
    let mut cases = Vec::new();
    for (index, leaf) in (0..).zip(&log.leaves) {
        cases.push(Case::new(format!("record {index}"), Kind::Record, leaf.clone()));
        cases.push(log.evidence(format!("text receipt of {index} in {size}"), log.receipt(index, size).text()));
    }
    for size in 1..=9 {
        let index = size / 2;
        cases.push(log.evidence(format!("text receipt of {index} in {size}"), log.receipt(index, size).text()));
    }
    let json = log.receipt(3, size).to_json().unwrap();
    cases.push(log.evidence("JSON receipt", json.clone()));
    cases.push(log.evidence("JSON receipt with spaces", json.replace(',', " ,\r\n\t")));
    cases.push(log.evidence("JSON receipt with escapes", json.replace("ledger", "\\u006ce\\u0064ger")));
    let bare = Receipt { extra: None, ..log.receipt(3, size) };
    let nulls = bare.to_json().unwrap().replace("\"path\"", "\"leaf\":null,\"extra\":null,\"path\"");
    for (name, input) in
        [("bare text receipt", bare.text()), ("bare JSON receipt", bare.to_json().unwrap()), ("nulls", nulls)]
    {
        cases.push(Case { leaves: vec![log.leaf(3)], ..log.evidence(format!("{name}, leaf beside it"), input) });
    }
    for (first, count, size) in [(0, 1, 1), (0, size, size), (2, 4, 9), (5, 1, 9), (8, 1, 9), (3, 9, size)] {
        let (name, leaves) = (format!("range of {count} from {first} in {size}"), log.run(first, count));
        cases.push(Case { leaves, ..log.evidence(name, log.range(first, count, size).to_json()) });
    }
    for (index, size) in [(0, 2), (4, 9), (8, 9), (7, size)] {
        let receipt = CoseReceipt::Inclusion(log.inclusion(index, size)).encode().unwrap();
        let name = format!("COSE inclusion of {index} in {size}");
        cases.push(Case { leaves: vec![log.leaf(index)], ..log.evidence(name, receipt) });
    }
    for (from, to) in [(1, 2), (2, 3), (4, 9), (7, size), (8, size)] {
        let receipt = CoseReceipt::Consistency(log.consistency(from, to)).encode().unwrap();
        let name = format!("COSE consistency from {from} to {to}");
        cases.push(Case { kept: Some(log.head(from)), ..log.evidence(name, receipt) });
    }
    // The signature covers the root alone: another place with the same turns verifies, and the verdict calls it the receipt's word.
    let elsewhere = Inclusion { size: 2, index: 1, ..log.inclusion(2, 3) };
    let elsewhere = CoseReceipt::Inclusion(elsewhere).encode().unwrap();
    cases.push(Case { leaves: vec![log.leaf(2)], ..log.evidence("COSE inclusion at another place", elsewhere) });
    cases.extend(heads(&log));
    cases.extend(kept(&log));
    cases.extend(times(&log));
    cases.push(Case::new("key", Kind::Key, log.vkey().to_string()));
    cases.push(Case::new("key of another log", Kind::Key, Log { origin: OTHER, ..log }.vkey().to_string()));
    cases
}

/// Checkpoints by themselves.
fn heads(log: &Log) -> Vec<Case> {
    let (empty, stranger) = (log.head(0), Log { signing: SigningKey::from_bytes(&[2; 32]), ..log.clone() });
    let text = Checkpoint { origin: ORIGIN.into(), size: 3, root: log.root(3) }.text();
    let extended = format!("{text}an extension\nanother \u{2014} one\n");
    let foreign = signature_line("witness.example/w1", [9; 4], &[7; 64]);
    let two = format!("{text}\n{foreign}{}{}", stranger.line(&text), log.line(&text));
    let twice = format!("{text}\n{0}{0}", log.line(&text));
    let limited = LogKey { not_before: Some(u64::MAX), max_size: Some(3), ..log.key() };
    vec![
        log.evidence("head", log.head(3)),
        log.evidence("head of the empty log", empty),
        log.evidence("head with extension lines", log.sign(&extended)),
        log.evidence("head with lines of others", two),
        log.evidence("head that is signed twice by one key", twice),
        Case {
            keys: vec![stranger.key(), log.key()],
            ..log.evidence("head under the second of two keys", log.head(3))
        },
        Case { keys: vec![limited], ..log.evidence("head at the last size of a key", log.head(3)) },
        // A leaf's time is not a head's: it has none.
        log.evidence("head of a size just below 2^63", log.sign(&text.replace("\n3\n", "\n9223372036854775807\n"))),
    ]
}

/// Beside a head that the reader kept.
fn kept(log: &Log) -> Vec<Case> {
    let size = log.size();
    let mut cases = Vec::new();
    for index in 0..size - 1 {
        // The receipt of the kept head's last leaf shows its root beside the new one.
        let name = format!("receipt of {index}, which was the last leaf of the kept head");
        cases.push(Case { kept: Some(log.head(index + 1)), ..log.evidence(name, log.receipt(index, size).text()) });
    }
    let leaves = log.run(2, 4);
    let inclusion = CoseReceipt::Inclusion(log.inclusion(4, 9)).encode().unwrap();
    cases.extend([
        Case {
            kept: Some(log.head(size)),
            ..log.evidence("receipt and its own head, kept", log.receipt(1, size).text())
        },
        Case {
            kept: Some(log.head(5)),
            ..log.evidence("receipt that cannot be compared", log.receipt(1, size).text())
        },
        Case { kept: Some(log.head(size)), ..log.evidence("receipt below the kept head", log.receipt(1, 5).text()) },
        Case {
            kept: Some(log.head(9)),
            leaves,
            ..log.evidence("range and its own head", log.range(2, 4, 9).to_json())
        },
        Case { kept: Some(log.head(9)), ..log.evidence("head that is the kept one", log.head(9)) },
        Case { kept: Some(log.head(8)), ..log.evidence("head that cannot be compared", log.head(9)) },
        Case {
            kept: Some(log.head(9)),
            leaves: vec![log.leaf(4)],
            ..log.evidence("COSE inclusion beside a kept head", inclusion)
        },
    ]);
    cases
}

/// Records of times at the ends of what has a text.
fn times(log: &Log) -> Vec<Case> {
    let times = [0, 1_795_428_000_999, 253_402_207_200_000, 253_402_207_200_001, 253_402_300_800_000, u64::MAX];
    let record = |recorded_at| Record::State { recorded_at, decisions: 1 << 63, digest: Hash([4; 32]) };
    let log = Log { leaves: times.iter().map(|time| record(*time).encode()).collect(), ..log.clone() };
    let named = |(index, time)| log.evidence(format!("record of the time {time}"), log.receipt(index, 6).text());
    (0..).zip(times).map(named).collect()
}
