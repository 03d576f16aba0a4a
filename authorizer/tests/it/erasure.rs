//! Erasing over HTTP: on what ground and when, what may not be erased yet, and what is left of it.

use std::path::Path;
use std::sync::Arc;

use authorizer::clock::{Manual, Source};
use authorizer::replay::Options;
use ledger::Signer;
use serde_json::{Value, json};
use verifier::act::{Act, Deed, Parts, Power};
use verifier::approval::{Approval, core_digest};
use verifier::event::Step;
use verifier::record::Record;
use verifier::request::Request;

use crate::replay::Entries;
use crate::support::{Answer, ORIGIN, Site, bearer, call, read, reasons, with, with_gate};

/// What is to be gone.
const SECRET: &str = "zebra-4711";
const DAY_MS: u64 = 24 * 3_600_000;
const AT_ONCE: &str = "[erasure]\nafter_ms = 0\n";

fn note(site: &Site, index: &Value, parts: Parts) -> String {
    let (ground, authority) = ("article 17".to_owned(), "the officer".to_owned());
    let deed = Deed::Erasure { index: index.as_u64().unwrap(), parts, ground, authority };
    Act { origin: ORIGIN.into(), follows: governance(site), deed }.text()
}

fn governance(site: &Site) -> u64 {
    site.admin("GET", "/v1/governance", "", b"").json()["governance"].as_u64().unwrap()
}

fn erase(site: &Site, index: &Value, parts: Parts) -> Answer {
    site.admin("POST", "/v1/erasures", "text/plain", site.sign_text(&note(site, index, parts)).as_bytes())
}

fn codes(answer: &Answer) -> (u16, String) {
    (answer.status, if answer.status == 200 { String::new() } else { answer.code() })
}

/// Files under a directory that hold the bytes.
fn holding(dir: &Path, what: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, what));
        } else if std::fs::read(&path).unwrap().windows(what.len()).any(|window| window == what) {
            found.push(path.display().to_string());
        }
    }
    found
}

fn public(site: &Site, path: &str) -> Answer {
    let address = site.service.as_ref().unwrap().public_address().unwrap();
    (0..100).map(|_| call(address, "GET", path, &[], b"")).find(|answer| answer.status != 503).unwrap()
}

fn secret(site: &Site, fields: Value) -> Value {
    let mut request = with(read(SECRET), fields);
    request["resource"]["id"] = SECRET.into();
    site.decide(&request)
}

fn aged(trust: &str) -> (Site, Arc<Manual>, Value) {
    let (site, clock) = Site::with_trust(trust);
    let answer = secret(&site, json!({}));
    assert_eq!(answer["decision"], true, "{answer}");
    (site, clock, answer)
}

/// Threat 22.
#[test]
fn what_is_erased_is_in_no_file_any_more_and_its_proofs_hold() {
    let (mut site, clock, answer) = aged("");
    let index = &answer["index"];
    let data = site.dir.path().join("data");
    assert!(!holding(&data, SECRET.as_bytes()).is_empty());
    clock.advance(30 * DAY_MS - 1);
    assert_eq!(codes(&erase(&site, index, Parts::Both)), (409, "retained".into()));
    clock.advance(1);
    let other = site.decide(&read("other"));
    let done = erase(&site, index, Parts::Both);
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(holding(&data, SECRET.as_bytes()), Vec::<String>::new());
    for part in ["salt", "detail"] {
        let salt = if part == "salt" { &answer["salt"] } else { &answer["detail"]["salt"] };
        let salt = verifier::text::unb64(salt.as_str().unwrap()).unwrap();
        assert_eq!(holding(&data, &salt), Vec::<String>::new(), "{part}");
    }
    site.verify(&answer);
    let gone = public(&site, &format!("/v1/requests/{index}"));
    assert_eq!((gone.status, gone.code()), (410, "erased".into()));
    // Nor does a key that reads get what is gone.
    let made = site.admin("POST", "/v1/keys", "application/json", br#"{"role":"read"}"#).json();
    let reads = bearer(made["key"].as_str().unwrap());
    let gone = site.call("GET", &format!("/v1/requests/{index}"), &[("Authorization", &*reads)], b"");
    assert_eq!((gone.status, gone.code()), (410, "erased_parts".into()));
    assert_eq!(public(&site, &format!("/v1/requests/{}", other["index"])).status, 200);
    assert_eq!(public(&site, &format!("/v1/receipts/{index}")).status, 200);
    assert_eq!(codes(&erase(&site, index, Parts::Both)), (409, "already_erased".into()));
    let Record::Erasure { index: of, parts: 3, .. } =
        site.reader.record(done.json()["index"].as_u64().unwrap()).unwrap()
    else {
        panic!("no record")
    };
    assert_eq!(of, index.as_u64().unwrap());
    // It does not stop the next start, which is the same state.
    site.restart();
    assert_eq!(site.decide(&read("again"))["decision"], true);
    assert_eq!(holding(&data, SECRET.as_bytes()), Vec::<String>::new());
}

/// Threat 21: what was erased is counted, by who asked and how it was decided, and never taken for right.
#[test]
fn what_is_erased_is_counted_by_key_and_outcome_and_never_guessed() {
    let (site, _, answer) = aged(AT_ONCE);
    let denied = site.decide(&crate::support::erase(SECRET));
    let kept = site.decide(&read("kept"));
    assert_eq!(erase(&site, &answer["index"], Parts::Request).status, 200);
    assert_eq!(erase(&site, &denied["index"], Parts::Both).status, 200);
    assert_eq!(site.decide(&read("more"))["decision"], true);
    let report = Entries::of(&site).replay(&site, Options::default()).unwrap();
    assert_eq!((report.difference_count, report.decisions, report.same), (0, 4, 2), "{report:?}");
    assert_eq!(report.not_recomputable, [("allow", 1), ("deny", 1)].into());
    let key = Entries::of(&site).key_of(usize::try_from(kept["index"].as_u64().unwrap()).unwrap());
    assert_eq!(report.erased, [((String::new(), "deny"), 1), ((key, "allow"), 1)].into());
}

/// Threat 8: what was spent stays spent.
#[test]
fn erasing_does_not_make_a_budget_forget() {
    let budget = "[[budgets]]\nname = \"money\"\nactions = [\"read\"]\namount = \"context.cents\"\ncap = 100\nwindow_ms = 60_000\n";
    let (mut site, clock) = Site::with_trust(&format!("{AT_ONCE}{budget}"));
    let spend = |site: &Site, cents: u64| secret(site, json!({ "context": { "cents": cents } }));
    let spent = spend(&site, 100);
    assert_eq!(codes(&erase(&site, &spent["index"], Parts::Detail)), (409, "still_needed".into()));
    assert_eq!(codes(&erase(&site, &spent["index"], Parts::Both)), (409, "still_needed".into()));
    // The request alone is not what it rests on.
    assert_eq!(erase(&site, &spent["index"], Parts::Request).status, 200);
    assert_eq!(reasons(&spend(&site, 1)), ["budget_exceeded"]);
    site.restart();
    assert_eq!(reasons(&spend(&site, 1)), ["budget_exceeded"]);
    // Once no window of any epoch reaches back so far, it may go.
    for _ in 0..32 {
        clock.advance(DAY_MS);
        spend(&site, 0);
    }
    assert_eq!(codes(&erase(&site, &spent["index"], Parts::Detail)), (200, String::new()));
    site.restart();
    assert_eq!(spend(&site, 100)["decision"], true);
}

#[test]
fn what_a_permit_or_a_retry_rests_on_is_not_erased() {
    let (site, clock, _) = aged(AT_ONCE);
    let open = secret(&site, json!({ "delegates": ["Agent::\"bob\""], "ttl_ms": 60_000 }));
    let retried = secret(&site, json!({ "idempotency_key": "once" }));
    for (answer, until) in [(&open, 60_000), (&retried, DAY_MS)] {
        for parts in [Parts::Request, Parts::Detail, Parts::Both] {
            assert_eq!(codes(&erase(&site, &answer["index"], parts)), (409, "still_needed".into()), "{parts:?}");
        }
        clock.advance(until);
        site.decide(&read("later"));
        assert_eq!(codes(&erase(&site, &answer["index"], Parts::Both)), (200, String::new()));
    }
}

#[test]
fn only_who_may_erases_and_only_a_decision_of_this_log() {
    let eraser = Signer::from_seed(&Act::eraser_name(ORIGIN), &[9; 32]).unwrap();
    let trust = format!("[erasure]\nafter_ms = 0\nkeys = [\"{}\"]\n", eraser.verifier_key());
    let (site, _, answer) = aged(&trust);
    let post = |note: &str| codes(&site.admin("POST", "/v1/erasures", "text/plain", note.as_bytes()));
    let act = note(&site, &answer["index"], Parts::Both);
    assert_eq!(post(&site.sign_text(&act)), (403, "invalid_signature".into()), "an administrator");
    let switch = Deed::Switch { target: verifier::act::Target::Global, power: Power::Run, reason: "no".into() };
    let switch = Act { origin: ORIGIN.into(), follows: 1, deed: switch };
    assert_eq!(post(&eraser.sign_note(&switch.text())).0, 403);
    assert_ne!(
        site.admin("POST", "/v1/switches", "text/plain", eraser.sign_note(&switch.text()).as_bytes()).status,
        200
    );
    let nothing = note(&site, &json!(0), Parts::Both);
    assert_eq!(post(&eraser.sign_note(&nothing)), (404, "not_found".into()));
    let stranger = call(site.address(), "POST", "/v1/erasures", &[("Content-Type", "text/plain")], act.as_bytes());
    assert_eq!(stranger.status, 401);
    assert_eq!(codes(&site.send("/v1/erasures", "text/plain", eraser.sign_note(&act).as_bytes())).0, 403);
    let later = act.replace("\n1\n", "\n2\n");
    assert_eq!(post(&eraser.sign_note(&later)), (409, "governance_conflict".into()));
    assert_eq!(post(&eraser.sign_note(&act)), (200, String::new()));
    // What was erased is not answered again.
    let permit = answer["permit"].as_str().unwrap();
    assert_ne!(
        site.call("GET", &format!("/v1/permits/{permit}"), &[("Authorization", &bearer(&site.key))], b"").status,
        200
    );
}

/// A start that begins at the first record meets the steps of a lease whose decision it does not see any more.
#[test]
fn a_lease_that_ended_and_was_erased_does_not_stop_a_start() {
    let (mut site, clock) = Site::with_states(ledger::storage::ram::Ram::new(), 1 << 16, &with_gate(AT_ONCE));
    let leased = secret(&site, json!({ "lease_ms": 10_000, "ttl_ms": 60_000, "audience": "gate" }));
    let ends_at = clock.wall_ms() + 10_000;
    clock.advance(1_000);
    assert_eq!(site.event(&leased["permit"], Step::Renew { ends_at }).status, 200);
    assert_eq!(codes(&erase(&site, &leased["index"], Parts::Detail)), (409, "still_needed".into()));
    assert_eq!(site.event(&leased["permit"], Step::Started).status, 200);
    clock.advance(60_000);
    // The end of the lease is a record of its own.
    site.decide(&read("later"));
    site.decide(&read("later still"));
    assert_eq!(codes(&erase(&site, &leased["index"], Parts::Both)), (200, String::new()));
    // The state is stated anew; whoever begins without it comes to the same.
    site.decide(&read("stated"));
    assert_eq!(site.states().len(), 1);
    site.restart();
    let ram = site.ram.clone().unwrap();
    ram.lose(&std::path::PathBuf::from(format!("/log/state/{:020}.fold", site.states()[0])));
    site.restart();
    assert_eq!(site.service.as_ref().unwrap().folded().from, None);
    assert_eq!(site.decide(&read("on"))["decision"], true);
    let report = Entries::of(&site).replay(&site, Options::default()).unwrap();
    assert_eq!((report.difference_count, report.states, report.states_same), (0, 1, 1), "{report:?}");
}

/// Approvals that were used up count again for nobody, as long as any of them could.
#[test]
fn a_permit_that_used_approvals_up_is_not_erased_before_they_run_out() {
    let carol = Signer::from_seed("carol", &[7; 32]).unwrap();
    let trust = format!(
        "{AT_ONCE}[[approvers]]\nkey = '{}'\nperson = 'User::\"carol\"'\n\
         [[approvals]]\nactions = ['read']\nsubjects = ['Agent']\ncount = 1\napprovers = ['carol']\n",
        carol.verifier_key()
    );
    let (site, clock) = Site::with_trust(&trust);
    let request = read(SECRET);
    let denied = site.decide(&request);
    let salt: [u8; 16] = verifier::text::unb64(denied["salt"].as_str().unwrap()).unwrap().try_into().unwrap();
    let approval = Approval {
        origin: ORIGIN.into(),
        realm: "main".into(),
        decision: denied["permit"].as_str().unwrap().parse().unwrap(),
        core: core_digest(&salt, &Request::parse(request.to_string().as_bytes()).unwrap()).unwrap(),
        expires_at: clock.wall_ms() + 600_000,
    };
    let note = carol.sign_note(&approval.text());
    assert_eq!(site.admin("POST", "/v1/approvals", "text/plain", note.as_bytes()).status, 201);
    let permitted = site.decide(&with(request, json!({ "retry_of": denied["permit"] })));
    assert_eq!(permitted["decision"], true, "{permitted}");
    clock.advance(600_000 - 1);
    for answer in [&denied, &permitted] {
        assert_eq!(codes(&erase(&site, &answer["index"], Parts::Detail)), (409, "still_needed".into()));
    }
    clock.advance(1);
    for answer in [&denied, &permitted] {
        assert_eq!(codes(&erase(&site, &answer["index"], Parts::Detail)), (200, String::new()));
    }
}

/// Threat 21: whoever holds the log's key erases early all the same, and is found.
#[test]
fn an_erasure_before_the_epoch_lets_it_be_is_found_by_replay() {
    let (site, clock, answer) = aged("[erasure]\nafter_ms = 5_000\n");
    clock.advance(5_000);
    assert_eq!(erase(&site, &answer["index"], Parts::Request).status, 200);
    let entries = Entries::of(&site);
    assert_eq!(Entries::of(&site).replay(&site, Options::default()).unwrap().difference_count, 0);
    let early = entries.alter(|record| match record {
        Record::Erasure { recorded_at, index, parts, note } => {
            Record::Erasure { recorded_at: recorded_at - 1, index, parts, note }
        }
        other => other,
    });
    let report = early.replay(&site, Options::default()).unwrap();
    assert_eq!(report.difference_count, 1, "{report:?}");
    assert!(report.differences[0].what.contains("before the epoch lets it be"), "{report:?}");
}

/// The clock says when parts may go, so nothing goes while it is in doubt.
#[test]
fn nothing_is_erased_while_the_clock_is_in_doubt() {
    let (site, clock, answer) = aged("");
    clock.step_to(clock.wall_ms() + 40 * DAY_MS);
    assert_eq!(codes(&erase(&site, &answer["index"], Parts::Both)), (409, "still_needed".into()));
}

#[test]
fn decisions_that_are_made_while_parts_are_erased_are_all_kept() {
    let (mut site, _) = Site::with_trust(AT_ONCE);
    let old: Vec<Value> = (0..12).map(|_| secret(&site, json!({}))).collect();
    let made: Vec<Value> = std::thread::scope(|scope| {
        let deciders: Vec<_> = (0..3)
            .map(|n| {
                let (address, key) = (site.address(), bearer(&site.key));
                scope.spawn(move || {
                    let headers = [("Authorization", &*key), ("Content-Type", "application/json")];
                    let decide = |m| {
                        let request = read(&format!("{n}-{m}")).to_string();
                        call(address, "POST", "/v1/decisions", &headers, request.as_bytes()).json()
                    };
                    (0..40).map(decide).collect::<Vec<_>>()
                })
            })
            .collect();
        for answer in &old {
            assert_eq!(codes(&erase(&site, &answer["index"], Parts::Both)), (200, String::new()));
        }
        deciders.into_iter().flat_map(|decider| decider.join().unwrap()).collect()
    });
    for restarted in [false, true] {
        if restarted {
            site.restart();
        }
        for answer in &made {
            site.verify(answer);
            assert!(site.reader.private(answer["index"].as_u64().unwrap()).is_ok());
        }
        for answer in &old {
            let gone = site.reader.private(answer["index"].as_u64().unwrap());
            assert!(matches!(gone, Err(ledger::ReadError::Erased { .. })));
        }
    }
    let report = Entries::of(&site).replay(&site, Options::default()).unwrap();
    assert_eq!((report.difference_count, report.same), (0, 120), "{report:?}");
    assert_eq!(holding(&site.dir.path().join("data"), SECRET.as_bytes()), Vec::<String>::new());
}

/// If it crashes between the vault and the snapshots, those that tell of what was erased go at the next start.
#[test]
fn snapshots_that_tell_of_what_was_erased_go_at_the_next_start() {
    let (mut site, clock) = Site::with_states(ledger::storage::ram::Ram::new(), 2, AT_ONCE);
    let answer = secret(&site, json!({ "delegates": [format!("Agent::\"{SECRET}\"")], "ttl_ms": 1_000 }));
    for n in 0..3 {
        site.decide(&read(&n.to_string()));
    }
    // Whoever writes snapshots beside the log is done then.
    site.restart();
    let ram = site.ram.clone().unwrap();
    let held = || {
        let holds = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        ram.snapshot().into_iter().filter(|(_, bytes)| holds(bytes)).map(|(path, _)| path).collect::<Vec<_>>()
    };
    assert!(held().iter().any(|path| path.starts_with("/log/state")), "{:?}", held());
    clock.advance(1_000);
    ram.fault(ledger::storage::ram::Rule {
        op: None,
        path: "/state".into(),
        nth: 0,
        fault: ledger::storage::ram::Fault::Kill,
    });
    assert_eq!(erase(&site, &answer["index"], Parts::Both).status, 503);
    assert!(held().iter().all(|path| path.starts_with("/log/state")) && !held().is_empty(), "{:?}", held());
    site.crash();
    assert_eq!(held(), Vec::<std::path::PathBuf>::new());
    assert_eq!(site.decide(&read("on"))["decision"], true);
}

#[test]
fn an_erasure_that_was_cut_short_is_finished_by_the_next_start() {
    let (site, _) = Site::with_states(ledger::storage::ram::Ram::new(), 4, AT_ONCE);
    let mut site = site;
    let answers: Vec<Value> = (0..6).map(|_| secret(&site, json!({}))).collect();
    let ram = site.ram.clone().unwrap();
    let held = |site: &Site| {
        let files = site.ram.as_ref().unwrap().snapshot();
        let mut salts = answers.iter().map(|answer| verifier::text::unb64(answer["salt"].as_str().unwrap()).unwrap());
        let salt = salts.next().unwrap();
        files.values().any(|bytes| bytes.windows(salt.len()).any(|window| window == salt))
    };
    ram.fault(ledger::storage::ram::Rule {
        op: None,
        path: "/vault/".into(),
        nth: 0,
        fault: ledger::storage::ram::Fault::Kill,
    });
    assert_eq!(erase(&site, &answers[0]["index"], Parts::Both).status, 503);
    assert!(held(&site));
    site.crash();
    assert!(!held(&site));
    let gone = site.reader.private(answers[0]["index"].as_u64().unwrap());
    assert!(matches!(gone, Err(ledger::ReadError::Erased { .. })));
    assert_eq!(site.decide(&read("on"))["decision"], true);
}
