//! The real binary while system calls fail: `strace` injects errors, kills and writes of nothing into `serve`, while it opens a log that was
//! killed and while it works under load.
//!
//! After each: every permit that was answered is in the log after a restart, nobody is allowed anything once the ledger is poisoned, and the
//! log goes on. strace counts the calls of each thread by itself; the ledger's writer is one thread.
//!
//! The ledger's files are written by `pwrite64`. `write` is how the server's threads wake one another and how it says where it listens: one
//! that fails may leave it running and mute, so there, and only there, a server that neither comes up nor ends is killed after
//! [`WAKELESS`], and what it had answered must be in the log all the same.
//!
//! By default a few places of each call, chosen to lie in different steps; `INTERLOCK_STRACE=40` takes the first forty of each instead.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::house::{House, Http, NotUp, PATIENCE, Server, ok, refund};
use crate::load::{all_there, goes_on, under_load};

/// While a log is opened: a call, and which of them fail.
const OPENING: &[(&str, &[u32])] = &[
    ("pwrite64", &[1, 3, 6]),
    ("fdatasync", &[1, 2, 4]),
    ("fsync", &[1, 2]),
    ("rename", &[1, 2]),
    ("ftruncate", &[1, 2, 3]),
    ("openat", &[9, 30, 45, 60]),
    ("write", &[1]),
];
/// Under load.
const WORKING: &[(&str, &[u32])] = &[("pwrite64", &[1, 6, 11, 40]), ("fdatasync", &[1, 2, 3, 17]), ("write", &[3])];
/// What is injected: an error once, an error from then on, death.
const FAULTS: &[&str] = &["error=EIO:when=#", "error=ENOSPC:when=#+", "signal=KILL:when=#"];

/// How long a server is waited for whose threads may not have been woken: some ten times what a start under `strace` takes.
const WAKELESS: Duration = Duration::from_secs(6);

fn places(chosen: &[u32]) -> Vec<u32> {
    match std::env::var("INTERLOCK_STRACE") {
        Ok(first) => (1..=first.parse().unwrap()).collect(),
        Err(_) => chosen.to_vec(),
    }
}

/// `strace`, with what it saw in `seen`.
fn strace(call: &str, fault: &str, nth: u32, seen: &Path) -> Command {
    assert!(
        Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success()),
        "`strace` is not installed, and this test is nothing without it: apt-get install strace"
    );
    let inject = format!("inject={call}:{}", fault.replace('#', &nth.to_string()));
    let mut command = Command::new("strace");
    command.args(["-f", "-o", seen.to_str().unwrap(), "-e", &format!("trace={call}"), "-e", &inject]);
    command
}

/// Whether the fault has come. Nobody else kills a server under `strace` with SIGKILL before this was asked, see [`Server::end`].
fn injected(seen: &Path) -> bool {
    let text = std::fs::read_to_string(seen).unwrap_or_default();
    text.contains("INJECTED") || text.contains("killed by SIGKILL")
}

/// [`injected`], of a server that has ended: `strace` may still be writing how.
fn was_injected(seen: &Path) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        let text = std::fs::read_to_string(seen).unwrap_or_default();
        if text.contains("INJECTED") || text.contains("killed by") {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    injected(seen)
}

/// A running `strace` that is ended with the test.
struct Attached(Child);

impl Attached {
    /// Attaches to all threads of a server and returns once it has.
    fn to(server: &Server, mut strace: Command) -> Self {
        let mut child = strace.args(["-p", &server.id()]).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        lines.read_line(&mut said).unwrap();
        assert!(said.contains("attached"), "strace cannot attach to our own process here: {said}");
        std::thread::spawn(move || lines.lines().for_each(drop));
        Self(child)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // Its process is gone, and so it may be too.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn whatever_call_fails_while_a_log_is_opened_no_answered_permit_is_lost() {
    let house = House::new();
    house.publish("hello");
    let server = house.serve();
    let allowed = under_load(&house, &server, |answers| {
        while answers.so_far().len() < 12 {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(Command::new("kill").args(["-KILL", &server.id()]).status().unwrap().success());
    });
    server.kill();
    let (mut faults, mut refused, mut mute) = (0, 0, 0);
    for (call, chosen) in OPENING {
        let wakes = *call == "write";
        let patience = if wakes { WAKELESS } else { PATIENCE };
        for fault in FAULTS {
            for nth in places(chosen) {
                let story = format!("{call} {fault} at {nth}, opening");
                let house = house.copy();
                let (data, seen) = (house.path("log"), house.path("seen"));
                let mut command = strace(call, fault, nth, seen.as_ref());
                command.args(["-D", "--", env!("CARGO_BIN_EXE_interlock")]).args(Server::arguments(&data));
                let mut more = Vec::new();
                match Server::begin_within(patience, command) {
                    Ok(server) => {
                        let http = if wakes { Http::waiting(WAKELESS) } else { Http::new() };
                        let answer = http.decide(&server.decisions, &house.api_key, &refund(1));
                        more.extend(answer.filter(|(status, _)| *status == 200).map(|(_, answer)| answer));
                        server.end();
                    }
                    Err(NotUp { silent: true, said }) => {
                        assert!(wakes, "{story}: it neither came up nor ended: {said}");
                        mute += 1;
                    }
                    Err(NotUp { silent: false, said }) => {
                        let wordless = fault.contains("KILL") || wakes;
                        assert!(wordless || !said.trim().is_empty(), "{story}: refused without a word");
                        refused += 1;
                    }
                }
                if !was_injected(seen.as_ref()) {
                    // There are not so many calls.
                    break;
                }
                faults += 1;
                let server = house.serve();
                all_there(&house, &server, &allowed, &story);
                all_there(&house, &server, &more, &story);
                goes_on(&house, &server, &story);
                server.kill();
            }
        }
    }
    println!(
        "{faults} calls failed while a log was opened ({refused} times it was refused, {mute} times the server stayed mute), \
         {} permits, none lost",
        allowed.len()
    );
    assert!(faults >= 30, "only {faults} faults were injected");
}

#[test]
fn whatever_call_fails_under_load_no_answered_permit_is_lost_and_none_is_given_after_it() {
    let house = House::new();
    house.publish("hello");
    let (mut faults, mut permits, mut poisoned) = (0, 0, 0);
    for (call, chosen) in WORKING {
        // A write of nothing is what a call that was cut short looks like when it is repeated on a disk that takes no more.
        for fault in FAULTS.iter().copied().chain((*call == "pwrite64").then_some("retval=0:when=#")) {
            for nth in places(chosen) {
                let story = format!("{call} {fault} at {nth}, under load");
                let seen = house.path("seen");
                let server = house.serve();
                let _ = std::fs::remove_file(&seen);
                let attached = Attached::to(&server, strace(call, fault, nth, seen.as_ref()));
                let (mut refused, mut came) = (false, false);
                let allowed = under_load(&house, &server, |answers| {
                    let begin = Instant::now();
                    while !injected(seen.as_ref()) && begin.elapsed() < Duration::from_secs(20) {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    // What is answered after it counts as well.
                    std::thread::sleep(Duration::from_millis(60));
                    (refused, came) = (answers.refused(), injected(seen.as_ref()));
                    if *call == "write" {
                        // Who waits for a thread that was not woken waits for nothing.
                        assert!(Command::new("kill").args(["-KILL", &server.id()]).status().unwrap().success());
                    }
                });
                assert!(came, "{story}: nothing was injected");
                server.kill();
                drop(attached);
                let server = house.serve();
                all_there(&house, &server, &allowed, &story);
                goes_on(&house, &server, &story);
                server.kill();
                faults += 1;
                permits += allowed.len();
                poisoned += usize::from(refused);
            }
        }
    }
    ok(["audit", &house.path("log"), "--vkey", &house.vkey]);
    println!(
        "{faults} calls failed under load, {poisoned} times the ledger was poisoned and refused; {permits} permits, none lost"
    );
    assert!(faults >= 25 && poisoned >= 10, "{faults} faults, {poisoned} times poisoned");
}
