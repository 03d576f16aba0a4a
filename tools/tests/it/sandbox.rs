//! The sandbox under the command: on by default, off when told, and found by whoever runs `interlock demo`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::house::{House, Http, Server};

#[test]
fn a_server_has_a_sandbox_unless_it_is_told_not_to() {
    let house = House::new();
    let http = Http::new();
    let body = json!({ "sample": "hello/what-was-paid" }).to_string();
    {
        // No epoch is published, and no key is asked for.
        let server = Server::start(&house.path("log"), &[]);
        let (status, said) = http.post(&format!("{}/v1/sandbox/decisions", server.public), &body).unwrap();
        assert_eq!((status, &said["answer"]["decision"]), (200, &json!(true)), "{said}");
        assert_ne!(said["vkey"], house.vkey);
        server.stop();
    }
    let server = Server::start(&house.path("log"), &["--no-sandbox"]);
    let (status, said) = http.post(&format!("{}/v1/sandbox/decisions", server.public), &body).unwrap();
    assert_eq!((status, &said["code"]), (404, &json!("sandbox_off")), "{said}");
}

#[test]
fn an_archive_has_no_sandbox() {
    let house = House::new();
    house.publish("hello");
    let server = Server::read_only(&house.path("log"));
    let (status, body) = Http::new().get(&format!("{}/v1/sandbox/samples", server.public));
    let said: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &said["code"]), (404, &json!("sandbox_off")));
}

#[test]
fn the_demo_says_where_its_pages_are_and_they_are_there() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_interlock")).arg("demo").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    // Read on to the end below: a demo that nobody listens to ends.
    let pages: Vec<String> = lines
        .by_ref()
        .skip_while(|line| line != "In a browser:")
        .skip(1)
        .take(2)
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .collect();
    let http = Http::new();
    let seen: Vec<_> = pages.iter().map(|page| (page.rsplit('/').next().unwrap().to_owned(), http.get(page))).collect();
    // As Ctrl-C does, so that its log is deleted.
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert!(lines.count() > 0 && child.wait().unwrap().success());
    assert_eq!(seen.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["", "demo"]);
    for (name, (status, body)) in seen {
        assert_eq!(status, 200, "/{name}");
        assert!(String::from_utf8(body).unwrap().contains("</html>"), "/{name}");
    }
}
