//! Keys that agents sign their requests with, the subjects that each may speak for, and which requests must be signed.
//!
//! Guarantees: an id and a key stand once; a key is a point that all verifiers agree about. What must be signed and nobody could sign
//! refuses the epoch; a key that nothing asks for is told. Does not: check signatures; `engine/signatures.rs` does.

use std::sync::Arc;

use serde::Deserialize;
use verifier::http_signature::MAX_KEY_ID;
use verifier::note::VerifierKey;
use verifier::request::Request;
use verifier::text::unb64;

use super::subjects::Selector;

/// An epoch has at most so many agent keys: they are looked through for each signed body.
pub const MAX_AGENTS: usize = 4_096;

/// One agent's key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Entry")]
pub struct AgentKey {
    /// The Ed25519 key under its id, which signatures name as `keyid`.
    pub key: VerifierKey,
    /// For whom it may speak.
    pub subjects: Vec<Selector>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    key: String,
    subjects: Vec<Selector>,
}

impl TryFrom<Entry> for AgentKey {
    type Error = String;

    fn try_from(Entry { id, key, subjects }: Entry) -> Result<Self, String> {
        if id.len() > MAX_KEY_ID || !id.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')) {
            return Err(format!("`{id}` is no key id: 1 to {MAX_KEY_ID} graphic ASCII characters without quotes"));
        }
        Ok(Self { key: ed25519(&id, &key)?, subjects })
    }
}

/// An Ed25519 public key: the base64 of its 32 bytes (RFC 8032 §5.1.5).
pub fn ed25519(name: &str, base64: &str) -> Result<VerifierKey, String> {
    let bytes = unb64(base64).ok().and_then(|bytes| bytes.try_into().ok());
    let bytes: [u8; 32] = bytes.ok_or_else(|| format!("the key of `{name}` is not the base64 of 32 bytes"))?;
    VerifierKey::new(name, &bytes).map_err(|error| format!("the key of `{name}`: {error}"))
}

/// Which requests must be signed: those for these actions, and those of these subjects.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Signatures {
    /// Names of actions.
    pub actions: Vec<String>,
    /// Subjects.
    pub subjects: Vec<Selector>,
}

/// Who signs, and who must.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Agents {
    /// In the order of the file.
    pub keys: Vec<Arc<AgentKey>>,
    /// Who must.
    pub required: Option<Signatures>,
}

impl Agents {
    /// The key of that id.
    pub fn get(&self, id: &str) -> Option<&Arc<AgentKey>> {
        self.keys.iter().find(|agent| agent.key.name() == id)
    }

    /// Whether a request must be signed.
    pub fn must_sign(&self, request: &Request) -> bool {
        self.required.as_ref().is_some_and(|required| {
            required.actions.iter().any(|action| *action == request.action.name)
                || required.subjects.iter().any(|selector| selector.holds(&request.subject))
        })
    }

    /// What is wrong with them.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.keys.len() > MAX_AGENTS {
            faults.push(format!("there are {} agent keys, more than {MAX_AGENTS}", self.keys.len()));
        }
        for (n, agent) in self.keys.iter().enumerate() {
            let name = agent.key.name();
            if self.keys.iter().take(n).any(|other| other.key.name() == name) {
                faults.push(format!("the agent key id `{name}` is taken"));
            }
            if self.keys.iter().take(n).any(|other| other.key.key_bytes() == agent.key.key_bytes()) {
                faults.push(format!("the key of agent `{name}` stands under another id too"));
            }
            if agent.subjects.is_empty() {
                faults.push(format!("agent key `{name}` may speak for nobody"));
            }
        }
        if self.required.as_ref().is_some_and(|required| required.actions.is_empty() && required.subjects.is_empty()) {
            faults.push("[signatures] names neither actions nor subjects".to_owned());
        }
        faults
    }

    /// What must be signed and cannot be.
    pub fn impossible(&self) -> Vec<String> {
        let Some(required) = &self.required else { return Vec::new() };
        let spoken_for = |wanted: &Selector| self.speakers().any(|selector| overlap(selector, wanted));
        let mute = required.subjects.iter().filter(|wanted| !spoken_for(wanted));
        let mut found: Vec<_> = mute
            .map(|wanted| format!("requests of `{}` must be signed, and no agent key speaks for it", wanted.kind()))
            .collect();
        if !required.actions.is_empty() && self.keys.is_empty() {
            found.push("actions must be signed, and there is no agent key".to_owned());
        }
        found
    }

    /// Keys that nothing asks for.
    pub fn idle(&self) -> Vec<String> {
        let asked_for = |agent: &AgentKey| match &self.required {
            None => false,
            Some(required) => {
                let wanted = |selector: &Selector| required.subjects.iter().any(|wanted| overlap(selector, wanted));
                !required.actions.is_empty() || agent.subjects.iter().any(wanted)
            }
        };
        let idle = self.keys.iter().filter(|agent| !asked_for(agent));
        idle.map(|agent| format!("nothing requires a signature of agent key `{}`", agent.key.name())).collect()
    }

    /// All whom a key speaks for.
    pub fn speakers(&self) -> impl Iterator<Item = &Selector> {
        self.keys.iter().flat_map(|agent| &agent.subjects)
    }
}

/// Whether there can be a subject that both are about.
pub fn overlap(a: &Selector, b: &Selector) -> bool {
    match (a, b) {
        (Selector::One(..), Selector::One(..)) => a == b,
        (_, _) => a.kind() == b.kind(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::findings::FindingCode;
    use super::super::Trust;

    const A: &str = "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=";
    const B: &str = "JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=";

    fn agent(id: &str, key: &str, subject: &str) -> String {
        format!("[[agents]]\nid = '{id}'\nkey = '{key}'\nsubjects = ['{subject}']\n")
    }

    fn codes(text: &str) -> Vec<FindingCode> {
        Trust::parse(text).err().into_iter().flatten().map(|finding| finding.code).collect()
    }

    #[test]
    fn agent_keys_that_are_ambiguous_or_weak_are_refused() {
        let signed = "[signatures]\nsubjects = ['Agent']\n";
        assert_eq!(codes(&(signed.to_owned() + &agent("a", A, "Agent"))), []);
        for agents in [
            agent("a", A, "Agent") + &agent("a", B, "Agent"),
            agent("a", A, "Agent") + &agent("b", A, "Agent"),
            agent("a", "AAAA", "Agent"),
            agent("a", "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "Agent"), // of small order
            agent("a b", A, "Agent"),
            agent("", A, "Agent"),
            agent("a", A, "Agent*"),
            agent("a", A, "Agent").replace("['Agent']", "[]"),
        ] {
            assert!(codes(&(signed.to_owned() + &agents)).contains(&FindingCode::TrustInvalid), "{agents}");
        }
        assert_eq!(codes("[signatures]\n"), [FindingCode::TrustInvalid]);
    }

    #[test]
    fn what_must_be_signed_and_cannot_be_is_refused_and_an_unused_key_is_told() {
        let impossible = [FindingCode::TrustImpossible];
        assert_eq!(codes("[signatures]\nsubjects = ['Agent']\n"), impossible);
        assert_eq!(codes("[signatures]\nactions = ['pay']\n"), impossible);
        let other = "[signatures]\nsubjects = ['Agent']\n".to_owned() + &agent("b", B, "Bot");
        assert_eq!(codes(&other), impossible);
        let idle = |text: &str| Trust::parse(text).unwrap().idle().len();
        assert_eq!(idle(&agent("a", A, "Agent")), 1);
        let both = agent("a", A, "Agent::\"x\"") + &agent("b", B, "Bot");
        assert_eq!(idle(&format!("[signatures]\nsubjects = ['Agent']\n{both}")), 1);
        assert_eq!(idle(&format!("[signatures]\nactions = ['pay']\n{both}")), 0);
    }
}
