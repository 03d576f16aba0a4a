//! A running log's audit of its own entries: silent while they are what was signed, and the end of the writer once they are not.

use std::ops::ControlFlow;
use std::sync::Arc;

use ledger::{AppendError, CheckError, Ledger, OpenError, Options, Progress, Reader, Report, open_archive_in};

use crate::common::*;

fn audit(reader: &Reader) -> Report {
    reader.audit_own(&reader.head(), &mut |_| ControlFlow::Continue(())).unwrap().unwrap()
}

fn sample() -> Rig {
    let rig = Rig::with_segments(20_000);
    let (mut ledger, _) = rig.open();
    for count in [10, 1, 120, 7, 90, 3] {
        ledger.append(&mixed(ledger.size(), count), START).unwrap();
    }
    rig
}

#[test]
fn a_log_passes_while_it_grows_and_is_sealed_and_says_what_it_was_held_against() {
    let rig = sample();
    let (mut ledger, reader) = rig.open();
    let before = reader.head();
    ledger.append(&mixed(231, 40), START + 1).unwrap();
    ledger.seal().unwrap();
    for head in [&before, &reader.head()] {
        let report = reader.audit_own(head, &mut |_| ControlFlow::Continue(())).unwrap().unwrap();
        assert!(report.is_clean() && report.first_fault().is_none(), "{:?}", report.problems);
        assert_eq!((report.size, report.entries), (head.checkpoint.size, head.checkpoint.size));
        assert_eq!(report.root, Some(head.checkpoint.root));
    }
    assert!(!reader.poisoned());
    ledger.append(&mixed(271, 2), START + 1).unwrap();
}

/// A fault that is none would end a good service.
#[test]
fn audit_after_audit_passes_while_another_thread_appends_and_segments_are_sealed() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("log");
    ledger::create(&dir, ORIGIN, START).unwrap();
    let options = Options { segment_bytes: 3_000, seal: true, ..Options::new(&dir) };
    let (mut ledger, reader) = Ledger::open(options, START).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            for _ in 0..150 {
                ledger.append(&mixed(ledger.size(), 7), START).unwrap();
            }
            ledger.seal().unwrap();
        });
        let mut audits = 0;
        while !writer.is_finished() || audits == 0 {
            assert!(audit(&reader).is_clean());
            audits += 1;
        }
        writer.join().unwrap();
        assert!(audits > 3, "{audits}");
    });
    let sealed = std::fs::read_dir(dir.join("journal")).unwrap();
    let sealed = sealed.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|end| end == "sealed"));
    assert!(sealed.count() > 5);
    let report = audit(&reader);
    assert!(report.is_clean() && report.entries == 1_050, "{:?}", report.problems);
}

#[test]
fn an_empty_log_passes() {
    let rig = Rig::new();
    let (_ledger, reader) = rig.open();
    let report = audit(&reader);
    assert!(report.is_clean() && report.entries == 0 && report.root == Some(reader.head().checkpoint.root));
}

#[test]
fn a_bit_that_flips_in_a_stored_entry_is_found_by_its_index_and_ends_the_writer() {
    for index in [0, 10, 77, 230] {
        let rig = sample();
        let (mut ledger, reader) = rig.open();
        assert!(audit(&reader).is_clean());
        let (wanted, snapshot) = (leaf(index), rig.ram.snapshot());
        let place = |bytes: &Vec<u8>| bytes.windows(wanted.len()).position(|window| window == wanted);
        let journals = snapshot.iter().filter(|(path, _)| path.starts_with(rig.path("journal")));
        let (path, at) =
            journals.filter_map(|(path, bytes)| Some((path, place(bytes)? + wanted.len() - 1))).next().unwrap();
        rig.ram.damage(path, |bytes| bytes[at] ^= 4).unwrap();
        let report = audit(&reader);
        assert_eq!(report.first_fault(), Some(index), "{:?}", report.problems);
        assert!(reader.poisoned());
        let refused = ledger.append(&mixed(231, 1), START + 1);
        assert!(matches!(refused, Err(AppendError::Poisoned)), "{refused:?}");
        assert_eq!((reader.size(), reader.entry(index + 1).is_ok()), (231, index < 230), "reads go on");
        drop((ledger, reader));
        // Also once the bytes are right again: an operator has to have looked.
        let mark = rig.path("unsound");
        let refused = rig.try_open().map(|_| ());
        assert!(matches!(&refused, Err(OpenError::Unsound { file }) if *file == mark), "{refused:?}");
        let text = String::from_utf8(rig.ram.snapshot().remove(&mark).unwrap()).unwrap();
        assert!(text.starts_with(&format!("first_fault={index} size=231 problems=")), "{text}");
    }
}

#[test]
fn in_a_sealed_segment_the_block_that_is_damaged_is_named_by_its_first_entry() {
    let rig = sample();
    let (ledger, reader) = rig.open();
    assert!(ledger.seal().unwrap() > 0);
    assert!(audit(&reader).is_clean());
    let path = rig.path("journal/00000000000000000000.sealed");
    // The middle of what is compressed: of entries of the one block.
    rig.ram.damage(&path, |bytes| *bytes.iter_mut().rev().nth(400).unwrap() ^= 4).unwrap();
    let report = audit(&reader);
    assert_eq!((report.first_fault(), &report.problems[0].file), (Some(0), &path), "{:?}", report.problems);
    assert!(reader.poisoned());
}

#[test]
fn a_batch_that_was_staged_before_the_fault_was_found_is_not_committed() {
    let rig = sample();
    let (mut ledger, reader) = rig.open();
    let batch = mixed(231, 3);
    let (stager, committer) = ledger.split();
    let staged = stager.stage(&batch, START + 1).unwrap();
    let path = rig.path("journal/00000000000000000000.seg");
    rig.ram.damage(&path, |bytes| bytes[64 + 76 + 20] ^= 1).unwrap();
    assert_eq!(audit(&reader).first_fault(), Some(0));
    assert!(matches!(committer.commit(staged), Err(AppendError::Poisoned)));
    assert_eq!(reader.size(), 231);
}

#[test]
fn a_segment_that_is_gone_is_a_fault_and_one_that_cannot_be_read_is_no_verdict() {
    use ledger::storage::ram::{Fault, Op, Rule};

    let rig = sample();
    let (_ledger, reader) = rig.open();
    let fault = Fault::Fail(std::io::ErrorKind::Other);
    rig.ram.fault(Rule { op: Some(Op::Read), path: "journal".into(), nth: 0, fault });
    let failed = reader.audit_own(&reader.head(), &mut |_| ControlFlow::Continue(()));
    assert!(matches!(failed, Err(CheckError::Io(_))), "{failed:?}");
    assert!(!reader.poisoned(), "nothing is known");
    assert!(audit(&reader).is_clean());
    rig.ram.lose(&rig.path("journal/00000000000000000000.seg"));
    assert_eq!(audit(&reader).first_fault(), Some(0));
    assert!(reader.poisoned());
}

#[test]
fn an_audit_goes_in_pieces_and_ends_where_it_is_broken_off() {
    let rig = Rig::new();
    let (mut ledger, reader) = rig.open();
    while reader.size() < 20_000 {
        ledger.append(&mixed(ledger.size(), 500), START).unwrap();
    }
    let mut told: Vec<Progress> = Vec::new();
    let bytes: usize = (0..20).map(|batch| mixed(batch * 500, 500).bytes()).sum::<usize>() * 2;
    let whole = reader
        .audit_own(&reader.head(), &mut |now| {
            told.push(now);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(whole.unwrap().is_clean());
    assert!(told.len() >= bytes >> 20 && told.len() > 2, "{} pieces of {bytes} bytes", told.len());
    assert!(told.windows(2).all(|pair| pair[0].done < pair[1].done), "{told:?}");
    assert_eq!(told.last(), Some(&Progress { done: 20_000, total: 20_000 }));
    let mut pieces = 0;
    let broken_off = reader.audit_own(&reader.head(), &mut |_| {
        pieces += 1;
        ControlFlow::Break(())
    });
    assert!(broken_off.unwrap().is_none() && pieces == 1 && !reader.poisoned());
}

#[test]
fn an_archive_is_audited_as_well() {
    let rig = sample();
    let reader = open_archive_in(Arc::new(rig.ram.process()), &rig.dir, None).unwrap();
    assert!(audit(&reader).is_clean());
    rig.ram.damage(&rig.path("journal/00000000000000000000.seg"), |bytes| bytes[64 + 76 + 20] ^= 1).unwrap();
    assert_eq!(audit(&reader).first_fault(), Some(0));
}
