//! Why: an accepted connection is an open file, and a log that can open none cannot be written. How many connections are taken follows
//! from what the operating system allows, after the ledger has its share.
//!
//! Guarantees: all connections of both listeners, with what the ledger may open, stay below the process's limit of open files; a limit that
//! is too small for that is refused at the start. Does not: watch files that other code opens later.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::connection::Caps;

/// Files that may be opened beside connections and what is open at the start: 128 segments that the ledger's readers keep and 64
/// that an audit of the log keeps, some forty runs and derived files with those that are merged or sealed, key files, and a margin.
const RESERVED: usize = 320;
/// Descriptors of a worker's event loop.
const EVENT_LOOP: usize = 4;
/// Connections of administrators on each worker: governance is a few people, and nobody else can take these.
const ADMINS: usize = 8;
/// Connections that were told to close and have not yet, on each worker.
pub const CLOSING: usize = 8;
/// With fewer connections of a kind on a worker, bursts would push each other out.
const FEWEST: usize = 16;
/// With more, event loops gain nothing: what waits is bounded elsewhere.
const MOST: usize = 4_096;

/// How many connections each worker of a listener takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// A worker of the decision API.
    pub private: Caps,
    /// The worker of the public read API, where everyone is a stranger.
    pub public: Caps,
}

/// The limit of open files is too small.
#[derive(Debug, thiserror::Error)]
pub enum TooFew {
    /// What is allowed, and what is needed.
    #[error(
        "the limit of open files is {limit}, and at least {needed} are needed: raise it (`ulimit -n`, LimitNOFILE=)"
    )]
    Limit {
        /// The hard limit, to which the soft one was raised.
        limit: usize,
        /// For the fewest connections.
        needed: usize,
    },
    /// The limit or the open files cannot be told.
    #[error("cannot tell how many files may be opened: {0}")]
    Unknown(#[from] io::Error),
}

impl Room {
    /// Raises the limit as far as it goes and shares it out.
    ///
    /// # Errors
    /// [`TooFew`].
    pub fn take(workers: usize, public_workers: usize) -> Result<Room, TooFew> {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current != maximum {
            // Where the system does not let us, what we have must do.
            let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        }
        // None is no limit at all.
        let limit = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok());
        let open = std::fs::read_dir("/proc/self/fd")?.count();
        Room::share(limit.unwrap_or(usize::MAX), open, workers, public_workers)
    }

    fn share(limit: usize, open: usize, workers: usize, public_workers: usize) -> Result<Room, TooFew> {
        let (workers, public_workers) = (workers.max(1), public_workers.max(1));
        let fixed = open
            .saturating_add(RESERVED)
            .saturating_add(workers.saturating_mul(EVENT_LOOP + ADMINS + CLOSING))
            .saturating_add(public_workers.saturating_mul(EVENT_LOOP + CLOSING));
        // Strangers and services of each worker, and strangers of each public one.
        let kinds = workers.saturating_mul(2).saturating_add(public_workers);
        let each = limit.saturating_sub(fixed) / kinds;
        if each < FEWEST {
            return Err(TooFew::Limit { limit, needed: fixed.saturating_add(kinds.saturating_mul(FEWEST)) });
        }
        let each = each.min(MOST);
        Ok(Room {
            private: Caps { strangers: each, services: each, admins: ADMINS },
            public: Caps { strangers: each, services: 0, admins: 0 },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_connections_and_the_ledger_stay_below_the_limit() {
        for limit in (0..3_000).chain([65_536, 1_048_576, usize::MAX]) {
            for workers in [1, 2, 8, 64] {
                match Room::share(limit, 40, workers, 1) {
                    Ok(Room { private, public }) => {
                        let all = workers * (private.sum() + CLOSING) + public.sum() + CLOSING;
                        assert!(40 + RESERVED + all <= limit, "{limit} {workers}");
                        assert!(private.admins == ADMINS && private.services >= FEWEST && public.strangers >= FEWEST);
                    }
                    Err(TooFew::Limit { needed, .. }) => {
                        assert!(limit < needed && Room::share(needed, 40, workers, 1).is_ok(), "{limit} {workers}");
                    }
                    Err(TooFew::Unknown(error)) => panic!("{error}"),
                }
            }
        }
        assert!(Room::share(1_024, 40, 2, 1).is_ok(), "what a shell gives by default is enough");
    }
}
