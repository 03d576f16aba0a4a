//! One run: a process over a disk that fails, callers, an administrator and a clock, all on one thread, each step chosen by the seed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use authorizer::clock::Manual;
use authorizer::governance::Governors;
use authorizer::keys::{ApiKeys, Role};
use authorizer::quota::Quota;
use authorizer::replay::{self, replay};
use authorizer::service::{admin_keys_path, api_keys_path};
use ledger::storage::ram::Ram;
use ledger::{create_in, default_memory};
use rand::RngExt;
use verifier::decision::Outcome;
use verifier::record::Record;

use super::callers::Callers;
use super::disk::set_bell;
use super::epochs;
use super::limit::RECORDS_PER_SECOND;
use super::model::Model;
use super::process::{LOG, Process};
use crate::support::ORIGIN;

const START: u64 = 1_760_000_000_000;
/// Steps after which everything that was begun is answered, by far.
const SETTLED: usize = 600;

pub struct World {
    pub(super) data: tempfile::TempDir,
    keys: [Key; 4],
    pub(super) governors: Governors,
    pub(super) ram: Ram,
    pub(super) clock: Arc<Manual>,
    /// How far the wall clock is off.
    pub(super) off_ms: i64,
    pub(super) callers: Rc<RefCell<Callers>>,
    pub(super) model: Model,
    pub(super) process: Option<Process>,
    pub(super) latest_ms: u64,
}

/// Who asks: services of two realms, and in the first of them one whose key may be taken back and one whose key may take little.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    Main,
    Other,
    Spare,
    Limited,
}

impl Caller {
    const ALL: [Caller; 4] = [Caller::Main, Caller::Other, Caller::Spare, Caller::Limited];

    pub fn realm(self) -> &'static str {
        if self == Caller::Other { "other" } else { "main" }
    }
}

/// A caller's key.
pub struct Key {
    pub id: String,
    pub secret: String,
}

/// What a run came to.
pub struct Run {
    pub digest: [u8; 32],
    pub counts: BTreeMap<String, u64>,
}

/// Lives a run from its seed.
pub fn run(seed: u64, steps: usize) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let _quiet = Quiet;
    tokio::task::LocalSet::new().block_on(&runtime, tokio::task::unconstrained(live(seed, steps)))
}

/// The bell ends with the run, however that ends.
struct Quiet;

impl Drop for Quiet {
    fn drop(&mut self) {
        set_bell(None);
    }
}

/// So many requests that would be allowed wait when a switch comes: where that stands in the log, and where they do, and whether they were
/// allowed. Without the switch, that is at 0.
pub fn overtaking(count: usize, halts: bool) -> (u64, Vec<(u64, bool)>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let _quiet = Quiet;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let mut world = World::new(0);
        world.open().await;
        world.publish();
        world.turn();
        let before = world.process.as_ref().unwrap().shared.reader.size();
        world.ask(count);
        // Each is evaluated, and waits in the queue; the switch comes behind them all.
        for _ in 0..20 * count {
            world.callers.borrow_mut().poll_one();
        }
        assert_eq!(world.process.as_ref().unwrap().shared.queue.decisions(), count);
        if halts {
            world.halt();
        }
        for _ in 0..20 * count {
            world.callers.borrow_mut().poll_one();
        }
        for _ in 0..10 {
            world.turn();
            for _ in 0..20 * count {
                world.callers.borrow_mut().poll_one();
            }
        }
        let reader = world.process.as_ref().unwrap().shared.reader.clone();
        let (mut switch, mut decisions) = (0, Vec::new());
        for index in before..reader.size() {
            match reader.record(index).unwrap() {
                Record::Switch { .. } => switch = index,
                Record::Decision(decision) => decisions.push((index, decision.outcome == Outcome::Allow)),
                // What the state came to.
                Record::State { .. } => {}
                other => panic!("nobody made {other:?}"),
            }
        }
        (switch, decisions)
    })
}

async fn live(seed: u64, steps: usize) -> Run {
    let mut world = World::new(seed);
    world.open().await;
    world.publish();
    for _ in 0..steps {
        world.step().await;
        world.check();
    }
    world.end().await;
    let callers = world.callers.borrow();
    let mut counts = callers.counts.clone();
    for (name, count) in [
        ("entries", world.model.size),
        ("epochs", world.model.epochs),
        ("governance", world.model.governance),
        ("allowing records", world.model.allowed),
        ("denying records", world.model.denied),
        ("renewals", world.model.renewed),
        ("verdicts of candidates", world.model.tried),
        ("nonces used", world.model.nonces_used),
        ("erasures", world.model.erasures),
    ] {
        counts.insert(name.to_owned(), count);
    }
    Run { digest: callers.digest(), counts }
}

impl World {
    fn new(seed: u64) -> World {
        let data = tempfile::tempdir().unwrap();
        let (ram, clock) = (Ram::new(), Arc::new(Manual::at(START)));
        let memory = default_memory(Path::new(LOG));
        create_in(Arc::new(ram.process()), Path::new(LOG), &memory, ORIGIN, START).unwrap();
        fs::create_dir_all(data.path().join("keys")).unwrap();
        let admin = epochs::admin().verifier_key().clone();
        fs::write(admin_keys_path(data.path()), format!("{admin}\n")).unwrap();
        let file = ApiKeys::create_file(&api_keys_path(data.path())).unwrap();
        file.create_admin(&epochs::SEED, "2026-01-01T00:00:00.000Z".into()).unwrap();
        let key = |caller: Caller| {
            let records_per_second = NonZeroU32::new(RECORDS_PER_SECOND).filter(|_| caller == Caller::Limited);
            let quota = Quota { records_per_second, ..Quota::default() };
            let created = "2026-01-01T00:00:01.000Z".into();
            let (secret, info) = file.create_limited(caller.realm(), Role::Service, quota, created).unwrap();
            Key { id: info.id.clone(), secret: secret.to_string() }
        };
        let callers = Rc::new(RefCell::new(Callers::new(seed, START)));
        let ringing = callers.clone();
        set_bell(Some(Rc::new(move || {
            // Whoever is polled just now may not be polled within; and a log that is opened or dropped has no callers.
            if let Ok(mut callers) = ringing.try_borrow_mut()
                && callers.disk.is_some()
            {
                callers.look();
                if callers.random.random_bool(0.5) {
                    callers.poll_one();
                }
            }
        })));
        World {
            keys: Caller::ALL.map(key),
            governors: Governors::new(ORIGIN, vec![admin]),
            data,
            ram,
            clock,
            off_ms: 0,
            callers,
            model: Model::default(),
            process: None,
            latest_ms: START,
        }
    }

    pub(super) fn key(&self, of: Caller) -> &Key {
        &self.keys[of as usize]
    }

    pub(super) fn chance(&self, of: f64) -> bool {
        self.callers.borrow_mut().random.random_bool(of)
    }

    pub(super) fn pick(&self, below: u64) -> u64 {
        self.callers.borrow_mut().random.random_range(0..below)
    }

    pub(super) fn one_of(&self, among: &[&'static str]) -> &'static str {
        let random = &mut self.callers.borrow_mut().random;
        among[random.random_range(0..among.len())]
    }

    pub(super) fn tell(&self, line: &str) {
        self.callers.borrow_mut().tell(line);
    }

    pub(super) fn count(&self, what: &str) {
        self.callers.borrow_mut().count(what);
    }

    async fn step(&mut self) {
        let alive = self.process.as_ref().is_some_and(|process| process.sequencer.is_some());
        if !alive && self.chance(0.2) {
            return self.reopen(false).await;
        }
        if self.off_ms != 0 && self.chance(0.05) {
            self.step_clock();
        }
        match self.pick(1_000) {
            0..300 => self.begin(),
            300..600 => self.callers.borrow_mut().poll_one(),
            600..850 => self.turn(),
            850..920 => self.advance().await,
            920..950 => self.govern(),
            950..965 => self.step_clock(),
            965..978 => self.advance().await,
            978..990 => self.erase(),
            990..995 => self.plan_fault(),
            995..998 => self.reopen(false).await,
            _ => self.reopen(true).await,
        }
    }

    /// No more faults: everything that waits is answered, the world goes on, and the whole log can be computed again.
    async fn end(&mut self) {
        self.reopen(false).await;
        self.set_clock_right();
        for n in 0..SETTLED {
            if n < SETTLED / 3 {
                self.begin();
            }
            self.turn();
            self.callers.borrow_mut().poll_one();
        }
        self.check();
        self.check_fold();
        self.check_medium();
        self.check_erased();
        assert_eq!(self.callers.borrow().under_way(), 0, "somebody waits for ever");
        let process = self.process.as_ref().unwrap();
        let mut reader = process.shared.reader.clone();
        let checkpoint = reader.head().checkpoint.clone();
        let head = (checkpoint.size, checkpoint.root);
        let report = replay(&mut reader, &self.governors, head, replay::Options::default(), &mut |_| {}).unwrap();
        assert_eq!(report.differences, [], "{report:?}");
        self.check_replay(&report);
        self.tell(&format!("{} entries, {} decisions", report.entries, report.decisions));
    }
}
