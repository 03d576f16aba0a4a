//! Why a replay ends before the log does.

use verifier::hash::Hash;

use crate::engine::PublishError;
use crate::fold::FoldError;

/// Why a replay ended early. What was found before stands in no report: a log that cannot be followed is not replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError<E> {
    /// The source.
    #[error("the log cannot be read: {0}")]
    Source(E),
    /// Entries are missing.
    #[error("{got} entries were read from {first} on where {wanted} were asked for")]
    Short {
        /// The first that was asked for.
        first: u64,
        /// How many.
        wanted: u64,
        /// How many came.
        got: u64,
    },
    /// A record does not follow from those before it.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// An epoch's content does not validate.
    #[error("the epoch that entry {index} publishes does not validate: {source}")]
    Epoch {
        /// Its closing record.
        index: u64,
        /// Why.
        source: PublishError,
    },
    /// There is no `state` record to begin behind.
    #[error("entry {0} is no `state` record, so nothing vouches for what stands before it")]
    NoState(u64),
    /// The entries are not those that the head covers.
    #[error("the entries have the root {computed} at size {size}, the head says {stated}")]
    Root {
        /// The size.
        size: u64,
        /// What the entries hash to.
        computed: Hash,
        /// What the head says.
        stated: Hash,
    },
}
