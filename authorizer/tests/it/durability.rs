//! Answers only after durability: a disk that hangs or fails gives nobody a permit.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use authorizer::clock::{Manual, Source};
use authorizer::queue::Bounds;
use ledger::storage::ram::{Fault, Op, Ram, Rule};
use verifier::act::Power;
use verifier::decision::Outcome;
use verifier::record::Record;

use crate::support::{Site, bearer, call, now_ms, read, until};

fn hang(ram: &Ram) {
    ram.fault(Rule { op: Some(Op::Sync), path: String::new(), nth: 0, fault: Fault::Hang });
}

/// Waits for what comes sooner or later; a test that waits in vain does not pass.
fn allowed(site: &Site) -> usize {
    let allowed = |record: &Record| matches!(record, Record::Decision(d) if d.outcome == Outcome::Allow);
    site.records().iter().filter(|record| allowed(record)).count()
}

#[test]
fn while_a_sync_never_ends_no_answer_but_503_appears_and_after_a_crash_nothing_was_allowed() {
    let mut site = Site::in_memory();
    let size = site.size();
    hang(site.ram.as_ref().unwrap());
    let (address, key) = (site.address(), bearer(&site.key));
    let callers: Vec<_> = ["/v1/decisions", "/v1/decisions?receipt=none&answer=brief", "/access/v1/evaluation"]
        .into_iter()
        .map(|path| {
            let key = key.clone();
            thread::spawn(move || {
                let headers = [("Authorization", &*key), ("Content-Type", "application/json")];
                call(address, "POST", path, &headers, read("1").to_string().as_bytes())
            })
        })
        .collect();
    for caller in callers {
        let answer = caller.join().unwrap();
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.header("retry-after").is_some());
        assert!(!answer.text().contains("true"));
    }
    assert_eq!(site.size(), size, "nothing is published");
    site.crash();
    assert_eq!(allowed(&site), 0);
    assert_eq!(site.decide(&read("1"))["decision"], true);
}

/// Threat 12.
#[test]
fn a_repeated_request_is_not_answered_before_its_first_record_is_durable() {
    let site = Site::in_memory();
    let mut request = read("1");
    request["idempotency_key"] = "k".into();
    let body = request.to_string();
    hang(site.ram.as_ref().unwrap());
    let (address, key) = (site.address(), bearer(&site.key));
    let first = {
        let (key, body) = (key.clone(), body.clone());
        thread::spawn(move || {
            let headers = [("Authorization", &*key), ("Content-Type", "application/json")];
            call(address, "POST", "/v1/decisions", &headers, body.as_bytes())
        })
    };
    until(|| site.ram.as_ref().unwrap().waiting());
    let second = site.send("/v1/decisions", "application/json", body.as_bytes());
    assert_eq!((first.join().unwrap().status, second.status), (503, 503));
    site.ram.as_ref().unwrap().release();
    // The first record became durable after all; the retry finds that one permit and makes no second.
    until(|| site.size() > 2);
    let retried = site.decide(&request);
    assert_eq!(retried["decision"], true);
    assert_eq!(allowed(&site), 1);
}

#[test]
fn a_full_queue_is_answered_503_with_retry_after_before_the_body_is_read() {
    let small = Bounds { bodies: 1, ..Bounds::default() };
    let site = Site::with(Some(Ram::new()), move |config| config.bounds = small);
    let size = site.size();
    hang(site.ram.as_ref().unwrap());
    let (address, key) = (site.address(), bearer(&site.key));
    let first = {
        let key = key.clone();
        thread::spawn(move || {
            let headers = [("Authorization", &*key), ("Content-Type", "application/json")];
            call(address, "POST", "/v1/decisions", &headers, read("1").to_string().as_bytes())
        })
    };
    until(|| site.ram.as_ref().unwrap().waiting());
    // A body is announced and never sent: the answer does not wait for it.
    let headers = [("Authorization", &*key), ("Content-Type", "application/json"), ("Content-Length", "50000")];
    for path in ["/v1/decisions", "/access/v1/evaluation", "/access/v1/evaluations"] {
        let answer = site.call("POST", path, &headers, b"");
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.text().contains("overloaded"), "{}", answer.text());
        let seconds: u32 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=10).contains(&seconds));
    }
    assert_eq!(first.join().unwrap().status, 503);
    assert_eq!(site.size(), size);
}

#[test]
fn after_an_io_error_every_waiting_and_later_request_is_denied() {
    let mut site = Site::in_memory();
    let kind = std::io::ErrorKind::StorageFull;
    let rule = Rule { op: Some(Op::Write), path: String::new(), nth: 0, fault: Fault::Fail(kind) };
    site.ram.as_ref().unwrap().fault(rule);
    for _ in 0..3 {
        let answer = site.post("/v1/decisions", &read("1"));
        assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"));
    }
    assert_eq!(site.switch(1, "global", Power::Halt).code(), "unavailable");
    assert_eq!(site.call("GET", "/readyz", &[], b"").status, 503);
    assert!(site.service.as_ref().unwrap().fault().is_some());
    site.crash();
    assert_eq!(allowed(&site), 0);
    assert_eq!(site.decide(&read("1"))["decision"], true);
}

/// A clock that panics in the sequencer when told to: the nearest a test can come to a bug there.
struct Trap {
    clock: Manual,
    armed: AtomicBool,
}

impl Source for Trap {
    fn wall_ms(&self) -> u64 {
        let sequencer = thread::current().name() == Some("sequencer");
        assert!(!(sequencer && self.armed.load(Ordering::SeqCst)), "the trap");
        self.clock.wall_ms()
    }

    fn monotonic_ms(&self) -> u64 {
        self.clock.monotonic_ms()
    }
}

#[test]
fn a_panic_of_the_sequencer_denies_every_waiting_and_later_request() {
    let trap = Arc::new(Trap { clock: Manual::at(now_ms()), armed: AtomicBool::new(false) });
    let given = trap.clone();
    let mut site = Site::with(None, move |config| config.clock = given.clone());
    assert_eq!(site.decide(&read("1"))["decision"], true);
    let size = site.size();
    trap.armed.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let answer = site.post("/v1/decisions", &read("1"));
        assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"));
    }
    assert_eq!(site.service.as_ref().unwrap().fault(), Some("the sequencer panicked"));
    assert_eq!(site.size(), size);
    trap.armed.store(false, Ordering::SeqCst);
    site.restart();
    assert_eq!(site.decide(&read("1"))["decision"], true);
}

#[test]
fn a_stop_answers_what_was_accepted_and_closes_the_log() {
    let mut site = Site::in_memory();
    let (ram, shared) = (site.ram.clone().unwrap(), site.service.as_ref().unwrap().shared().clone());
    hang(&ram);
    let (address, key) = (site.address(), bearer(&site.key));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let key = key.clone();
            thread::spawn(move || {
                let headers = [("Authorization", &*key), ("Content-Type", "application/json")];
                call(address, "POST", "/v1/decisions", &headers, read("1").to_string().as_bytes()).status
            })
        })
        .collect();
    // All are accepted and none is answered when the stop begins; then the disk goes on.
    until(|| shared.queue.decisions() == 8);
    let disk = thread::spawn(move || {
        until(|| shared.notices.is_closed());
        ram.release();
    });
    site.restart();
    disk.join().unwrap();
    for caller in callers {
        assert_eq!(caller.join().unwrap(), 200);
    }
}

/// DESIGN §2.2. Comparing is free; constructing stands in one line of the sequencer.
#[test]
fn an_allowing_outcome_is_constructed_in_one_line_of_the_authorizer() {
    fn lines(dir: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                lines(&path, found);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let made =
                text.lines().filter(|line| line.contains("Outcome::Allow") && !line.contains("== Outcome::Allow"));
            found.extend(made.map(|line| format!("{}: {}", path.display(), line.trim())));
        }
    }
    let mut found = Vec::new();
    lines(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.iter().all(|line| line.contains("sequencer/bodies.rs: ")), "{found:#?}");
    assert_eq!(found.len(), 1, "{found:#?}");
}
