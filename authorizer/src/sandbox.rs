//! The sandbox: a stranger's own policies and one request of theirs, decided as the service decides, in a log that is nobody's.
//!
//! Why: whoever wants to know what Interlock is must be able to try it without a key and without leaving anything behind. Guarantees
//! (threat 25): its log, key and counters are of its own and in memory only (`sandbox/miniature.rs`), its origin is that of the service with
//! `/demo` behind, and nothing in here holds the service's signer, ledger or state; all is worked on by one thread of lowest priority,
//! one after the other, behind a short queue; whoever waits longer than [`DEADLINE`] is told so. What one may send and how often:
//! `sandbox/texts.rs`, `sandbox/admission.rs`, `engine/cost.rs`. Does not: keep anything over a restart, or over [`miniature::MAX_DECISIONS`].

mod admission;
mod miniature;
mod samples;
mod texts;

use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde_json::{Value, json};
use tokio::sync::oneshot;

pub use admission::{Inside, MAX_AT_ONCE, MAX_OF_ONE, NotIn, OF_ALL, OF_ONE};
pub use miniature::{DECISION, MAX_BYTES, MAX_DECISIONS};
pub use texts::{Asked, MAX_BODY, MAX_ENTITIES, MAX_POLICIES, MAX_POLICIES_BYTES, MAX_REQUEST, MAX_SCHEMA, MAX_TRUST};

use admission::Admission;
use miniature::Miniature;

use crate::clock::Source;
use crate::engine::PublishError;
use crate::worker::NoAnswer;

/// What stands behind the service's origin.
pub const SUFFIX: &str = "/demo";
/// How long somebody waits for an answer, in the queue and while it is decided: a decision takes milliseconds.
pub const DEADLINE: Duration = Duration::from_secs(3);
/// The thread's niceness, the lowest there is: decisions of the service go first.
const NICE: i32 = 19;
/// The form of what [`Sandbox::samples`] says.
pub const SAMPLES: &str = "interlock/sandbox-samples/v1";

/// Why the sandbox did not decide.
#[derive(Debug)]
pub enum Refused {
    /// The body is not of the form that is taken.
    Body(String),
    /// There is no such sample.
    NoSample,
    /// One of the texts is too long.
    TooLong {
        /// Which.
        name: &'static str,
        /// How many bytes it may have.
        limit: usize,
    },
    /// The policies, schema, entities or trust file do not validate, or cost too much.
    Content(PublishError),
    /// The request is none, or there is no answer to it.
    NoAnswer(NoAnswer),
    /// As many wait as may.
    Full,
    /// It took too long.
    Late,
    /// There is no log to decide in.
    Broken,
}

/// The door of the sandbox, shared by the workers of the public listener.
#[derive(Debug)]
pub struct Sandbox {
    door: Arc<Admission>,
    jobs: SyncSender<Job>,
    /// The key of the log that is in use.
    vkey: Arc<ArcSwapOption<String>>,
    origin: String,
    clock: Clock,
}

/// Where time comes from.
#[derive(Clone)]
struct Clock(Arc<dyn Source>);

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

#[derive(Debug)]
struct Job {
    asked: Asked,
    reply: oneshot::Sender<Result<String, Refused>>,
}

impl Sandbox {
    /// A sandbox beside the log of this origin; of that log it knows the name. Its thread ends when this is dropped.
    ///
    /// # Errors
    /// The operating system has no thread.
    pub fn start(origin: &str, clock: Arc<dyn Source>) -> io::Result<Arc<Self>> {
        let origin = format!("{origin}{SUFFIX}");
        // Whoever is inside has a place in the queue.
        let (jobs, waiting) = sync_channel(MAX_AT_ONCE);
        let vkey = Arc::new(ArcSwapOption::empty());
        let desk = Desk { origin: origin.clone(), clock: clock.clone(), vkey: vkey.clone(), miniature: None };
        std::thread::Builder::new().name("sandbox".into()).spawn(move || desk.work(&waiting))?;
        Ok(Arc::new(Self { door: Arc::default(), jobs, vkey, origin, clock: Clock(clock) }))
    }

    /// Lets one request in, before its body is read.
    ///
    /// # Errors
    /// [`NotIn`].
    pub fn enter(&self, peer: IpAddr) -> Result<Inside, NotIn> {
        self.door.enter(peer, self.clock.0.monotonic_ms())
    }

    /// Decides, and answers as JSON; only for whoever is inside.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn decide(&self, _inside: &Inside, asked: Asked) -> Result<String, Refused> {
        let (reply, answer) = oneshot::channel();
        self.jobs.try_send(Job { asked, reply }).map_err(|_| Refused::Full)?;
        match tokio::time::timeout(DEADLINE, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Refused::Broken),
            Err(_) => Err(Refused::Late),
        }
    }

    /// The samples, with whose log they are decided in and what may be sent.
    #[must_use]
    pub fn samples(&self) -> Value {
        let vkey = self.vkey.load();
        json!({
            "schema": SAMPLES,
            "origin": self.origin,
            "vkey": vkey.as_deref(),
            "limits": {
                "body": MAX_BODY, "policies": MAX_POLICIES_BYTES, "schema": MAX_SCHEMA, "entities": MAX_ENTITIES,
                "trust": MAX_TRUST, "request": MAX_REQUEST, "number_of_policies": MAX_POLICIES, "decisions": MAX_DECISIONS,
                "seconds": DEADLINE.as_secs(),
            },
            "samples": samples::all(),
        })
    }
}

/// What the thread has.
struct Desk {
    origin: String,
    clock: Arc<dyn Source>,
    vkey: Arc<ArcSwapOption<String>>,
    miniature: Option<Miniature>,
}

impl Desk {
    /// Until nobody can ask any more.
    fn work(mut self, waiting: &Receiver<Job>) {
        // One thread's niceness, on Linux, and that of the threads that it starts.
        let _only_speed = rustix::process::nice(NICE);
        // Whoever asks for the key before the first decision finds one.
        self.begin();
        while let Ok(Job { asked, reply }) = waiting.recv() {
            if reply.is_closed() {
                continue;
            }
            // A fault in here must not end the sandbox for everybody; the log that it happened in is not used again.
            let answer = catch_unwind(AssertUnwindSafe(|| self.decide(&asked))).unwrap_or_else(|_| {
                self.miniature = None;
                Err(Refused::Broken)
            });
            // Whoever went away has no answer.
            let _ = reply.send(answer);
        }
    }

    fn decide(&mut self, asked: &Asked) -> Result<String, Refused> {
        if self.miniature.as_ref().is_none_or(Miniature::is_full) {
            self.begin();
        }
        let answer = self.miniature.as_mut().ok_or(Refused::Broken)?.decide(asked);
        if matches!(answer, Err(Refused::Broken | Refused::NoAnswer(NoAnswer::Unavailable))) {
            self.miniature = None;
        }
        answer
    }

    /// Another log, under another key: two trees of one size under one key would be a fork.
    fn begin(&mut self) {
        // The old one's memory first.
        self.miniature = None;
        self.miniature = Miniature::new(&self.origin, &self.clock).ok();
        let vkey = self.miniature.as_ref().map(|log| Arc::new(log.reader().verifier_key().to_string()));
        self.vkey.store(vkey);
    }
}
