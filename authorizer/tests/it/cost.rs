//! What one address, and all together, may ask of the public listener (threat 33). Real sockets on loopback addresses.

use std::io::Write;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use authorizer::http::Rates;
use authorizer::rate::Rate;

use crate::support::{Answer, Site, answer};

const HERE: &str = "127.0.0.1";
const THERE: &str = "127.0.0.2";
/// So slow that nothing is paid off while a test runs.
const SLOW: Duration = Duration::from_secs(100);
const PLENTY: Rate = Rate { every: Duration::from_nanos(1), burst: u32::MAX };

fn site(each: Rate, all: Rate, loopback: bool) -> (Site, SocketAddr) {
    let site = Site::with(None, move |config| {
        config.public = Some("127.0.0.1:0".parse().unwrap());
        config.public_rates = Rates { each, all, loopback };
    });
    let public = site.service.as_ref().unwrap().public_address().unwrap();
    (site, public)
}

/// Sends these bytes from this address.
fn send(from: &str, to: SocketAddr, head: &str) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        socket.connect(to).await.unwrap().into_std().unwrap()
    });
    let mut stream = stream;
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    answer(&mut stream)
}

fn ask(from: &str, to: SocketAddr, method: &str, path: &str) -> Answer {
    send(from, to, &format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
}

fn refused(answer: &Answer, status: u16, code: &str) -> u64 {
    assert_eq!((answer.status, answer.code().as_str()), (status, code));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    answer.header("retry-after").unwrap().parse().unwrap()
}

#[test]
fn an_address_that_has_none_left_is_told_when_to_come_again_and_others_are_served() {
    let (site, public) = site(Rate { every: SLOW, burst: 12 }, PLENTY, true);
    // 4 units each, and HEAD costs what GET costs.
    for method in ["GET", "HEAD", "GET"] {
        assert_eq!(ask(HERE, public, method, "/v1/log").status, 200);
    }
    assert_eq!(ask(HERE, public, "HEAD", "/checkpoint").status, 429);
    let wait = refused(&ask(HERE, public, "GET", "/v1/log"), 429, "quota");
    assert!((300..=400).contains(&wait), "{wait}");
    for free in ["/livez", "/readyz"] {
        assert_eq!(ask(HERE, public, "GET", free).status, 200, "{free}");
    }
    assert_eq!(ask(THERE, public, "GET", "/v1/log").status, 200);
    // On the decision API nothing is counted so.
    assert_eq!(site.get("/v1/decisions").code(), "method_not_allowed");
    let metrics = ask(THERE, public, "GET", "/metrics").text();
    assert!(metrics.contains("http_refused_total{cause=\"quota\"} 2\n"), "{metrics}");
}

/// Each would be answered otherwise, or not for seconds, if it were looked at.
#[test]
fn a_refusal_comes_before_any_work() {
    let (_site, public) = site(Rate { every: SLOW, burst: 1 }, PLENTY, true);
    assert_eq!(ask(HERE, public, "GET", "/checkpoint").status, 200);
    for path in ["/v1/bundles?indexes=x", "/v1/decisions?limit=0", "/nothing", "/v1/lineage/x", "/tile/x"] {
        refused(&ask(HERE, public, "GET", path), 429, "quota");
    }
    let head = "POST /v1/sandbox/decisions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n";
    refused(&send(HERE, public, head), 429, "quota");
}

#[test]
fn what_was_taken_is_paid_for_by_time() {
    let (_site, public) = site(Rate { every: Duration::from_millis(500), burst: 8 }, PLENTY, true);
    let log = || ask(HERE, public, "GET", "/v1/log");
    let taken = (0..50).take_while(|_| log().status == 200).count();
    assert!((2..50).contains(&taken), "{taken}");
    let wait = refused(&log(), 429, "quota");
    assert!((1..=2).contains(&wait), "{wait}");
    thread::sleep(Duration::from_secs(wait));
    assert_eq!(log().status, 200);
}

#[test]
fn a_long_answer_costs_more_than_a_short_one() {
    let (_site, public) = site(Rate { every: SLOW, burst: 3 }, PLENTY, true);
    let document = ask(HERE, public, "GET", "/openapi.json");
    assert_eq!(document.status, 200);
    assert!(document.body.len() > 3 * (16 << 10), "{}", document.body.len());
    refused(&ask(HERE, public, "GET", "/checkpoint"), 429, "quota");
    for _ in 0..3 {
        assert_eq!(ask(THERE, public, "GET", "/checkpoint").status, 200);
    }
    refused(&ask(THERE, public, "GET", "/checkpoint"), 429, "quota");
}

#[test]
fn what_all_share_ends_for_every_address_and_those_of_this_machine_have_no_other_limit() {
    let (_site, public) = site(Rate { every: SLOW, burst: 1 }, Rate { every: SLOW, burst: 12 }, false);
    for from in [HERE, HERE, THERE] {
        assert_eq!(ask(from, public, "GET", "/v1/log").status, 200);
    }
    for from in [HERE, THERE] {
        let wait = refused(&ask(from, public, "GET", "/v1/log"), 503, "overloaded");
        assert!((1..=4).contains(&wait), "{wait}");
        assert_eq!(ask(from, public, "GET", "/livez").status, 200);
    }
}

#[test]
fn by_default_an_auditor_on_this_machine_is_not_held_up() {
    let Rates { loopback, each, all } = Rates::default();
    assert!(!loopback);
    assert!(each.burst >= 40_000 && all.burst >= 400_000 && all.every <= Duration::from_micros(5));
}
