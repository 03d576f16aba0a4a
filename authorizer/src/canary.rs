//! Why: an interlock that has begun to allow what it must deny has to notice by itself, and stop.
//!
//! Once a second each worker evaluates a request that must be denied (its deadline is 1970) and hands it to the sequencer, which settles it
//! as it settles every request. It is never recorded, whatever comes of it.
//!
//! Guarantees: a canary that stands, with the worker or at the log's end, ends the sequencer, so that every waiting and later caller is
//! denied; without a canary that was denied within [`FRESH`] under the epoch in force the service is not ready.
//! Does not: say that other requests are decided rightly; replay does.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use verifier::request::Request;

use crate::engine::Verdict;
use crate::worker::Worker;

/// From one canary of a worker to its next.
const EVERY: Duration = Duration::from_secs(1);
/// A canary tells of the present for so long: the sequencer may wait for a slow disk meanwhile.
pub const FRESH: Duration = Duration::from_secs(10);
/// The realm that a canary is of. No key is.
pub const REALM: &str = "interlock-canary";

/// What must be denied, whatever an epoch says.
const REQUEST: &[u8] = br#"{"subject":{"type":"Interlock::Canary","id":"canary"},"action":{"name":"sing"},
"resource":{"type":"Interlock::Canary","id":"mine"},"deadline":"1970-01-01T00:00:01Z"}"#;

/// A canary on its way to the sequencer.
#[derive(Debug)]
pub struct Canary {
    /// What must be denied.
    pub request: Request,
    /// What the worker found.
    pub verdict: Verdict,
    /// Told when it was denied at the log's end too; dropped otherwise.
    pub denied: oneshot::Sender<()>,
}

/// The last canary that was denied.
#[derive(Debug, Default)]
pub struct Canaries(Mutex<Option<Denied>>);

#[derive(Clone, Copy, Debug)]
struct Denied {
    at: Instant,
    epoch: u64,
}

impl Canaries {
    /// One was denied under this epoch.
    fn denied(&self, epoch: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Denied { at: Instant::now(), epoch });
    }

    /// How long ago one was denied, if that was within [`FRESH`] and under `epoch`.
    #[must_use]
    pub fn age(&self, epoch: u64) -> Option<Duration> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = last.filter(|last| last.epoch == epoch)?;
        Some(last.at.elapsed()).filter(|age| *age <= FRESH)
    }
}

/// The request of a canary; `None` is a canary that does not sing, and so no readiness.
#[must_use]
pub fn request() -> Option<Request> {
    Request::parse(REQUEST).ok()
}

/// Sends canaries through one worker for as long as it lives.
pub async fn keep(worker: &Worker) {
    loop {
        if let Some(spare) = worker.shared().spare.get() {
            spare.look();
        }
        send(worker).await;
        tokio::time::sleep(EVERY).await;
    }
}

/// Sends one, and notes if it was denied. Whatever else becomes of it, the last one grows old.
pub async fn send(worker: &Worker) {
    let epoch = worker.shared().live.load().epoch;
    if worker.canary().await {
        worker.shared().canaries.denied(epoch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canary_is_a_request() {
        assert!(request().is_some_and(|request| request.deadline == Some(1_000)));
    }
}
