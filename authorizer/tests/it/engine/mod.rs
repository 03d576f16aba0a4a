//! The engine's theorems, each a test by name.

mod conditions;
mod decisions;
mod deep;
mod equality;
mod publishing;

use authorizer::engine::{Code, Engine, Facts, Published, Standing, Verdict, split_policies};
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

pub fn engine(policies: &str, schema: Option<&str>) -> Engine {
    Published::new(content(policies, schema)).unwrap().replica().unwrap()
}

pub fn request(json: &str) -> Request {
    Request::parse(json.as_bytes()).unwrap()
}

pub fn policy(verdict: &Verdict) -> Standing {
    verdict.standing(Condition::Policy)
}

/// What the policies say, in short: the code of the denial, or none.
pub fn denied(engine: &Engine, json: &str) -> Option<Code> {
    policy(&engine.decide(&request(json), &FACTS)).code()
}

/// A request of `User::"u"` for `Action::"read"` on `Doc::"d"` with these properties and this context.
pub fn read(subject: &str, action: &str, resource: &str, context: &str) -> String {
    format!(
        r#"{{"subject":{{"type":"User","id":"u","properties":{subject}}},"action":{{"name":"read","properties":{action}}},
        "resource":{{"type":"Doc","id":"d","properties":{resource}}},"context":{context}}}"#
    )
}
