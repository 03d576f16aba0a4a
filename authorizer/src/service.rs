//! Why: the whole authorizer behind one handle: start it over an open log, stop it in good order.
//!
//! Guarantees: start refuses rather than serve half: keys, governors, clock, fold and engines are all good, and the
//! address is bound, before the first call is answered. Stop answers what was accepted, within [`STOP_WITHIN`].
//! Does not: handle signals or print; the command does.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use ledger::{AppendError, Batch, EraseError, Ledger, Reader};
use verifier::act::Parts;
use verifier::record::Record;

use crate::clock::{Clock, Source, StartGap, System};
use crate::double::{self, Checker};
use crate::engine::{PublishError, Published};
use crate::engines::EngineSet;
use crate::fold::{Contents, Fold, FoldError, PassedOver, STATE_EVERY, Started};
use crate::governance::{Candidate, Governors, GovernorsError};
use crate::http::{self, NotListening, Room, Servers, TooFew};
use crate::keys::{ApiKeys, KeysError};
use crate::live::{Live, Shared};
use crate::queue::{Bounds, Queue};
use crate::sandbox::Sandbox;
use crate::self_audit::{Auditor, Plan};
use crate::sequencer::Sequencer;
use crate::spare::{self, Spare};
use crate::traces::{self, Tracer};

/// A start waits so long for the first canary, then goes on without being ready.
const FIRST_CANARY: Duration = Duration::from_secs(5);
/// The sequencer's niceness: everybody waits for it, so once its disk has answered it does not wait for those who evaluate.
const SEQUENCER_NICE: i32 = -10;
/// A stop takes at most so long: requests under way get their answers, then connections are closed.
pub const STOP_WITHIN: Duration = Duration::from_secs(10);
/// What the sequencer gets of it; a disk that hangs is left behind.
const SEQUENCER_STOP: Duration = Duration::from_secs(2);
/// What whoever decides again gets of it, to end one look.
const CHECKER_STOP: Duration = Duration::from_secs(1);
/// The file of API keys below the data directory.
pub fn api_keys_path(data: &Path) -> PathBuf {
    data.join("keys").join("api.toml")
}

/// The file of the administrators' verifier keys below the data directory.
pub fn admin_keys_path(data: &Path) -> PathBuf {
    data.join("keys").join("admin.vkeys")
}

/// What a service is started with.
#[derive(Clone)]
pub struct Config {
    /// The data directory, for the keys in it.
    pub data: PathBuf,
    /// Where the decision API listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// An operator's word that TLS ends in front of `listen`; without it only a loopback address is taken.
    pub behind_proxy: bool,
    /// Where the public read API listens, if it shall.
    pub public: Option<SocketAddr>,
    /// What its strangers may ask for.
    pub public_rates: http::Rates,
    /// The address by which clients of the decision API come, for AuthZEN's metadata.
    pub base_url: Option<http::BaseUrl>,
    /// HTTP workers, each with its own engine; one for each core.
    pub workers: usize,
    /// An operator's word that the clock is right although it is far from the last record.
    pub accept_clock_gap: bool,
    /// Where time comes from.
    pub clock: Arc<dyn Source>,
    /// The bounds of the queue.
    pub bounds: Bounds,
    /// Bytes of the disk that decisions leave free.
    pub reserve: u64,
    /// Whether strangers may try their own policies on the public listener.
    pub sandbox: bool,
    /// Where traces go, if anywhere.
    pub traces: Option<traces::Options>,
    /// How much may wait to be decided again.
    pub rechecks: double::Room,
    /// How many decisions stand between two `state` records; [`STATE_EVERY`] but where many are to be seen.
    pub state_every: u64,
    /// When the log audits itself, if it does.
    pub self_audit: Option<Plan>,
}

impl Config {
    /// The defaults over a data directory.
    #[must_use]
    pub fn new(data: &Path, listen: SocketAddr) -> Self {
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Config {
            data: data.into(),
            listen,
            behind_proxy: false,
            public: None,
            public_rates: http::Rates::default(),
            base_url: None,
            workers,
            accept_clock_gap: false,
            clock: Arc::new(System::default()),
            bounds: Bounds::default(),
            reserve: spare::RESERVE,
            sandbox: true,
            traces: None,
            rechecks: double::Room::default(),
            state_every: STATE_EVERY,
            self_audit: Some(Plan::default()),
        }
    }
}

/// Why a service cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The key file.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The admin keys.
    #[error(transparent)]
    Governors(#[from] GovernorsError),
    /// The clock.
    #[error(transparent)]
    Clock(#[from] StartGap),
    /// The log cannot be folded.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// The live epoch no longer validates: this version is stricter than the one that published it.
    #[error("the live epoch does not validate: {0}")]
    Epoch(#[from] PublishError),
    /// API keys would cross a network in the clear.
    #[error("`{0}` is not a loopback address and there is no TLS here; behind a proxy that ends TLS, say so")]
    Exposed(SocketAddr),
    /// The operator's word cannot be recorded.
    #[error("cannot record that the clock gap was accepted: {0}")]
    Record(#[from] AppendError),
    /// The address cannot be bound.
    #[error("cannot listen on `{address}`: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// An erasure that the log records cannot be finished.
    #[error("an erasure that the log records cannot be finished: {0}")]
    Erase(#[from] EraseError),
    /// Too few files may be opened to serve and to write the log.
    #[error(transparent)]
    Descriptors(#[from] TooFew),
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// A running authorizer.
#[derive(Debug)]
pub struct Service {
    shared: Arc<Shared>,
    servers: Option<Servers>,
    address: SocketAddr,
    public: Option<SocketAddr>,
    sequencer_done: mpsc::Receiver<()>,
    checker_done: mpsc::Receiver<()>,
    auditor: Auditor,
    folded: Folded,
}

/// How a start came to the state of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    /// The `state` record whose snapshot it began with; without one it began at the first record.
    pub from: Option<u64>,
    /// How many records were read and folded.
    pub records: u64,
    /// Snapshots that were passed over, each with its index and why.
    pub passed_over: Vec<String>,
}

fn told((index, why): &(u64, PassedOver)) -> String {
    format!("the snapshot of entry {index} was passed over: {why}")
}

impl Service {
    /// Starts the decision API over an open log.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then, and the log is closed again.
    pub fn start(config: Config, ledger: Ledger, reader: Reader) -> Result<Service, StartError> {
        if !config.listen.ip().is_loopback() && !config.behind_proxy {
            return Err(StartError::Exposed(config.listen));
        }
        let (shared, mut sequencer) = assemble(&config, ledger, reader)?;
        let sandbox_clock = config.clock.clone();
        let folded = sequencer.folded().clone();
        sequencer.save_aside().map_err(StartError::Thread)?;
        if let Some(options) = config.traces {
            let tracer = Tracer::start(options, config.clock, shared.metrics.spans.clone());
            // Just made: it has none.
            let _ = shared.tracer.set(tracer.map_err(StartError::Thread)?);
        }
        if config.sandbox && config.public.is_some() {
            let sandbox = Sandbox::start(shared.reader.origin(), sandbox_clock).map_err(StartError::Thread)?;
            // Just made: it has none.
            let _ = shared.sandbox.set(sandbox);
        }

        // The log is open, so its files are counted.
        let workers = shared.workers;
        let room = Room::take(workers, http::PUBLIC_WORKERS)?;
        shared.budget.limit_bodies(room.private.services.saturating_mul(workers));
        let servers =
            Servers::start(config.listen, config.public.map(|public| (public, config.public_rates)), room, &shared)
                .map_err(|NotListening { address, source }| StartError::Listen { address, source })?;
        let (address, public) = servers.addresses();

        let checker = Checker::new(shared.clone(), sequencer.cases());
        let (done, checker_done) = mpsc::channel();
        std::thread::Builder::new()
            .name("checker".into())
            .spawn(move || {
                let _done: mpsc::Sender<()> = done;
                checker.run();
            })
            .map_err(StartError::Thread)?;
        let (done, sequencer_done) = mpsc::channel();
        std::thread::Builder::new()
            .name("sequencer".into())
            .spawn(move || {
                // Dropped, and so told, however the thread ends.
                let _done: mpsc::Sender<()> = done;
                // One thread's niceness, on Linux, where the operator lets a service go first.
                let _only_speed = rustix::process::nice(SEQUENCER_NICE);
                sequencer.run();
            })
            .map_err(StartError::Thread)?;
        let auditor = audit(config.self_audit, &shared).map_err(StartError::Thread)?;
        await_canary(&shared);
        Ok(Service { shared, servers: Some(servers), address, public, sequencer_done, checker_done, auditor, folded })
    }

    /// What the start had to read.
    #[must_use]
    pub fn folded(&self) -> &Folded {
        &self.folded
    }

    /// The address of the decision API.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the public read API, if there is one.
    #[must_use]
    pub fn public_address(&self) -> Option<SocketAddr> {
        self.public
    }

    /// What workers and sequencer share; for metrics and for the command.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Why nothing can be recorded any more, if so.
    #[must_use]
    pub fn fault(&self) -> Option<&str> {
        self.shared.fault()
    }

    /// Stops: no new connections, requests under way are answered, then the sequencer ends and the log is closed.
    /// Returns whether the log was closed in time.
    pub fn stop(mut self) -> bool {
        self.end()
    }

    fn end(&mut self) -> bool {
        let Some(servers) = self.servers.take() else { return true };
        // Streams would be waited for.
        self.shared.notices.close();
        let stopped = servers.stop();
        // What it finds with its last look is recorded before the log is closed.
        self.shared.doubles.close();
        let _one_that_hangs_is_left_behind = self.checker_done.recv_timeout(CHECKER_STOP);
        // It only reads: one that hangs is left behind too.
        let _ended = self.auditor.stop();
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.queue.wake();
        let closed = self.sequencer_done.recv_timeout(SEQUENCER_STOP) == Err(mpsc::RecvTimeoutError::Disconnected);
        if let Some(tracer) = self.shared.tracer.get() {
            tracer.close();
        }
        stopped && closed
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.end();
    }
}

/// Everything but listeners and threads: the log folded, the keys read, the clock held against the last record. For whoever drives the
/// sequencer by hand; [`Service::start`] does the rest.
///
/// # Errors
/// [`StartError`]; the log is closed again.
pub fn assemble(config: &Config, mut ledger: Ledger, reader: Reader) -> Result<(Arc<Shared>, Sequencer), StartError> {
    let keys = ApiKeys::open(&api_keys_path(&config.data))?;
    let governors = Governors::read(&admin_keys_path(&config.data), reader.origin())?;
    let snapshots = ledger.snapshots();
    let Started { mut fold, contents, from, records, erasures, passed_over } =
        Fold::of(&reader, &governors, Some(&snapshots))?;
    for (index, parts, by) in &erasures {
        // A crash between the record and the rewriting is finished here, before anything is served.
        ledger.erase(*index, *parts, *by)?;
    }
    // Every snapshot that stands is from before these records, and may tell of what they erase.
    if erasures.iter().any(|(_, parts, _)| Parts::of_bits(*parts).is_none_or(Parts::has_detail)) {
        snapshots.clear().map_err(EraseError::from)?;
    }
    let folded = Folded { from, records, passed_over: passed_over.iter().map(told).collect() };
    // Of an empty log it is the time of its creation.
    fold.last_ms = fold.last_ms.max(ledger.last_time_ms());
    // A frozen log decides nothing and records nothing: neither time nor policies are asked for.
    let last_ms = (!fold.frozen).then_some(fold.last_ms);
    let clock = Clock::start(config.clock.clone(), last_ms, config.accept_clock_gap)?;
    let contents = if fold.frozen { Contents::default() } else { contents };
    if clock.gap_accepted() {
        record_accepted_gap(&mut ledger, &mut fold, &clock)?;
    }
    let workers = config.workers.max(1);
    let engines = |content, mistrusted| EngineSet::of(&Arc::new(Published::before(content)?), workers, mistrusted);
    let candidate = contents.candidate.map(|content| engines(content, false)).transpose()?.zip(fold.candidate);
    let candidate = candidate.map(|(engines, epoch)| Candidate { epoch, engines });
    let live = Live::of(&fold, contents.live.map(|content| engines(content, fold.by_plain)).transpose()?, candidate);
    let last_ms = fold.last_ms;
    let queue = Queue::new(config.bounds);
    let metadata = config.base_url.as_ref().and_then(|base| http::Metadata::of(base, &ledger));
    let shared = Arc::new(Shared::new(keys, governors, clock, reader, live, queue, workers, config.rechecks, last_ms));
    // Just made: both are empty.
    let _ = shared.spare.set(Spare::new(config.data.clone(), config.reserve));
    if let Some(metadata) = metadata {
        let _ = shared.metadata.set(metadata);
    }
    let sequencer = Sequencer::new(ledger, fold, shared.clone(), folded, config.state_every);
    Ok((shared, sequencer))
}

/// The thread that audits the log; once it finds a fault the sequencer looks, and ends.
fn audit(plan: Option<Plan>, shared: &Arc<Shared>) -> io::Result<Auditor> {
    let (clocked, waking) = (shared.clone(), shared.clone());
    let now_ms = move || clocked.now().at_ms;
    Auditor::start(plan, shared.audits.clone(), shared.reader.clone(), now_ms, move || waking.queue.wake())
}

/// Whoever asks a service that has just started finds it ready, if it can be: the first canary is on its way.
fn await_canary(shared: &Shared) {
    const STEP: Duration = Duration::from_millis(2);
    let singing = || {
        let live = shared.live.load();
        live.engines.is_some() && shared.canaries.age(live.epoch).is_none() && !shared.queue.is_closed()
    };
    let mut waited = Duration::ZERO;
    while singing() && waited < FIRST_CANARY {
        std::thread::sleep(STEP);
        waited = waited.saturating_add(STEP);
    }
}

/// An operator's word stands in the log before anything rests on it.
fn record_accepted_gap(ledger: &mut Ledger, fold: &mut Fold, clock: &Clock) -> Result<(), AppendError> {
    let recorded_at = clock.read(fold.last_ms).at_ms;
    let cause = "clock gap accepted".to_owned();
    let mut batch = Batch::default();
    // One small record always fits; if it did not, the empty batch would be refused below.
    let _ = batch.push(&Record::Recovery { recorded_at, size: ledger.size(), cause }, None);
    ledger.append(&batch, recorded_at)?;
    fold.last_ms = recorded_at;
    Ok(())
}
