//! Every proof at every published size, against our own verifier and against rs_merkle, which is not ours.

use ledger::{Batch, Ledger, Near, ReadError, Reader};
use proptest::prelude::*;
use rs_merkle::{Hasher, MerkleTree};
use sha2::{Digest, Sha256};
use verifier::hash::{EMPTY_ROOT, Hash, leaf_hash, root_of};
use verifier::proof::{verify_consistency, verify_inclusion, verify_range};
use verifier::tile::{Bundle, Tile};

use crate::common::*;

#[derive(Clone)]
struct Rfc6962;

impl Hasher for Rfc6962 {
    type Hash = [u8; 32];

    fn hash(data: &[u8]) -> [u8; 32] {
        leaf_hash(data).0
    }

    fn concat_and_hash(left: &[u8; 32], right: Option<&[u8; 32]>) -> [u8; 32] {
        let Some(right) = right else { return *left };
        let mut sha = Sha256::new();
        sha.update([1]);
        sha.update(left);
        sha.update(right);
        sha.finalize().into()
    }
}

/// A log of so many statements, each published alone.
fn one_by_one(size: u64) -> (Rig, Ledger, Reader, Vec<Hash>) {
    let rig = Rig::new();
    let (mut ledger, reader) = rig.open();
    let mut leaves = Vec::new();
    for number in 0..size {
        let mut batch = Batch::default();
        batch.push(&statement(number, 8), None).unwrap();
        ledger.append(&batch, START).unwrap();
        leaves.push(leaf_hash(&statement(number, 8).encode()));
    }
    (rig, ledger, reader, leaves)
}

#[test]
fn every_index_at_every_size_proves_and_is_what_rs_merkle_says() {
    let (_rig, _ledger, reader, leaves) = one_by_one(64);
    assert_eq!(reader.root_at(0).unwrap(), EMPTY_ROOT);
    for size in 1..=64 {
        let some = &leaves[..usize::try_from(size).unwrap()];
        let oracle = MerkleTree::<Rfc6962>::from_leaves(&some.iter().map(|hash| hash.0).collect::<Vec<_>>());
        let root = reader.root_at(size).unwrap();
        assert_eq!(Some(root.0), oracle.root());
        assert_eq!(reader.head_at(size).unwrap().unwrap().checkpoint.root, root);
        for index in 0..size {
            let position = usize::try_from(index).unwrap();
            let path = reader.inclusion(index, size).unwrap();
            verify_inclusion(&some[position], index, size, &path, &root).unwrap();
            let theirs = oracle.proof(&[position]);
            assert_eq!(path.iter().map(|hash| hash.0).collect::<Vec<_>>(), theirs.proof_hashes());
        }
    }
}

#[test]
fn any_two_sizes_are_proved_consistent_and_any_run_included() {
    let (_rig, _ledger, reader, leaves) = one_by_one(40);
    for to in 0..=40 {
        let root = reader.root_at(to).unwrap();
        for from in 0..=to {
            let proof = reader.consistency(from, to).unwrap();
            verify_consistency(from, to, &proof, &reader.root_at(from).unwrap(), &root).unwrap();
            if from < to {
                let some = &leaves[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()];
                for size in [to, 40] {
                    let proof = reader.range(from, to - from, size).unwrap();
                    verify_range(from, some, size, &proof, &reader.root_at(size).unwrap()).unwrap();
                }
            }
        }
    }
}

/// Runs have 256 leaves: the heads' sizes stand on both sides of their ends, the order of the indexes jumps between runs and heads.
#[test]
fn neighbours_are_proved_as_everybody_alone_and_what_is_remembered_serves_no_other_leaf() {
    let rig = Rig::new();
    let (mut ledger, reader) = rig.open();
    for count in [1, 1, 253, 1, 1, 254, 1, 256, 33, 224, 1] {
        ledger.append(&mixed(ledger.size(), count), START).unwrap();
    }
    let size = ledger.size();
    let heads: Vec<_> = (0..=size).filter_map(|size| reader.head_at(size).unwrap()).collect();
    assert_eq!(heads.len(), 11 + 1);
    let mut near = Near::default();
    let mut proved = 0;
    for step in 0..size {
        for head in &heads {
            let index = step * 7 % size;
            let leaf = reader.leaf_hash(index).unwrap();
            if index >= head.checkpoint.size {
                assert!(matches!(reader.proved_near(&leaf, index, head, &mut near), Err(ReadError::Beyond { .. })));
                continue;
            }
            for index in [index, (index + 1) % head.checkpoint.size] {
                let leaf = reader.leaf_hash(index).unwrap();
                let path = reader.proved_near(&leaf, index, head, &mut near).unwrap();
                assert_eq!(path, reader.proved(&leaf, index, head).unwrap(), "{index} of {}", head.checkpoint.size);
                proved += 1;
            }
            let other = Hash([7; 32]);
            assert!(matches!(reader.proved_near(&other, index, head, &mut near), Err(ReadError::Contradiction { .. })));
        }
    }
    assert!(proved > 4_000, "{proved}");
}

#[test]
fn tiles_and_bundles_full_and_partial_hold_what_the_tree_and_the_journal_hold() {
    let rig = Rig::new();
    let (mut ledger, reader) = rig.open();
    for count in [200, 100, 300] {
        ledger.append(&mixed(ledger.size(), count), START).unwrap();
    }
    let leaves: Vec<Hash> = (0..600).map(|number| leaf_hash(&leaf(number))).collect();
    for (index, width) in [(0, 256), (0, 1), (0, 200), (1, 256), (2, 88), (2, 7)] {
        let from = usize::try_from(index).unwrap() * 256;
        let wanted: Vec<u8> = leaves[from..from + usize::from(width)].iter().flat_map(|hash| hash.0).collect();
        assert_eq!(reader.tile(&Tile { level: 0, index, width }).unwrap(), Some(wanted));
        let entries = reader.bundle(&Bundle { index, width }).unwrap().unwrap();
        let split: Vec<Vec<u8>> = verifier::tile::entries(&entries).map(|entry| entry.unwrap().to_vec()).collect();
        let wanted: Vec<Vec<u8>> = (from as u64..from as u64 + u64::from(width)).map(leaf).collect();
        assert_eq!(split, wanted);
    }
    let wanted = [root_of(&leaves[..256]).0, root_of(&leaves[256..512]).0].concat();
    assert_eq!(reader.tile(&Tile { level: 1, index: 0, width: 2 }).unwrap(), Some(wanted));
    for (level, index, width) in [(0, 2, 89), (0, 3, 1), (1, 0, 3), (2, 0, 1), (63, 0, 1), (0, u64::MAX, 1)] {
        assert_eq!(reader.tile(&Tile { level, index, width }).unwrap(), None);
    }
    assert_eq!(reader.bundle(&Bundle { index: 2, width: 89 }).unwrap(), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Random batches of random kinds and lengths, with re-openings, kills and power losses between them, against a plain list.
    #[test]
    fn the_log_is_a_list(rounds in prop::collection::vec((prop::collection::vec(0_usize..700, 1..40), 0_u8..5), 1..10), segment_bytes in 100_u64..20_000) {
        let rig = Rig::with_segments(segment_bytes);
        let (mut ledger, mut reader) = rig.open();
        let mut model: Vec<Vec<u8>> = Vec::new();
        let mut sizes = vec![0];
        for (lengths, then) in rounds {
            let mut batch = Batch::default();
            for len in lengths {
                let number = model.len() as u64;
                if len % 4 == 0 {
                    let case = Case::new(number);
                    case.push(&mut batch);
                    model.push(case.record.encode());
                } else {
                    batch.push(&statement(number, len), None).unwrap();
                    model.push(statement(number, len).encode());
                }
            }
            ledger.append(&batch, START).unwrap();
            sizes.push(model.len() as u64);
            match then {
                0 => drop(ledger),
                1 => {
                    rig.ram.restart();
                    drop(ledger);
                }
                2 => {
                    rig.ram.power_loss();
                    drop(ledger);
                }
                _ => continue,
            }
            (ledger, reader) = rig.open();
        }
        let size = model.len() as u64;
        prop_assert_eq!(reader.size(), size);
        let hashes: Vec<Hash> = model.iter().map(|leaf| leaf_hash(leaf)).collect();
        for (index, wanted) in model.iter().enumerate() {
            prop_assert_eq!(&reader.entry(index as u64).unwrap(), wanted);
            let path = reader.inclusion(index as u64, size).unwrap();
            verify_inclusion(&hashes[index], index as u64, size, &path, &reader.head().checkpoint.root).unwrap();
        }
        for pair in sizes.windows(2) {
            let head = reader.head_at(pair[1]).unwrap().unwrap();
            prop_assert_eq!(head.checkpoint.root, root_of(&hashes[..usize::try_from(pair[1]).unwrap()]));
            for between in pair[0] + 1..pair[1] {
                prop_assert!(reader.head_at(between).unwrap().is_none());
            }
        }
    }
}

#[test]
fn a_batch_beyond_its_limits_takes_nothing_more_and_stays_as_it_was() {
    use ledger::{BatchError, MAX_BATCH_ENTRIES};
    let mut batch = Batch::default();
    let mut pushed = 0;
    while batch.push(&statement(1, 60_000), None).is_ok() {
        pushed += 1;
    }
    assert_eq!(batch.push(&statement(1, 60_000), None), Err(BatchError::Full));
    assert_eq!(batch.len(), pushed);
    assert!(batch.bytes() <= ledger::MAX_BATCH_BYTES);
    batch.clear();
    for _ in 0..MAX_BATCH_ENTRIES {
        batch.push(&statement(1, 8), None).unwrap();
    }
    assert_eq!(batch.push(&statement(1, 8), None), Err(BatchError::Full));
    assert_eq!(batch.push(&statement(1, 70_000), None), Err(BatchError::Full));
    batch.clear();
    assert!(matches!(batch.push(&statement(1, 70_000), None), Err(BatchError::TooLong(_))));
    assert_eq!(batch.push(&Case::new(1).record, None), Err(BatchError::PrivateMissing));
    assert_eq!(batch.push(&statement(1, 8), Some(Case::new(1).private())), Err(BatchError::PrivateUnexpected));
    assert!(batch.is_empty() && batch.bytes() == 0);
}
