//! What else is recorded leaves the same steps as a decision: statements, executions, approvals and acts of governance.

use serde_json::{Value, json};
use verifier::act::{Act, Deed, Parts, Power, Target};
use verifier::event::{Event, Step};

use super::collector::{Collector, Manner, attributes, names, sampled, tree};
use crate::support::{Answer, ORIGIN, POLICIES, Site, bearer, gate, read, with, with_gate};

const SECRET: &str = "zebra-4711";

/// A call as part of a caller's trace.
fn send(site: &Site, key: &str, path: &str, kind: &str, body: &str) -> Answer {
    let headers = [("Authorization", &*bearer(key)), ("Content-Type", kind), ("traceparent", &*sampled())];
    site.call("POST", path, &headers, body.as_bytes())
}

fn event(permit: &Value, step: Step) -> String {
    let permit = permit.as_str().unwrap().parse().unwrap();
    gate().sign_note(&Event { origin: ORIGIN.into(), permit, step }.text())
}

fn act(site: &Site, follows: u64, deed: Deed) -> String {
    site.sign(&Act { origin: ORIGIN.into(), follows, deed })
}

#[test]
fn a_statement_is_one_span_with_its_steps_and_without_its_bytes() {
    let collector = Collector::start(Manner::Takes);
    let site = collector.site("0");
    let stated = send(&site, &site.key, "/v1/statements", "application/secret", SECRET);
    assert_eq!(stated.status, 201, "{}", stated.text());
    let index = stated.json()["index"].to_string();
    assert_eq!(send(&site, &site.key, "/add", "text/plain", SECRET).status, 200);
    let spans = collector.after(site);
    let (top, below) = tree(&spans, "POST /v1/statements");
    assert_eq!(names(&below), ["parse", "queue", "sequence", "hash", "commit", "answer"]);
    let all = attributes(&top.attributes);
    assert_eq!((all["interlock.record"].as_str(), all["interlock.log.index"].as_str()), ("statement", &*index));
    assert!(!all.contains_key("interlock.outcome") && !all.contains_key("interlock.decisions"));
    assert_eq!(names(&tree(&spans, "POST /add").1), ["parse", "queue", "sequence", "hash", "commit"]);
    nothing_is_told(&collector, &[SECRET, "secret"]);
}

#[test]
fn a_report_about_an_execution_is_one_span_that_says_whether_it_goes_on_and_of_a_committed_realm_not_where_nor_why() {
    for committed in [false, true] {
        let collector = Collector::start(Manner::Takes);
        let site = collector.site("0");
        let mode = if committed { "committed" } else { "public" };
        let trust = with_gate(&format!("[realms]\nmain = \"public\"\nclinic = \"{mode}\"\n"));
        assert_eq!(site.publish_trust(&trust, 1, 2).status, 200);
        let key = site.key_of("clinic");
        let leased = with(read(SECRET), json!({ "lease_ms": 50_000, "ttl_ms": 600_000, "audience": "gate" }));
        let headers = [("Authorization", &*bearer(&key)), ("Content-Type", "application/json")];
        let permit =
            site.call("POST", "/v1/decisions", &headers, leased.to_string().as_bytes()).json()["permit"].clone();
        let report = |step| {
            let path = format!("/v1/executions/{}/events", permit.as_str().unwrap());
            send(&site, &key, &path, "text/plain", &event(&permit, step))
        };
        let started = report(Step::Started);
        assert_eq!(started.json()["answer"], "continue", "{}", started.text());
        let ends_at = lease_end(&site, &permit);
        assert_eq!(site.switch(2, "global", Power::Halt).status, 200);
        let halted = report(Step::Renew { ends_at });
        assert_eq!(halted.json()["answer"], "halt", "{}", halted.text());
        let index = halted.json()["index"].to_string();
        let spans = collector.after(site);
        let tops: Vec<_> = spans.iter().filter(|span| span.kind == 2).collect();
        assert_eq!(tops.len(), 2);
        for (top, outcome) in tops.into_iter().zip(["continue", "halt"]) {
            let below: Vec<_> = spans.iter().filter(|span| span.parent_span_id == top.span_id).collect();
            assert_eq!(names(&below), ["parse", "evaluate", "queue", "sequence", "hash", "commit", "answer"]);
            let all = attributes(&top.attributes);
            let record = if outcome == "halt" { "lease" } else { "closure" };
            assert_eq!((all["interlock.outcome"].as_str(), all["interlock.record"].as_str()), (outcome, record));
            assert_eq!(all["interlock.realm.mode"], mode);
            let codes = all.get("interlock.codes").map(String::as_str);
            assert_eq!(codes, (outcome == "halt" && !committed).then_some("halted"));
            assert_eq!(all.contains_key("interlock.log.index"), !committed);
            assert!(committed || outcome == "continue" || all["interlock.log.index"] == index);
        }
        nothing_is_told(&collector, &[SECRET, permit.as_str().unwrap(), "gate", "clinic"]);
    }
}

fn lease_end(site: &Site, permit: &Value) -> u64 {
    let index = site.reader.permit(&permit.as_str().unwrap().parse().unwrap()).unwrap().unwrap();
    let verifier::record::Record::Decision(decision) = site.reader.record(index).unwrap() else { panic!("a decision") };
    decision.grant.unwrap().lease_ends_at.unwrap()
}

#[test]
fn an_act_of_governance_is_one_span_from_its_signature_to_its_being_in_force() {
    let collector = Collector::start(Manner::Takes);
    let site = collector.site("0");
    assert_eq!(site.publish_trust("[erasure]\nafter_ms = 0\n", 1, 2).status, 200);
    let index = site.decide(&read(SECRET))["index"].as_u64().unwrap();
    let target = Target::parse(&format!("subject Agent::\"{SECRET}\"")).unwrap();
    let switch = Deed::Switch { target, power: Power::Halt, reason: SECRET.into() };
    let erasure = Deed::Erasure { index, parts: Parts::Request, ground: SECRET.into(), authority: SECRET.into() };
    let what = verifier::act::Revoked::Policy(SECRET.into());
    let revocation = Deed::Revocation { what, reason: SECRET.into() };
    let freeze = Deed::Freeze { successor: None, reason: SECRET.into() };
    for (path, follows, deed) in
        [("/v1/switches", 2, switch), ("/v1/erasures", 3, erasure), ("/v1/revocations", 3, revocation)]
    {
        let answer = send(&site, &site.admin_key, path, "text/plain", &act(&site, follows, deed));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let epoch = site.epoch_body(&POLICIES, 4, 3).to_string();
    assert_eq!(send(&site, &site.admin_key, "/v1/epochs", "application/json", &epoch).status, 200);
    // What does not follow has no batch, and nothing is in force.
    let stale = act(&site, 1, Deed::Freeze { successor: None, reason: SECRET.into() });
    assert_eq!(send(&site, &site.admin_key, "/v1/freeze", "text/plain", &stale).status, 409);
    let answer = send(&site, &site.admin_key, "/v1/freeze", "text/plain", &act(&site, 5, freeze));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let spans = collector.after(site);
    for (name, kind) in [
        ("POST /v1/switches", "switch"),
        ("POST /v1/erasures", "erasure"),
        ("POST /v1/revocations", "revocation"),
        ("POST /v1/epochs", "epoch"),
    ] {
        let (top, below) = tree(&spans, name);
        assert_eq!(names(&below), ["parse", "queue", "sequence", "hash", "commit", "enforce"], "{name}");
        let all = attributes(&top.attributes);
        assert_eq!(all["interlock.record"], kind);
        assert!(all.contains_key("interlock.log.index") && !all.contains_key("interlock.outcome"));
    }
    let freezes = spans.iter().filter(|span| span.name == "POST /v1/freeze");
    let mut steps: Vec<(String, Vec<&str>)> = freezes
        .map(|top| {
            let below: Vec<_> = spans.iter().filter(|span| span.parent_span_id == top.span_id).collect();
            (attributes(&top.attributes)["http.response.status_code"].clone(), names(&below))
        })
        .collect();
    steps.sort();
    let whole = vec!["parse", "queue", "sequence", "hash", "commit", "enforce"];
    assert_eq!(steps, [("200".into(), whole), ("409".into(), vec!["parse", "queue", "sequence"])]);
    nothing_is_told(&collector, &[SECRET, "alice"]);
}

/// What requests said is in no message.
fn nothing_is_told(collector: &Collector, words: &[&str]) {
    let exported = collector.bodies.lock().unwrap().concat();
    let has = |word: &str| exported.windows(word.len()).any(|w| w.eq_ignore_ascii_case(word.as_bytes()));
    assert!(has("interlock.record"), "the search finds what is there");
    for word in words {
        assert!(!has(word), "{word}");
    }
}
