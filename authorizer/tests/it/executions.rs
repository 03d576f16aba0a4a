//! What runs under a lease goes on only while every condition holds, and what it says is signed by who executes.

use std::time::Duration;

use authorizer::clock::Source;
use ledger::storage::ram::{Fault, Op, Rule};
use serde_json::{Value, json};
use verifier::act::Power;
use verifier::decision::commitment;
use verifier::event::{Event, Step};
use verifier::hash::Hash;
use verifier::record::{ExecutionEvent, LeaseEvent, Record};

use crate::support::{Answer, ORIGIN, Site, bearer, gate, now_ms, read, reasons, with, with_gate};

const NONE: [&str; 0] = [];

/// A permit with a lease of ten seconds and a life of ten minutes.
fn leased(site: &Site, fields: Value) -> Value {
    let asks = json!({ "lease_ms": 10_000, "ttl_ms": 600_000, "audience": "gate" });
    let answer = site.decide(&with(with(read("r"), asks), fields));
    assert_eq!(reasons(&answer), NONE);
    answer["permit"].clone()
}

/// The end of a permit's lease as its records tell it.
fn lease_end(site: &Site, permit: &Value) -> u64 {
    let mut ends = site.records().into_iter().filter_map(|record| match record {
        Record::Decision(decision) if decision.permit.to_string() == *permit => decision.grant?.lease_ends_at,
        Record::Lease { permit: of, event: LeaseEvent::Renewed, ends_at, .. } if of.to_string() == *permit => ends_at,
        _ => None,
    });
    ends.next_back().unwrap()
}

fn renew(site: &Site, permit: &Value) -> Answer {
    site.event(permit, Step::Renew { ends_at: lease_end(site, permit) })
}

/// The commitment to what was permitted, as an executor that did just that has it.
fn permitted(site: &Site, permit: &Value) -> Hash {
    let index = site.reader.permit(&permit.as_str().unwrap().parse().unwrap()).unwrap().unwrap();
    let private = site.reader.private(index).unwrap();
    commitment(&private.request_salt, &private.request)
}

fn last(site: &Site) -> Record {
    site.records().pop().unwrap()
}

/// What a permit is worth now: nothing stands against it, or what does.
fn worth(site: &Site, permit: &Value) -> Value {
    site.get(&format!("/v1/permits/{}", permit.as_str().unwrap())).json()["reasons"].clone()
}

/// Waits until the log has that many records: the sequencer writes the end of a lease by itself.
fn grown(site: &Site, size: u64) {
    for _ in 0..3_000 {
        if site.size() >= size {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the log has {} records and not {size}", site.size());
}

#[test]
fn an_execution_begins_goes_on_and_is_closed_with_what_was_really_done() {
    let (mut site, clock) = Site::with_trust(&with_gate("[[concurrency]]\nname = \"one\"\nmax = 1\n"));
    let permit = leased(&site, json!({}));
    let started = site.event(&permit, Step::Started);
    assert_eq!((started.status, &started.json()["answer"]), (200, &json!("continue")), "{}", started.text());
    assert_eq!(site.event(&permit, Step::Started).code(), "already_started");
    for _ in 0..3 {
        clock.advance(9_000);
        let renewed = renew(&site, &permit).json();
        assert_eq!(
            (&renewed["answer"], &renewed["event"], &renewed["reasons"]),
            (&json!("continue"), &json!("renewed"), &json!([]))
        );
        assert_eq!(renewed["lease_ends_at_ms"], clock.wall_ms() + 10_000);
        site.verify(&renewed);
        site.restart();
    }
    assert_eq!(worth(&site, &permit), json!([]));
    let busy = with(read("r"), json!({ "lease_ms": 1, "audience": "gate" }));
    assert_eq!(reasons(&site.decide(&busy)), ["concurrency_exceeded"]);
    let executed = permitted(&site, &permit);
    let closed = site.event(&permit, Step::Completed { executed }).json();
    assert_eq!((&closed["answer"], &closed["event"]), (&json!("closed"), &json!("completed")));
    let Record::Closure { event, executed: said, note, .. } = site.verify(&closed) else { panic!("no closure") };
    assert_eq!((event, said, note.is_some()), (ExecutionEvent::Completed, Some(executed), true));
    assert_eq!(worth(&site, &permit), json!(["closed"]));
    assert_eq!(renew(&site, &permit).code(), "execution_over");
    assert_eq!(site.event(&permit, Step::Failed { executed: None }).code(), "execution_over");
    site.restart();
    assert_eq!(renew(&site, &permit).code(), "execution_over");
    assert_eq!(reasons(&site.decide(&busy)), NONE, "its place is free");
    site.replays();
}

/// Threat 18.
#[test]
fn only_the_audience_speaks_about_an_execution_and_the_requester_may_give_it_up() {
    let (site, clock) = Site::with_trust(&with_gate(""));
    let (permit, other) = (leased(&site, json!({})), leased(&site, json!({})));
    let size = site.size();
    let ends_at = lease_end(&site, &permit);
    let event = |origin: &str, permit: &Value, step| {
        Event { origin: origin.into(), permit: permit.as_str().unwrap().parse().unwrap(), step }.text()
    };
    let good = event(ORIGIN, &permit, Step::Renew { ends_at });
    let stranger = ledger::Signer::from_seed("gate.example/executor", &[8; 32]).unwrap();
    for (what, note, code) in [
        ("another key of the same name", stranger.sign_note(&good), "not_the_audience"),
        ("an administrator", site.sign_text(&good), "not_the_audience"),
        ("nobody", good.clone(), "not_the_audience"),
        ("another log", gate().sign_note(&event("other", &permit, Step::Renew { ends_at })), "wrong_origin"),
        ("another permit", gate().sign_note(&event(ORIGIN, &other, Step::Renew { ends_at })), "invalid_event"),
        ("another text", gate().sign_note("interlock/event/v2\n"), "invalid_event"),
        (
            "another end",
            gate().sign_note(&event(ORIGIN, &permit, Step::Renew { ends_at: ends_at + 1 })),
            "lease_changed",
        ),
    ] {
        assert_eq!(site.send_event(&permit, &note).code(), code, "{what}");
    }
    let path = format!("/v1/executions/{}/events", permit.as_str().unwrap());
    let send = |key: &str, body: &str| {
        let headers = [("Authorization", &*bearer(key)), ("Content-Type", "application/json")];
        site.call("POST", &path, &headers, body.as_bytes())
    };
    assert_eq!(send(&site.key, r#"{"event":"renew"}"#).code(), "invalid_event");
    assert_eq!(send(&site.key, r#"{"event":"completed"}"#).code(), "invalid_event");
    assert_eq!(send(&site.key_of("main"), r#"{"event":"aborted"}"#).code(), "not_the_audience");
    assert_eq!(send(&site.key_of("other"), r#"{"event":"aborted"}"#).code(), "not_found");
    assert_eq!(site.size(), size, "nothing of it was recorded");
    // A renewal that was overheard is worth nothing: the lease ends at another time now.
    let note = gate().sign_note(&good);
    clock.advance(1_000);
    assert_eq!(site.send_event(&permit, &note).json()["answer"], "continue");
    assert_eq!(site.send_event(&permit, &note).code(), "lease_changed");
    assert_eq!(send(&site.key, r#"{"event":"aborted"}"#).json()["event"], "aborted");
    assert!(matches!(last(&site), Record::Closure { event: ExecutionEvent::Aborted, note: None, .. }));
    let plain = site.decide(&read("r"));
    assert_eq!(site.event(&plain["permit"], Step::Started).code(), "no_lease");
    site.replays();
}

#[test]
fn a_lease_needs_an_audience_whose_keys_the_epoch_names() {
    let (site, _) = Site::with_trust(&with_gate(""));
    for fields in [json!({ "lease_ms": 1_000 }), json!({ "lease_ms": 1_000, "audience": "door" })] {
        assert_eq!(reasons(&site.decide(&with(read("r"), fields))), ["audience_unknown"]);
    }
}

#[test]
fn whatever_would_deny_now_halts_at_the_next_renewal() {
    type Change = (&'static str, fn(&Site, &Value), &'static str, &'static str);
    let changes: [Change; 8] = [
        (
            "everything is stopped",
            |site, _| assert_eq!(site.switch(1, "global", Power::Halt).status, 200),
            "halted",
            "runtime",
        ),
        (
            "its realm is",
            |site, _| assert_eq!(site.switch(1, "realm main", Power::Halt).status, 200),
            "halted",
            "runtime",
        ),
        (
            "its subject is",
            |site, _| assert_eq!(site.switch(1, "subject Agent::\"alice\"", Power::Halt).status, 200),
            "halted",
            "runtime",
        ),
        (
            "its policy is",
            |site, _| assert_eq!(site.switch(1, "policy reads", Power::Halt).status, 200),
            "halted",
            "runtime",
        ),
        ("it is revoked", |site, permit| assert_eq!(site.revoke(1, permit).status, 200), "revoked", "permissions"),
        (
            "the new epoch permits nothing like it",
            |site, _| {
                let content = verifier::epoch::EpochContent { trust: Some(with_gate("")), ..Default::default() };
                let body = site.content_body(content, 1, 2).to_string();
                assert_eq!(site.admin("POST", "/v1/epochs", "application/json", body.as_bytes()).status, 200);
            },
            "no_matching_permit",
            "policy",
        ),
        (
            "the new epoch allows no lease so long",
            |site, _| assert_eq!(site.publish_trust(&with_gate("[limits]\nmax_lease_ms = 1\n"), 1, 2).status, 200),
            "lease_exceeded",
            "permissions",
        ),
        (
            "the key that asked is revoked",
            |site, _| {
                let id = site.key.split('_').nth(1).unwrap().to_owned();
                let path = format!("/v1/keys/{id}");
                assert_eq!(site.admin("DELETE", &path, "application/json", b"").status, 200);
            },
            "key_revoked",
            "identity",
        ),
    ];
    for (what, change, code, condition) in changes {
        let (mut site, clock) = Site::with_trust(&with_gate(""));
        let executor = site.key_of("main");
        let (permit, other) = (leased(&site, json!({})), leased(&site, json!({})));
        clock.advance(1_000);
        assert_eq!(renew(&site, &permit).json()["answer"], "continue");
        change(&site, &permit);
        site.key = executor;
        let halted = renew(&site, &permit).json();
        assert_eq!((&halted["answer"], &halted["reasons"]), (&json!("halt"), &json!([code])), "{what}");
        let Record::Lease { event: LeaseEvent::Halted, cause, .. } = site.verify(&halted) else { panic!("{what}") };
        assert_eq!(cause.as_deref(), Some(condition), "the leaf tells the condition and no more");
        assert_eq!(renew(&site, &permit).code(), "execution_over", "{what}");
        // What begins is asked the same.
        if code != "revoked" {
            assert_eq!(site.event(&other, Step::Started).json()["answer"], "halt", "{what}");
        }
        site.restart();
        assert_eq!(renew(&site, &permit).code(), "execution_over", "{what}");
        site.replays();
    }
}

#[test]
fn a_deadline_that_passes_halts() {
    let (site, clock) = Site::with_trust(&with_gate(""));
    let permit = leased(&site, json!({ "deadline": verifier::text::rfc3339(clock.wall_ms() + 5_000) }));
    clock.advance(4_999);
    assert_eq!(renew(&site, &permit).json()["answer"], "continue");
    clock.advance(1);
    assert_eq!(renew(&site, &permit).json()["reasons"], json!(["deadline"]));
    site.replays();
}

#[test]
fn an_ancestor_that_is_over_halts_what_runs_below_it() {
    let trust = with_gate("[[grants]]\nsubjects = [\"Agent\"]\nscopes = [\"a\"]\nwithout_parent = true\n");
    let (site, _) = Site::with_trust(&trust);
    let named = json!({ "delegates": ["Agent::\"alice\""] });
    let parent = leased(&site, named.clone());
    let child = leased(&site, with(named, json!({ "parent": parent, "ttl_ms": 60_000 })));
    let below = leased(&site, json!({ "parent": child, "ttl_ms": 60_000 }));
    assert_eq!(renew(&site, &below).json()["answer"], "continue");
    assert_eq!(site.event(&parent, Step::Failed { executed: None }).json()["answer"], "closed");
    assert_eq!(renew(&site, &below).json()["reasons"], json!(["parent_closed"]));
    assert_eq!(site.revoke(1, &parent).status, 200);
    assert_eq!(renew(&site, &child).json()["reasons"], json!(["parent_revoked"]));
    site.replays();
}

#[test]
fn a_lease_is_over_at_its_end_and_a_record_says_so() {
    let (mut site, clock) = Site::with_trust(&with_gate(""));
    let (permit, second) = (leased(&site, json!({})), leased(&site, json!({ "ttl_ms": 10_000 })));
    let size = site.size();
    clock.advance(9_999);
    assert_eq!(worth(&site, &permit), json!([]));
    clock.advance(1);
    assert_eq!(renew(&site, &permit).code(), "execution_over", "whether or not a record says so");
    assert_eq!(worth(&site, &permit), json!(["closed"]));
    grown(&site, size + 2);
    let expired: Vec<_> = site.records().into_iter().skip(usize::try_from(size).unwrap()).collect();
    for permit in [&permit, &second] {
        let tells = |record: &Record| matches!(record, Record::Lease { permit: of, event: LeaseEvent::Expired, .. } if of.to_string() == *permit);
        assert_eq!(expired.iter().filter(|record| tells(record)).count(), 1);
    }
    // Once, and not again after a restart; one that ends while the service is down is told when it is up.
    let third = leased(&site, json!({ "ttl_ms": 10_000 }));
    let size = site.size();
    assert!(site.service.take().unwrap().stop());
    clock.advance(3_600_000);
    site.open();
    grown(&site, size + 1);
    assert_eq!(site.size(), size + 1);
    assert_eq!(worth(&site, &third), json!(["expired"]));
    site.replays();
}

#[test]
fn an_execution_of_something_else_is_recorded_as_failed() {
    let (site, _) = Site::with_trust(&with_gate(""));
    let permit = leased(&site, json!({}));
    let closed = site.event(&permit, Step::Completed { executed: Hash([7; 32]) }).json();
    assert_eq!((&closed["answer"], &closed["event"]), (&json!("closed"), &json!("failed")));
    let Record::Closure { event, executed, .. } = site.verify(&closed) else { panic!("no closure") };
    assert_eq!((event, executed), (ExecutionEvent::Failed, Some(Hash([7; 32]))));
    site.replays();
}

/// Threat 15: nothing goes on at a time that is in doubt, and nothing is recorded at it.
#[test]
fn while_the_clock_is_in_doubt_nothing_is_renewed() {
    let (site, clock) = Site::with_trust(&with_gate(""));
    let permit = leased(&site, json!({}));
    let (size, start) = (site.size(), clock.wall_ms());
    clock.step_to(start + 100_000_000);
    let refused = renew(&site, &permit);
    assert_eq!((refused.status, refused.code().as_str(), site.size()), (503, "clock", size));
    assert_eq!(worth(&site, &permit), json!(["clock"]));
    clock.step_to(start + 10);
    assert_eq!(renew(&site, &permit).json()["answer"], "continue");
}

/// Threat 12: `continue` is not said before it is durable.
#[test]
fn a_renewal_is_not_answered_before_its_record_is_durable() {
    let mut site = Site::with(Some(ledger::storage::ram::Ram::new()), |_| {});
    assert_eq!(site.publish_trust(&with_gate(""), 1, 2).status, 200);
    let permit = leased(&site, json!({ "lease_ms": 60_000 }));
    let size = site.size();
    site.ram.as_ref().unwrap().fault(Rule { op: Some(Op::Sync), path: String::new(), nth: 0, fault: Fault::Hang });
    let refused = renew(&site, &permit);
    assert_eq!((refused.status, site.size()), (503, size), "{}", refused.text());
    site.crash();
    assert_eq!(lease_end(&site, &permit) > now_ms(), renew(&site, &permit).json()["answer"] == "continue");
}

#[test]
fn a_lease_is_never_renewed_beyond_its_permit_so_nothing_runs_that_nobody_counts() {
    let (mut site, clock) = Site::with_trust(&with_gate("[[concurrency]]\nname = \"one\"\nmax = 1\n"));
    let permit = leased(&site, json!({ "ttl_ms": 25_000 }));
    clock.advance(9_000);
    assert_eq!(renew(&site, &permit).json()["answer"], "continue");
    clock.advance(9_000);
    let size = site.size();
    let beyond = renew(&site, &permit);
    assert_eq!((beyond.status, beyond.code().as_str(), site.size()), (409, "beyond_permit", size), "{}", beyond.text());
    assert_eq!(beyond.json()["expires_at_ms"], clock.wall_ms() + 7_000);
    let other = with(read("r"), json!({ "lease_ms": 1_000, "audience": "gate" }));
    site.restart();
    assert_eq!(reasons(&site.decide(&other)), ["concurrency_exceeded"], "it goes on until its lease ends");
    clock.advance(1_000);
    assert_eq!(reasons(&site.decide(&other)), NONE);
    assert_eq!(renew(&site, &permit).code(), "execution_over");
    site.replays();
}

#[test]
fn whoever_gives_up_what_its_audience_holds_frees_no_place_before_the_lease_ends() {
    let (mut site, clock) = Site::with_trust(&with_gate("[[concurrency]]\nname = \"one\"\nmax = 1\n"));
    let other = with(read("r"), json!({ "lease_ms": 1_000, "audience": "gate" }));
    let give_up = |site: &Site, permit: &Value| {
        let path = format!("/v1/executions/{}/events", permit.as_str().unwrap());
        let answer = site.send(&path, "application/json", br#"{"event":"aborted"}"#);
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    // What nobody ever acted on gives its place back at once.
    give_up(&site, &leased(&site, json!({})));
    for begin in [
        |site: &Site, permit: &Value| site.event(permit, Step::Started),
        |site: &Site, permit: &Value| renew(site, permit),
    ] {
        let permit = leased(&site, json!({}));
        assert_eq!(begin(&site, &permit).status, 200);
        give_up(&site, &permit);
        assert_eq!(renew(&site, &permit).code(), "execution_over");
        assert_eq!(reasons(&site.decide(&other)), ["concurrency_exceeded"]);
        clock.advance(9_999);
        site.restart();
        assert_eq!(reasons(&site.decide(&other)), ["concurrency_exceeded"]);
        clock.advance(1);
        assert_eq!(reasons(&site.decide(&other)), NONE);
        clock.advance(1_000);
    }
    site.replays();
}
