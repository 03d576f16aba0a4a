//! Condition 5 under the epoch: what an action requires must be claimed, and what is claimed must be granted.

use serde_json::{Value, json};

use crate::support::{Site, read, reasons, with};

const NONE: [&str; 0] = [];
const TRUST: &str = r#"
[actions.read]
require = ["scopes"]
scopes = ["records:read"]

[[grants]]
subjects = ['Agent::"alice"']
scopes = ["records:*", "mail:**"]
without_parent = true

[[grants]]
subjects = ["Agent"]
scopes = ["records:read"]
"#;

fn claiming(subject: &str, scopes: Value) -> Value {
    let mut request = with(read("r"), json!({ "scopes": scopes }));
    request["subject"]["id"] = subject.into();
    request
}

#[test]
fn an_action_that_requires_scopes_is_denied_unless_they_are_claimed_and_granted() {
    let (site, _) = Site::with_trust(TRUST);
    for (subject, scopes, expected) in [
        ("alice", json!(["records:read"]), &NONE[..]),
        ("alice", json!(["records:*"]), &NONE),
        ("alice", json!(["mail:send:all", "records:read"]), &NONE),
        ("alice", json!([]), &["scope_missing"]),
        ("alice", json!(["records:write"]), &["scope_missing"]),
        ("alice", json!(["mail:**"]), &["scope_missing"]),
        ("alice", json!(["records:read", "calendar:read"]), &["scope_not_granted"]),
        ("alice", json!(["records:read", "**"]), &["scope_not_granted"]),
        ("alice", json!(["records:read", "records:**"]), &["scope_not_granted"]),
        ("alice", json!(["records:read", "a::b"]), &["scope_malformed"]),
        ("alice", json!(["Records:read"]), &["scope_missing"]),
        // Threat 9: leaving the parent out does not escape it.
        ("bob", json!(["records:read"]), &["parent_required"]),
    ] {
        let answer = site.decide(&claiming(subject, scopes.clone()));
        assert_eq!(reasons(&answer), expected, "{subject} {scopes}");
        let standing = expected.first().map_or("pass".to_owned(), |code| format!("fail:{code}"));
        assert_eq!(answer["conditions"]["scopes"], standing);
    }
    let bot = with(claiming("x", json!(["records:read"])), json!({ "subject": { "type": "Bot", "id": "alice" } }));
    assert_eq!(reasons(&site.decide(&bot)), ["scope_not_granted"]);
    assert_eq!(site.replays(), 13);
}

#[test]
fn scopes_that_are_claimed_without_need_are_held_to_the_grants_too() {
    let (site, _) = Site::with_trust(TRUST);
    let writing = |scopes: Value| {
        let mut request = claiming("alice", scopes);
        request["action"]["name"] = "write".into();
        request
    };
    let plain = site.decide(&writing(json!([])));
    assert_eq!((reasons(&plain), &plain["conditions"]["scopes"]), (vec![], &json!("not_required")));
    assert_eq!(reasons(&site.decide(&writing(json!(["records:write"])))), NONE);
    assert_eq!(reasons(&site.decide(&writing(json!(["calendar:read"])))), ["scope_not_granted"]);
    let site = Site::new();
    assert_eq!(reasons(&site.decide(&claiming("alice", json!(["x"])))), ["scope_not_granted"], "nothing is granted");
}

#[test]
fn a_delegate_that_is_written_as_no_subject_denies() {
    let (site, _) = Site::with_trust(TRUST);
    for delegate in ["bob", "Agent", "Agent::bob", "Agent::\"\""] {
        let request = with(claiming("alice", json!(["records:read"])), json!({ "delegates": [delegate] }));
        assert_eq!(reasons(&site.decide(&request)), ["delegate_malformed"], "{delegate}");
    }
}

#[test]
fn an_epoch_that_requires_what_it_cannot_give_is_refused_and_what_is_idle_is_told() {
    let site = Site::new();
    let refused = site.publish_trust("[actions.read]\nrequire = [\"scopes\"]\n", 1, 2);
    assert_eq!((refused.status, refused.code().as_str()), (400, "epoch_invalid"));
    assert_eq!(refused.json()["findings"][0]["code"], "trust_impossible");
    let told = site.publish_trust("[[grants]]\nsubjects = [\"Agent\"]\nscopes = [\"a\"]\n", 1, 2);
    assert_eq!(told.status, 200, "{}", told.text());
    assert_eq!(told.json()["warnings"][0]["code"], "trust_unused");
}
