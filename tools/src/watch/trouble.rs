//! What may be wrong with a log that is watched: one closed list, each with a code that stays and an exit code (DESIGN §7.3).

use thiserror::Error;

use crate::exit::Exit;
use crate::remote::Refused;

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Trouble {
    /// The log does not answer.
    #[error("{0}")]
    Unavailable(String),
    /// What it shows as its head is none, or not signed by its key.
    #[error("{0}")]
    BadHead(String),
    /// What it serves as entries or tiles is none.
    #[error("{0}")]
    BadEntries(String),
    /// What it serves does not lead to the head that it signed.
    #[error("{0}")]
    NotDerived(String),
    /// A leaf under a signed head is no record.
    #[error("entry {index} is no record: {why}")]
    NotARecord {
        /// Its index.
        index: u64,
        /// Why.
        why: String,
    },
    /// A record that nothing may follow, and something does.
    #[error("the log was frozen by entry {0} and goes on behind it")]
    BehindFreeze(u64),
    /// A smaller head than it signed before, and nothing that joins the two.
    #[error("the log signed {kept} entries before, now it shows {shown} and no proof that these are their beginning")]
    Shrunk {
        /// Size that was followed.
        kept: u64,
        /// Size that is shown.
        shown: u64,
    },
    /// A smaller head than it signed before, which belongs to it.
    #[error("the log shows an older head, of {shown} entries: it signed {kept} before")]
    OlderHead {
        /// Size that was followed.
        kept: u64,
        /// Size that is shown.
        shown: u64,
    },
    /// Nothing new for too long.
    #[error("the newest entry is {age} s old, more than {limit} s")]
    Stale {
        /// Age of the newest record.
        age: u64,
        /// What the reader bears.
        limit: u64,
    },
    /// One key signed two histories.
    #[error("{words}; the evidence is in {file}")]
    Fork {
        /// Which.
        words: String,
        /// Where the evidence is.
        file: String,
    },
}

impl Trouble {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::BadHead(_) => "bad_head",
            Self::BadEntries(_) => "bad_entries",
            Self::NotDerived(_) => "not_derived",
            Self::NotARecord { .. } => "not_a_record",
            Self::BehindFreeze(_) => "behind_freeze",
            Self::Shrunk { .. } => "shrunk",
            Self::OlderHead { .. } => "older_head",
            Self::Stale { .. } => "stale",
            Self::Fork { .. } => "fork",
        }
    }

    /// The exit code.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Unavailable(_) => Exit::Unavailable,
            Self::BadHead(_)
            | Self::BadEntries(_)
            | Self::NotDerived(_)
            | Self::NotARecord { .. }
            | Self::BehindFreeze(_)
            | Self::Shrunk { .. } => Exit::Invalid,
            Self::OlderHead { .. } | Self::Stale { .. } => Exit::Stale,
            Self::Fork { .. } => Exit::Fork,
        }
    }

    /// Whether the next answer may be another: a cache, a proxy, a server that starts.
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Unavailable(_)
            | Self::BadHead(_)
            | Self::BadEntries(_)
            | Self::NotDerived(_)
            | Self::Shrunk { .. }
            | Self::OlderHead { .. } => true,
            Self::NotARecord { .. } | Self::BehindFreeze(_) | Self::Stale { .. } | Self::Fork { .. } => false,
        }
    }

    /// About a head.
    pub fn of_head(refused: Refused) -> Self {
        match refused {
            Refused::Unavailable(why) => Self::Unavailable(why),
            Refused::Wrong(why) => Self::BadHead(why),
        }
    }

    /// About entries and tiles.
    pub fn of_entries(refused: Refused) -> Self {
        match refused {
            Refused::Unavailable(why) => Self::Unavailable(why),
            Refused::Wrong(why) => Self::BadEntries(why),
        }
    }
}
