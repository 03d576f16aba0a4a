//! Every decision can be computed again, and one that was altered cannot, whoever signed the tree above it.

use std::convert::Infallible;

use authorizer::clock::Source as _;
use authorizer::governance::Governors;
use authorizer::replay::{Options, ReplayError, Report, Source, Stored, replay};
use authorizer::service::admin_keys_path;
use serde_json::{Value, json};
use verifier::act::Power;
use verifier::decision::{Class, Classes, Condition, Decision, Detail, Grant, Named, Outcome, commitment};
use verifier::event::Step;
use verifier::hash::{Hash, leaf_hash, root_of};
use verifier::record::{ExecutionEvent, LeaseEvent, Record};

use crate::support::{ORIGIN, POLICIES, Site, read, with, with_gate};

/// A log whose keeper holds the key: any entries, under the root that they have.
pub struct Entries(Vec<Stored>);

impl Source for Entries {
    type Error = Infallible;

    fn read(&mut self, first: u64, count: u64) -> Result<Vec<Stored>, Infallible> {
        Ok(self.0.iter().skip(usize::try_from(first).unwrap()).take(usize::try_from(count).unwrap()).cloned().collect())
    }
}

impl Entries {
    pub fn of(site: &Site) -> Self {
        Self(site.reader.clone().read(0, site.size()).unwrap())
    }

    fn head(&self) -> (u64, Hash) {
        let leaves: Vec<Hash> = self.0.iter().map(|stored| leaf_hash(&stored.leaf)).collect();
        (leaves.len() as u64, root_of(&leaves))
    }

    pub fn replay(mut self, site: &Site, options: Options) -> Result<Report, ReplayError<Infallible>> {
        let head = self.head();
        replay(&mut self, &governors(site), head, options, &mut |_| {})
    }

    /// The key that asked.
    pub fn key_of(&self, index: usize) -> String {
        Detail::decode(&self.0[index].private.as_ref().unwrap().detail).unwrap().key_id
    }

    /// As somebody sees the log who may not read this decision.
    pub fn withhold(&mut self, index: usize) {
        self.0[index].private = None;
    }

    /// Alters records as a forger would.
    pub fn alter(mut self, alter: impl Fn(Record) -> Record) -> Self {
        for stored in &mut self.0 {
            stored.leaf = alter(Record::decode(&stored.leaf).unwrap()).encode();
        }
        self
    }

    /// Alters one decision and its detail as a forger would: commitments and encodings are right again.
    pub fn forge(mut self, index: usize, forge: impl FnOnce(&mut Decision, &mut Detail)) -> Self {
        let stored = &mut self.0[index];
        let Record::Decision(mut decision) = Record::decode(&stored.leaf).unwrap() else { panic!("no decision") };
        let private = stored.private.as_mut().unwrap();
        let mut detail = Detail::decode(&private.detail).unwrap();
        forge(&mut decision, &mut detail);
        private.detail = detail.encode();
        decision.detail = commitment(&private.detail_salt, &private.detail);
        stored.leaf = Record::Decision(decision).encode();
        self
    }
}

fn governors(site: &Site) -> Governors {
    Governors::read(&admin_keys_path(&site.dir.path().join("data")), ORIGIN).unwrap()
}

fn write(resource: &str, properties: Value) -> Value {
    let mut request = read(resource);
    request["action"]["name"] = "write".into();
    request["resource"]["properties"] = properties;
    request
}

/// Decisions of every kind that this version makes: `(index of an allowed one, of a forbidden one, all)`.
fn history() -> (Site, usize, usize) {
    let site = Site::new();
    let index = |answer: &Value| usize::try_from(answer["index"].as_u64().unwrap()).unwrap();
    let mut full = read("r1");
    full["idempotency_key"] = "k".into();
    full["audience"] = "gate".into();
    full["ttl_ms"] = 5_000.into();
    let allowed = index(&site.decide(&full));
    site.decide(&full); // the same permit again: no record
    let forbidden = index(&site.decide(&write("r2", json!({ "frozen": true }))));
    site.decide(&write("r3", json!({ "archived": true })));
    let mut late = read("r4");
    late["deadline"] = "2026-01-01T00:00:00Z".into();
    site.decide(&late);
    let items: Vec<Value> = (0..20).map(|n| write(&format!("b{n}"), json!({ "frozen": n % 3 == 0 }))).collect();
    assert_eq!(site.post("/v1/decisions", &Value::Array(items)).status, 200);
    // AuthZEN: a fraction that is none in the committed form, and an integer that does not survive it.
    let authzen = |n: &str| {
        let body = format!(
            r#"{{"subject":{{"type":"Agent","id":"a"}},"action":{{"name":"read"}},"resource":{{"type":"Doc","id":"r5","properties":{{"frozen":false,"n":{n}}}}}}}"#
        );
        let answer = site.send("/access/v1/evaluation", "application/json", body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["decision"].as_bool().unwrap()
    };
    assert!(authzen("1.0") && authzen("0.25") && !authzen("9007199254740993"));
    assert_eq!(site.switch(1, "action write", Power::Halt).status, 200);
    site.decide(&write("r6", json!({})));
    assert_eq!(site.switch(2, "action write", Power::Run).status, 200);
    assert_eq!(site.publish(&POLICIES[..1], 3, 2).status, 200);
    site.decide(&write("r7", json!({})));
    site.decide(&read("r8"));
    (site, allowed, forbidden)
}

#[test]
fn every_decision_comes_out_byte_for_byte_with_and_without_the_index() {
    let (site, ..) = history();
    for full in [false, true] {
        let report = Entries::of(&site).replay(&site, Options { full, ..Options::default() }).unwrap();
        assert_eq!(report.differences, [], "{report:?}");
        assert_eq!((report.decisions, report.same), (30, 30), "{report:?}");
        assert_eq!(report.given.get("api_key"), Some(&30));
        assert_eq!(report.entries, site.size());
    }
}

#[test]
fn a_decision_that_was_altered_and_signed_again_is_found() {
    let (site, allowed, forbidden) = history();
    type Forgery = (&'static str, usize, fn(&mut Decision, &mut Detail));
    let forgeries: [Forgery; 17] = [
        ("a denial becomes a permit", forbidden, |decision, detail| {
            detail.codes.clear();
            detail.policies = Some(Named::new(&["writes".to_owned()]));
            decision.outcome = Outcome::Allow;
            decision.classes = passing();
            let grant = Grant { expires_at: decision.recorded_at + 60_000, uses: 1, lease_ends_at: None };
            decision.grant = Some(grant);
        }),
        ("a permit becomes a denial", allowed, |decision, detail| {
            detail.codes.push((verifier::decision::Condition::Policy, "forbidden".to_owned()));
            decision.outcome = Outcome::Deny;
            decision.classes = Classes::new([Class::Fail; 9]);
            decision.grant = None;
        }),
        ("it lives longer", allowed, |decision, _| decision.grant.as_mut().unwrap().expires_at += 1),
        ("it can be used twice", allowed, |decision, _| decision.grant.as_mut().unwrap().uses = 2),
        ("it has a lease", allowed, |decision, _| {
            decision.grant.as_mut().unwrap().lease_ends_at = Some(decision.recorded_at + 1);
        }),
        ("it is for somebody else", allowed, |decision, _| decision.audience = Some("other".to_owned())),
        ("it is for anybody", allowed, |decision, _| decision.audience = None),
        ("it was decided under another epoch", allowed, |decision, _| decision.epoch += 1),
        ("it was decided under another governance version", allowed, |decision, _| decision.governance += 1),
        ("it was evaluated long before", allowed, |decision, _| decision.evaluated_at -= 5_000),
        ("it was evaluated after it was recorded", allowed, |decision, _| {
            decision.evaluated_at = decision.recorded_at + 1
        }),
        ("another policy allowed it", allowed, |_, detail| detail.policies = Some(Named::new(&["writes".to_owned()]))),
        ("no policy forbade it", forbidden, |_, detail| detail.policies = None),
        ("another reason", forbidden, |_, detail| detail.codes[0].1 = "no_matching_permit".to_owned()),
        ("a policy erred", allowed, |_, detail| detail.errors = Some(Named::new(&["reads".to_owned()]))),
        ("another subject", allowed, |_, detail| detail.subject.1 = "somebody".to_owned()),
        ("its idempotency key is hidden", allowed, |_, detail| detail.idempotency = None),
    ];
    for (what, index, forge) in forgeries {
        let report = Entries::of(&site).forge(index, forge).replay(&site, Options::default());
        let report = report.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(report.difference_count, 1, "{what}: {report:?}");
        assert_eq!(report.differences[0].index, index as u64, "{what}");
        assert_eq!(report.same, report.decisions - 1, "{what}");
    }
}

/// Threat 8 and 9: what was spent cannot be made less, nor a lineage richer, without its being found.
#[test]
fn what_was_counted_or_delegated_cannot_be_told_otherwise() {
    let trust = "[[budgets]]\nname = \"money\"\namount = \"context.cents\"\ncap = 100\nwindow_ms = 60_000\n\
        [[grants]]\nsubjects = [\"Agent\"]\nscopes = [\"a:**\"]\nwithout_parent = true\n";
    let (site, _) = Site::with_trust(trust);
    let spend = |cents: u64, fields: Value| {
        let answer = site.decide(&with(with(read("r"), json!({ "context": { "cents": cents } })), fields));
        (usize::try_from(answer["index"].as_u64().unwrap()).unwrap(), answer)
    };
    let (spent, _) = spend(100, json!({}));
    let (refused, answer) = spend(1, json!({}));
    assert_eq!(answer["decision"], false);
    let (parent, answer) = spend(0, json!({ "scopes": ["a:b"], "delegates": ["Agent::\"alice\""] }));
    let (child, answer) = spend(0, json!({ "scopes": ["a:c"], "parent": answer["permit"] }));
    assert_eq!(answer["reasons"], json!(["scope_exceeded"]));
    site.replays();
    type Forgery = (&'static str, usize, fn(&mut Decision, &mut Detail), u64);
    let forgeries: [Forgery; 7] = [
        ("less was spent", spent, |_, detail| detail.counted[0].amount = 1, 2),
        ("nothing was spent", spent, |_, detail| detail.counted.clear(), 2),
        ("another budget was spent", spent, |_, detail| detail.counted[0].name = "other".to_owned(), 2),
        ("the parent holds more", parent, |_, detail| detail.scopes = vec!["a:*".to_owned()], 2),
        ("the parent names more", parent, |_, detail| detail.delegates.push("Agent::\"bob\"".to_owned()), 1),
        (
            "the budget was not used up",
            refused,
            |decision, detail| {
                detail.codes.clear();
                decision.outcome = Outcome::Allow;
                decision.classes.set(Condition::Operational, Class::Pass);
                decision.grant =
                    Some(Grant { expires_at: decision.recorded_at + 60_000, uses: 1, lease_ends_at: None });
            },
            1,
        ),
        (
            "the scope was the parent's",
            child,
            |decision, detail| {
                detail.codes.clear();
                decision.outcome = Outcome::Allow;
                decision.classes.set(Condition::Scopes, Class::Pass);
                decision.grant =
                    Some(Grant { expires_at: decision.recorded_at + 60_000, uses: 1, lease_ends_at: None });
            },
            1,
        ),
    ];
    for (what, index, forge, differences) in forgeries {
        let report = Entries::of(&site).forge(index, forge).replay(&site, Options::default());
        let report = report.unwrap_or_else(|error| panic!("{what}: {error}"));
        // What rests on the forged record no longer follows either.
        assert_eq!(report.difference_count, differences, "{what}: {report:?}");
        assert_eq!(report.differences[0].index, index as u64, "{what}");
    }
}

#[test]
fn what_rests_on_a_decision_that_is_not_there_is_not_guessed() {
    let trust = "[[budgets]]\nname = \"money\"\nactions = [\"read\"]\namount = \"context.cents\"\ncap = 100\nwindow_ms = 60_000\n";
    let (site, _) = Site::with_trust(trust);
    let spend = |cents: u64| site.decide(&with(read("r"), json!({ "context": { "cents": cents } })));
    let first = usize::try_from(spend(100)["index"].as_u64().unwrap()).unwrap();
    assert_eq!(spend(1)["decision"], false);
    site.decide(&write("r", json!({})));
    let mut entries = Entries::of(&site);
    entries.0[first].private = None;
    let report = entries.replay(&site, Options::default()).unwrap();
    assert_eq!((report.same, report.difference_count), (1, 0), "{report:?}");
    assert_eq!(report.not_recomputable, [("allow", 1), ("deny, resting on others", 1)].into());
}

#[test]
fn a_step_of_an_execution_cannot_be_told_otherwise() {
    let (site, clock) = Site::with_trust(&with_gate(""));
    let leased = with(read("r"), json!({ "lease_ms": 10_000, "ttl_ms": 600_000, "audience": "gate" }));
    let at = |answer: &Value| usize::try_from(answer["index"].as_u64().unwrap()).unwrap();
    let permits: Vec<Value> = (0..2).map(|_| site.decide(&leased)["permit"].clone()).collect();
    let ends_at = clock.wall_ms() + 10_000;
    clock.advance(1_000);
    let renewed = at(&site.event(&permits[0], Step::Renew { ends_at }).json());
    let failed = at(&site.event(&permits[0], Step::Failed { executed: None }).json());
    assert_eq!(site.switch(1, "global", Power::Halt).status, 200);
    let halted = at(&site.event(&permits[1], Step::Renew { ends_at }).json());
    let report = Entries::of(&site).replay(&site, Options::default()).unwrap();
    assert_eq!((report.executions, report.executions_same, report.difference_count), (3, 3, 0), "{report:?}");
    type Forgery = (&'static str, usize, fn(&mut Record));
    let forgeries: [Forgery; 7] = [
        ("it goes on longer", renewed, |record| {
            if let Record::Lease { ends_at, .. } = record {
                *ends_at = ends_at.map(|at| at + 1);
            }
        }),
        ("it was halted", renewed, |record| {
            if let Record::Lease { event, ends_at, cause, recorded_at, .. } = record {
                (*event, *ends_at, *cause) = (LeaseEvent::Halted, Some(*recorded_at), Some("runtime".to_owned()));
            }
        }),
        ("it was not halted", halted, |record| {
            if let Record::Lease { event, ends_at, cause, recorded_at, .. } = record {
                (*event, *ends_at, *cause) = (LeaseEvent::Renewed, Some(*recorded_at + 10_000), None);
            }
        }),
        ("another condition failed", halted, |record| {
            if let Record::Lease { cause, .. } = record {
                *cause = Some("policy".to_owned());
            }
        }),
        ("it was completed", failed, |record| {
            if let Record::Closure { event, .. } = record {
                *event = ExecutionEvent::Completed;
            }
        }),
        ("something was executed", failed, |record| {
            if let Record::Closure { executed, .. } = record {
                *executed = Some(Hash([7; 32]));
            }
        }),
        ("nobody signed", failed, |record| {
            if let Record::Closure { note, .. } = record {
                *note = None;
            }
        }),
    ];
    for (what, index, forge) in forgeries {
        let mut entries = Entries::of(&site);
        let mut record = Record::decode(&entries.0[index].leaf).unwrap();
        forge(&mut record);
        entries.0[index].leaf = record.encode();
        match entries.replay(&site, Options::default()) {
            Ok(report) => assert!(report.differences.iter().any(|one| one.index == index as u64), "{what}: {report:?}"),
            // What stands behind it no longer follows at all: a halted execution is not closed.
            Err(ReplayError::Fold(_)) => assert_eq!(what, "it was halted"),
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

fn passing() -> Classes {
    let mut classes = [Class::NotRequired; 9];
    for place in [0, 1, 3, 8] {
        classes[place] = Class::Pass;
    }
    Classes::new(classes)
}

#[test]
fn another_request_under_a_decision_is_found() {
    let (site, allowed, _) = history();
    let mut entries = Entries::of(&site);
    let private = entries.0[allowed].private.as_mut().unwrap();
    private.request = write("r1", json!({ "frozen": true })).to_string().into_bytes();
    let report = entries.replay(&site, Options::default()).unwrap();
    assert_eq!(report.difference_count, 1);
    // With the commitment made good, the verdict no longer follows.
    let mut entries = Entries::of(&site);
    let private = entries.0[allowed].private.as_mut().unwrap();
    private.request = write("r1", json!({ "frozen": true })).to_string().into_bytes();
    let hash = commitment(&private.request_salt, &private.request);
    let report =
        entries.forge(allowed, |decision, _| decision.request = hash).replay(&site, Options::default()).unwrap();
    assert_eq!((report.difference_count, report.differences[0].index), (1, allowed as u64));
}

#[test]
fn a_switch_that_was_taken_out_of_the_log_is_missed() {
    let (site, ..) = history();
    let mut entries = Entries::of(&site);
    let switch = entries.0.iter().position(|stored| matches!(Record::decode(&stored.leaf), Ok(Record::Switch { .. })));
    entries.0.remove(switch.unwrap());
    assert!(matches!(entries.replay(&site, Options::default()), Err(ReplayError::Fold(_))));
}

#[test]
fn entries_that_are_not_those_under_the_head_are_refused() {
    let (site, ..) = history();
    let mut entries = Entries::of(&site);
    let (size, _) = entries.head();
    let root = Hash([7; 32]);
    let result = replay(&mut entries, &governors(&site), (size, root), Options::default(), &mut |_| {});
    assert!(matches!(result, Err(ReplayError::Root { .. })));
    entries.0.pop();
    let result = replay(&mut entries, &governors(&site), (size, root), Options::default(), &mut |_| {});
    assert!(matches!(result, Err(ReplayError::Short { .. })));
}

#[test]
fn what_is_not_there_is_counted_by_outcome_and_never_guessed() {
    let (site, allowed, forbidden) = history();
    let mut entries = Entries::of(&site);
    for index in [allowed, forbidden] {
        entries.0[index].private = None;
    }
    let report = entries.replay(&site, Options::default()).unwrap();
    assert_eq!((report.same, report.difference_count), (28, 0));
    assert_eq!(report.not_recomputable, [("allow", 1), ("deny", 1)].into());
}
