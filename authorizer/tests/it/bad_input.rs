//! What is refused before anything is decided: a stable code, and nothing recorded.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::support::{Site, answer, bearer, read};

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

#[test]
fn every_bad_body_is_refused_with_its_code_and_nothing_is_recorded() {
    let site = Site::new();
    let good = read("1").to_string();
    let with = |more: &str| format!("{},{more}}}", good.strip_suffix('}').unwrap());
    let deep = with(&format!("\"context\":{{\"a\":{}{}}}", "[".repeat(40), "]".repeat(40)));
    let large = with(&format!("\"context\":{{\"a\":\"{}\"}}", "x".repeat(70_000)));
    let cases: Vec<(&str, &str, Vec<u8>, &str)> = vec![
        ("malformed JSON", JSON, b"{\"subject\":".to_vec(), "invalid_json"),
        ("not JSON at all", JSON, b"hello".to_vec(), "invalid_json"),
        ("a scalar", JSON, b"1".to_vec(), "wrong_type"),
        ("something behind the object", JSON, format!("{good} x").into(), "invalid_json"),
        ("assertions", JSON, with("\"assertions\":[1]").into(), "wrong_type"),
        ("an attestation", JSON, with("\"attestation\":{}").into(), "wrong_type"),
        ("an unknown field", JSON, with("\"color\":1").into(), "unknown_field"),
        ("a wrong type", JSON, with("\"context\":[]").into(), "wrong_type"),
        ("a duplicate key", JSON, with("\"action\":{\"name\":\"read\"}").into(), "duplicate_key"),
        ("a missing field", JSON, b"{}".to_vec(), "missing_field"),
        ("a value out of range", JSON, with("\"uses\":0").into(), "invalid_value"),
        ("a reserved name", JSON, with("\"context\":{\"__entity\":{}}").into(), "reserved_name"),
        ("a reserved context key", JSON, with("\"context\":{\"interlock\":{}}").into(), "reserved_name"),
        ("an empty body", JSON, b"".to_vec(), "empty_body"),
        ("white space only", JSON, b" \n\t".to_vec(), "empty_body"),
        ("an empty array", JSON, b"[]".to_vec(), "empty_body"),
        ("no lines", LINES, b"\n\n".to_vec(), "empty_body"),
        ("a request above 64 KiB", JSON, large.clone().into(), "request_too_large"),
        ("a request above 64 KiB in an array", JSON, format!("[{good},{large}]").into(), "request_too_large"),
        ("a body above 8 MiB", JSON, vec![b' '; 8 * 1024 * 1024 + 1], "body_too_large"),
        ("more than 4,096 items", JSON, format!("[{}]", vec!["{}"; 4_097].join(",")).into(), "too_many_items"),
        ("more than 4,096 lines", LINES, "{}\n".repeat(4_097).into(), "too_many_items"),
        ("a depth bomb", JSON, deep.into(), "too_deep"),
        ("a depth bomb that never closes", JSON, "[".repeat(100_000).into(), "invalid_json"),
        ("a depth bomb of objects", JSON, "{\"a\":".repeat(10_000).into(), "too_deep"),
        (
            "invalid UTF-8",
            JSON,
            with("\"audience\":\"\u{1}\"")
                .replace('\u{1}', "x")
                .into_bytes()
                .into_iter()
                .map(|b| if b == b'x' { 0xff } else { b })
                .collect(),
            "invalid_utf8",
        ),
        ("a wrong content type", "text/plain", good.clone().into(), "content_type"),
        ("another JSON type", "application/jsonp", good.clone().into(), "content_type"),
        (
            "one bad item among good ones",
            JSON,
            format!("[{good},{},{good}]", with("\"color\":1")).into(),
            "unknown_field",
        ),
        ("one bad line among good ones", LINES, format!("{good}\n{{}}\n{good}\n").into(), "missing_field"),
        ("an array that does not end", JSON, format!("[{good}").into(), "invalid_json"),
        ("an item that is no object", JSON, format!("[{good},1]").into(), "invalid_json"),
    ];
    let before = site.size();
    for (what, content_type, body, code) in cases {
        let answer = site.send("/v1/decisions", content_type, &body);
        assert_eq!((answer.status, answer.code().as_str()), (400, code), "{what}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
    }
    let encoded = [("Authorization", &*bearer(&site.key)), ("Content-Type", JSON), ("Content-Encoding", "gzip")];
    assert_eq!(site.call("POST", "/v1/decisions", &encoded, good.as_bytes()).code(), "content_encoding");
    for query in ["receipt=some", "receipt=each&receipt=none", "receipt=each&receipt=each", "answer=full&answer=brief"]
    {
        assert_eq!(
            site.send(&format!("/v1/decisions?{query}"), JSON, good.as_bytes()).code(),
            "invalid_query",
            "{query}"
        );
    }
    assert_eq!(site.size(), before, "nothing was recorded");
}

#[test]
fn a_bad_item_is_named_by_its_number() {
    let site = Site::new();
    let body = format!("[{},{{}}]", read("1"));
    let problem = site.send("/v1/decisions", JSON, body.as_bytes()).json();
    assert_eq!((problem["item"].as_u64(), problem["detail"].as_str()), (Some(1), Some("`/subject` is missing")));
}

#[test]
fn a_body_that_does_not_arrive_is_given_up() {
    let site = Site::new();
    let before = site.size();
    let mut stream = TcpStream::connect(site.address()).unwrap();
    let head = format!(
        "POST /v1/decisions HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Type: {JSON}\r\nContent-Length: 500\r\n\r\n{{",
        bearer(&site.key)
    );
    stream.write_all(head.as_bytes()).unwrap();
    let answer = answer(&mut stream);
    assert_eq!((answer.status, answer.code().as_str()), (408, "body_timeout"));
    assert_eq!(site.size(), before);
}

#[test]
fn unknown_paths_and_methods_are_told_apart_only_to_a_key_holder() {
    let site = Site::new();
    for (method, path, allowed) in [
        ("GET", "/v1/decisions", "POST"),
        ("DELETE", "/v1/keys", "GET, POST"),
        ("GET", "/v1/keys/0123456789ab", "DELETE"),
        ("POST", "/v1/permits/00000000000000000000000000000000", "GET"),
        ("PUT", "/v1/epochs", "POST"),
        ("GET", "/v1/switches", "POST"),
        ("POST", "/v1/governance", "GET"),
        ("POST", "/readyz", "GET"),
    ] {
        let answer = site.call(method, path, &[("Authorization", &bearer(&site.key))], b"");
        assert_eq!((answer.status, answer.code().as_str()), (405, "method_not_allowed"), "{path}");
        assert_eq!(answer.header("allow"), Some(allowed), "{path}");
    }
    let authzen = site.get("/access/v1/evaluation");
    assert_eq!((authzen.status, authzen.header("allow")), (405, Some("POST")));
    assert_eq!(site.get("/v2").code(), "not_found");
    assert_eq!(site.get("/v1/permits/nonsense").code(), "not_found");
    assert_eq!(site.get("/v1/permits/00000000000000000000000000000000").code(), "not_found");
    for path in ["/v1/decisions", "/v2", "/v1/permits/nonsense"] {
        assert_eq!(site.call("GET", path, &[], b"").code(), "unauthorized");
    }
}

#[test]
fn a_head_that_does_not_arrive_is_given_up() {
    let site = Site::new();
    let mut stream = TcpStream::connect(site.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut gone = false;
    // One byte a second: an idle timer alone would never fire, and the head would never end.
    for byte in b"POST /v1/decisions HTTP/1.1" {
        let mut end = [0; 512];
        gone = stream.write_all(&[*byte]).is_err()
            || match stream.read(&mut end) {
                Ok(read) => read == 0,
                Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            };
        if gone {
            break;
        }
    }
    assert!(gone, "a head may drip for ever");
}

/// A long body is read and evaluated in parts: what was evaluated before the fault is recorded no more than what stands behind it.
#[test]
fn a_fault_anywhere_in_a_long_body_is_placed_and_nothing_of_the_body_is_recorded() {
    let site = Site::new();
    let size = site.size();
    for fault in [0, 15, 16, 33, 63, 64, 99] {
        let mut body: Vec<_> = (0..100).map(|n| read(&n.to_string())).collect();
        body[fault]["more"] = json!(1);
        let refused = site.post("/v1/decisions", &json!(body));
        assert_eq!((refused.status, refused.json()["item"].as_u64()), (400, Some(fault as u64)));
        assert_eq!(site.size(), size);
    }
}
