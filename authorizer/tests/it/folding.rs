//! The state after a restart is the state before it, and what anybody folds from the first record: long random histories, with restarts
//! anywhere, in which each decision and each step comes out again.

use std::sync::Arc;

use authorizer::clock::{Manual, Source};
use authorizer::fold::Fold;
use ledger::Snapshots;
use ledger::storage::ram::Ram;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use verifier::act::Power;
use verifier::event::Step;
use verifier::hash::Hash;

use crate::support::{Site, read, with, with_gate};

const TRUST: &str = r#"
[limits]
max_ttl_ms = 5_000_000_000
max_lease_ms = 100_000
max_depth = 3
max_children = 3

[[grants]]
subjects = ["Agent"]
scopes = ["a:**"]
without_parent = true

[[rates]]
name = "calls"
count = 7
per_ms = 60_000
burst = 4

[[budgets]]
name = "month"
actions = ["read"]
amount = "context.cents"
cap = 5_000
window_ms = 2_592_000_000

[[budgets]]
name = "minute"
actions = ["read"]
amount = "context.cents"
cap = 300
window_ms = 60_000

[[concurrency]]
name = "at-work"
actions = ["write"]
max = 2
"#;

struct History {
    site: Site,
    random: StdRng,
    permits: Vec<Value>,
    ends: Vec<(Value, u64)>,
    version: u64,
    halted: Option<&'static str>,
    allowed: usize,
}

impl History {
    fn one_of(&mut self, among: &[&'static str]) -> &'static str {
        among[self.random.random_range(0..among.len())]
    }

    fn decide(&mut self) {
        let who = self.one_of(&["alice", "bob", "carol", "eve"]);
        let (action, scope) = (self.one_of(&["read", "read", "write"]), self.one_of(&["a:b", "a:*", "a:**", "a:b:c"]));
        let mut request = with(read("r"), json!({ "context": { "cents": self.random.random_range(-5..160) } }));
        request["subject"]["id"] = who.into();
        request["action"]["name"] = action.into();
        let ttl: u64 = self.random.random_range(1..120_000);
        request["ttl_ms"] = if self.random.random_bool(0.1) { ttl * 30_000 } else { ttl }.into();
        if action == "write" || self.random.random_bool(0.2) {
            request["lease_ms"] = self.random.random_range(1..100_000).into();
            request["audience"] = "gate".into();
        }
        if self.random.random_bool(0.5) {
            request["delegates"] = json!(["Agent::\"alice\"", "Agent::\"bob\"", "Agent::\"eve\""]);
            request["scopes"] = json!([scope]);
        }
        if self.random.random_bool(0.3) {
            request["idempotency_key"] = self.random.random_range(0..1_000_000).to_string().into();
        }
        if self.random.random_bool(0.5) && !self.permits.is_empty() {
            let recent = self.permits.len().saturating_sub(6);
            request["parent"] = self.permits[self.random.random_range(recent..self.permits.len())].clone();
        }
        let answer = self.site.decide(&request);
        if answer["decision"] == true {
            self.allowed += 1;
            self.permits.push(answer["permit"].clone());
            let verifier::record::Record::Decision(decision) = self.site.verify(&answer) else { panic!("no decision") };
            if let Some(end) = decision.grant.unwrap().lease_ends_at {
                self.ends.push((answer["permit"].clone(), end));
            }
        }
    }

    fn report(&mut self) {
        if self.ends.is_empty() {
            return;
        }
        let recent = self.ends.len().saturating_sub(4);
        let at = self.random.random_range(recent..self.ends.len());
        let (permit, ends_at) = self.ends[at].clone();
        let step = match self.random.random_range(0..8) {
            0..5 => Step::Renew { ends_at },
            5 => Step::Started,
            6 => Step::Failed { executed: None },
            _ => Step::Completed { executed: Hash([7; 32]) },
        };
        let answer = self.site.event(&permit, step);
        if answer.status == 200
            && let Some(end) = answer.json()["lease_ends_at_ms"].as_u64()
        {
            self.ends[at].1 = end;
        }
    }

    fn govern(&mut self) {
        let status = match self.halted.take() {
            Some(target) => self.site.switch(self.version, target, Power::Run).status,
            None if self.random.random_bool(0.4) && !self.permits.is_empty() => {
                let permit = self.permits[self.random.random_range(0..self.permits.len())].clone();
                self.site.revoke(self.version, &permit).status
            }
            None => {
                let target = self.one_of(&["subject Agent::\"alice\"", "action write", "policy reads"]);
                self.halted = Some(target);
                self.site.switch(self.version, target, Power::Halt).status
            }
        };
        assert_eq!(status, 200);
        self.version += 1;
    }
}

fn history(seed: u64) -> (History, Arc<Manual>) {
    // In memory: dozens of restarts are not to wait for a disk.
    let (site, clock) = Site::with_states(Ram::new(), EVERY, &with_gate(TRUST));
    let random = StdRng::seed_from_u64(seed);
    let (permits, ends) = (Vec::new(), Vec::new());
    (History { site, random, permits, ends, version: 1, halted: None, allowed: 0 }, clock)
}

/// Decisions between two `state` records.
const EVERY: u64 = 10;

#[test]
fn after_any_history_with_restarts_anywhere_everything_is_computed_again() {
    for seed in 0..6 {
        let (mut history, clock) = history(seed);
        let (mut shortened, mut stated) = (0, 0);
        for _ in 0..250 {
            match history.random.random_range(0..100) {
                0..60 => history.decide(),
                60..80 => history.report(),
                80..84 => history.govern(),
                84..88 => {
                    history.site.restart();
                    let folded = history.site.service.as_ref().unwrap().folded();
                    // The last of them, unless its snapshot was due while another one was written: that costs only time.
                    assert!(folded.from.is_none_or(|from| history.site.states().contains(&from)), "seed {seed}");
                    assert_eq!(folded.records, history.site.behind(folded.from), "seed {seed}");
                    assert!(folded.passed_over.is_empty(), "{folded:?}");
                    shortened += usize::from(folded.from.is_some());
                }
                88..99 => clock.advance(history.random.random_range(1..40_000)),
                // Longer than any window, and than most lives.
                _ => {
                    clock.advance(history.random.random_range(1..70 * 24 * 3_600_000));
                    history.decide();
                }
            }
            stated = history.site.states().len();
        }
        history.site.restart();
        let decisions = history.site.replays();
        assert!(decisions > 100 && history.allowed > 20, "seed {seed}: {decisions} {}", history.allowed);
        // The writer lived through restarts from snapshots; its digests are those of whoever folds from the first record.
        assert!(stated > 8 && shortened > 2, "seed {seed}: {stated} {shortened}");
    }
}

#[test]
fn the_state_from_a_snapshot_is_the_state_from_the_first_record() {
    for seed in 10..14 {
        let (mut history, clock) = history(seed);
        for _ in 0..120 {
            match history.random.random_range(0..100) {
                0..70 => history.decide(),
                70..85 => history.report(),
                85..90 => history.govern(),
                _ => clock.advance(history.random.random_range(1..40_000)),
            }
        }
        let site = &mut history.site;
        let governors = site.governors();
        assert!(site.service.take().unwrap().stop());
        let (ledger, reader) = site.open_log();
        let fold = |snapshots: Option<&Snapshots>| {
            let mut started = Fold::of(&reader, &governors, snapshots).unwrap();
            started.fold.settle_by(clock.wall_ms());
            let pieces = started.fold.snapshot().pieces().concat();
            (pieces, started.from, started.contents.live)
        };
        let (short, long) = (fold(Some(&ledger.snapshots())), fold(None));
        assert!(short.1.is_some() && long.1.is_none());
        assert_eq!((short.0, short.2), (long.0, long.2), "seed {seed}");
    }
}
