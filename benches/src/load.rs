//! A closed-loop HTTP load: so many connections on loopback, each sending the same kind of request again as soon as its answer is in.
//!
//! Plain HTTP/1.1 over kept-alive connections with the least work per answer, so that the server is what is measured. Every answer is read
//! to its end and its status counted: an error never counts as a request served. Stops by itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Before a connection is made again.
const RECONNECT: Duration = Duration::from_millis(50);
/// A head of an answer has at most so many bytes.
const MAX_HEAD: usize = 16 * 1024;

/// What to send, and for how long.
#[derive(Debug, Clone)]
pub struct Load {
    /// The server; loopback only.
    pub address: SocketAddr,
    /// Whole requests, head and body; each connection goes through them in turn, from a place of its own.
    pub requests: Arc<Vec<Vec<u8>>>,
    /// How many connections, each with one request in flight.
    pub connections: usize,
    /// Not counted.
    pub warm_up: Duration,
    /// Counted.
    pub duration: Duration,
    /// At most so many requests a second over all connections; without it as fast as answers come.
    pub rate: Option<f64>,
    /// Each request is sent once, by whichever connection is free, and the run ends with the last one: what may not be sent twice.
    pub once: bool,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Answers with status 200 within the counted time.
    pub served: u64,
    /// Answers with status 503 and `Retry-After`: turned away, to come again.
    pub turned_away: u64,
    /// Answers with another status.
    pub other: u64,
    /// Connections that the server closed; another was made in their place.
    pub closed: u64,
    /// The counted time.
    pub seconds: f64,
    /// From writing a request to its whole answer, microseconds.
    pub latency: Histogram<u64>,
}

impl Figures {
    /// Requests served a second.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub fn rate(&self) -> f64 {
        self.served as f64 / self.seconds
    }
}

/// A `POST` of a JSON body with a bearer token.
pub fn post(path: &str, bearer: &str, media_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {bearer}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A `GET`.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

impl Load {
    /// Runs the load on a thread of its own.
    pub fn run(&self) -> std::io::Result<Figures> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let begin = Instant::now() + self.warm_up;
            let end = begin + self.duration;
            let mut tasks = tokio::task::JoinSet::new();
            let next = Arc::new(AtomicUsize::new(0));
            for connection in 0..self.connections {
                let (load, next) = (self.clone(), next.clone());
                tasks.spawn(async move { load.connection(connection, &next, begin, end).await });
            }
            let mut all = Figures::none(self.duration.as_secs_f64())?;
            while let Some(done) = tasks.join_next().await {
                let one = done.map_err(std::io::Error::other)??;
                all.served += one.served;
                all.turned_away += one.turned_away;
                all.other += one.other;
                all.closed += one.closed;
                all.latency.add(&one.latency).map_err(std::io::Error::other)?;
            }
            if self.once {
                all.seconds = begin.elapsed().as_secs_f64().min(all.seconds);
            }
            Ok(all)
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "a pace, not a count")]
    async fn connection(
        &self,
        number: usize,
        next: &AtomicUsize,
        begin: Instant,
        end: Instant,
    ) -> std::io::Result<Figures> {
        let mut stream = connect(self.address).await?;
        let mut figures = Figures::none(0.0)?;
        let mut buffer = Vec::with_capacity(64 * 1024);
        let pause = self.rate.map(|rate| Duration::from_secs_f64(self.connections as f64 / rate));
        let mut due = Instant::now()
            + pause.map_or(Duration::ZERO, |pause| pause.mul_f64(number as f64 / self.connections as f64));
        let count = self.requests.len().max(1);
        let mut own = number * 7 % count;
        loop {
            let at = if self.once { next.fetch_add(1, Ordering::Relaxed) } else { own % count };
            own = own.wrapping_add(1);
            let Some(request) = self.requests.get(at) else { break };
            if let Some(pause) = pause {
                tokio::time::sleep_until(due.into()).await;
                due += pause;
            }
            let sent = Instant::now();
            if sent >= end {
                break;
            }
            let answered = match stream.write_all(request).await {
                Ok(()) => answer(&mut stream, &mut buffer).await,
                Err(error) => Err(error),
            };
            let Answered { status, retry_after } = match answered {
                Ok(answered) => answered,
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => return Err(error),
                Err(_) => {
                    // Where there are more connections than the server has room for, it closes some.
                    figures.closed += u64::from(sent >= begin);
                    tokio::time::sleep(RECONNECT).await;
                    stream = connect(self.address).await?;
                    continue;
                }
            };
            let now = Instant::now();
            if sent < begin || now >= end {
                continue;
            }
            if status == 200 {
                figures.served += 1;
                figures.latency.saturating_record(u64::try_from((now - sent).as_micros()).unwrap_or(u64::MAX));
            } else if status == 503 && retry_after {
                figures.turned_away += 1;
            } else {
                figures.other += 1;
            }
        }
        Ok(figures)
    }
}

impl Figures {
    fn none(seconds: f64) -> std::io::Result<Self> {
        Ok(Figures { served: 0, turned_away: 0, other: 0, closed: 0, seconds, latency: histogram()? })
    }
}

async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What is looked at of an answer.
struct Answered {
    status: u16,
    retry_after: bool,
}

/// Three digits up to a minute: the library refuses other bounds than these constants only.
fn histogram() -> std::io::Result<Histogram<u64>> {
    Histogram::new_with_max(60_000_000, 3).map_err(std::io::Error::other)
}

/// Reads one answer to its end and gives its status.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<Answered> {
    let malformed = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, format!("answer: {what}"));
    buffer.clear();
    let closed = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let (head, answered, length) = loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(closed());
        }
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let text =
                buffer.get(..end).and_then(|head| std::str::from_utf8(head).ok()).ok_or_else(|| malformed("head"))?;
            let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
            let field = |wanted: &str| {
                text.split("\r\n").find_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    name.eq_ignore_ascii_case(wanted).then(|| value.trim())
                })
            };
            let length = field("content-length").and_then(|length| length.parse::<usize>().ok());
            let missing = || malformed("no status or length");
            let retry_after = field("retry-after").is_some();
            let answered = Answered { status: status.ok_or_else(missing)?, retry_after };
            break (end + 4, answered, length.ok_or_else(missing)?);
        }
        if buffer.len() > MAX_HEAD {
            return Err(malformed("head is too long"));
        }
    };
    while buffer.len() < head + length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(closed());
        }
    }
    Ok(answered)
}
