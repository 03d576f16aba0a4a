//! COSE receipts: every tree up to 64 leaves, every bit, every header that is not ours, and what a place is worth in them.

use ed25519_dalek::{Signer, SigningKey};
use verifier::cbor::Encoder;
use verifier::cose::{Consistency, CoseError, CoseReceipt, Inclusion, MAX_COSE, signed_bytes};
use verifier::hash::{Hash, root_of};
use verifier::note::VerifierKey;
use verifier::proof::{
    MAX_CONSISTENCY, ProofError, prove_consistency, prove_inclusion, root_of_consistency, root_of_inclusion,
};

use crate::support::{Tree, leaf, leaves, sure};

/// Largest tree of which every receipt is made and verified.
const ALL: u64 = 64;
/// Largest tree of which every bit of every receipt is flipped.
const FLIPPED: u64 = 8;

fn signing() -> (SigningKey, VerifierKey) {
    let signing = SigningKey::from_bytes(&[1; 32]);
    let key = VerifierKey::new("ledger.example/evidence", signing.verifying_key().as_bytes()).unwrap();
    (signing, key)
}

fn sign(root: &Hash) -> [u8; 64] {
    signing().0.sign(&signed_bytes(root)).to_bytes()
}

fn inclusion(tree: &Tree, index: u64, size: u64) -> Inclusion {
    let path = sure(prove_inclusion(tree, index, size));
    Inclusion { size, index, path, signature: sign(&root_of(&leaves(size))) }
}

fn consistency(tree: &Tree, from: u64, to: u64) -> Consistency {
    let path = sure(prove_consistency(tree, from, to));
    Consistency { from, to, path, signature: sign(&root_of(&leaves(to))) }
}

/// The receipt with its parts replaced: what an encoder that is not ours could write.
fn written(
    protected: &[u8],
    unprotected: impl Fn(&mut Encoder<'_>),
    payload: Option<&[u8]>,
    signature: &[u8],
) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder(&mut out);
    encoder.tag(18);
    encoder.array(4);
    encoder.bytes(protected);
    unprotected(&mut encoder);
    match payload {
        Some(payload) => encoder.bytes(payload),
        None => encoder.null(),
    }
    encoder.bytes(signature);
    out
}

/// The unprotected header with these proofs under these labels.
fn proofs<'a>(label: i64, kind: i64, proofs: &'a [Vec<u8>]) -> impl Fn(&mut Encoder<'_>) + 'a {
    move |encoder| {
        encoder.map(1);
        encoder.int(label);
        encoder.map(1);
        encoder.int(kind);
        encoder.array(proofs.len());
        proofs.iter().for_each(|proof| encoder.bytes(proof));
    }
}

fn proof(numbers: &[u64], path: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder(&mut out);
    encoder.array(numbers.len() + 1);
    numbers.iter().for_each(|number| encoder.uint(*number));
    encoder.array(path.len());
    path.iter().for_each(|hash| encoder.bytes(hash));
    out
}

const PROTECTED: &[u8] = &[0xa2, 0x01, 0x27, 0x19, 0x01, 0x8b, 0x01];

#[test]
fn every_inclusion_and_consistency_reads_back_and_verifies() {
    let (_, key) = signing();
    let tree = Tree(leaves(ALL));
    for size in 1..=ALL {
        let root = root_of(&leaves(size));
        let signature = sign(&root);
        for index in 0..size {
            let receipt = Inclusion { size, index, path: sure(prove_inclusion(&tree, index, size)), signature };
            let form = CoseReceipt::Inclusion(receipt.clone());
            if size == 1 {
                assert_eq!(form.encode(), Err(CoseError::Empty));
                continue;
            }
            assert_eq!(CoseReceipt::decode(&form.encode().unwrap()), Ok(form), "{index} of {size}");
            assert_eq!(receipt.verify(&leaf(index), &key), Ok(root), "{index} of {size}");
        }
        for from in 0..=size {
            let receipt = Consistency { from, to: size, path: sure(prove_consistency(&tree, from, size)), signature };
            let form = CoseReceipt::Consistency(receipt.clone());
            if from == 0 || from == size {
                assert_eq!(form.encode(), Err(CoseError::Empty));
                assert_eq!(receipt.verify(&root, &key), Err(ProofError::Bounds.into()));
                continue;
            }
            assert_eq!(CoseReceipt::decode(&form.encode().unwrap()), Ok(form), "{from} to {size}");
            assert_eq!(receipt.verify(&root_of(&leaves(from)), &key), Ok(root), "{from} to {size}");
        }
    }
}

#[test]
fn every_bit_of_a_receipt_counts_but_those_that_name_another_place_with_the_same_turns() {
    let (_, key) = signing();
    let tree = Tree(leaves(FLIPPED));
    let (mut refused, mut renamed) = (0_u32, 0_u32);
    let mut judge = |bytes: &[u8], verify: &dyn Fn(CoseReceipt) -> Option<Hash>, root: Hash| {
        let whole = CoseReceipt::decode(bytes).unwrap();
        assert_eq!(verify(whole.clone()), Some(root));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let Ok(read) = CoseReceipt::decode(&flipped) else {
                refused += 1;
                continue;
            };
            assert_eq!(read.encode().as_ref(), Ok(&flipped), "what is accepted is written back");
            if verify(read.clone()).is_none() {
                refused += 1;
                continue;
            }
            // The signature covers the root, and the root does not know the place: only numbers may differ, and the root is the same.
            renamed += 1;
            match (&whole, &read) {
                (CoseReceipt::Inclusion(one), CoseReceipt::Inclusion(other)) => {
                    assert_eq!((&one.path, one.signature), (&other.path, other.signature));
                }
                (CoseReceipt::Consistency(one), CoseReceipt::Consistency(other)) => {
                    assert_eq!((&one.path, one.signature), (&other.path, other.signature));
                }
                _ => panic!("one kind passes for the other"),
            }
        }
    };
    for size in 2..=FLIPPED {
        let root = root_of(&leaves(size));
        for index in 0..size {
            let bytes = CoseReceipt::Inclusion(inclusion(&tree, index, size)).encode().unwrap();
            let verify = |receipt| match receipt {
                CoseReceipt::Inclusion(receipt) => receipt.verify(&leaf(index), &key).ok(),
                CoseReceipt::Consistency(_) => None,
            };
            judge(&bytes, &verify, root);
        }
        for from in 1..size {
            let bytes = CoseReceipt::Consistency(consistency(&tree, from, size)).encode().unwrap();
            let older = root_of(&leaves(from));
            let verify = |receipt| match receipt {
                CoseReceipt::Consistency(receipt) => receipt.verify(&older, &key).ok(),
                CoseReceipt::Inclusion(_) => None,
            };
            judge(&bytes, &verify, root);
        }
    }
    assert!(refused > 80_000 && renamed > 0 && renamed < refused / 500, "{refused} refused, {renamed} renamed");
}

#[test]
fn a_receipt_holds_for_one_leaf_one_key_and_one_older_root() {
    let (_, key) = signing();
    let tree = Tree(leaves(ALL));
    let receipt = inclusion(&tree, 5, 13);
    assert_eq!(receipt.verify(&leaf(6), &key), Err(CoseError::Signature));
    let other = SigningKey::from_bytes(&[2; 32]);
    let other = VerifierKey::new(key.name(), other.verifying_key().as_bytes()).unwrap();
    assert_eq!(receipt.verify(&leaf(5), &other), Err(CoseError::Signature));
    assert_eq!(Inclusion { index: 13, ..receipt.clone() }.verify(&leaf(5), &key), Err(ProofError::Bounds.into()));
    assert_eq!(Inclusion { index: 12, ..receipt }.verify(&leaf(5), &key), Err(ProofError::Length.into()));
    let receipt = consistency(&tree, 6, 13);
    assert_eq!(receipt.verify(&root_of(&leaves(5)), &key), Err(ProofError::Root.into()));
    assert_eq!(receipt.verify(&root_of(&leaves(6)), &other), Err(CoseError::Signature));
}

#[test]
fn two_places_may_have_one_receipt_so_a_place_is_not_what_it_proves() {
    let (_, key) = signing();
    // Three leaves; the third stands behind the node of the first two. The same path says «second of two».
    let tree = Tree(leaves(3));
    let receipt = inclusion(&tree, 2, 3);
    let renamed = Inclusion { index: 1, size: 2, ..receipt.clone() };
    assert_eq!(renamed.verify(&leaf(2), &key), receipt.verify(&leaf(2), &key));
    assert_eq!(root_of_inclusion(&leaf(2), 1, 2, &receipt.path), root_of_inclusion(&leaf(2), 2, 3, &receipt.path));
    assert_eq!(root_of_consistency(1, 3, &[], &leaf(0)), Err(ProofError::Length));
}

#[test]
fn no_other_header_payload_or_shape_is_accepted() {
    let hash = [7; 32];
    let good = [proof(&[3, 2], &[&hash])];
    let signature = [9; 64];
    let decode = |bytes: &[u8]| CoseReceipt::decode(bytes);
    assert!(decode(&written(PROTECTED, proofs(396, -1, &good), None, &signature)).is_ok());
    assert!(decode(&written(PROTECTED, proofs(396, -2, &good), None, &signature)).is_ok());

    // Protected: no header, another algorithm, another structure, a kid, a critical header, a longer form of the same.
    for protected in [
        &[][..],
        &[0xa0],
        &[0xa1, 0x01, 0x27],
        &[0xa2, 0x01, 0x26, 0x19, 0x01, 0x8b, 0x01],
        &[0xa2, 0x01, 0x32, 0x19, 0x01, 0x8b, 0x01],
        &[0xa2, 0x01, 0x27, 0x19, 0x01, 0x8b, 0x02],
        &[0xa3, 0x01, 0x27, 0x04, 0x41, 0x00, 0x19, 0x01, 0x8b, 0x01],
        &[0xa3, 0x01, 0x27, 0x02, 0x81, 0x19, 0x01, 0x8b, 0x19, 0x01, 0x8b, 0x01],
        &[0xa2, 0x01, 0x38, 0x07, 0x19, 0x01, 0x8b, 0x01],
        &[0xa2, 0x19, 0x01, 0x8b, 0x01, 0x01, 0x27],
    ] {
        assert_eq!(decode(&written(protected, proofs(396, -1, &good), None, &signature)), Err(CoseError::Protected));
    }
    // Unprotected: other labels, other kinds, none or two proofs, a header beside.
    for (label, kind) in [(395, -1), (394, -1), (396, -3), (396, 1), (-396, -1)] {
        assert_eq!(decode(&written(PROTECTED, proofs(label, kind, &good), None, &signature)), Err(CoseError::Proofs));
    }
    for number in [0, 2] {
        let several = vec![good[0].clone(); number];
        assert!(decode(&written(PROTECTED, proofs(396, -1, &several), None, &signature)).is_err());
    }
    let beside = |encoder: &mut Encoder<'_>| {
        encoder.map(2);
        encoder.int(4);
        encoder.bytes(b"kid");
        encoder.int(396);
        encoder.map(1);
        encoder.int(-1);
        encoder.array(1);
        encoder.bytes(&good[0]);
    };
    assert!(decode(&written(PROTECTED, beside, None, &signature)).is_err());
    // Payload: attached, even if it is right.
    assert!(decode(&written(PROTECTED, proofs(396, -1, &good), Some(&hash), &signature)).is_err());
    // Signature of another length.
    for length in [0, 63, 65] {
        assert!(decode(&written(PROTECTED, proofs(396, -1, &good), None, &vec![0; length])).is_err());
    }
    // Proofs of another shape.
    for (wrong, error) in [
        (proof(&[3, 2], &[]), Some(CoseError::Empty)),
        (proof(&[1 << 63, 2], &[&hash]), Some(CoseError::Range)),
        (proof(&[3, 1 << 63], &[&hash]), Some(CoseError::Range)),
        (proof(&[3, 2], &vec![&hash[..]; MAX_CONSISTENCY + 1]), Some(CoseError::TooLong)),
        (proof(&[3], &[&hash]), None),
        (proof(&[3, 2, 1], &[&hash]), None),
        (proof(&[3, 2], &[&hash[..16]]), None),
        (proof(&[3, 2], &[&[7; 33]]), None),
        ([good[0].clone(), vec![0]].concat(), None),
    ] {
        let refused = decode(&written(PROTECTED, proofs(396, -1, &[wrong]), None, &signature)).unwrap_err();
        if let Some(error) = error {
            assert_eq!(refused, error);
        }
    }
    // No tag, another tag, an array of another length, bytes behind, nothing at all.
    let whole = written(PROTECTED, proofs(396, -1, &good), None, &signature);
    assert!(decode(&whole[1..]).is_err());
    let mut other = whole.clone();
    other[0] = 0xd1;
    assert!(decode(&other).is_err());
    assert!(decode(&[&whole[..], &[0]].concat()).is_err());
    assert!(decode(&[]).is_err());
    assert_eq!(decode(&vec![0xd2; MAX_COSE + 1]), Err(CoseError::TooLong));
    let longest = [proof(&[3, 2], &vec![&hash[..]; MAX_CONSISTENCY])];
    assert!(decode(&written(PROTECTED, proofs(396, -2, &longest), None, &signature)).is_ok());
}

#[test]
fn a_signature_of_a_checkpoint_is_none_of_a_receipt_and_the_other_way_round() {
    let (signing, key) = signing();
    let root = root_of(&leaves(3));
    let text = format!("{}\n3\n{root}\n", key.name());
    let over_text = signing.sign(text.as_bytes()).to_bytes();
    let receipt = Inclusion { signature: over_text, ..inclusion(&Tree(leaves(3)), 2, 3) };
    assert_eq!(receipt.verify(&leaf(2), &key), Err(CoseError::Signature));
    assert!(!key.verify(text.as_bytes(), &sign(&root)));
    // No text is ever what a receipt's signature is over.
    assert_eq!(signed_bytes(&root)[0], 0x84);
    assert!(std::str::from_utf8(&signed_bytes(&root)).is_err());
}
