//! What is answered, and what is said of texts that are wrong.

use serde_json::{Value, json};
use verifier::decision::{Detail, Outcome, commitment};
use verifier::receipt::Receipt;
use verifier::record::Record;
use verifier::text::unb64;
use verifier::verify::{LogKey, verify_receipt};

use super::{DECISIONS, POLICIES, SAMPLES, body, decided, post, public, request, site, vkey};
use crate::support::call;

#[test]
fn an_answer_carries_all_that_a_stranger_needs_to_check_it() {
    let site = site();
    let said = decided(public(&site), &body());
    let answer = &said["answer"];
    assert_eq!((&said["schema"], &answer["decision"]), (&json!("interlock/sandbox-decision/v1"), &json!(true)));
    assert_eq!(answer["conditions"].as_object().unwrap().len(), 9, "{answer}");
    assert_eq!((&answer["policies"], &answer["reasons"], &said["errors"]), (&json!(["reads"]), &json!([]), &json!([])));
    let receipt = Receipt::parse(answer["receipt"].as_str().unwrap()).unwrap();
    let verified = verify_receipt(&receipt, None, &[LogKey::unlimited(vkey(&said))]).unwrap();
    let Record::Decision(decision) = verified.record() else { panic!("no decision") };
    assert_eq!(decision.outcome, Outcome::Allow);
    let salt: [u8; 16] = unb64(answer["salt"].as_str().unwrap()).unwrap().try_into().unwrap();
    assert_eq!(unb64(said["request"].as_str().unwrap()).unwrap(), request("r1").into_bytes());
    assert_eq!(commitment(&salt, request("r1").as_bytes()), decision.request);
    let detail = unb64(answer["detail"]["bytes"].as_str().unwrap()).unwrap();
    assert_eq!(Detail::decode(&detail).unwrap().action, "read");
    // An epoch of two records, and the decision behind it.
    assert_eq!(
        (&said["epoch"]["number"], &said["epoch"]["index"], &answer["index"]),
        (&json!(1), &json!(1), &json!(2))
    );
}

#[test]
fn the_sandbox_decides_as_the_service_does() {
    let site = site();
    let address = public(&site);
    let denied = decided(
        address,
        &json!({ "policies": POLICIES, "request": request("r").replace("\"r\"", "\"r\",\"properties\":{\"secret\":true}") }),
    );
    assert_eq!(
        (&denied["answer"]["reasons"], &denied["answer"]["policies"]),
        (&json!(["forbidden"]), &json!(["secret"]))
    );
    let boom =
        format!("{POLICIES}\n@id(\"boom\") forbid (principal, action, resource) when {{ resource.nothing > 1 }};");
    let erring = decided(address, &json!({ "policies": boom, "request": request("r") }));
    assert_eq!((&erring["answer"]["reasons"], &erring["errors"]), (&json!(["policy_error"]), &json!(["boom"])));
    // The same content as the service has it, and the same question to both.
    let policies: Vec<(&str, &str)> = crate::support::POLICIES.to_vec();
    let text = policies.iter().map(|(_, text)| *text).collect::<Vec<_>>().join("\n");
    for asked in [crate::support::read("1"), crate::support::erase("1")] {
        let sandbox = decided(address, &json!({ "policies": text, "request": asked.to_string() }));
        let real = site.decide(&asked);
        for member in ["decision", "reasons", "conditions", "policies"] {
            assert_eq!(sandbox["answer"][member], real[member], "{member} of {asked}");
        }
    }
}

#[test]
fn every_sample_is_decided_as_it_is_told() {
    let site = site();
    let address = public(&site);
    let offer = call(address, "GET", SAMPLES, &[], b"");
    assert_eq!((offer.status, offer.header("access-control-allow-origin")), (200, Some("*")));
    let offer = offer.json();
    let expected: &[(&str, &[&str])] = &[
        ("hello/what-was-paid", &[]),
        ("hello/more-than-500", &["forbidden"]),
        ("hello/more-than-paid", &["no_matching_permit"]),
        ("hello/unseen-field", &["undeclared"]),
        ("agentdojo-banking/asked", &[]),
        ("agentdojo-banking/injected", &["no_matching_permit"]),
        ("agentdojo-banking/widened", &["no_matching_permit"]),
        ("airline/compensate-gold", &[]),
        ("airline/compensate-regular", &["forbidden"]),
        ("airline/cancel-too-late", &["forbidden"]),
        ("treasury/within-budget", &[]),
        ("treasury/no-scope", &["scope_missing", "invalid"]),
        ("treasury/second-person", &["approval_missing"]),
        ("treasury/not-attested", &["assertion_missing", "measurement_missing", "attestation_missing"]),
    ];
    let mut told = Vec::new();
    for set in offer["samples"].as_array().unwrap() {
        for sample in set["requests"].as_array().unwrap() {
            let name = format!("{}/{}", set["id"].as_str().unwrap(), sample["id"].as_str().unwrap());
            let by_name = decided(address, &json!({ "sample": name }));
            let mut texts = json!({ "policies": set["policies"], "request": sample["request"] });
            for text in ["schema", "entities", "trust"] {
                texts[text] = set[text].clone();
            }
            let by_text = decided(address, &texts);
            assert_eq!(by_name["answer"]["reasons"], by_text["answer"]["reasons"], "{name}");
            assert_eq!(by_name["epoch"], by_text["epoch"], "{name}: the same content is the same epoch");
            let reasons: Vec<String> = serde_json::from_value(by_name["answer"]["reasons"].clone()).unwrap();
            told.push((name, reasons));
        }
    }
    let expected: Vec<(String, Vec<String>)> = expected
        .iter()
        .map(|(name, codes)| ((*name).to_owned(), codes.iter().map(|code| (*code).to_owned()).collect()))
        .collect();
    assert_eq!(told, expected);
    assert_eq!(post(address, &json!({ "sample": "hello/nothing" })).code(), "unknown_sample");
}

/// The findings of a refused content: code, part, line and column.
fn findings(answer: &crate::support::Answer) -> Vec<(String, String, Value, Value)> {
    assert_eq!(answer.code(), "epoch_invalid", "{}", answer.text());
    let found = answer.json()["findings"].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    found.iter().map(|f| (text(&f["code"]), text(&f["part"]), f["line"].clone(), f["column"].clone())).collect()
}

#[test]
fn bad_texts_are_refused_with_their_place() {
    let site = site();
    let address = public(&site);
    let refused = |policies: &str, more: Value| {
        let mut body = json!({ "policies": policies, "request": request("r") });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        findings(&post(address, &body)).remove(0)
    };
    let at = |code: &str, part: &str, line: Value, column: Value| (code.to_owned(), part.to_owned(), line, column);
    assert_eq!(
        refused("@id(\"a\")\npermit (principal, action, resource)\nwhen { principal.x = 1 };", json!({})),
        at("policy_syntax", "policies", json!(3), json!(8))
    );
    assert_eq!(
        refused("\n  permit (principal, action, resource);", json!({})),
        at("policy_id", "policies", json!(2), json!(3))
    );
    let schema = "entity Agent; entity Record; action read appliesTo { principal: Agent, resource: Record };";
    let typed = "// a\n@id(\"fine\") permit (principal, action, resource);\n@id(\"bad\") permit (principal, action, resource) when { resource.nope };";
    assert_eq!(refused(typed, json!({ "schema": schema })), at("policy_invalid", "policy `bad`", json!(3), json!(56)));
    assert_eq!(
        refused(POLICIES, json!({ "schema": "entity A;\nentity;" })),
        at("schema_invalid", "schema", json!(2), json!(7))
    );
    assert_eq!(
        refused(POLICIES, json!({ "trust": "\n[limits]\nnonsense = 1" })),
        at("trust_invalid", "trust", json!(3), json!(1))
    );
    assert_eq!(refused(POLICIES, json!({ "entities": "[{}" })).0, "entities_invalid");
}

#[test]
fn deep_and_multiplying_texts_are_refused_before_they_cost_anything() {
    let site = site();
    let address = public(&site);
    let deep = format!(
        "@id(\"a\") permit (principal, action, resource) when {{ {}1{} == 1 }};",
        "(".repeat(40),
        ")".repeat(40)
    );
    let mut twice = "type T0 = { a: Long };\n".to_owned();
    (1..60).for_each(|n| twice.push_str(&format!("type T{n} = {{ a: T{0}, b: T{0} }};\n", n - 1)));
    let names = (0..120).map(|n| format!("E{n}")).collect::<Vec<_>>().join(",");
    let wide = format!("entity {names}; action a appliesTo {{ principal: [{names}], resource: [{names}] }};");
    for (body, code) in [
        (json!({ "policies": deep, "request": request("r") }), "too_deep"),
        (json!({ "policies": POLICIES, "schema": twice, "request": request("r") }), "too_costly"),
        (json!({ "policies": POLICIES, "schema": wide, "request": request("r") }), "too_costly"),
        (
            json!({ "policies": (0..65).map(|n| format!("@id(\"p{n}\") permit (principal, action, resource);")).collect::<String>(), "request": request("r") }),
            "too_costly",
        ),
    ] {
        assert_eq!(findings(&post(address, &body))[0].0, code);
    }
    let nested = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    for (request, code) in [
        (request("r").replace("\"r\"", &format!("\"r\",\"properties\":{{\"x\":{nested}}}")), "too_deep"),
        ("{".to_owned(), "invalid_json"),
        ("[]".to_owned(), "wrong_type"),
        (r#"{"subject":{"type":"A","id":"a"}}"#.to_owned(), "missing_field"),
        (request("r").replace("{\"subject\"", "{\"more\":1,\"subject\""), "unknown_field"),
    ] {
        assert_eq!(post(address, &json!({ "policies": POLICIES, "request": request })).code(), code, "{request}");
    }
}

#[test]
fn a_number_that_cedar_cannot_hold_denies_as_it_does_in_the_service() {
    let site = site();
    for number in ["9223372036854775808", "1e400", "0.123456789", "123456789012345678901234567890"] {
        let asked = request("r").replace("\"r\"", &format!("\"r\",\"properties\":{{\"n\":{number}}}"));
        let answer = post(public(&site), &json!({ "policies": POLICIES, "request": asked }));
        // What is no number of JSON for us is no request; the others are decided, and denied.
        match answer.status {
            200 => assert_eq!(answer.json()["answer"]["reasons"], json!(["not_representable"]), "{number}"),
            status => assert_eq!((status, answer.code().as_str()), (400, "invalid_json"), "{number}"),
        }
    }
}

#[test]
fn a_body_of_another_form_is_refused() {
    let site = site();
    let address = public(&site);
    let sent = |content_type: &str, body: &str| {
        call(address, "POST", DECISIONS, &[("Content-Type", content_type)], body.as_bytes())
    };
    for (body, code) in [
        ("", "invalid_json"),
        ("[]", "invalid_json"),
        ("{}", "invalid_json"),
        (r#"{"policies":""}"#, "invalid_json"),
        (r#"{"policies":"","request":"{}","more":1}"#, "invalid_json"),
        (r#"{"policies":"","policies":"","request":"{}"}"#, "invalid_json"),
        (r#"{"sample":"hello/what-was-paid","request":"{}"}"#, "invalid_json"),
        (r#"{"policies":"","request":{}}"#, "invalid_json"),
    ] {
        assert_eq!(sent("application/json", body).code(), code, "{body}");
    }
    assert_eq!(sent("text/plain", &body().to_string()).code(), "content_type");
    assert_eq!(call(address, "GET", DECISIONS, &[], b"").header("allow"), Some("POST"));
    assert_eq!(call(address, "POST", SAMPLES, &[], b"").header("allow"), Some("GET, HEAD"));
    assert_eq!(
        call(address, "POST", &format!("{DECISIONS}?x=1"), &[("Content-Type", "application/json")], b"{}").code(),
        "invalid_query"
    );
    // Another site's page asks first, and is not answered.
    let preflight = call(
        address,
        "OPTIONS",
        DECISIONS,
        &[("Origin", "https://x.example"), ("Access-Control-Request-Method", "POST")],
        b"",
    );
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (405, None));
    // No policies at all deny.
    let nothing = decided(address, &json!({ "policies": "", "request": request("r") }));
    assert_eq!(nothing["answer"]["reasons"], json!(["no_matching_permit"]));
}
