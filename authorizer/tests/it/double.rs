//! What compiled policies decide is decided again by plain Cedar; where a wrong program is planted, it is found, and nothing rests on it any more.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use authorizer::double::Room;
use authorizer::engine::Published;
use authorizer::engines::{EngineSet, Engines};
use authorizer::governance::{NewEpoch, Proposed};
use authorizer::replay::{Options, replay};
use ledger::storage::ram::Ram;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use verifier::act::{Act, Deed, Mode};
use verifier::decision::{Class, Classes, Condition, Outcome};
use verifier::epoch::EpochContent;
use verifier::event::Step;
use verifier::record::{LeaseEvent, Record};

use crate::replay::Entries;
use crate::support::{ORIGIN, POLICIES, Site, read, reasons, with, with_gate};

const ALL: &str = "[engine]\nkind = \"compiled\"\ncheck_every = 1\n";
const HARDLY_ANY: &str = "[engine]\nkind = \"compiled\"\ncheck_every = 65536\n";

/// What is published.
fn right(trust: &str) -> EpochContent {
    let policies = POLICIES.iter().map(|(id, text)| ((*id).to_owned(), (*text).to_owned())).collect();
    let mut content = EpochContent { policies, trust: Some(trust.into()), ..EpochContent::default() };
    content.policies.sort();
    content
}

/// What the planted program was compiled from: what is archived may be written.
fn wrong(trust: &str) -> EpochContent {
    let mut content = right(trust);
    for (id, text) in &mut content.policies {
        if id == "writes" {
            *text = r#"@id("writes") permit(principal, action == Action::"write", resource);"#.into();
        }
    }
    content
}

/// Publishes an epoch whose compiled form is that of other policies.
fn plant(site: &Site, trust: &str, follows: u64, number: u64) -> Engines {
    let content = right(trust);
    let deed = Deed::Epoch { number, content: content.digest(), mode: Mode::Live };
    let verified = site.governors().open(&site.sign(&Act { origin: ORIGIN.into(), follows, deed })).unwrap();
    let document = content.encode();
    let (published, program) = (Arc::new(Published::new(content).unwrap()), Published::new(wrong(trust)).unwrap());
    assert!(published.is_compiled());
    let each = (0..2).map(|_| program.compiled_replica().unwrap()).collect();
    let engines = EngineSet::beside(each, &published).unwrap();
    let (reply, answer) = oneshot::channel();
    let epoch = Some(NewEpoch { document, engines: engines.clone(), predecessor: None });
    site.service.as_ref().unwrap().shared().queue.push_act(Proposed { verified, epoch, trace: None, reply }).unwrap();
    assert_eq!(answer.blocking_recv().unwrap().unwrap().governance, follows + 1);
    engines
}

fn planted(trust: &str) -> (Site, Engines) {
    let site = Site::without_epoch(None, |_| {});
    let engines = plant(&site, trust, 0, 1);
    (site, engines)
}

fn write(id: &str) -> Value {
    with(read(id), json!({ "action": { "name": "write" } }))
}

/// What plain Cedar denies and the planted program allows.
fn archived(id: &str) -> Value {
    let resource = json!({ "type": "Record", "id": id, "properties": { "archived": true } });
    with(write(id), json!({ "resource": resource }))
}

/// What neither can evaluate to its end: a `forbid` errs.
fn erring(id: &str) -> Value {
    let resource = json!({ "type": "Record", "id": id, "properties": { "frozen": "no boolean" } });
    with(read(id), json!({ "resource": resource }))
}

fn metric(site: &Site, name: &str) -> u64 {
    let text = site.call("GET", "/metrics", &[], b"").text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    value.map_or(0, |value| value.parse().unwrap())
}

fn rechecks(site: &Site, outcome: &str) -> u64 {
    metric(site, &format!("authorizer_rechecks_total{{outcome=\"{outcome}\"}}"))
}

fn alerts(site: &Site) -> Vec<String> {
    // A canary of a new epoch is denied within a second.
    until("decisions go on", || site.call("GET", "/readyz", &[], b"").status == 200);
    let answer = site.call("GET", "/readyz", &[], b"");
    let alerts = answer.json()["alerts"].as_array().cloned().unwrap_or_default();
    assert_eq!(metric(site, "authorizer_alerts"), alerts.len() as u64);
    alerts.iter().map(|alert| alert.as_str().unwrap().to_owned()).collect()
}

const DIFFERED: &str = "compiled policies differed from plain Cedar, which decides now";
const NOBODY: &str = "nobody decides again what compiled policies decide, so plain Cedar decides";
const MISSED: &str = "decisions with a policy error were not decided again";

/// Waits for something that another thread does.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..4_000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("never: {what}");
}

/// The causes of the service's own switches.
fn causes(site: &Site) -> Vec<String> {
    let cause = |record| if let Record::SystemSwitch { cause, .. } = record { Some(cause) } else { None };
    site.records().into_iter().filter_map(cause).collect()
}

fn permit(site: &Site, answer: &Value) -> Value {
    site.get(&format!("/v1/permits/{}", answer["permit"].as_str().unwrap())).json()
}

/// The indexes at which the log does not come out again.
fn differences(site: &Site) -> Vec<u64> {
    let checkpoint = site.reader.head().checkpoint.clone();
    let head = (checkpoint.size, checkpoint.root);
    let report = replay(&mut site.reader.clone(), &site.governors(), head, Options::default(), &mut |_| {}).unwrap();
    assert_eq!(report.states, report.states_same);
    report.differences.iter().map(|difference| difference.index).collect()
}

fn notes(site: &Site) -> Vec<Value> {
    let Ok(directory) = fs::read_dir(site.dir.path().join("data/cases")) else { return Vec::new() };
    let texts = directory.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    // One that is just being written is none yet.
    texts.filter_map(|text| serde_json::from_str(&text).ok()).collect()
}

#[test]
fn what_compiled_policies_allow_wrongly_is_found_taken_back_and_said_and_plain_cedar_decides_until_the_next_epoch() {
    let trust = &with_gate(ALL);
    let (mut site, engines) = planted(trust);
    assert_eq!((metric(&site, "authorizer_compiled"), alerts(&site)), (1, vec![]));
    // Whoever decides again is held up, so that the wrong permit lives long enough to have a child.
    let held = engines.second().unwrap().lock().unwrap();
    let fields = json!({ "delegates": ["Agent::\"bob\""], "audience": "gate", "lease_ms": 60_000 });
    let parent = site.decide(&with(archived("a"), fields));
    assert_eq!(parent["decision"], true, "the program is wrong: {parent}");
    let child = json!({ "subject": { "type": "Agent", "id": "bob" }, "parent": parent["permit"] });
    let child = site.decide(&with(read("a"), child));
    assert_eq!(child["decision"], true, "{child}");
    drop(held);
    until("a switch of the service's own", || !causes(&site).is_empty());
    assert_eq!(causes(&site), [format!("engine_mismatch permit {}", parent["permit"].as_str().unwrap())]);

    for void in [&parent, &child] {
        let now = permit(&site, void);
        assert_eq!((&now["decision"], &now["reasons"]), (&json!(false), &json!(["revoked"])), "{now}");
    }
    assert_eq!(reasons(&site.decide(&archived("b"))), ["no_matching_permit"]);
    let renewed = site.event(&parent["permit"], Step::Started);
    assert_ne!(renewed.json()["answer"], "continue", "{}", renewed.text());
    assert_eq!((metric(&site, "authorizer_compiled"), alerts(&site)), (0, vec![DIFFERED.to_owned()]));
    assert!(rechecks(&site, "differs") == 1);
    // It is kept when the log has been told.
    until("a note of the case", || !notes(&site).is_empty());
    let notes = notes(&site);
    let [note] = &notes[..] else { panic!("{notes:?}") };
    assert_eq!((&note["index"], &note["permit"]), (&parent["index"], &parent["permit"]));
    assert_eq!(note["recorded"]["policy"], "pass");
    assert_eq!((&note["plain_cedar"]["policy"], &note["compiled_again"]["policy"]), (&json!("fail"), &json!("pass")));
    assert!(!note.to_string().contains("alice") && !note.to_string().contains("writes"), "what is private: {note}");

    site.restart();
    assert_eq!((metric(&site, "authorizer_compiled"), alerts(&site)), (0, vec![DIFFERED.to_owned()]));
    assert_eq!(reasons(&site.decide(&archived("c"))), ["no_matching_permit"]);
    assert_eq!(permit(&site, &parent)["decision"], false);

    assert_eq!(site.publish_content(right(trust), 2, 2).status, 200);
    assert_eq!((metric(&site, "authorizer_compiled"), alerts(&site)), (1, vec![]));
    assert_eq!(reasons(&site.decide(&archived("d"))), ["no_matching_permit"]);
    assert_eq!(permit(&site, &parent)["decision"], false, "what was taken back stays so");
    // Who replays follows the log, and finds the one decision that was wrong.
    assert_eq!(differences(&site), [parent["index"].as_u64().unwrap()]);
}

#[test]
fn a_critical_decision_that_plain_cedar_does_not_confirm_is_denied_and_replay_comes_to_the_same() {
    let trust = &format!("{HARDLY_ANY}[actions.write]\ncritical = true\n");
    let (site, _) = planted(trust);
    assert_eq!(site.decide(&write("a"))["decision"], true, "both say so");
    let body = json!([read("b"), archived("b"), read("c")]);
    let answer = site.post("/v1/decisions", &body).json();
    let said: Vec<&Value> = answer.as_array().unwrap().iter().collect();
    assert_eq!((&said[0]["decision"], &said[2]["decision"]), (&json!(true), &json!(true)));
    assert_eq!(reasons(said[1]), ["engine_mismatch"]);
    assert_eq!(said[1]["conditions"]["policy"], "unknown:engine_mismatch");
    until("a switch of the service's own", || !causes(&site).is_empty());
    assert_eq!(causes(&site), ["engine_mismatch"]);
    assert_eq!(reasons(&site.decide(&archived("d"))), ["no_matching_permit"], "plain Cedar alone was asked");
    assert_eq!((metric(&site, "authorizer_compiled"), alerts(&site)), (0, vec![DIFFERED.to_owned()]));
    until("a note", || !notes(&site).is_empty());
    let note = &notes(&site)[0];
    assert_eq!(note["index"], said[1]["index"]);
    assert_eq!((&note["plain_cedar"]["policy"], &note["compiled_again"]["policy"]), (&json!("fail"), &json!("pass")));
    site.replays();
}

#[test]
fn a_critical_execution_goes_on_only_if_plain_cedar_says_so() {
    let trust = &with_gate(&format!("{HARDLY_ANY}[actions.write]\ncritical = true\n"));
    let site = Site::without_epoch(None, |_| {});
    // An epoch under which what is archived may be written, by plain Cedar too.
    assert_eq!(site.publish_content(wrong(trust), 0, 1).status, 200);
    let asked = with(archived("a"), json!({ "audience": "gate", "lease_ms": 60_000 }));
    let permit = site.decide(&asked);
    assert_eq!(permit["decision"], true, "{permit}");
    plant(&site, trust, 1, 2);
    let begun = site.event(&permit["permit"], Step::Started);
    let last = site.records().pop().unwrap();
    assert!(matches!(last, Record::Lease { event: LeaseEvent::Halted, .. }), "{last:?}: {}", begun.text());
    assert_eq!(causes(&site), ["engine_mismatch"]);
    site.replays();
}

#[test]
fn without_anybody_to_decide_again_nothing_is_decided_compiled() {
    let (mut site, _) = planted(ALL);
    let shared = site.service.as_ref().unwrap().shared().clone();
    shared.doubles.close();
    until("it is gone", || shared.doubles.is_gone());
    assert_eq!(reasons(&site.decide(&archived("a"))), ["no_matching_permit"], "the planted program allows it");
    assert_eq!((metric(&site, "authorizer_compiled"), alerts(&site)), (0, vec![NOBODY.to_owned()]));
    plant(&site, ALL, 1, 2);
    assert_eq!(reasons(&site.decide(&archived("b"))), ["no_matching_permit"], "nor under a later epoch");
    assert_eq!(alerts(&site), [NOBODY]);
    assert_eq!(causes(&site), [""; 0], "nothing differed");
    drop(shared);
    site.restart();
    assert_eq!((metric(&site, "authorizer_compiled"), alerts(&site)), (1, vec![]));
    site.replays();
}

#[test]
fn what_does_not_fit_is_counted_and_holds_nobody_up() {
    let site = Site::without_epoch(None, |config| config.rechecks = Room { drawn: 2, erred: 2 });
    assert_eq!(site.publish_content(right(ALL), 0, 1).status, 200);
    let engines = site.service.as_ref().unwrap().shared().live.load().engines.clone().unwrap();
    let held = engines.second().unwrap().lock().unwrap();
    for n in 0..6 {
        assert_eq!(site.decide(&read(&n.to_string()))["decision"], true);
        assert_eq!(reasons(&site.decide(&erring(&n.to_string()))), ["policy_error"]);
    }
    // One is held, of each kind two wait.
    assert_eq!(metric(&site, "authorizer_rechecks_waiting"), 4);
    assert_eq!(rechecks(&site, "skipped") + rechecks(&site, "missed"), 7);
    assert!(rechecks(&site, "missed") >= 3);
    assert_eq!(alerts(&site), [MISSED]);
    drop(held);
    until("what waited is decided again", || rechecks(&site, "same") == 5);
    assert_eq!((causes(&site), alerts(&site)), (vec![], vec![MISSED.to_owned()]), "what was missed was missed");
}

#[test]
fn each_decision_with_a_policy_error_is_decided_again_and_hardly_any_other() {
    let site = Site::without_epoch(None, |_| {});
    assert_eq!(site.publish_content(right(HARDLY_ANY), 0, 1).status, 200);
    let body: Vec<Value> =
        (0..8).map(|n| if n % 2 == 0 { erring(&n.to_string()) } else { read(&n.to_string()) }).collect();
    assert_eq!(site.post("/v1/decisions", &json!(body)).status, 200);
    until("four are decided again", || rechecks(&site, "same") >= 4);
    assert!(rechecks(&site, "same") <= 5, "one of four in 65,536 is drawn once in 16,384 runs");
    assert_eq!((causes(&site), alerts(&site)), (vec![], vec![]));
}

#[test]
fn an_epoch_that_asks_for_plain_cedar_is_decided_by_it_and_nothing_is_decided_again() {
    let site = Site::without_epoch(None, |_| {});
    assert_eq!(site.publish_content(right("[engine]\nkind = \"cedar\"\ncheck_every = 1\n"), 0, 1).status, 200);
    assert_eq!(site.decide(&read("a"))["decision"], true);
    assert_eq!(reasons(&site.decide(&erring("b"))), ["policy_error"]);
    assert_eq!((metric(&site, "authorizer_compiled"), alerts(&site)), (0, vec![]));
    assert_eq!(rechecks(&site, "same") + metric(&site, "authorizer_rechecks_waiting"), 0);
    // One that does not say is not compiled either.
    assert_eq!(site.publish_content(right(""), 1, 2).status, 200);
    assert_eq!(metric(&site, "authorizer_compiled"), 0);
    assert_eq!(site.publish_content(right(HARDLY_ANY), 2, 3).status, 200);
    assert_eq!(metric(&site, "authorizer_compiled"), 1);
    assert_eq!(site.replays(), 2);
}

#[test]
fn what_was_decided_wrongly_under_an_epoch_before_is_taken_back_and_the_one_in_force_is_not_trusted_either() {
    let (site, engines) = planted(ALL);
    let held = engines.second().unwrap().lock().unwrap();
    let wrong = site.decide(&archived("a"));
    assert_eq!(wrong["decision"], true);
    assert_eq!(site.publish_content(right(ALL), 1, 2).status, 200);
    drop(held);
    until("a switch of the service's own", || !causes(&site).is_empty());
    assert_eq!(permit(&site, &wrong)["decision"], false);
    assert_eq!((metric(&site, "authorizer_compiled"), alerts(&site)), (0, vec![DIFFERED.to_owned()]));
    assert_eq!(differences(&site), [wrong["index"].as_u64().unwrap()]);
}

#[test]
fn a_start_from_a_snapshot_knows_that_plain_cedar_decides() {
    let (mut site, _clock) = Site::with_states(Ram::new(), 4, ALL);
    for n in 0..6 {
        site.decide(&read(&n.to_string()));
    }
    plant(&site, ALL, 1, 2);
    assert_eq!(site.decide(&archived("a"))["decision"], true);
    until("a switch of the service's own", || !causes(&site).is_empty());
    for n in 0..9 {
        site.decide(&read(&n.to_string()));
    }
    let switch = (0..).zip(site.records()).find(|(_, record)| matches!(record, Record::SystemSwitch { .. })).unwrap().0;
    assert!(site.states().last().unwrap() > &switch, "the log goes on to say what the state is");
    site.restart();
    let from = site.service.as_ref().unwrap().folded().from;
    assert!(from.is_some_and(|from| from < switch), "{from:?}: a snapshot, and one from before");
    assert_eq!((metric(&site, "authorizer_compiled"), alerts(&site)), (0, vec![DIFFERED.to_owned()]));
    assert_eq!(reasons(&site.decide(&archived("b"))), ["no_matching_permit"]);

    assert_eq!(site.publish_content(right(ALL), 3, 3).status, 200);
    for n in 0..9 {
        site.decide(&read(&n.to_string()));
    }
    site.restart();
    let from = site.service.as_ref().unwrap().folded().from;
    assert!(from.is_some_and(|from| from > switch), "{from:?}: snapshots are kept again");
    assert_eq!((metric(&site, "authorizer_compiled"), alerts(&site)), (1, vec![]));
    assert_eq!(differences(&site).len(), 1);
}

#[test]
fn a_denial_that_claims_that_two_engines_differed_where_one_was_asked_does_not_come_out_again() {
    let (site, _) = planted(&format!("{HARDLY_ANY}[actions.write]\ncritical = true\n"));
    for (request, found) in [(read("a"), true), (write("b"), false)] {
        let index = site.decide(&request)["index"].as_u64().unwrap();
        let forged = Entries::of(&site).forge(usize::try_from(index).unwrap(), |decision, detail| {
            let unknown = |of| if of == Condition::Policy { Class::Unknown } else { decision.classes.of(of) };
            decision.classes = Classes::new(Condition::ALL.map(unknown));
            (decision.outcome, decision.grant) = (Outcome::Deny, None);
            detail.codes = vec![(Condition::Policy, "engine_mismatch".into())];
        });
        let report = forged.replay(&site, Options::default()).unwrap();
        let differ: Vec<u64> = report.differences.iter().map(|difference| difference.index).collect();
        assert_eq!(differ.contains(&index), found, "of a critical action it is the operator's word: {report:?}");
        assert_eq!(report.given.contains_key("engine_mismatch"), !found);
    }
}

#[test]
fn a_retry_of_what_was_allowed_wrongly_says_false() {
    let (site, _) = planted(ALL);
    let asked = with(archived("a"), json!({ "idempotency_key": "once" }));
    let first = site.decide(&asked);
    assert_eq!(first["decision"], true);
    until("a switch of the service's own", || !causes(&site).is_empty());
    let again = site.decide(&asked);
    assert_eq!((&again["permit"], &again["decision"]), (&first["permit"], &json!(false)));
}
