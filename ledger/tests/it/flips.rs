//! Every bit of every file of a small log flipped: found and placed by fsck, or in bytes of which it is said here why they mean nothing; and
//! whatever is flipped, opening never says anything else than before.
//!
//! By default every bit of what is a header, a key, a mark or a slot, and one bit of each byte elsewhere; `INTERLOCK_FLIPS=all` takes all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger::storage::ram::Ram;
use ledger::{CheckError, Head, Options, Reader};
use verifier::hash::leaf_hash;
use verifier::proof::verify_inclusion;

use crate::common::*;

/// Three frames in two segments each, closed; enough for three heights of nodes.
fn small() -> (Rig, Arc<Head>) {
    let rig = Rig::with_segments(900);
    let (mut ledger, reader) = rig.open();
    for count in [2, 3, 2] {
        ledger.append(&mixed(ledger.size(), count), START).unwrap();
    }
    (rig, reader.head())
}

/// Why nothing depends on a byte, if nothing does.
fn harmless(rig: &Rig, path: &Path, whole: &[u8], at: usize) -> Option<&'static str> {
    let text = String::from_utf8_lossy(whole);
    if path == rig.memory() {
        let between = (164..4096).contains(&at);
        return between.then_some("the bytes between the memory's two slots are never read");
    }
    if path == rig.path("log.toml") {
        let start = text.find("created_ms = ").unwrap() + "created_ms = ".len();
        let digits = (start..text.trim_end().len()).contains(&at);
        return digits
            .then_some("when the log was made is told and stands in the head of size 0; nothing is decided by it");
    }
    if path == rig.path("keys/log.key") {
        let around = at >= text.trim_end().len();
        return around.then_some("white space around the key, or a byte that makes it unusable, which fsck tells");
    }
    None
}

/// Where the frame that holds a byte of a segment begins; 0 in the segment's own header.
fn frame_of(whole: &[u8], at: usize) -> u64 {
    let begins = |here: &usize| [&b"ILFRAME1"[..], b"ILVFRM01"].iter().any(|magic| whole[*here..].starts_with(magic));
    if at < 64 { 0 } else { (64..=at).rev().find(begins).unwrap() as u64 }
}

/// What opening says after a flip is what it said before, or nothing. `true` if it opened and everything was answered.
fn nothing_else_is_said(rig: &Rig, ram: &Ram, head: &Arc<Head>) -> bool {
    let options = Options { segment_bytes: rig.segment_bytes, ..Options::new(&rig.dir) };
    let Ok((_ledger, reader)) = ledger::Ledger::open_in(Arc::new(ram.process()), options, START) else { return false };
    assert_eq!(reader.head().note, head.note, "another head");
    (0..head.checkpoint.size).all(|index| answers(&reader, index))
}

/// An entry, its receipt and its private parts are right, or refused; `true` if all of them were given.
fn answers(reader: &Reader, index: u64) -> bool {
    let (size, root) = (reader.size(), reader.head().checkpoint.root);
    let entry = reader.entry(index).map(|entry| assert_eq!(entry, leaf(index), "entry {index}"));
    let receipt = reader.receipt(index, None).map(|receipt| {
        verify_inclusion(&leaf_hash(&leaf(index)), index, size, &receipt.path, &root)
            .expect("a receipt that is given holds");
    });
    let heads = reader.heads(0, size, 100).map(|heads| assert_eq!(heads.len(), 4));
    let private = match reader.private(index) {
        Ok(private) => {
            let case = Case::new(index);
            assert_eq!((private.request, private.detail), (case.request, case.detail), "private parts {index}");
            true
        }
        Err(_) => index.is_multiple_of(3),
    };
    entry.is_ok() && receipt.is_ok() && heads.is_ok() && private
}

#[test]
fn every_flipped_bit_of_every_file_is_found_and_placed_or_means_nothing() {
    let all = std::env::var("INTERLOCK_FLIPS").is_ok_and(|flips| flips == "all");
    let (rig, head) = small();
    let whole = rig.ram.snapshot();
    assert!(whole[&rig.path("lock")].is_empty(), "the lock has no bits");
    let mut counts: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for (path, bytes) in &whole {
        let room =
            path.strip_prefix(&rig.dir).map_or("memory".into(), |inside| inside.iter().next().unwrap().to_owned());
        let room = room.to_string_lossy().into_owned();
        let segment = room == "journal" || room == "vault";
        for at in 0..bytes.len() {
            let meaningless = harmless(&rig, path, bytes, at);
            let header = match room.as_str() {
                "journal" => at < 64 || at as u64 - frame_of(bytes, at) < 76,
                "vault" => at < 64 || at as u64 - frame_of(bytes, at) < 28,
                "memory" => meaningless.is_none(),
                "tree" => path.ends_with("synced"),
                room => room != "index",
            };
            if room == "memory" && !header && !all && at % 97 != 0 {
                continue;
            }
            for bit in (0..8).filter(|bit| header || all || *bit == at % 8) {
                let ram = rig.ram.fork();
                ram.damage(path, |bytes| bytes[at] ^= 1 << bit).unwrap();
                let place = format!("bit {bit} of byte {at} of {}", path.display());
                let found = match ledger::fsck_in(Arc::new(ram.process()), &rig.dir, None, &mut |_| {}) {
                    Err(CheckError::NotALog(refused)) => {
                        assert!(refused.to_string().contains(path.to_str().unwrap()), "{place}: {refused}");
                        true
                    }
                    Err(failure @ (CheckError::Io(_) | CheckError::Thread(_))) => panic!("{place}: {failure}"),
                    Ok(report) => {
                        let named = report.problems.iter().find(|problem| problem.file == *path);
                        assert!(report.is_clean() || named.is_some(), "{place}: {:?}", report.problems);
                        if let Some(problem) = named.filter(|_| segment) {
                            let frame = frame_of(bytes, at);
                            let told = problem.offset.unwrap();
                            assert!(told == frame || frame == 0 && told == 64, "{place}: at {told}, not {frame}");
                        }
                        named.is_some()
                    }
                };
                assert!(found || meaningless.is_some(), "{place} was not found");
                let opened = nothing_else_is_said(&rig, &ram, &head);
                assert!(opened || found, "{place} was not found, and the log does not open as before");
                let count = counts.entry(room.clone()).or_default();
                if found { count.0 += 1 } else { count.1 += 1 }
            }
        }
    }
    for (room, (found, harmless)) in &counts {
        println!("{room}: {found} flipped bits found and placed, {harmless} that mean nothing");
    }
    assert_eq!(counts.len(), 7, "{counts:?}");
    assert_eq!(counts["journal"].1 + counts["vault"].1 + counts["tree"].1 + counts["index"].1, 0);
}

#[test]
fn derived_files_with_a_flipped_bit_come_back_byte_for_byte_once_deleted() {
    let (rig, head) = small();
    let whole = rig.ram.snapshot();
    let derived = |path: &&PathBuf| path.starts_with(rig.path("tree")) || path.starts_with(rig.path("index"));
    for path in whole.keys().filter(derived) {
        let ram = rig.ram.fork();
        ram.damage(path, |bytes| bytes[0] ^= 1).unwrap();
        whole.keys().filter(derived).for_each(|path| ram.lose(path));
        assert!(nothing_else_is_said(&rig, &ram, &head));
        assert_eq!(ram.snapshot(), whole, "{}", path.display());
    }
}

#[test]
fn flipped_bits_of_look_up_tables_are_found() {
    let rig = Rig::new();
    let (mut ledger, _) = rig.open();
    while ledger.size() < 65_536 {
        ledger.append(&mixed(ledger.size(), 8192), START).unwrap();
    }
    drop(ledger);
    let whole = rig.ram.snapshot();
    let runs: Vec<_> = whole.keys().filter(|path| path.extension().is_some_and(|name| name == "run")).collect();
    assert_eq!(runs.len(), 2);
    for path in runs {
        let len = whole[path].len();
        for at in [3, 60, 66, 72, len / 2, len - 1] {
            rig.ram.damage(path, |bytes| bytes[at] ^= 1 << (at % 8)).unwrap();
            let report = ledger::fsck_in(Arc::new(rig.ram.process()), &rig.dir, None, &mut |_| {}).unwrap();
            assert!(report.problems.iter().any(|problem| problem.file == *path), "{at}: {:?}", report.problems);
            rig.ram.damage(path, |bytes| bytes[at] ^= 1 << (at % 8)).unwrap();
        }
    }
}
