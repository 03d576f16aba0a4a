//! Limits on what a subject does: how often, how much, how many at a time. Integers only, so that replay counts alike.
//!
//! A limit counts for each subject by itself, within the caller's realm. It applies to a request whose subject and action it names; one that
//! names no subjects or no actions applies to all of them. Counters are kept by kind and name, so a limit that is changed by a later epoch
//! under the same name goes on from where it was.

use std::sync::Arc;

use serde::Deserialize;
use verifier::decision::{Counter, MAX_COUNTED};
use verifier::json::View;
use verifier::request::Request;

use super::subjects::Selector;

/// The longest window: what was counted before it is forgotten, and the fold reads no older details for counters.
pub const MAX_WINDOW_MS: u64 = 31 * 24 * 3_600_000;
/// A budget's window moves in so many steps: what was spent is forgotten at the latest a step after the window, never before.
pub const WINDOW_STEPS: u64 = 60;
/// The longest name of a limit: it stands in the detail of each decision that moves it.
pub const MAX_LIMIT_NAME: usize = 64;
/// The largest number of calls or leases: beyond it a limit limits nothing.
pub const MAX_COUNT: u64 = 1_000_000_000;

/// To which requests a limit applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// Subjects; `None` for all.
    pub subjects: Option<Vec<Selector>>,
    /// Actions by name; `None` for all.
    pub actions: Option<Vec<String>>,
}

impl Reach {
    /// Whether a request is meant.
    pub fn holds(&self, request: &Request) -> bool {
        self.holds_action(&request.action.name)
            && self.subjects.as_ref().is_none_or(|all| all.iter().any(|selector| selector.holds(&request.subject)))
    }

    /// Whether requests for an action may be meant.
    pub fn holds_action(&self, name: &str) -> bool {
        self.actions.as_ref().is_none_or(|all| all.iter().any(|this| this == name))
    }
}

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// `count` in `per_ms`, evenly, and `burst` at once (GCRA).
    Rate {
        /// So many.
        count: u64,
        /// In so long, milliseconds.
        per_ms: u64,
        /// So many at once.
        burst: u64,
    },
    /// At most `cap` in any window.
    Budget {
        /// Where the amount stands.
        amount: Amount,
        /// The largest sum, and the largest amount.
        cap: u64,
        /// Milliseconds.
        window_ms: u64,
    },
    /// So many open leases.
    Concurrency {
        /// So many.
        max: u64,
    },
}

/// One limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Its name, distinct among all limits.
    pub name: String,
    /// What it applies to.
    pub reach: Reach,
    /// What it counts.
    pub rule: Rule,
}

impl Limit {
    /// The kind of counter that it moves.
    pub fn counter(&self) -> Counter {
        match self.rule {
            Rule::Rate { .. } => Counter::Rate,
            Rule::Budget { .. } => Counter::Budget,
            Rule::Concurrency { .. } => Counter::Concurrency,
        }
    }
}

/// Where the amount of a budget stands in a request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Amount {
    /// `context.NAME`
    Context(String),
    /// `subject.NAME`, a property; what is registered wins.
    Subject(String),
    /// `action.NAME`, a property.
    Action(String),
    /// `resource.NAME`, a property; what is registered wins.
    Resource(String),
}

impl Amount {
    /// The value in the request itself.
    pub fn in_request<'a>(&self, request: &'a Request) -> Option<View<'a>> {
        let (pairs, name) = match self {
            Self::Context(name) => (&request.context, name),
            Self::Subject(name) => (&request.subject.properties, name),
            Self::Action(name) => (&request.action.properties, name),
            Self::Resource(name) => (&request.resource.properties, name),
        };
        pairs.get(name)
    }
}

impl TryFrom<String> for Amount {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once('.') {
            Some(("context", name)) if !name.is_empty() => Ok(Self::Context(name.to_owned())),
            Some(("subject", name)) if !name.is_empty() => Ok(Self::Subject(name.to_owned())),
            Some(("action", name)) if !name.is_empty() => Ok(Self::Action(name.to_owned())),
            Some(("resource", name)) if !name.is_empty() => Ok(Self::Resource(name.to_owned())),
            _ => Err(format!("`{text}` is none of context.NAME, subject.NAME, action.NAME and resource.NAME")),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateEntry {
    name: String,
    subjects: Option<Vec<Selector>>,
    actions: Option<Vec<String>>,
    count: u64,
    per_ms: u64,
    burst: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BudgetEntry {
    name: String,
    subjects: Option<Vec<Selector>>,
    actions: Option<Vec<String>>,
    amount: Amount,
    cap: u64,
    window_ms: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConcurrencyEntry {
    name: String,
    subjects: Option<Vec<Selector>>,
    actions: Option<Vec<String>>,
    max: u64,
}

impl From<RateEntry> for Limit {
    fn from(entry: RateEntry) -> Self {
        let RateEntry { name, subjects, actions, count, per_ms, burst } = entry;
        let rule = Rule::Rate { count, per_ms, burst: burst.unwrap_or(count) };
        Self { name, reach: Reach { subjects, actions }, rule }
    }
}

impl From<BudgetEntry> for Limit {
    fn from(entry: BudgetEntry) -> Self {
        let BudgetEntry { name, subjects, actions, amount, cap, window_ms } = entry;
        Self { name, reach: Reach { subjects, actions }, rule: Rule::Budget { amount, cap, window_ms } }
    }
}

impl From<ConcurrencyEntry> for Limit {
    fn from(entry: ConcurrencyEntry) -> Self {
        let ConcurrencyEntry { name, subjects, actions, max } = entry;
        Self { name, reach: Reach { subjects, actions }, rule: Rule::Concurrency { max } }
    }
}

/// What is wrong with a list of limits.
pub(super) fn faults(limits: &[Arc<Limit>]) -> Vec<String> {
    let mut faults = Vec::new();
    if limits.len() > MAX_COUNTED {
        faults.push(format!("there are {} limits, more than {MAX_COUNTED}", limits.len()));
    }
    for (n, limit) in limits.iter().enumerate() {
        let Limit { name, reach, rule } = &**limit;
        let mut fault = |what: &str| faults.push(format!("limit `{name}`: {what}"));
        if name.is_empty() || name.len() > MAX_LIMIT_NAME || name.chars().any(char::is_control) {
            fault("a name has 1 to 64 bytes and no control characters");
        }
        if limits.iter().take(n).any(|other| other.name == *name) {
            fault("the name is taken");
        }
        if reach.subjects.as_ref().is_some_and(Vec::is_empty) || reach.actions.as_ref().is_some_and(Vec::is_empty) {
            fault("an empty list names nobody: it can never apply");
        }
        match rule {
            Rule::Rate { count, per_ms, burst } => {
                if !(1..=MAX_COUNT).contains(count) || !(1..=MAX_COUNT).contains(burst) {
                    fault("`count` and `burst` are 1 to 1,000,000,000");
                } else if !(1..=MAX_WINDOW_MS).contains(per_ms) {
                    fault("`per_ms` is 1 ms to 31 days");
                } else if u128::from(*burst) * u128::from(*per_ms) > u128::from(MAX_WINDOW_MS) * u128::from(*count) {
                    fault("a full burst would be remembered for more than 31 days");
                }
            }
            Rule::Budget { cap, window_ms, .. } => {
                if *cap == 0 || i64::try_from(*cap).is_err() {
                    fault("`cap` is 1 to 2^63 - 1");
                }
                if !(WINDOW_STEPS..=MAX_WINDOW_MS).contains(window_ms) {
                    fault("`window_ms` is 60 ms to 31 days");
                }
            }
            Rule::Concurrency { max } => {
                if !(1..=MAX_COUNT).contains(max) {
                    fault("`max` is 1 to 1,000,000,000");
                }
            }
        }
    }
    faults
}
