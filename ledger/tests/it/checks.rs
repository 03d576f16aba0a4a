//! Fsck and audit: silent about a whole log, precise about a broken one.

use std::sync::Arc;

use ledger::{Batch, Ledger, Options, Report, Signer};

use crate::common::*;

fn fsck(rig: &Rig) -> Report {
    ledger::fsck_in(Arc::new(rig.ram.process()), &rig.dir, None, &mut |_| {}).unwrap()
}

fn audit(rig: &Rig) -> Report {
    let reader = rig.open().1;
    let key = reader.verifier_key().clone();
    drop(reader);
    ledger::audit_in(Arc::new(rig.ram.process()), &rig.dir, None, &key, &mut |_| {}).unwrap()
}

fn sample() -> Rig {
    let rig = Rig::new();
    let (mut ledger, _) = rig.open();
    for count in [10, 1, 120, 7] {
        ledger.append(&mixed(ledger.size(), count), START).unwrap();
    }
    rig
}

#[test]
fn a_whole_log_passes_with_right_counts_and_progress() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("log");
    let key = ledger::create(&dir, ORIGIN, START).unwrap();
    let (mut ledger, reader) = Ledger::open(Options::new(&dir), START).unwrap();
    for count in [10, 1, 120, 7] {
        ledger.append(&mixed(ledger.size(), count), START).unwrap();
    }
    // Beside the running writer, then after it.
    for _ in 0..2 {
        let mut last = None;
        let report = ledger::fsck(&dir, None, &mut |progress| last = Some(progress)).unwrap();
        assert!(report.is_clean(), "{:?}", report.problems);
        assert_eq!((report.entries, report.frames, report.decisions, report.size), (138, 4, 92, 138));
        assert_eq!(report.nodes, 138 + 69 + 34 + 17 + 8 + 4 + 2 + 1);
        assert_eq!(last.map(|progress| (progress.done, progress.total)), Some((138, 138)));
        let report = ledger::audit(&dir, None, &key, &mut |_| {}).unwrap();
        assert!(report.is_clean(), "{:?}", report.problems);
        assert_eq!((report.entries, report.decisions, report.kept), (138, 92, 92));
        assert_eq!(report.root, Some(reader.head().checkpoint.root));
    }
}

#[test]
fn an_audit_under_another_key_fails() {
    let rig = sample();
    let other = Signer::generate(ORIGIN).unwrap().verifier_key().clone();
    let report = ledger::audit_in(Arc::new(rig.ram.process()), &rig.dir, None, &other, &mut |_| {}).unwrap();
    assert_eq!(report.problem_count, 2, "{:?}", report.problems);
}

#[test]
fn every_flipped_byte_of_journal_vault_tree_and_index_is_found_and_named() {
    let rig = sample();
    assert!(fsck(&rig).is_clean() && audit(&rig).is_clean());
    let key = rig.open().1.verifier_key().clone();
    let whole = rig.ram.snapshot();
    for (path, bytes) in whole.iter().filter(|(path, _)| path.starts_with(&rig.dir)) {
        let room = path.strip_prefix(&rig.dir).unwrap().iter().next().unwrap().to_str().unwrap();
        if !["journal", "vault", "tree", "index"].contains(&room) {
            continue;
        }
        for at in (0..bytes.len()).step_by(1 + bytes.len() / 60) {
            rig.ram.damage(path, |bytes| bytes[at] ^= 0x20).unwrap();
            let found = fsck(&rig);
            if room == "vault" {
                let audited = ledger::audit_in(Arc::new(rig.ram.process()), &rig.dir, None, &key, &mut |_| {}).unwrap();
                assert!(!audited.is_clean(), "audit: {} at {at}", path.display());
            }
            assert!(!found.is_clean(), "{} at {at}", path.display());
            assert!(
                found.problems.iter().any(|problem| &problem.file == path),
                "{} at {at}: {found:?}",
                path.display()
            );
            rig.ram.damage(path, |bytes| bytes[at] ^= 0x20).unwrap();
        }
    }
    assert!(fsck(&rig).is_clean());
}

#[test]
fn private_parts_that_are_gone_are_lost_and_not_erased() {
    let rig = sample();
    rig.ram.lose(&rig.path("vault/00000000000000000000.seg"));
    let key = verifier::note::VerifierKey::new(ORIGIN, &[0; 32]).ok();
    assert!(key.is_none(), "a weak key is no key");
    let other = Signer::generate(ORIGIN).unwrap().verifier_key().clone();
    let report = ledger::audit_in(Arc::new(rig.ram.process()), &rig.dir, None, &other, &mut |_| {}).unwrap();
    assert_eq!((report.kept, report.erased), (0, 0));
    assert!(report.problems.iter().any(|problem| problem.file.starts_with(rig.path("vault"))));
    assert!(rig.try_open().is_err());
}

#[test]
fn a_flipped_bit_of_a_leaf_is_named_by_its_index() {
    let rig = sample();
    let journal = rig.path("journal/00000000000000000000.seg");
    for index in [0, 10, 11, 77, 130, 137] {
        let wanted = leaf(index);
        let at = rig.ram.snapshot()[&journal].windows(wanted.len()).position(|window| window == wanted).unwrap();
        rig.ram.damage(&journal, |bytes| bytes[at + wanted.len() - 1] ^= 1).unwrap();
        let report = fsck(&rig);
        let first = &report.problems[0];
        assert_eq!((first.index, &first.file), (Some(index), &journal), "{:?}", report.problems);
        rig.ram.damage(&journal, |bytes| bytes[at + wanted.len() - 1] ^= 1).unwrap();
    }
}

/// A run of keys with right checksums and a wrong row, as a fault before the checksum leaves it.
#[test]
fn a_run_whose_checksums_hold_and_whose_rows_are_wrong_is_found() {
    const HEADER: usize = 72;
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("log");
    ledger::create(&dir, ORIGIN, START).unwrap();
    let (mut ledger, _) = Ledger::open(Options { seal: false, ..Options::new(&dir) }, START).unwrap();
    ledger.append(&mixed(0, 3), START).unwrap();
    let mut batch = Batch::default();
    while ledger.size() < 65_536 {
        batch.clear();
        for number in ledger.size()..65_600.min(ledger.size() + 8_192) {
            batch.push(&statement(number, 8), None).unwrap();
        }
        ledger.append(&batch, START).unwrap();
    }
    drop(ledger);
    let problems = || {
        let report = ledger::fsck(&dir, None, &mut |_| {}).unwrap();
        report.problems.into_iter().map(|problem| problem.what).collect::<Vec<_>>()
    };
    assert!(problems().is_empty(), "{:?}", problems());
    let damage = |kind: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let path = dir.join("index").join(format!("{kind}-{:020}-{:020}.run", 0, 65_536));
        let whole = std::fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        change(&mut bytes);
        let rows = (bytes.len() - HEADER) as u64 / 16;
        bytes[56..64].copy_from_slice(&rows.to_be_bytes());
        let crc = crc32fast::hash(&bytes[HEADER..]);
        bytes[64..68].copy_from_slice(&crc.to_be_bytes());
        let crc = crc32fast::hash(&bytes[..68]);
        bytes[68..72].copy_from_slice(&crc.to_be_bytes());
        std::fs::write(&path, &bytes).unwrap();
        let found = problems();
        std::fs::write(&path, whole).unwrap();
        found
    };
    // Unchanged, the checksums that are written here are those that stood there.
    assert!(damage("leaf", &|_| ()).is_empty() && damage("permit", &|_| ()).is_empty());
    let wrong = ["the run does not have the row of this entry"];
    assert_eq!(damage("leaf", &|bytes| bytes[HEADER + 100 * 16 + 7] ^= 1), wrong, "a key");
    assert_eq!(damage("leaf", &|bytes| bytes[HEADER + 100 * 16 + 15] ^= 1), wrong, "an index");
    for kind in ["leaf", "permit"] {
        assert_eq!(damage(kind, &|bytes| bytes.truncate(bytes.len() - 16)), wrong, "a {kind} fewer");
    }
}
