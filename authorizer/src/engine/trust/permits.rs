//! What a permit may be at most: how long it holds, how often it is used, what may descend from it.

use serde::Deserialize;

/// The lifetime of a permit whose request names none (DESIGN §7.1), in milliseconds.
pub const DEFAULT_TTL_MS: u64 = 60_000;
/// The longest lifetime without a trust file: an hour, since nothing but expiry ends a permit whose executor never reports.
pub const DEFAULT_MAX_TTL_MS: u64 = 3_600_000;
/// The longest lifetime that an epoch may set: a year, beyond which a permit is a policy.
pub const LONGEST_MAX_TTL_MS: u64 = 366 * 24 * 3_600_000;
/// The longest lease without a trust file: a minute, since a halt reaches an execution only at its next renewal.
pub const DEFAULT_MAX_LEASE_MS: u64 = 60_000;
/// The most ancestors of a permit without a trust file: agents that start agents that start agents, and a little more.
pub const DEFAULT_MAX_DEPTH: u32 = 8;
/// The most ancestors that an epoch may allow: each is looked at for each decision below it.
pub const MOST_MAX_DEPTH: u32 = 32;
/// The most open children of a permit without a trust file: a planner with its workers, not a swarm.
pub const DEFAULT_MAX_CHILDREN: u32 = 64;
/// The most open children that an epoch may allow: all of them are kept in memory.
pub const MOST_MAX_CHILDREN: u32 = 65_536;

/// What a permit may be at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Longest lifetime, milliseconds.
    pub max_ttl_ms: u64,
    /// Most uses.
    pub max_uses: u32,
    /// Longest lease, milliseconds.
    pub max_lease_ms: u64,
    /// Most ancestors.
    pub max_depth: u32,
    /// Most open children.
    pub max_children: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_ttl_ms: DEFAULT_MAX_TTL_MS,
            max_uses: 1,
            max_lease_ms: DEFAULT_MAX_LEASE_MS,
            max_depth: DEFAULT_MAX_DEPTH,
            max_children: DEFAULT_MAX_CHILDREN,
        }
    }
}
