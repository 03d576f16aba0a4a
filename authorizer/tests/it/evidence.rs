//! Conditions 3, 7 and 8 over HTTP: what issuers say of a subject, its model, its tool and the environment that it runs in.

use std::sync::Arc;

use authorizer::clock::{Manual, Source};
use authorizer::engine::{Code, Facts, Nonce, Published, Standing};
use authorizer::fold::Fold;
use authorizer::replay::Options;
use authorizer::settle::settle;
use authorizer::state::nonces::MAX_NONCES;
use serde_json::{Value, json};
use verifier::decision::{Class, Condition, Detail, Evidence, Grant, Outcome};
use verifier::epoch::EpochContent;
use verifier::event::Step;
use verifier::request::Request;
use verifier::text::{hex, unb64};

use crate::issuing::{Key, attested, ed25519, p256};
use crate::replay::Entries;
use crate::support::{ORIGIN, POLICIES, Site, read, reasons, with, with_gate};

const NONE: [&str; 0] = [];
const PREDICATE: &str = "https://slsa.dev/verification_summary/v1";
const IMAGE: [u8; 32] = [0xab; 32];
const TOOL: [u8; 32] = [0xcd; 32];
pub const REGISTRY: &str = "https://registry.example";
pub const VERIFIER: &str = "https://verifier.example";
const HARDWARE: &str = "hardware";

fn registry() -> Key {
    p256(1)
}

fn verifier() -> Key {
    ed25519(2)
}

fn hardware() -> Key {
    p256(3)
}

/// `read` demands everything, `write` nothing.
pub fn trust() -> String {
    let key = |key: Key| key.public();
    format!(
        "[issuers.'{REGISTRY}']\nkind = 'assertions'\nkey = '{}'\nclaims = ['review']\npredicates = ['{PREDICATE}']\n\
         [issuers.'{VERIFIER}']\nkind = 'attestation'\nkey = '{}'\nmax_age_ms = 60_000\n\
         [issuers.{HARDWARE}]\nkind = 'attestation'\nkey = '{}'\nreusable = true\n\
         [assertions.reviewed]\nissuers = ['{REGISTRY}']\nabout = 'subject.model'\nclaims = {{ review = ['passed'] }}\n\
         [assertions.built]\nissuers = ['{REGISTRY}']\nabout = 'resource.image'\npredicate = '{PREDICATE}'\n\
         claims = {{ verificationResult = ['PASSED'] }}\n\
         [reference_values.agent]\nimage = ['sha-256:{}']\n\
         [actions.read]\nrequire = ['trust', 'environment', 'attestation']\nassertions = ['reviewed', 'built']\n\
         reference_values = ['agent']\n",
        key(registry()),
        key(verifier()),
        key(hardware()),
        hex(&IMAGE)
    )
}

pub fn site() -> (Site, Arc<Manual>) {
    Site::with_trust(&with_gate(&trust()))
}

fn review(clock: &Manual) -> Value {
    let now = clock.wall_ms() / 1_000;
    json!({ "iss": REGISTRY, "sub": "m-7", "aud": ORIGIN, "iat": now, "exp": now + 600, "review": "passed" })
}

fn built() -> Value {
    registry().envelope(REGISTRY, TOOL, PREDICATE, &json!({ "verificationResult": "PASSED" }))
}

fn environment(clock: &Manual, nonce: &str) -> Value {
    attested(VERIFIER, "Agent::\"alice\"", nonce, &[("image", IMAGE), ("other", TOOL)], clock.wall_ms())
}

/// A request that names its model and its tool, with this evidence.
fn asked(action: &str, assertions: Value, attestation: Option<String>) -> Value {
    let mut request = read("r");
    request["action"]["name"] = action.into();
    request["subject"]["properties"] = json!({ "model": "m-7" });
    request["resource"]["properties"] = json!({ "image": format!("sha-256:{}", hex(&TOOL)) });
    request["assertions"] = assertions;
    if let Some(attestation) = attestation {
        request["attestation"] = attestation.into();
    }
    request
}

/// With evidence that holds.
pub fn good(clock: &Manual, nonce: &str) -> Value {
    let assertions = json!([registry().jwt(&review(clock)), built()]);
    asked("read", assertions, Some(verifier().jwt(&environment(clock, nonce))))
}

pub fn detail(answer: &Value) -> Detail {
    Detail::decode(&unb64(answer["detail"]["bytes"].as_str().unwrap()).unwrap()).unwrap()
}

#[test]
fn a_request_with_the_evidence_that_its_action_demands_is_allowed() {
    let (site, clock) = site();
    let allowed = site.decide(&good(&clock, "nonce-01"));
    assert_eq!(reasons(&allowed), NONE);
    for condition in ["trust", "environment", "attestation"] {
        assert_eq!(allowed["conditions"][condition], "pass", "{condition}");
    }
    let Evidence { issuers, nonce } = detail(&allowed).evidence.unwrap();
    assert_eq!(
        (issuers, nonce.unwrap().expires_ms),
        (vec![REGISTRY.into(), VERIFIER.into()], clock.wall_ms() / 1_000 * 1_000 + 60_000)
    );
    // Whoever brings nothing is told what is missing, and an action that demands nothing asks for nothing.
    let nothing = site.decide(&read("r"));
    assert_eq!(reasons(&nothing), ["assertion_missing", "measurement_missing", "attestation_missing"]);
    let wanted = json!({
        "assertions": ["reviewed", "built"], "attestation": [HARDWARE, VERIFIER], "reference_values": ["agent"],
    });
    assert_eq!(nothing["evidence"], wanted, "and by which names the epoch asks for it");
    assert_eq!(allowed.get("evidence"), None);
    let mut other = read("r");
    other["action"]["name"] = "write".into();
    let other = site.decide(&other);
    assert_eq!((reasons(&other), detail(&other).evidence), (vec![], None));
    assert_eq!(other["conditions"]["trust"], "not_required");
    assert_eq!(site.replays(), 3);
}

#[test]
fn an_attestation_counts_as_a_jwt_and_as_a_cwt_of_either_algorithm() {
    let (site, clock) = site();
    let assertions = || json!([registry().jwt(&review(&clock)), built()]);
    for (n, (issuer, key)) in [(VERIFIER, verifier()), (HARDWARE, hardware())].into_iter().enumerate() {
        let claims = |form: &str| {
            let nonce = format!("nonce-{form}-{n}");
            attested(issuer, "Agent::\"alice\"", &nonce, &[("image", IMAGE)], clock.wall_ms())
        };
        for token in [key.jwt(&claims("jwt")), key.cwt(&claims("cwt"))] {
            assert_eq!(reasons(&site.decide(&asked("read", assertions(), Some(token)))), NONE, "{issuer}");
        }
        let mut debugged = claims("dbg");
        debugged["dbgstat"] = "enabled".into();
        for token in [key.jwt(&debugged), key.cwt(&debugged)] {
            let denied = site.decide(&asked("read", assertions(), Some(token)));
            assert_eq!(reasons(&denied), ["environment_unattested", "attestation_unsound"], "{issuer}");
        }
    }
    assert_eq!(site.replays(), 8);
}

#[test]
fn each_way_in_which_an_assertion_does_not_hold_denies_with_its_code_also_where_nothing_asks_for_it() {
    let (site, clock) = site();
    let now = clock.wall_ms() / 1_000;
    let token = |change: Value| registry().jwt(&with(review(&clock), change));
    let envelope = |issuer: &str, key: Key, digest, kind: &str| {
        key.envelope(issuer, digest, kind, &json!({ "verificationResult": "PASSED" }))
    };
    let header = |header: Value| registry().jws(&header, &review(&clock));
    let mut torn = built();
    torn["payload"] = "e30=".into();
    let cases: Vec<(&str, Value)> = vec![
        ("assertion_malformed", "x".into()),
        ("assertion_malformed", json!({})),
        ("assertion_malformed", torn),
        ("assertion_malformed", token(json!({ "aud": [ORIGIN] })).into()),
        ("assertion_malformed", token(json!({ "exp": null })).into()),
        ("assertion_malformed", header(json!({ "alg": "ES256", "crit": ["b64"], "b64": false })).into()),
        ("assertion_malformed", header(json!({ "alg": "ES256", "jwk": {} })).into()),
        ("assertion_algorithm", header(json!({ "alg": "none" })).into()),
        ("assertion_algorithm", header(json!({ "alg": "HS256" })).into()),
        ("assertion_algorithm", header(json!({ "alg": "EdDSA" })).into()),
        ("assertion_issuer_unknown", token(json!({ "iss": "https://other.example" })).into()),
        ("assertion_issuer_unknown", token(json!({ "iss": VERIFIER })).into()),
        ("assertion_issuer_unknown", envelope("other", registry(), TOOL, PREDICATE)),
        ("assertion_signature", p256(9).jwt(&review(&clock)).into()),
        ("assertion_signature", envelope(REGISTRY, p256(9), TOOL, PREDICATE)),
        ("assertion_expired", token(json!({ "exp": now })).into()),
        ("assertion_not_yet", token(json!({ "nbf": now + 7 })).into()),
        ("assertion_not_yet", token(json!({ "iat": now + 7 })).into()),
        ("assertion_audience", token(json!({ "aud": "other.example/log" })).into()),
        ("assertion_subject", token(json!({ "sub": "m-8" })).into()),
        ("assertion_subject", envelope(REGISTRY, registry(), IMAGE, PREDICATE)),
        ("assertion_predicate", envelope(REGISTRY, registry(), TOOL, "https://slsa.dev/provenance/v1")),
    ];
    let count = cases.len() as u64;
    for (code, assertion) in cases {
        for action in ["read", "write"] {
            let claims =
                attested(HARDWARE, "Agent::\"alice\"", "again-and-again", &[("image", IMAGE)], clock.wall_ms());
            let attestation = (action == "read").then(|| hardware().jwt(&claims));
            let denied = site.decide(&asked(action, json!([built(), assertion]), attestation));
            assert_eq!(reasons(&denied), [code], "{action}: {assertion}");
        }
    }
    assert_eq!(site.replays(), 2 * count);
}

#[test]
fn what_is_asserted_must_be_what_is_demanded() {
    let (site, clock) = site();
    let mut n = 0;
    let mut read = |assertions: Value| {
        n += 1;
        site.decide(&asked("read", assertions, Some(verifier().jwt(&environment(&clock, &format!("nonce-{n:03}"))))))
    };
    let failed = registry().envelope(REGISTRY, TOOL, PREDICATE, &json!({ "verificationResult": "FAILED" }));
    let token = |change: Value| registry().jwt(&with(review(&clock), change));
    assert_eq!(reasons(&read(json!([token(json!({}))]))), ["assertion_missing"]);
    assert_eq!(reasons(&read(json!([token(json!({})), failed]))), ["assertion_value"]);
    assert_eq!(reasons(&read(json!([token(json!({ "review": "failed" })), built()]))), ["assertion_value"]);
    assert_eq!(reasons(&read(json!([token(json!({ "review": null })), built()]))), ["assertion_value"]);
    // It holds, and is about the subject: not what is asked for.
    let about = token(json!({ "sub": "Agent::\"alice\"" }));
    assert_eq!(reasons(&read(json!([about, built()]))), ["assertion_missing"]);
    // One of several is enough.
    assert_eq!(reasons(&read(json!([about, failed, token(json!({})), built()]))), NONE);
    assert_eq!(site.replays(), 6);
}

#[test]
fn each_way_in_which_an_attestation_does_not_hold_denies_with_its_code_also_where_nothing_asks_for_it() {
    let (site, clock) = site();
    let now = clock.wall_ms() / 1_000;
    let token = |change: Value| verifier().jwt(&with(environment(&clock, "nonce-01"), change));
    let cases: Vec<(&str, String)> = vec![
        ("attestation_malformed", "x".into()),
        ("attestation_malformed", "a.b.c".into()),
        ("attestation_malformed", token(json!({ "iat": null }))),
        ("attestation_malformed", token(json!({ "eat_nonce": "short" }))),
        ("attestation_malformed", verifier().cwt(&environment(&clock, "nonce-01")).split_off(1)),
        ("attestation_algorithm", verifier().jws(&json!({ "alg": "none" }), &environment(&clock, "nonce-01"))),
        ("attestation_algorithm", verifier().jws(&json!({ "alg": "ES256" }), &environment(&clock, "nonce-01"))),
        ("attestation_issuer_unknown", token(json!({ "iss": "https://other.example" }))),
        ("attestation_issuer_unknown", token(json!({ "iss": REGISTRY }))),
        ("attestation_signature", ed25519(9).jwt(&environment(&clock, "nonce-01"))),
        ("attestation_signature", ed25519(9).cwt(&environment(&clock, "nonce-01"))),
        ("attestation_expired", token(json!({ "exp": now }))),
        ("attestation_not_yet", token(json!({ "iat": now + 7 }))),
        ("attestation_stale", token(json!({ "iat": now - 60 }))),
        ("attestation_audience", token(json!({ "aud": "other.example/log" }))),
        ("attestation_subject", token(json!({ "sub": "Agent::\"bob\"" }))),
        ("attestation_unsound", token(json!({ "measres": [["m", [["r", "fail"]]]] }))),
        ("attestation_nonce_missing", {
            let mut claims = environment(&clock, "nonce-01");
            claims.as_object_mut().unwrap().remove("eat_nonce");
            verifier().jwt(&claims)
        }),
    ];
    let count = cases.len() as u64;
    for (code, attestation) in cases {
        let assertions = json!([registry().jwt(&review(&clock)), built()]);
        let denied = site.decide(&asked("read", assertions, Some(attestation.clone())));
        assert_eq!(reasons(&denied), ["environment_unattested", code], "{attestation}");
        let denied = site.decide(&asked("write", json!([]), Some(attestation.clone())));
        assert_eq!(reasons(&denied), [code], "{attestation}");
    }
    // None of them used the nonce up.
    assert_eq!(reasons(&site.decide(&good(&clock, "nonce-01"))), NONE);
    assert_eq!(site.replays(), 2 * count + 1);
}

#[test]
fn an_environment_without_the_reference_values_is_denied() {
    let (site, clock) = site();
    let measured = |n: u8, measured: &[(&str, [u8; 32])]| {
        let claims = attested(VERIFIER, "Agent::\"alice\"", &format!("nonce-{n:02}"), measured, clock.wall_ms());
        let assertions = json!([registry().jwt(&review(&clock)), built()]);
        site.decide(&asked("read", assertions, Some(verifier().jwt(&claims))))
    };
    assert_eq!(reasons(&measured(1, &[("image", TOOL)])), ["measurement_mismatch"]);
    assert_eq!(reasons(&measured(2, &[("Image", IMAGE)])), ["measurement_missing"]);
    assert_eq!(reasons(&measured(3, &[])), ["measurement_missing"]);
    assert_eq!(reasons(&measured(4, &[("image", IMAGE)])), NONE);
    assert_eq!(site.replays(), 4);
}

/// Threat 26: a token that somebody has seen is worth nothing to them.
#[test]
fn an_attestation_passes_once_also_after_a_restart_unless_its_issuer_lets_it_be_brought_again() {
    let (mut site, clock) = site();
    let first = good(&clock, "nonce-01");
    assert_eq!(reasons(&site.decide(&first)), NONE);
    for _ in 0..3 {
        assert_eq!(reasons(&site.decide(&first)), ["attestation_nonce_used"]);
    }
    site.restart();
    assert_eq!(reasons(&site.decide(&first)), ["attestation_nonce_used"]);
    // The same nonce in another token, and in another realm.
    clock.advance(1_000);
    assert_eq!(reasons(&site.decide(&good(&clock, "nonce-01"))), ["attestation_nonce_used"]);
    let other = site.key_of("elsewhere");
    let headers = [("Authorization", &*crate::support::bearer(&other)), ("Content-Type", "application/json")];
    let answer = site.call("POST", "/v1/decisions", &headers, good(&clock, "nonce-01").to_string().as_bytes());
    assert_eq!(reasons(&answer.json()), ["attestation_nonce_used"]);
    // In one body, too.
    let body = json!([good(&clock, "nonce-02"), good(&clock, "nonce-02")]);
    let answers = site.post("/v1/decisions", &body).json();
    assert_eq!((reasons(&answers[0]), reasons(&answers[1])), (vec![], vec!["attestation_nonce_used"]));
    let mut again = good(&clock, "nonce-03");
    let claims = attested(HARDWARE, "Agent::\"alice\"", "nonce-01", &[("image", IMAGE)], clock.wall_ms());
    again["attestation"] = hardware().jwt(&claims).into();
    for _ in 0..3 {
        assert_eq!(reasons(&site.decide(&again)), NONE);
    }
    clock.advance(60_000);
    assert_eq!(reasons(&site.decide(&first)), ["environment_unattested", "attestation_stale"]);
    assert_eq!(site.replays(), 13);
}

#[test]
fn a_retry_under_an_idempotency_key_has_the_same_permit_though_its_attestation_is_used() {
    let (site, clock) = site();
    let request = with(good(&clock, "nonce-01"), json!({ "idempotency_key": "k" }));
    let (first, again) = (site.decide(&request), site.decide(&request));
    assert_eq!((&first["permit"], &again["decision"]), (&again["permit"], &json!(true)));
    assert_eq!(site.replays(), 1);
}

#[test]
fn an_attestation_is_denied_while_as_many_nonces_as_are_kept_are_in_use() {
    let mut content = EpochContent {
        policies: POLICIES.iter().map(|(id, text)| ((*id).into(), (*text).into())).collect(),
        trust: Some(trust()),
        ..EpochContent::default()
    };
    content.policies.sort();
    let engine = Published::new(content).unwrap().replica().unwrap();
    let clock = Manual::at(1_800_000_000_000);
    let now_ms = clock.wall_ms();
    let request = Request::parse(good(&clock, "nonce-01").to_string().as_bytes()).unwrap();
    let facts = Facts { origin: ORIGIN, ..Facts::unsigned("main", "0a0b0c0d0e0f", now_ms) };
    let mut fold = Fold::default();
    let settled = |fold: &Fold| {
        let mut verdict = engine.decide(&request, &facts);
        settle(&mut verdict, &request, fold, "main", now_ms, None);
        (verdict.standing(Condition::Attestation), verdict.stands())
    };
    assert_eq!(settled(&fold), (Standing::Pass, true));
    for n in 0..MAX_NONCES as u64 {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&n.to_be_bytes());
        fold.state.attestations.consume(&Nonce { id, body: [0; 16], item: 0, expires_ms: now_ms + 1 });
    }
    assert_eq!(settled(&fold), (Standing::Fail(Code::TooManyAttestations), false));
    fold.state.advance(now_ms + 1);
    assert_eq!(settled(&fold), (Standing::Pass, true));
}

/// Threat 14: what is denied for another reason than the evidence uses up the nonce, what no identity stands behind does not.
#[test]
fn a_strangers_request_uses_up_nobodys_nonce() {
    let signed = "[signatures]\nsubjects = ['Agent']\n[[agents]]\nid = 'a'\nkey = '6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw='\nsubjects = ['Agent']\n";
    let (site, clock) = Site::with_trust(&(trust() + signed));
    for _ in 0..2 {
        assert_eq!(reasons(&site.decide(&good(&clock, "nonce-01"))), ["signature_missing"]);
    }
    assert_eq!(site.publish_trust(&trust(), 1, 2).status, 200);
    let mut late = good(&clock, "nonce-01");
    late["deadline"] = "2026-01-01T00:00:00Z".into();
    assert_eq!(reasons(&site.decide(&late)), ["deadline"]);
    assert_eq!(reasons(&site.decide(&good(&clock, "nonce-01"))), ["attestation_nonce_used"]);
    assert_eq!(site.replays(), 4);
}

#[test]
fn policies_see_which_assertions_and_reference_values_hold_and_who_attests() {
    let (site, clock) = site();
    let policy = format!(
        r#"@id("seen") permit(principal, action, resource) when {{
             context.interlock.assertions.containsAll(["built", "reviewed"]) && context.interlock.attested_by == "{VERIFIER}"
             && context.interlock.reference_values == ["agent"] }};"#
    );
    let schema = r#"entity Agent = { "model"?: String }; entity Record = { "image"?: String };
        action "read", "write" appliesTo { principal: Agent, resource: Record, context: { "interlock": {
          "assertions": Set<String>, "attested_by": String, "reference_values": Set<String> } } };"#;
    for (number, schema) in [(2, None), (3, Some(schema.to_owned()))] {
        let content = EpochContent {
            policies: vec![("seen".into(), policy.clone())],
            schema,
            trust: Some(trust()),
            ..EpochContent::default()
        };
        let answer = site.publish_content(content, number - 1, number);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let all = site.decide(&good(&clock, &format!("nonce-{number}-1")));
        assert_eq!(reasons(&all), NONE);
        let mut some = good(&clock, &format!("nonce-{number}-2"));
        (some["action"]["name"], some["assertions"]) = ("write".into(), json!([built()]));
        assert_eq!(reasons(&site.decide(&some)), ["no_matching_permit"]);
    }
    assert_eq!(site.replays(), 4);
}

/// What a permit rested on once only is not asked for again; everything else is, at each renewal.
#[test]
fn a_lease_outlives_the_freshness_of_its_attestation_and_ends_with_its_issuer_and_its_claims() {
    let (site, clock) = site();
    let leased =
        |nonce: &str| with(good(&clock, nonce), json!({ "lease_ms": 50_000, "ttl_ms": 3_000_000, "audience": "gate" }));
    let permits = ["nonce-01", "nonce-02"].map(|nonce| site.decide(&leased(nonce))["permit"].clone());
    let mut ends_at = clock.wall_ms() + 50_000;
    for _ in 0..2 {
        clock.advance(40_000);
        for permit in &permits {
            let renewed = site.event(permit, Step::Renew { ends_at });
            assert_eq!(renewed.json()["answer"], "continue", "{}", renewed.text());
        }
        ends_at = clock.wall_ms() + 50_000;
    }
    let halted = |permit: &Value, ends_at| {
        let halted = site.event(permit, Step::Renew { ends_at }).json();
        (halted["answer"].clone(), halted["reasons"].clone())
    };
    let other = with_gate(&trust()).replace(&hex(&IMAGE), &hex(&TOOL));
    assert_eq!(site.publish_trust(&other, 1, 2).status, 200);
    assert_eq!(halted(&permits[0], ends_at), (json!("halt"), json!(["measurement_mismatch"])));
    assert_eq!(site.publish_trust(&with_gate(&trust()), 2, 3).status, 200);
    let mut now = clock.wall_ms();
    while now < clock.wall_ms() + 540_000 {
        clock.advance(45_000);
        now += 45_000;
        let answer = site.event(&permits[1], Step::Renew { ends_at }).json();
        if answer["answer"] == "halt" {
            assert_eq!(
                answer["reasons"],
                json!(["assertion_expired", "environment_unattested", "attestation_expired"])
            );
            site.replays();
            return;
        }
        ends_at = clock.wall_ms() + 50_000;
    }
    panic!("it goes on though its evidence ran out");
}

#[test]
fn a_record_whose_evidence_is_told_otherwise_does_not_come_out() {
    let (site, clock) = site();
    let allowed = site.decide(&good(&clock, "nonce-01"));
    let denied = site.decide(&good(&clock, "nonce-01"));
    let index = |answer: &Value| usize::try_from(answer["index"].as_u64().unwrap()).unwrap();
    let differs = |entries: Entries| entries.replay(&site, Options::default()).unwrap().difference_count;
    assert_eq!(differs(Entries::of(&site)), 0);
    let forge = |at, forge: fn(&mut Evidence)| {
        Entries::of(&site).forge(at, |_, detail| forge(detail.evidence.as_mut().unwrap()))
    };
    // What rests on the nonce that is not used up no longer follows either.
    assert_eq!(differs(forge(index(&allowed), |evidence| evidence.nonce = None)), 2);
    assert_eq!(differs(forge(index(&allowed), |evidence| evidence.nonce.as_mut().unwrap().id = [0; 32])), 2);
    assert_eq!(differs(forge(index(&allowed), |evidence| evidence.nonce.as_mut().unwrap().expires_ms += 1)), 1);
    assert_eq!(differs(forge(index(&allowed), |evidence| evidence.issuers.truncate(1))), 1);
    assert_eq!(differs(Entries::of(&site).forge(index(&allowed), |_, detail| detail.evidence = None)), 2);
    let passed = Entries::of(&site).forge(index(&denied), |decision, detail| {
        detail.codes.clear();
        decision.outcome = Outcome::Allow;
        decision.classes.set(Condition::Attestation, Class::Pass);
        decision.grant = Some(Grant { expires_at: decision.recorded_at + 60_000, uses: 1, lease_ends_at: None });
    });
    assert_eq!(differs(passed), 1);
    let unasked = Entries::of(&site).forge(index(&allowed), |decision, _| {
        decision.classes.set(Condition::Environment, Class::NotRequired);
    });
    assert_eq!(differs(unasked), 1);
}
