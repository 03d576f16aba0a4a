//! A frozen log decides nothing and records nothing, and goes on telling what it was.

use std::sync::Arc;
use std::thread;

use authorizer::clock::Manual;
use ledger::storage::ram::{Fault, Op, Rule};
use serde_json::json;
use verifier::act::{Act, Deed, Power};
use verifier::checkpoint::Checkpoint;
use verifier::freeze::Freeze;
use verifier::note::{Note, VerifierKey};
use verifier::record::Record;
use verifier::verify::{LogKey, verify_receipt};

use crate::support::{Answer, ORIGIN, POLICIES, Site, bearer, call, now_ms, read, until};

fn freeze(site: &Site, follows: u64, successor: Option<VerifierKey>) -> Answer {
    let deed = Deed::Freeze { successor, reason: "the key was stolen".into() };
    let note = site.sign(&Act { origin: ORIGIN.into(), follows, deed });
    site.admin("POST", "/v1/freeze", "text/plain", note.as_bytes())
}

#[test]
fn behind_a_freeze_everything_that_would_be_recorded_is_503_and_reads_go_on() {
    let mut site = Site::new();
    let mut keyed = read("1");
    keyed["idempotency_key"] = "k".into();
    let permit = site.decide(&keyed);
    let successor = ledger::Signer::generate("next.example/log").unwrap();
    let frozen = freeze(&site, 1, Some(successor.verifier_key().clone()));
    assert_eq!(frozen.status, 200, "{}", frozen.text());
    let end = frozen.json();
    assert_eq!((&end["index"], &end["governance"]), (&json!(3), &json!(2)));
    let admin =
        [VerifierKey::clone(ledger::Signer::from_seed(&Act::key_name(ORIGIN), &[42; 32]).unwrap().verifier_key())];
    for round in 0..3 {
        let size = site.size();
        assert_eq!(size, 4, "the freeze is the last record");
        let authzen = json!({ "subject": { "type": "A", "id": "a" }, "action": { "name": "read" }, "resource": { "type": "R", "id": "r" } });
        for (path, kind, body) in [
            ("/v1/decisions", "application/json", read("1").to_string()),
            // Also the repetition of what was allowed: whether its permit still holds is for its readers' trust files.
            ("/v1/decisions", "application/json", keyed.to_string()),
            ("/access/v1/evaluation", "application/json", authzen.to_string()),
            ("/access/v1/evaluations", "application/json", authzen.to_string()),
            ("/v1/statements", "text/plain", "evidence".into()),
            ("/add", "text/plain", "evidence".into()),
        ] {
            let answer = site.send(path, kind, body.as_bytes());
            assert_eq!(answer.status, 503, "{path}");
            assert!(answer.text().contains("frozen") && !answer.text().contains("true"), "{path}: {}", answer.text());
            assert_eq!(answer.header("retry-after"), None, "whoever waits for it waits for ever");
        }
        for answer in [freeze(&site, 2, None), site.switch(2, "global", Power::Halt), site.publish(&POLICIES, 2, 2)] {
            assert_eq!((answer.status, answer.code().as_str()), (503, "frozen"));
        }
        assert_eq!(site.size(), size);
        // Reads go on.
        let shown = site.get(&format!("/v1/permits/{}", permit["permit"].as_str().unwrap()));
        assert_eq!(shown.status, 200);
        site.verify(&shown.json());
        let state = site.admin("GET", "/v1/governance", "text/plain", b"").json();
        assert_eq!((&state["frozen"], &state["governance"]), (&json!(true), &json!(2)));
        let ready = site.call("GET", "/readyz", &[], b"");
        assert_eq!(ready.status, 503);
        assert!(ready.text().contains("frozen"));
        // Anybody can learn the end and the successor from the log alone.
        let receipt = site.reader.receipt(3, None).unwrap();
        let key = LogKey::unlimited(site.reader.verifier_key().clone());
        let end = Freeze::open(&verify_receipt(&receipt, None, &[key]).unwrap(), &admin).unwrap();
        assert_eq!(end.successor(), Some(successor.verifier_key()));
        if round < 2 {
            site.restart();
        }
    }
}

#[test]
fn a_freeze_follows_the_version_in_force_and_a_log_does_not_succeed_itself() {
    let site = Site::without_epoch(None, |_| {});
    assert_eq!(freeze(&site, 0, None).code(), "governance_conflict", "the first act is an epoch");
    site.publish(&POLICIES, 0, 1);
    assert_eq!(freeze(&site, 0, None).code(), "governance_conflict");
    let own = site.reader.verifier_key().clone();
    assert_eq!(freeze(&site, 1, Some(own)).code(), "invalid_act");
    // A switch is not a freeze, whatever path it takes, and the other way round.
    let deed = Deed::Freeze { successor: None, reason: "x".into() };
    let note = site.sign(&Act { origin: ORIGIN.into(), follows: 1, deed });
    assert_eq!(site.admin("POST", "/v1/switches", "text/plain", note.as_bytes()).code(), "invalid_act");
    let service = site.send("/v1/freeze", "text/plain", note.as_bytes());
    assert_eq!((service.status, service.code().as_str()), (403, "forbidden"));
    assert_eq!(site.decide(&read("1"))["decision"], true);
    assert_eq!(freeze(&site, 1, None).status, 200);
}

/// What waits behind the freeze is not decided: it has no place any more.
#[test]
fn a_request_that_waits_while_the_log_is_frozen_is_answered_503_and_not_recorded() {
    let site = Site::in_memory();
    let (address, key) = (site.address(), bearer(&site.key));
    site.ram.as_ref().unwrap().fault(Rule { op: Some(Op::Sync), path: "journal".into(), nth: 0, fault: Fault::Hang });
    let post = |path: &'static str, kind: &'static str, body: String| {
        let key = key.clone();
        thread::spawn(move || {
            call(address, "POST", path, &[("Authorization", &*key), ("Content-Type", kind)], body.as_bytes())
        })
    };
    // The first one hangs in its sync; the freeze and what comes behind it wait.
    let first = post("/v1/decisions", "application/json", read("1").to_string());
    until(|| site.ram.as_ref().unwrap().waiting());
    let deed = Deed::Freeze { successor: None, reason: "the end".into() };
    let (note, admin) = (site.sign(&Act { origin: ORIGIN.into(), follows: 1, deed }), bearer(&site.admin_key));
    let end = thread::spawn(move || {
        call(
            address,
            "POST",
            "/v1/freeze",
            &[("Authorization", &*admin), ("Content-Type", "text/plain")],
            note.as_bytes(),
        )
    });
    let queue = &site.service.as_ref().unwrap().shared().queue;
    until(|| queue.has_acts());
    let behind = [
        post("/v1/decisions", "application/json", read("2").to_string()),
        post("/v1/statements", "text/plain", "late".into()),
    ];
    until(|| queue.decisions() == 3);
    site.ram.as_ref().unwrap().release();
    assert_eq!(first.join().unwrap().status, 200);
    assert_eq!(end.join().unwrap().status, 200);
    for behind in behind {
        let answer = behind.join().unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (503, "frozen"));
    }
    assert_eq!(site.size(), 4);
    assert!(matches!(site.records().last(), Some(Record::Freeze { .. })));
}

/// Years later nobody has to give a word about the clock for a log that decides nothing.
#[test]
fn a_frozen_log_is_served_whatever_the_clock_says() {
    let clock = Arc::new(Manual::at(now_ms()));
    let given = clock.clone();
    let mut site = Site::with(None, move |config| config.clock = given.clone());
    assert_eq!(freeze(&site, 1, None).status, 200);
    clock.advance(10 * 365 * 24 * 3_600_000);
    site.restart();
    assert_eq!((site.size(), site.get("/v1/governance").status), (3, 403));
}

#[test]
fn a_logs_first_epoch_names_the_final_head_of_the_log_that_it_succeeds() {
    let old = Site::new();
    assert_eq!(freeze(&old, 1, None).status, 200);
    let end = old.reader.head().note.clone();
    let mut site = Site::without_epoch(None, |_| {});
    let publish = |site: &Site, follows, number, predecessor: &str| {
        let mut body = site.epoch_body(&POLICIES, follows, number);
        body["predecessor"] = predecessor.into();
        site.admin("POST", "/v1/epochs", "application/json", body.to_string().as_bytes())
    };
    for wrong in ["", "nonsense", end.split_once("\n\n").unwrap().0] {
        assert_eq!(publish(&site, 0, 1, wrong).code(), "invalid_value", "{wrong}");
    }
    assert_eq!(publish(&site, 0, 1, &end).status, 200);
    assert_eq!(publish(&site, 1, 2, &end).code(), "invalid_value", "only the first");
    site.restart();
    let Record::Epoch { predecessor: Some(named), .. } = site.reader.record(1).unwrap() else { panic!("an epoch") };
    let head = Checkpoint::parse_text(&Note::parse(&named).unwrap().text).unwrap();
    assert_eq!(head, old.reader.head().checkpoint);
}
