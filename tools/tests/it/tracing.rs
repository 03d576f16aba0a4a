//! `interlock serve --otlp`: what reaches a collector, and which addresses are refused.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::house::{House, Server, fails};

#[test]
fn a_server_that_is_told_of_a_collector_sends_it_what_its_callers_trace() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/base/", collector.local_addr().unwrap());
    let house = House::new();
    house.publish("hello");
    let server = Server::start(&house.path("log"), &["--otlp", &address, "--otlp-sample", "0"]);
    let mut caller = TcpStream::connect(server.decisions.strip_prefix("http://").unwrap()).unwrap();
    let trace = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128;
    let key = &house.api_key;
    let head = format!("GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n");
    write!(caller, "{head}traceparent: 00-{trace:032x}-b7ad6b7169203331-01\r\n\r\n").unwrap();
    caller.read_to_end(&mut Vec::new()).unwrap();
    let (mut sent, mut raw, mut chunk) = (collector.accept().unwrap().0, Vec::new(), [0; 4_096]);
    while !raw.windows(16).any(|window| window == trace.to_be_bytes()) {
        let n = sent.read(&mut chunk).unwrap();
        assert!(n > 0, "{}", String::from_utf8_lossy(&raw));
        raw.extend_from_slice(&chunk[..n]);
    }
    assert!(raw.starts_with(b"POST /base/v1/traces HTTP/1.1\r\n"));
}

#[test]
fn a_collector_elsewhere_or_with_credentials_is_refused_and_no_password_is_repeated() {
    for (url, word) in [
        ("http://user:hunter2@127.0.0.1:4318", "credentials"),
        ("https://user:hunter2@127.0.0.1:4318", "https"),
        ("ftp://hunter2", "http://"),
        ("http://collector.example:4318", "not this machine"),
        ("http://127.0.0.1:4318/?token=hunter2", "query"),
    ] {
        let (code, said) = fails(["serve", "--data", "nowhere", "--otlp", url]);
        assert!(
            code == 2 && said.contains("--otlp") && said.contains(word) && !said.contains("hunter2"),
            "{url}: {said}"
        );
    }
    let (code, said) = fails(["serve", "--data", "nowhere", "--otlp-sample", "1.5"]);
    assert!(code == 2 && said.contains("from 0 to 1"), "{said}");
}
