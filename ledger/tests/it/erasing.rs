//! Threat 22: what is erased is gone from every file, whatever fails on the way, and nothing else is.

use std::io::ErrorKind;
use std::sync::Arc;

use ledger::storage::ram::{Fault, Rule};
use ledger::{Batch, Ledger, ReadError, Reader, audit_in, fsck_in};
use verifier::record::Record;

use crate::common::{Case, Rig, START, leaf};

/// A log of many short segments, in which a record says that parts of a decision are erased; nothing is erased yet.
fn said(of: u64, parts: u64) -> (Rig, u64) {
    let rig = Rig::rolled(6, |batch| 4 + batch);
    let (mut ledger, _) = rig.open();
    let by = ledger.size();
    let mut batch = Batch::default();
    batch.push(&Record::Erasure { recorded_at: START, index: of, parts, note: "an act\n".into() }, None).unwrap();
    ledger.append(&batch, START + 10).unwrap();
    (rig, by)
}

/// The parts are erased, all others are what they were, and every check says so.
fn check(rig: &Rig, reader: &Reader, size: u64, of: u64, parts: u64) {
    for index in 0..size {
        assert_eq!(reader.entry(index).unwrap(), leaf(index));
        let case = Case::new(index);
        match reader.private(index) {
            Err(ReadError::NoPrivate { .. }) => assert_eq!(index % 3, 0),
            Err(ReadError::Erased { index: erased }) => {
                assert_eq!((index, erased), (of, of));
                assert_eq!(reader.detail(of).unwrap(), (parts & 2 == 0).then_some(case.detail.clone()));
                for (path, bytes) in rig.ram.snapshot() {
                    let there = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
                    for (bit, part, salt) in
                        [(1, &case.request, case.request_salt), (2, &case.detail, case.detail_salt)]
                    {
                        let erased = parts & bit != 0;
                        assert!(!erased || !(there(part) || there(&salt)), "{bit} of {of} stands in {path:?}");
                    }
                }
            }
            Ok(private) => {
                assert!(index != of && index % 3 != 0, "{index}");
                assert_eq!((private.request, private.detail), (case.request, case.detail));
            }
            Err(error) => panic!("{index}: {error}"),
        }
    }
}

fn checks(rig: &Rig) -> (ledger::Report, ledger::Report) {
    let process = || Arc::new(rig.ram.process());
    let key = { rig.open().1.verifier_key().clone() };
    let audit = audit_in(process(), &rig.dir, None, &key, &mut |_| {}).unwrap();
    (audit, fsck_in(process(), &rig.dir, None, &mut |_| {}).unwrap())
}

#[test]
fn what_is_erased_is_gone_from_every_file_and_nothing_else_is() {
    let last = Rig::rolled(6, |batch| 4 + batch).open().0.size() - 1;
    let last = if last.is_multiple_of(3) { last - 1 } else { last };
    // The first decision, one between others, and one in the segment that the writer appends to.
    for of in [1, 8, last] {
        for parts in 1..=3 {
            let (rig, by) = said(of, parts);
            let (mut ledger, reader) = rig.open();
            assert!(reader.private(of).is_ok());
            assert!(ledger.erase(of, parts, by).unwrap());
            assert!(!ledger.erase(of, parts, by).unwrap(), "a second time there is nothing to erase");
            check(&rig, &reader, by, of, parts);
            // The log goes on in the same segment.
            let mut batch = Batch::default();
            let next = ledger.size();
            Case::new(next).push(&mut batch);
            ledger.append(&batch, START + 20).unwrap();
            assert_eq!(reader.private(next).unwrap().request, Case::new(next).request);
            drop((ledger, reader));
            rig.ram.power_loss();
            let (ledger, reader) = rig.open();
            check(&rig, &reader, by, of, parts);
            assert_eq!(reader.private(next).unwrap().detail, Case::new(next).detail);
            drop((ledger, reader));
            let (audit, fsck) = checks(&rig);
            assert!(audit.is_clean() && fsck.is_clean(), "{audit:?} {fsck:?}");
            assert_eq!((audit.erased, fsck.erased, audit.kept + 1), (1, 1, audit.decisions));
        }
    }
}

#[test]
fn parts_that_are_gone_without_a_record_of_it_are_lost() {
    let (rig, by) = said(8, 1);
    let (mut ledger, reader) = rig.open();
    // The record names another part, another decision, or is none.
    for (of, parts, by) in [(8, 2, by), (7, 1, by), (5, 3, 6)] {
        assert!(ledger.erase(of, parts, by).unwrap());
        assert!(matches!(reader.private(of), Err(ReadError::Lost { index }) if index == of));
    }
    drop((ledger, reader));
    let (audit, _) = checks(&rig);
    assert_eq!((audit.problem_count, audit.erased), (3, 0), "{audit:?}");
}

/// Every operation of an erasure fails in every way; after a restart it is done again, as a start does.
#[test]
fn an_erasure_that_is_cut_short_anywhere_is_finished_by_doing_it_again() {
    let (of, parts) = (8, 3);
    let operations = {
        let (rig, by) = said(of, parts);
        let (mut ledger, _) = rig.open();
        let before = rig.ram.operations();
        ledger.erase(of, parts, by).unwrap();
        rig.ram.operations() - before
    };
    let faults = [
        Fault::Kill,
        Fault::Fail(ErrorKind::Other),
        Fault::FailKept(ErrorKind::Other),
        Fault::Short { error: ErrorKind::StorageFull, kept: true },
    ];
    let (mut met, mut tried) = (0, 0);
    for nth in 0..operations {
        for fault in faults {
            for after in 0..6 {
                let (rig, by) = said(of, parts);
                let (mut ledger, reader) = rig.open();
                rig.ram.fault(Rule { op: None, path: String::new(), nth, fault });
                met += u64::from(ledger.erase(of, parts, by).is_err());
                drop((ledger, reader));
                match after {
                    0 => rig.ram.restart(),
                    1 => rig.ram.power_loss(),
                    seed => rig.ram.power_loss_keeping(seed),
                }
                let (mut ledger, reader): (Ledger, Reader) = rig.open();
                ledger.erase(of, parts, by).unwrap();
                check(&rig, &reader, by, of, parts);
                drop((ledger, reader));
                rig.ram.power_loss();
                let (ledger, reader) = rig.open();
                check(&rig, &reader, by, of, parts);
                drop((ledger, reader));
                tried += 1;
            }
        }
    }
    assert!(met > tried / 4 && operations > 5, "{met} of {tried} met a fault in {operations} operations");
}
