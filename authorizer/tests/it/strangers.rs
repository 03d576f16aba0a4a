//! What strangers and slow clients can take from others: nothing for long. Real sockets, both listeners.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use verifier::act::Power;
use verifier::decision::Outcome;
use verifier::record::Record;

use crate::support::{Answer, Site, answer, bearer, call, read};

/// From one byte of a slow client to its next.
const PACE: Duration = Duration::from_millis(500);
/// So many bytes a slow client gets in at that pace, and not one more, whatever it is slow with: it is cut off within ten seconds, and half
/// of that again is for what a busy machine is late with. A machine that is slower still gives the server more time, not less.
const MOST_BYTES: usize = 30;

fn public_site() -> Site {
    Site::with(None, |config| config.public = Some("127.0.0.1:0".parse().unwrap()))
}

fn both(site: &Site) -> [SocketAddr; 2] {
    [site.address(), site.service.as_ref().unwrap().public_address().unwrap()]
}

/// What a thread needs to send bodies.
fn sender(site: &Site) -> impl Fn(&str, &str) -> Answer + Sync {
    let (address, bearer) = (site.address(), bearer(&site.key));
    move |path, body| {
        let headers = [("Authorization", &*bearer), ("Content-Type", "application/json")];
        call(address, "POST", path, &headers, body.as_bytes())
    }
}

/// Whether the other side has closed.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut chunk = [0; 16_384];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

/// Drips bytes into connections until all of them are closed.
fn drip(mut streams: Vec<TcpStream>, byte: impl Fn(usize) -> u8) {
    for n in 0..MOST_BYTES {
        // An idle timer alone would never fire.
        streams.retain_mut(|stream| !is_closed(stream) && stream.write_all(&[byte(n)]).is_ok());
        if streams.is_empty() {
            return;
        }
        thread::sleep(PACE);
    }
    panic!("{} connections are open", streams.len());
}

#[test]
fn a_second_head_that_drips_is_given_up_on_both_listeners() {
    let site = public_site();
    let mut streams = Vec::new();
    for address in both(&site) {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nX-A: ").unwrap();
            assert_eq!(answer(&mut stream).status, 200);
            streams.push(stream);
        }
    }
    drip(streams, |_| b'a');
}

#[test]
fn a_body_that_nobody_reads_and_heads_behind_it_are_given_up() {
    let site = public_site();
    let mut streams = Vec::new();
    for address in both(&site) {
        let mut stream = TcpStream::connect(address).unwrap();
        // Refused at once, and its chunks go on.
        stream.write_all(b"POST /v1/log HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n").unwrap();
        streams.push(stream);
    }
    drip(streams, |n| b"aaaaa\r\n5\r\n"[n % 10]);
}

#[test]
fn a_body_of_a_public_question_that_drips_is_given_up() {
    let site = public_site();
    let [_, public] = both(&site);
    let ask = |path: &str| {
        let mut stream = TcpStream::connect(public).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    drip(["/v1/bundles", "/v1/sandbox/decisions"].map(ask).into(), |_| b'[');
}

#[test]
fn an_answer_that_is_not_read_is_given_up() {
    let site = public_site();
    for n in 0..200 {
        site.decide(&read(&n.to_string()));
    }
    let mut streams = Vec::new();
    for address in both(&site) {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        // Pipelined requests, whose answers fill the socket's buffers and are never read.
        let request = "GET /tile/entries/000.p/200 HTTP/1.1\r\nHost: x\r\n\r\n".repeat(64);
        // Buffers of a few megabytes are full long before.
        let taken = (0..20_000).take_while(|_| stream.write_all(request.as_bytes()).is_ok()).count();
        assert!(taken < 20_000, "requests are still taken and nobody reads answers");
        streams.push(stream);
    }
    // Not read here either: a write shows that the other side is gone.
    streams.retain_mut(|stream| {
        (0..MOST_BYTES).all(|_| match stream.write(b"G") {
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => false,
            Ok(_) | Err(_) => {
                thread::sleep(PACE);
                true
            }
        })
    });
    assert!(streams.is_empty(), "{} are open", streams.len());
}

#[test]
fn a_connection_with_requests_stays() {
    let site = public_site();
    for address in both(&site) {
        let mut stream = TcpStream::connect(address).unwrap();
        // Longer than any single deadline.
        for _ in 0..6 {
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            assert_eq!(answer(&mut stream).status, 200);
            thread::sleep(Duration::from_secs(2));
        }
    }
}

#[test]
fn slow_bodies_of_one_key_leave_room_for_another() {
    let site = Site::new();
    let made = site.admin("POST", "/v1/keys", "application/json", br#"{"realm":"other","role":"service"}"#);
    assert_eq!(made.status, 201, "{}", made.text());
    let other = made.json()["key"].as_str().unwrap().to_owned();
    let head = format!(
        "POST /v1/decisions HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n",
        bearer(&site.key)
    );
    let over = AtomicBool::new(false);
    let address = site.address();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let mut slow: Vec<_> = (0..40).map(|_| TcpStream::connect(address).unwrap()).collect();
                slow.iter_mut().for_each(|stream| stream.write_all(head.as_bytes()).unwrap());
                for _ in 0..5 {
                    thread::sleep(Duration::from_millis(200));
                    slow.iter_mut().for_each(|stream| drop(stream.write_all(b"1\r\n \r\n")));
                }
            }
        });
        thread::sleep(Duration::from_millis(300));
        let headers = [("Authorization", &*bearer(&other)), ("Content-Type", "application/json")];
        let answers: Vec<Answer> = (0..23)
            .map(|_| {
                thread::sleep(Duration::from_millis(50));
                call(address, "POST", "/v1/decisions", &headers, read("1").to_string().as_bytes())
            })
            .collect();
        // First of all: a failure must not leave the other thread running.
        over.store(true, Ordering::Relaxed);
        for (n, answer) in answers.iter().enumerate() {
            assert_eq!(answer.status, 200, "decision {n} of the other key: {}", answer.text());
        }
    });
}

#[test]
fn another_character_set_or_another_expectation_is_refused() {
    let site = public_site();
    let body = read("1").to_string();
    for (charset, status) in [("utf-8", 200), ("\"UTF-8\"", 200), ("utf-16", 400), ("iso-8859-1", 400), ("", 400)] {
        let answer = site.send("/v1/decisions", &format!("application/json; charset={charset}"), body.as_bytes());
        assert_eq!(answer.status, status, "{charset}: {}", answer.text());
        if status == 400 {
            assert_eq!(answer.code(), "content_type");
        }
    }
    for address in both(&site) {
        let refused = call(address, "GET", "/livez", &[("Expect", "200-ok")], b"");
        assert_eq!(refused.status, 417);
        assert_eq!(call(address, "GET", "/livez", &[], b"").status, 200);
    }
}

fn large(action: &str) -> String {
    let items: Vec<String> = (0..4_000).map(|n| read(&n.to_string()).to_string().replace("read", action)).collect();
    format!("[{}]", items.join(","))
}

#[test]
fn small_decisions_are_recorded_while_a_large_body_is_evaluated() {
    let site = Site::with(None, |config| config.workers = 1);
    let (body, send) = (large("read"), sender(&site));
    let overtaken = (0..3).map(|_| {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let slow = scope.spawn(|| {
                let answer = send("/v1/decisions?receipt=none&answer=brief", &body);
                done.store(true, Ordering::Relaxed);
                assert_eq!(answer.status, 200, "{}", answer.text());
                answer.json()[0]["index"].as_u64().unwrap()
            });
            let before = site.size();
            let mut small = Vec::new();
            while !done.load(Ordering::Relaxed) {
                small.push(site.decide(&read("1"))["index"].as_u64().unwrap());
            }
            let first = slow.join().unwrap();
            assert!(first >= before);
            small.iter().filter(|index| **index < first).count()
        })
    });
    // One or two may be ahead by chance, before the large body is read.
    let overtaken: Vec<usize> = overtaken.collect();
    assert!(overtaken.iter().any(|n| *n >= 5), "decisions that did not wait for 4,000 others: {overtaken:?}");
}

#[test]
fn a_kill_switch_is_recorded_under_a_flood_of_large_bodies_and_nothing_is_allowed_behind_it() {
    let site = Site::new();
    let (body, send) = (large("read"), sender(&site));
    let over = AtomicBool::new(false);
    let answered = AtomicUsize::new(0);
    let index = thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let answer = send("/v1/decisions?receipt=range&answer=brief", &body);
                    assert!(matches!(answer.status, 200 | 503), "{}", answer.text());
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while answered.load(Ordering::Relaxed) < 6 {
            thread::sleep(Duration::from_millis(20));
        }
        // How long it takes is told by `interlock bench overload`; that it goes first, by the simulation.
        let switched = site.switch(1, "global", Power::Halt);
        over.store(true, Ordering::Relaxed);
        assert_eq!(switched.status, 200, "{}", switched.text());
        switched.json()["index"].as_u64().unwrap()
    });
    let records = site.records();
    let allowed = |record: &Record| matches!(record, Record::Decision(decision) if decision.outcome == Outcome::Allow);
    let at = usize::try_from(index).unwrap();
    assert!(records[..at].iter().any(allowed));
    assert!(!records[at..].iter().any(allowed));
}
