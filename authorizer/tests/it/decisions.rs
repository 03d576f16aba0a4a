//! The native call: allowed and denied, answered in kind, with receipts that a stranger can check.

use std::collections::HashSet;

use serde_json::{Value, json};
use verifier::checkpoint::SignedCheckpoint;
use verifier::decision::{Detail, Outcome, PermitId, commitment};
use verifier::guard::{Claim, Guard, Permit, Trust, UseStore, UseStoreError};
use verifier::hash::Hash;
use verifier::proof::verify_range;
use verifier::receipt::Receipt;
use verifier::record::Record;
use verifier::text::unb64;
use verifier::verify::{LogKey, verify_receipt};

use crate::support::{ORIGIN, Site, call, erase, now_ms, read};

const LINES: &str = "application/x-ndjson";

fn bytes<const N: usize>(value: &Value) -> [u8; N] {
    unb64(value.as_str().unwrap()).unwrap().try_into().unwrap()
}

#[test]
fn an_allowed_request_gets_a_permit_that_verifies_offline() {
    let site = Site::new();
    let request = format!("  {} \n", read("1"));
    let answer = site.send("/v1/decisions", "application/json; charset=utf-8", request.as_bytes()).json();
    assert_eq!((&answer["decision"], &answer["reasons"]), (&json!(true), &json!([])));
    assert_eq!(answer["policies"], json!(["reads"]));
    assert_eq!(answer["conditions"].as_object().unwrap().len(), 9);
    assert_eq!(answer["conditions"]["policy"], "pass");
    assert_eq!(answer["conditions"]["attestation"], "not_required");
    let Record::Decision(decision) = site.verify(&answer) else { panic!("a decision") };
    assert_eq!(decision.outcome, Outcome::Allow);
    assert_eq!(decision.permit.to_string(), answer["permit"]);
    assert_eq!(decision.request, commitment(&bytes(&answer["salt"]), request.trim().as_bytes()));
    let detail = unb64(answer["detail"]["bytes"].as_str().unwrap()).unwrap();
    assert_eq!(decision.detail, commitment(&bytes(&answer["detail"]["salt"]), &detail));
    assert_eq!(Detail::decode(&detail).unwrap().subject, ("Agent".into(), "alice".into()));
    assert_ne!(answer["salt"], answer["detail"]["salt"], "salts are independent");
    let grant = decision.grant.unwrap();
    assert_eq!((grant.expires_at, grant.uses), (decision.recorded_at + 60_000, 1));
    assert_eq!(verifier::text::rfc3339(grant.expires_at), answer["expires_at"]);
}

#[derive(Default)]
struct Uses(HashSet<(PermitId, u32)>);

impl UseStore for Uses {
    fn claim(&mut self, permit: PermitId, nth: u32, _: u64) -> Result<Claim, UseStoreError> {
        Ok(if self.0.insert((permit, nth)) { Claim::Taken } else { Claim::AlreadyTaken })
    }
}

#[test]
fn the_guard_admits_the_requests_own_bytes_once_and_nothing_else() {
    let site = Site::new();
    let trust = format!("realm = \"main\"\n[[log_key]]\nvkey = \"{}\"\n", site.reader.verifier_key());
    let mut guard = Guard::new(Trust::parse(&trust).unwrap(), Uses::default(), 0);
    let bytes = read("1").to_string();
    for style in ["", "?answer=brief"] {
        let answer = site.send(&format!("/v1/decisions{style}"), "application/json", bytes.as_bytes());
        let permit = Permit::from_answer(&answer.body).unwrap();
        assert!(guard.admit(read("2").to_string().as_bytes(), &permit, now_ms()).is_err());
        let admitted = guard.admit(bytes.as_bytes(), &permit, now_ms()).unwrap();
        assert_eq!(admitted.request().resource.id, "1");
        assert!(guard.admit(bytes.as_bytes(), &permit, now_ms()).is_err(), "used");
    }
    let denied = site.post("/v1/decisions", &erase("1"));
    let permit = Permit::from_answer(&denied.body).unwrap();
    assert!(guard.admit(erase("1").to_string().as_bytes(), &permit, now_ms()).is_err());
}

#[test]
fn a_body_of_the_largest_kind_stands_together() {
    let site = Site::new();
    let mut request = read("1");
    request["context"] = json!({ "filling": "x".repeat(1_800) });
    let body = Value::Array(vec![request; 4_096]).to_string();
    assert!(body.len() > 7_900_000 && body.len() <= 8 * 1024 * 1024);
    let before = site.size();
    let answer = site.send("/v1/decisions?receipt=range&answer=brief", "application/json", body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["receipt"]["count"], 4_096);
    assert_eq!(site.size(), before + 4_096);
}

#[test]
fn a_denied_request_is_recorded_and_answered_in_full_too() {
    let site = Site::new();
    let answer = site.decide(&erase("1"));
    assert_eq!((&answer["decision"], &answer["reasons"]), (&json!(false), &json!(["no_matching_permit"])));
    assert_eq!(
        (&answer["conditions"]["policy"], &answer["expires_at"]),
        (&json!("fail:no_matching_permit"), &Value::Null)
    );
    let Record::Decision(decision) = site.verify(&answer) else { panic!("a decision") };
    assert_eq!((decision.outcome, decision.grant), (Outcome::Deny, None));
    let mut frozen = read("1");
    frozen["resource"]["properties"] = json!({ "frozen": true });
    let answer = site.decide(&frozen);
    assert_eq!((&answer["decision"], &answer["policies"]), (&json!(false), &json!(["frozen"])));
    frozen["resource"]["properties"] = json!({ "frozen": "yes" });
    let answer = site.decide(&frozen);
    assert_eq!((&answer["decision"], &answer["reasons"]), (&json!(false), &json!(["policy_error"])));
}

#[test]
fn arrays_and_lines_are_answered_in_kind_and_in_order_and_stand_together() {
    let site = Site::new();
    let body = json!([read("1"), erase("2"), read("3")]);
    let answers = site.post("/v1/decisions", &body).json();
    let answers = answers.as_array().unwrap();
    let decisions: Vec<_> = answers.iter().map(|answer| answer["decision"].as_bool().unwrap()).collect();
    assert_eq!(decisions, [true, false, true]);
    let indexes: Vec<_> = answers.iter().map(|answer| answer["index"].as_u64().unwrap()).collect();
    assert_eq!(indexes, [indexes[0], indexes[0] + 1, indexes[0] + 2]);
    answers.iter().for_each(|answer| drop(site.verify(answer)));

    let lines = format!("{}\n{}\n", read("1"), erase("2"));
    let answer = site.send("/v1/decisions", LINES, lines.as_bytes());
    assert_eq!(answer.header("content-type"), Some(LINES));
    let answers: Vec<Value> = answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((answers.len(), &answers[1]["decision"]), (2, &json!(false)));
    answers.iter().for_each(|answer| drop(site.verify(answer)));
}

#[test]
fn one_range_receipt_proves_a_whole_body() {
    let site = Site::new();
    for _ in 0..5 {
        site.decide(&read("before"));
    }
    let body = Value::Array((0..100).map(|n| read(&n.to_string())).collect());
    let answer = site.post("/v1/decisions?receipt=range&answer=brief", &body).json();
    let (results, receipt) = (answer["results"].as_array().unwrap(), &answer["receipt"]);
    let leaves: Vec<Hash> = results.iter().map(|result| result["leaf"].as_str().unwrap().parse().unwrap()).collect();
    let proof: Vec<Hash> =
        receipt["proof"].as_array().unwrap().iter().map(|hash| hash.as_str().unwrap().parse().unwrap()).collect();
    let note = receipt["checkpoint"].as_str().unwrap();
    let head = SignedCheckpoint::open(note, site.reader.verifier_key(), ORIGIN).unwrap();
    let head = head.checkpoint();
    let first = receipt["first"].as_u64().unwrap();
    assert_eq!((first, receipt["count"].as_u64()), (results[0]["index"].as_u64().unwrap(), Some(100)));
    verify_range(first, &leaves, head.size, &proof, &head.root).unwrap();
    let brief = results[0].as_object().unwrap();
    for absent in ["record", "detail", "conditions", "receipt"] {
        assert!(!brief.contains_key(absent), "{absent}");
    }
    let single = site.post("/v1/decisions?receipt=none", &read("x")).json();
    assert!(single.get("receipt").is_none() && single.get("record").is_some());
    let single = site.post("/v1/decisions?receipt=range", &read("x")).json();
    assert_eq!(single["receipt"]["count"], 1);
}

#[test]
fn a_permit_is_shown_again_with_a_fresh_proof_to_the_key_that_asked_only() {
    let site = Site::new();
    let first = site.decide(&read("1"));
    site.decide(&read("2"));
    let path = format!("/v1/permits/{}", first["permit"].as_str().unwrap());
    let again = site.get(&path).json();
    site.verify(&again);
    assert_ne!(again["receipt"], first["receipt"], "the proof is of a newer head");
    for field in
        ["decision", "permit", "index", "reasons", "conditions", "policies", "record", "detail", "salt", "leaf"]
    {
        assert_eq!(again[field], first[field], "{field}");
    }
    let other = site.call("GET", &path, &[("Authorization", &crate::support::bearer(&site.admin_key))], b"");
    assert_eq!((other.status, other.code().as_str()), (404, "not_found"));
}

#[test]
fn a_stranger_fetches_the_receipt_of_a_permit_from_the_public_listener_without_a_key() {
    let site = Site::with(None, |config| config.public = Some("127.0.0.1:0".parse().unwrap()));
    let answer = site.decide(&read("1"));
    let public = site.service.as_ref().unwrap().public_address().unwrap();
    let path = format!("/v1/receipts/{}", answer["permit"].as_str().unwrap());
    let receipt = Receipt::parse(&call(public, "GET", &path, &[], b"").text()).unwrap();
    let key = LogKey::unlimited(site.reader.verifier_key().clone());
    let verified = verify_receipt(&receipt, None, &[key]).unwrap();
    assert_eq!(verified.leaf().to_string(), answer["leaf"].as_str().unwrap());
    assert_eq!(call(public, "GET", "/readyz", &[], b"").status, 200);
    // Decisions are looked for there, and none is made.
    assert_eq!(call(public, "POST", "/v1/decisions", &[], b"{}").status, 405);
}

#[test]
fn a_deadline_that_has_passed_denies() {
    let site = Site::new();
    let mut request = read("1");
    request["deadline"] = "2020-01-01T00:00:00Z".into();
    let answer = site.decide(&request);
    assert_eq!((&answer["decision"], &answer["conditions"]["runtime"]), (&json!(false), &json!("fail:deadline")));
    request["deadline"] = "2120-01-01T00:00:00Z".into();
    assert_eq!(site.decide(&request)["decision"], true);
}

#[test]
fn without_an_epoch_nothing_is_decided() {
    let site = Site::without_epoch(None, |_| {});
    let answer = site.post("/v1/decisions", &read("1"));
    assert_eq!((answer.status, answer.code().as_str(), site.size()), (503, "no_epoch", 0));
    assert_eq!(site.call("GET", "/readyz", &[], b"").status, 503);
    assert_eq!(site.call("GET", "/livez", &[], b"").status, 200);
    assert_eq!(site.publish(&crate::support::POLICIES, 0, 1).status, 200);
    assert_eq!(site.call("GET", "/readyz", &[], b"").status, 200);
    assert_eq!(site.decide(&read("1"))["decision"], true);
}
