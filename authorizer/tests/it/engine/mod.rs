//! The engine's theorems, each a test by name.

mod conditions;
mod decisions;
mod deep;
mod equality;
mod publishing;

use authorizer::engine::{Code, Engine, Facts, Published, Standing, Verdict, split_policies};
use verifier::act::Target;
use verifier::decision::Condition;
use verifier::epoch::EpochContent;
use verifier::request::Request;

/// 2024-05-15T15:00:00Z
pub const NOW: u64 = 1_715_785_200_000;

pub const FACTS: Facts<'_> = Facts::unsigned("main", "0a0b0c0d0e0f", NOW);

/// An epoch's content from a file of policies.
pub fn content(policies: &str, schema: Option<&str>) -> EpochContent {
    let policies = split_policies(policies).unwrap();
    EpochContent { policies, schema: schema.map(str::to_owned), entities: None, trust: None }
}

/// One epoch under both engines. Whoever asks it holds them against each other.
pub struct Twin {
    plain: Engine,
    compiled: Engine,
}

impl Twin {
    pub fn of(published: &Published) -> Self {
        Self { plain: published.plain_replica().unwrap(), compiled: published.compiled_replica().unwrap() }
    }

    /// What both decide.
    pub fn decide(&self, request: &Request, facts: &Facts<'_>) -> Verdict {
        let verdict = self.plain.decide(request, facts);
        assert_eq!(verdict, self.compiled.decide(request, facts), "plain Cedar and the compiled engine");
        verdict
    }

    /// What both leave of a request.
    pub fn tolerate(&self, request: &Request) -> Request {
        let left = self.plain.tolerate(request);
        assert_eq!(left, self.compiled.tolerate(request));
        left
    }

    /// What both know of a switch's target.
    pub fn knows(&self, target: &Target) -> Option<bool> {
        let known = self.plain.knows(target);
        assert_eq!(known, self.compiled.knows(target));
        known
    }
}

pub fn engine(policies: &str, schema: Option<&str>) -> Twin {
    Twin::of(&Published::new(content(policies, schema)).unwrap())
}

pub fn request(json: &str) -> Request {
    Request::parse(json.as_bytes()).unwrap()
}

pub fn policy(verdict: &Verdict) -> Standing {
    verdict.standing(Condition::Policy)
}

/// What the policies say, in short: the code of the denial, or none.
pub fn denied(engine: &Twin, json: &str) -> Option<Code> {
    policy(&engine.decide(&request(json), &FACTS)).code()
}

/// A request of `User::"u"` for `Action::"read"` on `Doc::"d"` with these properties and this context.
pub fn read(subject: &str, action: &str, resource: &str, context: &str) -> String {
    format!(
        r#"{{"subject":{{"type":"User","id":"u","properties":{subject}}},"action":{{"name":"read","properties":{action}}},
        "resource":{{"type":"Doc","id":"d","properties":{resource}}},"context":{context}}}"#
    )
}
