//! Condition 9: approvals by different persons of the epoch, over HTTP.

use std::sync::Arc;

use authorizer::clock::{Manual, Source};
use authorizer::replay::Options;
use ledger::Signer;
use serde_json::{Value, json};
use verifier::approval::{Approval, core_digest};
use verifier::decision::Detail;
use verifier::event::Step;
use verifier::hash::leaf_hash;
use verifier::record::Record;
use verifier::request::Request;
use verifier::text::unb64;

use crate::replay::Entries;
use crate::support::{Answer, ORIGIN, Site, read, reasons, with, with_gate};

const NONE: [&str; 0] = [];

fn signer(name: &str) -> Signer {
    Signer::from_seed(name, &[name.as_bytes()[0]; 32]).unwrap()
}

/// Two of carol, dave and alice approve what agents write; alice asks for things herself.
fn trust() -> String {
    let approver = |name: &str, person: &str| {
        format!("[[approvers]]\nkey = '{}'\nperson = '{person}'\n", signer(name).verifier_key())
    };
    let rule =
        "[[approvals]]\nactions = ['write']\nsubjects = ['Agent']\ncount = 2\napprovers = ['carol', 'dave', 'alice']\n";
    approver("carol", "User::\"carol\"")
        + &approver("dave", "User::\"dave\"")
        + &approver("alice", "Agent::\"alice\"")
        + rule
}

fn site() -> (Site, Arc<Manual>) {
    Site::with_trust(&trust())
}

fn write(cents: i64) -> Value {
    let mut request = with(read("r"), json!({ "context": { "cents": cents } }));
    request["action"]["name"] = "write".into();
    request
}

fn by(subject: &str, request: Value) -> Value {
    with(request, json!({ "subject": { "type": "Agent", "id": subject } }))
}

/// What an approver is shown: the denial and the request, and signs.
fn approval(clock: &Manual, denied: &Value, request: &Value) -> Approval {
    let salt: [u8; 16] = unb64(denied["salt"].as_str().unwrap()).unwrap().try_into().unwrap();
    Approval {
        origin: ORIGIN.into(),
        realm: "main".into(),
        decision: denied["permit"].as_str().unwrap().parse().unwrap(),
        core: core_digest(&salt, &Request::parse(request.to_string().as_bytes()).unwrap()).unwrap(),
        expires_at: clock.wall_ms() + 600_000,
    }
}

fn post(site: &Site, name: &str, approval: &Approval) -> Answer {
    let note = signer(name).sign_note(&approval.text());
    site.admin("POST", "/v1/approvals", "text/plain", note.as_bytes())
}

fn retry(denied: &Value, request: &Value) -> Value {
    with(request.clone(), json!({ "retry_of": denied["permit"] }))
}

#[test]
fn two_of_three_persons_approve_and_the_request_passes_once() {
    let (mut site, clock) = site();
    let request = by("bob", write(100));
    let denied = site.decide(&request);
    assert_eq!(reasons(&denied), ["approval_missing"]);
    let approval = approval(&clock, &denied, &request);
    // The denial says what would change it.
    assert_eq!(denied["approval"]["decision"], denied["permit"]);
    assert_eq!(denied["approval"]["core"], approval.core.to_string());
    assert_eq!(denied["approval"]["rules"], json!([{ "count": 2, "approvers": ["carol", "dave", "alice"] }]));
    let again = retry(&denied, &request);
    assert_eq!(reasons(&site.decide(&again)), ["approval_missing"]);
    let first = post(&site, "carol", &approval);
    assert_eq!((first.status, &first.json()["approvers"]), (201, &json!(["carol"])), "{}", first.text());
    assert_eq!(reasons(&site.decide(&again)), ["approval_missing"]);
    assert_eq!(post(&site, "carol", &approval).code(), "approval_conflict");
    assert_eq!(reasons(&site.decide(&again)), ["approval_missing"]);
    assert_eq!(post(&site, "dave", &approval).status, 201);
    site.restart();
    // The first denial stays one: only its retry passes.
    assert_eq!(reasons(&site.decide(&request)), ["approval_missing"]);
    let allowed = site.decide(&again);
    assert_eq!((reasons(&allowed), &allowed["conditions"]["permissions"]), (vec![], &json!("pass")));
    site.verify(&allowed);
    assert_eq!(reasons(&site.decide(&again)), ["approval_missing"]);
    site.restart();
    assert_eq!(reasons(&site.decide(&again)), ["approval_missing"]);
    for name in ["carol", "dave", "alice"] {
        assert_eq!(post(&site, name, &approval).code(), "approval_conflict");
    }
    assert_eq!(reasons(&site.decide(&again)), ["approval_missing"]);
    assert_eq!(site.replays(), 9);
}

/// Threat 20: an approval is for one decision and for what was asked there.
#[test]
fn what_is_approved_is_approved_for_one_use() {
    let (site, clock) = Site::with_trust(&format!("[limits]\nmax_uses = 5\n{}", trust()));
    let request = by("bob", write(100));
    let denied = site.decide(&request);
    let approval = approval(&clock, &denied, &request);
    for name in ["carol", "dave"] {
        assert_eq!(post(&site, name, &approval).status, 201);
    }
    let again = retry(&denied, &request);
    assert_eq!(reasons(&site.decide(&with(again.clone(), json!({ "uses": 5 })))), ["uses_exceeded"]);
    let allowed = site.decide(&again);
    assert_eq!(reasons(&allowed), NONE, "and the denial used up nothing");
    let Record::Decision(decision) = site.verify(&allowed) else { panic!("a decision") };
    assert_eq!(decision.grant.unwrap().uses, 1);
    site.replays();
}

#[test]
fn an_approval_changes_nothing_for_another_request_realm_or_decision() {
    let (site, clock) = site();
    let request = by("bob", write(100));
    let denied = site.decide(&request);
    let good = approval(&clock, &denied, &request);
    for name in ["carol", "dave"] {
        assert_eq!(post(&site, name, &good).status, 201);
    }
    assert_eq!(reasons(&site.decide(&retry(&denied, &by("bob", write(101))))), ["approval_other"]);
    assert_eq!(reasons(&site.decide(&retry(&denied, &by("carol", write(100))))), ["approval_other"]);
    let other = site.decide(&request);
    assert_eq!(reasons(&site.decide(&retry(&other, &request))), ["approval_missing"]);
    let unknown = json!({ "permit": "00000000000000000000000000000000" });
    assert_eq!(reasons(&site.decide(&retry(&unknown, &request))), ["approval_unknown"]);
    let allowed = site.decide(&read("r"));
    assert_eq!(reasons(&site.decide(&retry(&allowed, &request))), ["approval_unknown"]);
    let elsewhere = site.key_of("elsewhere");
    let headers = [("Authorization", format!("Bearer {elsewhere}")), ("Content-Type", "application/json".into())];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let answer = site.call("POST", "/v1/decisions", &headers, retry(&denied, &request).to_string().as_bytes());
    assert_eq!(reasons(&answer.json()), ["approval_unknown"]);
    // A retry of what needs no approval uses none up, and a request for something else does not either.
    assert_eq!(reasons(&site.decide(&retry(&denied, &by("bob", read("r"))))), NONE);
    let more = with(retry(&denied, &request), json!({ "ttl_ms": 1_000, "audience": "gate" }));
    assert_eq!(reasons(&site.decide(&more)), NONE);
    site.replays();
}

#[test]
fn nobody_approves_what_is_asked_in_their_own_name() {
    let (site, clock) = site();
    let request = by("alice", write(5));
    let denied = site.decide(&request);
    let mine = approval(&clock, &denied, &request);
    assert_eq!(post(&site, "alice", &mine).code(), "self_approval");
    assert_eq!(post(&site, "carol", &mine).status, 201);
    assert_eq!(reasons(&site.decide(&retry(&denied, &request))), ["approval_missing"]);
    // Nor what is asked by an agent whom they started.
    let parent = site.decide(&with(by("alice", read("r")), json!({ "delegates": ["Agent::\"bob\""] })));
    let child = with(by("bob", write(6)), json!({ "parent": parent["permit"] }));
    let denied = site.decide(&child);
    let theirs = approval(&clock, &denied, &child);
    for name in ["alice", "carol"] {
        assert_eq!(post(&site, name, &theirs).status, 201);
    }
    assert_eq!(reasons(&site.decide(&retry(&denied, &child))), ["approval_missing"]);
    assert_eq!(post(&site, "dave", &theirs).status, 201);
    assert_eq!(reasons(&site.decide(&retry(&denied, &child))), NONE);
    site.replays();
}

#[test]
fn an_approval_that_ran_out_counts_no_more_and_time_approves_nothing() {
    let (site, clock) = site();
    let request = by("bob", write(1));
    let denied = site.decide(&request);
    let long = approval(&clock, &denied, &request);
    let short = Approval { expires_at: clock.wall_ms() + 60_000, ..long.clone() };
    assert_eq!(post(&site, "carol", &long).status, 201);
    assert_eq!(post(&site, "dave", &short).status, 201);
    clock.advance(60_000);
    assert_eq!(reasons(&site.decide(&retry(&denied, &request))), ["approval_missing"]);
    assert_eq!(post(&site, "dave", &short).code(), "invalid_approval");
    clock.advance(300_000);
    assert_eq!(reasons(&site.decide(&retry(&denied, &request))), ["approval_missing"]);
    let fresh = Approval { expires_at: clock.wall_ms() + 60_000, ..short };
    assert_eq!(post(&site, "dave", &fresh).status, 201);
    assert_eq!(reasons(&site.decide(&retry(&denied, &request))), NONE);
    site.replays();
}

#[test]
fn what_is_no_approval_of_this_decision_is_refused_and_not_recorded() {
    let (site, clock) = site();
    let request = by("bob", write(1));
    let denied = site.decide(&request);
    let allowed = site.decide(&read("r"));
    let size = site.size();
    let good = approval(&clock, &denied, &request);
    let now = clock.wall_ms();
    for (name, approval, code) in [
        ("mallory", good.clone(), "not_an_approver"),
        ("carol", Approval { origin: "other.example/log".into(), ..good.clone() }, "wrong_origin"),
        ("carol", Approval { realm: "elsewhere".into(), ..good.clone() }, "invalid_approval"),
        ("carol", Approval { core: leaf_hash(&good.core.0), ..good.clone() }, "invalid_approval"),
        (
            "carol",
            Approval { decision: "00000000000000000000000000000000".parse().unwrap(), ..good.clone() },
            "invalid_approval",
        ),
        ("carol", Approval { expires_at: now, ..good.clone() }, "invalid_approval"),
        ("carol", Approval { expires_at: now + 24 * 3_600_000 + 60_000, ..good.clone() }, "invalid_approval"),
        ("carol", approval(&clock, &allowed, &read("r")), "approval_conflict"),
    ] {
        assert_eq!(post(&site, name, &approval).code(), code, "{approval:?}");
    }
    let note = signer("carol").sign_note("interlock/approval/v1\nwhatever\n");
    let answer = site.admin("POST", "/v1/approvals", "text/plain", note.as_bytes());
    assert_eq!(answer.code(), "invalid_approval");
    let note = signer("carol").sign_note(&good.text());
    assert_eq!(site.send("/v1/approvals", "text/plain", note.as_bytes()).status, 403, "a service key does not govern");
    assert_eq!(site.size(), size);
    // Two signatures on one note are two approvals.
    let dave = signer("dave").sign_note(&good.text());
    let both = note + dave.rsplit_once("\n\n").unwrap().1;
    let answer = site.admin("POST", "/v1/approvals", "text/plain", both.as_bytes());
    assert_eq!(answer.json()["approvers"], json!(["carol", "dave"]), "{}", answer.text());
    assert_eq!(reasons(&site.decide(&retry(&denied, &request))), NONE);
    site.replays();
}

/// A renewal asks for no new approvals: those that the permit rests on are used.
#[test]
fn what_was_approved_goes_on_under_its_lease() {
    let (site, clock) = Site::with_trust(&with_gate(&trust()));
    let request = with(by("bob", write(1)), json!({ "lease_ms": 10_000, "ttl_ms": 60_000, "audience": "gate" }));
    let denied = site.decide(&request);
    let good = approval(&clock, &denied, &request);
    for name in ["carol", "dave"] {
        assert_eq!(post(&site, name, &good).status, 201);
    }
    let allowed = site.decide(&retry(&denied, &request));
    assert_eq!(reasons(&allowed), NONE);
    let ends_at = clock.wall_ms() + 10_000;
    clock.advance(9_000);
    let renewed = site.event(&allowed["permit"], Step::Renew { ends_at });
    assert_eq!(renewed.json()["answer"], "continue", "{}", renewed.text());
    site.replays();
}

/// Threat 28: integers that RFC 8785 folds together cannot be approved one for the other.
#[test]
fn what_the_signed_form_does_not_keep_apart_cannot_be_approved() {
    let (site, _) = site();
    let denied = site.decide(&by("bob", write(9_007_199_254_740_993)));
    assert_eq!((reasons(&denied), denied.get("approval")), (vec!["approval_number"], None));
    assert_eq!(reasons(&site.decide(&retry(&denied, &by("bob", write(9_007_199_254_740_992))))), ["approval_number"]);
    assert_eq!(site.replays(), 2);
}

#[test]
fn an_allow_without_its_approvals_or_with_another_salt_does_not_come_out() {
    let (site, clock) = site();
    let request = by("bob", write(1));
    let denied = site.decide(&request);
    let good = approval(&clock, &denied, &request);
    for name in ["carol", "dave"] {
        assert_eq!(post(&site, name, &good).status, 201);
    }
    let allowed = site.decide(&retry(&denied, &request));
    let index = usize::try_from(allowed["index"].as_u64().unwrap()).unwrap();
    let detail = Detail::decode(&unb64(allowed["detail"]["bytes"].as_str().unwrap()).unwrap()).unwrap();
    assert!(detail.retry_salt.is_some());
    let differs = |entries: Entries| entries.replay(&site, Options::default()).unwrap().difference_count;
    assert_eq!(differs(Entries::of(&site)), 0);
    assert_eq!(differs(Entries::of(&site).forge(index, |_, detail| detail.retry_salt = None)), 1);
    assert_eq!(differs(Entries::of(&site).forge(index, |_, detail| detail.retry_salt = Some([0; 16]))), 1);
    // A keeper of the log who makes up an approval: it is signed by nobody.
    let forged = Entries::of(&site).alter(|record| match record {
        Record::Approval { recorded_at, decision, note } => {
            Record::Approval { recorded_at, decision, note: note.replacen("\nmain\n", "\nmine\n", 1) }
        }
        other => other,
    });
    assert!(forged.replay(&site, Options::default()).is_err());
}

#[test]
fn an_approver_whose_key_was_taken_back_counts_no_more() {
    let (site, clock) = site();
    let request = by("bob", write(100));
    let denied = site.decide(&request);
    let approval = approval(&clock, &denied, &request);
    for name in ["carol", "dave"] {
        assert_eq!(post(&site, name, &approval).status, 201);
    }
    assert_eq!(site.revoke_what(1, "key carol").status, 200);
    assert_eq!(reasons(&site.decide(&retry(&denied, &request))), ["approval_missing"]);
    assert_eq!(post(&site, "alice", &approval).status, 201);
    assert_eq!(reasons(&site.decide(&retry(&denied, &request))), NONE);
    assert_eq!(site.replays(), 3);
}
