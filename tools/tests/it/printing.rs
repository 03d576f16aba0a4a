//! Nobody reads what is printed: a reader that has gone, a disk that is full. No command panics, and no key lives that nobody saw.

use std::fs::File;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::house::{House, fails, ok, root};

/// A pipe whose reader has gone, and a disk that is full.
fn nobody() -> [(&'static str, Stdio); 2] {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    [("closed pipe", writer.into()), ("full disk", File::options().write(true).open("/dev/full").unwrap().into())]
}

/// The command says why, if there is anybody to tell, and ends with code 4.
fn unseen(arguments: &[&str], output: Stdio, to: &str) {
    let program = Command::new(env!("CARGO_BIN_EXE_interlock")).args(arguments).stdout(output).output().unwrap();
    let said = String::from_utf8(program.stderr).unwrap();
    assert_eq!(program.status.code(), Some(4), "{arguments:?} to a {to}: {said}");
    assert!(!said.contains("panicked"), "{said}");
    assert_eq!(said.contains("interlock: "), to == "full disk", "{arguments:?} to a {to}: {said}");
}

#[test]
fn no_command_panics_when_nobody_reads() {
    let house = House::new();
    house.publish("hello");
    let log = house.path("log");
    let (receipt, policies) = (house.path("receipt"), root().join("testdata/policies/hello/policies.cedar"));
    let policies = policies.to_str().unwrap();
    {
        let server = house.serve();
        ok(["receipt", "0", "--url", &server.public, "-o", &receipt]);
        for command in [vec!["receipt", "0", "--url", &server.public], vec!["policy", "show", "--url", &server.public]]
        {
            nobody().into_iter().for_each(|(to, output)| unseen(&command, output, to));
        }
    }
    for command in [
        vec!["verify", &receipt, "--vkey", &house.vkey],
        vec!["verify", &receipt, "--vkey", &house.vkey, "--json"],
        vec!["audit", &log, "--vkey", &house.vkey],
        vec!["fsck", &log],
        vec!["replay", &log, "--vkey", &house.vkey],
        vec!["policy", "check", "--policies", policies],
        vec!["keys", "list", "--data", &log],
    ] {
        nobody().into_iter().for_each(|(to, output)| unseen(&command, output, to));
    }
}

/// Whoever pipes `init` into a full disk had a log, whose keys nobody had.
#[test]
fn what_init_could_not_tell_is_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let path = log.to_str().unwrap();
    for json in [vec![], vec!["--json"]] {
        for (to, output) in nobody() {
            let arguments = [vec!["init", "--data", path, "--origin", "ledger.example/x"], json.clone()].concat();
            unseen(&arguments, output, to);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{to}");
        }
    }
    ok(["init", "--data", path, "--origin", "ledger.example/x"]);
}

#[test]
fn a_key_that_nobody_saw_is_revoked() {
    let house = House::new();
    house.publish("hello");
    let (log, key_file) = (house.path("log"), house.path("admin_key"));
    let count = |keys: &str, revoked: bool| {
        let keys: Value = serde_json::from_str(keys).unwrap();
        keys["keys"].as_array().unwrap().iter().filter(|key| key["revoked"].is_string() == revoked).count()
    };
    let list = || ok(["keys", "list", "--data", &log, "--json"]);
    assert_eq!((count(&list(), false), count(&list(), true)), (2, 0));
    nobody().into_iter().for_each(|(to, output)| unseen(&["keys", "create", "--data", &log], output, to));
    assert_eq!((count(&list(), false), count(&list(), true)), (2, 2));
    {
        let server = house.serve();
        let create = ["keys", "create", "--url", &server.decisions, "--key-file", &key_file];
        nobody().into_iter().for_each(|(to, output)| unseen(&create, output, to));
    }
    assert_eq!((count(&list(), false), count(&list(), true)), (2, 4));
}

/// A log whose `init` was killed is none, and the next `init` makes it.
#[test]
fn an_init_that_was_killed_is_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let path = log.to_str().unwrap();
    drop(ledger::Creation::begin(&log, "ledger.example/x", 1).unwrap());
    std::fs::write(log.join("keys/admin.vkeys"), "half a k").unwrap();
    for command in [vec!["serve", "--data", path], vec!["fsck", path], vec!["keys", "list", "--data", path]] {
        assert_eq!(fails(&command).0, 4, "{command:?}");
    }
    ok(["init", "--data", path, "--origin", "ledger.example/x"]);
    ok(["fsck", path]);
}

#[test]
fn a_command_line_that_cannot_be_meant_ends_with_code_2() {
    let house = House::new();
    let (log, new) = (house.path("log"), house.path("new"));
    for origin in ["", "a b", "a+b", "https://a", "a/", "a\nb"] {
        assert_eq!(fails(["init", "--data", &new, "--origin", origin]).0, 2, "{origin:?}");
        assert!(!std::path::Path::new(&new).exists());
    }
    let same = ["serve", "--data", &log, "--listen", "127.0.0.1:7999", "--public", "127.0.0.1:7999"];
    let inside = ["serve", "--data", &log, "--memory", &format!("{log}/memory"), "--accept-memory-loss"];
    let address = ["replay", "http://127.0.0.1:1", "--vkey", &house.vkey, "--governors", &new, "--memory", &new];
    for arguments in [same.as_slice(), &inside, &address] {
        assert_eq!(fails(arguments).0, 2, "{arguments:?}");
    }
}
