//! Random policies and random requests, with a schema and without: 100,000 decisions of each in an optimised build, a tenth in others.
//!
//! `INTERLOCK_COMPARISONS=10000000` asks for more, `INTERLOCK_SEED` for others. A difference is told with its policies and its request.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::super::super::decide::{Facts, Standing};
use super::super::super::evaluate::Evaluate;
use super::super::trial::Maker;
use super::policies::{ENTITIES, SCHEMA, policy};
use super::{Both, FACTS};
use crate::engine::Code;

/// Policies of one set, and requests that each set is asked.
const POLICIES: usize = 16;
const REQUESTS: usize = 100;
/// Decisions of each of the two tests, unless the environment says how many.
const COMPARISONS: usize = if cfg!(debug_assertions) { 10_000 } else { 100_000 };

/// What came out, so that a test that compares nothing but refusals cannot pass.
#[derive(Debug, Default)]
struct Tally {
    decisions: usize,
    asked: usize,
    satisfied: usize,
    erred: usize,
    codes: std::collections::BTreeSet<Code>,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn compare(schema: Option<&str>, seed: u64) -> Tally {
    let comparisons = number("INTERLOCK_COMPARISONS").map_or(COMPARISONS, |all| usize::try_from(all / 2).unwrap());
    let mut rng = StdRng::seed_from_u64(number("INTERLOCK_SEED").unwrap_or(7) ^ seed);
    let mut tally = Tally::default();
    while tally.decisions < comparisons {
        // Where a forbid holds, Cedar does not tell which permits do: so most sets have none.
        let permits = rng.random_range(0..4) != 0;
        let texts: Vec<(String, String)> =
            (0..POLICIES).map(|n| (format!("{n:02}"), policy(&mut rng, permits || n % 3 == 0))).collect();
        let both = Both::new(texts.iter().map(|(id, text)| (id.as_str(), text.as_str())), schema, ENTITIES);
        assert_eq!(both.left(), 0);
        let mut seed = [0_u8; 32];
        rng.fill(&mut seed);
        let mut maker = Maker::new(&both.shared.program, both.shared.types.as_ref(), seed);
        for _ in 0..REQUESTS {
            let (request, authzen) = (maker.request(), maker.one_in(16));
            let facts = Facts { authzen, ..FACTS };
            let (plain, compiled) = (both.plain.evaluate(&request, &facts), both.compiled.evaluate(&request, &facts));
            if plain != compiled {
                let ids: Vec<&String> =
                    [&plain, &compiled].into_iter().flat_map(|a| a.policies.iter().chain(&a.errors)).collect();
                let differ: Vec<_> =
                    texts.iter().filter(|(id, _)| ids.iter().filter(|this| **this == id).count() == 1).collect();
                panic!("plain {plain:?}\ncompiled {compiled:?}\n{differ:#?}\n{request:?}");
            }
            tally.decisions += 1;
            tally.satisfied += plain.policies.len();
            tally.erred += plain.errors.len();
            match plain.standing.code() {
                Some(code) if !matches!(code, Code::Forbidden | Code::NoMatchingPermit | Code::PolicyError) => {
                    tally.codes.insert(code);
                }
                Some(_) | None => tally.asked += 1,
            }
            assert!(matches!(plain.standing, Standing::Pass | Standing::Fail(_)));
        }
    }
    tally
}

#[test]
fn random_policies_answer_random_requests_as_cedar_does_under_a_schema() {
    let tally = compare(Some(SCHEMA), 1);
    assert!(
        tally.asked * 4 > tally.decisions && tally.satisfied > tally.asked && tally.erred > tally.asked,
        "{tally:?}"
    );
    let codes = [
        Code::UnknownAction,
        Code::UnknownType,
        Code::NotApplicable,
        Code::Undeclared,
        Code::Missing,
        Code::IllTyped,
        Code::NotRepresentable,
        Code::NumberRange,
        Code::ConflictingProperties,
    ];
    assert!(codes.iter().all(|code| tally.codes.contains(code)), "{tally:?}");
}

#[test]
fn random_policies_answer_random_requests_as_cedar_does_without_a_schema() {
    let tally = compare(None, 2);
    assert!(
        tally.asked * 2 > tally.decisions && tally.satisfied > tally.asked && tally.erred > tally.asked,
        "{tally:?}"
    );
    let codes = [Code::NotRepresentable, Code::NumberRange, Code::ConflictingProperties];
    assert!(codes.iter().all(|code| tally.codes.contains(code)), "{tally:?}");
}
