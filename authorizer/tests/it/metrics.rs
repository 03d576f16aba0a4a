//! What is counted, as a scraper reads it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::support::{Site, call};

/// Names with labels, and their values; the text ends as OpenMetrics 1.0 says.
fn read(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with("# EOF\n"), "{text}");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

fn act(name: &str, subject: &str) -> serde_json::Value {
    json!({"subject": {"type": "User", "id": subject}, "action": {"name": name}, "resource": {"type": "Doc", "id": "1"}})
}

#[test]
fn decisions_are_counted_by_outcome_and_reason_and_nothing_of_who_asked_is_told() {
    let site = Site::new();
    site.post("/v1/decisions", &json!([act("read", "ann"), act("read", "secret-name"), act("fly", "ann")]));
    let asked = json!({"idempotency_key": "once", "subject": {"type": "User", "id": "ann"}, "action": {"name": "read"}, "resource": {"type": "Doc", "id": "1"}});
    for _ in 0..3 {
        assert_eq!(site.post("/v1/decisions", &asked).status, 200);
    }
    let answer = site.call("GET", "/metrics", &[], b"");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let text = answer.text();
    let found = read(&text);
    assert_eq!(found["authorizer_decisions_total{effect=\"allow\",reason=\"\"}"], 3.0, "a repeated answer counts once");
    assert_eq!(found["authorizer_decisions_total{effect=\"deny\",reason=\"no_matching_permit\"}"], 1.0, "{text}");
    assert_eq!(found["authorizer_decision_duration_seconds_count"], 4.0);
    assert!(found["ledger_sequencing_duration_seconds_count"] >= 3.0);
    assert_eq!(found["ledger_tree_size"].to_string(), site.size().to_string());
    assert_eq!((found["interlock_ready"], found["ledger_pool_entries"]), (1.0, 0.0));
    assert!((0.0..10.0).contains(&found["authorizer_canary_age_seconds"]));
    assert_eq!(found["http_requests_total{route=\"/v1/decisions\",code=\"200\"}"], 4.0);
    for secret in ["ann", "secret-name", "main", "once", &site.key] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[test]
fn what_runs_is_told_and_each_sync_of_a_batch_is_timed_by_itself() {
    let site = Site::new();
    site.post("/v1/decisions", &act("read", "ann"));
    let found = read(&site.call("GET", "/metrics", &[], b"").text());
    let builds: Vec<&String> = found.keys().filter(|name| name.starts_with("interlock_build_info{")).collect();
    let [build] = builds.as_slice() else { panic!("{builds:?}") };
    assert!(build.contains("version=\"") && build.contains("commit=\""), "{build}");
    let batches = found["ledger_sequencing_duration_seconds_count"];
    let of = |what: &str, file: &str| found[&*format!("ledger_fsync_duration_seconds_{what}{{file=\"{file}\"}}")];
    assert_eq!((of("count", "journal"), of("count", "memory")), (batches, batches));
    assert!((1.0..batches).contains(&of("count", "vault")), "an epoch has no private parts, a decision has");
    assert!(of("sum", "journal") <= found["ledger_commit_duration_seconds_sum"]);
}

#[test]
fn what_is_turned_away_is_counted_by_cause() {
    let site = Site::without_epoch(None, |_| {});
    for _ in 0..2 {
        assert_eq!(site.post("/v1/decisions", &act("read", "ann")).status, 503);
    }
    let found = read(&site.call("GET", "/metrics", &[], b"").text());
    assert_eq!(found["authorizer_shed_total{cause=\"no_epoch\"}"], 2.0);
    assert_eq!((found["interlock_ready"], found["authorizer_canary_age_seconds"]), (0.0, -1.0));
}

#[test]
fn a_stranger_cannot_make_the_metrics_grow_nor_read_why_others_were_denied() {
    let site = Site::with(None, |config| config.public = Some("127.0.0.1:0".parse().unwrap()));
    let public = site.service.as_ref().unwrap().public_address().unwrap();
    site.post("/v1/decisions", &act("fly", "ann"));
    let names = || -> BTreeSet<String> {
        let answer = call(public, "GET", "/metrics", &[], b"");
        assert_eq!(answer.status, 200);
        read(&answer.text()).into_keys().collect()
    };
    // Each route and status once, then whatever a stranger thinks of.
    let ask = |n: u32| {
        for path in
            [format!("/nothing/{n}"), format!("/v1/entries/{n}"), format!("/tile/0/{n}"), format!("/v1/receipts/{n}x")]
        {
            call(public, "GET", &path, &[], b"");
        }
    };
    ask(900_000);
    names();
    let before = names();
    (900_001..900_020).for_each(ask);
    assert_eq!(names(), before);
    assert!(before.iter().any(|name| name.starts_with("http_requests_total{")));
    assert!(!before.iter().any(|name| name.starts_with("authorizer_")), "{before:?}");
}
