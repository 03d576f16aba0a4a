//! Few descriptors and many strangers: the log stays whole, decisions are answered, governance gets through.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use crate::house::{House, Http, Server, ok, refund};

/// A server that may open so many files.
fn limited(house: &House, files: usize) -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_interlock")]).args(Server::arguments(&house.path("log")));
    command
}

fn address(url: &str) -> SocketAddr {
    url.strip_prefix("http://").unwrap().parse().unwrap()
}

#[test]
fn strangers_that_hold_every_connection_stop_neither_decisions_nor_governance() {
    let house = House::new();
    house.publish("hello");
    let server = Server::begin(limited(&house, 512)).unwrap_or_else(|said| panic!("{said}"));
    let http = Http::new();
    assert_eq!(http.decide(&server.decisions, &house.api_key, &refund(1)).unwrap().1["decision"], true);
    // Each has had an answer, and the head behind it never ends: no timer of an idle connection or of a first head closes it.
    let flood = |url: &str| -> Vec<TcpStream> {
        let connect = |_| {
            let mut stream = TcpStream::connect_timeout(&address(url), Duration::from_secs(1)).ok()?;
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nX-A: ").ok()?;
            Some(stream)
        };
        (0..1_000).filter_map(connect).collect()
    };
    let mut held = flood(&server.public);
    held.extend(flood(&server.decisions));
    assert!(held.len() > 1_024, "more connections than the server may have files: {}", held.len());
    for n in 0..20 {
        let (status, answer) = Http::new().decide(&server.decisions, &house.api_key, &refund(n)).unwrap();
        assert_eq!((status, &answer["decision"]), (200, &true.into()), "{n}: {answer}");
        assert_eq!(Http::new().get(&format!("{}/checkpoint", server.public)).0, 200, "{n}");
    }
    let key = house.path("admin_key");
    ok(["switch", "global", "halt", "--url", &server.decisions, "--key-file", &key, "--reason", "drill"]);
    let (_, answer) = Http::new().decide(&server.decisions, &house.api_key, &refund(1)).unwrap();
    assert_eq!((&answer["decision"], &answer["conditions"]["runtime"]), (&false.into(), &"fail:halted".into()));
    drop(held);
    server.stop();
    ok(["audit", &house.path("log"), "--vkey", &house.vkey]);
}

#[test]
fn a_limit_that_is_too_small_is_refused_with_what_is_needed() {
    let house = House::new();
    let said = match Server::begin(limited(&house, 128)) {
        Ok(_) => panic!("it serves"),
        Err(said) => said,
    };
    assert!(said.contains("the limit of open files is 128, and at least"), "{said}");
}
