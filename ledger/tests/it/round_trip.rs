//! What is appended is answered, proved and found again, now and after re-opening.

use ledger::{Batch, Ledger, Options, ReadError};
use verifier::checkpoint::SignedCheckpoint;
use verifier::decision::PermitId;
use verifier::hash::{leaf_hash, sha256};
use verifier::proof::verify_inclusion;
use verifier::receipt::Receipt;

use crate::common::*;

#[test]
fn what_was_appended_is_answered_before_and_after_re_opening_on_a_real_disk() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("log");
    let key = ledger::create(&dir, ORIGIN, START).unwrap();
    let mut size = 0;
    for round in 0..4 {
        let (mut ledger, reader) = Ledger::open(Options::new(&dir), START).unwrap();
        assert_eq!(reader.verifier_key(), &key);
        check_mixed(&reader, size);
        for count in [1, 2, 70, 300] {
            let done = ledger.append(&mixed(size, count), START + round).unwrap();
            assert_eq!(done.first, size);
            size += count;
            assert_eq!(done.head.checkpoint.size, size);
            assert_eq!(done.head, reader.head());
        }
        check_mixed(&reader, size);
    }
}

#[test]
fn a_receipt_verifies_offline_with_nothing_but_the_key() {
    let rig = Rig::new();
    let (mut ledger, reader) = rig.open();
    ledger.append(&mixed(0, 5), START).unwrap();
    ledger.append(&mixed(5, 8), START).unwrap();
    let text = reader.receipt(3, None).unwrap().text();
    let receipt = Receipt::parse(&text).unwrap();
    let signed = SignedCheckpoint::open(&receipt.checkpoint, reader.verifier_key(), ORIGIN).unwrap();
    let (size, root) = (signed.checkpoint().size, signed.checkpoint().root);
    assert_eq!(size, 13);
    let leaf = leaf_hash(receipt.extra.as_ref().unwrap());
    verify_inclusion(&leaf, receipt.index, size, &receipt.path, &root).unwrap();
    // The same under an older head, and not under a size that was never published.
    let older = reader.receipt(3, Some(5)).unwrap();
    let signed = SignedCheckpoint::open(&older.checkpoint, reader.verifier_key(), ORIGIN).unwrap();
    verify_inclusion(&leaf, 3, 5, &older.path, &signed.checkpoint().root).unwrap();
    assert!(matches!(reader.receipt(3, Some(6)), Err(ReadError::Beyond { asked: 6, .. })));
}

#[test]
fn nothing_at_or_above_the_published_size_is_answered() {
    let rig = Rig::new();
    let (mut ledger, reader) = rig.open();
    ledger.append(&mixed(0, 5), START).unwrap();
    assert!(matches!(reader.entry(5), Err(ReadError::Beyond { asked: 5, size: 5 })));
    assert!(matches!(reader.entries(4, 2), Err(ReadError::Beyond { asked: 5, size: 5 })));
    assert!(matches!(reader.private(5), Err(ReadError::Beyond { .. })));
    assert!(matches!(reader.inclusion(0, 6), Err(ReadError::Beyond { .. })));
    assert!(matches!(reader.inclusion(3, 3), Err(ReadError::Beyond { .. })));
    assert!(matches!(reader.consistency(2, 6), Err(ReadError::Beyond { .. })));
    assert!(matches!(reader.root_at(6), Err(ReadError::Beyond { .. })));
    assert!(reader.head_at(6).unwrap().is_none());
    assert!(reader.head_at(3).unwrap().is_none(), "a size that was never published has no head");
    assert!(matches!(reader.entries(0, 0), Err(ReadError::Range)));
    assert_eq!(reader.permit(&PermitId([0; 16])).unwrap(), None);
    assert_eq!(reader.leaf(&sha256(b"")).unwrap(), None);
}

#[test]
fn an_entry_without_private_parts_says_so() {
    let rig = Rig::new();
    let (mut ledger, reader) = rig.open();
    ledger.append(&mixed(0, 1), START).unwrap();
    ledger.append(&mixed(1, 5), START).unwrap();
    assert!(matches!(reader.private(0), Err(ReadError::NoPrivate { index: 0 })));
    assert!(matches!(reader.private(3), Err(ReadError::NoPrivate { index: 3 })));
}

#[test]
fn every_published_head_can_be_had_again_and_no_other() {
    let rig = Rig::new();
    let (mut ledger, reader) = rig.open();
    let mut published = vec![(*reader.head()).clone()];
    for count in [3, 1, 60, 200] {
        let head = ledger.append(&mixed(ledger.size(), count), START + ledger.size()).unwrap().head;
        published.push((*head).clone());
    }
    drop(ledger);
    let (_ledger, reader) = rig.open();
    for size in 0..=264 {
        let wanted = published.iter().find(|head| head.checkpoint.size == size);
        assert_eq!(reader.head_at(size).unwrap().as_ref(), wanted, "size {size}");
    }
    assert_eq!(reader.heads(0, 264, 100).unwrap(), published);
    assert_eq!(reader.heads(4, 64, 100).unwrap(), &published[2..4]);
    assert_eq!(reader.heads(1, 264, 2).unwrap(), &published[1..3]);
    assert_eq!(reader.heads(65, 263, 9).unwrap(), []);
}

#[test]
fn an_empty_batch_and_a_time_before_the_last_are_refused_without_harm() {
    let rig = Rig::new();
    let (mut ledger, reader) = rig.open();
    assert!(ledger.append(&Batch::default(), START).is_err());
    ledger.append(&mixed(0, 2), START + 10).unwrap();
    assert!(matches!(
        ledger.append(&mixed(2, 2), START + 9),
        Err(ledger::AppendError::TimeBackwards { last_ms, .. }) if last_ms == START + 10
    ));
    assert!(!reader.poisoned());
    ledger.append(&mixed(2, 2), START + 10).unwrap();
    check_mixed(&reader, 4);
}
