//! Every storage operation of a log's life fails, in every way: nothing acknowledged is lost, no head that was said is contradicted.
//!
//! A life ([`SCRIPT`]) is lived once without a fault and its operations are counted by kind and file. Then it is lived again for each of them
//! and each fault, and what is left is judged after a restart (the page cache is there), after a power loss (only what was synced is there)
//! and after power losses that keep an arbitrary part of what was not synced. For a sample, the recovery meets faults of its own.
//!
//! `INTERLOCK_FAULTS=10` takes ten times as many seeds, and a sample ten times as large.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;

use ledger::storage::ram::{Fault, Op, Rule};

use crate::world::World;

/// Seeds of power losses after each operation. Twelve go through every mixture of torn content and torn directories.
const SEEDS: u64 = 12;
/// After each so many lives, every operation of the recovery fails too.
const SAMPLE: u64 = 37;

/// Lives until an operation of the index thread comes that often: it does what it finds at once together.
const TRIES: u32 = 5;

fn times() -> u64 {
    std::env::var("INTERLOCK_FAULTS").map_or(1, |times| times.parse().unwrap())
}

/// The operations of a life without faults, and how often each occurs.
fn operations() -> BTreeMap<(String, PathBuf), (Op, u64)> {
    let mut world = World::new();
    world.ram.record();
    world.live();
    assert_eq!((world.failed, world.acknowledged()), (false, 42));
    let mut found = BTreeMap::new();
    for (op, path) in world.ram.history() {
        found.entry((format!("{op:?}"), path)).or_insert((op, 0)).1 += 1;
    }
    found
}

/// What happens to the machine after a fault.
#[derive(Clone, Copy, Debug)]
enum After {
    Restart,
    PowerLoss,
    PowerLossKeeping(u64),
    /// A new process recovers and says what it found; then power is lost.
    RestartThenPowerLoss(u64),
}

impl After {
    fn happen(self, world: &mut World) {
        match self {
            Self::Restart => world.ram.restart(),
            Self::PowerLoss => world.ram.power_loss(),
            Self::PowerLossKeeping(seed) => world.ram.power_loss_keeping(seed),
            Self::RestartThenPowerLoss(seed) => {
                world.ram.restart();
                world.open().unwrap_or_else(|wrong| panic!("{self:?}: {wrong}"));
                world.ram.power_loss_keeping(seed);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    faults: u64,
    recoveries: u64,
    /// Of them, those that found a log whose making was never acknowledged, and no log.
    nothing: u64,
    /// Faults that were not reached in any of [`TRIES`] lives.
    unreached: u64,
    /// Recoveries that met a fault of their own.
    second: u64,
}

impl Tally {
    /// Lives with one fault and judges what is left after each of these.
    fn live(&mut self, op: Op, path: &PathBuf, nth: u64, fault: Fault, afters: &[After]) -> World {
        let mut world;
        let mut tries = 0;
        loop {
            world = World::new();
            world.ram.fault_at(op, path, nth, fault);
            world.live();
            tries += 1;
            if world.ram.faults_left() == 0 || tries == TRIES {
                break;
            }
        }
        if world.ram.faults_left() > 0 {
            assert!(path.starts_with("/srv/log/tree") || path.starts_with("/srv/log/index"), "{op:?} {nth} {path:?}");
            self.unreached += 1;
            return world;
        }
        self.faults += 1;
        for after in afters {
            let mut left = world.fork();
            after.happen(&mut left);
            self.judge(&mut left, &format!("{fault:?} at {op:?} {nth} of {}, then {after:?}", path.display()));
        }
        world
    }

    fn judge(&mut self, world: &mut World, story: &str) {
        self.recoveries += 1;
        match world.judge() {
            Ok(opened) => self.nothing += u64::from(!opened),
            Err(wrong) => panic!("{story}: {wrong}"),
        }
    }

    /// Lets each operation of a recovery fail in turn, then judges what is left of that.
    fn recover(&mut self, world: &World, after: After, fault: Fault, story: &str) {
        for nth in 0.. {
            let mut left = world.fork();
            after.happen(&mut left);
            left.ram.fault(Rule { op: None, path: String::new(), nth, fault });
            left.failed = true;
            left.open().and_then(|()| left.append(1)).unwrap_or_else(|wrong| panic!("{story}: {wrong}"));
            if left.ram.faults_left() > 0 {
                return;
            }
            self.second += 1;
            let mut left = left.fork();
            if nth.is_multiple_of(2) { After::Restart } else { After::PowerLossKeeping(nth) }.happen(&mut left);
            self.judge(&mut left, &format!("{story}, then {after:?}, then {fault:?} at {nth}"));
        }
    }
}

/// The faults that an operation can meet, each with its effect lost and kept.
fn faults(op: Op, nth: u64) -> Vec<Fault> {
    let errors = [ErrorKind::Other, ErrorKind::StorageFull, ErrorKind::Interrupted];
    let mut faults: Vec<Fault> =
        errors.into_iter().flat_map(|error| [Fault::Fail(error), Fault::FailKept(error)]).collect();
    match op {
        Op::Read => return vec![Fault::Fail(ErrorKind::Other)],
        Op::Write => {
            faults.extend([true, false].map(|kept| Fault::Short { error: ErrorKind::StorageFull, kept }));
        }
        Op::Sync | Op::SyncDir => {
            faults.extend([nth, nth + 1].map(|seed| Fault::Torn { error: ErrorKind::Other, seed }));
        }
        Op::Truncate | Op::Rename | Op::Remove | Op::Create => {}
    }
    faults
}

fn sweep(meant: impl Fn(Op) -> bool) -> Tally {
    let mut tally = Tally::default();
    let mut lives: u64 = 0;
    for ((_, path), (op, count)) in operations().iter().filter(|(_, (op, _))| meant(*op)) {
        for nth in 0..*count {
            for fault in faults(*op, nth) {
                lives += 1;
                let seeds = (0..2 * times()).map(|more| After::PowerLossKeeping(2 * times() * lives + more));
                let more = [After::Restart, After::PowerLoss, After::RestartThenPowerLoss(lives)];
                let afters: Vec<After> = seeds.chain(more).collect();
                let world = tally.live(*op, path, nth, fault, &afters);
                if lives.is_multiple_of(SAMPLE.div_ceil(times())) {
                    let story = format!("{fault:?} at {op:?} {nth} of {}", path.display());
                    let again = if lives.is_multiple_of(2) { Fault::Fail(ErrorKind::Other) } else { Fault::Kill };
                    tally.recover(&world, After::Restart, again, &story);
                    tally.recover(&world, After::PowerLossKeeping(lives), again, &story);
                }
            }
        }
    }
    tally
}

#[test]
fn whatever_write_fails_nothing_acknowledged_is_lost_and_no_head_contradicted() {
    let tally = sweep(|op| op == Op::Write);
    println!("writes: {tally:?}");
    assert!(tally.faults > 500 && tally.second > 100, "{tally:?}");
}

#[test]
fn whatever_sync_fails_nothing_acknowledged_is_lost_and_no_head_contradicted() {
    let tally = sweep(|op| op == Op::Sync || op == Op::SyncDir);
    println!("syncs: {tally:?}");
    assert!(tally.faults > 500 && tally.second > 100, "{tally:?}");
}

#[test]
fn whatever_other_change_fails_nothing_acknowledged_is_lost_and_no_head_contradicted() {
    let tally = sweep(|op| !matches!(op, Op::Read | Op::Write | Op::Sync | Op::SyncDir));
    println!("names and lengths: {tally:?}");
    assert!(tally.faults > 200 && tally.second > 50, "{tally:?}");
}

#[test]
fn whatever_read_fails_nothing_acknowledged_is_lost_and_no_head_contradicted() {
    let tally = sweep(|op| op == Op::Read);
    println!("reads: {tally:?}");
    assert!(tally.faults > 200, "{tally:?}");
}

#[test]
fn wherever_power_is_lost_whatever_it_keeps_nothing_acknowledged_is_lost_and_no_head_contradicted() {
    let mut tally = Tally::default();
    let seeds = || 0..SEEDS * times();
    let afters: Vec<After> = (seeds().map(After::PowerLossKeeping))
        .chain(seeds().step_by(3).map(After::RestartThenPowerLoss))
        .chain([After::Restart, After::PowerLoss])
        .collect();
    for ((_, path), (op, count)) in operations().iter().filter(|(_, (op, _))| *op != Op::Read) {
        for nth in 0..*count {
            tally.live(*op, path, nth, Fault::Kill, &afters);
        }
    }
    println!("power losses: {tally:?}");
    assert!(tally.faults > 200, "{tally:?}");
}
