//! `kill -9` of an import: what remains is no log, says so, and is taken away by the next import there; or it is the whole log.
//!
//! The import reads its standard input, so that a test says how far it can have come: it is killed with a part of the export in, and, with all of
//! it in, when a certain file is there. Which of the later moments are met depends on the machine; what must hold at each does not.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ledger::{Batch, Ledger, Options, Private};
use verifier::decision::{Class, Classes, Decision, Outcome, PermitId, commitment};
use verifier::record::Record;

use crate::house::{fails, interlock, ok};

/// Small enough for a dozen members of each kind.
const SEGMENT: u64 = 256 << 10;
const ENTRIES: u64 = 6_000;

/// An export with private parts, some megabytes, and the log's verification key.
fn export(place: &Path) -> (Vec<u8>, String) {
    let dir = place.join("log");
    let key = ledger::create(&dir, "ledger.example/imports", 1).unwrap();
    let options = Options { segment_bytes: SEGMENT, seal: false, ..Options::new(&dir) };
    let (mut ledger, _) = Ledger::open(options, 1).unwrap();
    let (request, detail) = ([b'r'; 390], [b'd'; 440]);
    while ledger.size() < ENTRIES {
        let mut batch = Batch::default();
        for number in ledger.size()..ledger.size() + 100 {
            let mut salt = [7; 16];
            salt[..8].copy_from_slice(&number.to_be_bytes());
            if number % 2 == 0 {
                let (realm, media_type) = ("main".to_owned(), "text/plain".to_owned());
                let body = [&salt[..], &[b'.'; 600]].concat();
                batch.push(&Record::Statement { recorded_at: 1, realm, media_type, body }, None).unwrap();
                continue;
            }
            let decision = Decision {
                recorded_at: 1,
                governance: 1,
                epoch: 1,
                permit: PermitId(salt),
                realm: "main".to_owned(),
                evaluated_at: 1,
                outcome: Outcome::Deny,
                classes: Classes::new([Class::Fail; 9]),
                request: commitment(&salt, &request),
                detail: commitment(&salt, &detail),
                grant: None,
                audience: None,
                shadow: None,
            };
            let private =
                Private { disclosed: true, request_salt: salt, request: &request, detail_salt: salt, detail: &detail };
            batch.push(&Record::Decision(Box::new(decision)), Some(private)).unwrap();
        }
        ledger.append(&batch, 1).unwrap();
    }
    drop(ledger);
    let mut bytes = Vec::new();
    ledger::export(&dir, None, true, &mut bytes).unwrap();
    (bytes, key.to_string())
}

fn begin(data: &str, vkey: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_interlock"));
    command.args(["import", "-", "--data", data, "--vkey", vkey]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// An import that nobody disturbs.
fn import(data: &str, vkey: &str, bytes: &[u8]) {
    let mut child = begin(data, vkey);
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    assert!(child.wait().unwrap().success(), "{data}");
}

/// Bytes in the files of a directory; 0 if it is not there.
fn bytes_in(dir: PathBuf) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    // What is counted may be renamed meanwhile.
    entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len())).sum()
}

fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                found.insert(path.strip_prefix(dir).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// When an import is killed.
enum Moment {
    /// With so many parts in sixteen of the export in, all whole members of which are written.
    Fed(usize),
    /// With all of it in, once this file has so many parts in sixteen of its bytes, or is there.
    There(&'static str, u64),
}

#[test]
fn an_import_that_is_killed_leaves_no_log_or_the_whole_log() {
    use Moment::{Fed, There};
    let place = tempfile::tempdir().unwrap();
    let (bytes, vkey) = export(place.path());
    assert!(bytes.len() > 4 << 20, "{}", bytes.len());
    let reference = place.path().join("reference");
    import(reference.to_str().unwrap(), &vkey, &bytes);
    let wanted = content(&reference);

    let moments = [
        Fed(0),
        Fed(1),
        Fed(3),
        Fed(6),
        Fed(9),
        Fed(12),
        Fed(15),
        Fed(16),
        There("tree", 0),
        There("tree/00", 4),
        There("tree/00", 12),
        There("tree/synced", 0),
        There("index/frames", 16),
        There("head", 0),
        There("log.toml", 0),
    ];
    let (mut none, mut whole) = (0, 0);
    for (round, moment) in moments.iter().enumerate() {
        let dir = place.path().join(format!("data-{round}"));
        let data = dir.to_str().unwrap();
        let mut child = begin(data, &vkey);
        let mut feed = child.stdin.take();
        let mut ended = || child.try_wait().unwrap().is_some();
        match *moment {
            Fed(parts) => {
                // Of all of it the last byte is held back.
                let fed = (bytes.len() * parts / 16).min(bytes.len() - 1);
                feed.as_mut().unwrap().write_all(&bytes[..fed]).unwrap();
                // Two members may be under way or small, and each frames what it holds.
                let written = (fed as u64).saturating_sub(2 * SEGMENT);
                while !dir.join("arriving").exists()
                    || bytes_in(dir.join("journal")) + bytes_in(dir.join("vault")) < written
                {
                    assert!(!ended(), "the import ended without its end");
                }
            }
            There(file, parts) => {
                feed.as_mut().unwrap().write_all(&bytes).unwrap();
                // It looks whether anything follows.
                drop(feed.take());
                let len = wanted.get(Path::new(file)).map_or(0, |bytes| bytes.len() as u64) * parts / 16;
                let there = || dir.join(file).metadata().is_ok_and(|found| found.is_dir() || found.len() >= len);
                while !there() && !ended() {}
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        drop(feed);

        if dir.join("log.toml").exists() {
            assert!(matches!(moment, There(..)), "the export was not whole yet");
            whole += 1;
            let (code, said) = fails(["import", "-", "--data", data]);
            assert!(code == 4 && said.contains("is not empty"), "{said}");
        } else {
            none += 1;
            let reading = ["serve", "--data", data, "--read-only", "--public", "127.0.0.1:0"];
            let audit = ["audit", data, "--vkey", &vkey];
            for refused in [&audit[..], &["fsck", data], &reading, &["export", data, "-o", "-"]] {
                let (code, said) = fails(refused);
                assert!(code == 4 && said.contains("is not a log"), "round {round}, {refused:?}: {code} {said}");
            }
            // In the same place, over what remained.
            import(data, &vkey, &bytes);
        }
        assert!(content(&dir) == wanted, "round {round}: the same files, byte for byte");
        ok(["audit", data, "--vkey", &vkey]);
        assert!(interlock(["fsck", data]).status.success());
        std::fs::remove_dir_all(&dir).unwrap();
    }
    assert!(none >= 8, "only {none} were killed on the way: the test tested little");
    println!("{none} imports killed before there was a log, {whole} after");
}
