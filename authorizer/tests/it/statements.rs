//! Statements: what a service submits is kept as it came, wrapped, and decides nothing.

use std::sync::Arc;
use std::thread;

use authorizer::clock::Manual;
use authorizer::queue::Bounds;
use ledger::storage::ram::{Fault, Op, Ram, Rule};
use serde_json::json;
use verifier::act::Power;
use verifier::decision::Outcome;
use verifier::epoch::EpochContent;
use verifier::record::{MAX_BODY, Record};

use crate::support::{Site, bearer, call, now_ms, read, until};

const DSSE: &str = "application/vnd.dsse.envelope.v1+json";
const ENVELOPE: &str =
    r#"{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"sig":"AAAA"}]}"#;

fn statement(site: &Site, index: u64) -> (String, String, Vec<u8>) {
    match site.reader.record(index).unwrap() {
        Record::Statement { realm, media_type, body, .. } => (realm, media_type, body),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_statement_is_kept_as_it_came_and_answered_with_its_receipt() {
    let mut site = Site::new();
    let bodies: [(&str, &[u8]); 5] = [
        ("text/plain; charset=utf-8", b"seen by a human"),
        ("application/octet-stream", &[0, 159, 146, 150]),
        (DSSE, ENVELOPE.as_bytes()),
        ("Application/VND.DSSE.envelope.v1+JSON", ENVELOPE.as_bytes()),
        ("application/json", b"not even JSON"),
    ];
    for (kind, body) in bodies {
        let size = site.size();
        let answer = site.send("/v1/statements", kind, body);
        assert_eq!(answer.status, 201, "{}", answer.text());
        let answer = answer.json();
        assert_eq!(answer["index"], size);
        assert_eq!(statement(&site, size), ("main".into(), kind.into(), body.to_vec()));
        assert_eq!(site.verify(&answer), site.reader.record(size).unwrap());
    }
    let raw = site.call("POST", "/add", &[("Authorization", &bearer(&site.key))], b"raw");
    assert_eq!((raw.status, raw.header("content-type"), raw.text()), (200, Some("text/plain"), "7".into()));
    assert_eq!(statement(&site, 7), ("main".into(), "application/octet-stream".into(), b"raw".to_vec()));
    // What a tool sends as a matter of course says nothing about the bytes.
    assert_eq!(site.send("/add", "application/x-www-form-urlencoded", b"a=b").text(), "8");
    assert_eq!(statement(&site, 8).1, "application/octet-stream");
    assert_eq!(site.send("/add", DSSE, ENVELOPE.as_bytes()).text(), "9");
    assert_eq!(statement(&site, 9).1, DSSE);
    site.restart();
    assert_eq!(statement(&site, 8).2, b"a=b");
    assert_eq!(site.decide(&read("1"))["decision"], true);
}

/// Threat 1: the bytes of an allowing decision, posted as a statement, are a statement.
#[test]
fn a_statement_that_reads_as_an_allowing_decision_is_no_decision() {
    let site = Site::new();
    let allowed = site.decide(&read("1"));
    let Record::Decision(mut forged) = site.verify(&allowed) else { panic!("a decision") };
    forged.outcome = Outcome::Allow;
    forged.permit.0[0] ^= 1;
    let leaf = Record::Decision(forged.clone()).encode();
    for (path, kind) in [("/v1/statements", "application/cbor"), ("/add", "application/octet-stream")] {
        let size = site.size();
        assert!(site.send(path, kind, &leaf).status < 300);
        assert_eq!(statement(&site, size).2, leaf);
        assert_eq!(site.reader.permit(&forged.permit).unwrap(), None);
        assert_eq!(
            site.reader.leaf(&verifier::hash::leaf_hash(&leaf)).unwrap(),
            None,
            "a client's bytes are never a leaf"
        );
    }
    assert_eq!(site.get(&format!("/v1/permits/{}", forged.permit)).status, 404);
}

#[test]
fn a_statement_that_cannot_be_kept_is_refused_with_its_code_and_nothing_is_recorded() {
    let site = Site::new();
    let before = site.size();
    let largest = vec![b'x'; MAX_BODY];
    let (authorization, key) = ("Authorization", bearer(&site.key));
    for (path, headers, body, status, code) in [
        ("/v1/statements", vec![("Content-Type", "text/plain")], &b""[..], 400, "empty_body"),
        ("/add", vec![], &b""[..], 400, "empty_body"),
        ("/v1/statements", vec![], &b"x"[..], 400, "media_type"),
        ("/v1/statements", vec![("Content-Type", "text")], &b"x"[..], 400, "media_type"),
        ("/v1/statements", vec![("Content-Type", "text/")], &b"x"[..], 400, "media_type"),
        ("/v1/statements", vec![("Content-Type", "te xt/plain")], &b"x"[..], 400, "media_type"),
        ("/v1/statements", vec![("Content-Type", "text/plain"), ("Content-Type", "a/b")], &b"x"[..], 400, "media_type"),
        ("/v1/statements", vec![("Content-Type", DSSE)], &b"{}"[..], 400, "invalid_envelope"),
        ("/add", vec![("Content-Type", DSSE)], &b"{}"[..], 400, "invalid_envelope"),
        (
            "/v1/statements",
            vec![("Content-Type", "text/plain"), ("Content-Encoding", "gzip")],
            &b"x"[..],
            400,
            "content_encoding",
        ),
        (
            "/v1/statements",
            vec![("Content-Type", "text/plain")],
            &[largest.as_slice(), b"x"].concat(),
            413,
            "statement_too_large",
        ),
        ("/add", vec![], &[largest.as_slice(), b"x"].concat(), 413, "statement_too_large"),
    ] {
        let headers: Vec<(&str, &str)> = headers.into_iter().chain([(authorization, &*key)]).collect();
        let answer = site.call("POST", path, &headers, body);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{path} {headers:?}");
    }
    let long = format!("text/{}", "x".repeat(251));
    assert_eq!(site.send("/v1/statements", &long, b"x").code(), "media_type");
    for path in ["/v1/statements", "/add"] {
        assert_eq!(site.call("POST", path, &[("Content-Type", "text/plain")], b"x").code(), "unauthorized");
        let wrong = site.get(path);
        assert_eq!((wrong.code().as_str(), wrong.header("allow")), ("method_not_allowed", Some("POST")));
    }
    assert_eq!(site.size(), before);
    let longest = format!("text/{}", "x".repeat(250));
    assert_eq!(site.send("/v1/statements", &longest, &largest).status, 201, "the largest statement that there is");
    let empty = Site::without_epoch(None, |_| {});
    assert_eq!(empty.send("/add", "text/plain", b"x").code(), "no_epoch");
}

/// A leaf is public. What a committed realm submits would be shown to everybody, for ever.
#[test]
fn a_realm_that_is_not_public_submits_no_statement() {
    let site = Site::new();
    let key = |realm: &str| {
        let made = site.admin("POST", "/v1/keys", "application/json", json!({ "realm": realm }).to_string().as_bytes());
        bearer(made.json()["key"].as_str().unwrap())
    };
    let (clinic, elsewhere) = (key("clinic"), key("elsewhere"));
    let send =
        |key: &str, path| site.call("POST", path, &[("Authorization", key), ("Content-Type", "text/plain")], b"x");
    assert_eq!(send(&clinic, "/v1/statements").status, 201, "without a list every realm is public");
    let content = EpochContent {
        policies: vec![("all".into(), "@id(\"all\") permit(principal, action, resource);".into())],
        trust: Some("[realms]\nmain = \"public\"\nclinic = \"committed\"\n".into()),
        ..EpochContent::default()
    };
    let deed = verifier::act::Deed::Epoch { number: 2, content: content.digest(), mode: verifier::act::Mode::Live };
    let note = site.sign(&verifier::act::Act { origin: crate::support::ORIGIN.into(), follows: 1, deed });
    let body =
        json!({ "policies": [{ "id": "all", "text": content.policies[0].1 }], "trust": content.trust, "note": note });
    assert_eq!(site.admin("POST", "/v1/epochs", "application/json", body.to_string().as_bytes()).status, 200);
    let size = site.size();
    for key in [&clinic, &elsewhere] {
        for path in ["/v1/statements", "/add"] {
            let answer = send(key, path);
            assert_eq!((answer.status, answer.code().as_str()), (403, "realm_not_public"));
        }
    }
    assert_eq!(site.size(), size);
    assert_eq!(send(&bearer(&site.key), "/v1/statements").status, 201);
}

/// Not idempotent: each submission is an entry of its own.
#[test]
fn the_same_bytes_submitted_twice_are_two_entries() {
    let site = Site::new();
    let first = site.send("/v1/statements", "text/plain", b"same").json();
    let second = site.send("/v1/statements", "text/plain", b"same").json();
    assert_eq!(first["index"].as_u64().unwrap() + 1, second["index"].as_u64().unwrap());
}

#[test]
fn a_statement_is_answered_only_when_it_is_durable() {
    let mut site = Site::in_memory();
    let size = site.size();
    site.ram.as_ref().unwrap().fault(Rule { op: Some(Op::Sync), path: String::new(), nth: 0, fault: Fault::Hang });
    let (address, key) = (site.address(), bearer(&site.key));
    let callers: Vec<_> = ["/v1/statements", "/add"]
        .into_iter()
        .map(|path| {
            let key = key.clone();
            thread::spawn(move || {
                call(address, "POST", path, &[("Authorization", &*key), ("Content-Type", "text/plain")], b"evidence")
            })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.join().unwrap().code(), "unavailable");
    }
    assert_eq!(site.size(), size);
    // What recovery finds of the frame is no promise: it was never answered. The log goes on either way.
    site.crash();
    assert_eq!(site.send("/add", "text/plain", b"again").text(), site.size().saturating_sub(1).to_string());
}

#[test]
fn statements_wait_in_the_same_bounded_queue_as_decisions() {
    let small = Bounds { bodies: 2, ..Bounds::default() };
    let site = Site::with(Some(Ram::new()), move |config| config.bounds = small);
    site.ram.as_ref().unwrap().fault(Rule { op: Some(Op::Sync), path: String::new(), nth: 0, fault: Fault::Hang });
    let (address, key) = (site.address(), bearer(&site.key));
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let key = key.clone();
            thread::spawn(move || call(address, "POST", "/add", &[("Authorization", &*key)], b"evidence").status)
        })
        .collect();
    let queue = &site.service.as_ref().unwrap().shared().queue;
    until(|| !queue.has_room());
    for (path, kind, body) in
        [("/add", "text/plain", "more".into()), ("/v1/decisions", "application/json", read("1").to_string())]
    {
        let answer = site.send(path, kind, body.as_bytes());
        assert_eq!((answer.status, answer.code().as_str()), (503, "overloaded"));
        assert!(answer.header("retry-after").is_some());
    }
    site.ram.as_ref().unwrap().release();
    for waiting in waiting {
        assert_eq!(waiting.join().unwrap(), 200);
    }
}

/// A batch has room for 16 MiB of leaves; more than that waits, largest statements and decisions together.
#[test]
fn more_statements_than_a_batch_holds_are_kept_in_several() {
    const STATEMENTS: usize = 300;
    const DECISIONS: usize = 100;
    let site = Site::in_memory();
    let (address, key) = (site.address(), bearer(&site.key));
    site.ram.as_ref().unwrap().fault(Rule { op: Some(Op::Sync), path: String::new(), nth: 0, fault: Fault::Hang });
    let post = |path: &'static str, kind: &'static str, body: Vec<u8>| {
        let key = key.clone();
        thread::spawn(move || {
            call(address, "POST", path, &[("Authorization", &*key), ("Content-Type", kind)], &body).status
        })
    };
    let mut callers = vec![post("/add", "text/plain", b"first".to_vec())];
    until(|| site.ram.as_ref().unwrap().waiting());
    callers.extend((0..STATEMENTS).map(|_| post("/add", "text/plain", vec![b'x'; MAX_BODY])));
    let many = format!("[{}]", vec![read("1").to_string(); DECISIONS].join(","));
    callers.push(post("/v1/decisions?receipt=none&answer=brief", "application/json", many.into()));
    let queue = &site.service.as_ref().unwrap().shared().queue;
    until(|| queue.decisions() == 1 + STATEMENTS + DECISIONS);
    site.ram.as_ref().unwrap().release();
    for caller in callers {
        assert_eq!(caller.join().unwrap(), 200);
    }
    let kept = site.records().iter().filter(|record| matches!(record, Record::Statement { .. })).count();
    assert_eq!(kept, STATEMENTS + 1);
    assert_eq!(site.service.as_ref().unwrap().fault(), None);
}

#[test]
fn a_statement_is_evidence_and_is_kept_while_actions_are_halted_but_not_at_a_time_that_cannot_be_told() {
    let clock = Arc::new(Manual::at(now_ms()));
    let given = clock.clone();
    let site = Site::with(None, move |config| config.clock = given.clone());
    assert_eq!(site.switch(1, "global", Power::Halt).status, 200);
    assert_eq!(site.send("/add", "text/plain", b"what went wrong").status, 200);
    let size = site.size();
    clock.step_to(now_ms() + 3_600_000);
    let answer = site.send("/add", "text/plain", b"late");
    assert_eq!((answer.status, answer.code().as_str()), (503, "clock"));
    assert_eq!(site.size(), size);
}
