//! Policies by what their scope demands, as one flat table: action, then principal, resource or type.
//!
//! The rule is that of plain Cedar's index (`engine/index.rs`): a policy whose scope is false is neither satisfied nor in error, so leaving it out
//! changes nothing. Each policy stands in one bucket for each action that it names. Guarantees that every policy whose scope can be true for a request
//! is in one of its buckets; what is found is evaluated whole, scope included.

use super::program::NONE;
use super::table::{Table, hash};
use super::value::offset;

/// What a bucket's policies demand beside their action; numbers of entities and types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Demand {
    Nothing,
    PrincipalType(u32),
    ResourceType(u32),
    Principal(u32),
    Resource(u32),
}

impl Demand {
    /// How few requests meet a demand.
    pub(super) fn narrow(self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::PrincipalType(_) | Self::ResourceType(_) => 1,
            Self::Principal(_) | Self::Resource(_) => 2,
        }
    }

    fn key(self) -> [u32; 2] {
        match self {
            Self::Nothing => [0, NONE],
            Self::PrincipalType(kind) => [1, kind],
            Self::ResourceType(kind) => [2, kind],
            Self::Principal(entity) => [3, entity],
            Self::Resource(entity) => [4, entity],
        }
    }
}

/// The action of policies that name none.
pub(super) const ANY_ACTION: u32 = NONE;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    action: u32,
    demand: Demand,
    start: u32,
    len: u32,
}

/// All buckets.
#[derive(Debug, Default)]
pub(super) struct Index {
    table: Table,
    buckets: Vec<Bucket>,
    policies: Vec<u32>,
}

impl Index {
    /// Files policies by action and demand; the numbers of a bucket ascend.
    pub(super) fn new(mut filed: Vec<(u32, Demand, u32)>) -> Self {
        filed.sort_unstable();
        filed.dedup();
        let mut index = Self::default();
        for (action, demand, policy) in filed {
            let start = offset(index.policies.len());
            index.policies.push(policy);
            match index.buckets.last_mut() {
                Some(last) if last.action == action && last.demand == demand => last.len += 1,
                _ => index.buckets.push(Bucket { action, demand, start, len: 1 }),
            }
        }
        let Self { table, buckets, .. } = &mut index;
        let hash_of =
            |number: u32| buckets.get(number as usize).map_or(0, |bucket| bucket_hash(bucket.action, bucket.demand));
        for number in 0..offset(buckets.len()) {
            table.insert(hash_of(number), number, hash_of);
        }
        index
    }

    /// The policies of one bucket.
    pub(super) fn bucket(&self, action: u32, demand: Demand) -> &[u32] {
        let right = |number: u32| {
            self.buckets.get(number as usize).is_some_and(|bucket| bucket.action == action && bucket.demand == demand)
        };
        let found = self.table.find(bucket_hash(action, demand), right);
        let bucket = found.and_then(|number| self.buckets.get(number as usize));
        let range = bucket.map(|bucket| bucket.start as usize..bucket.start.saturating_add(bucket.len) as usize);
        range.and_then(|range| self.policies.get(range)).unwrap_or_default()
    }
}

fn bucket_hash(action: u32, demand: Demand) -> u64 {
    let [kind, of] = demand.key();
    hash([action.wrapping_mul(8).wrapping_add(kind), of], "")
}
