//! Condition 6: how often, how much and how many at a time, counted in the log's order and counted the same again.

use authorizer::clock::Source;
use serde_json::{Value, json};
use verifier::act::Power;
use verifier::decision::{Counted, Counter, Detail};

use crate::support::{Site, bearer, erase, read, reasons, with, with_gate};

const RATE: &str = "[[rates]]\nname = \"calls\"\nsubjects = [\"Agent\"]\ncount = 3\nper_ms = 60_000\n";
const BUDGET: &str =
    "[[budgets]]\nname = \"money\"\nactions = [\"read\"]\namount = \"context.cents\"\ncap = 100\nwindow_ms = 60_000\n";
const NONE: [&str; 0] = [];
const LEASES: &str = "[[concurrency]]\nname = \"at-work\"\nmax = 2\n";

fn of(id: &str, mut request: Value) -> Value {
    request["subject"]["id"] = id.into();
    request
}

fn spend(cents: Value) -> Value {
    with(read("r"), json!({ "context": { "cents": cents } }))
}

fn counted(site: &Site, answer: &Value) -> Vec<Counted> {
    let private = site.reader.private(answer["index"].as_u64().unwrap()).unwrap();
    Detail::decode(&private.detail).unwrap().counted
}

#[test]
fn a_rate_denies_what_is_too_often_for_each_subject_by_itself_and_survives_a_restart() {
    let (mut site, clock) = Site::with_trust(RATE);
    for n in 0..3 {
        let allowed = site.decide(&read("r"));
        assert_eq!((reasons(&allowed), &allowed["conditions"]["operational"]), (vec![], &json!("pass")), "{n}");
        let one = Counted { counter: Counter::Rate, name: "calls".into(), amount: 1 };
        assert_eq!(counted(&site, &allowed), [one]);
    }
    let denied = site.decide(&read("r"));
    assert_eq!(reasons(&denied), ["rate_exceeded"]);
    assert_eq!(denied["conditions"]["operational"], "fail:rate_exceeded");
    assert_eq!(counted(&site, &denied), [], "what is refused does not count");
    assert_eq!(reasons(&site.decide(&of("bob", read("r")))), NONE);
    site.restart();
    assert_eq!(reasons(&site.decide(&read("r"))), ["rate_exceeded"]);
    clock.advance(19_999);
    assert_eq!(reasons(&site.decide(&read("r"))), ["rate_exceeded"]);
    clock.advance(1);
    assert_eq!(reasons(&site.decide(&read("r"))), NONE);
    assert_eq!(reasons(&site.decide(&read("r"))), ["rate_exceeded"]);
    assert_eq!(site.replays(), 9);
}

#[test]
fn a_body_is_counted_item_by_item_and_a_repetition_not_at_all() {
    let (site, _) = Site::with_trust(RATE);
    let keyed = with(read("k"), json!({ "idempotency_key": "k" }));
    let body = json!([keyed, read("1"), keyed, read("2"), read("3")]);
    let answers = site.decide(&body);
    let reasons: Vec<_> = answers.as_array().unwrap().iter().map(reasons).collect();
    assert_eq!(reasons, [vec![], vec![], vec![], vec![], vec!["rate_exceeded"]]);
    assert_eq!(site.decide(&keyed)["decision"], true);
    assert_eq!(site.replays(), 4);
}

/// Threat 14: what a policy denies counts for the rate of who asks, and never for a budget.
#[test]
fn denials_use_up_a_rate_and_no_budget() {
    let (site, clock) = Site::with_trust(&format!("{RATE}{BUDGET}"));
    for _ in 0..3 {
        assert_eq!(reasons(&site.decide(&erase("r"))), ["no_matching_permit"]);
    }
    assert_eq!(reasons(&site.decide(&erase("r"))), ["no_matching_permit", "rate_exceeded"]);
    clock.advance(60_000);
    let frozen =
        with(spend(json!(100)), json!({ "resource": { "type": "R", "id": "r", "properties": { "frozen": true } } }));
    assert_eq!(reasons(&site.decide(&frozen)), ["forbidden"]);
    assert_eq!(reasons(&site.decide(&spend(json!(100)))), NONE, "the whole budget is still there");
    assert_eq!(reasons(&site.decide(&spend(json!(1)))), ["budget_exceeded"]);
    assert_eq!(site.replays(), 7);
}

/// Threat 14: nothing is refunded, and no amount is taken that is not one.
#[test]
fn a_budget_takes_whole_amounts_within_its_cap_and_gives_nothing_back() {
    let (mut site, clock) = Site::with_trust(BUDGET);
    assert_eq!(reasons(&site.decide(&spend(json!(60)))), NONE);
    for wrong in [json!(-1_000_000), json!(1.5), json!("1"), json!(101), json!(null), json!([1]), json!(1e300)] {
        assert_eq!(reasons(&site.decide(&spend(wrong.clone()))).last(), Some(&"invalid"), "{wrong}");
    }
    assert_eq!(reasons(&site.decide(&read("r"))), ["invalid"], "no amount is not nothing");
    assert_eq!(reasons(&site.decide(&spend(json!(41)))), ["budget_exceeded"]);
    site.restart();
    assert_eq!(reasons(&site.decide(&spend(json!(41)))), ["budget_exceeded"]);
    assert_eq!(reasons(&site.decide(&spend(json!(0)))), NONE);
    assert_eq!(reasons(&site.decide(&spend(json!(40)))), NONE);
    clock.advance(59_000);
    assert_eq!(reasons(&site.decide(&spend(json!(1)))), ["budget_exceeded"]);
    clock.advance(2_000);
    assert_eq!(reasons(&site.decide(&spend(json!(100)))), NONE);
    site.replays();
}

#[test]
fn a_registered_amount_wins_over_what_the_request_says() {
    let (site, _) =
        Site::with_trust("[[budgets]]\nname = \"size\"\namount = \"resource.size\"\ncap = 100\nwindow_ms = 60_000\n");
    let entities = json!([
        { "uid": { "type": "Agent", "id": "alice" }, "attrs": {}, "parents": [] },
        { "uid": { "type": "Record", "id": "big" }, "attrs": { "size": 90 }, "parents": [] },
        { "uid": { "type": "Record", "id": "odd" }, "attrs": { "size": "90" }, "parents": [] },
    ]);
    let content = verifier::epoch::EpochContent {
        policies: vec![("all".into(), r#"@id("all") permit(principal, action, resource);"#.into())],
        entities: Some(entities.to_string()),
        trust: Some("[[budgets]]\nname = \"size\"\namount = \"resource.size\"\ncap = 100\nwindow_ms = 60_000\n".into()),
        ..Default::default()
    };
    let body = site.content_body(content, 1, 2);
    assert_eq!(site.admin("POST", "/v1/epochs", "application/json", body.to_string().as_bytes()).status, 200);
    let sized = |id: &str| {
        let mut request = read(id);
        request["resource"]["properties"] = json!({ "size": 1 });
        request
    };
    assert_eq!(reasons(&site.decide(&sized("odd"))), ["invalid"]);
    assert_eq!(reasons(&site.decide(&sized("big"))), NONE);
    assert_eq!(reasons(&site.decide(&sized("big"))), ["budget_exceeded"]);
    assert_eq!(reasons(&site.decide(&sized("small"))), NONE);
    assert_eq!(site.replays(), 4);
}

/// Threat 32: whoever invents subjects gets no counters.
#[test]
fn a_limited_action_is_denied_to_subjects_that_nobody_registered_or_named() {
    let (site, _) = Site::with_trust(&RATE.replace("[\"Agent\"]", "[\"Agent\", 'Agent::\"dora\"']"));
    assert_eq!(reasons(&site.decide(&of("eve-1", read("r")))), ["unregistered_subject"]);
    assert_eq!(reasons(&site.decide(&of("dora", read("r")))), NONE);
    let other = with(read("r"), json!({ "subject": { "type": "Bot", "id": "x" } }));
    let free = site.decide(&other);
    assert_eq!((reasons(&free), &free["conditions"]["operational"]), (vec![], &json!("not_required")));
    site.replays();
}

#[test]
fn an_action_that_must_be_limited_is_denied_to_whom_no_limit_applies() {
    let (site, _) = Site::with_trust(&format!("[actions.read]\nrequire = [\"operational\"]\n{RATE}"));
    let other = with(read("r"), json!({ "subject": { "type": "Bot", "id": "x" } }));
    assert_eq!(reasons(&site.decide(&other)), ["unlimited"]);
    assert_eq!(reasons(&site.decide(&read("r"))), NONE);
}

#[test]
fn each_realm_counts_for_itself() {
    let (site, _) = Site::with_trust(RATE);
    let other = site.key_of("other");
    (0..3).for_each(|_| assert_eq!(site.decide(&read("r"))["decision"], true));
    assert_eq!(site.decide(&read("r"))["decision"], false);
    let headers = [("Authorization", &*bearer(&other)), ("Content-Type", "application/json")];
    let answer = site.call("POST", "/v1/decisions", &headers, read("r").to_string().as_bytes());
    assert_eq!(answer.json()["decision"], true);
    assert_eq!(site.replays(), 5);
}

#[test]
fn a_limit_that_an_epoch_changes_goes_on_from_where_it_was() {
    let (site, clock) = Site::with_trust(BUDGET);
    assert_eq!(reasons(&site.decide(&spend(json!(100)))), NONE);
    assert_eq!(site.publish_trust(&BUDGET.replace("cap = 100", "cap = 150"), 1, 2).status, 200);
    assert_eq!(reasons(&site.decide(&spend(json!(51)))), ["budget_exceeded"]);
    assert_eq!(reasons(&site.decide(&spend(json!(50)))), NONE);
    assert_eq!(site.publish_trust(&BUDGET.replace("60_000", "600_000"), 2, 3).status, 200);
    clock.advance(61_000);
    assert_eq!(reasons(&site.decide(&spend(json!(1)))), ["budget_exceeded"]);
    site.replays();
}

#[test]
fn so_many_leases_are_open_at_a_time_and_one_that_ran_out_makes_room() {
    let (mut site, clock) = Site::with_trust(&with_gate(LEASES));
    let leased = with(read("r"), json!({ "lease_ms": 10_000, "audience": "gate" }));
    assert_eq!(reasons(&site.decide(&read("r"))), ["lease_required"]);
    assert_eq!(reasons(&site.decide(&leased)), NONE);
    clock.advance(5_000);
    let second = site.decide(&leased);
    assert_eq!(reasons(&second), NONE);
    assert_eq!(reasons(&site.decide(&leased)), ["concurrency_exceeded"]);
    site.restart();
    assert_eq!(reasons(&site.decide(&leased)), ["concurrency_exceeded"]);
    clock.advance(4_999);
    assert_eq!(reasons(&site.decide(&leased)), ["concurrency_exceeded"]);
    clock.advance(1);
    assert_eq!(reasons(&site.decide(&leased)), NONE);
    assert_eq!(reasons(&site.decide(&leased)), ["concurrency_exceeded"]);
    let long = with(read("r"), json!({ "lease_ms": 60_001, "audience": "gate" }));
    assert_eq!(reasons(&site.decide(&long)), ["concurrency_exceeded", "lease_exceeded"]);
    site.replays();
}

#[test]
fn what_is_denied_in_doubt_counts_for_nothing() {
    let (site, clock) = Site::with_trust(RATE);
    site.decide(&read("r"));
    let start = clock.wall_ms();
    clock.step_to(start + 10_000_000);
    for _ in 0..5 {
        let denied = site.decide(&read("r"));
        assert_eq!(denied["conditions"]["runtime"], "unknown:clock");
        assert_eq!(counted(&site, &denied), []);
    }
    clock.step_to(start);
    assert_eq!(reasons(&site.decide(&read("r"))), NONE);
    assert_eq!(site.switch(1, "action read", Power::Halt).status, 200);
    let halted = site.decide(&read("r"));
    assert_eq!((reasons(&halted), counted(&site, &halted).len()), (vec!["halted"], 1));
    site.replays();
}

#[test]
fn a_permit_for_several_uses_counts_as_often_as_it_may_be_used() {
    let (site, _) = Site::with_trust(&format!("[limits]\nmax_uses = 3\n{RATE}{BUDGET}"));
    let uses = |uses: u32, cents: u64| with(spend(cents.into()), json!({ "uses": uses }));
    let allowed = site.decide(&uses(2, 50));
    assert_eq!(reasons(&allowed), NONE);
    let amounts: Vec<u64> = counted(&site, &allowed).iter().map(|counted| counted.amount).collect();
    assert_eq!(amounts, [2, 100]);
    assert_eq!(reasons(&site.decide(&uses(2, 0))), ["rate_exceeded"]);
    assert_eq!(reasons(&site.decide(&uses(2, 51))), ["invalid"], "more than the cap");
    site.replays();
}
