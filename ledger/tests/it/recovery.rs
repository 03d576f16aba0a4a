//! What opening believes, refuses and rebuilds (DESIGN §6).

use ledger::{Ledger, OpenError, Options};

use crate::common::*;

#[test]
fn a_second_writer_is_refused_while_the_first_lives() {
    let rig = Rig::new();
    let first = rig.open();
    assert!(matches!(rig.try_open(), Err(OpenError::Locked { .. })));
    drop(first);
    rig.open();
}

#[test]
fn a_second_writer_is_refused_on_a_real_disk() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("log");
    ledger::create(&dir, ORIGIN, START).unwrap();
    let _first = Ledger::open(Options::new(&dir), START).unwrap();
    assert!(matches!(Ledger::open(Options::new(&dir), START), Err(OpenError::Locked { .. })));
}

#[test]
fn derived_files_that_were_deleted_come_back_byte_for_byte() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("log");
    ledger::create(&dir, ORIGIN, START).unwrap();
    let (mut ledger, _) = Ledger::open(Options::new(&dir), START).unwrap();
    for count in [1, 700, 3, 90] {
        ledger.append(&mixed(ledger.size(), count), START).unwrap();
    }
    drop(ledger);
    let before = files_under(&dir);
    for derived in ["tree", "index"] {
        std::fs::remove_dir_all(dir.join(derived)).unwrap();
    }
    let (ledger, reader) = Ledger::open(Options::new(&dir), START).unwrap();
    check_mixed(&reader, 794);
    drop(ledger);
    assert_eq!(files_under(&dir), before);
}

#[test]
fn a_lost_memory_is_refused_until_its_loss_is_accepted_and_recorded() {
    let rig = Rig::new();
    let (mut ledger, _) = rig.open();
    ledger.append(&mixed(0, 5), START).unwrap();
    drop(ledger);
    rig.ram.lose(&rig.memory());
    assert!(matches!(rig.try_open(), Err(OpenError::MemoryMissing { .. })));
    let (ledger, reader) = rig.open_without_memory().unwrap();
    assert_eq!(reader.size(), 6);
    assert!(matches!(reader.record(5).unwrap(), verifier::record::Record::Recovery { size: 5, .. }));
    drop(ledger);
    assert_eq!(rig.open().1.size(), 6);
    assert!(rig.ram.snapshot().contains_key(&rig.path("log.toml")));
}
