//! What opening believes, refuses and rebuilds (DESIGN §6).

use std::sync::Arc;

use ledger::storage::ram::{Fault, Op, Ram, Rule};
use ledger::{AppendError, Batch, CreateError, Ledger, OpenError, Options};

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

#[test]
fn a_missing_empty_or_foreign_directory_never_becomes_a_log() {
    let place = tempfile::tempdir().unwrap();
    let open = |name: &str| Ledger::open(Options::new(place.path().join(name)), START);
    assert!(matches!(open("missing"), Err(OpenError::NotALog { .. })));
    std::fs::create_dir(place.path().join("empty")).unwrap();
    assert!(matches!(open("empty"), Err(OpenError::NotALog { .. })));
    std::fs::create_dir(place.path().join("foreign")).unwrap();
    std::fs::write(place.path().join("foreign/log.toml"), "name = \"somebody else's\"\n").unwrap();
    assert!(matches!(open("foreign"), Err(OpenError::Malformed { .. })));
    assert!(!place.path().join("missing").exists());
    assert_eq!(files_under(&place.path().join("empty")).len(), 0);
}

#[test]
fn creating_overwrites_neither_a_directory_nor_a_memory() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("log");
    ledger::create(&dir, ORIGIN, START).unwrap();
    assert!(matches!(ledger::create(&dir, ORIGIN, START), Err(CreateError::NotEmpty { .. })));
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(matches!(ledger::create(&dir, ORIGIN, START), Err(CreateError::MemoryExists { .. })));
}

#[test]
fn a_signing_key_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("log");
    ledger::create(&dir, ORIGIN, START).unwrap();
    let key = dir.join("keys/log.key");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir.join("keys")), mode(&key)), (0o700, 0o600));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(Ledger::open(Options::new(&dir), START), Err(OpenError::KeyExposed { mode: 0o644, .. })));
}

#[test]
fn another_logs_key_journal_or_memory_is_refused() {
    let (ours, theirs) = (Rig::new(), Rig::new());
    let (mut ledger, _) = theirs.open();
    ledger.append(&mixed(0, 3), START).unwrap();
    drop(ledger);
    let foreign = theirs.ram.snapshot();
    let put = |path: &std::path::Path| ours.ram.damage(path, |bytes| bytes.clone_from(&foreign[path])).unwrap();
    let before = ours.ram.snapshot();
    put(&ours.path("keys/log.key"));
    assert!(matches!(ours.try_open(), Err(OpenError::ForeignKey { .. })));
    ours.ram.restore(&ours.dir, &before);
    put(&ours.memory());
    assert!(matches!(ours.try_open(), Err(OpenError::MemoryOfAnotherLog { .. })));
    ours.ram.damage(&ours.memory(), |bytes| bytes.clone_from(&before[&ours.memory()])).unwrap();
    put(&ours.path("journal/00000000000000000000.seg"));
    assert!(matches!(ours.try_open(), Err(OpenError::BrokenFrame { offset: 0, .. })));
}

#[test]
fn a_log_under_another_origin_is_refused() {
    let rig = Rig::new();
    let (mut ledger, _) = rig.open();
    ledger.append(&mixed(0, 3), START).unwrap();
    drop(ledger);
    let before = rig.ram.snapshot();
    let toml = String::from_utf8(before[&rig.path("log.toml")].clone()).unwrap();
    let rename = |from: &str, to: &str| {
        let text = toml.replace(from, to);
        rig.ram.damage(&rig.path("log.toml"), |bytes| *bytes = text.into_bytes()).unwrap();
        rig.try_open().map(drop)
    };
    // The origin alone; then origin and key together under another name, whose id the key does not have.
    assert!(matches!(rename("origin = \"log.example", "origin = \"log.elsewhere"), Err(OpenError::Malformed { .. })));
    assert!(matches!(rename("log.example", "log.elsewhere"), Err(OpenError::Malformed { .. })));
    // All of another log's names: every file of ours is then somebody else's.
    let other = Rig::new().ram.snapshot();
    for (file, refused) in [("log.toml", "key"), ("keys/log.key", "memory"), ("log.memory", "journal")] {
        let path = if file == "log.memory" { rig.memory() } else { rig.path(file) };
        rig.ram.damage(&path, |bytes| bytes.clone_from(&other[&path])).unwrap();
        match (rig.try_open(), refused) {
            (Err(OpenError::ForeignKey { .. }), "key") => {}
            (Err(OpenError::MemoryOfAnotherLog { .. }), "memory") => {}
            (Err(OpenError::BrokenFrame { offset: 0, .. }), "journal") => {}
            (other, _) => panic!("{file}: {other:?}"),
        }
    }
    for path in [rig.path("log.toml"), rig.path("keys/log.key"), rig.memory()] {
        rig.ram.damage(&path, |bytes| bytes.clone_from(&before[&path])).unwrap();
    }
    check_mixed(&rig.open().1, 3);
}

#[test]
fn a_clock_that_stepped_back_never_makes_time_in_the_log_run_backwards() {
    let rig = Rig::new();
    let (mut ledger, _) = rig.open();
    ledger.append(&mixed(0, 3), START + 5_000).unwrap();
    drop(ledger);
    // Opening at an earlier time, with and without the memory, whose loss is then recorded.
    for lost in [false, true] {
        if lost {
            rig.ram.lose(&rig.memory());
        }
        let options = Options { accept_memory_loss: lost, seal: false, ..Options::new(&rig.dir) };
        let (mut ledger, _) = Ledger::open_in(Arc::new(rig.ram.process()), options, 7).unwrap();
        assert_eq!(ledger.last_time_ms(), START + 5_000);
        let size = ledger.size();
        let refused = ledger.append(&mixed(size, 1), START + 4_999);
        assert!(matches!(refused, Err(AppendError::TimeBackwards { .. })));
        ledger.append(&mixed(size, 1), START + 5_000).unwrap();
    }
    let (_ledger, reader) = rig.open();
    let times: Vec<u64> = reader.heads(1, reader.size(), 9).unwrap().iter().map(|head| head.time_ms).collect();
    assert_eq!(times, [START + 5_000; 4]);
    assert!(
        matches!(reader.record(4).unwrap(), verifier::record::Record::Recovery { recorded_at, .. } if recorded_at == START + 5_000)
    );
}

#[test]
fn a_torn_frame_above_the_remembered_head_is_cut() {
    let rig = Rig::new();
    let (mut ledger, _) = rig.open();
    ledger.append(&mixed(0, 5), START).unwrap();
    drop(ledger);
    let journal = rig.path("journal/00000000000000000000.seg");
    let whole = rig.ram.snapshot()[&journal].clone();
    for torn in [1, 75, 76, 77, 200] {
        let frame = whole[64..].iter().copied().take(torn);
        rig.ram.damage(&journal, |bytes| bytes.extend(frame)).unwrap();
        let (ledger, reader) = rig.open();
        check_mixed(&reader, 5);
        drop(ledger);
        assert_eq!(rig.ram.snapshot()[&journal], whole);
    }
}

#[test]
fn an_interrupted_recovery_is_taken_up_again_wherever_it_stopped() {
    // A frame that was written and not synced when the process was killed; then every operation of the recovery is the last one.
    for (segment_bytes, stop) in [64 << 20, 300].into_iter().flat_map(|bytes| (0..60).map(move |stop| (bytes, stop))) {
        let rig = Rig::with_segments(segment_bytes);
        let (mut ledger, _) = rig.open();
        ledger.append(&mixed(0, 3), START).unwrap();
        ledger.append(&mixed(3, 2), START).unwrap();
        // Where a segment is full, the first sync is that of the next one's header.
        let nth = u64::from(segment_bytes == 300);
        rig.ram.fault(Rule { op: Some(Op::Sync), path: "journal".into(), nth, fault: Fault::Kill });
        ledger.append(&mixed(5, 4), START).unwrap_err();
        drop(ledger);
        rig.ram.restart();
        rig.ram.fault(Rule { op: None, path: String::new(), nth: stop, fault: Fault::Kill });
        let finished = rig.try_open().map(drop).is_ok();
        if stop.is_multiple_of(2) {
            rig.ram.restart()
        } else {
            rig.ram.power_loss()
        }
        let (mut ledger, reader) = rig.open();
        let size = reader.size();
        assert!(size == 9 || (size == 5 && !finished), "stopped at {stop}: {size}");
        check_mixed(&reader, size);
        ledger.append(&mixed(size, 3), START).unwrap();
        check_mixed(&reader, size + 3);
        assert!(finished || stop < 59, "every operation of the recovery was once the last");
    }
}

#[test]
fn a_log_that_was_killed_opens_from_its_mark_and_from_nothing_alike() {
    let rig = Rig::new();
    let (mut ledger, _) = rig.open();
    ledger.append(&mixed(0, 50), START).unwrap();
    drop(ledger);
    let (mut ledger, _) = rig.open();
    ledger.append(&mixed(50, 30), START).unwrap();
    rig.ram.restart();
    drop(ledger);
    // From the mark at 50.
    let (ledger, reader) = rig.open();
    check_mixed(&reader, 80);
    drop(ledger);
    let from_mark = rig.ram.snapshot();
    let derived: Vec<_> =
        from_mark.keys().filter(|p| p.starts_with(rig.path("tree")) || p.starts_with(rig.path("index"))).collect();
    derived.iter().for_each(|path| rig.ram.lose(path));
    let (ledger, reader) = rig.open();
    check_mixed(&reader, 80);
    drop(ledger);
    let from_nothing = rig.ram.snapshot();
    for path in derived {
        assert_eq!(from_nothing[path], from_mark[path], "{}", path.display());
    }
}

#[test]
fn a_damaged_tree_is_derived_again_and_not_signed() {
    let rig = Rig::new();
    let (mut ledger, _) = rig.open();
    let head = ledger.append(&mixed(0, 7), START).unwrap().head;
    drop(ledger);
    // Node 0 of height 2 is a peak at size 7, and so is leaf 6.
    for (file, at) in [("tree/02", 5), ("tree/00", 6 * 32 + 9), ("tree/synced", 44), ("index/frames", 3)] {
        rig.ram.damage(&rig.path(file), |bytes| bytes[at] ^= 1).unwrap();
        let (ledger, reader) = rig.open();
        assert_eq!(reader.head(), head, "{file}");
        check_mixed(&reader, 7);
        drop(ledger);
    }
}

#[test]
fn a_log_of_many_segments_reads_and_opens_as_one_of_few() {
    let rig = Rig::with_segments(700);
    let (mut ledger, reader) = rig.open();
    let mut heads = Vec::new();
    for round in 0..40 {
        heads.push((*ledger.append(&mixed(ledger.size(), 1 + round % 5), START + round).unwrap().head).clone());
    }
    let size = ledger.size();
    check_mixed(&reader, size);
    drop(ledger);
    let segments = |room: &str| {
        let dir = rig.path(room);
        rig.ram.snapshot().keys().filter(|path| path.starts_with(&dir)).count()
    };
    assert!(segments("journal") > 10 && segments("vault") > 10);
    let (ledger, reader) = rig.open();
    check_mixed(&reader, size);
    assert_eq!(reader.heads(1, size, 100).unwrap(), heads);
    drop(ledger);
    assert!(ledger::fsck_in(Arc::new(rig.ram.process()), &rig.dir, None, &mut |_| {}).unwrap().is_clean());
    // A segment that is gone is a refusal, whichever it is.
    let whole = rig.ram.snapshot();
    let journal = rig.path("journal");
    for path in whole.keys().filter(|path| path.starts_with(&journal)) {
        rig.ram.lose(path);
        let report = ledger::fsck_in(Arc::new(rig.ram.process()), &rig.dir, None, &mut |_| {}).unwrap();
        assert!(!report.is_clean(), "{}", path.display());
        match rig.try_open() {
            Err(OpenError::BrokenFrame { file, .. }) => assert_eq!(&file, path),
            other => panic!("{} is missing: {other:?}", path.display()),
        }
        rig.ram.restore(&rig.dir, &whole);
    }
    rig.open();
}

#[test]
fn a_lost_memory_of_a_log_of_many_segments_is_made_up_from_the_last() {
    let rig = Rig::with_segments(700);
    let (mut ledger, _) = rig.open();
    for _ in 0..20 {
        ledger.append(&mixed(ledger.size(), 3), START).unwrap();
    }
    rig.ram.restart();
    drop(ledger);
    rig.ram.damage(&rig.memory(), |bytes| bytes.fill(0)).unwrap();
    assert!(matches!(rig.try_open(), Err(OpenError::MemoryDamaged { .. })));
    let (ledger, reader) = rig.open_without_memory().unwrap();
    assert_eq!(reader.size(), 61);
    drop(ledger);
    let (_ledger, reader) = rig.open();
    assert_eq!(reader.size(), 61);
    for index in 0..60 {
        assert_eq!(reader.entry(index).unwrap(), leaf(index));
    }
}

/// An outsider ran a copy of the directory beside the original, both with one memory file: both signed, beside each other.
#[test]
fn a_copy_that_shares_the_memory_is_refused_while_the_other_writes() {
    let place = tempfile::tempdir().unwrap();
    let (dir, copy) = (place.path().join("log"), place.path().join("copy"));
    ledger::create(&dir, ORIGIN, START).unwrap();
    let same = std::process::Command::new("cp").arg("-a").args([&dir, &copy]).status().unwrap();
    assert!(same.success());
    let memory = ledger::default_memory(&dir);
    let link = place.path().join("link");
    std::os::unix::fs::symlink(&memory, &link).unwrap();
    let (mut first, reader) = Ledger::open(Options::new(&dir), START).unwrap();
    for memory in [memory, link] {
        let options = Options { memory: Some(memory), ..Options::new(&copy) };
        assert!(matches!(Ledger::open(options, START), Err(OpenError::MemoryLocked { .. })));
    }
    // Without the lock file of the directory, the memory still tells.
    std::fs::remove_file(dir.join("lock")).unwrap();
    assert!(matches!(Ledger::open(Options::new(&dir), START), Err(OpenError::MemoryLocked { .. })));
    first.append(&mixed(0, 3), START).unwrap();
    assert_eq!(reader.size(), 3);
}

/// An outsider removed the journal, or the memory, under a running server: it went on answering from files that no name led to.
#[test]
fn a_file_that_was_removed_in_use_is_no_place_to_keep_a_batch() {
    for gone in ["log/journal/00000000000000000000.seg", "log/vault/00000000000000000000.seg", "log.memory"] {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("log");
        ledger::create(&dir, ORIGIN, START).unwrap();
        let (mut ledger, reader) = Ledger::open(Options::new(&dir), START).unwrap();
        ledger.append(&mixed(0, 3), START).unwrap();
        std::fs::remove_file(place.path().join(gone)).unwrap();
        assert!(matches!(ledger.append(&mixed(3, 3), START), Err(AppendError::Io(_))), "{gone}");
        assert!(matches!(ledger.append(&mixed(3, 3), START), Err(AppendError::Poisoned)), "{gone}");
        assert_eq!(reader.size(), 3, "{gone}");
    }
}

/// Derived files that were copied from another log of the same shape once made the server refuse, and name the journal as broken.
#[test]
fn another_logs_index_is_made_again() {
    let shape = |sizes: &[(u64, usize)], clock: u64| {
        let rig = Rig::with_segments(4_096);
        let (mut ledger, _) = rig.open();
        for (number, (count, len)) in (0..).zip(sizes) {
            let mut batch = Batch::default();
            (0..*count).for_each(|n| batch.push(&statement(n, *len), None).map(drop).unwrap());
            ledger.append(&batch, START + clock * number).unwrap();
        }
        drop(ledger);
        rig
    };
    let sizes = [(3, 40), (70, 40), (5, 90), (2, 40)];
    let others = [
        shape(&[(3, 50), (70, 60), (5, 90), (2, 40)], 1),
        shape(&[(3, 40), (70, 40), (5, 90), (2, 40)], 7),
        shape(&[(40, 40), (20, 40), (18, 90), (2, 40)], 1),
        shape(&[(3, 40), (70, 40), (9, 90)], 1),
        shape(&[(1, 40)], 1),
    ];
    for (number, theirs) in others.iter().enumerate() {
        let ours = shape(&sizes, 1);
        let (root, wanted) = {
            let (_, reader) = ours.open();
            (reader.head().checkpoint.root, (0..80).map(|n| reader.entry(n).unwrap()).collect::<Vec<_>>())
        };
        let foreign = theirs.ram.snapshot();
        for (path, theirs) in foreign.iter().filter(|(path, _)| path.starts_with(ours.path("index"))) {
            ours.ram.damage(path, |bytes| bytes.clone_from(theirs)).unwrap();
        }
        let (_, reader) = ours.try_open().unwrap_or_else(|error| panic!("{number}: {error}"));
        assert_eq!(reader.head().checkpoint.root, root);
        let entries: Vec<_> = (0..80).map(|n| reader.entry(n).unwrap()).collect();
        assert_eq!(entries, wanted, "{number}");
    }
}

#[test]
fn a_memory_inside_the_directory_is_refused_by_whatever_path() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("log");
    let disk = || Arc::new(ledger::storage::disk::Disk);
    for inside in ["memory", "keys/memory", "../log/memory"] {
        let made = ledger::create_in(disk(), &dir, &dir.join(inside), ORIGIN, START);
        assert!(matches!(made, Err(CreateError::MemoryInside { .. })), "{inside}");
        assert!(!dir.exists());
    }
    ledger::create(&dir, ORIGIN, START).unwrap();
    let memory = ledger::default_memory(&dir);
    std::fs::rename(&memory, dir.join("memory")).unwrap();
    std::os::unix::fs::symlink(&dir, place.path().join("folder")).unwrap();
    std::os::unix::fs::symlink(dir.join("memory"), place.path().join("file")).unwrap();
    for path in ["log/memory", "folder/memory", "file", "log/missing", "folder/../log/memory"] {
        let options = Options { memory: Some(place.path().join(path)), accept_memory_loss: true, ..Options::new(&dir) };
        assert!(matches!(Ledger::open(options, START), Err(OpenError::MemoryInside { .. })), "{path}");
    }
    std::fs::rename(dir.join("memory"), &memory).unwrap();
    assert!(Ledger::open(Options::new(&dir), START).is_ok());
}

/// A creation that was killed left a directory that the next one called not empty.
#[test]
fn a_creation_killed_at_any_operation_is_begun_anew() {
    let (dir, memory) = (std::path::PathBuf::from("/srv/log"), std::path::PathBuf::from("/srv/log.memory"));
    let create = |ram: &Ram| ledger::create_in(Arc::new(ram.process()), &dir, &memory, ORIGIN, START);
    let whole = Ram::new();
    create(&whole).unwrap();
    let mut refused = 0;
    for nth in 0..whole.operations() {
        for lose in [None, Some(0), Some(1), Some(2), Some(3)] {
            let ram = Ram::new();
            ram.fault(Rule { op: None, path: String::new(), nth, fault: Fault::Kill });
            let made = create(&ram);
            match lose {
                None => ram.restart(),
                Some(0) => ram.power_loss(),
                Some(seed) => ram.power_loss_keeping(seed),
            }
            let open = || Ledger::open_in(Arc::new(ram.process()), Options::new(&dir), START);
            if made.is_ok() || ram.snapshot().contains_key(&dir.join("log.toml")) {
                assert!(matches!(create(&ram), Err(CreateError::NotEmpty { .. })));
                assert!(open().is_ok());
                continue;
            }
            assert!(matches!(open(), Err(OpenError::NotALog { .. })), "operation {nth}, {lose:?}");
            match create(&ram) {
                Ok(_) => assert!(open().is_ok(), "operation {nth}, {lose:?}"),
                // Power was lost while the memory got its first head, and what is in it cannot be told from somebody's.
                Err(CreateError::MemoryExists { .. }) if lose.is_some() => refused += 1,
                Err(other) => panic!("operation {nth}, {lose:?}: {other}"),
            }
        }
    }
    assert!(refused <= 6, "{refused}");
}

#[test]
fn nothing_but_an_unfinished_creation_is_taken_away() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("log");
    let unfinished = || drop(ledger::Creation::begin(&dir, ORIGIN, START).unwrap());
    unfinished();
    assert!(matches!(Ledger::open(Options::new(&dir), START), Err(OpenError::NotALog { .. })));
    std::fs::write(dir.join("notes"), "mine").unwrap();
    assert!(matches!(ledger::create(&dir, ORIGIN, START), Err(CreateError::NotEmpty { .. })));
    std::fs::remove_file(dir.join("notes")).unwrap();
    let held = ledger::Creation::begin(&dir, ORIGIN, START).unwrap();
    assert!(matches!(ledger::create(&dir, ORIGIN, START), Err(CreateError::Busy { .. })));
    held.abandon().unwrap();
    assert_eq!(files_under(&dir).len(), 0);
    assert!(dir.exists() && !ledger::default_memory(&dir).exists(), "the directory was there before");
    // The memory of another log is never overwritten; a log without its name is not unfinished.
    unfinished();
    let other = place.path().join("other");
    ledger::create(&other, ORIGIN, START).unwrap();
    std::fs::copy(ledger::default_memory(&other), ledger::default_memory(&dir)).unwrap();
    assert!(matches!(ledger::create(&dir, ORIGIN, START), Err(CreateError::MemoryExists { .. })));
    std::fs::remove_file(other.join("log.toml")).unwrap();
    assert!(matches!(ledger::create(&other, ORIGIN, START), Err(CreateError::NotEmpty { .. })));
}
