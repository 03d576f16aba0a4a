//! Why: whoever holds a key may ask for as much as its key was made for, and no more: what is denied fills the disk too (threat 23).
//!
//! A key may have a number of records and of bytes a second; a piece of evidence counts as a record, since its signature is checked. Each is a rate with one second of burst (GCRA): what was taken beyond it has
//! to be waited for. Guarantees: a key in debt is refused before its body is read, before a signature is checked, and again before anything
//! is evaluated, so that bodies that came together count one by one. Does not: remember anything over a restart; limit keys without quotas.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::keys::Identity;

/// What is left unused is kept for so long.
const BURST: Duration = Duration::from_secs(1);

/// What a key may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Requests, pieces of evidence that they bring, and statements a second; without it as many as there is room for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records_per_second: Option<std::num::NonZeroU32>,
    /// Bytes of bodies a second; without it as many as there is room for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<std::num::NonZeroU32>,
}

impl Quota {
    fn is_none(self) -> bool {
        self == Quota::default()
    }
}

/// What keys with quotas have taken.
#[derive(Debug, Default)]
pub struct Quotas(Mutex<HashMap<Box<str>, Taken>>);

/// When what was taken is paid for.
#[derive(Clone, Copy, Debug)]
struct Taken {
    records: Instant,
    bytes: Instant,
}

impl Quotas {
    /// Whether a key may ask for anything now.
    ///
    /// # Errors
    /// How long it has to wait.
    pub fn open(&self, caller: &Identity) -> Result<(), Duration> {
        self.take(caller, 0, 0)
    }

    /// Takes so much, unless what was taken before is not paid for yet.
    ///
    /// # Errors
    /// How long the key has to wait; nothing was taken then.
    pub fn take(&self, caller: &Identity, records: usize, bytes: usize) -> Result<(), Duration> {
        let quota = caller.quota();
        if quota.is_none() {
            return Ok(());
        }
        let now = Instant::now();
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = keys.entry(caller.key_id().into()).or_insert(Taken { records: now, bytes: now });
        let owed = |until: Instant| until.saturating_duration_since(now).saturating_sub(BURST);
        let wait = owed(taken.records).max(owed(taken.bytes));
        if wait > Duration::ZERO {
            return Err(wait);
        }
        taken.records = after(taken.records.max(now), records, quota.records_per_second);
        taken.bytes = after(taken.bytes.max(now), bytes, quota.bytes_per_second);
        Ok(())
    }

    /// Takes what a body that was let in turned out to bring: its key pays for that before its next one.
    pub fn charge(&self, caller: &Identity, records: usize) {
        let quota = caller.quota();
        if records == 0 || quota.is_none() {
            return;
        }
        let now = Instant::now();
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = keys.entry(caller.key_id().into()).or_insert(Taken { records: now, bytes: now });
        taken.records = after(taken.records.max(now), records, quota.records_per_second);
    }
}

/// When `amount` more is paid for.
fn after(from: Instant, amount: usize, rate: Option<std::num::NonZeroU32>) -> Instant {
    let Some(rate) = rate else { return from };
    let nanoseconds = (amount as u128).saturating_mul(1_000_000_000) / u128::from(rate.get());
    from + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_paid_for_at_the_rate() {
        let now = Instant::now();
        let rate = std::num::NonZeroU32::new(4);
        assert_eq!(after(now, 6, rate) - now, Duration::from_millis(1_500));
        assert_eq!(after(now, 6, None), now);
    }
}
