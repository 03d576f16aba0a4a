//! Finished traces on their way to a collector: a bounded queue and one thread that nobody waits for.
//!
//! Guarantees: [`Exporter::push`] takes no lock and never waits; at most [`MAX_WAITING`] traces wait, and what comes beyond is dropped and
//! counted; a batch is given up after [`TRIES`] tries; whatever happens in the thread, a panic too, ends at it. Every span is counted once, as
//! sent or as dropped, by cause. Does not: keep anything over a restart.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::runtime;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::collector::{Collector, Sender, Sent};
use super::otlp::{self, Process};
use super::tracer::Told;
use super::unit::Trace;

/// Traces that wait: two seconds of as many as are drawn at most, each below 3 KiB.
const MAX_WAITING: usize = 2_048;
/// Traces of one message: some 400 KB, below what collectors take (4 MiB and more).
const BATCH: usize = 256;
/// How long a finished trace waits for others.
const EVERY: Duration = Duration::from_secs(1);
/// How often one batch is tried: a collector that restarts is back after some seconds, and what is newer tells more.
const TRIES: u32 = 3;
/// Before the second try; twice as long before each later one.
const BACKOFF: Duration = Duration::from_secs(1);
/// A collector that asks for more time than this is not waited for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// What a stop gives to what is still here. The service's own stop has ten seconds, of which this takes little.
const FLUSH: Duration = Duration::from_millis(500);

/// Beyond that, for the thread to notice.
const GRACE: Duration = Duration::from_millis(100);

/// Why spans were not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// More than a second takes.
    Rate,
    /// More steps than one request leaves.
    Limit,
    /// More than wait.
    Queue,
    /// The collector did not answer, or said no.
    Export,
    /// The collector took the batch without them.
    Rejected,
    /// The service stopped.
    Shutdown,
}

impl Why {
    fn name(self) -> &'static str {
        match self {
            Why::Rate => "rate",
            Why::Limit => "limit",
            Why::Queue => "queue",
            Why::Export => "export",
            Why::Rejected => "rejected",
            Why::Shutdown => "shutdown",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cause {
    cause: &'static str,
}

/// How many spans went where.
#[derive(Clone, Debug, Default)]
pub struct Spans {
    sent: Counter,
    dropped: Family<Cause, Counter>,
}

impl Spans {
    /// Tells them with the others.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("authorizer_spans_exported", "Spans that the collector took", self.sent.clone());
        registry.register(
            "authorizer_spans_dropped",
            "Spans that no collector has, by cause; no decision waited for them",
            self.dropped.clone(),
        );
    }

    pub(super) fn dropped(&self, why: Why, spans: u64) {
        if spans > 0 {
            self.dropped.get_or_create(&Cause { cause: why.name() }).inc_by(spans);
        }
    }
}

/// A trace that is over.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) trace: Arc<Trace>,
    /// Nanoseconds from its beginning.
    pub(super) took: u64,
    /// What was answered; nothing if nobody was left to answer.
    pub(super) told: Option<Told>,
    pub(super) at: Option<SocketAddr>,
    pub(super) spans: u64,
}

#[derive(Debug)]
struct Line {
    waiting: ArrayQueue<Finished>,
    enough: Notify,
    closed: AtomicBool,
    /// Spans that the thread has in hand: what a panic loses is counted too.
    in_hand: AtomicU64,
    spans: Spans,
}

/// The queue's other end.
#[derive(Debug)]
pub(super) struct Exporter {
    line: Arc<Line>,
    /// By when everything must be over, once that is said.
    over: watch::Sender<Option<Instant>>,
    ended: Mutex<mpsc::Receiver<()>>,
}

impl Exporter {
    pub(super) fn start(collector: Collector, spans: Spans) -> std::io::Result<Self> {
        let sender = Sender::new(collector).map_err(std::io::Error::other)?;
        Self::run(spans, async move |batch| sender.send(batch).await)
    }

    fn run(spans: Spans, send: impl AsyncFn(Vec<u8>) -> Sent + Send + 'static) -> std::io::Result<Self> {
        let line = Arc::new(Line {
            waiting: ArrayQueue::new(MAX_WAITING),
            enough: Notify::new(),
            closed: AtomicBool::new(false),
            in_hand: AtomicU64::new(0),
            spans,
        });
        let (over, ends) = watch::channel(None);
        let (done, ended) = mpsc::channel();
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let mine = line.clone();
        std::thread::Builder::new().name("traces".into()).spawn(move || {
            let _done: mpsc::Sender<()> = done;
            let process = Process::new();
            let work = || runtime.block_on(export(&mine, &process, &send, ends.clone()));
            while catch_unwind(AssertUnwindSafe(work)).is_err() {
                mine.spans.dropped(Why::Export, mine.in_hand.swap(0, Ordering::Relaxed));
                // Whatever it was, not as fast as it can.
                std::thread::sleep(EVERY);
            }
        })?;
        Ok(Exporter { line, over, ended: Mutex::new(ended) })
    }

    pub(super) fn spans(&self) -> &Spans {
        &self.line.spans
    }

    pub(super) fn push(&self, finished: Finished) {
        let line = &self.line;
        if line.closed.load(Ordering::Relaxed) {
            line.spans.dropped(Why::Shutdown, finished.spans);
        } else if let Err(back) = line.waiting.push(finished) {
            line.spans.dropped(Why::Queue, back.spans);
        } else if line.waiting.len() == BATCH {
            line.enough.notify_one();
        }
    }

    pub(super) fn close(&self) {
        self.line.closed.store(true, Ordering::Relaxed);
        self.over.send_replace(Some(Instant::now() + FLUSH));
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        // A thread that takes longer is left behind.
        let _ = ended.recv_timeout(FLUSH.saturating_add(GRACE));
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.over.send_replace(Some(Instant::now()));
    }
}

async fn export(
    line: &Line,
    process: &Process,
    send: &impl AsyncFn(Vec<u8>) -> Sent,
    mut ends: watch::Receiver<Option<Instant>>,
) {
    loop {
        let closing = async |ends: &mut watch::Receiver<Option<Instant>>| {
            // An error says that the other end is gone, which is the same.
            let _ = ends.wait_for(Option::is_some).await;
        };
        if line.waiting.len() < BATCH {
            tokio::select! {
                () = sleep(EVERY) => {}
                () = line.enough.notified() => {}
                () = closing(&mut ends) => {}
            }
        }
        let batch: Vec<Finished> = std::iter::from_fn(|| line.waiting.pop()).take(BATCH).collect();
        let count = batch.iter().map(|finished| finished.spans).fold(0, u64::saturating_add);
        let over = *ends.borrow();
        if batch.is_empty() {
            if over.is_some() || ends.has_changed().is_err() {
                return;
            }
            continue;
        }
        line.in_hand.store(count, Ordering::Relaxed);
        let message = otlp::message(process, &batch);
        drop(batch);
        match deliver(&message, send, &mut ends).await {
            Ok(rejected) => {
                let rejected = rejected.min(count);
                line.spans.sent.inc_by(count - rejected);
                line.spans.dropped(Why::Rejected, rejected);
            }
            Err(why) => line.spans.dropped(why, count),
        }
        line.in_hand.store(0, Ordering::Relaxed);
    }
}

/// One batch, as often as it is worth it; the number of spans that were rejected.
async fn deliver(
    message: &[u8],
    send: &impl AsyncFn(Vec<u8>) -> Sent,
    ends: &mut watch::Receiver<Option<Instant>>,
) -> Result<u64, Why> {
    let mut pause = BACKOFF;
    for attempt in 1..=TRIES {
        // Whoever stops waits for one try, and not for long.
        let sent = tokio::select! {
            sent = send(message.to_vec()) => sent,
            () = over(ends.clone()) => return Err(Why::Shutdown),
        };
        let after = match sent {
            Sent::Taken { rejected } => return Ok(rejected),
            Sent::Refused => return Err(Why::Export),
            Sent::Later(after) => after.unwrap_or(pause).min(LONGEST_WAIT),
        };
        if attempt == TRIES {
            break;
        }
        let until = Instant::now() + after;
        if timeout_at(until, ends.wait_for(Option::is_some)).await.is_ok() {
            return Err(Why::Shutdown);
        }
        pause = pause.saturating_mul(2);
    }
    Err(Why::Export)
}

/// Returns when everything must be over.
async fn over(mut ends: watch::Receiver<Option<Instant>>) {
    let by = ends.wait_for(Option::is_some).await.ok().and_then(|by| *by);
    if let Some(by) = by {
        sleep_until(by).await;
    }
}

#[cfg(test)]
impl Spans {
    pub(super) fn lost(&self, why: Why) -> u64 {
        self.dropped.get_or_create(&Cause { cause: why.name() }).get()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn finished() -> Finished {
        Finished { trace: Arc::new(Trace::new("GET", None, 0)), took: 1, told: None, at: None, spans: 1 }
    }

    fn dropped(spans: &Spans, why: Why) -> u64 {
        spans.lost(why)
    }

    /// Waits for what must come, for as long as a machine may be busy.
    fn until(what: impl Fn() -> bool) {
        for _ in 0..2_000 {
            if what() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it never came");
    }

    #[test]
    fn what_does_not_fit_into_the_queue_is_dropped_and_counted_and_a_stop_waits_for_nobody() {
        let spans = Spans::default();
        let exporter = Exporter::run(spans.clone(), async |_| std::future::pending::<Sent>().await).unwrap();
        for _ in 0..MAX_WAITING * 2 {
            exporter.push(finished());
        }
        let lost = dropped(&spans, Why::Queue);
        assert!(lost >= (MAX_WAITING - BATCH) as u64, "{lost}");
        exporter.close();
        until(|| Arc::strong_count(&exporter.line) == 1);
        exporter.push(finished());
        let all = dropped(&spans, Why::Queue) + dropped(&spans, Why::Shutdown);
        assert_eq!((all, spans.sent.get()), (MAX_WAITING as u64 * 2 + 1, 0));
    }

    #[test]
    fn a_panic_loses_what_was_in_hand_and_nothing_else() {
        let (spans, count) = (Spans::default(), Arc::new(AtomicUsize::new(0)));
        let counted = count.clone();
        let send = async move |_| match counted.fetch_add(1, Ordering::SeqCst) {
            0 => panic!("the exporter panics"),
            _ => Sent::Taken { rejected: 0 },
        };
        let exporter = Exporter::run(spans.clone(), send).unwrap();
        exporter.push(finished());
        until(|| dropped(&spans, Why::Export) == 1);
        exporter.push(finished());
        until(|| spans.sent.get() == 1);
    }

    #[test]
    fn a_collector_is_asked_again_when_it_says_so_and_every_span_is_counted_once() {
        let (spans, count) = (Spans::default(), Arc::new(AtomicUsize::new(0)));
        let counted = count.clone();
        let at_once = Some(Duration::ZERO);
        let send = async move |_| match counted.fetch_add(1, Ordering::SeqCst) {
            0 => Sent::Later(at_once),
            1 => Sent::Taken { rejected: 9 },
            2 => Sent::Refused,
            _ => Sent::Later(at_once),
        };
        let exporter = Exporter::run(spans.clone(), send).unwrap();
        exporter.push(finished());
        until(|| dropped(&spans, Why::Rejected) == 1);
        exporter.push(finished());
        until(|| dropped(&spans, Why::Export) == 1);
        exporter.push(finished());
        until(|| dropped(&spans, Why::Export) == 2);
        assert_eq!((count.load(Ordering::SeqCst), spans.sent.get()), (6, 0));
    }

    #[test]
    fn a_stop_sends_what_is_finished() {
        let spans = Spans::default();
        let exporter = Exporter::run(spans.clone(), async |_| Sent::Taken { rejected: 0 }).unwrap();
        for _ in 0..BATCH + 3 {
            exporter.push(finished());
        }
        exporter.close();
        assert_eq!(spans.sent.get(), BATCH as u64 + 3);
    }
}
