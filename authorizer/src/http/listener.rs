//! Why: both listeners meet the same strangers, so there is one place for what either does with a connection.
//!
//! Guarantees: every connection is counted and timed by [`Connections`] from its acceptance to its end, whatever state the HTTP library is
//! in; a first head has [`HEAD_DEADLINE`]; where there is a [`Door`], nothing is done for a request before it lets it in; an expectation
//! other than `100-continue` is refused with 417 (RFC 9110 §10.1.1).
//! Does not: speak TLS or HTTP/2. What is a head and where it ends is the HTTP library's matter: it takes lines that end with LF alone, as
//! RFC 9112 §2.2 allows a recipient to.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::body::BoxBody;
use actix_http::{HttpService, Request, Response, StatusCode};
use actix_service::{IntoServiceFactory, Service, apply_fn_factory, map_config};
use actix_web::dev::{AppConfig, Server, ServiceResponse};
use actix_web::http::header;
use actix_web::rt::net::TcpStream;
use actix_web::web::ServiceConfig;
use actix_web::{App, Error};

use super::connection::{Caps, Connection, Connections, Watched};
use super::cost::Door;
use super::descriptors::CLOSING;
use super::problem::Code;
use crate::traces::{self, Served, Tracer};

/// What requests under way get when the service stops; the sequencer and the log get the rest of ten seconds.
const STOP_SECONDS: u64 = 7;
/// The first head must have arrived after this; later ones are timed together with the waiting before them.
const HEAD_DEADLINE: Duration = Duration::from_secs(3);
/// A connection on which nothing comes is closed after this.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// A connection that does not close is dropped after this.
const DISCONNECT_DEADLINE: Duration = Duration::from_secs(1);

/// What is served at one address.
#[derive(Debug)]
pub struct Listening {
    /// Where connections come in.
    pub socket: TcpListener,
    /// What its threads are called.
    pub name: &'static str,
    /// How many threads.
    pub workers: usize,
    /// Connections of each.
    pub caps: Caps,
    /// Who lets requests in; without it all come in.
    pub door: Option<Arc<Door>>,
    /// Who traces requests.
    pub tracer: Option<Arc<Tracer>>,
}

/// Serves what `configure` says, which is called once on each worker thread, until the server is stopped. `seen` is shown every answer
/// of those that were let in.
///
/// # Errors
/// What the operating system says about the socket.
pub fn serve(
    listening: Listening,
    configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
    seen: impl Fn(&ServiceResponse) + Clone + Send + 'static,
) -> io::Result<(Server, SocketAddr)> {
    let Listening { socket, name, workers, caps, door, tracer } = listening;
    let address = socket.local_addr()?;
    if let Some(tracer) = &tracer {
        tracer.listens_at(address);
    }
    let builder = Server::build();
    let stopping = builder.graceful_shutdown_signal();
    let server = builder
        .workers(workers)
        .max_concurrent_connections(caps.sum().saturating_add(CLOSING))
        .shutdown_timeout(STOP_SECONDS)
        .disable_signals()
        .listen(name, socket, move || {
            let (stopping, seen) = (stopping.clone(), seen.clone());
            let (door, tracer) = (door.clone(), tracer.clone());
            let app = App::new().configure(configure.clone());
            let app = map_config(app.into_factory(), |()| AppConfig::default());
            let http = HttpService::build()
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                .keep_alive(KEEP_ALIVE)
                .client_request_timeout(HEAD_DEADLINE)
                .client_disconnect_timeout(DISCONNECT_DEADLINE)
                .local_addr(address)
                .on_connect_ext(|io: &Watched, data| {
                    data.insert(io.connection().clone());
                })
                .h1(apply_fn_factory(app, move |request, app: &_| {
                    answer(request, app, seen.clone(), door.as_ref(), tracer.as_ref())
                }));
            let connections = Connections::new(caps);
            apply_fn_factory(http, move |io: TcpStream, http: &_| connect(&connections, io, http))
        })?;
    Ok((server.run(), address))
}

/// One connection from beginning to end. Where there is no place for it, it is closed without a word.
fn connect<H>(
    connections: &Rc<Connections>,
    io: TcpStream,
    http: &H,
) -> impl Future<Output = Result<(), H::Error>> + use<H>
where
    H: Service<(Watched, Option<SocketAddr>), Response = ()>,
{
    let served = connections.admit().map(|open| {
        // Only a socket that is gone refuses, and reading it will say so.
        let _ = io.set_nodelay(true);
        let peer = io.peer_addr().ok();
        let serving = http.call((Watched::new(io, open.connection().clone()), peer));
        (open, serving)
    });
    async move {
        let Some((open, serving)) = served else { return Ok(()) };
        // What is dropped here with the connection is its request too: nobody waits for the answer.
        tokio::select! {
            end = serving => end,
            () = open.over() => Ok(()),
        }
    }
}

/// One request, known to its connection while it is answered.
fn answer<A, S>(
    request: Request,
    app: &A,
    seen: S,
    door: Option<&Arc<Door>>,
    tracer: Option<&Arc<Tracer>>,
) -> impl Future<Output = Result<Response<BoxBody>, Error>> + use<A, S>
where
    A: Service<Request, Response = ServiceResponse, Error = Error>,
    S: Fn(&ServiceResponse),
{
    let connection = request.conn_data::<Rc<Connection>>();
    let answering = connection.map(Connection::begin);
    let traced = tracer.and_then(|tracer| Some((begin(tracer, &request)?, connection.cloned())));
    let entered = door.map_or(Ok(None), |door| door.enter(&request));
    let answer = entered.map(|entered| expected(&request).then(|| (entered, app.call(request))));
    async move {
        let answered = match answer {
            Ok(Some((entered, answer))) => {
                let trace = traced.as_ref().map(|(served, _)| served.trace());
                let answered = traces::within(trace, answer).await.inspect(seen);
                if let (Some(entered), Ok(answer)) = (entered, &answered) {
                    entered.answered(answer.response().body());
                }
                if let (Some((served, connection)), Ok(answer)) = (traced, &answered) {
                    end(served, connection.as_deref(), answer);
                }
                answered.map(Response::from)
            }
            Ok(None) => {
                if let Some((served, _)) = traced {
                    served.answered(StatusCode::EXPECTATION_FAILED.as_u16(), None, None, true);
                }
                Ok(Response::new(StatusCode::EXPECTATION_FAILED))
            }
            Err(refused) => {
                if let Some((served, _)) = traced {
                    served.answered(refused.status().as_u16(), None, None, true);
                }
                Ok(refused)
            }
        };
        drop(answering);
        answered
    }
}

fn begin(tracer: &Arc<Tracer>, request: &Request) -> Option<Served> {
    let head = request.head();
    let values = |name: &'static str| head.headers().get_all(name).map(header::HeaderValue::as_bytes);
    tracer.begin(head.method.as_str(), values("traceparent"), values("tracestate"))
}

fn end(served: Served, connection: Option<&Connection>, answer: &ServiceResponse) {
    let stranger = connection.is_none_or(Connection::is_strangers);
    let problem = answer.response().extensions().get::<Code>().map(|code| code.name());
    served.answered(answer.status().as_u16(), answer.request().match_pattern(), problem, stranger);
}

fn expected(request: &Request) -> bool {
    let known = |value: &header::HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"100-continue");
    request.head().headers().get_all(header::EXPECT).all(known)
}
