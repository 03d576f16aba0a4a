//! The same key asks for the same permit: in its present state, for its own tenant only, and never before it is durable.

use std::sync::Arc;

use authorizer::clock::Manual;
use serde_json::{Value, json};
use verifier::act::Power;

use crate::support::{Site, bearer, now_ms, read};

fn keyed(key: &str, id: &str) -> Value {
    let mut request = read(id);
    request["idempotency_key"] = key.into();
    request
}

#[test]
fn the_same_request_gets_the_same_permit_with_a_fresh_proof_and_no_second_record() {
    let mut site = Site::new();
    let first = site.decide(&keyed("k", "1"));
    let size = site.size();
    let again = site.decide(&keyed("k", "1"));
    assert_eq!(site.size(), size);
    for field in ["decision", "permit", "index", "record", "salt", "leaf", "detail", "expires_at"] {
        assert_eq!(again[field], first[field], "{field}");
    }
    site.verify(&again);
    // A retry after recovery makes no second permit (threat 13).
    site.restart();
    let after = site.decide(&keyed("k", "1"));
    assert_eq!((&after["permit"], &after["decision"], site.size()), (&first["permit"], &json!(true), size));
    site.verify(&after);
}

#[test]
fn another_body_under_the_same_key_is_refused_and_not_recorded() {
    let site = Site::new();
    site.decide(&keyed("k", "1"));
    let size = site.size();
    let other = site.post("/v1/decisions", &keyed("k", "2"));
    assert_eq!((other.status, other.code().as_str()), (422, "idempotency_key_reused"));
    // The same meaning in other bytes is another body: what is compared is what is committed.
    let spaced = keyed("k", "1").to_string().replace(':', ": ");
    assert_eq!(site.send("/v1/decisions", "application/json", spaced.as_bytes()).status, 422);
    // One bad item refuses the whole body.
    let body = json!([read("3"), keyed("k", "2")]);
    let refused = site.post("/v1/decisions", &body);
    assert_eq!((refused.status, &refused.json()["item"]), (422, &json!(1)));
    assert_eq!(site.size(), size);
}

#[test]
fn the_same_request_twice_in_one_body_is_one_permit_and_another_one_under_its_key_is_refused() {
    let mut site = Site::new();
    let size = site.size();
    let body = json!([keyed("new", "1"), read("2"), keyed("new", "1"), keyed("other", "1"), keyed("new", "1")]);
    let answers = site.decide(&body);
    let permits: Vec<_> = answers.as_array().unwrap().iter().map(|answer| answer["permit"].clone()).collect();
    assert_eq!((&permits[0], &permits[0]), (&permits[2], &permits[4]));
    assert!(permits[0] != permits[1] && permits[0] != permits[3]);
    assert_eq!(site.size(), size + 3, "one record for each request");
    for answer in answers.as_array().unwrap() {
        assert_eq!(answer["decision"], true);
        site.verify(answer);
    }
    // The same in the range form: three records in a row, and a receipt of its own for each repetition.
    let ranged = site.post("/v1/decisions?receipt=range", &json!([keyed("r", "1"), keyed("r", "1"), read("2")])).json();
    assert_eq!((&ranged["receipt"]["first"], &ranged["receipt"]["count"]), (&json!(size + 3), &json!(2)));
    site.verify(&ranged["results"][1]);
    assert_eq!(ranged["results"][0]["permit"], ranged["results"][1]["permit"]);
    // A denial repeats as a denial.
    let mut denied = keyed("d", "1");
    denied["action"]["name"] = "erase".into();
    let denials = site.decide(&json!([denied.clone(), denied]));
    assert_eq!((&denials[0]["decision"], &denials[1]["decision"]), (&json!(false), &json!(false)));
    assert_eq!(denials[0]["permit"], denials[1]["permit"]);
    // Other bytes under the key refuse the body, and the item is named; nothing of it is recorded and nothing stays in flight.
    let size = site.size();
    let other = site.post("/v1/decisions", &json!([keyed("x", "1"), read("2"), keyed("x", "2")]));
    assert_eq!((other.status, other.code().as_str()), (422, "idempotency_key_reused"));
    assert_eq!((&other.json()["item"], site.size()), (&json!(2), size));
    assert_eq!(site.decide(&keyed("x", "1"))["decision"], true);
    site.restart();
    assert_eq!(site.decide(&keyed("new", "1"))["permit"], permits[0]);
}

#[test]
fn another_tenant_never_meets_the_same_idempotency_key() {
    let site = Site::new();
    let first = site.decide(&keyed("k", "1"));
    let made = site.admin("POST", "/v1/keys", "application/json", b"{\"realm\":\"main\"}").json();
    let key = bearer(made["key"].as_str().unwrap());
    let headers = [("Authorization", &*key), ("Content-Type", "application/json")];
    for id in ["1", "2"] {
        let body = keyed("k", id).to_string();
        let answer = site.call("POST", "/v1/decisions", &headers, body.as_bytes());
        if id == "1" {
            assert_eq!(answer.status, 200);
            assert_ne!(answer.json()["permit"], first["permit"]);
        } else {
            assert_eq!(answer.status, 422, "its own first request, not the other tenant's");
        }
    }
}

#[test]
fn a_retry_after_a_kill_switch_says_false() {
    let site = Site::new();
    let first = site.decide(&keyed("k", "1"));
    assert_eq!(site.switch(1, "subject Agent::\"alice\"", Power::Halt).status, 200);
    let again = site.decide(&keyed("k", "1"));
    assert_eq!((&again["decision"], &again["reasons"]), (&json!(false), &json!(["halted"])));
    assert_eq!(again["permit"], first["permit"]);
    let shown = site.get(&format!("/v1/permits/{}", first["permit"].as_str().unwrap())).json();
    assert_eq!((&shown["decision"], &shown["reasons"]), (&json!(false), &json!(["halted"])));
    assert_eq!(site.switch(2, "subject Agent::\"alice\"", Power::Run).status, 200);
    assert_eq!(site.decide(&keyed("k", "1"))["decision"], true);
}

#[test]
fn a_retry_after_expiry_says_false_and_after_24_hours_is_a_new_request() {
    let clock = Arc::new(Manual::at(now_ms()));
    let given = clock.clone();
    let site = Site::with(None, move |config| config.clock = given.clone());
    let first = site.decide(&keyed("k", "1"));
    clock.advance(59_999);
    assert_eq!(site.decide(&keyed("k", "1"))["decision"], true);
    clock.advance(1);
    let again = site.decide(&keyed("k", "1"));
    assert_eq!((&again["decision"], &again["reasons"]), (&json!(false), &json!(["expired"])));
    assert_eq!(again["permit"], first["permit"]);
    clock.advance(24 * 3_600_000);
    let new = site.decide(&keyed("k", "1"));
    assert_ne!(new["permit"], first["permit"]);
    assert_eq!(new["decision"], true);
}

#[test]
fn the_idempotency_key_itself_stands_nowhere_in_the_log_but_the_request() {
    let site = Site::new();
    let answer = site.decide(&keyed("very-secret-key", "1"));
    let private = site.reader.private(answer["index"].as_u64().unwrap()).unwrap();
    let needle = b"very-secret-key";
    assert!(!private.detail.windows(needle.len()).any(|window| window == needle));
}

/// Whoever sends the header that other services know must not be left to believe that it counts.
#[test]
fn an_idempotency_key_in_a_header_is_refused_and_not_passed_over() {
    let site = Site::new();
    let headers = [("Authorization", bearer(&site.key)), ("Content-Type", "application/json".into())];
    let headers: Vec<_> = headers.iter().map(|(name, value): &(_, String)| (*name, value.as_str())).collect();
    let sent = [headers.as_slice(), &[("Idempotency-Key", "k")]].concat();
    let size = site.size();
    let refused = site.call("POST", "/v1/decisions", &sent, read("r").to_string().as_bytes());
    assert_eq!((refused.status, refused.code().as_str(), site.size()), (400, "idempotency_header", size));
}
