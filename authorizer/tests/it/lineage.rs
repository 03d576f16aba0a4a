//! A child is held to its parent: named by it, within its scopes and its life, and only while all above it hold.

use serde_json::{Value, json};
use verifier::act::{Act, Deed, Parts, Power};

use crate::support::{Answer, ORIGIN, Site, bearer, erase, read, reasons, with, with_gate};

const NONE: [&str; 0] = [];
/// Every agent may hold scopes below `a`, and only alice begins.
const TRUST: &str = r#"
[limits]
max_depth = 2
max_children = 2

[actions.read]
require = ["scopes"]

[[grants]]
subjects = ["Agent"]
scopes = ["a:**"]

[[grants]]
subjects = ['Agent::"alice"']
scopes = ["**"]
without_parent = true
"#;

fn asks(subject: &str, fields: Value) -> Value {
    let mut request = with(with(read("r"), json!({ "scopes": ["a:b"] })), fields);
    request["subject"]["id"] = subject.into();
    request
}

fn agents(names: &[&str]) -> Value {
    names.iter().map(|name| format!("Agent::\"{name}\"")).collect()
}

/// A permit of alice that names bob and carol, for ten minutes.
fn root(site: &Site) -> Value {
    let fields = json!({ "delegates": agents(&["bob", "carol"]), "scopes": ["a:*", "z"], "ttl_ms": 600_000 });
    let answer = site.decide(&asks("alice", fields));
    assert_eq!(reasons(&answer), NONE);
    answer["permit"].clone()
}

fn send_as(site: &Site, key: &str, request: &Value) -> Answer {
    let headers = [("Authorization", &*bearer(key)), ("Content-Type", "application/json")];
    site.call("POST", "/v1/decisions", &headers, request.to_string().as_bytes())
}

#[test]
fn a_child_is_named_by_its_parent_and_holds_no_more_and_no_longer() {
    let (site, clock) = Site::with_trust(&with_gate(TRUST));
    let parent = root(&site);
    for (what, subject, fields, expected) in [
        ("not named", "dora", json!({}), &["not_delegated"][..]),
        ("not named, though it is the parent's own subject", "alice", json!({}), &["not_delegated"]),
        ("a scope that the parent has not", "bob", json!({ "scopes": ["a:b:c"] }), &["scope_exceeded"]),
        ("a scope wider than the parent's", "bob", json!({ "scopes": ["a:**"] }), &["scope_exceeded"]),
        ("a scope that it is not granted itself", "bob", json!({ "scopes": ["z"] }), &["scope_not_granted"]),
        ("it would outlive it", "bob", json!({ "ttl_ms": 600_001 }), &["outlives_parent"]),
        ("nobody's permit", "bob", json!({ "parent": "0".repeat(32) }), &["parent_unknown"]),
        ("as long as it", "bob", json!({ "ttl_ms": 600_000 }), &NONE),
    ] {
        let answer = site.decide(&asks(subject, with(json!({ "parent": parent }), fields)));
        assert_eq!(reasons(&answer), expected, "{what}");
    }
    // A life that is not asked for gives way to the parent's.
    clock.advance(599_000);
    let brief = site.decide(&asks("carol", json!({ "parent": parent })));
    assert_eq!(reasons(&brief), NONE);
    let verifier::record::Record::Decision(decision) = site.verify(&brief) else { panic!("no decision") };
    assert_eq!(decision.grant.unwrap().expires_at, decision.recorded_at + 1_000);
    clock.advance(1_000);
    assert_eq!(reasons(&site.decide(&asks("bob", json!({ "parent": parent })))), ["parent_unknown"], "it expired");
    assert_eq!(site.replays(), 11);
}

#[test]
fn a_denial_and_a_permit_that_names_nobody_are_no_parents_and_neither_is_another_realms() {
    let (site, _) = Site::with_trust(&with_gate(TRUST));
    let denied = site.decide(&with(erase("r"), json!({ "delegates": agents(&["bob"]) })));
    assert_eq!(denied["decision"], false);
    let plain = site.decide(&asks("alice", json!({})));
    let leased = site.decide(&asks("alice", json!({ "lease_ms": 1_000, "audience": "gate" })));
    for answer in [denied, plain, leased] {
        let child = asks("bob", json!({ "parent": answer["permit"] }));
        assert_eq!(reasons(&site.decide(&child)), ["parent_unknown"]);
    }
    let parent = root(&site);
    let stranger = send_as(&site, &site.key_of("other"), &asks("bob", json!({ "parent": parent })));
    assert_eq!(reasons(&stranger.json()), ["parent_unknown"]);
    assert_eq!(reasons(&site.decide(&asks("bob", json!({ "parent": parent })))), NONE);
    site.replays();
}

#[test]
fn whatever_stops_an_ancestor_stops_what_descends_from_it() {
    let (mut site, _) = Site::with_trust(&with_gate(TRUST));
    let parent = root(&site);
    let child = site.decide(&asks("bob", json!({ "parent": parent, "delegates": agents(&["carol"]) })));
    let below = asks("carol", json!({ "parent": child["permit"] }));
    assert_eq!(reasons(&site.decide(&below)), NONE);
    for (version, target) in [(1, "subject Agent::\"alice\""), (3, "subject Agent::\"bob\"")] {
        assert_eq!(site.switch(version, target, Power::Halt).status, 200);
        assert_eq!(reasons(&site.decide(&below)), ["parent_halted"], "{target}");
        site.restart();
        assert_eq!(reasons(&site.decide(&below)), ["parent_halted"], "{target}");
        assert_eq!(site.switch(version + 1, target, Power::Run).status, 200);
    }
    assert_eq!(reasons(&site.decide(&below)), NONE);
    site.replays();
}

#[test]
fn a_lineage_is_no_deeper_and_no_wider_than_the_epoch_allows() {
    let (mut site, clock) = Site::with_trust(&with_gate(TRUST));
    let parent = root(&site);
    let child = |ttl: u64| asks("bob", json!({ "parent": parent, "delegates": agents(&["carol"]), "ttl_ms": ttl }));
    let second = site.decide(&child(60_000));
    let third = asks("carol", json!({ "parent": second["permit"], "delegates": agents(&["bob"]) }));
    let third = site.decide(&third);
    assert_eq!(reasons(&third), NONE);
    let fourth = asks("bob", json!({ "parent": third["permit"] }));
    assert_eq!(reasons(&site.decide(&fourth)), ["depth_exceeded"]);
    assert_eq!(reasons(&site.decide(&child(1_000))), NONE);
    assert_eq!(reasons(&site.decide(&child(1_000))), ["fan_out_exceeded"]);
    site.restart();
    assert_eq!(reasons(&site.decide(&child(1_000))), ["fan_out_exceeded"]);
    assert_eq!(reasons(&site.decide(&fourth)), ["depth_exceeded"]);
    clock.advance(1_000);
    assert_eq!(reasons(&site.decide(&child(1_000))), NONE, "one of the children is over");
    assert_eq!(site.replays(), 9);
}

#[test]
fn a_lease_that_ran_out_ends_what_descends_from_it() {
    let (site, clock) = Site::with_trust(&with_gate(TRUST));
    let fields = json!({ "delegates": agents(&["bob"]), "scopes": ["a:*"], "lease_ms": 5_000, "ttl_ms": 600_000 });
    let fields = with(fields, json!({ "audience": "gate" }));
    let leased = site.decide(&asks("alice", fields));
    let child = asks("bob", json!({ "parent": leased["permit"] }));
    clock.advance(4_999);
    assert_eq!(reasons(&site.decide(&child)), NONE);
    clock.advance(1);
    assert_eq!(reasons(&site.decide(&child)), ["parent_closed"]);
    site.replays();
}

#[test]
fn revoking_a_permit_revokes_what_descends_from_it() {
    let (mut site, _) = Site::with_trust(&with_gate(TRUST));
    let parent = root(&site);
    let keyed = asks("bob", json!({ "parent": parent, "delegates": agents(&["carol"]), "idempotency_key": "k" }));
    let child = site.decide(&keyed);
    let below = asks("carol", json!({ "parent": child["permit"] }));
    let grandchild = site.decide(&below);
    assert_eq!(reasons(&grandchild), NONE);
    let path = |answer: &Value| format!("/v1/permits/{}", answer["permit"].as_str().unwrap());
    assert_eq!(site.get(&path(&grandchild)).json()["decision"], true);
    assert_eq!(site.revoke(0, &parent).code(), "governance_conflict");
    assert_eq!(site.revoke(1, &json!("0".repeat(32))).code(), "not_found");
    assert_eq!(site.revoke(1, &parent).status, 200);
    for _ in 0..2 {
        assert_eq!(reasons(&site.decide(&below)), ["parent_revoked"]);
        assert_eq!(reasons(&site.decide(&asks("bob", json!({ "parent": parent })))), ["parent_revoked"]);
        for answer in [&child, &grandchild] {
            let now = site.get(&path(answer)).json();
            assert_eq!((&now["decision"], &now["reasons"]), (&json!(false), &json!(["revoked"])));
        }
        // The same key, the same permit, and it is worth nothing now (threat 13).
        let again = site.decide(&keyed);
        assert_eq!((&again["permit"], reasons(&again)), (&child["permit"], vec!["revoked"]));
        site.restart();
    }
    site.replays();
}

#[test]
fn a_plain_permit_that_is_revoked_is_worth_nothing() {
    let mut site = Site::new();
    let answer = site.decide(&read("r"));
    let path = format!("/v1/permits/{}", answer["permit"].as_str().unwrap());
    assert_eq!(site.get(&path).json()["decision"], true);
    assert_eq!(site.revoke(1, &answer["permit"]).status, 200);
    assert_eq!(site.get(&path).json()["reasons"], json!(["revoked"]));
    site.restart();
    assert_eq!(site.get(&path).json()["decision"], false);
    site.replays();
}

fn permits(nodes: &Value) -> Vec<(&str, &str)> {
    nodes.as_array().unwrap().iter().map(|n| (n["permit"].as_str().unwrap(), n["state"].as_str().unwrap())).collect()
}

#[test]
fn a_stranger_sees_what_a_permit_descends_from_and_what_descends_from_it() {
    let (mut site, clock) = Site::with_trust(&with_gate(TRUST));
    let parent = root(&site);
    let child =
        site.decide(&asks("bob", json!({ "parent": parent, "delegates": agents(&["carol"]) })))["permit"].clone();
    site.decide(&asks("alice", json!({})));
    let below = asks("carol", json!({ "parent": child }));
    let leaf = site.decide(&below);
    assert_eq!(site.decide(&asks("dora", json!({ "parent": parent })))["decision"], false);
    let graph = site.lineage(&child, "");
    assert_eq!((graph.status, graph.header("access-control-allow-origin")), (200, Some("*")), "{}", graph.text());
    let graph = graph.json();
    assert_eq!(permits(&graph["ancestors"]), [(parent.as_str().unwrap(), "open")]);
    assert_eq!(permits(&graph["descendants"]), [(leaf["permit"].as_str().unwrap(), "open")]);
    let node = &graph["node"];
    assert_eq!((&node["parent"], &node["subject"]["id"], &node["state"]), (&parent, &json!("bob"), &json!("open")));
    assert_eq!(node["proof"], format!("/v1/receipts/{}", node["index"]));
    // All of it from the root, and from where it was left.
    let graph = site.lineage(&parent, "").json();
    assert_eq!((permits(&graph["descendants"]).len(), &graph["next"]), (2, &Value::Null));
    let rest = site.lineage(&parent, &format!("?from={}", leaf["index"])).json();
    assert_eq!(permits(&rest["descendants"]), [(leaf["permit"].as_str().unwrap(), "open")]);
    assert_eq!(site.lineage(&parent, "?from=01").code(), "invalid_query");
    assert_eq!(site.lineage(&json!("0".repeat(32)), "").code(), "not_found");
    // States follow, and a restart changes nothing.
    assert_eq!(site.revoke(1, &child).status, 200);
    for _ in 0..2 {
        let graph = site.lineage(&parent, "").json();
        assert_eq!(graph["node"]["state"], "open");
        assert_eq!(
            permits(&graph["descendants"]).into_iter().map(|(_, state)| state).collect::<Vec<_>>(),
            ["revoked", "revoked"]
        );
        site.restart();
    }
    clock.advance(600_000);
    assert_eq!(site.lineage(&parent, "").json()["node"]["state"], "expired");
}

#[test]
fn a_lineage_shows_how_executions_stand() {
    let (site, clock) = Site::with_trust(&with_gate(""));
    let leased = with(read("r"), json!({ "lease_ms": 10_000, "ttl_ms": 60_000, "audience": "gate" }));
    let [closed, halted, expired] = [0; 3].map(|_| site.decide(&leased)["permit"].clone());
    let step = verifier::event::Step::Failed { executed: None };
    assert_eq!(site.event(&closed, step).status, 200);
    assert_eq!(site.switch(1, "global", Power::Halt).status, 200);
    let state = |permit: &Value| site.lineage(permit, "").json()["node"]["state"].clone();
    assert_eq!((state(&closed), state(&halted)), (json!("closed"), json!("halted")));
    assert_eq!(site.switch(2, "global", Power::Run).status, 200);
    clock.advance(10_000);
    assert_eq!((state(&closed), state(&expired)), (json!("closed"), json!("expired")));
    assert_eq!(state(&site.decide(&erase("r"))["permit"]), "denied");
}

/// Threat 26.
#[test]
fn of_a_committed_realm_a_lineage_shows_commitments_only() {
    let (site, _) = Site::with_trust(&with_gate(&format!("{TRUST}[realms]\nmain = \"committed\"\n")));
    let parent = root(&site);
    let child = site.decide(&asks("bob", json!({ "parent": parent })));
    assert_eq!(reasons(&child), NONE);
    for permit in [&parent, &child["permit"]] {
        let graph = site.lineage(permit, "");
        let text = graph.text();
        assert!(!["alice", "bob", "read", "a:"].iter().any(|word| text.contains(word)), "{text}");
        let graph = graph.json();
        assert_eq!((&graph["ancestors"], &graph["descendants"]), (&json!([]), &json!([])));
        assert_eq!((&graph["node"]["committed"], &graph["node"]["state"]), (&json!(true), &json!("open")));
        // The child may descend from the first one, for all that is shown.
        assert_eq!(graph["hidden"], u64::from(*permit == parent));
    }
}

#[test]
fn a_descendant_that_was_erased_is_counted_and_what_descends_from_an_erased_permit_is_shown() {
    let (site, clock) = Site::with_trust(&with_gate(&format!("{TRUST}[erasure]\nafter_ms = 0\n")));
    let parent = root(&site);
    let child = |fields| site.decide(&asks("bob", with(json!({ "parent": parent }), fields)));
    let (short, long) = (child(json!({ "ttl_ms": 1_000 })), child(json!({})));
    let erase = |index: u64| {
        let deed = Deed::Erasure { index, parts: Parts::Both, ground: "art. 17".into(), authority: "officer".into() };
        let note = site.sign(&Act { origin: ORIGIN.into(), follows: 1, deed });
        site.admin("POST", "/v1/erasures", "text/plain", note.as_bytes()).status
    };
    assert_eq!(site.lineage(&parent, "").json()["hidden"], 0);
    clock.advance(1_000);
    assert_eq!(erase(short["index"].as_u64().unwrap()), 200);
    let graph = site.lineage(&parent, "").json();
    assert_eq!((permits(&graph["descendants"]).len(), &graph["hidden"], &graph["unknown"]), (1, &json!(1), &json!(0)));
    let erased = site.lineage(&short["permit"], "").json();
    assert_eq!((&erased["node"]["erased"], erased["node"].get("committed")), (&json!(true), None));
    clock.advance(600_000);
    let index = site.reader.permit(&parent.as_str().unwrap().parse().unwrap()).unwrap().unwrap();
    assert_eq!(erase(index), 200);
    let graph = site.lineage(&parent, "").json();
    assert_eq!(permits(&graph["descendants"]), [(long["permit"].as_str().unwrap(), "expired")]);
    assert_eq!((&graph["node"]["erased"], &graph["hidden"]), (&json!(true), &json!(1)));
}

#[test]
fn a_look_at_a_long_log_ends_and_says_where_to_go_on() {
    let (site, _) = Site::with_trust(&with_gate(TRUST));
    let parent = root(&site);
    let plain: Vec<Value> = (0..1_100).map(|_| asks("alice", json!({}))).collect();
    assert_eq!(site.post("/v1/decisions?receipt=none&answer=brief", &Value::Array(plain)).status, 200);
    let child = site.decide(&asks("bob", json!({ "parent": parent })))["permit"].clone();
    let first = site.lineage(&parent, "").json();
    assert_eq!(first["descendants"], json!([]));
    let rest = site.lineage(&parent, &format!("?from={}", first["next"])).json();
    assert_eq!((permits(&rest["descendants"]), &rest["next"]), (vec![(child.as_str().unwrap(), "open")], &Value::Null));
}
