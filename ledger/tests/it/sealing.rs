//! A sealed segment answers what the raw one did, nothing is lost on the way there, and damage in it is found (DESIGN §6).

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ledger::storage::ram::{Fault, Op, Rule};
use ledger::{Ledger, OpenError, Options, ReadError, Report};
use verifier::tile::Bundle;

use crate::common::*;

/// A log of `segments` segments with `each` entries in each, all published.
fn log(segments: u64, each: u64) -> Rig {
    let rig = Rig::with_segments(1);
    let (mut ledger, _) = rig.open();
    for _ in 0..segments {
        ledger.append(&mixed(ledger.size(), each), START).unwrap();
    }
    rig
}

fn names(rig: &Rig) -> Vec<String> {
    let in_journal = |path: &PathBuf| path.starts_with(rig.path("journal"));
    let files = rig.ram.snapshot().into_keys().filter(in_journal);
    files.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

fn fsck(rig: &Rig) -> Report {
    ledger::fsck_in(Arc::new(rig.ram.process()), &rig.dir, None, &mut |_| {}).unwrap()
}

fn audit(rig: &Rig) -> Report {
    let key = rig.open().1.verifier_key().clone();
    ledger::audit_in(Arc::new(rig.ram.process()), &rig.dir, None, &key, &mut |_| {}).unwrap()
}

/// Seals, and answers what stands there afterwards.
fn sealed(rig: &Rig) -> Vec<String> {
    let (ledger, _) = rig.open();
    ledger.seal().unwrap();
    names(rig)
}

#[test]
fn a_sealed_log_answers_and_proves_what_the_raw_one_did_now_and_after_re_opening() {
    let rig = log(4, 300);
    let (ledger, reader) = rig.open();
    let told = |reader: &ledger::Reader| {
        let heads = reader.heads(0, 1200, 100).unwrap();
        let bundles: Vec<_> =
            (0..4).map(|index| reader.bundle(&Bundle { index, width: 256 }).unwrap().unwrap()).collect();
        let receipts: Vec<_> = (0..12).map(|n| reader.receipt(100 * n, Some(1200)).unwrap().text()).collect();
        (heads, bundles, receipts)
    };
    let before = told(&reader);
    let raw = rig.ram.snapshot();
    assert_eq!(ledger.seal().unwrap(), 3);
    assert_eq!(
        names(&rig),
        [
            "00000000000000000000.sealed",
            "00000000000000000300.sealed",
            "00000000000000000600.sealed",
            "00000000000000000900.seg"
        ]
    );
    let bytes = |files: &std::collections::BTreeMap<PathBuf, Vec<u8>>, name: &str| {
        files[&rig.path(&format!("journal/00000000000000000000.{name}"))].len()
    };
    assert!(bytes(&rig.ram.snapshot(), "sealed") < bytes(&raw, "seg"));
    assert_eq!(told(&reader), before);
    check_mixed(&reader, 1200);
    assert_eq!(ledger.seal().unwrap(), 0, "there is nothing left to seal");
    drop((ledger, reader));
    let (mut ledger, reader) = rig.open();
    assert_eq!(told(&reader), before);
    check_mixed(&reader, 1200);
    ledger.append(&mixed(1200, 5), START).unwrap();
    check_mixed(&reader, 1205);
    assert!(fsck(&rig).is_clean());
    drop(ledger);
    let report = audit(&rig);
    assert!(report.is_clean() && report.entries == 1205 && report.kept == report.decisions);
}

#[test]
fn derived_files_come_back_from_sealed_segments_byte_for_byte() {
    let rig = log(4, 100);
    sealed(&rig);
    let before = rig.ram.snapshot();
    for path in before.keys().filter(|path| path.starts_with(rig.path("tree")) || path.starts_with(rig.path("index"))) {
        rig.ram.lose(path);
    }
    let (_, reader) = rig.open();
    check_mixed(&reader, 400);
    drop(reader);
    assert_eq!(rig.ram.snapshot(), before);
}

#[test]
fn what_may_still_grow_is_not_sealed() {
    let rig = log(2, 10);
    let (mut ledger, _) = rig.open();
    assert_eq!(ledger.seal().unwrap(), 1);
    assert_eq!(ledger.seal().unwrap(), 0);
    ledger.append(&mixed(20, 10), START).unwrap();
    // The second is closed now, and followed by what was just published.
    assert_eq!(ledger.seal().unwrap(), 1);
}

#[test]
fn a_full_bundle_is_had_as_it_stands_and_unpacks_with_the_dictionary_as_raw_content() {
    let rig = log(3, 700);
    sealed(&rig);
    let (_ledger, reader) = rig.open();
    let dictionary = reader.newest_dictionary().unwrap().unwrap();
    assert_eq!(verifier::hash::sha256(dictionary.bytes()), dictionary.sha256());
    let mut had = Vec::new();
    for index in 0..9 {
        let Some(stored) = reader.stored_bundle(index).unwrap() else { continue };
        had.push(index);
        let plain = reader.bundle(&Bundle { index, width: 256 }).unwrap().unwrap();
        assert!(stored.zstd.len() < plain.len());
        assert_eq!(stored.dictionary.sha256(), dictionary.sha256());
        let mut decompressor = zstd::bulk::Decompressor::with_dictionary(stored.dictionary.bytes()).unwrap();
        assert_eq!(decompressor.decompress(&stored.zstd, plain.len()).unwrap(), plain);
    }
    // 700 and 1400 lie inside bundles 2 and 5; from 1400 on nothing is sealed.
    assert_eq!(had, [0, 1, 3, 4]);
    assert!(reader.stored_bundle(u64::MAX).unwrap().is_none());
}

/// What happens to the machine after a fault.
type After = fn(&Rig, u64);

#[test]
fn wherever_sealing_is_stopped_or_fails_nothing_is_lost_and_the_log_runs_on() {
    let base = log(3, 30);
    let faults =
        [(Fault::Kill, false), (Fault::Fail(ErrorKind::StorageFull), true), (Fault::FailKept(ErrorKind::Other), true)];
    let afters: [After; 3] =
        [|rig, _| rig.ram.restart(), |rig, _| rig.ram.power_loss(), |rig, seed| rig.ram.power_loss_keeping(seed)];
    let mut tried = 0;
    for (fault, lives_on) in faults {
        for (op, after) in [None, Some(Op::Read)].into_iter().flat_map(|op| afters.map(|after| (op, after))) {
            for nth in 0.. {
                let rig = Rig { ram: base.ram.fork(), dir: base.dir.clone(), segment_bytes: 1 };
                let (mut ledger, reader) = rig.open();
                rig.ram.fault(Rule { op, path: "journal".into(), nth, fault });
                let result = ledger.seal();
                if rig.ram.faults_left() > 0 {
                    break;
                }
                tried += 1;
                let story = format!("{fault:?} at {op:?} {nth}: {result:?}");
                let mut size = 90;
                if lives_on {
                    assert!(!reader.poisoned(), "{story}");
                    check_mixed(&reader, size);
                    ledger.append(&mixed(size, 3), START).unwrap_or_else(|error| panic!("{story}: {error}"));
                    size += 3;
                    check_mixed(&reader, size);
                }
                drop((ledger, reader));
                after(&rig, nth);
                let (ledger, reader) = rig.try_open().unwrap_or_else(|error| panic!("{story}: {error}"));
                check_mixed(&reader, size);
                ledger.seal().unwrap();
                check_mixed(&reader, size);
                drop((ledger, reader));
                let raw = names(&rig).into_iter().filter(|name| !name.ends_with(".sealed")).count();
                assert_eq!(raw, 1, "{story}: {:?}", names(&rig));
                let report = fsck(&rig);
                assert!(report.is_clean(), "{story}: {:?}", report.problems);
            }
        }
    }
    println!("sealing stopped or failed {tried} times");
    assert!(tried > 150, "{tried}");
}

#[test]
fn a_failure_of_sealing_is_told_to_whoever_asked_and_the_next_try_succeeds() {
    let rig = log(3, 20);
    let (ledger, reader) = rig.open();
    rig.ram.fault(Rule {
        op: Some(Op::Write),
        path: ".sealed".into(),
        nth: 1,
        fault: Fault::Fail(ErrorKind::StorageFull),
    });
    let error = ledger.seal().unwrap_err();
    assert!(error.to_string().contains(".sealed"), "{error}");
    assert!(!names(&rig).iter().any(|name| name.ends_with(".new")));
    assert_eq!(ledger.seal().unwrap(), 1);
    check_mixed(&reader, 60);
}

#[test]
fn of_two_forms_that_say_the_same_the_raw_one_goes_and_of_two_that_differ_neither() {
    let rig = log(2, 50);
    let raw = rig.path("journal/00000000000000000000.seg");
    let before = rig.ram.snapshot();
    sealed(&rig);
    let both = || {
        let mut files = rig.ram.snapshot();
        files.insert(raw.clone(), before[&raw].clone());
        rig.ram.restore(&rig.dir, &files);
    };
    both();
    check_mixed(&rig.open().1, 100);
    assert!(!rig.ram.snapshot().contains_key(&raw));
    both();
    rig.ram.damage(&raw, |bytes| *bytes.last_mut().unwrap() ^= 1).unwrap();
    let kept = rig.ram.snapshot();
    assert!(matches!(rig.try_open(), Err(OpenError::BrokenFrame { index: 0, file, .. }) if file == raw));
    assert_eq!(rig.ram.snapshot().keys().collect::<Vec<_>>(), kept.keys().collect::<Vec<_>>());
}

#[test]
fn damage_in_a_sealed_segment_is_named_with_file_and_first_entry_and_never_mended() {
    let rig = log(2, 600);
    sealed(&rig);
    let path = rig.path("journal/00000000000000000000.sealed");
    let whole = rig.ram.snapshot()[&path].clone();
    // Inside the header, the dictionary, each of the three blocks, the headers of the frames, the tables.
    let blocks = whole.len() - 200;
    for (at, index) in [(50, 0), (150, 0), (blocks / 3, 0), (blocks / 2, 256), (blocks, 512), (whole.len() - 2, 0)] {
        rig.ram.damage(&path, |bytes| bytes[at] ^= 0x10).unwrap();
        let report = fsck(&rig);
        let first = &report.problems[0];
        assert_eq!((&first.file, first.index), (&path, Some(index)), "byte {at}: {:?}", report.problems);
        // What lies below is answered, what is damaged is not.
        if let Ok((ledger, reader)) = rig.try_open() {
            assert!(matches!(reader.entry(index), Err(ReadError::Damaged { .. })), "byte {at}");
            assert!((0..index).all(|below| reader.entry(below).unwrap() == leaf(below)));
            assert!(reader.entry(600).unwrap() == leaf(600));
            drop(ledger);
        }
        let derived = |path: &&PathBuf| path.starts_with(rig.path("tree")) || path.starts_with(rig.path("index"));
        let files = rig.ram.snapshot();
        files.keys().filter(derived).for_each(|path| rig.ram.lose(path));
        match rig.try_open() {
            Err(OpenError::BrokenFrame { file, index: named, .. }) => {
                assert_eq!((&file, named), (&path, index), "byte {at}");
            }
            other => panic!("byte {at}: {other:?}"),
        }
        rig.ram.restore(&rig.dir, &files);
        rig.ram.damage(&path, |bytes| bytes.clone_from(&whole)).unwrap();
    }
    assert!(fsck(&rig).is_clean());
}

#[test]
fn a_memory_older_than_what_is_sealed_never_signs() {
    let rig = log(1, 20);
    let older = rig.ram.snapshot()[&rig.memory()].clone();
    let (mut ledger, _) = rig.open();
    ledger.append(&mixed(20, 20), START).unwrap();
    ledger.seal().unwrap();
    drop(ledger);
    rig.ram.damage(&rig.memory(), |bytes| bytes.clone_from(&older)).unwrap();
    let kept = rig.ram.snapshot();
    assert!(matches!(rig.try_open(), Err(OpenError::MemoryBehind { remembered: 20, published: 21, .. })));
    assert_eq!(rig.ram.snapshot(), kept);
    // Its loss can be accepted: what is sealed was published.
    rig.ram.lose(&rig.memory());
    assert_eq!(rig.open_without_memory().unwrap().1.size(), 41);
}

#[test]
fn a_sealed_segment_without_the_one_that_followed_it_is_refused() {
    let rig = log(2, 20);
    sealed(&rig);
    let next = rig.path("journal/00000000000000000020.seg");
    rig.ram.lose(&next);
    assert!(matches!(rig.try_open(), Err(OpenError::BrokenFrame { file, index: 20, .. }) if file == next));
    rig.ram.lose(&rig.memory());
    assert!(matches!(rig.open_without_memory(), Err(OpenError::BrokenFrame { file, index: 20, .. }) if file == next));
}

#[test]
fn reads_go_on_while_the_background_seals_and_the_writer_writes() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("log");
    ledger::create(&dir, ORIGIN, START).unwrap();
    let options = Options { segment_bytes: 30_000, ..Options::new(&dir) };
    let (mut ledger, reader) = Ledger::open(options.clone(), START).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for seed in 1..3_u64 {
            let (reader, done) = (reader.clone(), &done);
            scope.spawn(move || {
                let mut random = seed;
                while !done.load(Ordering::Acquire) {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    if let Some(index) = (random >> 33).checked_rem(reader.size()) {
                        assert_eq!(reader.entry(index).unwrap(), leaf(index));
                    }
                }
            });
        }
        for _ in 0..40 {
            ledger.append(&mixed(ledger.size(), 100), START).unwrap();
        }
        ledger.seal().unwrap();
        done.store(true, Ordering::Release);
    });
    let journal = files_under(&dir.join("journal"));
    let sealed = journal.keys().filter(|path| path.extension().is_some_and(|name| name == "sealed")).count();
    assert!(sealed > 10 && sealed + 1 == journal.len(), "{:?}", journal.keys());
    check_mixed(&reader, 4000);
    drop((ledger, reader));
    let (_ledger, reader) = Ledger::open(options, START).unwrap();
    check_mixed(&reader, 4000);
    assert!(ledger::fsck(&dir, None, &mut |_| {}).unwrap().is_clean());
}
