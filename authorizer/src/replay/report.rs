//! What came out of a replay: what is the same, what had to be taken as given, what could not be computed, what differs.

use std::collections::BTreeMap;

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries that were read.
    pub entries: u64,
    /// Decisions among them.
    pub decisions: u64,
    /// Decisions whose record and detail came out byte for byte.
    pub same: u64,
    /// Renewals, halts and reports of executions.
    pub executions: u64,
    /// Of these, those that came out byte for byte, with their signatures.
    pub executions_same: u64,
    /// `state` records.
    pub states: u64,
    /// Of these, those whose digest is that of the state that was folded.
    pub states_same: u64,
    /// Of all that came out, by input fact that had to be taken as given: `api_key`, `body_digest`, `clock`, `engine_mismatch`,
    /// `governance_race`, `key_revoked`.
    pub given: BTreeMap<&'static str, u64>,
    /// Decisions without their private parts, by outcome, and executions and states that rest on such: erased, withheld or lost.
    pub not_recomputable: BTreeMap<&'static str, u64>,
    /// Of these, decisions with erased parts, by the key that asked (`""` where the detail is erased too) and outcome.
    pub erased: BTreeMap<(String, &'static str), u64>,
    /// How many differences there are.
    pub difference_count: u64,
    /// The first [`MAX_DIFFERENCES`] of them.
    pub differences: Vec<Difference>,
}

/// Something that does not follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The entry.
    pub index: u64,
    /// What differs, and how.
    pub what: String,
}
