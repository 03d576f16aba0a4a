//! Why: on a full disk nobody can throw a kill switch or close an execution. The last part of it is kept for them (threat 23).
//!
//! Guarantees: while less is free than is kept, or nobody can say how much is, decisions and statements are refused before their body is
//! read; acts of governance and events of executions go on. Does not: see a disk that fills within a second; then the log refuses.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// Kept free, bytes: some 100,000 acts and events.
pub const RESERVE: u64 = 64 * 1024 * 1024;
/// At most this part of the file system is kept, so that a small one is of use.
const PART: u64 = 20;

/// What is kept of the disk that the log is on.
#[derive(Debug)]
pub struct Spare {
    directory: PathBuf,
    reserve: u64,
    short: AtomicBool,
}

impl Spare {
    /// Of the disk that this directory is on; `reserve` bytes, or a twentieth of the disk where that is less.
    #[must_use]
    pub fn new(directory: PathBuf, reserve: u64) -> Self {
        let spare = Spare { directory, reserve, short: AtomicBool::new(true) };
        spare.look();
        spare
    }

    /// Looks at the disk again.
    pub fn look(&self) {
        self.short.store(self.is_short_now(), Ordering::Relaxed);
    }

    /// Whether less is free than is kept, as of the last look.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }

    fn is_short_now(&self) -> bool {
        let Ok(disk) = rustix::fs::statvfs(&self.directory) else { return true };
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        bytes(disk.f_bavail) < self.reserve.min(bytes(disk.f_blocks) / PART)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_nobody_can_ask_is_short_and_one_of_which_nothing_is_kept_is_not() {
        assert!(Spare::new("/nowhere/at/all".into(), 0).is_short());
        assert!(!Spare::new("/".into(), 0).is_short());
    }
}
