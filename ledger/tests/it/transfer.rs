//! Taking a log elsewhere: export, import, backup, and archives that are only read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger::storage::ram::Ram;
use ledger::{Ledger, OpenError, Options, ReadError, Reader, TransferError, Transferred};
use verifier::note::VerifierKey;
use verifier::proof::verify_consistency;
use verifier::record::Record;

use crate::common::*;

pub(crate) fn elsewhere() -> PathBuf {
    PathBuf::from("/srv/elsewhere")
}

/// A log of several segments, some of them sealed.
fn rig() -> (Rig, u64) {
    let rig = Rig::rolled(30, |batch| 1 + batch % 5);
    let (ledger, _) = rig.open();
    let size = ledger.size();
    ledger.seal().unwrap();
    drop(ledger);
    let sealed = rig.ram.snapshot().keys().filter(|path| path.extension().is_some_and(|e| e == "sealed")).count();
    assert!(sealed > 5, "{sealed}");
    (rig, size)
}

pub(crate) fn export(rig: &Rig, private_parts: bool) -> (Vec<u8>, Transferred) {
    let mut file = Vec::new();
    let taken = ledger::export_in(Arc::new(rig.ram.process()), &rig.dir, None, private_parts, &mut file).unwrap();
    (file, taken)
}

pub(crate) fn import(ram: &Ram, file: &[u8], key: Option<&VerifierKey>) -> Result<Transferred, TransferError> {
    ledger::import_in(Arc::new(ram.process()), &mut { file }, &elsewhere(), key)
}

pub(crate) fn archive(ram: &Ram, dir: &Path) -> Result<Reader, OpenError> {
    ledger::open_archive_in(Arc::new(ram.process()), dir, None)
}

fn clean(ram: &Ram, dir: &Path, key: &VerifierKey) -> ledger::Report {
    let fsck = ledger::fsck_in(Arc::new(ram.process()), dir, None, &mut |_| {}).unwrap();
    assert!(fsck.is_clean(), "{:#?}", fsck.problems);
    let audit = ledger::audit_in(Arc::new(ram.process()), dir, None, key, &mut |_| {}).unwrap();
    assert!(audit.is_clean(), "{:#?}", audit.problems);
    audit
}

/// The files below one subdirectory, by name.
fn below(ram: &Ram, dir: &Path, sub: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let dir = dir.join(sub);
    let all = ram.snapshot().into_iter();
    all.filter_map(|(path, bytes)| Some((path.strip_prefix(&dir).ok()?.to_owned(), bytes))).collect()
}

#[test]
fn what_is_imported_has_the_same_tree_byte_for_byte_under_the_same_head() {
    let (rig, size) = rig();
    let (ledger, reader) = rig.open();
    let (head, key) = (reader.head(), reader.verifier_key().clone());
    let (file, taken) = export(&rig, true);
    assert_eq!((taken.size, &taken.root, &taken.checkpoint), (size, &head.checkpoint.root, &head.note));
    let other = Ram::new();
    assert_eq!(import(&other, &file, Some(&key)).unwrap(), taken);
    drop(ledger);
    for sub in ["tree", "index", "journal", "vault"] {
        assert!(below(&other, &elsewhere(), sub) == below(&rig.ram, &rig.dir, sub), "{sub}");
    }
    assert!(!other.snapshot().keys().any(|path| path.to_string_lossy().contains("key")), "keys never leave");
    let reader = archive(&other, &elsewhere()).unwrap();
    assert_eq!(reader.head(), head);
    check_mixed(&reader, size);
    drop(reader);
    let report = clean(&other, &elsewhere(), &key);
    assert_eq!(report.kept, report.decisions);
    // What was exported from the archive is what was exported from the log.
    let mut again = Vec::new();
    ledger::export_in(Arc::new(other.process()), &elsewhere(), None, true, &mut again).unwrap();
    assert!(again == file);
}

#[test]
fn without_private_parts_the_archive_says_that_they_are_lost() {
    let (rig, size) = rig();
    let (ledger, original) = rig.open();
    let (file, taken) = export(&rig, false);
    assert!(!taken.private_parts);
    let holds = |part: &[u8]| file.windows(part.len()).any(|window| window == part);
    assert!(!holds(SECRET.as_bytes()) && !holds(&Case::new(1).request_salt));
    let other = Ram::new();
    import(&other, &file, None).unwrap();
    drop(ledger);
    assert!(below(&other, &elsewhere(), "tree") == below(&rig.ram, &rig.dir, "tree"));
    let reader = archive(&other, &elsewhere()).unwrap();
    for index in 0..size {
        assert_eq!(reader.entry(index).unwrap(), leaf(index));
        match reader.private(index) {
            Err(ReadError::Lost { index: lost }) => assert!(lost == index && index % 3 != 0),
            Err(ReadError::NoPrivate { .. }) => assert_eq!(index % 3, 0),
            other => panic!("{other:?}"),
        }
    }
    drop(reader);
    let report = clean(&other, &elsewhere(), original.verifier_key());
    assert!(report.without_private_parts && report.decisions > 0 && report.kept == 0);
}

#[test]
fn an_archive_proves_and_never_signs_or_appends() {
    let (rig, size) = rig();
    let (ledger, original) = rig.open();
    let heads = original.heads(0, size, 100).unwrap();
    drop(ledger);
    let (file, _) = export(&rig, true);
    let other = Ram::new();
    import(&other, &file, None).unwrap();
    // Not for writing: there is no key, whatever the operator's word.
    for accept_memory_loss in [false, true] {
        let options = Options { accept_memory_loss, ..Options::new(elsewhere()) };
        let opened = Ledger::open_in(Arc::new(other.process()), options, START + 100);
        assert!(matches!(opened, Err(OpenError::NoKey { .. })), "{opened:?}");
    }
    let before = other.snapshot();
    let reader = archive(&other, &elsewhere()).unwrap();
    // The last head is signed; those before it are not, and nothing signs them again.
    assert_eq!(reader.head_at(size).unwrap().as_ref(), heads.last());
    assert_eq!(reader.heads(0, size, 100).unwrap(), heads[heads.len() - 1..]);
    assert_eq!(reader.heads(0, size - 1, 100).unwrap(), []);
    for head in &heads[..heads.len() - 1] {
        assert!(matches!(reader.head_at(head.checkpoint.size), Err(ReadError::Unsigned { .. })), "{head:?}");
        // But whoever has kept one of them can hold it against the last.
        let proof = reader.consistency(head.checkpoint.size, size).unwrap();
        let (old, new) = (&head.checkpoint, &reader.head().checkpoint);
        verify_consistency(old.size, new.size, &proof, &old.root, &new.root).unwrap();
    }
    assert!(reader.head_at(size + 1).unwrap().is_none());
    let hash = verifier::hash::leaf_hash(&leaf(1));
    assert!(matches!(reader.cose_inclusion(&hash, 1, &reader.head()), Err(ReadError::Unsigned { .. })));
    assert_eq!(reader.receipt(7, None).unwrap().checkpoint, heads.last().unwrap().note);
    // One reader at a time, and nothing was written.
    assert!(matches!(archive(&other, &elsewhere()), Err(OpenError::Locked { .. })));
    drop(reader);
    assert!(other.snapshot() == before);
}

/// Threat 37: a test log's journal under the production key.
#[test]
fn an_import_under_another_key_or_origin_is_never_signed() {
    let (rig, _) = rig();
    let (file, _) = export(&rig, true);
    let production = Rig::new();
    let keys = production.ram.snapshot();
    let (_, production_reader) = production.open();
    let other = Ram::new();
    assert!(matches!(
        import(&other, &file, Some(production_reader.verifier_key())),
        Err(TransferError::OtherKey { .. })
    ));
    assert!(other.snapshot().is_empty(), "nothing remains");
    import(&other, &file, None).unwrap();
    // The production key is put beside it, and the production memory.
    let process = Arc::new(other.process());
    ledger::storage::Storage::create_dir(&*process, &elsewhere().join("keys"), true).unwrap();
    let put = |from: &Path, to: &Path| {
        let file = ledger::storage::Storage::open(&*process, to, ledger::storage::Mode::NewSecret, false).unwrap();
        file.write_at(0, &keys[from]).unwrap();
    };
    put(&production.path("keys/log.key"), &elsewhere().join("keys/log.key"));
    let open = || Ledger::open_in(process.clone(), Options::new(elsewhere()), START + 100);
    assert!(matches!(open(), Err(OpenError::ForeignKey { .. })));
    // It still reads as what it is.
    assert_eq!(archive(&other, &elsewhere()).unwrap().origin(), ORIGIN);
    put(&production.memory(), &ledger::default_memory(&elsewhere()));
    assert!(matches!(archive(&other, &elsewhere()), Err(OpenError::MemoryOfAnotherLog { .. })));
}

#[test]
fn an_empty_log_is_exported_and_imported_too() {
    let rig = Rig::new();
    let (file, taken) = export(&rig, true);
    assert_eq!(taken.size, 0);
    let other = Ram::new();
    import(&other, &file, None).unwrap();
    let reader = archive(&other, &elsewhere()).unwrap();
    assert_eq!((reader.size(), reader.head().note.clone()), (0, taken.checkpoint));
    assert_eq!(reader.head_at(0).unwrap().unwrap().note, reader.head().note);
}

#[test]
fn the_derived_parts_of_an_archive_come_back_when_they_are_deleted() {
    let (rig, size) = rig();
    let (file, _) = export(&rig, true);
    let other = Ram::new();
    import(&other, &file, None).unwrap();
    let whole = other.snapshot();
    let derived: Vec<_> = whole
        .keys()
        .filter(|path| path.starts_with(elsewhere().join("tree")) || path.starts_with(elsewhere().join("index")))
        .collect();
    for lost in derived {
        other.lose(lost);
        check_mixed(&archive(&other, &elsewhere()).unwrap(), size);
        assert_eq!(other.snapshot()[lost], whole[lost], "{}", lost.display());
    }
    // Damaged instead: the peaks of the right edge do not lead to the head.
    other.damage(&elsewhere().join("tree/06"), |bytes| bytes.iter_mut().for_each(|byte| *byte ^= 1)).unwrap();
    check_mixed(&archive(&other, &elsewhere()).unwrap(), size);
    // The journal is not derived.
    other.lose(&elsewhere().join("journal/00000000000000000000.sealed"));
    other.lose(&elsewhere().join("tree/synced"));
    assert!(matches!(archive(&other, &elsewhere()), Err(OpenError::BrokenFrame { .. })));
}

/// With its key and the real memory an import becomes the log again: on another machine, or out of the only copy that is left.
#[test]
fn an_import_becomes_the_log_again_with_its_key_and_the_real_memory_only() {
    let (rig, size) = rig();
    let (file, _) = export(&rig, true);
    let (mut ledger, reader) = rig.open();
    let key = reader.verifier_key().clone();
    let older = rig.ram.snapshot()[&rig.memory()].clone();
    ledger.append(&mixed(size, 2), START + 100).unwrap();
    drop(ledger);
    let later = rig.ram.snapshot();
    let moved = |memory: Option<&[u8]>| {
        let other = Ram::new();
        import(&other, &file, Some(&key)).unwrap();
        let process = Arc::new(other.process());
        let put = |path: &Path, bytes: &[u8]| {
            let file =
                ledger::storage::Storage::open(&*process, path, ledger::storage::Mode::NewSecret, false).unwrap();
            file.write_at(0, bytes).unwrap();
        };
        ledger::storage::Storage::create_dir(&*process, &elsewhere().join("keys"), true).unwrap();
        put(&elsewhere().join("keys/log.key"), &later[&rig.path("keys/log.key")]);
        if let Some(memory) = memory {
            put(&ledger::default_memory(&elsewhere()), memory);
        }
        other
    };
    let open = |ram: &Ram, accept_memory_loss| {
        let options = Options { accept_memory_loss, ..Options::new(elsewhere()) };
        Ledger::open_in(Arc::new(ram.process()), options, START + 200)
    };
    // It never signs without a memory, nor beside the one that went on.
    assert!(matches!(open(&moved(None), false), Err(OpenError::MemoryMissing { .. })));
    assert!(matches!(open(&moved(Some(&later[&rig.memory()])), false), Err(OpenError::MemoryAhead { .. })));
    // With the memory of that time it is the log of that time, and goes on.
    let ram = moved(Some(&older));
    let (mut ledger, reader) = open(&ram, false).unwrap();
    check_mixed(&reader, size);
    ledger.append(&mixed(size, 1), START + 300).unwrap();
    drop(ledger);
    assert!(!ram.snapshot().contains_key(&elsewhere().join("head")), "it is an archive no more");
    check_mixed(&open(&ram, false).unwrap().1, size + 1);
    // An operator's word opens it without a memory, and stands in the log.
    let ram = moved(None);
    let (_ledger, reader) = open(&ram, true).unwrap();
    assert!(matches!(reader.record(size).unwrap(), Record::Recovery { .. }));
}

#[test]
fn a_log_that_is_damaged_below_its_head_is_not_exported() {
    let rig = Rig::rolled(6, |_| 3);
    let whole = rig.ram.snapshot();
    let last = |room: &str| whole.keys().rfind(|path| path.starts_with(rig.path(room))).unwrap().clone();
    let first = rig.path("journal/00000000000000000000.seg");
    for (path, change) in [(first, 200), (last("journal"), 70), (last("journal"), 150), (last("vault"), 70)] {
        rig.ram.damage(&path, |bytes| bytes[change] ^= 1).unwrap();
        let result = ledger::export_in(Arc::new(rig.ram.process()), &rig.dir, None, true, &mut Vec::new());
        assert!(matches!(result, Err(TransferError::Damaged { .. })), "{result:?}");
        rig.ram.restore(&rig.dir, &whole);
    }
    // What is taken as it stands is checked by whoever imports it.
    let (ledger, _) = rig.open();
    ledger.seal().unwrap();
    drop(ledger);
    for room in ["journal", "vault"] {
        let whole = rig.ram.snapshot();
        let first = whole.keys().find(|path| path.starts_with(rig.path(room))).unwrap();
        rig.ram.damage(first, |bytes| bytes[200] ^= 1).unwrap();
        let mut file = Vec::new();
        if ledger::export_in(Arc::new(rig.ram.process()), &rig.dir, None, true, &mut file).is_ok() {
            let other = Ram::new();
            assert!(import(&other, &file, None).is_err() && other.snapshot().is_empty(), "{room}");
        }
        rig.ram.restore(&rig.dir, &whole);
    }
    // Without a head nobody knows what was published.
    rig.ram.lose(&rig.memory());
    let result = ledger::export_in(Arc::new(rig.ram.process()), &rig.dir, None, true, &mut Vec::new());
    assert!(matches!(result, Err(TransferError::Log(OpenError::NoHead { .. }))));
}
