//! The end of a log: a freeze is the last record, for ever.

use std::sync::Arc;

use ledger::storage::ram::{Fault, Rule};
use ledger::{AppendError, Batch, BatchError, OpenError};
use verifier::record::Record;

use crate::common::*;

fn freeze() -> Record {
    Record::Freeze { recorded_at: START, governance: 2, note: "a signed act\n".into() }
}

/// Three decisions or statements, and the freeze behind them.
fn last(from: u64) -> Batch {
    let mut batch = mixed(from, 3);
    batch.push(&freeze(), None).unwrap();
    batch
}

#[test]
fn behind_a_freeze_nothing_is_ever_appended_and_reads_and_proofs_go_on() {
    let rig = Rig::new();
    let (mut ledger, reader) = rig.open();
    let before = ledger.append(&mixed(0, 5), START).unwrap().head;
    assert!(!reader.frozen());
    let end = ledger.append(&last(5), START).unwrap().head;
    assert!(reader.frozen());
    for batch in [mixed(9, 1), last(9), Batch::default()] {
        assert!(matches!(ledger.append(&batch, START + 1), Err(AppendError::Frozen)));
    }
    drop(ledger);
    // However often it is opened, from its mark or from nothing.
    for round in 0..3 {
        if round == 2 {
            let derived =
                |path: &&std::path::PathBuf| path.starts_with(rig.path("tree")) || path.starts_with(rig.path("index"));
            rig.ram.snapshot().keys().filter(derived).for_each(|path| rig.ram.lose(path));
        }
        let (mut ledger, reader) = rig.open();
        assert!(reader.frozen());
        assert!(matches!(ledger.append(&mixed(9, 1), START + 1), Err(AppendError::Frozen)));
        assert_eq!(reader.head(), end);
        assert_eq!(reader.record(8).unwrap(), freeze());
        assert_eq!(reader.entry(3).unwrap(), leaf(3));
        let receipt = reader.receipt(3, None).unwrap();
        assert_eq!(receipt.checkpoint, end.note);
        let proof = reader.consistency(5, 9).unwrap();
        verifier::proof::verify_consistency(5, 9, &proof, &before.checkpoint.root, &end.checkpoint.root).unwrap();
        assert_eq!(reader.heads(0, 9, 9).unwrap().len(), 3);
    }
    let report = ledger::audit_in(Arc::new(rig.ram.process()), &rig.dir, None, reader.verifier_key(), &mut |_| {});
    assert!(report.unwrap().is_clean());
}

#[test]
fn a_freeze_is_the_last_record_of_its_batch() {
    let mut batch = last(0);
    assert_eq!(batch.push(&statement(1, 8), None), Err(BatchError::Frozen));
    assert_eq!(batch.push(&freeze(), None), Err(BatchError::Frozen));
    assert_eq!(batch.len(), 4);
    batch.clear();
    batch.push(&statement(1, 8), None).unwrap();
}

#[test]
fn wherever_the_process_dies_in_a_freeze_the_log_is_frozen_whole_or_goes_on() {
    let (mut frozen, mut going) = (0, 0);
    for power in [false, true] {
        for nth in 0.. {
            let rig = Rig::new();
            let (mut ledger, _) = rig.open();
            ledger.append(&mixed(0, 5), START).unwrap();
            rig.ram.fault(Rule { op: None, path: String::new(), nth, fault: Fault::Kill });
            let kept = ledger.append(&last(5), START).is_ok();
            drop(ledger);
            if power {
                rig.ram.power_loss()
            } else {
                rig.ram.restart()
            }
            let (mut ledger, reader) = rig.open();
            let appended = ledger.append(&mixed(reader.size(), 1), START);
            match reader.size() {
                9 => {
                    assert!(reader.frozen() && matches!(appended, Err(AppendError::Frozen)), "{nth}");
                    frozen += 1;
                }
                6 => {
                    assert!(!kept && !reader.frozen() && appended.is_ok(), "{nth}");
                    going += 1;
                }
                other => panic!("size {other}"),
            }
            if kept {
                break;
            }
        }
    }
    assert!(frozen > 4 && going > 4, "{frozen} frozen, {going} going on");
}

/// Nothing may be recorded in it any more, not even an operator's word.
#[test]
fn a_frozen_log_whose_memory_is_lost_is_not_opened_for_writing() {
    let rig = Rig::new();
    let (mut ledger, _) = rig.open();
    ledger.append(&last(0), START).unwrap();
    drop(ledger);
    rig.ram.lose(&rig.memory());
    let before = rig.ram.snapshot();
    assert!(matches!(rig.try_open(), Err(OpenError::MemoryMissing { .. })));
    assert!(matches!(rig.open_without_memory(), Err(OpenError::FrozenWithoutMemory { .. })));
    let after = rig.ram.snapshot();
    assert!(!after.contains_key(&rig.memory()));
    assert_eq!(
        before[&rig.path("journal/00000000000000000000.seg")],
        after[&rig.path("journal/00000000000000000000.seg")]
    );
}
