//! What governs a simulation: epochs, with few names in them so that callers meet, and the acts of its administrator.

use authorizer::keys::admin_bearer;
use ledger::Signer;
use serde_json::json;
use verifier::act::{Act, Deed, Power, Target};
use verifier::epoch::EpochContent;
use verifier::note::VerifierKey;
use verifier::text::b64;

use crate::issuing;
use crate::signing::key;
use crate::support::{ORIGIN, POLICIES, with_gate};

pub const SEED: [u8; 32] = [42; 32];
/// What a switch may stop.
pub const TARGETS: [&str; 5] = ["subject Agent::\"alice\"", "action write", "policy reads", "realm other", "global"];
/// What may be taken back for ever, beside permits and a caller's key: each leaves something to be allowed.
pub const REVOCABLE: [&str; 5] =
    ["subject Agent::\"dan\"", "policy ships", "key fleet", "issuer https://registry.example", "key carol"];
/// Keys of agents: their ids, their seeds and for whom they speak.
pub const AGENTS: [(&str, u8, &str); 2] = [("alice-1", 21, "Agent::\"alice\""), ("fleet", 22, "Agent")];
/// Issuers of assertions and their seeds.
pub const ISSUERS: [(&str, u8); 2] = [("https://registry.example", 23), ("https://auditor.example", 24)];
/// Private parts are kept for so long.
pub const KEPT_MS: u64 = 30_000;

const TRUST: &str = r#"
[limits]
max_ttl_ms = 5_000_000_000
max_lease_ms = 100_000
max_depth = 3
max_children = 3

[erasure]
after_ms = 30_000

[signatures]
actions = ["ship"]

[assertions.reviewed]
issuers = ["https://registry.example", "https://auditor.example"]
about = "subject"
claims = { review = ["passed"] }

[actions.certify]
require = ["trust"]
assertions = ["reviewed"]

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

/// Odd epochs allow reads, even ones do not.
pub fn allows_reads(epoch: u64) -> bool {
    !epoch.is_multiple_of(2)
}

/// What epoch `number` is made of.
pub fn content(number: u64) -> EpochContent {
    let policies = POLICIES.iter().filter(|(id, _)| *id != "reads" || allows_reads(number));
    let more = [("pays", "pay"), ("ships", "ship"), ("certifies", "certify")].map(|(id, action)| {
        (id.to_owned(), format!(r#"@id("{id}") permit(principal, action == Action::"{action}", resource);"#))
    });
    let mut policies: Vec<_> = policies.map(|(id, text)| ((*id).to_owned(), (*text).to_owned())).chain(more).collect();
    policies.sort();
    let agents = ["alice", "bob", "carol", "dan"];
    let agents = agents.map(|id| json!({ "uid": { "type": "Agent", "id": id }, "attrs": {}, "parents": [] }));
    let mut trust = TRUST.to_owned();
    trust += &format!("[[approvers]]\nkey = '{}'\nperson = 'User::\"carol\"'\n", approver().verifier_key());
    for (id, seed, subject) in AGENTS {
        let public = b64(key(seed).verifying_key().as_bytes());
        trust += &format!("[[agents]]\nid = '{id}'\nkey = '{public}'\nsubjects = ['{subject}']\n");
    }
    for (name, seed) in ISSUERS {
        let public = issuing::ed25519(seed).public();
        trust += &format!("[issuers.'{name}']\nkind = 'assertions'\nkey = '{public}'\nclaims = ['review']\n");
    }
    let entities = Some(json!(agents).to_string());
    EpochContent { policies, entities, trust: Some(with_gate(&trust)), ..EpochContent::default() }
}

/// Whose signature names this key, if it may speak for that subject.
pub fn speaker(id: &str, subject: &(String, String)) -> Option<VerifierKey> {
    let (_, seed, speaks_for) = AGENTS.into_iter().find(|(name, ..)| *name == id)?;
    let named = format!("{}::\"{}\"", subject.0, subject.1);
    let may = speaks_for == subject.0 || speaks_for == named;
    may.then(|| VerifierKey::new(id, key(seed).verifying_key().as_bytes()).unwrap())
}

pub fn approver() -> Signer {
    Signer::from_seed("carol", &[9; 32]).unwrap()
}

pub fn admin() -> Signer {
    Signer::from_seed(&Act::key_name(ORIGIN), &SEED).unwrap()
}

pub fn admin_key() -> String {
    admin_bearer(&SEED).to_string()
}

/// A signed act of the administrator.
pub fn act(follows: u64, deed: Deed) -> String {
    admin().sign_note(&Act { origin: ORIGIN.into(), follows, deed }.text())
}

pub fn switch(target: &str, power: Power) -> Deed {
    Deed::Switch { target: Target::parse(target).unwrap(), power, reason: "drill".into() }
}
