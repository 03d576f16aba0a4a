//! Receipts of every form, from the same tree: told apart by their content, and climbed to a verified record.

use ed25519_dalek::{Signer, SigningKey};
use verifier::checkpoint::Checkpoint;
use verifier::cose::{Consistency, CoseError, CoseReceipt, Inclusion, signed_bytes};
use verifier::hash::{Hash, leaf_hash, root_of};
use verifier::note::{VerifierKey, signature_line};
use verifier::proof::{ProofError, prove_consistency, prove_inclusion, prove_range};
use verifier::receipt::{Form, FormError, RangeReceipt, Receipt, ReceiptError};
use verifier::record::Record;
use verifier::verify::{
    FormRefusal, LogKey, Refusal, Rung, climb, climb_cose, climb_range, verify_consistency_receipt,
};

use crate::support::{Tree, sure};

const ORIGIN: &str = "ledger.example/evidence";
const TIME: u64 = 1_790_000_000_000;

/// A small log of records with its key.
struct Log {
    signing: SigningKey,
    key: VerifierKey,
    leaves: Vec<Vec<u8>>,
}

impl Log {
    fn new(size: u8) -> Self {
        let signing = SigningKey::from_bytes(&[1; 32]);
        let key = VerifierKey::new(ORIGIN, signing.verifying_key().as_bytes()).unwrap();
        let leaves = (0..size).map(|number| {
            let (realm, media_type) = ("main".into(), "text/plain".into());
            Record::Statement { recorded_at: TIME, realm, media_type, body: vec![number; 3] }.encode()
        });
        Self { signing, key, leaves: leaves.collect() }
    }

    fn tree(&self) -> Tree {
        Tree(self.leaves.iter().map(|leaf| leaf_hash(leaf)).collect())
    }

    fn root(&self, size: u64) -> Hash {
        root_of(&self.tree().0[..usize::try_from(size).unwrap()])
    }

    fn head(&self, size: u64) -> String {
        let text = Checkpoint { origin: ORIGIN.into(), size, root: self.root(size) }.text();
        let signature = self.signing.sign(text.as_bytes()).to_bytes();
        format!("{text}\n{}", signature_line(ORIGIN, self.key.id(), &signature))
    }

    fn receipt(&self, index: u64, size: u64) -> Receipt {
        let path = sure(prove_inclusion(&self.tree(), index, size));
        let extra = Some(self.leaves[usize::try_from(index).unwrap()].clone());
        Receipt { index, path, extra, checkpoint: self.head(size) }
    }

    fn cose(&self, size: u64) -> [u8; 64] {
        self.signing.sign(&signed_bytes(&self.root(size))).to_bytes()
    }

    fn keys(&self) -> [LogKey; 1] {
        [LogKey::unlimited(self.key.clone())]
    }
}

#[test]
fn text_and_json_carry_the_same_receipt() {
    let log = Log::new(7);
    for index in 0..7 {
        let receipt = log.receipt(index, 7);
        let json = receipt.to_json().unwrap();
        assert_eq!(Receipt::from_json(json.as_bytes()), Ok(receipt.clone()));
        assert_eq!(Form::read(json.as_bytes()), Ok(Form::Leaf(receipt.clone())));
        assert_eq!(Form::read(receipt.text().as_bytes()), Ok(Form::Leaf(receipt.clone())));
        assert_eq!(climb(&receipt, None, &log.keys()).held, [Rung::Decoded, Rung::Included, Rung::Signed]);
    }
    let bare = Receipt { extra: None, ..log.receipt(2, 7) };
    assert_eq!(Receipt::from_json(bare.to_json().unwrap().as_bytes()), Ok(bare));
}

#[test]
fn a_json_receipt_whose_fields_disagree_is_refused() {
    let log = Log::new(3);
    let json = log.receipt(2, 3).to_json().unwrap();
    let (leaf, other) = (leaf_hash(&log.leaves[2]).to_string(), leaf_hash(b"x").to_string());
    for (changed, error) in [
        (json.replace("\"size\":3", "\"size\":4"), ReceiptError::Shape),
        (json.replace(&leaf, &other), ReceiptError::Shape),
        (json.replace(&format!("\"leaf\":\"{leaf}\","), ""), ReceiptError::Shape),
        (json.replace("\"index\":2", "\"index\":9223372036854775808"), ReceiptError::Shape),
        (json.replace("\"index\":2", "\"index\":2.0"), ReceiptError::Json),
        (json.replace("\"index\":2", "\"index\":\"2\""), ReceiptError::Json),
        (json.replace("\"index\":2", "\"index\":2,\"index\":2"), ReceiptError::Json),
        (json.replace("\"index\":2", "\"index\":2,\"more\":0"), ReceiptError::Json),
        (json.replace("\"index\":2,", ""), ReceiptError::Json),
        (json.replace("\"checkpoint\":\"", "\"checkpoint\":\" \\n"), ReceiptError::Shape),
        (format!("{json}x"), ReceiptError::Json),
        ("[]".into(), ReceiptError::Json),
    ] {
        assert_eq!(Receipt::from_json(changed.as_bytes()), Err(error), "{changed}");
    }
    let spaced = json.replace(',', " ,\n ");
    assert_eq!(Receipt::from_json(spaced.as_bytes()), Ok(log.receipt(2, 3)), "spaces mean nothing");
}

#[test]
fn what_announces_no_form_is_no_receipt() {
    for (bytes, error) in [
        (&b""[..], FormError::Receipt(ReceiptError::Header)),
        (b"\xff\xfe", FormError::Receipt(ReceiptError::Header)),
        (b"hello", FormError::Receipt(ReceiptError::Header)),
        (b"{}", FormError::Receipt(ReceiptError::Json)),
    ] {
        assert_eq!(Form::read(bytes), Err(error));
    }
    assert!(matches!(Form::read(&[0xd2, 0x84]), Err(FormError::Cose(_))));
}

#[test]
fn a_range_receipt_verifies_with_its_leaves_in_order_and_no_others() {
    let log = Log::new(9);
    let proof = sure(prove_range(&log.tree(), 2, 4, 9));
    let receipt = RangeReceipt { first: 2, count: 4, proof, checkpoint: log.head(9) };
    assert_eq!(Form::read(receipt.to_json().as_bytes()), Ok(Form::Range(receipt.clone())));
    let leaves: Vec<&[u8]> = log.leaves[2..6].iter().map(Vec::as_slice).collect();
    let climbed = climb_range(&receipt, &leaves, &log.keys());
    assert_eq!(climbed.held, [Rung::Decoded, Rung::Included, Rung::Signed]);
    let verified = climbed.verdict.unwrap();
    assert_eq!((verified.first(), verified.records().len(), verified.head().size), (2, 4, 9));

    let refused = |leaves: &[&[u8]], keys: &[LogKey]| climb_range(&receipt, leaves, keys).verdict.unwrap_err();
    assert_eq!(refused(&leaves[..3], &log.keys()), FormRefusal::Leaves { covers: 4, given: 3 });
    let swapped = [leaves[1], leaves[0], leaves[2], leaves[3]];
    assert_eq!(refused(&swapped, &log.keys()), Refusal::Inclusion(ProofError::Root).into());
    assert_eq!(refused(&[b"x", leaves[1], leaves[2], leaves[3]], &log.keys()).code(), "malformed_record");
    assert_eq!(refused(&leaves, &[]), Refusal::UnknownKey.into());
    let [mut retired] = log.keys();
    retired.max_size = Some(8);
    assert_eq!(refused(&leaves, &[retired.clone()]), Refusal::RetiredKey.into());
    retired = LogKey { max_size: None, not_after: Some(TIME), ..retired };
    assert_eq!(refused(&leaves, &[retired]), Refusal::RetiredKey.into());
}

#[test]
fn a_cose_receipt_verifies_with_its_leaf_and_a_key_without_limit_of_size() {
    let log = Log::new(9);
    let receipt = Inclusion { size: 9, index: 4, path: log.receipt(4, 9).path, signature: log.cose(9) };
    let bytes = CoseReceipt::Inclusion(receipt.clone()).encode().unwrap();
    assert_eq!(Form::read(&bytes), Ok(Form::Cose(CoseReceipt::Inclusion(receipt.clone()))));
    let climbed = climb_cose(&receipt, &log.leaves[4], &log.keys());
    assert_eq!(climbed.held, [Rung::Decoded, Rung::Included, Rung::Signed]);
    let verified = climbed.verdict.unwrap();
    assert_eq!((*verified.root(), *verified.leaf()), (log.root(9), leaf_hash(&log.leaves[4])));

    let refused = |leaf: &[u8], keys: &[LogKey]| climb_cose(&receipt, leaf, keys).verdict.unwrap_err();
    assert_eq!(refused(&log.leaves[5], &log.keys()), CoseError::Signature.into());
    assert_eq!(refused(b"x", &log.keys()).exit_code(), 3);
    assert_eq!(refused(&log.leaves[4], &[]), Refusal::UnknownKey.into());
    let [key] = log.keys();
    // The receipt says its size without a signature over it: a limit of size cannot be held against it.
    assert_eq!(refused(&log.leaves[4], &[LogKey { max_size: Some(100), ..key.clone() }]), Refusal::RetiredKey.into());
    assert_eq!(refused(&log.leaves[4], &[LogKey { not_before: Some(TIME + 1), ..key }]), Refusal::RetiredKey.into());
}

#[test]
fn a_consistency_receipt_continues_one_older_head() {
    let log = Log::new(9);
    let path = sure(prove_consistency(&log.tree(), 3, 9));
    let receipt = Consistency { from: 3, to: 9, path, signature: log.cose(9) };
    let verified = verify_consistency_receipt(&receipt, &log.head(3), &log.keys()).unwrap();
    assert_eq!((verified.from().size, verified.to(), *verified.root()), (3, 9, log.root(9)));

    let refused = |older: &str, keys: &[LogKey]| verify_consistency_receipt(&receipt, older, keys).unwrap_err();
    assert_eq!(refused(&log.head(4), &log.keys()), FormRefusal::OtherSize { receipt: 3, head: 4 });
    assert_eq!(refused(&log.head(3), &[]), Refusal::UnknownKey.into());
    assert_eq!(refused("x", &log.keys()).exit_code(), 3);
    // Another history of the same key: its head of size 3 is signed, and the receipt does not continue it.
    let mut other = Log::new(9);
    other.leaves[0] = other.leaves[8].clone();
    assert_eq!(refused(&other.head(3), &log.keys()), CoseError::Proof(ProofError::Root).into());
    let [key] = log.keys();
    assert_eq!(refused(&log.head(3), &[LogKey { max_size: Some(100), ..key }]), Refusal::RetiredKey.into());
}
