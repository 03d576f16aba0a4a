//! A server that lies: it stands before a real one, and answers some paths by itself.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::house::Http;

/// What it answers.
pub enum Answer {
    /// A status and a body.
    Body(u16, Vec<u8>),
    /// Bytes as they are.
    Raw(Vec<u8>),
    /// Nothing, for as long as anybody waits.
    Hang,
    /// What the real server says.
    Real,
    /// What the real server says, changed.
    Changed(fn(&mut Vec<u8>)),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub body: Vec<u8>,
}

/// It ends with the test's process.
pub struct Fake {
    pub url: String,
    pub asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    /// Before the server at `real`.
    pub fn before(real: &str, answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (real, seen, answer) = (real.to_owned(), asked.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (real, seen, answer) = (real.clone(), seen.clone(), answer.clone());
                std::thread::spawn(move || serve(stream, &real, &seen, &*answer));
            }
        });
        Self { url, asked }
    }

    /// The paths that were asked for, in order.
    pub fn paths(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|asked| asked.path.clone()).collect()
    }
}

fn serve(stream: TcpStream, real: &str, seen: &Mutex<Vec<Asked>>, answer: &dyn Fn(&str) -> Answer) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?);
    let mut first = String::new();
    lines.read_line(&mut first).ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body).ok()?;
    seen.lock().unwrap().push(Asked { path: path.clone(), body });
    let (status, body) = match answer(&path) {
        Answer::Body(status, body) => (status, body),
        Answer::Raw(bytes) => return write(stream, &bytes),
        Answer::Hang => {
            std::thread::sleep(Duration::from_secs(3600));
            return None;
        }
        Answer::Real => Http::new().get(&format!("{real}{path}")),
        Answer::Changed(change) => {
            let (status, mut body) = Http::new().get(&format!("{real}{path}"));
            change(&mut body);
            (status, body)
        }
    };
    let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    write(stream, &[head.into_bytes(), body].concat())
}

fn write(mut stream: TcpStream, bytes: &[u8]) -> Option<()> {
    stream.write_all(bytes).ok()
}
