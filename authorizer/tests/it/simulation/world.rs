//! One run: a process over a disk that fails, callers, an administrator and a clock, all on one thread, each step chosen by the seed.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_http::Request;
use actix_web::test::{self, TestRequest};
use actix_web::web::Data;
use actix_web::{App, dev::Service};
use authorizer::clock::{Manual, Source};
use authorizer::engine::Published;
use authorizer::fold::Fold;
use authorizer::governance::{Governors, NewEpoch, Proposed};
use authorizer::keys::{ApiKeys, Role};
use authorizer::live::Shared;
use authorizer::replay::{self, replay};
use authorizer::sequencer::{Sequencer, Turn};
use authorizer::service::{admin_keys_path, api_keys_path, assemble};
use authorizer::worker::Worker;
use authorizer::{Config, StartError, canary, http};
use ledger::storage::ram::{Fault, Op, Ram, Rule};
use ledger::{Ledger, OpenError, Options, create_in, default_memory};
use rand::RngExt;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use verifier::act::{Deed, Power};

use super::callers::{Answering, Asked, Callers};
use super::disk::{Disk, set_bell};
use super::model::Model;
use super::requests::{self, TARGETS};
use crate::support::{Answer, ORIGIN, bearer};

const START: u64 = 1_760_000_000_000;
const LOG: &str = "/log";
const WORKERS: usize = 2;
/// Calls under way at once: enough to fill batches and to be several in every race.
const CALLS: usize = 6;
const WEEKS: u64 = 60 * 24 * 3_600_000;

type Http = Rc<dyn Fn(Request) -> Answering>;

/// A process.
struct Process {
    shared: Arc<Shared>,
    /// None once it is over.
    sequencer: Option<Sequencer>,
    workers: Vec<Data<Worker>>,
    http: Vec<Http>,
    /// What it took the wall clock for at its start, and the clock that never steps.
    began: (u64, u64),
}

pub struct World {
    data: tempfile::TempDir,
    keys: [(&'static str, String); 2],
    governors: Governors,
    ram: Ram,
    clock: Arc<Manual>,
    /// How far the wall clock is off.
    off_ms: i64,
    callers: Rc<RefCell<Callers>>,
    model: Model,
    process: Option<Process>,
    latest_ms: u64,
}

/// What a run came to.
pub struct Run {
    pub digest: [u8; 32],
    pub counts: std::collections::BTreeMap<String, u64>,
}

/// Lives a run from its seed.
pub fn run(seed: u64, steps: usize) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let run = tokio::task::LocalSet::new().block_on(&runtime, tokio::task::unconstrained(live(seed, steps)));
    set_bell(None);
    run
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
        let admin = requests::admin().verifier_key().clone();
        fs::write(admin_keys_path(data.path()), format!("{admin}\n")).unwrap();
        let file = ApiKeys::create_file(&api_keys_path(data.path())).unwrap();
        file.create_admin(&requests::SEED, "2026-01-01T00:00:00.000Z".into()).unwrap();
        let key = |realm: &'static str| {
            let (key, _) = file.create(realm, Role::Service, "2026-01-01T00:00:01.000Z".into()).unwrap();
            (realm, key.to_string())
        };
        let callers = Rc::new(RefCell::new(Callers::new(seed, START)));
        let ringing = callers.clone();
        set_bell(Some(Rc::new(move || {
            // Whoever is polled just now may not be polled within.
            if let Ok(mut callers) = ringing.try_borrow_mut()
                && callers.random.random_bool(0.5)
            {
                callers.poll_one();
            }
        })));
        World {
            keys: [key("main"), key("other")],
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

    fn chance(&self, of: f64) -> bool {
        self.callers.borrow_mut().random.random_bool(of)
    }

    fn pick(&self, below: u64) -> u64 {
        self.callers.borrow_mut().random.random_range(0..below)
    }

    fn tell(&self, line: &str) {
        self.callers.borrow_mut().tell(line);
    }

    fn count(&self, what: &str) {
        self.callers.borrow_mut().count(what);
    }

    async fn step(&mut self) {
        let alive = self.process.as_ref().is_some_and(|process| process.sequencer.is_some());
        if !alive && self.chance(0.2) {
            return self.reopen(false).await;
        }
        match self.pick(1_000) {
            0..300 => self.begin(),
            300..600 => self.callers.borrow_mut().poll_one(),
            600..850 => self.turn(),
            850..920 => self.advance().await,
            920..965 => self.govern(),
            965..975 => self.step_clock(),
            975..987 => self.plan_fault(),
            987..994 => self.reopen(false).await,
            _ => self.reopen(true).await,
        }
    }

    /// A caller asks for something.
    fn begin(&mut self) {
        let Some(process) = &self.process else { return };
        let mut callers = self.callers.borrow_mut();
        let callers = &mut *callers;
        if callers.under_way() >= CALLS {
            return;
        }
        let at = callers.random.random_range(0..process.http.len());
        let (http, worker) = (process.http[at].clone(), process.workers[at].clone());
        let (realm, key) = &self.keys[usize::from(callers.random.random_bool(0.2))];
        let post = |path: &str, kind: &str, key: &str, body: Vec<u8>| {
            let request = TestRequest::post().uri(path).insert_header(("Authorization", bearer(key)));
            http(request.insert_header(("Content-Type", kind)).set_payload(body).to_request())
        };
        let (asked, answering) = match callers.random.random_range(0..100) {
            0..55 => {
                let many = if callers.random.random_bool(0.25) { callers.random.random_range(2..5) } else { 1 };
                let requests: Vec<Value> =
                    (0..many).map(|_| requests::request(&mut callers.random, &callers.permits)).collect();
                let range = callers.random.random_bool(0.3);
                let body = if many == 1 { requests[0].to_string() } else { json!(requests).to_string() };
                let path = if range { "/v1/decisions?receipt=range" } else { "/v1/decisions" };
                let answering = post(path, "application/json", key, body.into_bytes());
                (Asked::Decisions { realm: *realm, requests, range }, answering)
            }
            55..75 if !callers.leases.is_empty() => {
                let recent = callers.leases.len().saturating_sub(4);
                let at = callers.random.random_range(recent..callers.leases.len());
                let (permit, ends_at) = callers.leases[at].clone();
                let note = requests::event(&mut callers.random, &permit, ends_at);
                let path = format!("/v1/executions/{permit}/events");
                (Asked::Event { permit }, post(&path, "text/plain", key, note.into_bytes()))
            }
            75..80 if !callers.permits.is_empty() => {
                let at = callers.random.random_range(0..callers.permits.len());
                let request = TestRequest::get().uri(&format!("/v1/permits/{}", callers.permits[at]));
                (Asked::Permit, http(request.insert_header(("Authorization", bearer(key))).to_request()))
            }
            80..84 => {
                let body = requests::statement(&mut callers.random);
                (Asked::Statement, post("/v1/statements", "application/octet-stream", key, body))
            }
            84..90 if !callers.unapproved.is_empty() => {
                let at = callers.random.random_range(0..callers.unapproved.len());
                let (realm, denied, request) = callers.unapproved.swap_remove(at);
                let note = requests::approval(&denied, &request, realm, callers.now_ms);
                let mut retry = request;
                retry["retry_of"] = denied["permit"].clone();
                retry.as_object_mut().unwrap().remove("idempotency_key");
                let answering = post("/v1/approvals", "text/plain", &requests::admin_key(), note.into_bytes());
                (Asked::Approval { realm, retry }, answering)
            }
            90..96 if !callers.retries.is_empty() => {
                let (realm, retry) = callers.retries[callers.random.random_range(0..callers.retries.len())].clone();
                let key = &self.keys.iter().find(|(name, _)| *name == realm).unwrap().1;
                let answering = post("/v1/decisions", "application/json", key, retry.to_string().into_bytes());
                (Asked::Decisions { realm, requests: vec![retry], range: false }, answering)
            }
            _ => (
                Asked::Canary,
                Box::pin(async move {
                    canary::send(&worker).await;
                    Answer { status: 200, head: String::new(), body: Vec::new() }
                }) as Answering,
            ),
        };
        callers.begin(asked, answering);
    }

    /// The sequencer has its turn.
    fn turn(&mut self) {
        let Some(process) = &mut self.process else { return };
        let Some(sequencer) = &mut process.sequencer else { return };
        match sequencer.turn() {
            Turn::Done => {}
            Turn::Idle => {
                let fold = sequencer.fold();
                assert_eq!(
                    process.shared.live.load().governance,
                    fold.governance,
                    "workers decide under another version"
                );
            }
            Turn::Over => {
                // As its thread ends.
                process.sequencer = None;
                let fault = process.shared.fault().unwrap_or("none").to_owned();
                assert!(fault.contains("cannot be written"), "{fault}");
                self.tell("the sequencer is over");
                self.count("sequencers that met an I/O error");
            }
        }
    }

    async fn advance(&mut self) {
        let ms = match self.pick(100) {
            0..80 => 1 + self.pick(200),
            80..97 => 1 + self.pick(20_000),
            97..99 => 1 + self.pick(600_000),
            _ => 1 + self.pick(30 * 3_600_000),
        };
        self.pass(ms).await;
    }

    async fn pass(&mut self, ms: u64) {
        self.clock.advance(ms);
        self.callers.borrow_mut().now_ms += ms;
        tokio::time::advance(Duration::from_millis(ms)).await;
        self.tell(&format!("{ms} ms pass"));
    }

    /// The wall clock alone steps, or is set right again.
    fn step_clock(&mut self) {
        let to = match self.pick(5) {
            0 => 5 * 365 * 24 * 3_600_000,
            1 => 900,
            2 => -900,
            3 => -5_000,
            _ => 0,
        };
        let right = self.clock.wall_ms().saturating_add_signed(-self.off_ms);
        self.clock.step_to(right.saturating_add_signed(to));
        self.off_ms = to;
        self.tell(&format!("the clock is off by {to} ms"));
        self.count("steps of the clock");
    }

    fn set_clock_right(&mut self) {
        let right = self.clock.wall_ms().saturating_add_signed(-self.off_ms);
        self.clock.step_to(right);
        self.off_ms = 0;
    }

    /// An administrator's act; some follow a version that is over when they come.
    fn govern(&mut self) {
        let Some(process) = &self.process else { return };
        let follows = process.shared.live.load().governance;
        if follows == 0 || self.pick(3) == 0 {
            return self.publish();
        }
        let mut callers = self.callers.borrow_mut();
        let callers = &mut *callers;
        let revoke = callers.random.random_bool(0.3) && !callers.permits.is_empty();
        let (path, deed) = if revoke {
            let recent = callers.permits.len().saturating_sub(8);
            let at = callers.random.random_range(recent..callers.permits.len());
            let permit = callers.permits[at].parse().unwrap();
            ("/v1/revocations", Deed::Revocation { permit, reason: "drill".into() })
        } else {
            // Released more often than thrown: a world that is halted decides nothing.
            let target = TARGETS[callers.random.random_range(0..TARGETS.len())];
            let power = if callers.random.random_bool(0.4) { Power::Halt } else { Power::Run };
            ("/v1/switches", requests::switch(target, power))
        };
        let request = TestRequest::post().uri(path).insert_header(("Authorization", bearer(&requests::admin_key())));
        let request = request.insert_header(("Content-Type", "text/plain")).set_payload(requests::act(follows, deed));
        callers.begin(Asked::Act, (process.http[0])(request.to_request()));
    }

    /// The next epoch, straight into the governance lane: building its engines leaves this thread when it comes over HTTP.
    fn publish(&mut self) {
        let Some(process) = &self.process else { return };
        let live = process.shared.live.load();
        let (follows, number) = (live.governance, live.epoch + 1);
        let content = requests::content(number);
        let document = content.encode();
        let deed = Deed::Epoch { number, content: content.digest() };
        let verified = self.governors.open(&requests::act(follows, deed)).unwrap();
        let published = Published::new(content).unwrap();
        let engines = Arc::new((0..WORKERS).map(|_| Mutex::new(published.replica().unwrap())).collect());
        let (reply, answer) = oneshot::channel();
        let epoch = Some(NewEpoch { document, engines, predecessor: None });
        let pushed = process.shared.queue.push_act(Proposed { verified, epoch, reply }).is_ok();
        let answering = Box::pin(async move {
            let said = |status: u16, body: Value| Answer { status, head: String::new(), body: body.to_string().into() };
            match answer.await {
                Ok(Ok(recorded)) if pushed => said(
                    200,
                    json!({ "index": recorded.index, "governance": recorded.governance, "checkpoint": recorded.head.note }),
                ),
                Ok(Err(_)) => said(409, json!({ "status": 409, "code": "governance_conflict" })),
                Ok(Ok(_)) | Err(_) => said(503, json!({ "status": 503, "code": "unavailable" })),
            }
        });
        self.callers.borrow_mut().begin(Asked::Act, answering);
    }

    /// The disk will fail, once, some operations from now.
    fn plan_fault(&mut self) {
        use std::io::ErrorKind;
        let path = ["journal", "vault", ".memory"][self.pick(3) as usize].to_owned();
        let (op, fault) = match self.pick(9) {
            0 => (Op::Sync, Fault::Fail(ErrorKind::Other)),
            1 => (Op::Sync, Fault::FailKept(ErrorKind::Other)),
            2 => (Op::Sync, Fault::Torn { error: ErrorKind::Other, seed: self.pick(1_000) }),
            3 => (Op::Sync, Fault::Kill),
            4 => (Op::Write, Fault::Fail(ErrorKind::StorageFull)),
            5 => (Op::Write, Fault::FailKept(ErrorKind::Other)),
            6 => (Op::Write, Fault::Short { error: ErrorKind::StorageFull, kept: true }),
            7 => (Op::Write, Fault::Short { error: ErrorKind::StorageFull, kept: false }),
            _ => (Op::Write, Fault::Kill),
        };
        let nth = self.pick(4);
        self.tell(&format!("{op:?} of {path} will meet {fault:?} after {nth}"));
        self.count("faults planned");
        self.ram.fault(Rule { op: Some(op), path, nth, fault });
    }

    /// The process ends, in good order or not, and another begins.
    async fn reopen(&mut self, orderly: bool) {
        let stopped = orderly && self.stop();
        let how = if stopped { 9 } else { self.pick(4) };
        match how {
            9 => {}
            0 | 1 => self.ram.restart(),
            2 => self.ram.power_loss(),
            _ => self.ram.power_loss_keeping(self.pick(10_000)),
        }
        let name = ["kill -9", "kill -9", "power cut", "power cut"].get(how as usize).unwrap_or(&"stop");
        self.tell(name);
        self.count(name);
        self.callers.borrow_mut().hang_up();
        self.process = None;
        if self.off_ms.unsigned_abs() > WEEKS {
            let (ledger, reader) = self.ledger().unwrap();
            let refused = assemble(&self.config(), ledger, reader);
            assert!(matches!(refused, Err(StartError::Clock(_))), "a start years away from the last record");
        }
        self.set_clock_right();
        // A disk that fails while the log is opened: the next opening still succeeds.
        for _ in 0..self.pick(3) {
            self.plan_fault();
            match self.ledger() {
                Ok(both) => drop(both),
                Err(OpenError::Io(_)) => {}
                Err(error) => panic!("after a fault while opening: {error}"),
            }
            self.ram.restart();
        }
        self.open().await;
    }

    /// As at SIGTERM: what was accepted is answered. Whether it came to that.
    fn stop(&mut self) -> bool {
        let Some(process) = &mut self.process else { return false };
        let Some(sequencer) = &mut process.sequencer else { return false };
        process.shared.stopping.store(true, Ordering::SeqCst);
        let mut turns = 0;
        while sequencer.turn() != Turn::Over {
            turns += 1;
            assert!(turns < 100, "a stop that takes for ever");
        }
        process.sequencer = None;
        if process.shared.fault().is_some() {
            return false;
        }
        let mut callers = self.callers.borrow_mut();
        for _ in 0..100 {
            callers.poll_one();
        }
        true
    }

    fn ledger(&self) -> Result<(Ledger, ledger::Reader), OpenError> {
        let options = Options { seal: false, ..Options::new(LOG) };
        Ledger::open_in(Arc::new(Disk(self.ram.process())), options, self.clock.wall_ms())
    }

    fn config(&self) -> Config {
        let mut config = Config::new(self.data.path(), "127.0.0.1:0".parse().unwrap());
        (config.workers, config.clock) = (WORKERS, self.clock.clone());
        config
    }

    async fn open(&mut self) {
        let (ledger, reader) = self.ledger().unwrap_or_else(|error| panic!("the log does not open: {error}"));
        let (shared, sequencer) = assemble(&self.config(), ledger, reader.clone()).unwrap();
        let workers: Vec<_> = (0..WORKERS).map(|index| Data::new(Worker::new(shared.clone(), index))).collect();
        let mut http = Vec::new();
        for worker in &workers {
            http.push(serve(worker.clone()).await);
        }
        let began = (self.clock.wall_ms(), self.clock.monotonic_ms());
        self.process = Some(Process { shared, sequencer: Some(sequencer), workers, http, began });
        let mut callers = self.callers.borrow_mut();
        callers.reader = Some(reader.clone());
        callers.tell(&format!("open at {}", reader.size()));
        for kept in &callers.kept {
            assert_eq!(reader.entry(kept.index).unwrap(), kept.leaf, "entry {} was answered", kept.index);
        }
    }

    /// After every step.
    fn check(&mut self) {
        let Some(process) = &self.process else { return };
        let (wall, monotonic) = process.began;
        let expected = wall + (self.clock.monotonic_ms() - monotonic);
        self.latest_ms = self.latest_ms.max(expected + authorizer::clock::MAX_LEAD_MS);
        if process.sequencer.is_none() {
            // The machine may be gone, and reads with it.
            return;
        }
        self.model.read(&process.shared.reader, self.latest_ms);
        if self.chance(0.03) {
            self.check_fold();
        }
        if self.chance(0.02) {
            self.check_medium();
        }
    }

    /// The state in memory is the fold over the log.
    fn check_fold(&self) {
        let Some(Process { shared, sequencer: Some(sequencer), .. }) = &self.process else { return };
        let (again, _) = Fold::of(&shared.reader, &self.governors).unwrap();
        let live = sequencer.fold();
        assert_eq!((live.governance, live.epoch, live.frozen), (again.governance, again.epoch, again.frozen));
        assert_eq!((&live.epochs, &live.switches, &live.committed), (&again.epochs, &again.switches, &again.committed));
        // Time passes in one of them at each look, in the other at each record only.
        let now = self.latest_ms;
        let (mut live, mut again) = (live.state.clone(), again.state);
        live.advance(now);
        again.advance(now);
        assert_eq!(live, again, "the fold of the log is another state than the one in memory");
        self.count("folds compared");
    }

    /// If power were lost now, all that was published and answered would be there.
    fn check_medium(&self) {
        let Some(Process { shared, .. }) = &self.process else { return };
        let published = shared.reader.head();
        let after = self.ram.fork();
        after.power_loss();
        let options = Options { seal: false, ..Options::new(LOG) };
        let opened = Ledger::open_in(Arc::new(after.process()), options, self.clock.wall_ms());
        let (_ledger, reader) = opened.unwrap_or_else(|error| panic!("after a power cut: {error}"));
        let size = published.checkpoint.size;
        assert!(reader.size() >= size, "{size} were published, and {} survive", reader.size());
        assert_eq!(reader.root_at(size).unwrap(), published.checkpoint.root, "another history survives");
        for kept in &self.callers.borrow().kept {
            assert_eq!(reader.entry(kept.index).unwrap(), kept.leaf, "entry {} was answered", kept.index);
        }
        self.count("power cuts tried beside");
    }

    /// No more faults: everything that waits is answered, the world goes on, and the whole log can be computed again.
    async fn end(&mut self) {
        self.reopen(false).await;
        self.set_clock_right();
        for _ in 0..400 {
            self.turn();
            self.callers.borrow_mut().poll_one();
        }
        self.check();
        self.check_fold();
        self.check_medium();
        assert_eq!(self.callers.borrow().under_way(), 0, "somebody waits for ever");
        let process = self.process.as_ref().unwrap();
        let mut reader = process.shared.reader.clone();
        let checkpoint = reader.head().checkpoint.clone();
        let head = (checkpoint.size, checkpoint.root);
        let report = replay(&mut reader, &self.governors, head, replay::Options::default(), &mut |_| {}).unwrap();
        assert_eq!(report.differences, [], "{report:?}");
        assert_eq!((report.same, report.executions_same), (report.decisions, report.executions));
        self.tell(&format!("{} entries, {} decisions", report.entries, report.decisions));
    }
}

/// The decision API of one worker, without a socket.
async fn serve(worker: Data<Worker>) -> Http {
    let app = App::new().configure(|config| http::configure(config, worker));
    let service = Rc::new(test::init_service(app).await);
    Rc::new(move |request| {
        let service = service.clone();
        Box::pin(async move {
            let response = service.call(request).await.unwrap();
            let status = response.status().as_u16();
            let body = test::try_read_body(response).await.unwrap_or_else(|_| panic!("a body that breaks off"));
            Answer { status, head: String::new(), body: body.to_vec() }
        })
    })
}
