//! What an enforcement point remembers: which uses of which permits were taken.

use thiserror::Error;

use crate::decision::PermitId;

/// How an attempt to use a permit came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// This use was free and is now taken, durably.
    Taken,
    /// This use was taken before.
    AlreadyTaken,
}

/// A store could not say; the permit is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("use store failed: {0}")]
pub struct UseStoreError(pub String);

/// Remembers which uses of which permits were taken.
///
/// `claim` is durable before it returns [`Claim::Taken`], also against power loss, and gives it at most once for a pair of permit and use,
/// across all who share the store. What has expired may be forgotten.
pub trait UseStore {
    /// Takes use number `nth` (from 0) of a permit that is void at `expires_at`, Unix milliseconds.
    fn claim(&mut self, permit: PermitId, nth: u32, expires_at: u64) -> Result<Claim, UseStoreError>;
}
