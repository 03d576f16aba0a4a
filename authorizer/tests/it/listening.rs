//! Enforcement points are told at once; each of its own realm only, and a stop ends the streams.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;
use verifier::act::Power;
use verifier::event::Step;

use crate::support::{Site, bearer, read, with, with_gate};

struct Stream(TcpStream, String);

impl Stream {
    fn open(site: &Site, key: &str) -> Stream {
        let mut stream = TcpStream::connect(site.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        write!(stream, "GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\r\n", bearer(key)).unwrap();
        let mut this = Stream(stream, String::new());
        this.until("\r\n\r\n");
        this
    }

    /// Reads until a text has come; answers all that came since the last time.
    fn until(&mut self, text: &str) -> String {
        let mut chunk = [0; 4_096];
        while !self.1.contains(text) {
            let n = self.0.read(&mut chunk).unwrap();
            assert!(n > 0, "the stream ended; so far: {}", self.1);
            self.1.push_str(std::str::from_utf8(&chunk[..n]).unwrap());
            assert!(self.1.matches("\n:\n").count() < 30, "`{text}` does not come; so far: {}", self.1);
        }
        std::mem::take(&mut self.1)
    }
}

#[test]
fn what_changes_is_told_to_whom_it_concerns() {
    let (site, clock) = Site::with_trust(&with_gate(""));
    let (mut mine, mut others) = (Stream::open(&site, &site.key), Stream::open(&site, &site.key_of("other")));
    let leased = with(read("r"), json!({ "lease_ms": 10_000, "audience": "gate" }));
    let permits: Vec<_> = (0..3).map(|_| site.decide(&leased)["permit"].clone()).collect();
    assert_eq!(site.event(&permits[0], Step::Failed { executed: None }).status, 200);
    mine.until(&format!("event: closed\ndata: {{\"permit\":{}}}", permits[0]));
    assert_eq!(site.switch(1, "action read", Power::Halt).status, 200);
    mine.until("\"target\":\"action read\"");
    let ends_at = clock_end(&site, &permits[1]);
    assert_eq!(site.event(&permits[1], Step::Renew { ends_at }).json()["answer"], "halt");
    mine.until(&format!("event: halted\ndata: {{\"permit\":{}}}", permits[1]));
    clock.advance(10_000);
    mine.until(&format!("event: expired\ndata: {{\"permit\":{}}}", permits[2]));
    assert_eq!(site.switch(2, "action read", Power::Run).status, 200);
    let heard = others.until("\"governance\":3");
    assert!(heard.contains("\"governance\":2") && !heard.contains("permit"), "{heard}");
}

fn clock_end(site: &Site, permit: &serde_json::Value) -> u64 {
    let index = site.reader.permit(&permit.as_str().unwrap().parse().unwrap()).unwrap().unwrap();
    let verifier::record::Record::Decision(decision) = site.reader.record(index).unwrap() else {
        panic!("no decision")
    };
    decision.grant.unwrap().lease_ends_at.unwrap()
}

/// Threat 33.
#[test]
fn a_key_has_four_streams_and_a_stop_ends_them() {
    let mut site = Site::new();
    let mut open: Vec<Stream> = (0..4).map(|_| Stream::open(&site, &site.key)).collect();
    assert_eq!(site.get("/v1/events").code(), "overloaded");
    open.pop();
    // Its end is noticed with the next heartbeat.
    let again = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        let mut stream = TcpStream::connect(site.address()).unwrap();
        write!(stream, "GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\r\n", bearer(&site.key)).unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        head == *b"HTTP/1.1 200"
    });
    assert!(again);
    assert!(site.service.take().unwrap().stop(), "closed in time");
    for mut stream in open {
        let mut rest = Vec::new();
        stream.0.read_to_end(&mut rest).unwrap();
    }
}
