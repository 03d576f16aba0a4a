//! A closed-loop HTTP load: so many connections on loopback, each sending the same kind of request again as soon as its answer is in.
//!
//! Plain HTTP/1.1 over kept-alive connections with the least work per answer, so that the server is what is measured. Every answer is read
//! to its end and its status counted: an error never counts as a request served. Stops by itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Answers with status 200 within the counted time.
    pub served: u64,
    /// Answers with another status.
    pub other: u64,
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
            for connection in 0..self.connections {
                let load = self.clone();
                tasks.spawn(async move { load.connection(connection, begin, end).await });
            }
            let mut all = Figures { served: 0, other: 0, seconds: self.duration.as_secs_f64(), latency: histogram()? };
            while let Some(done) = tasks.join_next().await {
                let one = done.map_err(std::io::Error::other)??;
                all.served += one.served;
                all.other += one.other;
                all.latency.add(&one.latency).map_err(std::io::Error::other)?;
            }
            Ok(all)
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "a pace, not a count")]
    async fn connection(&self, number: usize, begin: Instant, end: Instant) -> std::io::Result<Figures> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let mut figures = Figures { served: 0, other: 0, seconds: 0.0, latency: histogram()? };
        let mut buffer = Vec::with_capacity(64 * 1024);
        let pause = self.rate.map(|rate| Duration::from_secs_f64(self.connections as f64 / rate));
        let mut due = Instant::now()
            + pause.map_or(Duration::ZERO, |pause| pause.mul_f64(number as f64 / self.connections as f64));
        let requests = self.requests.iter().cycle().skip(number * 7 % self.requests.len().max(1));
        for request in requests {
            if let Some(pause) = pause {
                tokio::time::sleep_until(due.into()).await;
                due += pause;
            }
            let sent = Instant::now();
            if sent >= end {
                break;
            }
            stream.write_all(request).await?;
            let status = answer(&mut stream, &mut buffer).await?;
            let now = Instant::now();
            if sent < begin || now >= end {
                continue;
            }
            if status == 200 {
                figures.served += 1;
                figures.latency.saturating_record(u64::try_from((now - sent).as_micros()).unwrap_or(u64::MAX));
            } else {
                figures.other += 1;
            }
        }
        Ok(figures)
    }
}

/// Three digits up to a minute: the library refuses other bounds than these constants only.
fn histogram() -> std::io::Result<Histogram<u64>> {
    Histogram::new_with_max(60_000_000, 3).map_err(std::io::Error::other)
}

/// Reads one answer to its end and gives its status.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<u16> {
    let malformed = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, format!("answer: {what}"));
    buffer.clear();
    let (head, status, length) = loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(malformed("connection closed"));
        }
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let text =
                buffer.get(..end).and_then(|head| std::str::from_utf8(head).ok()).ok_or_else(|| malformed("head"))?;
            let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
            let length = text.split("\r\n").find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            let missing = || malformed("no status or length");
            break (end + 4, status.ok_or_else(missing)?, length.ok_or_else(missing)?);
        }
        if buffer.len() > MAX_HEAD {
            return Err(malformed("head is too long"));
        }
    };
    while buffer.len() < head + length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(malformed("connection closed"));
        }
    }
    Ok(status)
}
