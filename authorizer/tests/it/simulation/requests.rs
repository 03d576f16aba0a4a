//! What the callers of a simulation ask, and the epoch that answers: few names, so that they meet.

use authorizer::keys::admin_bearer;
use ledger::Signer;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use serde_json::{Value, json};
use verifier::act::{Act, Deed, Power, Target};
use verifier::approval::{Approval, core_digest};
use verifier::epoch::EpochContent;
use verifier::event::{Event, Step};
use verifier::hash::Hash;
use verifier::request::Request;
use verifier::text::unb64;

use crate::support::{ORIGIN, POLICIES, gate, read, with_gate};

pub const SEED: [u8; 32] = [42; 32];
/// What a switch may stop.
pub const TARGETS: [&str; 5] = ["subject Agent::\"alice\"", "action write", "policy reads", "realm other", "global"];

const TRUST: &str = r#"
[limits]
max_ttl_ms = 5_000_000_000
max_lease_ms = 100_000
max_depth = 3
max_children = 3

[[grants]]
subjects = ["Agent"]
scopes = ["a:**"]
without_parent = true

[[rates]]
name = "calls"
count = 40
per_ms = 60_000
burst = 20

[[budgets]]
name = "minute"
actions = ["read"]
amount = "context.cents"
cap = 900
window_ms = 60_000

[[concurrency]]
name = "at-work"
actions = ["write"]
max = 4

[[approvals]]
actions = ["pay"]
subjects = ["Agent"]
count = 1
approvers = ["carol"]
"#;

pub fn approver() -> Signer {
    Signer::from_seed("carol", &[9; 32]).unwrap()
}

pub fn admin() -> Signer {
    Signer::from_seed(&Act::key_name(ORIGIN), &SEED).unwrap()
}

pub fn admin_key() -> String {
    admin_bearer(&SEED).to_string()
}

/// Odd epochs allow reads, even ones do not.
pub fn allows_reads(epoch: u64) -> bool {
    !epoch.is_multiple_of(2)
}

/// What epoch `number` is made of.
pub fn content(number: u64) -> EpochContent {
    let policies = POLICIES.iter().filter(|(id, _)| *id != "reads" || allows_reads(number));
    let pays = ("pays".to_owned(), r#"@id("pays") permit(principal, action == Action::"pay", resource);"#.to_owned());
    let mut policies: Vec<_> =
        policies.map(|(id, text)| ((*id).to_owned(), (*text).to_owned())).chain([pays]).collect();
    policies.sort();
    let agents = ["alice", "bob", "carol"];
    let agents = agents.map(|id| json!({ "uid": { "type": "Agent", "id": id }, "attrs": {}, "parents": [] }));
    let person = format!("[[approvers]]\nkey = '{}'\nperson = 'User::\"carol\"'\n", approver().verifier_key());
    let trust = with_gate(&(TRUST.to_owned() + &person));
    EpochContent { policies, entities: Some(json!(agents).to_string()), trust: Some(trust), ..EpochContent::default() }
}

/// A signed act of the administrator.
pub fn act(follows: u64, deed: Deed) -> String {
    admin().sign_note(&Act { origin: ORIGIN.into(), follows, deed }.text())
}

pub fn switch(target: &str, power: Power) -> Deed {
    Deed::Switch { target: Target::parse(target).unwrap(), power, reason: "drill".into() }
}

fn one_of<'a>(random: &mut StdRng, among: &[&'a str]) -> &'a str {
    among[random.random_range(0..among.len())]
}

/// A request, with now and then a parent out of these permits, or one that was asked for before.
pub fn request(random: &mut StdRng, permits: &[String], again: Option<&Value>) -> Value {
    let mut request = read("r");
    request["subject"]["id"] = one_of(random, &["alice", "bob", "carol", "alice", "bob", "carol", "eve"]).into();
    let action = one_of(random, &["read", "read", "read", "write", "write", "pay", "erase"]);
    request["action"]["name"] = action.into();
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
