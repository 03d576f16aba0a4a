//! AuthZEN's three searches: the certification scenario, its structural rules, and pages.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use verifier::act::Power;
use verifier::epoch::EpochContent;

use crate::authzen::SCENARIO;
use crate::support::{Site, bearer};

const ONE: &str = "/access/v1/evaluation";

fn path(kind: &str) -> String {
    format!("/access/v1/search/{kind}")
}

fn entity(kind: &str, id: &str, attrs: Value) -> Value {
    json!({ "uid": { "type": kind, "id": id }, "attrs": attrs, "parents": [] })
}

/// The scenario's policies with its four entities, and more of a type of ours.
fn site(more: usize) -> Site {
    let mut entities = vec![
        entity("user", "alice", json!({})),
        entity("user", "bob", json!({ "role": "admin" })),
        entity("record", "record-1", json!({ "status": "active" })),
        entity("record", "record-2", json!({ "status": "archived" })),
    ];
    entities.extend((0..more).map(|n| entity("note", &format!("n{n:05}"), json!({ "status": "archived" }))));
    let mut policies: Vec<_> = SCENARIO.iter().map(|(id, text)| ((*id).into(), (*text).into())).collect();
    policies.sort();
    let site = Site::without_epoch(None, |_| {});
    let content = EpochContent { policies, entities: Some(json!(entities).to_string()), ..EpochContent::default() };
    let answer = site.publish_content(content, 0, 1);
    assert_eq!(answer.status, 200, "{}", answer.text());
    site
}

fn names(answer: &Value) -> BTreeSet<String> {
    let name = |found: &Value| found.get("id").or(found.get("name")).unwrap().as_str().unwrap().to_owned();
    answer["results"].as_array().unwrap().iter().map(name).collect()
}

fn user(id: &str) -> Value {
    json!({ "type": "user", "id": id })
}

fn record(id: &str) -> Value {
    json!({ "type": "record", "id": id })
}

#[test]
fn the_six_searches_of_the_scenario_find_what_they_must_and_each_result_evaluates_to_true() {
    let site = site(0);
    let name = |name: &str| json!({ "name": name });
    let cases = [
        (
            "subject",
            json!({ "subject": { "type": "user" }, "action": name("read"), "resource": record("record-1") }),
            vec!["alice", "bob"],
        ),
        (
            "resource",
            json!({ "subject": user("alice"), "action": name("read"), "resource": { "type": "record" } }),
            vec!["record-1", "record-2"],
        ),
        ("action", json!({ "subject": user("alice"), "resource": record("record-1") }), vec!["read", "write"]),
        (
            "subject",
            json!({ "subject": { "type": "user" }, "action": name("write"), "resource": record("record-2") }),
            vec!["bob"],
        ),
        (
            "resource",
            json!({ "subject": user("bob"), "action": name("write"), "resource": { "type": "record" } }),
            vec!["record-2"],
        ),
        ("action", json!({ "subject": user("bob"), "resource": record("record-2") }), vec!["read", "write"]),
    ];
    for (kind, body, expected) in cases {
        let size = site.size();
        let answer = site.post(&path(kind), &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let found = answer.json();
        assert_eq!(names(&found), expected.iter().map(|name| (*name).to_owned()).collect(), "{kind} {body}");
        assert_eq!((found.get("page"), site.size()), (None, size), "nothing is recorded");
        for result in found["results"].as_array().unwrap() {
            let mut evaluation = body.clone();
            evaluation[kind] = result.clone();
            assert_eq!(site.post(ONE, &evaluation).json(), json!({ "decision": true }), "{evaluation}");
        }
    }
}

#[test]
fn an_id_of_what_is_searched_for_is_ignored_and_what_nobody_knows_finds_nothing() {
    let site = site(0);
    let read = json!({ "name": "read" });
    let found = |kind: &str, body: Value| names(&site.post(&path(kind), &body).json());
    let both = json!({ "subject": user("nobody"), "action": read, "resource": record("record-1") });
    assert_eq!(found("subject", both.clone()).len(), 2);
    assert_eq!(found("action", both).len(), 1, "`read` is for everybody, and the action given is ignored");
    for (kind, body) in [
        ("subject", json!({ "subject": { "type": "ghost" }, "action": read, "resource": record("record-1") })),
        ("resource", json!({ "subject": user("alice"), "action": read, "resource": { "type": "ghost" } })),
        (
            "resource",
            json!({ "subject": user("alice"), "action": { "name": "fly" }, "resource": { "type": "record" } }),
        ),
    ] {
        assert_eq!(found(kind, body.clone()).len(), 0, "{body}");
    }
}

#[test]
fn what_an_evaluation_must_have_a_search_must_have_too() {
    let site = site(0);
    let read = json!({ "name": "read" });
    for (kind, body) in [
        ("subject", json!({ "action": read, "resource": record("record-1") })),
        ("subject", json!({ "subject": { "id": "alice" }, "action": read, "resource": record("record-1") })),
        ("subject", json!({ "subject": "alice", "action": read, "resource": record("record-1") })),
        ("subject", json!({ "subject": { "type": "user" }, "action": read, "resource": { "type": "record" } })),
        ("subject", json!({ "subject": { "type": "user" }, "resource": record("record-1") })),
        ("resource", json!({ "subject": { "type": "user" }, "action": read, "resource": { "type": "record" } })),
        ("resource", json!({ "subject": user("alice"), "action": { "name": 1 }, "resource": { "type": "record" } })),
        ("action", json!({ "subject": user("alice") })),
        ("action", json!({ "subject": user("alice"), "resource": record("record-1"), "page": 1 })),
        ("action", json!({ "subject": user("alice"), "resource": record("record-1"), "page": { "limit": -1 } })),
        ("action", json!({ "subject": user("alice"), "resource": record("record-1"), "page": { "token": 1 } })),
        ("action", json!({ "subject": user("alice"), "resource": record("record-1"), "page": { "token": "7" } })),
    ] {
        let answer = site.post(&path(kind), &body);
        assert_eq!(answer.status, 400, "{kind} {body}: {}", answer.text());
        assert!(answer.json().is_string(), "{}", answer.text());
    }
    let headers = [("Authorization", &*bearer(&site.key)), ("Content-Type", "text/plain"), ("X-Request-ID", "7")];
    let answer = site.call("POST", &path("action"), &headers, b"{}");
    assert_eq!((answer.status, answer.header("x-request-id")), (400, Some("7")));
    assert_eq!(site.call("POST", &path("action"), &[], b"{}").status, 401);
    assert_eq!(site.call("GET", &path("action"), &[("Authorization", &bearer(&site.key))], b"").status, 405);
}

#[test]
fn pages_give_every_result_once_and_a_token_is_good_for_its_own_search_only() {
    let site = site(9_000);
    let search = json!({ "subject": user("bob"), "action": { "name": "write" }, "resource": { "type": "note" } });
    for limit in [None, Some(700), Some(5_000)] {
        let mut body = search.clone();
        if let Some(limit) = limit {
            body["page"] = json!({ "limit": limit });
        }
        let (mut seen, mut calls) = (Vec::new(), 0);
        loop {
            let answer = site.post(&path("resource"), &body).json();
            let found: Vec<String> = names(&answer).into_iter().collect();
            assert!(found.len() <= limit.unwrap_or(1_000).min(1_000));
            assert_eq!(answer["page"]["count"], found.len());
            seen.extend(found);
            calls += 1;
            let token = answer["page"]["next_token"].as_str().unwrap().to_owned();
            if token.is_empty() {
                break;
            }
            body["page"]["token"] = json!(token);
            let mut other = body.clone();
            other["subject"] = user("alice");
            assert_eq!(site.post(&path("resource"), &other).status, 400, "the token is of another search");
        }
        let all: Vec<String> = (0..9_000).map(|n| format!("n{n:05}")).collect();
        assert_eq!(seen, all, "{calls} calls");
    }
    let none = json!({ "subject": user("alice"), "action": { "name": "write" }, "resource": { "type": "note" } });
    let first = site.post(&path("resource"), &none).json();
    assert_eq!(first["results"], json!([]));
    assert_ne!(first["page"]["next_token"], "", "what one call tries is bounded, also where nothing is found");
}

#[test]
fn what_is_stopped_is_not_found() {
    let site = site(0);
    let search = json!({ "subject": { "type": "user" }, "action": { "name": "read" }, "resource": record("record-1") });
    assert_eq!(site.switch(1, r#"subject user::"bob""#, Power::Halt).status, 200);
    assert_eq!(site.post(&path("subject"), &search).json()["results"], json!([user("alice")]));
}
