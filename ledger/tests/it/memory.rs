//! The memory with one damaged slot: a torn write explains itself by the frame that was durable before it, damage does not (threat 4).

use std::io::ErrorKind;
use std::path::PathBuf;

use ledger::OpenError;
use ledger::storage::ram::{Fault, Op, Rule};
use verifier::record::Record;

use crate::common::*;

/// A log of two frames, five and four entries, with where its last frame begins and in which slot its last head stands.
fn two_frames() -> (Rig, PathBuf, usize, usize) {
    let rig = Rig::new();
    let journal = rig.path("journal/00000000000000000000.seg");
    let (mut ledger, _) = rig.open();
    ledger.append(&mixed(0, 5), START).unwrap();
    let second = rig.ram.snapshot()[&journal].len();
    let before = rig.ram.snapshot()[&rig.memory()].clone();
    ledger.append(&mixed(5, 4), START).unwrap();
    rig.ram.restart();
    drop(ledger);
    let after = rig.ram.snapshot()[&rig.memory()].clone();
    let newest = if before[..4096] == after[..4096] { 4096 } else { 0 };
    (rig, journal, second, newest)
}

#[test]
fn a_torn_slot_whose_frame_is_whole_is_written_again() {
    let (rig, _, _, newest) = two_frames();
    let whole = rig.ram.snapshot()[&rig.memory()].clone();
    for torn in 0..164 {
        // A torn write: the first bytes are there, the others are not.
        rig.ram.damage(&rig.memory(), |bytes| bytes[newest + torn..newest + 164].fill(0)).unwrap();
        let (ledger, reader) = rig.open();
        check_mixed(&reader, 9);
        rig.ram.restart();
        drop(ledger);
        let (ledger, reader) = rig.open();
        check_mixed(&reader, 9);
        rig.ram.restart();
        drop(ledger);
        rig.ram.damage(&rig.memory(), |bytes| bytes.clone_from(&whole)).unwrap();
    }
}

#[test]
fn a_damaged_slot_and_a_torn_last_frame_together_never_let_the_log_go_on_below_what_was_published() {
    let (rig, journal, second, newest) = two_frames();
    rig.ram.damage(&rig.memory(), |bytes| bytes[newest + 50] ^= 4).unwrap();
    let whole = rig.ram.snapshot()[&journal].clone();
    let vault = rig.path("vault/00000000000000000000.seg");
    let parts = rig.ram.snapshot()[&vault].clone();
    for (file, kept, len) in [(&journal, &whole, second), (&journal, &whole, whole.len() - 1), (&vault, &parts, 500)] {
        rig.ram.damage(file, |bytes| bytes.truncate(len)).unwrap();
        match rig.try_open() {
            Err(OpenError::MemorySlotDamaged { file, remembered: 5 }) => assert_eq!(file, rig.memory()),
            other => panic!("not refused: {other:?}"),
        }
        assert_eq!(rig.ram.snapshot()[file].len(), len, "a refusal touches nothing");
        rig.ram.damage(file, |bytes| bytes.clone_from(kept)).unwrap();
    }
    // The frame restored, it goes on.
    let (_ledger, reader) = rig.open();
    check_mixed(&reader, 9);
}

#[test]
fn a_damaged_slot_is_accepted_on_the_operators_word_alone_and_that_is_recorded() {
    let (rig, journal, second, newest) = two_frames();
    rig.ram.damage(&rig.memory(), |bytes| bytes[newest + 50] ^= 4).unwrap();
    rig.ram.damage(&journal, |bytes| bytes.truncate(second + 30)).unwrap();
    let damaged = rig.ram.snapshot();
    // Wherever the process dies before the loss is in the log, the operator is asked again.
    for nth in 0.. {
        rig.ram.restore("/".as_ref(), &damaged);
        rig.ram.fault(Rule { op: None, path: String::new(), nth, fault: Fault::Kill });
        let opened = rig.open_without_memory();
        let done = opened.is_ok();
        rig.ram.restart();
        drop(opened);
        let opened = rig.try_open();
        if let Ok((_, reader)) = &opened {
            assert!(
                matches!(reader.record(5).unwrap(), Record::Recovery { size: 5, cause, .. } if cause.contains("slot"))
            );
        }
        assert!(opened.is_ok() || !done, "{:?}", opened.err());
        if done {
            assert!(nth > 5);
            break;
        }
    }
    assert!(matches!(rig.try_open().unwrap().1.record(5).unwrap(), Record::Recovery { .. }));
}

#[test]
fn damage_to_the_older_slot_is_refused_too_since_nobody_can_tell_which_it_was() {
    let (rig, _, _, newest) = two_frames();
    rig.ram.damage(&rig.memory(), |bytes| bytes[(newest ^ 4096) + 100] ^= 1).unwrap();
    assert!(matches!(rig.try_open(), Err(OpenError::MemorySlotDamaged { remembered: 9, .. })));
    let report = ledger::fsck_in(std::sync::Arc::new(rig.ram.process()), &rig.dir, None, &mut |_| {}).unwrap();
    assert_eq!(report.problems.first().map(|problem| &problem.file), Some(&rig.memory()));
    let (ledger, reader) = rig.open_without_memory().unwrap();
    assert_eq!(reader.size(), 10);
    drop(ledger);
    assert_eq!(rig.open().1.size(), 10);
}

#[test]
fn after_an_io_error_a_damaged_slot_still_vouches_for_the_frame_that_was_published() {
    let (rig, ..) = two_frames();
    let (mut ledger, reader) = rig.open();
    let before = rig.ram.snapshot()[&rig.memory()].clone();
    ledger.append(&mixed(9, 3), START).unwrap();
    let published = reader.head();
    let after = rig.ram.snapshot()[&rig.memory()].clone();
    rig.ram.fault(Rule { op: Some(Op::Sync), path: "/journal/".into(), nth: 0, fault: Fault::Fail(ErrorKind::Other) });
    ledger.append(&mixed(12, 1), START).unwrap_err();
    rig.ram.restart();
    drop(ledger);
    let newest = if before[..4096] == after[..4096] { 4096 } else { 0 };
    rig.ram.damage(&rig.memory(), |bytes| bytes[newest + 90] ^= 1).unwrap();
    // The marker says that the page cache is not to be believed; the slot says that one frame was durable.
    let (_ledger, reader) = rig.open();
    assert_eq!(reader.head(), published);
    check_mixed(&reader, 12);
}
