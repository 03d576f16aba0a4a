//! A verified head against one that the reader kept: the rung above the signature, as far as the evidence itself goes.
//!
//! Guarantees: [`Compared::Consistent`] means that the reader's tree is the beginning of the head's, unless SHA-256 has a collision; a
//! [`KeptRefusal::Fork`] means that one key signed two trees that cannot both be this log, and the two notes prove it to anybody.
//!
//! Does not ask anybody: where the evidence has no proof between the two sizes, it says so.

use thiserror::Error;

use super::{LogKey, Refusal, signed_by_any};
use crate::checkpoint::Checkpoint;
use crate::hash::Hash;

/// How a head stands to the one that was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// The kept tree is the beginning of this one.
    Consistent,
    /// The evidence does not say.
    NotCarried {
        /// Size of the kept head.
        kept: u64,
        /// Size of the evidence's.
        head: u64,
    },
}

/// Why evidence does not stand with a kept head. Exhaustive on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeptRefusal {
    /// No trusted key signed the kept head, or it is none.
    #[error("the head that you kept: {0}")]
    Kept(Refusal),
    /// The kept head is of another log.
    #[error("the head is of `{head}`, the one that you kept of `{kept}`")]
    OtherLog {
        /// Origin of the evidence's head.
        head: String,
        /// Origin of the kept one.
        kept: String,
    },
    /// One key signed two histories.
    #[error("fork: the key signed another tree of size {size} than the one that you kept")]
    Fork {
        /// The size at which they differ.
        size: u64,
    },
}

impl KeptRefusal {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Kept(_) => "bad_kept_head",
            Self::OtherLog { .. } => "other_log",
            Self::Fork { .. } => "fork",
        }
    }

    /// The exit code of verifying commands: as for [`Refusal`], and 7 for a fork.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Kept(refusal) => refusal.exit_code(),
            Self::OtherLog { .. } => 3,
            Self::Fork { .. } => 7,
        }
    }
}

/// Holds a head that was verified against the signed note that the reader kept. `prefix` is another size at which the evidence gives the
/// tree's root, proved below the head: of a receipt the one at which its leaf was the last.
///
/// # Errors
/// [`KeptRefusal`].
pub fn compare(
    head: &Checkpoint,
    prefix: Option<(u64, Hash)>,
    kept: &str,
    keys: &[LogKey],
) -> Result<Compared, KeptRefusal> {
    let (kept, _) = signed_by_any(kept, keys).map_err(KeptRefusal::Kept)?;
    let kept = kept.checkpoint();
    if kept.origin != head.origin {
        return Err(KeptRefusal::OtherLog { head: head.origin.clone(), kept: kept.origin.clone() });
    }
    let root = if kept.size == head.size {
        Some(head.root)
    } else {
        prefix.and_then(|(size, root)| (size == kept.size).then_some(root))
    };
    match root {
        Some(root) if root == kept.root => Ok(Compared::Consistent),
        Some(_) => Err(KeptRefusal::Fork { size: kept.size }),
        None => Ok(Compared::NotCarried { kept: kept.size, head: head.size }),
    }
}
