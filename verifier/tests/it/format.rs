//! The format chapter against the code: every golden vector in `FORMAT.md` is what this crate writes, reads back and verifies.
//!
//! A vector that changes is another format. Whoever means that changes it in the chapter, by hand; the failing test prints the new bytes.

use std::collections::BTreeMap;

use ed25519_dalek::{Signer, SigningKey};
use verifier::bundle::{Bundle, Entry, Manifest, Part, Parts};
use verifier::checkpoint::{Checkpoint, SignedCheckpoint};
use verifier::cose::{Consistency, CoseReceipt, Inclusion, signed_bytes};
use verifier::hash::{Hash, leaf_hash, root_of};
use verifier::note::{VerifierKey, signature_line};
use verifier::proof::{prove_consistency, prove_inclusion, prove_range, verify_inclusion, verify_many, verify_range};
use verifier::receipt::{Form, RangeReceipt, Receipt};
use verifier::text::{hex, unhex};
use verifier::verify::{ForkEvidence, LogKey};

use crate::support::{Tree, prove_many, sure};

const CHAPTER: &str = include_str!("../../FORMAT.md");
const ORIGIN: &str = "ledger.example/evidence";
const VKEY: &str = "ledger.example/evidence+6115c7bb+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";
const ENTRIES: [&[u8]; 3] = [b"alpha", b"", b"gamma"];

fn signing() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn key() -> VerifierKey {
    VerifierKey::new(ORIGIN, signing().verifying_key().as_bytes()).unwrap()
}

fn tree() -> Tree {
    Tree(ENTRIES.iter().map(|entry| leaf_hash(entry)).collect())
}

fn root(size: usize) -> Hash {
    root_of(&tree().0[..size])
}

fn signed(size: u64, root: Hash) -> String {
    let head = Checkpoint { origin: ORIGIN.into(), size, root };
    let line = signature_line(ORIGIN, key().id(), &signing().sign(head.text().as_bytes()).to_bytes());
    format!("{}\n{line}", head.text())
}

/// Everything that the chapter has, made by the code.
fn vectors() -> BTreeMap<&'static str, Vec<u8>> {
    let checkpoint = signed(3, root(3));
    let path = sure(prove_inclusion(&tree(), 2, 3));
    let receipt =
        Receipt { index: 2, path: path.clone(), extra: Some(b"gamma".to_vec()), checkpoint: checkpoint.clone() };
    let proof = sure(prove_range(&tree(), 1, 2, 3));
    let range = RangeReceipt { first: 1, count: 2, proof, checkpoint: checkpoint.clone() };
    let signature = signing().sign(&signed_bytes(&root(3))).to_bytes();
    let inclusion = CoseReceipt::Inclusion(Inclusion { size: 3, index: 2, path, signature });
    let path = sure(prove_consistency(&tree(), 2, 3));
    let consistency = CoseReceipt::Consistency(Consistency { from: 2, to: 3, path, signature });
    let other = Tree([b"beta".as_slice(), b"", b"gamma"].map(leaf_hash).into());
    let growth = sure(prove_consistency(&other, 2, 3));
    let heads = (signed(2, root(2)), signed(3, root_of(&other.0)));
    let fork = ForkEvidence::of_two_sizes(&heads.0, &heads.1, &key(), root_of(&other.0[..2]), growth);
    BTreeMap::from([
        ("fork", fork.to_json().into_bytes()),
        ("tlog-proof", receipt.text().into_bytes()),
        ("receipt JSON", receipt.to_json().unwrap().into_bytes()),
        ("range receipt JSON", range.to_json().into_bytes()),
        ("COSE signed bytes", signed_bytes(&root(3))),
        ("COSE inclusion", inclusion.encode().unwrap()),
        ("COSE consistency", consistency.encode().unwrap()),
        ("bundle", bundle(&checkpoint).encode()),
    ])
}

/// The first and the last entry, of which one has a part of each sort but one.
fn bundle(checkpoint: &str) -> Bundle<'_> {
    let part = Part::Disclosed { salt: [7; 16], bytes: b"{}" };
    let entry = |index, record, parts| Entry { index, record, parts };
    Bundle {
        manifest: Manifest { vkey: VKEY, choice: "indexes=0,2", decisions: 1, epochs: vec![1] },
        checkpoint,
        entries: vec![
            entry(0, ENTRIES[0], Some(Parts { request: part, detail: Part::Erased { by: 2 } })),
            entry(2, ENTRIES[2], None),
        ],
        proof: prove_many(&tree().0, &[0, 2]),
    }
}

/// The blocks ` ```golden NAME ` (hexadecimal digits, and what stands behind `#` is for people) and ` ```golden-text NAME ` (verbatim; a
/// JSON document has no final newline).
fn goldens(chapter: &str) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut lines = chapter.lines();
    while let Some(line) = lines.next() {
        let (name, text) = match (line.strip_prefix("```golden "), line.strip_prefix("```golden-text ")) {
            (Some(name), _) => (name, false),
            (_, Some(name)) => (name, true),
            _ => continue,
        };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let bytes = if text {
            let text = block.join("\n");
            if text.starts_with('{') { text.into_bytes() } else { (text + "\n").into_bytes() }
        } else {
            let hex: String = block.iter().map(|line| line.split('#').next().unwrap().replace(' ', "")).collect();
            unhex(&hex).unwrap()
        };
        assert_eq!(found.insert(name.to_owned(), bytes), None, "`{name}` stands twice");
    }
    found
}

#[test]
fn the_format_chapter_has_the_bytes_that_the_code_writes() {
    let chapter = goldens(CHAPTER);
    let code: BTreeMap<String, Vec<u8>> = vectors().into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect();
    for (name, bytes) in &code {
        let shown = || {
            if name.starts_with("COSE") || name == "bundle" {
                hex(bytes)
            } else {
                String::from_utf8_lossy(bytes).into_owned()
            }
        };
        assert!(
            chapter.get(name) == Some(bytes),
            "`{name}` is not what FORMAT.md has. If another format is meant, put it there:\n{}",
            shown()
        );
    }
    assert_eq!(chapter.keys().collect::<Vec<_>>(), code.keys().collect::<Vec<_>>());
}

#[test]
fn the_vectors_of_the_chapter_verify_with_its_key_alone() {
    let chapter = goldens(CHAPTER);
    let key: VerifierKey =
        CHAPTER.split('`').find(|word| word.starts_with(ORIGIN) && word.contains('+')).unwrap().parse().unwrap();
    let gamma = leaf_hash(b"gamma");
    for name in ["tlog-proof", "receipt JSON"] {
        let Ok(Form::Leaf(receipt)) = Form::read(&chapter[name]) else { panic!("{name}") };
        let head = SignedCheckpoint::open(&receipt.checkpoint, &key, ORIGIN).unwrap();
        assert_eq!(receipt.extra.as_deref(), Some(&b"gamma"[..]));
        verify_inclusion(&gamma, receipt.index, head.checkpoint().size, &receipt.path, &head.checkpoint().root)
            .unwrap();
    }
    let Ok(Form::Range(range)) = Form::read(&chapter["range receipt JSON"]) else { panic!("a range") };
    let head = SignedCheckpoint::open(&range.checkpoint, &key, ORIGIN).unwrap();
    verify_range(range.first, &[leaf_hash(b""), gamma], 3, &range.proof, &head.checkpoint().root).unwrap();
    let bundle = Bundle::decode(&chapter["bundle"]).unwrap();
    assert_eq!(bundle.manifest.vkey, key.to_string());
    let head = SignedCheckpoint::open(bundle.checkpoint, &key, ORIGIN).unwrap();
    let leaves: Vec<Hash> = bundle.entries.iter().map(|entry| leaf_hash(entry.record)).collect();
    verify_many(&[0, 2], &leaves, 3, &bundle.proof, &head.checkpoint().root).unwrap();
    let Ok(Form::Cose(CoseReceipt::Inclusion(receipt))) = Form::read(&chapter["COSE inclusion"]) else {
        panic!("COSE")
    };
    assert_eq!(receipt.verify(&gamma, &key), Ok(root(3)));
    let Ok(Form::Cose(CoseReceipt::Consistency(receipt))) = Form::read(&chapter["COSE consistency"]) else {
        panic!("COSE")
    };
    assert_eq!(receipt.verify(&root(2), &key), Ok(root(3)));
    let fork = ForkEvidence::read(&chapter["fork"]).unwrap().check(&[LogKey::unlimited(key)]).unwrap();
    assert_eq!((fork.older().checkpoint().root, fork.newer().checkpoint().size), (root(2), 3));
}
