//! `state` records and the snapshots that they vouch for: a shortcut for starts that can be lost, damaged or forged without harm.

use std::path::PathBuf;
use std::sync::Arc;

use authorizer::clock::Manual;
use authorizer::replay::{Options, ReplayError};
use ledger::storage::ram::Ram;
use serde_json::json;
use verifier::act::Power;
use verifier::hash::Hash;
use verifier::record::Record;

use crate::replay::Entries;
use crate::support::{Site, read, reasons, with};

const TRUST: &str = "[[budgets]]\nname = \"money\"\nactions = [\"read\"]\namount = \"context.cents\"\ncap = 100\nwindow_ms = 3_600_000\n";

/// A log with a `state` record every four decisions, two of them already, each with its snapshot.
fn site() -> (Site, Arc<Manual>) {
    let (site, clock) = Site::with_states(Ram::new(), 4, TRUST);
    for _ in 0..9 {
        assert_eq!(spend(&site, 10), Vec::<String>::new());
        saved(&site);
    }
    assert_eq!(site.states().len(), 2);
    (site, clock)
}

/// Waits for the thread that writes snapshots: of two that are due at once it may leave one out.
fn saved(site: &Site) {
    let ram = site.ram.as_ref().unwrap();
    let written = |index: &u64| ram.snapshot().contains_key(&file(*index));
    while !site.states().iter().all(written) {
        std::thread::yield_now();
    }
}

fn spend(site: &Site, cents: u64) -> Vec<String> {
    let answer = site.decide(&with(read("r"), json!({ "context": { "cents": cents } })));
    reasons(&answer).into_iter().map(str::to_owned).collect()
}

fn file(index: u64) -> PathBuf {
    PathBuf::from(format!("/log/state/{index:020}.fold"))
}

fn started(site: &mut Site) -> (Option<u64>, u64, usize) {
    site.restart();
    let folded = site.service.as_ref().unwrap().folded();
    // However it began, what was spent is spent.
    let said = (folded.from, folded.records, folded.passed_over.len());
    assert_eq!(spend(site, 11), ["budget_exceeded"]);
    site.replays();
    said
}

#[test]
fn every_so_many_decisions_a_record_says_what_the_state_comes_to() {
    let (site, _) = site();
    let records = site.records();
    let decisions = |end: u64| records.iter().take(usize::try_from(end).unwrap());
    for index in site.states() {
        let Record::State { decisions: stated, .. } = records[usize::try_from(index).unwrap()] else {
            panic!("{index}")
        };
        assert_eq!(stated, decisions(index).filter(|record| matches!(record, Record::Decision(_))).count() as u64);
    }
    site.replays();
}

#[test]
fn a_body_stays_in_a_row_although_a_state_is_due_within_it() {
    let (site, _) = Site::with_states(Ram::new(), 4, "");
    let body: Vec<_> = (0..10).map(|n| read(&n.to_string())).collect();
    let answer = site.post("/v1/decisions?receipt=range", &json!(body)).json();
    assert_eq!(answer["receipt"]["count"], 10, "{answer}");
    site.decide(&read("r"));
    assert_eq!(site.states().len(), 1);
    site.replays();
}

#[test]
fn a_start_reads_what_follows_the_newest_snapshot_and_no_more() {
    let (mut site, _) = site();
    let (last, behind) = site.behind_the_last_state();
    assert_eq!(started(&mut site), (last, behind, 0));
    // Also after a crash, and under what was thrown since.
    assert_eq!(site.switch(1, "action read", Power::Halt).status, 200);
    let (last, behind) = site.behind_the_last_state();
    site.crash();
    let folded = site.service.as_ref().unwrap().folded().clone();
    assert_eq!((folded.from, folded.records), (last, behind));
    assert_eq!(reasons(&site.decide(&read("r"))).first(), Some(&"halted"));
}

#[test]
fn a_snapshot_that_is_damaged_is_passed_over_and_the_start_begins_earlier() {
    let (mut site, _) = site();
    let states = site.states();
    let ram = site.ram.clone().unwrap();
    let whole = site.size();
    ram.damage(&file(states[1]), |bytes| bytes[40] ^= 1).unwrap();
    assert_eq!(started(&mut site), (Some(states[0]), whole - states[0] - 1, 1));
    let whole = site.size();
    ram.damage(&file(states[0]), |bytes| bytes.truncate(20)).unwrap();
    let (from, records, passed_over) = started(&mut site);
    assert_eq!((from, records, passed_over), (None, whole, 2));
}

#[test]
fn a_snapshot_of_another_state_or_place_is_not_believed() {
    let (mut site, _) = site();
    let (ram, states, size) = (site.ram.clone().unwrap(), site.states(), site.size());
    // The first snapshot, whole, in the place of the second; and one where no such record stands.
    let first = ram.snapshot()[&file(states[0])].clone();
    ram.damage(&file(states[1]), |bytes| bytes.clone_from(&first)).unwrap();
    assert_eq!(started(&mut site), (Some(states[0]), size - states[0] - 1, 1));
}

#[test]
fn deleting_all_snapshots_loses_nothing() {
    let (mut site, _) = site();
    let (ram, states, size) = (site.ram.clone().unwrap(), site.states(), site.size());
    states.iter().for_each(|index| ram.lose(&file(*index)));
    assert_eq!(started(&mut site), (None, size, 0));
}

#[test]
fn replay_names_a_state_record_that_says_something_else() {
    let (site, _) = site();
    let place = site.states()[1];
    for (what, digest, more) in [("another digest", true, 0), ("more decisions", false, 1)] {
        let forged = Entries::of(&site).alter(|record| match record {
            Record::State { recorded_at, decisions: 8, digest: is } => {
                Record::State { recorded_at, decisions: 8 + more, digest: if digest { Hash([7; 32]) } else { is } }
            }
            other => other,
        });
        let report = forged.replay(&site, Options::default()).unwrap();
        assert_eq!((report.difference_count, report.differences[0].index), (1, place), "{what}: {report:?}");
        assert_eq!((report.states, report.states_same, report.same), (2, 1, 9), "{what}");
    }
}

#[test]
fn replay_begins_behind_any_state_record_and_believes_what_stands_before_under_its_digest() {
    let (site, _) = site();
    let states = site.states();
    let from = |from| Options { from: Some(from), ..Options::default() };
    for (place, decided) in [(states[0], 5), (states[1], 1)] {
        let report = Entries::of(&site).replay(&site, from(place)).unwrap();
        assert_eq!((report.decisions, report.same, report.difference_count), (decided, decided, 0), "{report:?}");
        assert_eq!((report.entries, report.states_same), (site.size(), report.states));
    }
    // What was altered before is not decided again, but the state is another one then.
    let spent = usize::try_from(states[0] - 1).unwrap();
    let forged = || Entries::of(&site).forge(spent, |_, detail| detail.counted[0].amount = 1);
    let report = forged().replay(&site, from(states[1])).unwrap();
    assert_eq!((report.difference_count, report.differences[0].index), (1, states[1]), "{report:?}");
    // Nothing vouches for the state at any other place.
    for place in [0, states[0] + 1, site.size()] {
        let result = Entries::of(&site).replay(&site, from(place));
        assert!(matches!(result, Err(ReplayError::NoState(at)) if at == place));
    }
}

#[test]
fn where_a_detail_is_withheld_the_states_behind_it_are_not_guessed() {
    let (site, _) = site();
    let mut entries = Entries::of(&site);
    let spent = usize::try_from(site.states()[0] - 1).unwrap();
    entries.withhold(spent);
    let report = entries.replay(&site, Options::default()).unwrap();
    assert_eq!(
        (report.difference_count, report.states_same, report.not_recomputable["state"]),
        (0, 0, 2),
        "{report:?}"
    );
}
