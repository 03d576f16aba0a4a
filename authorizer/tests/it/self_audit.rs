//! The log's audits of itself, as whoever runs the service and whoever asks it sees them.

use std::cell::Cell;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use authorizer::archive::Archive;
use authorizer::clock::Manual;
use authorizer::http::Rates;
use authorizer::self_audit::{FAILED, Outcome, Plan, SelfAudits};
use ledger::storage::ram::{Fault, Op, Ram, Rule};
use ledger::{Ledger, OpenError, Options};
use serde_json::{Value, json};
use verifier::act::Power;

use crate::support::{Site, call, now_ms, read, until};

type Told = Arc<Mutex<Vec<String>>>;

/// Audits again and again, without a pause, and notes what it tells.
fn often(told: &Told) -> Plan {
    let (told, short) = (told.clone(), Duration::from_millis(20));
    let tell = Arc::new(move |line: &str| told.lock().unwrap().push(line.to_owned()));
    Plan { every: short, first: short, again: short, tell }
}

fn site(ram: Option<Ram>) -> (Site, Told) {
    let told = Told::default();
    let plan = often(&told);
    let site = Site::with(ram, move |config| {
        config.public = Some("127.0.0.1:0".parse().unwrap());
        config.self_audit = Some(plan.clone());
    });
    (site, told)
}

fn public(site: &Site, path: &str) -> crate::support::Answer {
    call(site.service.as_ref().unwrap().public_address().unwrap(), "GET", path, &[], b"")
}

fn health(site: &Site) -> Value {
    public(site, "/v1/health").json()
}

fn metric(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name}: {text}")).parse().unwrap()
}

/// Where an entry's last byte stands in a directory's journal.
fn place(log: &Path, entry: &[u8]) -> (PathBuf, u64) {
    let journal = std::fs::read_dir(log.join("journal")).unwrap().map(|file| file.unwrap().path());
    let found = journal.filter_map(|file| {
        let bytes = std::fs::read(&file).unwrap();
        let at = bytes.windows(entry.len()).position(|window| window == entry)?;
        Some((file, (at + entry.len() - 1) as u64))
    });
    found.last().unwrap()
}

fn flip(file: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

#[test]
fn a_good_log_passes_and_json_page_and_metrics_say_what_it_was_held_against() {
    let (site, told) = site(None);
    site.post("/v1/decisions", &json!([read("1"), read("2")]));
    let size = site.size();
    until(|| health(&site)["self_audit"]["last"]["size"] == size);
    let audit = health(&site)["self_audit"].clone();
    let last = &audit["last"];
    assert!(["passed", "running"].iter().any(|state| audit["state"] == *state), "{audit}");
    assert_eq!(
        (&last["result"], &last["entries"], &last["first_fault"]),
        (&json!("passed"), &json!(size), &Value::Null)
    );
    assert_eq!(last["root"], json!(site.reader.head().checkpoint.root), "{audit}");
    assert!(last["began"].as_str() <= last["ended"].as_str() && last["began"].is_string(), "{audit}");
    let html = public(&site, "/health").text();
    let words = format!("</span> {size} entries are what the signed head of size {size} says, ");
    assert!(
        html.contains("<dt>Last self-audit</dt><dd><span class=\"tag good\">passed") && html.contains(&words),
        "{html}"
    );
    for text in [public(&site, "/metrics").text(), site.call("GET", "/metrics", &[], b"").text()] {
        assert!(metric(&text, "interlock_self_audits{outcome=\"passed\"}") >= 1.0);
        assert_eq!(metric(&text, "interlock_self_audits{outcome=\"failed\"}"), 0.0);
        assert_eq!(
            (metric(&text, "interlock_self_audit_failed"), metric(&text, "interlock_self_audit_first_fault")),
            (0.0, -1.0)
        );
        assert_eq!(metric(&text, "interlock_self_audit_size"), size as f64);
        assert!((metric(&text, "interlock_self_audit_timestamp_seconds") - now_ms() as f64 / 1e3).abs() < 60.0);
    }
    assert_eq!(site.call("GET", "/readyz", &[], b"").text(), r#"{"status":"ok"}"#);
    // What comes later is looked at later.
    site.decide(&read("3"));
    until(|| health(&site)["self_audit"]["last"]["size"] == size + 1);
    assert!(told.lock().unwrap().is_empty(), "{told:?}");
}

#[test]
fn a_bit_that_flips_in_a_stored_entry_is_found_by_its_index_and_denies_from_then_on() {
    let (mut site, told) = site(None);
    let repeated = json!({"idempotency_key": "once", "subject": {"type": "User", "id": "ann"}, "action": {"name": "read"}, "resource": {"type": "Doc", "id": "1"}});
    assert_eq!(site.decide(&repeated)["decision"], true);
    let answers = site.post("/v1/decisions", &json!([read("1"), read("2"), read("3")])).json();
    let index = site.size() - 2;
    assert!(answers.to_string().contains("true"));
    until(|| health(&site)["self_audit"]["last"]["size"] == site.size());
    let (file, at) = place(&site.dir.path().join("data"), &site.reader.entry(index).unwrap());
    let size = site.size();
    flip(&file, at);
    until(|| health(&site)["self_audit"]["state"] == "failed");
    let found = health(&site);
    let last = &found["self_audit"]["last"];
    assert_eq!((&last["result"], &last["first_fault"], &last["size"]), (&json!("failed"), &json!(index), &json!(size)));
    // Neither what is new, nor what was answered before, nor governance.
    for body in [&read("4"), &repeated, &read("4")] {
        let answer = site.post("/v1/decisions", body);
        assert_eq!((answer.status, &*answer.code()), (503, "unavailable"), "{}", answer.text());
    }
    assert_eq!(site.switch(1, "global", Power::Halt).code(), "unavailable");
    assert_eq!(site.size(), size);
    assert!(site.reader.poisoned(), "the ledger itself appends nothing more");
    assert_eq!(site.service.as_ref().unwrap().fault(), Some(FAILED));
    let ready = site.call("GET", "/readyz", &[], b"");
    assert_eq!((ready.status, ready.json()["missing"].clone()), (503, json!(FAILED)));
    let ready = public(&site, "/readyz");
    assert_eq!((ready.status, ready.json()["detail"].clone()), (503, json!(FAILED)), "{}", ready.text());
    assert_eq!((&found["service"]["ready"], &found["service"]["missing"]), (&json!(false), &json!(FAILED)));
    let html = public(&site, "/health").text();
    let words =
        format!("<span class=\"tag bad\">failed</span> entry {index} is not what the signed head of size {size} says");
    assert!(html.contains(&words) && html.contains(FAILED), "{html}");
    let text = public(&site, "/metrics").text();
    let of = |name: &str| metric(&text, name);
    assert_eq!((of("interlock_self_audit_failed"), of("interlock_self_audit_first_fault")), (1.0, index as f64));
    assert_eq!((of("interlock_ready"), of("interlock_self_audits{outcome=\"failed\"}")), (0.0, 1.0));
    let lines = told.lock().unwrap().clone();
    let line = format!("self_audit_failed first_fault={index} size={size} problems=2: ");
    assert!(lines.len() == 1 && lines[0].starts_with(&line), "{lines:?}");
    // Evidence can still be read, and the process stops in good order.
    assert_eq!(public(&site, "/v1/entries/0").status, 200);
    // Whole again, it still does not decide, nor does a restart, until an operator has looked.
    flip(&file, at);
    assert_eq!(site.post("/v1/decisions", &read("4")).status, 503);
    assert!(site.service.take().unwrap().stop());
    let mark = site.dir.path().join("data/unsound");
    let refused = Ledger::open(Options::new(site.dir.path().join("data")), now_ms()).map(|_| ());
    assert!(matches!(&refused, Err(OpenError::Unsound { file }) if *file == mark), "{refused:?}");
    std::fs::remove_file(mark).unwrap();
    site.open();
    assert_eq!(site.decide(&read("4"))["decision"], true);
    until(|| health(&site)["self_audit"]["last"]["size"] == site.size());
    assert_eq!(health(&site)["self_audit"]["last"]["result"], "passed");
}

#[test]
fn an_archive_audits_itself_and_says_when_it_is_no_longer_what_was_signed() {
    let mut site = Site::new();
    site.decide(&read("1"));
    let entry = site.reader.entry(site.size() - 1).unwrap();
    let index = site.size() - 1;
    assert!(site.service.take().unwrap().stop());
    let data = site.dir.path().join("data");
    let reader = ledger::open_archive(&data, None).unwrap();
    let (clock, told) = (Arc::new(Manual::at(now_ms())), Told::default());
    let listen = "127.0.0.1:0".parse().unwrap();
    let archive = Archive::start(listen, reader, clock, Rates::default(), Some(often(&told))).unwrap();
    let ask = |path: &str| call(archive.address(), "GET", path, &[], b"");
    until(|| ask("/v1/health").json()["self_audit"]["last"]["result"] == "passed");
    assert_eq!(ask("/readyz").status, 200);
    assert!(ask("/metrics").text().contains("interlock_self_audit_failed 0\n"));
    let (file, at) = place(&data, &entry);
    flip(&file, at);
    until(|| ask("/v1/health").json()["self_audit"]["state"] == "failed");
    assert_eq!(ask("/v1/health").json()["self_audit"]["last"]["first_fault"], index);
    assert_eq!((ask("/readyz").status, ask("/v1/entries/0").status), (503, 200));
    assert!(ask("/health").text().contains(FAILED));
    assert!(!data.join("unsound").exists(), "an archive is only read");
    let text = ask("/metrics").text();
    assert_eq!(metric(&text, "interlock_self_audit_first_fault"), index as f64);
    assert!(archive.stop());
}

/// While one pass is held, another is refused; once it is let go, the next is made.
#[test]
fn two_passes_never_run_at_once() {
    let ram = Ram::new();
    let site = Site::with(Some(ram.clone()), |config| config.self_audit = None);
    site.decide(&read("1"));
    assert_eq!(site.reader.size(), site.size());
    let (audits, reader) = (Arc::new(SelfAudits::default()), site.reader.clone());
    let (entered, enter) = mpsc::channel();
    let (release, held) = mpsc::channel::<()>();
    let (first, slow) = (audits.clone(), reader.clone());
    let asked = Cell::new(0);
    // The clock is asked when a pass begins and when it has read.
    let now = move || {
        asked.set(asked.get() + 1);
        if asked.get() == 2 {
            entered.send(()).unwrap();
            held.recv().unwrap();
        }
        7
    };
    let thread = std::thread::spawn(move || first.pass(&slow, &now, &|_| {}));
    enter.recv().unwrap();
    assert_eq!(audits.standing().under_way.map(|pass| (pass.began_ms, pass.size)), Some((7, reader.size())));
    assert_eq!(audits.pass(&reader, &|| 8, &|_| {}), None);
    release.send(()).unwrap();
    assert_eq!(thread.join().unwrap(), Some(Outcome::Passed));
    assert_eq!(audits.standing().counts, [1, 0, 0]);
    assert_eq!(audits.pass(&reader, &|| 9, &|_| {}), Some(Outcome::Passed));
    assert_eq!(audits.standing().counts, [2, 0, 0]);
}

#[test]
fn a_log_that_cannot_be_read_is_tried_again_and_after_the_third_time_decides_nothing() {
    let (site, told) = site(Some(Ram::new()));
    let ram = site.ram.clone().unwrap();
    until(|| health(&site)["self_audit"]["last"]["result"] == "passed");
    let fail = || {
        let fault = Fault::Fail(std::io::ErrorKind::Other);
        ram.fault(Rule { op: Some(Op::Read), path: "journal".into(), nth: 0, fault });
    };
    fail();
    until(|| !told.lock().unwrap().is_empty());
    assert!(told.lock().unwrap()[0].starts_with("self_audit_unreadable size="), "{told:?}");
    until(|| health(&site)["self_audit"]["last"]["result"] == "passed");
    assert_eq!(site.decide(&read("1"))["decision"], true);
    told.lock().unwrap().clear();
    while health(&site)["self_audit"]["state"] != "failed" {
        if ram.faults_left() == 0 {
            fail();
        }
    }
    let lines = told.lock().unwrap().clone();
    assert_eq!(lines.last().unwrap(), "self_audit_failed first_fault=unknown: it could not be read 3 times");
    assert_eq!(site.post("/v1/decisions", &read("2")).status, 503);
    assert!(public(&site, "/health").text().contains("the log could not be read; nothing is permitted any more"));
}

#[test]
fn switched_off_it_says_so() {
    let site = Site::with(None, |config| {
        config.public = Some("127.0.0.1:0".parse().unwrap());
        config.self_audit = None;
    });
    let audit = health(&site)["self_audit"].clone();
    assert_eq!(audit, json!({"state": "off", "every_s": null, "running": null, "last": null}));
    assert!(public(&site, "/health").text().contains("none: it is switched off"));
}
