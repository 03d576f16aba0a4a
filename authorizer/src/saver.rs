//! Writes snapshots of the fold beside the log.
//!
//! Guarantees: only what a durable `state` record vouches for is written; it ends before the log is closed. A service writes on a thread of
//! its own, so that decisions do not wait. Does not: matter. A snapshot that is not written, since the last one is still under way or the
//! disk is full, costs the next start a longer fold.

use std::io;
use std::sync::mpsc::{self, SyncSender};
use std::thread::JoinHandle;

use ledger::Snapshots;

use crate::fold::Snapshot;

/// Who writes.
#[derive(Debug)]
pub enum Saver {
    /// Whoever calls.
    Here(Snapshots),
    /// A thread.
    Aside(Aside),
}

/// A thread, and the way to it.
#[derive(Debug)]
pub struct Aside {
    to: Option<SyncSender<(u64, Snapshot)>>,
    thread: Option<JoinHandle<()>>,
}

impl Saver {
    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system has none.
    pub fn aside(snapshots: Snapshots) -> io::Result<Self> {
        // One waits while one is written: each holds the whole state.
        let (to, from) = mpsc::sync_channel::<(u64, Snapshot)>(1);
        let thread = std::thread::Builder::new().name("snapshots".into()).spawn(move || {
            for (index, snapshot) in from {
                write(&snapshots, index, &snapshot);
            }
        })?;
        Ok(Saver::Aside(Aside { to: Some(to), thread: Some(thread) }))
    }

    /// Writes a snapshot, or has it written unless one waits already.
    pub fn save(&self, index: u64, snapshot: Snapshot) {
        match self {
            Saver::Here(snapshots) => write(snapshots, index, &snapshot),
            Saver::Aside(Aside { to, .. }) => {
                let _only_speed = to.as_ref().map(|to| to.try_send((index, snapshot)));
            }
        }
    }
}

fn write(snapshots: &Snapshots, index: u64, snapshot: &Snapshot) {
    let pieces = snapshot.pieces();
    let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
    // What fails leaves the snapshots before; the next start reads more of the log.
    let _only_speed = snapshots.keep(index, &pieces);
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.to.take();
        if let Some(thread) = self.thread.take() {
            // A panic there has cost a snapshot.
            let _only_speed = thread.join();
        }
    }
}
