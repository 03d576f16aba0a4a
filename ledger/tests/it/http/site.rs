//! A log with a public listener on it, and a client that hides nothing of what came back.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, rt};
use ledger::http::{Public, configure};
use ledger::{Ledger, Options, Reader};
use serde_json::Value;
use verifier::hash::Hash;

use crate::common::{ORIGIN, START, mixed};

/// How old the head is when the page is asked for.
const AGE_MS: u64 = 3 * 60_000;

/// A log with a public listener on it.
pub struct Site {
    pub address: SocketAddr,
    pub ledger: Ledger,
    pub reader: Reader,
    pub ready: Arc<Mutex<Result<(), String>>>,
    pub epochs: Arc<Mutex<Vec<u64>>>,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
    _place: tempfile::TempDir,
}

impl Site {
    /// A site over a log to which batches of these lengths were appended.
    pub fn new(batches: &[u64]) -> Self {
        Self::with_segments(batches, ledger::SEGMENT_BYTES)
    }

    /// The same, with segments that end after so many bytes and are sealed only when a test says so.
    pub fn with_segments(batches: &[u64], segment_bytes: u64) -> Self {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("log");
        ledger::create(&dir, ORIGIN, START).unwrap();
        let (mut ledger, reader) =
            Ledger::open(Options { segment_bytes, seal: false, ..Options::new(&dir) }, START).unwrap();
        let mut size = 0;
        for count in batches {
            ledger.append(&mixed(size, *count), START).unwrap();
            size += count;
        }
        let ready = Arc::new(Mutex::new(Ok(())));
        let epochs: Arc<Mutex<Vec<u64>>> = Arc::default();
        let public = Arc::new(Public {
            reader: reader.clone(),
            epochs: {
                let epochs = epochs.clone();
                Box::new(move || epochs.lock().unwrap().as_slice().into())
            },
            ready: {
                let ready = ready.clone();
                Box::new(move || ready.lock().unwrap().clone())
            },
            metrics: Box::new(|| "# EOF\n".to_owned()),
            now_ms: Box::new(|| START + AGE_MS),
        });
        let (send, receive) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            rt::System::new().block_on(async move {
                let server = HttpServer::new(move || App::new().configure(|config| configure(config, public.clone())))
                    .workers(1)
                    .disable_signals()
                    .bind("127.0.0.1:0")
                    .unwrap();
                let address = server.addrs()[0];
                let server = server.run();
                send.send((address, server.handle())).unwrap();
                server.await.unwrap();
            });
        });
        let (address, handle) = receive.recv().unwrap();
        Self { address, ledger, reader, ready, epochs, handle, thread: Some(thread), _place: place }
    }

    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: log.example\r\nConnection: close\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        stream.write_all(text.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Answer::parse(&bytes)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[])
    }

    /// A JSON answer.
    pub fn json(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, &[("Accept", "application/json")]);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/json");
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// An error: status and code, and everything that holds for all of them.
    pub fn refused(&self, path: &str) -> (u16, String) {
        let answer = self.get(path);
        answer.check_problem(path)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let handle = self.handle.clone();
        std::thread::spawn(move || rt::System::new().block_on(handle.stop(false))).join().unwrap();
        self.thread.take().map(JoinHandle::join).unwrap().unwrap();
    }
}

/// What came back.
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self { status, headers, body: bytes[end + 4..].to_vec() }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn check_problem(&self, path: &str) -> (u16, String) {
        assert!(self.status >= 400, "{path} was answered");
        assert_eq!(self.header("content-type"), "application/problem+json", "{path}");
        assert_eq!(self.header("access-control-allow-origin"), "*", "{path}");
        assert_eq!(self.header("cache-control"), "", "an error must not be kept: {path}");
        assert_eq!((self.header("etag"), self.header("content-encoding")), ("", ""), "{path}");
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(body["status"], self.status, "{path}");
        assert!(
            body["title"].is_string()
                && body["detail"].is_string()
                && body["type"] == format!("urn:interlock:problem:{}", body["code"].as_str().unwrap())
        );
        (self.status, body["code"].as_str().unwrap().to_owned())
    }
}

pub fn not_found(code: &str) -> (u16, String) {
    (404, code.to_owned())
}

pub fn bad(code: &str) -> (u16, String) {
    (400, code.to_owned())
}

pub fn hashes(value: &Value) -> Vec<Hash> {
    value.as_array().unwrap().iter().map(|hash| hash.as_str().unwrap().parse().unwrap()).collect()
}

pub fn hash(value: &Value) -> Hash {
    value.as_str().unwrap().parse().unwrap()
}

/// Every link on the page leads somewhere.
pub fn check_links(site: &Site) {
    let page = site.get("/");
    let links = page.text().split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap().replace("&amp;", "&"));
    for link in links.filter(|link| !link.starts_with('#')) {
        assert_eq!(site.get(&link).status, 200, "{link}");
    }
}
