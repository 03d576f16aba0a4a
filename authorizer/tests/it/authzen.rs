//! AuthZEN 1.0: evaluation and evaluations, by the structural rules of the certification scenario.

use serde_json::{Value, json};
use verifier::decision::commitment;
use verifier::epoch::EpochContent;
use verifier::record::Record;
use verifier::text::unb64;

use crate::support::{Answer, Site, bearer, erase, read};

const ONE: &str = "/access/v1/evaluation";
const MANY: &str = "/access/v1/evaluations";

/// The policies of the certification scenario.
pub const SCENARIO: [(&str, &str); 3] = [
    ("read", r#"@id("read") permit(principal, action == Action::"read", resource);"#),
    (
        "write",
        r#"@id("write") permit(principal, action == Action::"write", resource) when {
            if resource has status && resource.status == "archived" then principal has role && principal.role == "admin"
            else principal == user::"alice" };"#,
    ),
    (
        "delete",
        r#"@id("delete") permit(principal == user::"alice", action == Action::"delete", resource) when {
            context has action && context.action has soft && context.action.soft };"#,
    ),
];

fn site() -> Site {
    decided_by("compiled")
}

/// The scenario's epoch under an engine.
fn decided_by(engine: &str) -> Site {
    let site = Site::without_epoch(None, |_| {});
    let policies = SCENARIO.iter().map(|(id, text)| ((*id).into(), (*text).into())).collect();
    let trust = Some(format!("[engine]\nkind = \"{engine}\"\n"));
    assert_eq!(site.publish_content(EpochContent { policies, trust, ..EpochContent::default() }, 0, 1).status, 200);
    site
}

fn evaluation(subject: &str, action: &str, resource: &str) -> Value {
    json!({
        "subject": { "type": "user", "id": subject },
        "action": { "name": action },
        "resource": { "type": "record", "id": resource },
    })
}

fn eight() -> Vec<(Value, bool)> {
    let mut cases = vec![
        (evaluation("alice", "read", "record-1"), true),
        (evaluation("alice", "write", "record-1"), true),
        (evaluation("bob", "read", "record-1"), true),
        (evaluation("bob", "write", "record-1"), false),
    ];
    let mut archived = evaluation("alice", "write", "record-2");
    archived["resource"]["properties"] = json!({ "status": "archived" });
    cases.push((archived.clone(), false));
    archived["subject"] = json!({ "type": "user", "id": "bob", "properties": { "role": "admin" } });
    cases.push((archived, true));
    for (soft, allowed) in [(true, true), (false, false)] {
        let mut delete = evaluation("alice", "delete", "record-1");
        delete["action"]["properties"] = json!({ "soft": soft });
        cases.push((delete, allowed));
    }
    cases
}

#[test]
fn the_eight_decisions_of_the_scenario_hold_with_and_without_context_under_both_engines() {
    for engine in ["compiled", "cedar"] {
        the_eight_decisions_hold(&decided_by(engine));
    }
}

fn the_eight_decisions_hold(site: &Site) {
    for (request, allowed) in eight() {
        for context in [None, Some(json!({ "time": "2026-11-23T00:00:00Z", "ip": "::1" }))] {
            let mut request = request.clone();
            if let Some(context) = context {
                request["context"] = context;
            }
            let answer = site.post(ONE, &request);
            assert_eq!((answer.status, answer.json()), (200, json!({ "decision": allowed })), "{request}");
        }
    }
}

#[test]
fn unknown_fields_are_ignored_and_left_out_of_what_is_committed() {
    let site = site();
    let mut request = evaluation("alice", "read", "record-1");
    request["extra"] = json!(1);
    request["subject"]["extra"] = json!({ "deep": true });
    request["subject"]["properties"] = json!({ "z": 1, "a": "x" });
    let headers =
        [("Authorization", &*bearer(&site.key)), ("Content-Type", "application/json"), ("Interlock-Permit", "include")];
    let answer = site.call("POST", ONE, &headers, request.to_string().as_bytes()).json();
    assert_eq!(answer["decision"], true);
    let permit = &answer["context"]["permit"];
    let Record::Decision(decision) = site.verify(permit) else { panic!("a decision") };
    let committed = br#"{"action":{"name":"read"},"resource":{"id":"record-1","type":"record"},"subject":{"id":"alice","properties":{"a":"x","z":1},"type":"user"}}"#;
    let salt: [u8; 16] = unb64(permit["salt"].as_str().unwrap()).unwrap().try_into().unwrap();
    assert_eq!(decision.request, commitment(&salt, committed));
    // The enforcement point gets the committed bytes, since it cannot know what the schema declares.
    assert_eq!(unb64(answer["context"]["request"].as_str().unwrap()).unwrap(), committed);
}

#[test]
fn bad_requests_are_400_with_a_message_string_and_nothing_is_recorded() {
    let site = site();
    let size = site.size();
    let good = evaluation("alice", "read", "record-1");
    let mut bad = Vec::new();
    for field in ["subject", "action", "resource"] {
        let mut without = good.clone();
        without.as_object_mut().unwrap().remove(field);
        bad.push(without);
        let mut text = good.clone();
        text[field] = json!("alice");
        bad.push(text);
    }
    for (field, part) in
        [("subject", "type"), ("subject", "id"), ("resource", "type"), ("resource", "id"), ("action", "name")]
    {
        let mut without = good.clone();
        without[field].as_object_mut().unwrap().remove(part);
        bad.push(without);
        let mut number = good.clone();
        number[field][part] = json!(123);
        bad.push(number);
    }
    let mut properties = good.clone();
    properties["subject"]["properties"] = json!([]);
    bad.push(properties);
    let mut context = good.clone();
    context["context"] = json!("x");
    bad.push(context);
    for path in [ONE, MANY] {
        let refused = |answer: Answer, what: &str| {
            assert_eq!(answer.status, 400, "{what}: {}", answer.text());
            assert!(answer.json().is_string(), "{what}: {}", answer.text());
            assert_eq!(answer.header("content-type"), Some("application/json"));
        };
        for request in &bad {
            refused(site.post(path, request), &request.to_string());
        }
        for body in ["", "{", "[]", "1", "{\"a\":1,\"a\":2}"] {
            refused(site.send(path, "application/json", body.as_bytes()), body);
        }
        refused(site.send(path, "text/plain", good.to_string().as_bytes()), "content type");
        refused(site.send(path, "application/json", b"\xff"), "UTF-8");
    }
    // A bad top level refuses a batch, even where every item brings its own.
    let batch = json!({ "subject": "alice", "evaluations": [good] });
    assert_eq!(site.post(MANY, &batch).status, 400);
    for more in [
        json!({ "evaluations": {} }),
        json!({ "options": 1, "evaluations": [good] }),
        json!({ "options": { "evaluations_semantic": "any" }, "evaluations": [good] }),
    ] {
        assert_eq!(site.post(MANY, &more).status, 400, "{more}");
    }
    assert_eq!(site.size(), size);
}

#[test]
fn the_request_id_is_echoed_on_every_answer() {
    let site = site();
    for (path, body, status) in
        [(ONE, "{}", 400), (ONE, &*evaluation("a", "read", "r").to_string(), 200), (MANY, "", 400)]
    {
        let headers =
            [("Authorization", &*bearer(&site.key)), ("Content-Type", "application/json"), ("X-Request-ID", "a b;c")];
        let answer = site.call("POST", path, &headers, body.as_bytes());
        assert_eq!((answer.status, answer.header("x-request-id")), (status, Some("a b;c")));
    }
}

#[test]
fn a_repeated_evaluation_is_answered_alike_and_recorded_again() {
    let site = site();
    let size = site.size();
    let request = evaluation("alice", "read", "record-1");
    assert_eq!(site.post(ONE, &request).json(), site.post(ONE, &request).json());
    assert_eq!(site.size(), size + 2);
}

#[test]
fn a_batch_is_answered_in_order_and_defaults_are_replaced_whole() {
    let site = site();
    let (requests, expected): (Vec<_>, Vec<_>) = eight().into_iter().unzip();
    let answer = site.post(MANY, &json!({ "evaluations": requests })).json();
    let expected: Vec<_> = expected.into_iter().map(|decision| json!({ "decision": decision })).collect();
    assert_eq!(answer, json!({ "evaluations": expected }));
    let batch = json!({
        "subject": { "type": "user", "id": "bob", "properties": { "role": "admin" } },
        "action": { "name": "write" },
        "resource": { "type": "record", "id": "record-2", "properties": { "status": "archived" } },
        "evaluations": [{}, { "subject": { "type": "user", "id": "bob" } }, { "resource": { "type": "record", "id": "record-1" } }],
    });
    let decisions = json!([{ "decision": true }, { "decision": false }, { "decision": false }]);
    assert_eq!(site.post(MANY, &batch).json()["evaluations"], decisions);
}

#[test]
fn an_item_that_is_no_request_is_false_and_not_recorded() {
    let site = site();
    let size = site.size();
    let good = evaluation("alice", "read", "record-1");
    let batch = json!({ "evaluations": [good, {}, good, 1], "options": { "evaluations_semantic": "execute_all" } });
    let answer = site.post(MANY, &batch).json();
    let answers = answer["evaluations"].as_array().unwrap();
    let decisions: Vec<_> = answers.iter().map(|item| item["decision"].as_bool().unwrap()).collect();
    assert_eq!(decisions, [true, false, true, false]);
    assert_eq!(answers[1]["context"]["error"]["status"], 400);
    assert_eq!(site.size(), size + 2);
}

#[test]
fn no_evaluations_is_a_single_evaluation() {
    let site = site();
    let mut request = evaluation("alice", "read", "record-1");
    assert_eq!(site.post(MANY, &request).json(), json!({ "decision": true }));
    request["evaluations"] = json!([]);
    assert_eq!(site.post(MANY, &request).json(), json!({ "decision": true }));
}

/// Threat 38.
#[test]
fn what_stands_behind_a_short_circuit_is_neither_answered_nor_recorded() {
    let site = site();
    let (yes, no) = (evaluation("alice", "read", "record-1"), evaluation("bob", "write", "record-1"));
    let cases = [
        ("deny_on_first_deny", json!([yes, yes, no, yes, no]), vec![true, true, false]),
        ("deny_on_first_deny", json!([yes, yes]), vec![true, true]),
        ("deny_on_first_deny", json!([yes, {}, yes]), vec![true, false]),
        ("permit_on_first_permit", json!([no, no, yes, yes]), vec![false, false, true]),
        ("permit_on_first_permit", json!([no, no]), vec![false, false]),
        ("permit_on_first_permit", json!([no, {}, yes, no]), vec![false, false, true]),
    ];
    for (semantic, evaluations, expected) in cases {
        let before = site.size();
        let batch = json!({ "evaluations": evaluations, "options": { "evaluations_semantic": semantic } });
        let answer = site.post(MANY, &batch).json();
        let decisions: Vec<_> =
            answer["evaluations"].as_array().unwrap().iter().map(|item| item["decision"].as_bool().unwrap()).collect();
        assert_eq!(decisions, expected, "{semantic}");
        let bad =
            evaluations.as_array().unwrap().iter().take(expected.len()).filter(|item| **item == json!({})).count();
        assert_eq!(site.size() - before, (expected.len() - bad) as u64, "{semantic}");
    }
}

/// Threat 28.
#[test]
fn an_integer_beyond_two_to_the_53_denies_in_authzen() {
    let site = site();
    let mut request = evaluation("alice", "read", "record-1");
    request["context"] = json!({ "amount": 9_007_199_254_740_993_u64 });
    let headers =
        [("Authorization", &*bearer(&site.key)), ("Content-Type", "application/json"), ("Interlock-Permit", "include")];
    let answer = site.call("POST", ONE, &headers, request.to_string().as_bytes()).json();
    assert_eq!(answer["decision"], false);
    assert_eq!(answer["context"]["permit"]["reasons"], json!(["number_range"]));
    request["context"] = json!({ "amount": 9_007_199_254_740_991_u64 });
    assert_eq!(site.post(ONE, &request).json(), json!({ "decision": true }));
}

#[test]
fn a_native_request_is_no_authzen_request_and_the_other_way_round() {
    let site = Site::new();
    let mut native = read("1");
    native["idempotency_key"] = "k".into();
    let one = site.post(ONE, &native);
    assert_eq!((one.status, one.json()), (200, json!({ "decision": true })), "unknown to AuthZEN, so ignored");
    assert_eq!(site.post(ONE, &native).json(), json!({ "decision": true }));
    let mut extra = erase("1");
    extra["evaluations"] = json!([]);
    assert_eq!(site.post("/v1/decisions", &extra).code(), "unknown_field");
}

#[test]
fn without_a_base_address_there_is_no_metadata_for_anybody() {
    let site = site();
    let path = "/.well-known/authzen-configuration";
    for headers in [vec![], vec![("Authorization", bearer(&site.key))], vec![("Authorization", "Bearer x".into())]] {
        let mut headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        headers.push(("X-Request-ID", "r-1"));
        let answer = site.call("GET", path, &headers, b"");
        assert_eq!((answer.status, answer.header("x-request-id")), (404, Some("r-1")));
        assert_eq!(answer.header("www-authenticate"), None);
    }
}

#[test]
fn metadata_names_the_base_and_its_signed_copy_verifies_with_the_logs_key() {
    for (base, path) in [("https://pdp.example", ""), ("https://pdp.example:8443/tenant1", "/tenant1")] {
        let site = Site::without_epoch(None, move |config| config.base_url = Some(base.parse().unwrap()));
        let well_known = "/.well-known/authzen-configuration";
        let answer = site.call("GET", &format!("{well_known}{path}"), &[("X-Request-ID", "m")], b"");
        assert_eq!((answer.status, answer.header("x-request-id")), (200, Some("m")), "{}", answer.text());
        let said = answer.json();
        assert_eq!(said["policy_decision_point"], base);
        for (name, at) in [
            ("access_evaluation_endpoint", ONE),
            ("access_evaluations_endpoint", MANY),
            ("search_subject_endpoint", "/access/v1/search/subject"),
            ("search_resource_endpoint", "/access/v1/search/resource"),
            ("search_action_endpoint", "/access/v1/search/action"),
        ] {
            assert_eq!(said[name], format!("{base}{at}"));
        }
        let parts: Vec<&str> = said["signed_metadata"].as_str().unwrap().split('.').collect();
        let [header, payload, signature] = parts[..] else { panic!("a compact JWS") };
        let decode = |text: &str| unb64(&padded(text)).unwrap();
        let header: Value = serde_json::from_slice(&decode(header)).unwrap();
        let key = site.reader.verifier_key();
        assert_eq!(header, json!({ "alg": "EdDSA", "kid": key.to_string(), "typ": "JWT" }));
        let input = format!("{}.{payload}", parts[0]);
        assert!(key.verify(input.as_bytes(), &decode(signature)));
        assert!(!key.verify(input.replace(payload, "e30").as_bytes(), &decode(signature)));
        let mut claims: Value = serde_json::from_slice(&decode(payload)).unwrap();
        assert_eq!(claims["iss"], base);
        claims.as_object_mut().unwrap().remove("iss");
        let mut plain = said.clone();
        plain.as_object_mut().unwrap().remove("signed_metadata");
        assert_eq!(claims, plain, "the copy says what is said beside it, and not itself");
        for other in ["/tenant2", "/tenant1/x", if path.is_empty() { "/" } else { "" }] {
            assert_eq!(site.call("GET", &format!("{well_known}{other}"), &[], b"").status, 404, "{other}");
        }
        let posted = site.call("POST", &format!("{well_known}{path}"), &[], b"");
        assert_eq!((posted.status, posted.header("allow")), (405, Some("GET, HEAD")));
    }
}

/// base64url as the base64 that is read elsewhere.
fn padded(text: &str) -> String {
    let mut text = text.replace('-', "+").replace('_', "/");
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}
