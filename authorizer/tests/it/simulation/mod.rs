//! The whole pipeline from a request's bytes to its permit, on one thread, a disk in memory and a time that is made up: who has the next
//! turn, what is asked, what fails and when is chosen by a seed.
//!
//! Run: worker evaluation, queue, sequencer, fold, ledger, answers, by the code that serves, without sockets. Around every sync others have
//! their turn, as other threads have while a disk works. After every step: heads never go back or fork; times never go back nor run ahead;
//! nothing is recorded under a governance version or an epoch that is not in force; nothing that a switch, a revocation or an end stops is
//! allowed, nor anything that rests on a subject, key, issuer or policy that was taken back; no permit is there twice, under no key a second
//! one; a candidate's verdict stands beside each decision and decides none; a nonce admits one body; what a key's quota refuses is not
//! recorded, and what it lets in is no more than it may take; the state in memory is the fold of the log; what was answered verifies
//! with the log's key alone and survives a power cut at that moment; what is erased is in no file, and nothing else is gone. At the end:
//! replay of the whole log finds no difference, and counts what is erased.
//!
//! `INTERLOCK_SIM_SEED=n` lives one run again; `INTERLOCK_SIM_RUNS=n` more of them; `INTERLOCK_SIM_TRACE=1` tells each step.
//! Does not: reorder what threads do within a turn; the model of the queue does (`model.rs`).

mod callers;
mod calls;
mod checks;
mod disk;
mod epochs;
mod limit;
mod model;
mod process;
mod requests;
mod steps;
mod world;

use std::collections::BTreeMap;

use verifier::text::hex;

/// Steps of a run: some crashes, some epochs, a few hundred decisions.
const STEPS: usize = 1_200;
/// Runs in every test; more with `INTERLOCK_SIM_RUNS`.
const RUNS: u64 = 6;
/// Runs in which what is rare happens too.
const MANY: u64 = 60;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

fn run(seed: u64) -> world::Run {
    println!("INTERLOCK_SIM_SEED={seed}");
    world::run(seed, STEPS)
}

#[test]
fn under_any_schedule_and_any_fault_of_the_disk_every_invariant_of_the_pipeline_holds() {
    let seeds = match number("INTERLOCK_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("INTERLOCK_SIM_RUNS").unwrap_or(RUNS),
    };
    let runs = seeds.end - seeds.start;
    let mut counts = BTreeMap::<String, u64>::new();
    for seed in seeds {
        for (what, count) in run(seed).counts {
            *counts.entry(what).or_default() += count;
        }
    }
    println!("{runs} runs of {STEPS} steps: {counts:#?}");
    let happened = |whats: &[&str]| {
        for what in whats {
            assert!(counts.get(*what).is_some_and(|count| *count > 0), "{what} never happened: {counts:#?}");
        }
    };
    if runs >= RUNS {
        happened(&[
            "allowed",
            "denied",
            "renewals",
            "epochs",
            "kill -9",
            "power cut",
            "stop",
            "folds compared",
            "power cuts tried beside",
            "sequencers that met an I/O error",
            "steps of the clock",
            "verdicts of candidates",
            "nonces used",
            "erasures",
            "erasure 409 retained",
            "decisions 429 quota",
            "key taken back",
        ]);
    }
    if runs >= MANY {
        happened(&["issuer taken back", "subject taken back", "policy taken back"]);
    }
}

/// Threat 27, by order: the switch came last and is recorded first, and nothing of what waited before it is allowed.
#[test]
fn a_kill_switch_is_recorded_before_every_decision_that_waits() {
    let (_, decisions) = world::overtaking(40, false);
    assert!(decisions.len() == 40 && decisions.iter().all(|(_, allowed)| *allowed), "{decisions:?}");
    let (switch, decisions) = world::overtaking(40, true);
    assert_eq!(decisions.len(), 40);
    assert!(decisions.iter().all(|(index, allowed)| *index > switch && !allowed), "{switch} {decisions:?}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    let digests = [0, 1].map(|_| hex(&world::run(7, 400).digest));
    assert_eq!(digests[0], digests[1]);
    assert_ne!(digests[0], hex(&world::run(8, 400).digest));
}
