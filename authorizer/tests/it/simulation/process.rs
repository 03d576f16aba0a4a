//! The process of a simulation: it begins over whatever the disk has, and ends in good order or not.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_http::Request;
use actix_web::web::Data;
use actix_web::{App, dev::Service, test};
use authorizer::clock::Source;
use authorizer::fold::FoldError;
use authorizer::live::Shared;
use authorizer::sequencer::{Sequencer, Turn};
use authorizer::service::assemble;
use authorizer::worker::Worker;
use authorizer::{Config, StartError, http};
use ledger::{Ledger, OpenError, Options};

use super::callers::Answering;
use super::disk::Disk;
use super::world::World;
use crate::support::Answer;

pub const LOG: &str = "/log";
pub const WORKERS: usize = 2;
/// Farther off than any start allows.
const WEEKS: u64 = 60 * 24 * 3_600_000;

pub type Http = Rc<dyn Fn(Request) -> Answering>;

/// A process.
pub struct Process {
    pub(super) shared: Arc<Shared>,
    /// None once it is over.
    pub(super) sequencer: Option<Sequencer>,
    pub(super) workers: Vec<Data<Worker>>,
    pub(super) http: Vec<Http>,
    /// What it took the wall clock for at its start, and the clock that never steps.
    pub(super) began: (u64, u64),
}

impl World {
    /// The process ends, in good order or not, and another begins.
    pub(super) async fn reopen(&mut self, orderly: bool) {
        let stopped = orderly && self.stop();
        let how = if stopped { "stop" } else { self.one_of(&["kill -9", "kill -9", "power cut", "torn power cut"]) };
        self.callers.borrow_mut().hang_up();
        if stopped {
            // Closed in good order, before anything else happens.
            self.process = None;
        }
        match how {
            "power cut" => self.ram.power_loss(),
            "torn power cut" => self.ram.power_loss_keeping(self.pick(10_000)),
            _ => self.ram.restart(),
        }
        self.tell(how);
        self.count(how);
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
                // It may also fail while what an erasure left behind is erased.
                Ok((ledger, reader)) => match assemble(&self.config(), ledger, reader) {
                    Ok(_) | Err(StartError::Erase(_)) => {}
                    Err(StartError::Fold(FoldError::Read { .. })) if self.ram.faults_left() == 0 => {}
                    Err(error) => panic!("after a fault while starting: {error}"),
                },
                Err(OpenError::Io(_)) => {}
                Err(error) => panic!("after a fault while opening: {error}"),
            }
            self.ram.restart();
        }
        self.open().await;
    }

    /// As at SIGTERM: what was accepted is answered. Whether it came to that.
    pub(super) fn stop(&mut self) -> bool {
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

    pub(super) fn ledger(&self) -> Result<(Ledger, ledger::Reader), OpenError> {
        let options = Options { seal: false, ..Options::new(LOG) };
        Ledger::open_in(Arc::new(Disk(self.ram.process())), options, self.clock.wall_ms())
    }

    pub(super) fn config(&self) -> Config {
        let mut config = Config::new(self.data.path(), "127.0.0.1:0".parse().unwrap());
        (config.workers, config.clock, config.state_every) = (WORKERS, self.clock.clone(), 16);
        config
    }

    pub(super) async fn open(&mut self) {
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
        (callers.reader, callers.disk) = (Some(reader.clone()), Some(self.ram.process()));
        callers.tell(&format!("open at {}", reader.size()));
        if let Some(seen) = &callers.seen {
            let (size, root) = (seen.checkpoint.size, seen.checkpoint.root);
            assert!(reader.size() >= size, "a head of {size} was shown, and {} is left", reader.size());
            assert_eq!(reader.root_at(size).unwrap(), root, "another history than was shown");
        }
        for kept in &callers.kept {
            assert_eq!(reader.entry(kept.index).unwrap(), kept.leaf, "entry {} was answered", kept.index);
        }
    }

    /// The sequencer has its turn.
    pub(super) fn turn(&mut self) {
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
                let of_the_disk = fault.contains("cannot be written") || fault.contains("is erased cannot be");
                assert!(of_the_disk, "{fault}");
                self.tell("the sequencer is over");
                self.count("sequencers that met an I/O error");
            }
        }
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
