//! What strangers can take of the sandbox, and that they take nothing of the service.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use authorizer::sandbox::{
    MAX_BODY, MAX_ENTITIES, MAX_OF_ONE, MAX_POLICIES_BYTES, MAX_REQUEST, MAX_SCHEMA, MAX_TRUST, OF_ONE,
};
use serde_json::{Value, json};

use super::{DECISIONS, POLICIES, body, decided, post, public, request, site};
use crate::support::{answer, call, read};

#[test]
fn each_text_has_a_limit_and_so_has_the_body() {
    let site = site();
    let address = public(&site);
    let long = |limit: usize, fill: &str| fill.repeat(limit + 1);
    for (name, limit, fill) in [
        ("policies", MAX_POLICIES_BYTES, " "),
        ("schema", MAX_SCHEMA, "/"),
        ("entities", MAX_ENTITIES, "1"),
        ("trust", MAX_TRUST, "#"),
        ("request", MAX_REQUEST, "1"),
    ] {
        let mut body = body();
        body[name] = Value::String(long(limit, fill));
        let answer = post(address, &body);
        assert_eq!(answer.code(), "sandbox_too_large", "{name}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(name));
        // Exactly at the limit it is read, and is whatever it is.
        body[name] = Value::String(fill.repeat(limit));
        let at = post(address, &body);
        assert!(at.status == 200 || at.code() != "sandbox_too_large", "{name}: {}", at.text());
    }
    let mut body = body();
    body["policies"] = Value::String(long(MAX_BODY, " "));
    assert_eq!(post(address, &body).code(), "body_too_large");
}

#[test]
fn slow_bodies_are_given_up_and_leave_room() {
    let site = site();
    let address = public(&site);
    let head = format!(
        "POST {DECISIONS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{{"
    );
    let begun = Instant::now();
    let mut slow: Vec<TcpStream> = (0..MAX_OF_ONE)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    // All places of this address are taken, before a byte of another body is read.
    let refused = (0..20).map(|_| post(address, &body())).find(|answer| answer.status == 503).unwrap();
    assert_eq!(refused.code(), "sandbox_busy");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=4).contains(&wait));
    // Whatever else this listener serves goes on.
    assert_eq!(call(address, "GET", "/v1/log", &[], b"").status, 200);
    let given_up: Vec<_> = slow.iter_mut().map(|stream| answer(stream).status).collect();
    assert_eq!(given_up, [408; MAX_OF_ONE]);
    assert!(begun.elapsed() >= Duration::from_secs(3), "they had their time");
    assert_eq!(decided(address, &body())["answer"]["decision"], true);
}

#[test]
fn whoever_asks_too_often_is_told_when_to_come_again() {
    let site = site();
    let address = public(&site);
    // Refused whatever it is, and counted all the same.
    let nothing = json!({});
    let taken = (0_u32..).take_while(|_| post(address, &nothing).status == 400).last().map_or(0, |last| last + 1);
    assert!((OF_ONE.burst..10 * OF_ONE.burst).contains(&taken), "{taken} were taken");
    let refused = post(address, &nothing);
    assert_eq!((refused.status, refused.code().as_str()), (429, "sandbox_quota"));
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    thread::sleep(2 * OF_ONE.every);
    assert_eq!(post(address, &nothing).status, 400);
}

/// Content that takes the sandbox as long as its limits allow.
fn costly() -> Value {
    let names = (0..16).map(|n| format!("E{n}")).collect::<Vec<_>>().join(",");
    let schema = format!(
        "entity {names} = {{ s: String }}; action read appliesTo {{ principal: [{names}], resource: [{names}] }};"
    );
    // 256 pairs, and as many bytes of policies as that leaves.
    let mut policies = String::new();
    for n in 0.. {
        let clause = (0..24).map(|k| format!("principal.s like \"*{k}*\"")).collect::<Vec<_>>().join(" || ");
        let policy = format!("@id(\"p{n}\") permit (principal, action, resource) when {{ {clause} }};\n");
        if (policies.len() + policy.len()) * 256 > authorizer::engine::MAX_VALIDATION {
            break;
        }
        policies.push_str(&policy);
    }
    let asked = json!({
        "subject": { "type": "E0", "id": "a", "properties": { "s": "0".repeat(8_000) } },
        "action": { "name": "read" }, "resource": { "type": "E1", "id": "b", "properties": { "s": "" } },
    });
    json!({ "policies": policies, "schema": schema, "request": asked.to_string() })
}

#[test]
fn the_costliest_content_that_is_taken_is_decided_in_time() {
    let site = site();
    let said = decided(public(&site), &costly());
    assert!(said["answer"]["decision"].is_boolean());
}

#[test]
fn decisions_go_on_while_the_sandbox_is_as_busy_as_it_can_be() {
    let site = site();
    let address = public(&site);
    let over = AtomicBool::new(false);
    let body = costly();
    thread::scope(|scope| {
        for _ in 0..MAX_OF_ONE {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let answer = post(address, &body);
                    assert!(matches!(answer.status, 200 | 429 | 503), "{}", answer.text());
                }
            });
        }
        thread::sleep(Duration::from_millis(200));
        let begun = Instant::now();
        let allowed = (0..20).filter(|n| site.decide(&read(&n.to_string()))["decision"] == true).count();
        let took = begun.elapsed();
        // First of all: a failure must not leave the others running.
        over.store(true, Ordering::Relaxed);
        assert_eq!(allowed, 20);
        // On a quiet machine it is a tenth of a second; the sandbox alone, had it the service's place, would take more than this.
        assert!(took < Duration::from_secs(20), "{took:?}");
    });
    assert!(site.service.as_ref().unwrap().fault().is_none());
}

#[test]
fn a_request_that_nobody_waits_for_any_more_does_no_harm() {
    let site = site();
    let address = public(&site);
    let text = body().to_string();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "POST {DECISIONS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}", text.len()).unwrap();
    }
    assert_eq!(decided(address, &json!({ "policies": POLICIES, "request": request("z") }))["answer"]["decision"], true);
}
