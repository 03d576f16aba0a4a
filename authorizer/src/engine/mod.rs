//! What is allowed: an epoch's content, checked and published, and the engine that decides requests under it. Pure.

mod approvals;
mod catalogue;
mod codes;
mod compiled;
mod convert;
mod cost;
mod decide;
mod demands;
mod depth;
mod evaluate;
mod evidence;
mod extension;
mod findings;
mod index;
mod publish;
mod registered;
mod signatures;
mod trust;
mod types;
mod unseen;

pub use approvals::Retry;
pub use catalogue::Catalogue;
pub use codes::Code;
pub use cost::{MAX_EXPANDED, MAX_NAMES, MAX_VALIDATION};
pub use decide::{Engine, Facts, Standing, Verdict};
pub use demands::{Demands, Wanted};
pub use depth::{MAX_ANCESTRY, MAX_NESTING, MAX_OPERATORS, MAX_SCHEMA_LINKS};
pub use evaluate::{Answer, Evaluate};
pub use evidence::{Held, MAX_CHECKS, MAX_REMEMBERED};
pub use findings::{Finding, FindingCode, Part, Position, PublishError};
pub(crate) use publish::trust;
pub use publish::{MAX_POLICY_ID, Published, split_policies};
pub use registered::MAX_REQUEST_ENTITIES;
pub use signatures::{Checked, LONGEST_ATTESTED_MS, LONGEST_SIGNED_MS, MAX_SIGNED_S, MAX_SKEW_MS, Nonce};
pub use trust::approvals::{ApprovalRule, Approver};
pub use trust::limits::{Amount, Limit, MAX_WINDOW_MS, Reach, Rule, WINDOW_STEPS};
pub use trust::scope::Scope;
pub use trust::subjects::Selector;
pub use trust::{
    ALWAYS, DEFAULT_MAX_TTL_MS, DEFAULT_TTL_MS, EngineKind, LONGEST_MAX_TTL_MS, Limits, MOST_MAX_CHILDREN,
    MOST_MAX_DEPTH, REQUIRABLE, RealmMode, Trust,
};
