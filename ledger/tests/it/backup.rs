//! Copies that are taken while the log is written: by our command, and by hand in the order that `BACKUP.md` gives.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use ledger::{Ledger, OpenError, Options, Reader};
use verifier::proof::verify_consistency;

use crate::common::*;

/// Ends the writer, also when a test fails meanwhile.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A new log in `dir` that is written all the time while `meanwhile` looks at it.
fn while_written(dir: &Path, segment_bytes: u64, meanwhile: impl FnOnce(&Reader)) -> (Ledger, Reader) {
    ledger::create(dir, ORIGIN, START).unwrap();
    let options = Options { segment_bytes, ..Options::new(dir) };
    let (mut ledger, reader) = Ledger::open(options, START).unwrap();
    ledger.append(&mixed(0, 5), START).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                ledger.append(&mixed(ledger.size(), 20), START).unwrap();
                // Enough to roll and seal all the time, and not so much that the copies have no end.
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        });
        let _over = Over(&over);
        meanwhile(&reader);
    });
    (ledger, reader)
}

fn wait_for(reader: &Reader, size: u64) {
    while reader.size() < size {
        std::thread::yield_now();
    }
}

/// Under load, with segments that roll and are sealed meanwhile.
#[test]
fn a_backup_taken_under_load_is_whole_and_never_signs_beside_the_log() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("log");
    let mut backups = Vec::new();
    let (_ledger, reader) = while_written(&dir, 3_000, |reader| {
        for round in 0..4 {
            let size = reader.size();
            wait_for(reader, size + 200);
            let target = place.path().join(format!("backup-{round}"));
            let taken = ledger::backup(&dir, None, &target, round % 2 == 0).unwrap();
            assert!(taken.size >= size + 200);
            let mut file = Vec::new();
            ledger::export(&dir, None, true, &mut file).unwrap();
            let imported = place.path().join(format!("import-{round}"));
            ledger::import(&mut file.as_slice(), &imported, Some(reader.verifier_key())).unwrap();
            backups.push((target, taken));
        }
    });
    let key = reader.verifier_key().clone();
    let real = std::fs::read(ledger::default_memory(&dir)).unwrap();
    assert!(reader.size() > backups[3].1.size);
    let head = reader.head();
    for (round, (target, taken)) in backups.iter().enumerate() {
        assert!(ledger::fsck(target, None, &mut |_| {}).unwrap().is_clean());
        assert!(ledger::audit(target, None, &key, &mut |_| {}).unwrap().is_clean());
        let archive = ledger::open_archive(target, None).unwrap();
        check_mixed(&archive, taken.size);
        let proof = reader.consistency(taken.size, head.checkpoint.size).unwrap();
        verify_consistency(taken.size, head.checkpoint.size, &proof, &taken.root, &head.checkpoint.root).unwrap();
        drop(archive);
        let opened = Ledger::open(Options::new(target), START + 1).map(|_| ());
        if round % 2 == 1 {
            assert!(matches!(opened, Err(OpenError::NoKey { .. })));
            continue;
        }
        assert!(matches!(opened, Err(OpenError::MemoryMissing { .. })));
        std::fs::write(ledger::default_memory(target), &real).unwrap();
        let opened = Ledger::open(Options::new(target), START + 1).map(|_| ());
        assert!(matches!(opened, Err(OpenError::MemoryAhead { .. })), "{opened:?}");
    }
}

/// What an operator does without our command: the memory first, then the rest, while the log is written.
#[test]
fn a_copy_made_under_load_with_its_memory_copied_first_is_an_older_copy() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("log");
    let copy = place.path().join("copy");
    let mut copied = 0;
    let (_original, reader) = while_written(&dir, 200_000, |reader| {
        wait_for(reader, 500);
        std::fs::copy(ledger::default_memory(&dir), ledger::default_memory(&copy)).unwrap();
        copied = reader.size();
        for sub in ["journal", "vault", "keys"] {
            // More is written between one directory and the next.
            wait_for(reader, reader.size() + 100);
            std::fs::create_dir_all(copy.join(sub)).unwrap();
            for entry in std::fs::read_dir(dir.join(sub)).unwrap() {
                let path = entry.unwrap().path();
                std::fs::copy(&path, copy.join(sub).join(path.file_name().unwrap())).unwrap();
            }
        }
        std::fs::copy(dir.join("log.toml"), copy.join("log.toml")).unwrap();
    });
    let key = reader.verifier_key().clone();
    let now = reader.head();
    let size = now.checkpoint.size;
    // As an archive it is what its memory says.
    let archive = ledger::open_archive(&copy, None).unwrap();
    assert!(archive.size() >= 500 && archive.size() <= copied, "{} of {copied}", archive.size());
    check_mixed(&archive, archive.size());
    drop(archive);
    for report in [ledger::fsck(&copy, None, &mut |_| {}), ledger::audit(&copy, None, &key, &mut |_| {})] {
        let report = report.unwrap();
        assert!(report.is_clean(), "{:#?}", report.problems);
    }
    // Beside the memory that went on it does not sign.
    let own = std::fs::read(ledger::default_memory(&copy)).unwrap();
    std::fs::copy(ledger::default_memory(&dir), ledger::default_memory(&copy)).unwrap();
    let opened = Ledger::open(Options::new(&copy), START + 1).map(|_| ());
    assert!(matches!(opened, Err(OpenError::MemoryAhead { .. })), "{opened:?}");
    // With its own it is an older copy that was never contradicted.
    std::fs::write(ledger::default_memory(&copy), own).unwrap();
    let (_ledger, older) = Ledger::open(Options::new(&copy), START + 1).unwrap();
    let old = older.head();
    assert!(old.checkpoint.size < size);
    let proof = reader.consistency(old.checkpoint.size, size).unwrap();
    verify_consistency(old.checkpoint.size, size, &proof, &old.checkpoint.root, &now.checkpoint.root).unwrap();
}
