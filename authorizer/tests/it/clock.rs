//! The clock's rules, seen from outside.

use std::sync::Arc;

use authorizer::clock::Manual;
use authorizer::{Config, Service, StartError};
use ledger::{Ledger, Options};
use serde_json::json;
use verifier::record::Record;

use crate::support::{Site, now_ms, read};

const IN_2031: u64 = 1_925_000_000_000;

/// Threat 15.
#[test]
fn while_the_clock_stands_in_2031_everything_is_denied_and_no_record_says_2031() {
    let start = now_ms();
    let clock = Arc::new(Manual::at(start));
    let given = clock.clone();
    let site = Site::with(None, move |config| config.clock = given.clone());
    assert_eq!(site.decide(&read("1"))["decision"], true);
    clock.step_to(IN_2031);
    let denied = site.decide(&read("1"));
    assert_eq!((&denied["decision"], &denied["conditions"]["runtime"]), (&json!(false), &json!("unknown:clock")));
    assert_eq!(site.call("GET", "/readyz", &[], b"").status, 503);
    clock.step_to(start + 10);
    assert_eq!(site.decide(&read("1"))["decision"], true);
    clock.step_to(start - 5_000);
    let denied = site.decide(&read("1"));
    assert_eq!(denied["conditions"]["runtime"], "unknown:clock");
    let mut last = 0;
    for record in site.records() {
        assert!(record.recorded_at() >= last && record.recorded_at() < start + 60_000);
        last = record.recorded_at();
        if let Record::Decision(decision) = record {
            assert!(decision.evaluated_at <= decision.recorded_at);
            assert!(decision.grant.is_none_or(|grant| grant.expires_at < start + 120_000));
        }
    }
}

/// The clock of a machine that was switched off came back an hour early.
#[test]
fn after_a_restart_under_a_clock_that_stepped_back_everything_is_denied_until_time_has_caught_up() {
    let start = now_ms();
    let clock = Arc::new(Manual::at(start));
    let given = clock.clone();
    let mut site = Site::with(None, move |config| config.clock = given.clone());
    assert_eq!(site.decide(&read("1"))["decision"], true);
    clock.step_to(start - 3_600_000);
    site.restart();
    let denied = site.decide(&read("2"));
    assert_eq!((&denied["decision"], &denied["conditions"]["runtime"]), (&json!(false), &json!("unknown:clock")));
    clock.advance(3_600_000 + 5);
    assert_eq!(site.decide(&read("3"))["decision"], true);
    // Slightly back, as NTP does it: the last time is repeated.
    clock.step_to(start - 500);
    site.restart();
    assert_eq!(site.decide(&read("4"))["decision"], true);
    let times: Vec<u64> = site.records().iter().map(Record::recorded_at).collect();
    assert!(times.is_sorted() && times.first() == Some(&start), "{times:?}");
}

#[test]
fn a_service_does_not_start_weeks_away_from_its_last_record_without_an_operators_word() {
    let mut site = Site::new();
    assert!(site.service.take().unwrap().stop());
    let data = site.dir.path().join("data");
    let start = |accept| {
        let (ledger, reader) = Ledger::open(Options::new(&data), now_ms()).unwrap();
        let mut config = Config::new(&data, "127.0.0.1:0".parse().unwrap());
        config.clock = Arc::new(Manual::at(now_ms() + 30 * 24 * 3_600_000));
        config.accept_clock_gap = accept;
        Service::start(config, ledger, reader)
    };
    assert!(matches!(start(false), Err(StartError::Clock(_))));
    let service = start(true).unwrap();
    let reader = &service.shared().reader;
    let last = reader.record(reader.head().checkpoint.size - 1).unwrap();
    assert!(matches!(last, Record::Recovery { cause, .. } if cause == "clock gap accepted"));
}
