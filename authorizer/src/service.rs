//! Why: the whole authorizer behind one handle: start it over an open log, stop it in good order.
//!
//! Guarantees: start refuses rather than serve half: keys, governors, clock, fold and engines are all good, and the
//! address is bound, before the first call is answered. Stop answers what was accepted, within [`STOP_WITHIN`].
//! Does not: handle signals or print; the command does.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::web::Data;
use actix_web::{App, HttpServer};
use ledger::{Ledger, Reader};

use crate::clock::{Clock, Source, StartGap, System};
use crate::engine::PublishError;
use crate::fold::{Fold, FoldError};
use crate::governance::{Governors, GovernorsError};
use crate::http;
use crate::keys::{ApiKeys, KeysError};
use crate::live::{Live, Shared};
use crate::queue::{Bounds, Queue};
use crate::sequencer::Sequencer;
use crate::worker::Worker;

/// A stop takes at most so long: requests under way get their answers, then connections are closed.
pub const STOP_WITHIN: Duration = Duration::from_secs(10);
/// What HTTP requests under way get of it.
const HTTP_STOP_SECONDS: u64 = 7;
/// What the sequencer gets of it; a disk that hangs is left behind.
const SEQUENCER_STOP: Duration = Duration::from_secs(2);
/// A request's head must have arrived after this.
const HEAD_DEADLINE: Duration = Duration::from_secs(3);
/// A connection without a request is closed after this.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// A connection that does not close is dropped after this.
const DISCONNECT_DEADLINE: Duration = Duration::from_secs(1);
/// Connections of one worker: what 64 MiB of queue can be filled from, with room for idle ones.
const MAX_CONNECTIONS: usize = 4_096;

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
    /// HTTP workers, each with its own engine; one for each core.
    pub workers: usize,
    /// An operator's word that the clock is right although it is far from the last record.
    pub accept_clock_gap: bool,
    /// Where time comes from.
    pub clock: Arc<dyn Source>,
    /// The bounds of the queue.
    pub bounds: Bounds,
}

impl Config {
    /// The defaults over a data directory.
    #[must_use]
    pub fn new(data: &Path, listen: SocketAddr) -> Self {
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Config {
            data: data.into(),
            listen,
            workers,
            accept_clock_gap: false,
            clock: Arc::new(System::default()),
            bounds: Bounds::default(),
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
    /// The address cannot be bound.
    #[error("cannot listen on `{address}`: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// A running authorizer.
#[derive(Debug)]
pub struct Service {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: ServerHandle,
    http: Option<JoinHandle<()>>,
    sequencer_done: mpsc::Receiver<()>,
}

impl Service {
    /// Starts the decision API over an open log.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then, and the log is closed again.
    pub fn start(config: Config, ledger: Ledger, reader: Reader) -> Result<Service, StartError> {
        let keys = ApiKeys::open(&api_keys_path(&config.data))?;
        let governors = Governors::read(&admin_keys_path(&config.data), reader.origin())?;
        let (mut fold, content) = Fold::of(&reader, &governors)?;
        // Of an empty log it is the time of its creation.
        fold.last_ms = fold.last_ms.max(ledger.last_time_ms());
        let clock = Clock::start(config.clock.clone(), Some(fold.last_ms), config.accept_clock_gap)?;
        let workers = config.workers.max(1);
        let engines = content.map(|content| http::engines(content, workers)).transpose()?.map(|(_, engines)| engines);
        let live = Live { governance: fold.governance, epoch: fold.epoch, engines, switches: fold.switches.clone() };
        let last_ms = fold.last_ms;
        let queue = Queue::new(config.bounds);
        let shared = Arc::new(Shared::new(keys, governors, clock, reader, live, queue, workers, last_ms));

        let refused = |source| StartError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let (server, http) = serve(listener, shared.clone(), workers)?;

        let (done, sequencer_done) = mpsc::channel();
        let sequencer = Sequencer::new(ledger, fold, shared.clone());
        std::thread::Builder::new()
            .name("sequencer".into())
            .spawn(move || {
                // Dropped, and so told, however the thread ends.
                let _done: mpsc::Sender<()> = done;
                sequencer.run();
            })
            .map_err(StartError::Thread)?;
        Ok(Service { address, shared, server, http: Some(http), sequencer_done })
    }

    /// The address that is listened on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
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
        let Some(http) = self.http.take() else { return true };
        // The server's own thread drives the stop; the future it returns only waits for it.
        drop(self.server.stop(true));
        let stopped = http.join().is_ok();
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.queue.wake();
        let closed = self.sequencer_done.recv_timeout(SEQUENCER_STOP) == Err(mpsc::RecvTimeoutError::Disconnected);
        stopped && closed
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.end();
    }
}

fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    workers: usize,
) -> Result<(ServerHandle, JoinHandle<()>), StartError> {
    let (tell, told) = mpsc::channel();
    let http = std::thread::Builder::new()
        .name("http".into())
        .spawn(move || {
            let next = Arc::new(AtomicUsize::new(0));
            let system = actix_web::rt::System::new();
            let result = system.block_on(async move {
                let server = HttpServer::new(move || {
                    // Called once on each worker thread: that worker's engine is its own.
                    let index = next.fetch_add(1, Ordering::Relaxed) % workers;
                    let worker = Data::new(Worker::new(shared.clone(), index));
                    App::new().configure(|config| http::configure(config, worker))
                })
                .workers(workers)
                .tcp_nodelay(true)
                .client_request_timeout(HEAD_DEADLINE)
                .client_disconnect_timeout(DISCONNECT_DEADLINE)
                .keep_alive(KEEP_ALIVE)
                .max_connections(MAX_CONNECTIONS)
                .shutdown_timeout(HTTP_STOP_SECONDS)
                .disable_signals()
                .listen(listener)?
                .run();
                // The receiver is gone only if the start was given up.
                let _ = tell.send(server.handle());
                server.await
            });
            // The listener failed: the process has no decision API any more, and readiness is gone with it.
            drop(result);
        })
        .map_err(StartError::Thread)?;
    let server = told.recv().map_err(|_| StartError::Thread(io::Error::other("the HTTP server did not start")))?;
    Ok((server, http))
}
