//! The sandbox over HTTP: strangers decide under policies of their own, and nothing of it touches the log (threat 25).

mod isolation;
mod limits;
mod texts;

use std::net::SocketAddr;

use serde_json::{Value, json};
use verifier::note::VerifierKey;

use crate::support::{Answer, Site, call};

const DECISIONS: &str = "/v1/sandbox/decisions";
const SAMPLES: &str = "/v1/sandbox/samples";

/// Allows `read`, forbids it for what is secret.
const POLICIES: &str = r#"@id("reads") permit (principal, action == Action::"read", resource);
@id("secret") forbid (principal, action, resource) when { resource has secret && resource.secret };"#;

fn site() -> Site {
    Site::with(None, |config| config.public = Some("127.0.0.1:0".parse().unwrap()))
}

fn public(site: &Site) -> SocketAddr {
    site.service.as_ref().unwrap().public_address().unwrap()
}

fn post(address: SocketAddr, body: &Value) -> Answer {
    call(address, "POST", DECISIONS, &[("Content-Type", "application/json")], body.to_string().as_bytes())
}

/// What is allowed under [`POLICIES`].
fn body() -> Value {
    json!({ "policies": POLICIES, "request": request("r1") })
}

fn request(id: &str) -> String {
    crate::support::read(id).to_string()
}

/// An answer that must be one; where the sandbox is asked too fast for its rates, again.
fn decided(address: SocketAddr, body: &Value) -> Value {
    for _ in 0..100 {
        let answer = post(address, body);
        match answer.status {
            200 => return answer.json(),
            429 | 503 => std::thread::sleep(std::time::Duration::from_millis(200)),
            _ => panic!("{}", answer.text()),
        }
    }
    panic!("the sandbox is busy for ever");
}

fn vkey(said: &Value) -> VerifierKey {
    said["vkey"].as_str().unwrap().parse().unwrap()
}
