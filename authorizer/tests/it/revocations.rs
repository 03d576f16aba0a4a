//! What administrators take back beside permits: issuers, keys, subjects and policies, for the rest of the log.

use authorizer::clock::Source;
use serde_json::{Value, json};
use verifier::event::Step;

use crate::evidence::{REGISTRY, VERIFIER, detail, good, site, trust};
use crate::support::{Site, read, reasons, with, with_gate};

/// Threats 5 and 36: what is taken back counts no more from the next record on: not in a new request, not in a renewal, not in a repeated
/// answer, not after a restart, and not because a later epoch names it again.
#[test]
fn what_was_taken_back_counts_no_more_also_after_a_restart_and_in_a_later_epoch() {
    let unattested = ["environment_unattested", "attestation_revoked"];
    let cases: [(&str, &[&str]); 5] = [
        (&format!("issuer {REGISTRY}"), &["assertion_revoked"]),
        (&format!("issuer {VERIFIER}"), &unattested),
        ("subject Agent::\"alice\"", &["subject_revoked"]),
        ("policy reads", &["policy_revoked"]),
        ("key", &["key_revoked"]),
    ];
    for (what, codes) in cases {
        let (mut site, clock) = site();
        let kept = with(good(&clock, "nonce-01"), json!({ "idempotency_key": "k" }));
        let allowed = site.decide(&kept);
        let leased =
            with(good(&clock, "nonce-02"), json!({ "lease_ms": 50_000, "ttl_ms": 600_000, "audience": "gate" }));
        let permit = site.decide(&leased)["permit"].clone();
        let ends_at = clock.wall_ms() + 50_000;
        let what = if what == "key" { format!("key {}", detail(&allowed).key_id) } else { what.to_owned() };
        let answer = site.revoke_what(1, &what);
        assert_eq!((answer.status, &answer.json()["warnings"]), (200, &json!([])), "{what}: {}", answer.text());
        assert_eq!(reasons(&site.decide(&good(&clock, "nonce-03"))), codes, "{what}");
        let again = site.decide(&kept);
        assert_eq!((&again["permit"], reasons(&again)), (&allowed["permit"], vec!["revoked"]), "{what}");
        clock.advance(10_000);
        let halted = site.event(&permit, Step::Renew { ends_at }).json();
        assert_eq!((&halted["answer"], &halted["reasons"]), (&json!("halt"), &json!(codes)), "{what}");
        site.restart();
        assert_eq!(reasons(&site.decide(&good(&clock, "nonce-04"))), codes, "{what}");
        assert_eq!(site.publish_trust(&with_gate(&trust()), 2, 2).status, 200);
        assert_eq!(reasons(&site.decide(&good(&clock, "nonce-05"))), codes, "{what}");
        assert_eq!(reasons(&site.decide(&kept)), ["revoked"], "{what}");
        // What does not rest on it goes on.
        let bob =
            with(read("r"), json!({ "subject": { "type": "Agent", "id": "bob" }, "action": { "name": "write" } }));
        let expected: &[&str] = if what.starts_with("key") { codes } else { &[] };
        assert_eq!(reasons(&site.decide(&bob)), expected, "{what}");
        assert_eq!(site.replays(), 6, "{what}");
    }
}

/// What descends from a permit is not worth more than the permit.
#[test]
fn a_child_is_denied_whose_ancestor_rests_on_what_was_taken_back() {
    for what in [format!("issuer {VERIFIER}"), "subject Agent::\"alice\"".to_owned(), "policy reads".to_owned()] {
        let (site, clock) = site();
        let parent = site.decide(&with(good(&clock, "nonce-01"), json!({ "delegates": ["Agent::\"bob\""] })));
        let mut child =
            with(read("r"), json!({ "subject": { "type": "Agent", "id": "bob" }, "parent": parent["permit"] }));
        child["action"]["name"] = "write".into();
        let none: [&str; 0] = [];
        assert_eq!(reasons(&site.decide(&child)), none);
        assert_eq!(site.revoke_what(1, &what).status, 200);
        assert_eq!(reasons(&site.decide(&child)), ["parent_revoked"], "{what}");
        assert_eq!(site.replays(), 3);
    }
}

#[test]
fn a_nonce_is_not_used_up_by_an_issuer_that_was_taken_back_nor_a_rate_by_a_key() {
    let rate = "[[rates]]\nname = 'r'\nsubjects = ['Agent']\ncount = 1\nper_ms = 60_000\n";
    let (site, clock) = Site::with_trust(&(trust() + rate));
    let key = detail(&site.decide(&read("r"))).key_id;
    clock.advance(60_000);
    assert_eq!(site.revoke_what(1, &format!("key {key}")).status, 200);
    for _ in 0..3 {
        let denied = site.decide(&good(&clock, "nonce-01"));
        assert_eq!(reasons(&denied), ["key_revoked"]);
    }
    let other = site.key_of("main");
    let headers = [("Authorization", &*crate::support::bearer(&other)), ("Content-Type", "application/json")];
    let decide = |request: &Value| site.call("POST", "/v1/decisions", &headers, request.to_string().as_bytes()).json();
    let allowed = decide(&good(&clock, "nonce-01"));
    assert_eq!((&allowed["decision"], &allowed["reasons"]), (&json!(true), &json!([])));
    assert_eq!(site.replays(), 5);
}

#[test]
fn what_nobody_has_is_taken_back_with_a_warning_and_what_has_no_form_is_refused() {
    let (site, _) = site();
    for (n, what) in ["issuer https://other.example", "key other", "policy other"].into_iter().enumerate() {
        let answer = site.revoke_what(1 + n as u64, what);
        assert_eq!((answer.status, answer.json()["warnings"].as_array().unwrap().len()), (200, 1), "{what}");
    }
    let post = |line: &str| {
        let note = site.sign_text(&format!("interlock/revocation/v1\n{}\n4\n{line}\ndrill\n", crate::support::ORIGIN));
        site.admin("POST", "/v1/revocations", "text/plain", note.as_bytes()).code()
    };
    for line in ["global", "action read", "issuer ", "subject Agent", "permit 01"] {
        assert_eq!(post(line), "invalid_act", "{line}");
    }
    assert_eq!(post("permit a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5"), "not_found");
}
