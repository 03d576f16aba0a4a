//! Neither descriptors nor maps grow with the number of segments that were rolled, sealed and read.

use std::path::Path;

use ledger::{Ledger, Options, Reader};

use crate::common::*;

/// This process's descriptors and maps of files below a directory; other tests have their own.
fn held(dir: &Path) -> (usize, usize) {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    let descriptors = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let inside = |path: &Path| path.starts_with(dir);
    let descriptors = descriptors.filter(|path| inside(path)).count();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    (descriptors, maps.lines().filter(|line| line.contains(dir.to_str().unwrap())).count())
}

/// Reads of the whole log, so that every cache is as full as it gets.
fn read_all(reader: &Reader) {
    for index in (0..reader.size()).rev() {
        reader.entry(index).unwrap();
        if index % 3 != 0 {
            reader.private(index).unwrap();
        }
    }
    reader.heads(0, reader.size(), 50).unwrap();
}

#[test]
fn descriptors_and_maps_stay_bounded_while_500_segments_roll() {
    // In memory where there is such a place: thousands of syncs show nothing here.
    let place = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let dir = place.path().canonicalize().unwrap().join("log");
    ledger::create(&dir, ORIGIN, START).unwrap();
    let options = Options { segment_bytes: 300, ..Options::new(&dir) };
    let (mut ledger, reader) = Ledger::open(options.clone(), START).unwrap();
    let roll = |ledger: &mut Ledger, rounds: u64| {
        for _ in 0..rounds {
            ledger.append(&mixed(ledger.size(), 3), START).unwrap();
        }
        ledger.seal().unwrap();
        read_all(&reader);
        held(&dir)
    };
    let before = roll(&mut ledger, 100);
    let after = roll(&mut ledger, 500);
    let segments = std::fs::read_dir(dir.join("journal")).unwrap().count();
    println!("{segments} segments: {before:?} descriptors and maps, then {after:?}");
    assert!(segments > 500);
    // 64 segments of journal and vault each that readers keep open, the two that are written, and the files of the tree and of the index.
    let most = 64 + 64 + 2 + 16 + 8;
    assert!(before.0 <= most && after.0 <= most, "{before:?} {after:?}");
    // Segments are not mapped; a longer log has two or three heights more.
    assert!(after.1 <= before.1 + 4, "{before:?} {after:?}");
    drop((ledger, reader));
    assert_eq!(held(&dir), (0, 0), "closed, nothing is held");
    // Opening many times over leaves nothing either.
    for _ in 0..5 {
        drop(Ledger::open(options.clone(), START).unwrap());
    }
    assert_eq!(held(&dir), (0, 0));
}
