//! The listeners: workers, deadlines of connections, and a stop in good order.
//!
//! Guarantees: each worker of the decision API has an engine of its own; a slow first head, an idle connection and one
//! that does not close are cut off; a stop answers requests under way and is over within its time.
//! Does not: speak TLS or HTTP/2; cut off a slow head that follows a request on a kept connection (the HTTP library
//! times the first head only), beyond the limit on connections.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::web::Data;
use actix_web::{App, HttpServer};
use ledger::http::Public;

use crate::live::Shared;
use crate::worker::Worker;

/// What requests under way get when the service stops; the sequencer and the log get the rest of ten seconds.
const STOP_SECONDS: u64 = 7;
/// A request's head must have arrived after this.
const HEAD_DEADLINE: Duration = Duration::from_secs(3);
/// A connection without a request is closed after this.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// A connection that does not close is dropped after this.
const DISCONNECT_DEADLINE: Duration = Duration::from_secs(1);
/// Connections of one worker: what fills the queue, with room for idle ones.
const MAX_CONNECTIONS: usize = 4_096;
/// Connections that wait to be accepted: a burst of callers is served late rather than refused by the kernel.
const BACKLOG: u32 = 1_024;
/// Workers of the public read API: its answers are slices of maps, and decisions come first.
const PUBLIC_WORKERS: usize = 1;

/// The running listeners.
#[derive(Debug)]
pub struct Servers {
    started: Started,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
struct Started {
    address: SocketAddr,
    public: Option<SocketAddr>,
    handles: Vec<ServerHandle>,
}

/// Why nothing is served: the address, and what the operating system said.
#[derive(Debug)]
pub struct NotListening {
    /// The address that was asked for.
    pub address: SocketAddr,
    /// Why not.
    pub source: io::Error,
}

impl Servers {
    /// Serves the decision API on `listen`, and the public read API where it has an address.
    ///
    /// # Errors
    /// [`NotListening`]; nothing is served then, on neither address.
    pub fn start(
        listen: SocketAddr,
        public: Option<SocketAddr>,
        shared: &Arc<Shared>,
    ) -> Result<Servers, NotListening> {
        let (tell, told) = mpsc::channel();
        let shared = shared.clone();
        let none = |source| NotListening { address: listen, source };
        let serve = move || {
            actix_web::rt::System::new().block_on(async move {
                let servers = bind(listen, public, &shared);
                let running = match servers {
                    Err(not) => {
                        // The other side waits for this one word, unless it was given up.
                        let _ = tell.send(Err(not));
                        return;
                    }
                    Ok((servers, address, public)) => {
                        let handles = servers.iter().map(Server::handle).collect();
                        let _ = tell.send(Ok(Started { address, public, handles }));
                        servers.into_iter().map(actix_web::rt::spawn).collect::<Vec<_>>()
                    }
                };
                for server in running {
                    // A listener that failed is gone, and callers see that; there is nobody to tell here.
                    let _ = server.await;
                }
            });
        };
        let thread = std::thread::Builder::new().name("http".into()).spawn(serve).map_err(none)?;
        let started = told.recv().map_err(|_| none(io::Error::other("the HTTP server did not start")))??;
        Ok(Servers { started, thread })
    }

    /// The addresses of the decision API and of the public read API.
    #[must_use]
    pub fn addresses(&self) -> (SocketAddr, Option<SocketAddr>) {
        (self.started.address, self.started.public)
    }

    /// Stops listening, waits for requests under way, ends. Returns whether the thread ended well.
    #[must_use]
    pub fn stop(self) -> bool {
        for handle in self.started.handles {
            // The server's own thread drives the stop; the future would only wait for it, as the join does.
            drop(handle.stop(true));
        }
        self.thread.join().is_ok()
    }
}

type Bound = (Vec<Server>, SocketAddr, Option<SocketAddr>);

/// Binds both addresses before either is served, so that a port in use is told at once.
fn bind(listen: SocketAddr, public: Option<SocketAddr>, shared: &Arc<Shared>) -> Result<Bound, NotListening> {
    let (private, address) =
        self::private(listen, shared.clone()).map_err(|source| NotListening { address: listen, source })?;
    let Some(wanted) = public else { return Ok((vec![private], address, None)) };
    let (public, public_address) =
        self::public(wanted, shared.clone()).map_err(|source| NotListening { address: wanted, source })?;
    Ok((vec![private, public], address, Some(public_address)))
}

fn private(listen: SocketAddr, shared: Arc<Shared>) -> io::Result<(Server, SocketAddr)> {
    let workers = shared.workers;
    let next = Arc::new(AtomicUsize::new(0));
    let server = HttpServer::new(move || {
        // Called once on each worker thread: that worker's engine is its own.
        let index = next.fetch_add(1, Ordering::Relaxed) % workers;
        let worker = Data::new(Worker::new(shared.clone(), index));
        App::new().configure(|config| super::configure(config, worker))
    });
    let server = server
        .workers(workers)
        .tcp_nodelay(true)
        .client_request_timeout(HEAD_DEADLINE)
        .client_disconnect_timeout(DISCONNECT_DEADLINE)
        .keep_alive(KEEP_ALIVE)
        .max_connections(MAX_CONNECTIONS)
        .backlog(BACKLOG)
        .shutdown_timeout(STOP_SECONDS)
        .disable_signals()
        .bind(listen)?;
    let address = server.addrs().first().copied().unwrap_or(listen);
    Ok((server.run(), address))
}

fn public(listen: SocketAddr, shared: Arc<Shared>) -> io::Result<(Server, SocketAddr)> {
    let (epochs, ready) = (shared.clone(), shared.clone());
    let public = Arc::new(Public {
        reader: shared.reader.clone(),
        epochs: Box::new(move || epochs.live.load().epochs.clone()),
        ready: Box::new(move || ready.ready().map_err(str::to_owned)),
        now_ms: Box::new(move || shared.now().at_ms),
    });
    let server = HttpServer::new(move || {
        let public = public.clone();
        App::new().configure(|config| ledger::http::configure(config, public))
    });
    let server = server
        .workers(PUBLIC_WORKERS)
        .tcp_nodelay(true)
        .client_request_timeout(HEAD_DEADLINE)
        .client_disconnect_timeout(DISCONNECT_DEADLINE)
        .keep_alive(KEEP_ALIVE)
        .max_connections(MAX_CONNECTIONS)
        .backlog(BACKLOG)
        .shutdown_timeout(STOP_SECONDS)
        .disable_signals()
        .bind(listen)?;
    let address = server.addrs().first().copied().unwrap_or(listen);
    Ok((server.run(), address))
}
