//! Condition 2 beyond API keys: RFC 9421 signatures over bodies, over HTTP.

use std::sync::Arc;

use authorizer::clock::{Manual, Source};
use authorizer::engine::{Code, Facts, MAX_SIGNED_S, MAX_SKEW_MS, Nonce, Published, Standing};
use authorizer::fold::Fold;
use authorizer::replay::Options;
use authorizer::settle::settle;
use authorizer::state::nonces::MAX_NONCES;
use serde_json::{Value, json};
use verifier::decision::{Condition, Detail, Outcome, Signed};
use verifier::epoch::EpochContent;
use verifier::event::Step;
use verifier::http_signature::HttpSignature;
use verifier::record::Record;
use verifier::request::Request;
use verifier::text::{b64, unb64};

use crate::replay::Entries;
use crate::signing::{NATIVE, Parts, key, sign};
use crate::support::{Answer, ORIGIN, POLICIES, Site, bearer, erase, read, reasons, with, with_gate};

const NONE: [&str; 0] = [];

/// Alice and every bot have a key; agents must sign.
fn trust() -> String {
    let agent = |id: &str, seed, subject: &str| {
        let key = b64(key(seed).verifying_key().as_bytes());
        format!("[[agents]]\nid = '{id}'\nkey = '{key}'\nsubjects = ['{subject}']\n")
    };
    "[signatures]\nsubjects = ['Agent']\nactions = ['erase']\n".to_owned()
        + &agent("alice-1", 7, "Agent::\"alice\"")
        + &agent("bots", 8, "Bot")
}

fn site() -> (Site, Arc<Manual>) {
    Site::with_trust(&trust())
}

fn parts(clock: &Manual, nonce: &str) -> Parts {
    Parts::of("alice-1", 7, clock.wall_ms() / 1_000, nonce)
}

fn post(site: &Site, path: &str, body: &[u8], fields: &[(&'static str, String)]) -> Answer {
    let authorization = bearer(&site.key);
    let mut headers = vec![("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
    headers.extend(fields.iter().map(|(name, value)| (*name, value.as_str())));
    site.call("POST", path, &headers, body)
}

fn decide(site: &Site, request: &Value, parts: &Parts) -> Value {
    let body = request.to_string();
    let answer = post(site, NATIVE, body.as_bytes(), &sign(parts, body.as_bytes()));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn a_signed_request_is_allowed_and_one_whose_signature_is_absent_is_denied() {
    let (site, clock) = site();
    let signed = site.decide(&read("r"));
    assert_eq!(reasons(&signed), ["signature_missing"]);
    let signed = decide(&site, &read("r"), &parts(&clock, "n1"));
    assert_eq!((reasons(&signed), &signed["conditions"]["identity"]), (vec![], &json!("pass")));
    let Record::Decision(decision) = site.verify(&signed) else { panic!("no decision") };
    assert_eq!(decision.outcome, Outcome::Allow);
    // The record alone shows who asked: the signature stands in the detail.
    let detail = Detail::decode(&unb64(signed["detail"]["bytes"].as_str().unwrap()).unwrap()).unwrap();
    let by = verifier::note::VerifierKey::new("alice-1", key(7).verifying_key().as_bytes()).unwrap();
    assert_eq!(detail.signed.unwrap().signature.is_by(&by), Ok(true));
    // Nobody asks bots for a signature, except for an action that must be signed by whoever asks.
    let bot = with(read("r"), json!({ "subject": { "type": "Bot", "id": "b" } }));
    assert_eq!(reasons(&site.decide(&bot)), NONE);
    let bot = with(erase("r"), json!({ "subject": { "type": "Bot", "id": "b" } }));
    assert_eq!(reasons(&site.decide(&bot)), ["signature_missing"]);
    assert_eq!(site.replays(), 4);
}

/// Threat 34: a stranger learns neither policies nor counters from "why denied".
#[test]
fn a_caller_whose_identity_failed_is_told_only_that() {
    let (site, clock) = site();
    let forged = Parts { seed: 9, ..parts(&clock, "n1") };
    let denied = decide(&site, &erase("r"), &forged);
    assert_eq!(reasons(&denied), ["signature_invalid"]);
    assert_eq!(denied["conditions"], json!({ "identity": "fail:signature_invalid" }));
    assert_eq!((&denied["policies"], denied.get("detail")), (&json!([]), None));
    let again = site.get(&format!("/v1/permits/{}", denied["permit"].as_str().unwrap())).json();
    assert_eq!((reasons(&again), again.get("detail")), (vec!["signature_invalid"], None));
    // The record has all nine.
    let known = decide(&site, &erase("r"), &parts(&clock, "n1"));
    assert_eq!(reasons(&known), ["no_matching_permit"]);
    assert_eq!(site.replays(), 2);
}

#[test]
fn each_way_in_which_a_signature_does_not_hold_denies_with_its_code() {
    let (site, clock) = site();
    let now = clock.wall_ms() / 1_000;
    let good = || parts(&clock, "n");
    let cases = [
        ("signature_key_unknown", Parts { key_id: "nobody", ..good() }),
        ("signature_origin", Parts { tag: "other.example/log", ..good() }),
        ("signature_window", Parts { expires: now + MAX_SIGNED_S + 1, ..good() }),
        ("signature_window", Parts { expires: now, ..good() }),
        ("signature_window", Parts { created: now + 9, expires: now + 8, ..good() }),
        ("signature_not_yet", Parts { created: now + 7, ..good() }),
        ("signature_expired", Parts { created: now - 60, expires: now, ..good() }),
        ("signature_invalid", Parts { seed: 8, ..good() }),
        ("signature_invalid", Parts { path: "/access/v1/evaluation", ..good() }),
        ("signature_subject", Parts { seed: 8, key_id: "bots", ..good() }),
    ];
    let count = cases.len() as u64;
    for (code, parts) in cases {
        let denied = decide(&site, &read("r"), &parts);
        assert_eq!(reasons(&denied), [code]);
    }
    // None of them used the nonce up. The longest window holds, also for a clock that is 5 s ahead.
    let longest = Parts { created: now + 5, expires: now + 5 + MAX_SIGNED_S, ..good() };
    assert_eq!(reasons(&decide(&site, &read("r"), &longest)), NONE);
    assert_eq!(site.replays(), count + 1);
}

/// Threat 10: the same signed request again, at another worker, or after a restart.
#[test]
fn a_signed_request_that_is_sent_again_is_denied_also_after_a_restart() {
    let (mut site, clock) = site();
    let first = parts(&clock, "n1");
    assert_eq!(reasons(&decide(&site, &read("r"), &first)), NONE);
    for _ in 0..4 {
        assert_eq!(reasons(&decide(&site, &read("r"), &first)), ["nonce_used"]);
    }
    assert_eq!(reasons(&decide(&site, &read("other"), &first)), ["nonce_used"]);
    site.restart();
    assert_eq!(reasons(&decide(&site, &read("r"), &first)), ["nonce_used"]);
    assert_eq!(reasons(&decide(&site, &read("r"), &parts(&clock, "n2"))), NONE);
    let other_realm = site.key_of("elsewhere");
    let body = read("r").to_string();
    let fields = sign(&first, body.as_bytes());
    let mut headers = vec![("Content-Type", "application/json".to_owned()), ("Authorization", bearer(&other_realm))];
    headers.extend(fields);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(reasons(&site.call("POST", NATIVE, &headers, body.as_bytes()).json()), ["nonce_used"]);
    clock.advance(61_000);
    assert_eq!(reasons(&decide(&site, &read("r"), &first)), ["signature_expired"]);
    assert_eq!(site.replays(), 10);
}

#[test]
fn a_retry_under_an_idempotency_key_has_the_same_permit_though_its_nonce_is_used() {
    let (site, clock) = site();
    let request = with(read("r"), json!({ "idempotency_key": "k" }));
    let first = decide(&site, &request, &parts(&clock, "n1"));
    let again = decide(&site, &request, &parts(&clock, "n1"));
    assert_eq!((&first["permit"], &again["decision"]), (&again["permit"], &json!(true)));
    assert_eq!(site.replays(), 1);
}

#[test]
fn one_signature_covers_a_whole_body_and_each_of_its_requests_once() {
    let (site, clock) = site();
    let bot = with(read("r2"), json!({ "subject": { "type": "Bot", "id": "b" } }));
    let body = json!([read("r1"), bot, read("r3")]);
    let codes = |answer: &Value| -> Vec<Vec<String>> {
        let items = answer.as_array().unwrap().iter();
        items.map(|item| reasons(item).into_iter().map(str::to_owned).collect()).collect()
    };
    let none = Vec::<String>::new;
    let signed = parts(&clock, "n1");
    let expected = [none(), vec!["signature_subject".to_owned()], none()];
    assert_eq!(codes(&decide(&site, &body, &signed)), expected);
    let used = || vec!["nonce_used".to_owned()];
    assert_eq!(codes(&decide(&site, &body, &signed)), [used(), vec!["signature_subject".to_owned()], used()]);
    // A body that was cut short by its first denial cannot be continued by sending it again.
    let many = json!({ "evaluations": [read("r"), erase("r"), read("r")], "options": { "evaluations_semantic": "deny_on_first_deny" } });
    let path = "/access/v1/evaluations";
    let (text, signed) = (many.to_string(), Parts { path, ..parts(&clock, "n2") });
    let fields = sign(&signed, text.as_bytes());
    let allowed = |answer: &Answer| -> Vec<bool> {
        let json = answer.json();
        json["evaluations"].as_array().unwrap().iter().map(|item| item["decision"].as_bool().unwrap()).collect()
    };
    assert_eq!(allowed(&post(&site, path, text.as_bytes(), &fields)), [true, false]);
    assert_eq!(allowed(&post(&site, path, text.as_bytes(), &fields)), [false]);
    let permitting = text.replace("deny_on_first_deny", "permit_on_first_permit");
    let fields = sign(&Parts { nonce: "n3".into(), ..signed.clone() }, permitting.as_bytes());
    assert_eq!(allowed(&post(&site, path, permitting.as_bytes(), &fields)), [true]);
    assert_eq!(allowed(&post(&site, path, permitting.as_bytes(), &fields)), [false, false, false]);
    let one = Parts { path: "/access/v1/evaluation", nonce: "n4".into(), ..signed };
    let text = read("r").to_string();
    let fields = sign(&one, text.as_bytes());
    assert_eq!(post(&site, one.path, text.as_bytes(), &fields).json()["decision"], true);
    assert_eq!(post(&site, one.path, text.as_bytes(), &fields).json()["decision"], false);
    site.replays();
}

#[test]
fn what_is_no_signature_of_the_form_is_refused_and_nothing_is_decided() {
    let (site, clock) = site();
    let size = site.size();
    let body = read("r").to_string();
    let [input, signature, digest] = sign(&parts(&clock, "n"), body.as_bytes());
    let other = ("Content-Digest", format!("sha-256=:{}:", b64(&[0; 32])));
    let refused = |fields: &[(&'static str, String)]| {
        let answer = post(&site, NATIVE, body.as_bytes(), fields);
        (answer.status, answer.code())
    };
    let malformed = (400, "signature_malformed".to_owned());
    assert_eq!(refused(std::slice::from_ref(&input)), malformed);
    assert_eq!(refused(&[signature.clone(), digest.clone()]), malformed);
    assert_eq!(refused(&[input.clone(), signature.clone()]), malformed);
    assert_eq!(refused(&[input.clone(), input.clone(), signature.clone(), digest.clone()]), malformed);
    let two = ("Signature", format!("{}, b=:AAAA:", signature.1));
    assert_eq!(refused(&[input.clone(), two, digest.clone()]), malformed);
    let loose = ("Signature-Input", input.1.replace(" \"@path\"", ""));
    assert_eq!(refused(&[loose, signature.clone(), digest.clone()]), malformed);
    assert_eq!(refused(&[input.clone(), signature.clone(), other]), (400, "content_digest".to_owned()));
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend([&input, &signature, &digest].map(|(name, value)| (*name, value.as_str())));
    assert_eq!(site.call("POST", NATIVE, &headers, body.as_bytes()).status, 401);
    assert_eq!(site.size(), size);
    assert_eq!(reasons(&decide(&site, &read("r"), &parts(&clock, "n"))), NONE);
}

/// Threat 14: requests that are not the subject's own must not use up its rate.
#[test]
fn a_forged_signature_uses_up_nobodys_rate() {
    let rate = "[[rates]]\nname = 'r'\nsubjects = ['Agent']\ncount = 1\nper_ms = 60_000\n";
    let (site, clock) = Site::with_trust(&(trust() + rate));
    for n in 0..5 {
        let forged = Parts { seed: 9, ..parts(&clock, &format!("f{n}")) };
        assert_eq!(reasons(&decide(&site, &read("r"), &forged)), ["signature_invalid"]);
    }
    assert_eq!(reasons(&decide(&site, &read("r"), &parts(&clock, "n1"))), NONE);
    assert_eq!(reasons(&decide(&site, &read("r"), &parts(&clock, "n2"))), ["rate_exceeded"]);
    assert_eq!(site.replays(), 7);
}

#[test]
fn a_signed_request_is_denied_while_as_many_nonces_as_are_kept_are_in_use() {
    let mut content = EpochContent {
        policies: POLICIES.iter().map(|(id, text)| ((*id).into(), (*text).into())).collect(),
        trust: Some(trust()),
        ..EpochContent::default()
    };
    content.policies.sort();
    let engine = Published::new(content).unwrap().replica().unwrap();
    let clock = Manual::at(1_800_000_000_000);
    let request = read("r").to_string();
    let [input, signature, digest] = sign(&parts(&clock, "n"), request.as_bytes()).map(|(_, value)| value);
    let signature = Arc::new(HttpSignature::read(NATIVE, &input, &signature, &digest).unwrap());
    let now_ms = clock.wall_ms();
    let checked = engine.check(&signature, ORIGIN, now_ms);
    let signed = Signed { signature, body: [1; 16], item: 0 };
    let signed = Some((&checked, &signed));
    let facts = Facts { origin: ORIGIN, signed, ..Facts::unsigned("main", "0a0b0c0d0e0f", now_ms) };
    let request = Request::parse(request.as_bytes()).unwrap();
    let mut fold = Fold::default();
    let settled = |fold: &Fold| {
        let mut verdict = engine.decide(&request, &facts);
        settle(&mut verdict, &request, fold, "main", now_ms, None);
        (verdict.standing(Condition::Identity), verdict.stands())
    };
    assert_eq!(settled(&fold), (Standing::Pass, true));
    for n in 0..MAX_NONCES as u64 {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&n.to_be_bytes());
        fold.state.nonces.consume(&Nonce { id, body: [2; 16], item: 0, expires_ms: now_ms + 1 });
    }
    assert_eq!(settled(&fold), (Standing::Fail(Code::TooManyNonces), false));
    fold.state.advance(now_ms + 1);
    assert_eq!(settled(&fold), (Standing::Pass, true));
}

/// A signature runs out after minutes and an execution may take longer: a renewal asks whether the key still stands.
#[test]
fn a_lease_outlives_its_signature_and_ends_with_the_agents_key() {
    let (site, clock) = Site::with_trust(&with_gate(&trust()));
    let leased = with(read("r"), json!({ "lease_ms": 50_000, "ttl_ms": 600_000, "audience": "gate" }));
    let permit = decide(&site, &leased, &parts(&clock, "n1"))["permit"].clone();
    let mut ends_at = clock.wall_ms() + 50_000;
    for _ in 0..2 {
        clock.advance(40_000);
        let renewed = site.event(&permit, Step::Renew { ends_at });
        assert_eq!(renewed.json()["answer"], "continue", "{}", renewed.text());
        ends_at = clock.wall_ms() + 50_000;
    }
    let other = trust().replace("Agent::\"alice\"", "Agent::\"bob\"");
    assert_eq!(site.publish_trust(&with_gate(&other), 1, 2).status, 200);
    let halted = site.event(&permit, Step::Renew { ends_at }).json();
    assert_eq!((&halted["answer"], &halted["reasons"]), (&json!("halt"), &json!(["signature_subject"])));
    site.replays();
}

#[test]
fn a_record_whose_signature_was_taken_from_another_or_left_out_does_not_come_out() {
    let (site, clock) = site();
    let first = decide(&site, &read("r1"), &parts(&clock, "n1"));
    let second = decide(&site, &read("r2"), &parts(&clock, "n2"));
    let index = |answer: &Value| usize::try_from(answer["index"].as_u64().unwrap()).unwrap();
    let detail = |answer: &Value| Detail::decode(&unb64(answer["detail"]["bytes"].as_str().unwrap()).unwrap()).unwrap();
    let stolen = detail(&first).signed;
    let differs = |entries: Entries| entries.replay(&site, Options::default()).unwrap().difference_count;
    assert_eq!(differs(Entries::of(&site)), 0);
    let (at, stolen_again) = (index(&second), stolen.clone());
    assert_eq!(differs(Entries::of(&site).forge(at, |_, detail| detail.signed = None)), 1);
    assert_eq!(differs(Entries::of(&site).forge(at, |_, detail| detail.signed = stolen_again)), 1);
    let other_body = Entries::of(&site).forge(at, |_, detail| {
        detail.signed = stolen.map(|signed| verifier::decision::Signed { body: [1; 16], ..signed });
    });
    assert_eq!(differs(other_body), 1);
    // Whoever holds the request sees that a body of one is what was signed; of a batch that is the operator's word.
    decide(&site, &json!([read("r3")]), &parts(&clock, "n3"));
    let report = Entries::of(&site).replay(&site, Options::default()).unwrap();
    assert_eq!((report.same, report.given.get("body_digest")), (3, Some(&1)));
}

/// What a realm does not show may have used any nonce, for as long as a signature holds and no longer.
#[test]
fn a_nonce_is_taken_as_free_by_a_stranger_once_nothing_withheld_can_have_it_in_use() {
    let (site, clock) = site();
    let withheld = usize::try_from(site.decide(&read("r"))["index"].as_u64().unwrap()).unwrap();
    assert_eq!(reasons(&decide(&site, &read("r1"), &parts(&clock, "n1"))), NONE);
    assert_eq!(reasons(&decide(&site, &read("r2"), &parts(&clock, "n1"))), ["nonce_used"]);
    clock.advance(MAX_SIGNED_S * 1_000 + MAX_SKEW_MS - 1);
    assert_eq!(reasons(&decide(&site, &read("r3"), &parts(&clock, "n3"))), NONE);
    clock.advance(1);
    assert_eq!(reasons(&decide(&site, &read("r4"), &parts(&clock, "n4"))), NONE);
    assert_eq!(reasons(&decide(&site, &read("r5"), &parts(&clock, "n4"))), ["nonce_used"]);
    let whole = Entries::of(&site).replay(&site, Options::default()).unwrap();
    assert_eq!((whole.same, whole.not_recomputable.len()), (6, 0));
    let mut entries = Entries::of(&site);
    entries.withhold(withheld);
    let report = entries.replay(&site, Options::default()).unwrap();
    let unseen = [("allow, its nonce perhaps used unseen", 2), ("deny", 1), ("deny, its nonce perhaps used unseen", 1)];
    assert_eq!((report.same, report.not_recomputable, report.difference_count), (2, unseen.into(), 0));
}

#[test]
fn an_agents_key_that_was_taken_back_signs_nothing_any_more() {
    let (site, clock) = site();
    assert_eq!(reasons(&decide(&site, &read("r"), &parts(&clock, "n1"))), NONE);
    assert_eq!(site.revoke_what(1, "key alice-1").status, 200);
    assert_eq!(reasons(&decide(&site, &read("r"), &parts(&clock, "n2"))), ["key_revoked"]);
    assert_eq!(site.replays(), 2);
}
