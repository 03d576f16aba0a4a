//! Every recorded call through adapter, request parser and engine, held against rules that were computed another way.

#[path = "oracle.rs"]
mod oracle;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use authorizer::engine::{Code, Engine, Facts, Published, Standing, split_policies};
use serde_json::Value;
use verifier::decision::Condition;
use verifier::epoch::EpochContent;
use verifier::request::Request;

use super::Call;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap()
}

fn published() -> Published {
    let policies = split_policies(&read("testdata/policies/airline/policies.cedar")).unwrap();
    let schema = Some(read("testdata/policies/airline/schema.cedarschema"));
    let published = Published::new(EpochContent { policies, schema, entities: None, trust: None }).unwrap();
    assert!(published.warnings().is_empty(), "{:?}", published.warnings());
    published
}

/// The public traffic, which is not part of this repository.
fn traffic() -> Option<String> {
    let folder = std::env::var_os("INTERLOCK_DATA").map_or_else(|| repository().join("../shared/data"), PathBuf::from);
    let file = folder.join("tau-airline-gpt4o.ndjson");
    let text = std::fs::read_to_string(&file).ok();
    if text.is_none() {
        eprintln!("NOT TESTED: {} is not there; set INTERLOCK_DATA to the folder that holds it", file.display());
    }
    text
}

/// Allowed, or the rules that the engine names.
fn judged(engine: &Engine, line: &str) -> BTreeSet<String> {
    let bytes = Call::parse(line).unwrap().request().to_string();
    let request = Request::parse(bytes.as_bytes()).unwrap();
    let facts = Facts::unsigned("main", "0a0b0c0d0e0f", 1_800_000_000_000);
    let verdict = engine.decide(&request, &facts);
    assert!(verdict.errors.is_empty(), "{line}");
    match verdict.standing(Condition::Policy) {
        Standing::Pass => {
            assert!(verdict.stands());
            BTreeSet::new()
        }
        Standing::Fail(Code::Forbidden) => verdict.policies.into_iter().collect(),
        other => panic!("{other:?}: {line}"),
    }
}

/// How many calls of a tool break a rule.
type Rules = BTreeMap<(String, &'static str), usize>;
/// How many calls of a tool there are, and how many of them are denied.
type Tools = BTreeMap<String, (usize, usize)>;

/// Both engines and the oracle agree on every line.
fn compare(lines: &str) -> (Rules, Tools) {
    let (engine, compiled) = (published().replica().unwrap(), published().compiled_replica().unwrap());
    let (mut rules, mut tools) = (Rules::new(), Tools::new());
    for line in lines.lines() {
        let call: Value = serde_json::from_str(line).unwrap();
        let broken = oracle::broken(&call);
        let named = judged(&engine, line);
        assert_eq!(named, judged(&compiled, line), "plain Cedar and the compiled engine: {line}");
        assert!(named.iter().map(String::as_str).eq(broken.iter().copied()), "{named:?} but {broken:?}: {line}");
        let tool = call["tool"].as_str().unwrap().to_owned();
        let (calls, denied) = tools.entry(tool.clone()).or_insert((0, 0));
        *calls += 1;
        *denied += usize::from(!broken.is_empty());
        for rule in broken {
            *rules.entry((tool.clone(), rule)).or_insert(0) += 1;
        }
    }
    (rules, tools)
}

#[test]
fn exactly_the_recorded_calls_that_break_a_rule_are_denied_and_each_denial_names_the_rules() {
    let Some(lines) = traffic() else { return };
    let (rules, tools) = compare(&lines);
    let rules: Vec<_> = rules.iter().map(|((tool, rule), calls)| (tool.as_str(), *rule, *calls)).collect();
    let expected = [
        ("book_reservation", "book-at-most-one-certificate", 6),
        // One of them charges and refunds the same card in two entries: both count.
        ("book_reservation", "book-at-most-one-credit-card", 1),
        ("book_reservation", "book-paid-from-profile", 3),
        ("cancel_reservation", "cancel-flown-segment", 18),
        ("cancel_reservation", "cancel-without-ground", 16),
        ("send_certificate", "certificate-only-for-silver-or-gold", 2),
        ("update_reservation_flights", "change-flights-basic-economy", 17),
        ("update_reservation_flights", "change-flights-paid-by-gift-or-credit-card", 4),
        ("update_reservation_flights", "change-flights-paid-from-profile", 4),
    ];
    assert_eq!(rules, expected);
    assert_eq!(tools.values().map(|(calls, _)| calls).sum::<usize>(), 1_164);
    let denied: Vec<_> =
        tools.iter().filter(|(_, (_, denied))| *denied > 0).map(|(tool, (_, n))| (tool.as_str(), *n)).collect();
    let expected = [
        ("book_reservation", 10),
        ("cancel_reservation", 33),
        ("send_certificate", 2),
        ("update_reservation_flights", 25),
    ];
    assert_eq!(denied, expected);
}

#[test]
fn the_sample_of_our_own_breaks_each_rule_and_keeps_it() {
    let (rules, tools) = compare(&read("testdata/traffic/airline-sample.ndjson"));
    let published = published();
    let forbids =
        published.content().policies.iter().filter(|(_, text)| text.contains("\nforbid")).map(|(id, _)| id.as_str());
    let broken: BTreeSet<&str> = rules.keys().map(|(_, rule)| *rule).collect();
    assert_eq!(broken, forbids.collect());
    // A tool with a rule is allowed at least once: all its rules are kept then.
    assert!(tools.values().all(|(calls, denied)| denied < calls), "{tools:?}");
    assert_eq!(tools.len(), 14);
}

#[test]
fn facts_about_somebody_else_are_refused() {
    let sample = read("testdata/traffic/airline-sample.ndjson");
    let line = sample.lines().find(|line| line.contains("cancel_reservation")).unwrap();
    let mut call: Value = serde_json::from_str(line).unwrap();
    let parsed = Call::parse(line).unwrap();
    assert_eq!((parsed.session.as_str(), parsed.step, parsed.tool.as_str()), ("demo-1", 13, "cancel_reservation"));
    call["args"]["reservation_id"] = "OTHER1".into();
    assert!(Call::parse(&call.to_string()).is_err());
    let mut call: Value = serde_json::from_str(line).unwrap();
    call["customer"] = "somebody_else".into();
    assert!(Call::parse(&call.to_string()).is_err());
}
