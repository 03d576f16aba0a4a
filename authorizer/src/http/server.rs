//! The two listeners: addresses, workers, and a stop in good order.
//!
//! Guarantees: each worker of the decision API has an engine of its own; nothing is served before both addresses are bound; a stop answers
//! requests under way and is over within its time. Does not: handle connections, `listener.rs` does.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use actix_web::dev::{Server, ServerHandle, ServiceResponse};
use actix_web::web::{Data, ServiceConfig};
use ledger::http::Public;
use tokio::net::TcpSocket;

use super::cost::{Door, Rates};
use super::descriptors::Room;
use super::lineage::Teller;
use super::listener::{self, Listening};
use super::problem::Code;
use super::{browse, history, lineage, sandbox};
use crate::canary;
use crate::clock::Source;
use crate::live::Shared;
use crate::self_audit::SelfAudits;
use crate::worker::Worker;

/// Connections that wait to be accepted: a burst of callers is served late rather than refused by the kernel.
const BACKLOG: u32 = 1_024;
/// Workers of the public read API: its answers are slices of maps, and decisions come first.
pub const PUBLIC_WORKERS: usize = 1;

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
    /// Serves the decision API on `listen`, and the public read API where it has an address; with so many connections as there is room for.
    ///
    /// # Errors
    /// [`NotListening`]; nothing is served then, on neither address.
    pub fn start(
        listen: SocketAddr,
        public: Option<(SocketAddr, Rates)>,
        room: Room,
        shared: &Arc<Shared>,
    ) -> Result<Servers, NotListening> {
        let shared = shared.clone();
        Self::run(listen, move || bind(listen, public, room, &shared))
    }

    /// Serves a public read API alone, with what an archive can tell of lineages.
    ///
    /// # Errors
    /// [`NotListening`]; nothing is served then.
    pub fn start_public(
        listen: SocketAddr,
        room: Room,
        public: Arc<Public>,
        (clock, audits): (Arc<dyn Source>, Arc<SelfAudits>),
        rates: Rates,
    ) -> Result<Servers, NotListening> {
        Self::run(listen, move || {
            let at = |source| NotListening { address: listen, source };
            let teller = Teller::Archive(public.reader.clone(), clock, audits);
            let more = move |config: &mut ServiceConfig| {
                looks(config, &teller);
                // Nothing is decided beside an archive.
                sandbox::configure(config, None);
            };
            // Nothing is counted beside an archive.
            let listening = listening(socket(listen).map_err(at)?, room, Door::new(rates, |_| {}));
            let (server, address) = read_api(listening, public, more, |_| {}).map_err(at)?;
            Ok((vec![server], address, None))
        })
    }

    fn run(
        listen: SocketAddr,
        bind: impl FnOnce() -> Result<Bound, NotListening> + Send + 'static,
    ) -> Result<Servers, NotListening> {
        let (tell, told) = mpsc::channel();
        let none = |source| NotListening { address: listen, source };
        let serve = move || {
            actix_web::rt::System::new().block_on(async move {
                let servers = bind();
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

    /// The addresses of the decision API and of the public read API; of a public read API alone, its address comes first.
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
fn bind(
    listen: SocketAddr,
    public: Option<(SocketAddr, Rates)>,
    room: Room,
    shared: &Arc<Shared>,
) -> Result<Bound, NotListening> {
    let at = |address: SocketAddr| move |source| NotListening { address, source };
    let private_socket = socket(listen).map_err(at(listen))?;
    let public_socket =
        public.map(|(public, rates)| socket(public).map_err(at(public)).map(|socket| (socket, public, rates)));
    let public_socket = public_socket.transpose()?;
    let (server, address) = private(private_socket, room, shared.clone()).map_err(at(listen))?;
    let Some((socket, wanted, rates)) = public_socket else { return Ok((vec![server], address, None)) };
    let (public, public_address) = self::public(socket, room, rates, shared.clone()).map_err(at(wanted))?;
    Ok((vec![server, public], address, Some(public_address)))
}

fn socket(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait for the last connections of the process before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

fn private(socket: TcpListener, room: Room, shared: Arc<Shared>) -> io::Result<(Server, SocketAddr)> {
    let (workers, metered) = (shared.workers, shared.clone());
    let next = Arc::new(AtomicUsize::new(0));
    let tracer = shared.tracer.get().cloned();
    let listening = Listening { socket, name: "decisions", workers, caps: room.private, door: None, tracer };
    listener::serve(
        listening,
        move |config| {
            // Called once on each worker thread: that worker's engine is its own.
            let index = next.fetch_add(1, Ordering::Relaxed) % workers;
            let worker = Data::new(Worker::new(shared.clone(), index));
            super::configure(config, worker.clone());
            // Ends with the worker's thread.
            actix_web::rt::spawn(async move { canary::keep(&worker).await });
        },
        counted(&metered),
    )
}

fn public(socket: TcpListener, room: Room, rates: Rates, shared: Arc<Shared>) -> io::Result<(Server, SocketAddr)> {
    let (epochs, ready, metered, clocked) = (shared.clone(), shared.clone(), shared.clone(), shared.clone());
    let public = Arc::new(Public {
        reader: shared.reader.clone(),
        epochs: Box::new(move || epochs.live.load().epochs.clone()),
        ready: Box::new(move || ready.ready().map_err(str::to_owned)),
        metrics: Box::new(move || metered.metrics.public(metered.metrics_now())),
        now_ms: Box::new(move || clocked.now().at_ms),
    });
    let teller = Teller::Service(shared.clone());
    let sampled = shared.clone();
    let more = move |config: &mut ServiceConfig| {
        looks(config, &teller);
        sandbox::configure(config, sampled.sandbox.get().cloned());
        // Ends with the worker's thread.
        actix_web::rt::spawn(crate::history::keep(sampled.clone()));
    };
    let refusing = shared.clone();
    let door = Door::new(rates, move |code| refusing.metrics.refused(code.status(), code.name()));
    read_api(listening(socket, room, door), public, more, counted(&shared))
}

/// What strangers see of decisions beside the log's own read API.
fn looks(config: &mut ServiceConfig, teller: &Teller) {
    lineage::configure(config, teller.clone());
    browse::configure(config, teller.clone());
    history::configure(config, teller.clone());
}

/// Counts answers.
fn counted(shared: &Arc<Shared>) -> impl Fn(&ServiceResponse) + Clone + Send + 'static {
    let shared = shared.clone();
    move |answer| {
        let (status, extensions) = (answer.status().as_u16(), answer.response().extensions());
        let cause = extensions.get::<Code>().map(|code| code.name()).filter(|_| status == 503);
        shared.metrics.answered(answer.request().match_pattern(), status, cause);
    }
}

/// The public listener.
fn listening(socket: TcpListener, room: Room, door: Arc<Door>) -> Listening {
    let (name, workers) = ("public", PUBLIC_WORKERS);
    Listening { socket, name, workers, caps: room.public, door: Some(door), tracer: None }
}

fn read_api(
    listening: Listening,
    public: Arc<Public>,
    more: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
    seen: impl Fn(&ServiceResponse) + Clone + Send + 'static,
) -> io::Result<(Server, SocketAddr)> {
    listener::serve(
        listening,
        move |config| {
            more(config);
            super::openapi::configure(config);
            ledger::http::configure(config, public.clone());
        },
        seen,
    )
}
