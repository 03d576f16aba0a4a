//! Tiles over HTTP, against a constant of the same size from the same server.
//!
//! Workload: random full hash tiles of level 0 of a log, each connection with one request in flight; the limit is a route of the same
//! actix-web app that answers 8,192 bytes which it holds in memory. Both take turns.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::web::{self, Bytes};
use actix_web::{App, HttpResponse, HttpServer};
use ledger::Reader;
use ledger::http::{Public, configure};
use verifier::tile::{FULL_WIDTH, Tile};

use crate::load::{Figures, Load, get};
use crate::random::Random;

/// Bytes of a full hash tile (C2SP tlog-tiles).
const TILE_BYTES: usize = 256 * 32;
/// How many different tiles are asked for.
const TILES: usize = 1_024;

/// What was measured, tiles a second.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// The route that answers a constant.
    pub constant: f64,
    /// Tiles.
    pub tiles: f64,
}

impl Rates {
    /// Tiles as a share of the constant.
    pub fn ratio(&self) -> f64 {
        self.tiles / self.constant
    }
}

/// Measures both, in turns, for about this long each.
///
/// # Errors
/// If the server cannot be started, or answers anything but 200.
pub fn run(reader: &Reader, time: Duration) -> std::io::Result<Rates> {
    const ROUNDS: u32 = 3;
    let server = Server::start(reader.clone())?;
    let full = (reader.size() / 256).max(1);
    let mut random = Random::new(11);
    let path = |index| Tile { level: 0, index, width: FULL_WIDTH }.path();
    let tiles: Vec<_> = (0..TILES).map(|_| get(&format!("/{}", path(random.next() % full)))).collect();
    let load = |requests: Vec<Vec<u8>>| Load {
        address: server.address,
        requests: Arc::new(requests),
        connections: 16,
        warm_up: Duration::from_millis(200),
        duration: time / ROUNDS,
        rate: None,
        once: false,
    };
    let (constant, tiles) = (load(vec![get("/constant")]), load(tiles));
    let (mut of_constant, mut of_tiles) = (0.0, 0.0);
    for _ in 0..ROUNDS {
        of_constant += rate(&constant)?;
        of_tiles += rate(&tiles)?;
    }
    server.stop()?;
    let rounds = f64::from(ROUNDS);
    Ok(Rates { constant: of_constant / rounds, tiles: of_tiles / rounds })
}

fn rate(load: &Load) -> std::io::Result<f64> {
    let figures: Figures = load.run()?;
    if figures.other > 0 {
        return Err(std::io::Error::other(format!("{} answers were not 200: the figure would lie", figures.other)));
    }
    Ok(figures.rate())
}

struct Server {
    address: SocketAddr,
    handle: ServerHandle,
    thread: std::thread::JoinHandle<std::io::Result<()>>,
}

impl Server {
    fn start(reader: Reader) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (send, receive) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let public = Arc::new(Public {
                    reader,
                    epochs: Box::new(|| Arc::new([])),
                    ready: Box::new(|| Ok(())),
                    metrics: Box::new(|| "# EOF\n".to_owned()),
                    now_ms: Box::new(|| 1),
                });
                let constant = Bytes::from(vec![7; TILE_BYTES]);
                let app = move || {
                    let (constant, public) = (constant.clone(), public.clone());
                    let answer = move || {
                        let constant = constant.clone();
                        async move { HttpResponse::Ok().content_type("application/octet-stream").body(constant) }
                    };
                    App::new()
                        .route("/constant", web::get().to(answer))
                        .configure(|config| configure(config, public.clone()))
                };
                let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
                let server =
                    HttpServer::new(app).workers(workers).tcp_nodelay(true).disable_signals().listen(listener)?.run();
                send.send(server.handle()).map_err(std::io::Error::other)?;
                server.await
            })
        });
        let handle = receive.recv().map_err(std::io::Error::other)?;
        Ok(Self { address, handle, thread })
    }

    fn stop(self) -> std::io::Result<()> {
        actix_web::rt::System::new().block_on(self.handle.stop(false));
        self.thread.join().map_err(|_| std::io::Error::other("the server panicked"))?
    }
}
