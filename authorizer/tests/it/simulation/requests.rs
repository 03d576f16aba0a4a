//! What the callers of a simulation ask: few names, so that they meet.

use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use serde_json::{Value, json};
use verifier::approval::{Approval, core_digest};
use verifier::event::{Event, Step};
use verifier::hash::Hash;
use verifier::request::Request;
use verifier::text::unb64;

use super::epochs::{AGENTS, ISSUERS, approver};
use crate::issuing;
use crate::signing::{Parts, sign};
use crate::support::{ORIGIN, gate, read};

fn one_of<'a>(random: &mut StdRng, among: &[&'a str]) -> &'a str {
    among[random.random_range(0..among.len())]
}

/// A request, with now and then a parent out of these permits, or one that was asked for before.
pub fn request(random: &mut StdRng, permits: &[String], again: Option<&Value>, now_ms: u64) -> Value {
    let mut request = read("r");
    let who = one_of(random, &["alice", "bob", "carol", "dan", "alice", "bob", "carol", "eve"]);
    request["subject"]["id"] = who.into();
    let action = one_of(random, &["read", "read", "read", "write", "write", "pay", "erase", "ship", "certify"]);
    request["action"]["name"] = action.into();
    if action == "certify" && random.random_bool(0.8) {
        let (issuer, seed) = ISSUERS[random.random_range(0..ISSUERS.len())];
        let now = now_ms / 1_000;
        let claims = json!({
            "iss": issuer, "sub": format!("Agent::\"{who}\""), "aud": ORIGIN, "iat": now, "exp": now + 600, "review": "passed",
        });
        request["assertions"] = json!([issuing::ed25519(seed).jwt(&claims)]);
    }
    request["context"] = json!({ "cents": random.random_range(-1..60) });
    request["ttl_ms"] = random.random_range(1..400_000).into();
    if action == "write" || random.random_bool(0.2) {
        request["lease_ms"] = random.random_range(1..60_000).into();
        request["audience"] = "gate".into();
    }
    if random.random_bool(0.03) {
        request["deadline"] = "2026-01-01T00:00:00Z".into();
    }
    if random.random_bool(0.4) {
        request["delegates"] = json!(["Agent::\"alice\"", "Agent::\"bob\"", "Agent::\"eve\""]);
        request["scopes"] = json!([one_of(random, &["a:b", "a:*", "a:**", "a:b:c"])]);
    }
    if random.random_bool(0.2) && !permits.is_empty() {
        let recent = permits.len().saturating_sub(6);
        request["parent"] = permits[random.random_range(recent..permits.len())].clone().into();
    }
    if random.random_bool(0.3) {
        // Asked for again as it was asked before, or another request under the same key.
        match again {
            Some(before) if random.random_bool(0.7) => return before.clone(),
            _ => request["idempotency_key"] = format!("k{}", random.random_range(0..40)).into(),
        }
    }
    request
}

/// A body that an agent signs, now and then for whom it may not speak: few nonces, so that some come twice.
pub fn signed(random: &mut StdRng, mut requests: Vec<Value>, now_ms: u64) -> SignedBody {
    let (key_id, seed, _) = AGENTS[random.random_range(0..AGENTS.len())];
    for request in &mut requests {
        if key_id == AGENTS[0].0 && random.random_bool(0.8) {
            request["subject"]["id"] = "alice".into();
        }
        if random.random_bool(0.5) {
            request["action"]["name"] = "ship".into();
        }
    }
    let nonce = format!("n{}", random.random_range(0..24));
    let mut parts = Parts::of(key_id, seed, now_ms / 1_000, &nonce);
    parts.expires = parts.created + random.random_range(1..=300);
    let body = if requests.len() == 1 { requests[0].to_string() } else { json!(requests).to_string() };
    let fields = sign(&parts, body.as_bytes());
    SignedBody { requests, body, fields }
}

/// A body with its signature, as whoever has seen it may send it again.
#[derive(Clone)]
pub struct SignedBody {
    pub requests: Vec<Value>,
    pub body: String,
    pub fields: [(&'static str, String); 3],
}

/// A step of an execution, signed by its gate.
pub fn event(random: &mut StdRng, permit: &str, ends_at: u64) -> String {
    let step = match random.random_range(0..10) {
        0..7 => Step::Renew { ends_at },
        7 => Step::Started,
        8 => Step::Failed { executed: None },
        _ => Step::Completed { executed: Hash([7; 32]) },
    };
    gate().sign_note(&Event { origin: ORIGIN.into(), permit: permit.parse().unwrap(), step }.text())
}

/// An approval of what was denied for want of one.
pub fn approval(denied: &Value, request: &Value, realm: &str, now_ms: u64) -> String {
    let salt: [u8; 16] = unb64(denied["salt"].as_str().unwrap()).unwrap().try_into().unwrap();
    let approval = Approval {
        origin: ORIGIN.into(),
        realm: realm.into(),
        decision: denied["permit"].as_str().unwrap().parse().unwrap(),
        core: core_digest(&salt, &Request::parse(request.to_string().as_bytes()).unwrap()).unwrap(),
        expires_at: now_ms + 600_000,
    };
    approver().sign_note(&approval.text())
}

/// Bytes that nobody reads.
pub fn statement(random: &mut StdRng) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(1..300)];
    random.fill_bytes(&mut bytes);
    bytes
}
