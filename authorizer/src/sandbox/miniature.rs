//! A whole Interlock in memory: log, administrator, sequencer and worker, on one thread.
//!
//! Why: what the demo shows must be what the service does, so nothing is imitated here. Policies are published as an epoch by a signed act, the
//! request is judged by a [`Worker`], its record is made by the one [`Sequencer`], appended to a real log, and answered by the one
//! [`Writer`]; only the disk is [`Ram`], and the keys are made anew and kept nowhere.
//!
//! Guarantees: nothing of the service reaches in here but the origin's name and the time, so no key, record or counter of the real log
//! can be used or changed; the origin is `…/demo`, and its key lives as long as this value. What one stranger's decision left behind
//! (counters, permits) is forgotten before the next one's. Past [`MAX_DECISIONS`] or [`MAX_BYTES`] it is full, and whoever holds it
//! begins another. Does not: limit what a content costs; `engine/cost.rs` and `texts.rs` do.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use actix_web::web::Bytes;
use ledger::storage::ram::Ram;
use ledger::{Ledger, Options, Reader, Signer, create_in, default_memory};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use verifier::act::{Act, Deed, Mode};
use verifier::epoch::{self, EpochContent};
use verifier::hash::Hash;
use verifier::text::{b64, rfc3339};

use super::Refused;
use super::texts::Asked;
use crate::answer::{Style, Writer, push_string};
use crate::clock::{Clock, Source};
use crate::double::Room;
use crate::engine::Published;
use crate::engines::EngineSet;
use crate::fold::{Fold, STATE_EVERY};
use crate::governance::{Governors, NewEpoch, Proposed};
use crate::http::shown;
use crate::keys::{ApiKeys, Identity};
use crate::live::{Live, Shared};
use crate::proposal::{Durable, Stop};
use crate::queue::{Bounds, Queue};
use crate::sequencer::{Sequencer, Turn};
use crate::service::Folded;
use crate::worker::{self, NoAnswer, What, Worker};

/// Decisions that one log takes: a tree of twelve levels, whose paths are worth looking at.
pub const MAX_DECISIONS: usize = 2_048;
/// Bytes of policies and requests that one log takes. A log in memory holds each of them a few times.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;
/// What a decision takes beside its texts: leaf, detail, salts, tree, and the closing record of its epoch.
const OVERHEAD: usize = 1_024;
/// The realm of whoever asks.
const REALM: &str = "main";
/// Where it lives, on a disk that only it has.
const PLACE: &str = "/sandbox";
/// The form of an answer.
pub const DECISION: &str = "interlock/sandbox-decision/v1";

/// Why there is no sandbox: an origin whose name leaves no room for `/demo`, or no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox's log cannot be made: {0}")]
pub struct NotMade(String);

/// A log in memory and everything around it.
#[derive(Debug)]
pub struct Miniature {
    shared: Arc<Shared>,
    sequencer: Sequencer,
    worker: Worker,
    caller: Identity,
    admin: Signer,
    /// Of the epoch in force.
    content: Option<Hash>,
    warnings: Value,
    decisions: usize,
    bytes: usize,
    runtime: Runtime,
    #[cfg(test)]
    ram: Ram,
}

impl Miniature {
    /// A log of this origin without records, under a key of its own.
    ///
    /// # Errors
    /// [`NotMade`].
    pub fn new(origin: &str, clock: &Arc<dyn Source>) -> Result<Self, NotMade> {
        let now_ms = clock.wall_ms();
        let (ram, place) = (Ram::new(), Path::new(PLACE));
        create_in(Arc::new(ram.process()), place, &default_memory(place), origin, now_ms).map_err(not_made)?;
        let options = Options { seal: false, ..Options::new(place) };
        let (ledger, reader) = Ledger::open_in(Arc::new(ram.process()), options, now_ms).map_err(not_made)?;
        let admin = Signer::generate(&Act::key_name(origin)).map_err(not_made)?;
        let governors = Governors::new(origin, vec![admin.verifier_key().clone()]);
        let (keys, caller) = ApiKeys::of_one(REALM, rfc3339(now_ms)).map_err(not_made)?;
        let mut fold = Fold::default();
        fold.last_ms = ledger.last_time_ms();
        let clock = Clock::start(clock.clone(), Some(fold.last_ms), true).map_err(not_made)?;
        let (live, last_ms) = (Live::of(&fold, None, None), fold.last_ms);
        let queue = Queue::new(Bounds::default());
        let shared = Shared::new(keys, governors, clock, reader, live, queue, 1, Room::default(), last_ms);
        let shared = Arc::new(shared);
        let folded = Folded { from: None, records: 0, passed_over: Vec::new() };
        let sequencer = Sequencer::new(ledger, fold, shared.clone(), folded, STATE_EVERY);
        let worker = Worker::new(shared.clone(), 0);
        // For the deadlines of a worker, which this log, without a disk, never meets.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(not_made)?;
        let (content, warnings, decisions, bytes) = (None, json!([]), 0, 0);
        Ok(Self {
            shared,
            sequencer,
            worker,
            caller,
            admin,
            content,
            warnings,
            decisions,
            bytes,
            runtime,
            #[cfg(test)]
            ram,
        })
    }

    /// The log, read side.
    pub fn reader(&self) -> &Reader {
        &self.shared.reader
    }

    /// Whether another one has to take its place.
    pub fn is_full(&self) -> bool {
        self.decisions >= MAX_DECISIONS || self.bytes >= MAX_BYTES
    }

    /// Decides a request under its own content, and answers as JSON.
    ///
    /// # Errors
    /// [`Refused`]; nothing but perhaps an epoch was recorded then.
    pub fn decide(&mut self, asked: &Asked) -> Result<String, Refused> {
        self.decisions += 1;
        self.bytes = self.bytes.saturating_add(OVERHEAD).saturating_add(asked.request.len());
        let content = asked.content().map_err(|error| Refused::Content(asked.told(None, error)))?;
        self.publish(asked, content)?;
        self.sequencer.forget();
        let durable = self.judge(asked.request.clone()).map_err(Refused::NoAnswer)?;
        self.answer(asked, &durable).map_err(|_| Refused::Broken)
    }

    /// Puts a content in force, unless it is.
    fn publish(&mut self, asked: &Asked, content: EpochContent) -> Result<(), Refused> {
        let document = content.encode();
        let digest = epoch::digest(&document);
        if self.content == Some(digest) {
            return Ok(());
        }
        let published = Published::of_stranger(content.clone());
        let published = published.map_err(|error| Refused::Content(asked.told(Some(&content), error)))?;
        self.bytes = self.bytes.saturating_add(document.len());
        let warnings = published.warnings().iter().map(shown).collect();
        let engines = EngineSet::of(&Arc::new(published), 1, true).map_err(Refused::Content)?;
        let fold = self.sequencer.fold();
        let (number, follows) = (fold.newest_epoch() + 1, fold.governance);
        let deed = Deed::Epoch { number, content: digest, mode: Mode::Live };
        let origin = self.shared.reader.origin().to_owned();
        let note = self.admin.sign_note(&Act { origin, follows, deed }.text());
        let verified = self.shared.governors.open(&note).map_err(|_| Refused::Broken)?;
        let (reply, mut answer) = oneshot::channel();
        let epoch = NewEpoch { document, engines, predecessor: None };
        let proposed = Proposed { verified, epoch: Some(epoch), trace: None, reply };
        self.shared.queue.push_act(proposed).map_err(|_| Refused::Broken)?;
        self.sequencer.turn();
        match answer.try_recv() {
            Ok(Ok(_)) => (self.content, self.warnings) = (Some(digest), warnings),
            Ok(Err(_)) | Err(_) => return Err(Refused::Broken),
        }
        Ok(())
    }

    /// As a body of one request: the worker waits for the sequencer, which has its turn whenever the worker waits.
    fn judge(&mut self, request: Bytes) -> Result<Durable, NoAnswer> {
        let Self { worker, sequencer, caller, runtime, .. } = self;
        let asked = vec![worker::Asked { what: What::Sent(request), signed: None }];
        let decided = runtime.block_on(async {
            let mut deciding = pin!(worker.decide(caller, asked, Stop::Never));
            loop {
                tokio::select! {
                    biased;
                    decided = &mut deciding => return decided,
                    () = tokio::task::yield_now() => {}
                }
                if sequencer.turn() == Turn::Over {
                    return Err(NoAnswer::Unavailable);
                }
            }
        })?;
        decided.into_iter().next().ok_or(NoAnswer::Unavailable)
    }

    /// The service's own answer, and beside it what a stranger needs to check it.
    fn answer(&self, asked: &Asked, durable: &Durable) -> Result<String, ledger::ReadError> {
        let reader = self.reader();
        let live = self.shared.live.load();
        let errors = durable.items().first().map_or(&[][..], |(item, _)| item.verdict.errors.as_slice());
        let mut out = String::with_capacity(8 * 1024);
        out.push_str(r#"{"schema":"#);
        push_string(&mut out, DECISION);
        let members = [
            ("origin", json!(reader.origin())),
            ("vkey", json!(reader.verifier_key().to_string())),
            ("size", json!(durable.head().checkpoint.size)),
            ("epoch", json!({ "number": live.epoch, "index": live.epochs.last(), "warnings": self.warnings })),
            ("request", json!(b64(&asked.request))),
            ("errors", json!(errors)),
        ];
        for (name, value) in members {
            out.push(',');
            push_string(&mut out, name);
            out.push(':');
            out.push_str(&value.to_string());
        }
        out.push_str(r#","answer":"#);
        Writer { reader, style: Style::default(), desk: self.worker.desk() }.item(&mut out, durable, 0)?;
        out.push('}');
        Ok(out)
    }
}

fn not_made(error: impl std::fmt::Display) -> NotMade {
    NotMade(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Manual;

    const NOW: u64 = 1_795_428_000_000;

    fn miniature() -> Miniature {
        let clock: Arc<dyn Source> = Arc::new(Manual::at(NOW));
        Miniature::new("test.example/log/demo", &clock).unwrap()
    }

    fn asked(n: usize, padding: usize) -> Asked {
        let note = format!("{n} {}", "x".repeat(padding));
        let policies = format!("@id(\"a\") @note(\"{note}\") permit (principal, action, resource);");
        let request = r#"{"subject":{"type":"A","id":"a"},"action":{"name":"x"},"resource":{"type":"R","id":"r"}}"#;
        Asked::of(&policies, None, None, None, request)
    }

    fn held(log: &Miniature) -> usize {
        log.ram.snapshot().values().map(Vec::len).sum()
    }

    #[test]
    fn a_log_is_full_at_its_size_and_its_memory_has_a_bound() {
        // Each under an epoch of its own, of the largest kind.
        let mut log = miniature();
        let fresh = held(&log);
        let mut decided = 0;
        while !log.is_full() {
            log.decide(&asked(decided, 15_000)).unwrap();
            decided += 1;
        }
        assert!(decided > 100 && decided < MAX_DECISIONS, "{decided} filled it by their bytes");
        assert!(held(&log) - fresh < 2 * MAX_BYTES, "{} bytes on its disk", held(&log));
    }

    #[test]
    fn a_log_takes_so_many_decisions_and_its_memory_is_a_fraction_of_them() {
        let mut log = miniature();
        for _ in 0..MAX_DECISIONS {
            assert!(!log.is_full());
            log.decide(&asked(0, 0)).unwrap();
        }
        assert!(log.is_full());
        assert!(held(&log) < MAX_BYTES, "{} bytes on its disk", held(&log));
    }

    #[test]
    fn an_origin_that_leaves_no_room_makes_no_log() {
        let clock: Arc<dyn Source> = Arc::new(Manual::at(NOW));
        assert!(Miniature::new(&"a".repeat(300), &clock).is_err());
        assert!(Miniature::new("", &clock).is_err());
    }

    #[test]
    fn two_logs_have_two_keys() {
        let (one, two) = (miniature(), miniature());
        assert_ne!(one.reader().verifier_key().key_bytes(), two.reader().verifier_key().key_bytes());
    }
}
