//! Policy evaluation: what the engine costs beside `cedar-policy` itself on the same policies, as policies grow in number.
//!
//! One policy an agent, each of them bound to its agent by scope, and five prohibitions that apply to everybody: whatever the number of
//! policies, a request has six candidates. The limit is plain `is_authorized` over these six, on requests and entities that are already
//! built; the engine begins at the parsed request, and finds the candidates, converts the request and checks it against the schema within
//! the measured time, by plain Cedar and by what policies compile to. Beside them stands plain `is_authorized` over all policies: what a decision would cost without an index.

use std::hint::black_box;
use std::time::{Duration, Instant};

use authorizer::engine::{Engine, Facts, PublishError, Published};
use cedar_policy::{
    Authorizer, Context, Entities, Entity, EntityId, EntityUid, Policy, PolicyId, PolicySet, RestrictedExpression,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use verifier::epoch::EpochContent;
use verifier::request::Request;

/// The seed of the requests.
pub const SEED: u64 = 0x494c_4b50;
/// How many different requests are asked in turn.
const REQUESTS: usize = 256;

const SCHEMA: &str = r#"
entity Agent = { "team": String, "level": Long };
entity Account = { "owner": String, "limit": Long, "frozen": Bool };
action "transfer" appliesTo {
  principal: Agent, resource: Account,
  context: { "amount": Long, "now": datetime, "mfa": Bool, "country": String },
};
"#;

const PROHIBITIONS: [(&str, &str); 5] = [
    ("amount-above-limit", "context.amount > resource.limit"),
    ("country-not-served", r#"["kp", "ir", "sy"].contains(context.country)"#),
    ("frozen-account", "resource.frozen"),
    ("large-without-mfa", "context.amount > 1000 && !context.mfa"),
    ("outside-the-year", r#"context.now < datetime("2026-01-01") || context.now >= datetime("2027-01-01")"#),
];

/// Policies, and requests that they allow and deny.
pub struct Workload {
    engine: Engine,
    compiled: Engine,
    requests: Vec<Request>,
    authorizer: Authorizer,
    plain: PolicySet,
    prepared: Vec<Prepared>,
}

/// A request in Cedar's terms, its entities, and the policies that could apply to it.
type Prepared = (cedar_policy::Request, Entities, PolicySet);

/// What was measured: nanoseconds a decision, the best of several rounds.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// How many policies stood in the epoch.
    pub policies: usize,
    /// The engine, from the parsed request to nine verdicts.
    pub engine_ns: f64,
    /// The compiled engine, the same way.
    pub compiled_ns: f64,
    /// Plain `is_authorized` over the request's candidates, on what was built before.
    pub candidates_ns: f64,
    /// Plain `is_authorized` over all policies, on what was built before.
    pub plain_ns: f64,
}

impl Measured {
    /// The engine's rate as a share of the limit.
    pub fn ratio(&self) -> f64 {
        self.candidates_ns / self.engine_ns
    }
}

/// An epoch of so many policies, at least the five prohibitions.
pub fn content(policies: usize) -> EpochContent {
    let forbid = |(id, when): &(&str, &str)| {
        (
            (*id).to_owned(),
            format!("@id(\"{id}\")\nforbid (principal, action == Action::\"transfer\", resource) when {{ {when} }};"),
        )
    };
    let permit = |agent: usize| {
        let id = agent_policy(agent);
        let text = format!(
            "@id(\"{id}\")\npermit (principal == Agent::\"{agent}\", action == Action::\"transfer\", resource) \
             when {{ principal.level >= 2 && principal.team == resource.owner && context.amount > 0 }};"
        );
        (id, text)
    };
    let mut policies: Vec<_> =
        PROHIBITIONS.iter().map(forbid).chain((0..policies.saturating_sub(PROHIBITIONS.len())).map(permit)).collect();
    policies.sort();
    EpochContent { policies, schema: Some(SCHEMA.to_owned()), entities: None, trust: None }
}

/// The policy that permits an agent.
fn agent_policy(agent: usize) -> String {
    format!("agent-{agent:06}")
}

/// One request's values.
struct Ask {
    agent: usize,
    level: i64,
    amount: i64,
    mfa: bool,
    frozen: bool,
    country: &'static str,
}

impl Ask {
    fn random(rng: &mut StdRng, agents: usize) -> Self {
        Self {
            agent: rng.random_range(0..agents.max(1)),
            level: rng.random_range(1..5),
            amount: rng.random_range(1..3_000),
            mfa: rng.random_bool(0.7),
            frozen: rng.random_bool(0.05),
            country: if rng.random_bool(0.95) { "no" } else { "kp" },
        }
    }

    fn json(&self) -> String {
        let Self { agent, level, amount, mfa, frozen, country } = self;
        format!(
            r#"{{"subject":{{"type":"Agent","id":"{agent}","properties":{{"team":"ops","level":{level}}}}},"action":{{"name":"transfer"}},
            "resource":{{"type":"Account","id":"a{agent}","properties":{{"owner":"ops","limit":2500,"frozen":{frozen}}}}},
            "context":{{"amount":{amount},"now":"2026-05-05T12:00:00Z","mfa":{mfa},"country":"{country}"}}}}"#
        )
    }

    fn prepared(&self) -> Option<(cedar_policy::Request, Entities)> {
        let uid =
            |kind: &str, id: String| Some(EntityUid::from_type_name_and_id(kind.parse().ok()?, EntityId::new(id)));
        let (principal, resource) =
            (uid("Agent", self.agent.to_string())?, uid("Account", format!("a{}", self.agent))?);
        let text = |text: &str| Value::new_string(text.to_owned());
        let subject = named(vec![("team", text("ops")), ("level", Value::new_long(self.level))]).collect();
        let account =
            vec![("owner", text("ops")), ("limit", Value::new_long(2_500)), ("frozen", Value::new_bool(self.frozen))];
        let context = vec![
            ("amount", Value::new_long(self.amount)),
            ("now", Value::new_datetime("2026-05-05T12:00:00Z")),
            ("mfa", Value::new_bool(self.mfa)),
            ("country", text(self.country)),
        ];
        let none = std::collections::HashSet::new;
        let entities = [
            Entity::new(principal.clone(), subject, none()).ok()?,
            Entity::new(resource.clone(), named(account).collect(), none()).ok()?,
        ];
        let context = Context::from_pairs(named(context)).ok()?;
        let request =
            cedar_policy::Request::new(principal, uid("Action", "transfer".to_owned())?, resource, context, None)
                .ok()?;
        Some((request, Entities::from_entities(entities, None).ok()?))
    }
}

type Value = RestrictedExpression;

fn named(pairs: Vec<(&str, Value)>) -> impl Iterator<Item = (String, Value)> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value))
}

impl Workload {
    /// The workload of so many policies.
    ///
    /// # Errors
    /// None in practice: the policies are made here.
    pub fn new(policies: usize) -> Result<Self, PublishError> {
        let content = content(policies);
        let parsed = content.policies.iter().filter_map(|(id, text)| Policy::parse(Some(PolicyId::new(id)), text).ok());
        let plain = PolicySet::from_policies(parsed).unwrap_or_default();
        let mut rng = StdRng::seed_from_u64(SEED);
        let asks: Vec<_> =
            (0..REQUESTS).map(|_| Ask::random(&mut rng, policies.saturating_sub(PROHIBITIONS.len()))).collect();
        let requests = asks.iter().filter_map(|ask| Request::parse(ask.json().as_bytes()).ok()).collect();
        let candidates = |ask: &Ask| {
            let ids = PROHIBITIONS.iter().map(|(id, _)| (*id).to_owned()).chain([agent_policy(ask.agent)]);
            let set = PolicySet::from_policies(ids.filter_map(|id| plain.policy(&PolicyId::new(id)).cloned())).ok()?;
            let (request, entities) = ask.prepared()?;
            Some((request, entities, set))
        };
        let prepared = asks.iter().filter_map(candidates).collect();
        let published = Published::new(content)?;
        let (engine, compiled) = (published.plain_replica()?, published.compiled_replica()?);
        Ok(Self { engine, compiled, requests, authorizer: Authorizer::new(), plain, prepared })
    }

    /// Asks the engine one of the requests, in turn; whether it stood.
    pub fn decide(&self, turn: usize) -> bool {
        stands(&self.engine, &self.requests, turn)
    }

    /// Asks the compiled engine the same.
    pub fn compiled(&self, turn: usize) -> bool {
        stands(&self.compiled, &self.requests, turn)
    }

    /// Asks plain Cedar the same, over all policies; whether it allowed it.
    pub fn plainly(&self, turn: usize) -> bool {
        self.asked(turn, |_| &self.plain)
    }

    /// Asks plain Cedar the same, over the candidates; whether it allowed it.
    pub fn candidates(&self, turn: usize) -> bool {
        self.asked(turn, |(.., candidates)| candidates)
    }

    fn asked<'a>(&'a self, turn: usize, policies: impl Fn(&'a Prepared) -> &'a PolicySet) -> bool {
        self.prepared.get(turn % REQUESTS).is_some_and(|prepared| {
            let (request, entities, _) = prepared;
            let response = self.authorizer.is_authorized(black_box(request), policies(prepared), entities);
            response.decision() == cedar_policy::Decision::Allow
        })
    }

    /// Measures all four in turns, for about this long each.
    pub fn measure(&self, time: Duration) -> Measured {
        const ROUNDS: u32 = 5;
        let (mut engine_ns, mut candidates_ns, mut plain_ns) = (f64::INFINITY, f64::INFINITY, f64::INFINITY);
        let mut compiled_ns = f64::INFINITY;
        for _ in 0..ROUNDS {
            engine_ns = engine_ns.min(nanoseconds(|turn| self.decide(turn), time / ROUNDS));
            compiled_ns = compiled_ns.min(nanoseconds(|turn| self.compiled(turn), time / ROUNDS));
            candidates_ns = candidates_ns.min(nanoseconds(|turn| self.candidates(turn), time / ROUNDS));
            plain_ns = plain_ns.min(nanoseconds(|turn| self.plainly(turn), time / ROUNDS));
        }
        Measured { policies: self.plain.num_of_policies(), engine_ns, compiled_ns, candidates_ns, plain_ns }
    }
}

/// Requests a second that plain Cedar decides on all cores, each with an engine of its own, from the parsed request to nine verdicts.
pub fn plainly_on_all_cores(content: EpochContent, requests: &[Request], time: Duration) -> Result<f64, PublishError> {
    let published = Published::new(content)?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let engines = (0..cores).map(|_| published.plain_replica()).collect::<Result<Vec<_>, _>>()?;
    let rate = |engine: Engine| 1e9 / nanoseconds(|turn| stands(&engine, requests, turn), time);
    Ok(std::thread::scope(|scope| {
        let working: Vec<_> = engines.into_iter().map(|engine| scope.spawn(move || rate(engine))).collect();
        working.into_iter().map(|core| core.join().unwrap_or(0.0)).sum()
    }))
}

/// Decisions a second by one worker, and by two side by side, each with its own copy of the engine: medians of several rounds.
///
/// # Errors
/// None in practice: the policies are made here.
pub fn workers(time: Duration) -> Result<(f64, f64), PublishError> {
    const ROUNDS: usize = 5;
    let mut copies = [Workload::new(100)?, Workload::new(100)?];
    let rate = |workload: &Workload, time| 1e9 / nanoseconds(|turn| workload.decide(turn), time);
    let (mut one, mut two) = (Vec::new(), Vec::new());
    let time = time / u32::try_from(ROUNDS).unwrap_or(1);
    for _ in 0..ROUNDS {
        let [first, second] = &mut copies;
        one.push(rate(first, time));
        two.push(std::thread::scope(|scope| {
            // Moved there: an engine is one thread's at a time.
            let other = scope.spawn(move || rate(second, time));
            rate(first, time) + other.join().unwrap_or(0.0)
        }));
    }
    let median = |mut rates: Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates.get(ROUNDS / 2).copied().unwrap_or(0.0)
    };
    Ok((median(one), median(two)))
}

fn stands(engine: &Engine, requests: &[Request], turn: usize) -> bool {
    let facts = Facts::unsigned("main", "0a0b0c0d0e0f", 1_778_000_000_000);
    let request = turn.checked_rem(requests.len()).and_then(|at| requests.get(at));
    request.is_some_and(|request| engine.decide(black_box(request), &facts).stands())
}

/// Nanoseconds a decision of plain Cedar, and of the compiled engine, about requests in turn, from the parsed request to nine verdicts.
///
/// # Errors
/// The content cannot be published.
pub fn measure(content: EpochContent, requests: &[Request], time: Duration) -> Result<(f64, f64), PublishError> {
    const ROUNDS: u32 = 5;
    let published = Published::new(content)?;
    let (plain, compiled) = (published.plain_replica()?, published.compiled_replica()?);
    let (mut plain_ns, mut compiled_ns) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        plain_ns = plain_ns.min(nanoseconds(|turn| stands(&plain, requests, turn), time / ROUNDS));
        compiled_ns = compiled_ns.min(nanoseconds(|turn| stands(&compiled, requests, turn), time / ROUNDS));
    }
    Ok((plain_ns, compiled_ns))
}

/// Nanoseconds a request, over as many as the time allows, eight at least.
fn nanoseconds(ask: impl Fn(usize) -> bool, time: Duration) -> f64 {
    let start = Instant::now();
    let mut turn = 0;
    loop {
        for _ in 0..8 {
            black_box(ask(turn));
            turn += 1;
        }
        let taken = start.elapsed();
        if taken >= time {
            return taken.as_secs_f64() * 1e9 / turn as f64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_and_plain_cedar_allow_the_same_requests_and_not_all_of_them() {
        let workload = Workload::new(100).unwrap();
        assert_eq!((workload.requests.len(), workload.prepared.len()), (REQUESTS, REQUESTS));
        let allowed = (0..REQUESTS).filter(|turn| workload.decide(*turn)).count();
        assert!((0..REQUESTS).all(|turn| workload.decide(turn) == workload.plainly(turn)));
        assert!((0..REQUESTS).all(|turn| workload.compiled(turn) == workload.plainly(turn)));
        assert!((0..REQUESTS).all(|turn| workload.candidates(turn) == workload.plainly(turn)));
        assert!((REQUESTS / 10..REQUESTS * 9 / 10).contains(&allowed), "{allowed}");
    }
}
