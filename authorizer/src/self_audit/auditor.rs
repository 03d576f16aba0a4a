//! The thread that makes pass after pass.
//!
//! Guarantees: one thread, of the lowest priority, and so those that it starts; it ends with the service, and with the log's failure, which it
//! tells whoever decides. Does not: judge a log; a pass does.

use std::io;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use ledger::Reader;

use super::{Outcome, Plan, SelfAudits, TRIES};

/// The niceness of whoever audits: it takes what everybody leaves.
const NICE: i32 = 19;
/// What a pass under way gets of a stop, to end one piece.
const STOP_WITHIN: Duration = Duration::from_secs(1);

/// The thread that audits.
#[derive(Debug)]
pub struct Auditor {
    audits: Arc<SelfAudits>,
    done: mpsc::Receiver<()>,
}

impl Auditor {
    /// Starts it; without a plan nothing is audited. `failed` is called once nothing may be decided any more.
    ///
    /// # Errors
    /// The operating system has no thread.
    pub fn start(
        plan: Option<Plan>,
        audits: Arc<SelfAudits>,
        reader: Reader,
        now_ms: impl Fn() -> u64 + Send + 'static,
        failed: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let (tell_done, done) = mpsc::channel();
        let Some(plan) = plan else { return Ok(Self { audits, done }) };
        audits.locked().every = Some(plan.every);
        let working = audits.clone();
        std::thread::Builder::new().name("self-audit".into()).spawn(move || {
            // Dropped, and so told, however the thread ends.
            let _done: mpsc::Sender<()> = tell_done;
            // One thread's niceness, on Linux; those that it starts inherit it.
            let _only_speed = rustix::process::nice(NICE);
            work(&plan, &working, &reader, &now_ms);
            if working.failed() {
                failed();
            }
        })?;
        Ok(Self { audits, done })
    }

    /// Breaks off what is under way. Returns whether it ended in time.
    pub fn stop(&self) -> bool {
        self.audits.stop();
        self.done.recv_timeout(STOP_WITHIN) == Err(mpsc::RecvTimeoutError::Disconnected)
    }
}

/// Pass after pass, until the service stops or the log fails.
fn work(plan: &Plan, audits: &SelfAudits, reader: &Reader, now_ms: &impl Fn() -> u64) {
    let (mut wait, mut tries) = (plan.first, 0);
    while audits.sleep(wait) {
        match audits.pass(reader, now_ms, &*plan.tell) {
            Some(Outcome::Passed) => (wait, tries) = (plan.every, 0),
            Some(Outcome::Failed) | None => return,
            Some(Outcome::Unreadable) => {
                tries += 1;
                if tries == TRIES {
                    audits.fail();
                    (plan.tell)(&format!("self_audit_failed first_fault=unknown: it could not be read {TRIES} times"));
                    return;
                }
                wait = plan.again.min(plan.every);
            }
        }
    }
}
