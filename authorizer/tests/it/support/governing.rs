//! What a site's administrator signs: epochs, switches, revocations.

use serde_json::{Value, json};
use verifier::act::{Act, Deed, Mode, Power, Revoked, Target};
use verifier::epoch::EpochContent;

use super::{Answer, ORIGIN, POLICIES, Site};

impl Site {
    pub fn epoch_body(&self, policies: &[(&str, &str)], follows: u64, number: u64) -> Value {
        let policies = policies.iter().map(|(i, t)| ((*i).into(), (*t).into())).collect();
        self.content_body(EpochContent { policies, ..EpochContent::default() }, follows, number)
    }

    pub fn content_body(&self, content: EpochContent, follows: u64, number: u64) -> Value {
        self.body_of(Mode::Live, content, follows, number)
    }

    fn body_of(&self, mode: Mode, mut content: EpochContent, follows: u64, number: u64) -> Value {
        content.policies.sort();
        if let Some(kind) = std::env::var_os("INTERLOCK_TEST_ENGINE") {
            // The whole suite under another engine, where a test does not say which.
            let trust = content.trust.get_or_insert_default();
            if !trust.contains("[engine]") {
                trust.push_str(&format!("\n[engine]\nkind = {kind:?}\n"));
            }
        }
        let deed = Deed::Epoch { number, content: content.digest(), mode };
        let note = self.sign(&Act { origin: ORIGIN.into(), follows, deed });
        let policies: Vec<_> = content.policies.iter().map(|(id, text)| json!({ "id": id, "text": text })).collect();
        let mut body = json!({ "policies": policies, "note": note });
        for (name, text) in [("schema", content.schema), ("entities", content.entities), ("trust", content.trust)] {
            if let Some(text) = text {
                body[name] = text.into();
            }
        }
        body
    }

    pub fn publish(&self, policies: &[(&str, &str)], follows: u64, number: u64) -> Answer {
        let body = self.epoch_body(policies, follows, number);
        self.admin("POST", "/v1/epochs", "application/json", body.to_string().as_bytes())
    }

    /// An epoch of [`POLICIES`] with the agents `alice`, `bob` and `carol` registered, and this trust configuration.
    pub fn publish_trust(&self, trust: &str, follows: u64, number: u64) -> Answer {
        let agents = ["alice", "bob", "carol"];
        let agents = agents.map(|id| json!({ "uid": { "type": "Agent", "id": id }, "attrs": {}, "parents": [] }));
        let content = EpochContent {
            policies: POLICIES.iter().map(|(id, text)| ((*id).into(), (*text).into())).collect(),
            entities: Some(json!(agents).to_string()),
            trust: Some(trust.into()),
            ..EpochContent::default()
        };
        self.publish_content(content, follows, number)
    }

    /// An epoch that is tried in the live one's shadow.
    pub fn publish_shadow(&self, content: EpochContent, follows: u64, number: u64) -> Answer {
        let body = self.body_of(Mode::Shadow, content, follows, number);
        self.admin("POST", "/v1/epochs", "application/json", body.to_string().as_bytes())
    }

    /// An epoch of whatever content.
    pub fn publish_content(&self, content: EpochContent, follows: u64, number: u64) -> Answer {
        let body = self.content_body(content, follows, number);
        self.admin("POST", "/v1/epochs", "application/json", body.to_string().as_bytes())
    }

    /// Takes a permit back.
    pub fn revoke(&self, follows: u64, permit: &Value) -> Answer {
        self.revoke_what(follows, &format!("permit {}", permit.as_str().unwrap()))
    }

    /// Takes something back.
    pub fn revoke_what(&self, follows: u64, what: &str) -> Answer {
        let deed = Deed::Revocation { what: Revoked::parse(what).unwrap(), reason: "drill".into() };
        let note = self.sign(&Act { origin: ORIGIN.into(), follows, deed });
        self.admin("POST", "/v1/revocations", "text/plain", note.as_bytes())
    }

    pub fn switch(&self, follows: u64, target: &str, power: Power) -> Answer {
        let deed = Deed::Switch { target: Target::parse(target).unwrap(), power, reason: "drill".into() };
        let note = self.sign(&Act { origin: ORIGIN.into(), follows, deed });
        self.admin("POST", "/v1/switches", "text/plain", note.as_bytes())
    }

    pub fn sign_text(&self, text: &str) -> String {
        self.admin.sign_note(text)
    }

    pub fn sign(&self, act: &Act) -> String {
        self.admin.sign_note(&act.text())
    }
}
