//! Why: an enforcement point shall learn at once that something changed, and not only at its next renewal.
//!
//! Guarantees: what is told is durable; a listener that falls behind is told so and cut off, so that it never believes to have heard all;
//! the number of listeners is bounded. Does not: promise delivery. The record and the end of the lease count, not the notice.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;
use verifier::decision::PermitId;
use verifier::record::{ExecutionEvent, LeaseEvent, Record};

/// Notices that a listener may be behind: some seconds of a busy log's closures.
const MAX_BEHIND: usize = 1_024;
/// Streams of one key: its enforcement points share one, with a few to spare while one is replaced (threat 33).
pub const MAX_STREAMS_OF_KEY: usize = 4;
/// Streams of all keys.
pub const MAX_STREAMS: usize = 256;

/// Something changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// An act of governance is in force: whoever executes renews now. For everybody.
    Governance {
        /// The version.
        version: u64,
        /// `epoch`, `switch`, `revocation`, `freeze` or `system-switch`.
        act: &'static str,
        /// What a switch or a revocation names; the permit that a system switch takes back.
        target: Option<String>,
    },
    /// Something became of one execution. For its realm.
    Permit {
        /// The realm.
        realm: String,
        /// The permit.
        permit: PermitId,
        /// `halted`, `expired` or `closed`.
        what: &'static str,
    },
}

/// Who listens.
#[derive(Debug)]
pub struct Notices {
    sender: broadcast::Sender<Arc<Notice>>,
    open: Mutex<HashMap<String, usize>>,
    closed: AtomicBool,
}

impl Default for Notices {
    fn default() -> Self {
        Notices { sender: broadcast::Sender::new(MAX_BEHIND), open: Mutex::default(), closed: AtomicBool::new(false) }
    }
}

impl Notices {
    /// Tells everybody who listens.
    pub fn tell(&self, notice: Notice) {
        // Nobody may be listening.
        let _ = self.sender.send(Arc::new(notice));
    }

    /// Tells what became of an execution, from its record; a lease that goes on is told to its executor alone.
    pub fn tell_of(&self, realm: String, record: &Record) {
        let (permit, what) = match record {
            Record::Lease { permit, event: LeaseEvent::Halted, .. } => (*permit, "halted"),
            Record::Lease { permit, event: LeaseEvent::Expired, .. } => (*permit, "expired"),
            Record::Closure { event: ExecutionEvent::Started, .. } => return,
            Record::Closure { permit, .. } => (*permit, "closed"),
            _ => return,
        };
        self.tell(Notice::Permit { realm, permit, what });
    }

    /// A stream for a key, if it has not too many.
    pub fn listen(self: &Arc<Self>, key_id: &str) -> Option<Listener> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = open.values().sum();
        let mine = open.get(key_id).copied().unwrap_or(0);
        if self.is_closed() || all >= MAX_STREAMS || mine >= MAX_STREAMS_OF_KEY {
            return None;
        }
        open.insert(key_id.to_owned(), mine + 1);
        Some(Listener { notices: self.clone(), key_id: key_id.to_owned(), receiver: self.sender.subscribe() })
    }

    /// The service stops: streams end, and no new ones begin.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Whether the service stops.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

/// One stream; counted as long as it lives.
#[derive(Debug)]
pub struct Listener {
    notices: Arc<Notices>,
    key_id: String,
    /// Where notices come from.
    pub receiver: broadcast::Receiver<Arc<Notice>>,
}

impl Listener {
    /// Whether the service stops.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.notices.is_closed()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut open = self.notices.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mine) = open.get_mut(&self.key_id) {
            *mine = mine.saturating_sub(1);
            if *mine == 0 {
                open.remove(&self.key_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_four_streams_and_one_that_ends_makes_room() {
        let notices = Arc::new(Notices::default());
        let mut mine: Vec<_> = (0..MAX_STREAMS_OF_KEY).map(|_| notices.listen("k").unwrap()).collect();
        assert!(notices.listen("k").is_none());
        assert!(notices.listen("other").is_some());
        mine.pop();
        assert!(notices.listen("k").is_some());
        notices.close();
        assert!(notices.listen("new").is_none());
    }

    #[test]
    fn all_keys_together_have_a_bound() {
        let notices = Arc::new(Notices::default());
        let open: Vec<_> = (0..MAX_STREAMS).map(|n| notices.listen(&n.to_string()).unwrap()).collect();
        assert!(notices.listen("one more").is_none());
        drop(open);
        assert!(notices.open.lock().unwrap().is_empty());
    }
}
