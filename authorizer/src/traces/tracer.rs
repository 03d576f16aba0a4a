//! Which requests are traced, and when a trace is over.
//!
//! A caller that records its own trace decides for us too (`traceparent`, parent-based sampling); for all others a share is drawn. Both are
//! bounded: [`SPANS_A_SECOND`] whoever asks, [`STRANGERS_SPANS_A_SECOND`] for connections on which no valid key has been seen, so that
//! nobody makes us trace everything, and a stranger takes nothing of what callers have.
//!
//! Guarantees: a request that is given up (its connection closed) leaves its trace too. Does not: block, ever.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use rand::RngExt;

use super::bound::Bound;
use super::collector::Collector;
use super::context::Parent;
use super::exporter::{Exporter, Finished, Spans, Why};
use super::unit::Trace;
use crate::clock::Source;

/// Spans a second: about 1,100 decisions by themselves, 2 MB of OTLP, under 1 % of a core. More tell an operator nothing new.
const SPANS_A_SECOND: u64 = 10_000;
/// Of connections without a key: enough to see probes and what somebody without a key tries.
const STRANGERS_SPANS_A_SECOND: u64 = 100;

/// What tracing is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where spans go.
    pub collector: Collector,
    /// The share of requests that are traced without anybody asking for it.
    pub ratio: Ratio,
}

/// A share, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio(f64);

/// Not a share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a ratio is a number from 0 to 1")]
pub struct NoRatio;

impl FromStr for Ratio {
    type Err = NoRatio;

    fn from_str(text: &str) -> Result<Self, NoRatio> {
        text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio)).map(Ratio).ok_or(NoRatio)
    }
}

/// Draws, begins and ends traces.
pub struct Tracer {
    ratio: Ratio,
    clock: Arc<dyn Source>,
    begun: Instant,
    callers: Bound,
    strangers: Bound,
    at: OnceLock<SocketAddr>,
    exporter: Exporter,
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracer").field("ratio", &self.ratio).finish_non_exhaustive()
    }
}

impl Tracer {
    /// Begins to export, on a thread of its own.
    ///
    /// # Errors
    /// The operating system has no thread, or no socket.
    pub fn start(options: Options, clock: Arc<dyn Source>, spans: Spans) -> std::io::Result<Arc<Tracer>> {
        let exporter = Exporter::start(options.collector, spans)?;
        Ok(Arc::new(Tracer {
            ratio: options.ratio,
            clock,
            begun: Instant::now(),
            callers: Bound::a_second(SPANS_A_SECOND),
            strangers: Bound::a_second(STRANGERS_SPANS_A_SECOND),
            at: OnceLock::new(),
            exporter,
        }))
    }

    /// The listener's address, for the spans; said once.
    pub fn listens_at(&self, address: SocketAddr) {
        self.at.get_or_init(|| address);
    }

    /// A request begins; `None` where it is not traced. The headers' values as they came.
    pub fn begin<'a>(
        self: &Arc<Self>,
        method: &str,
        parents: impl Iterator<Item = &'a [u8]>,
        states: impl Iterator<Item = &'a [u8]>,
    ) -> Option<Served> {
        let parent = Parent::of(parents, states);
        let sampled = match &parent {
            Some(parent) => parent.sampled,
            None => self.ratio.0 > 0.0 && rand::rng().random_bool(self.ratio.0),
        };
        if !sampled {
            return None;
        }
        if !self.callers.has_room(self.now()) {
            // Its own span; the steps below it never were.
            self.exporter.spans().dropped(Why::Rate, 1);
            return None;
        }
        let trace = Arc::new(Trace::new(known(method), parent, self.clock.wall_ns()));
        Some(Served { trace, tracer: self.clone(), told: None })
    }

    /// Sends what is finished, within a short time, and ends. What comes later is dropped.
    pub fn close(&self) {
        self.exporter.close();
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn finish(&self, trace: Arc<Trace>, told: Option<Told>) {
        let took = trace.elapsed();
        let spans = {
            let left = trace.left();
            self.exporter.spans().dropped(Why::Limit, left.more);
            1_u64.saturating_add(left.steps.len() as u64)
        };
        let stranger = told.as_ref().is_none_or(|told| told.stranger);
        if !(if stranger { &self.strangers } else { &self.callers }).take(self.now(), spans) {
            self.exporter.spans().dropped(Why::Rate, spans);
            return;
        }
        self.exporter.push(Finished { trace, took, told, at: self.at.get().copied(), spans });
    }
}

/// What is said of an answer.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) status: u16,
    pub(super) route: Option<String>,
    pub(super) problem: Option<&'static str>,
    stranger: bool,
}

/// A traced request while it is served. Dropped, it is finished: without an answer, its connection was given up.
#[derive(Debug)]
pub struct Served {
    trace: Arc<Trace>,
    tracer: Arc<Tracer>,
    told: Option<Told>,
}

impl Served {
    /// For whoever works on it.
    #[must_use]
    pub fn trace(&self) -> Arc<Trace> {
        self.trace.clone()
    }

    /// It is answered. `route` is the path's pattern, never the path; `problem` a code of the closed list; `stranger` where the connection
    /// has shown no valid key.
    pub fn answered(mut self, status: u16, route: Option<String>, problem: Option<&'static str>, stranger: bool) {
        self.told = Some(Told { status, route, problem, stranger });
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.tracer.finish(self.trace.clone(), self.told.take());
    }
}

/// A method of the conventions' list, or that it is none.
fn known(method: &str) -> &'static str {
    const METHODS: [&str; 10] =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"];
    METHODS.into_iter().find(|known| *known == method).unwrap_or("_OTHER")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::System;

    #[test]
    fn a_ratio_is_from_nothing_to_all() {
        for good in ["0", "1", "0.01", "1e-3"] {
            assert!(good.parse::<Ratio>().is_ok(), "{good}");
        }
        for bad in ["", "-0.1", "1.01", "NaN", "inf", "1/2"] {
            assert_eq!(bad.parse::<Ratio>(), Err(NoRatio), "{bad}");
        }
    }

    /// Threat: whoever reaches the listener says `sampled` in each request.
    #[test]
    fn a_stranger_that_wants_everything_traced_gets_little_and_takes_nothing_from_callers() {
        let options = Options { collector: "http://127.0.0.1:1".parse().unwrap(), ratio: Ratio(0.0) };
        let spans = Spans::default();
        let tracer = Tracer::start(options, Arc::new(System::default()), spans.clone()).unwrap();
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".as_bytes();
        let ask = |stranger| {
            let served = tracer.begin("GET", [parent].into_iter(), [].into_iter());
            served.map(|served| served.answered(200, None, None, stranger)).is_some()
        };
        let used = || tracer.callers.until();
        for _ in 0..20_000 {
            assert!(ask(true));
        }
        assert_eq!(used(), 0, "callers have all of theirs");
        assert!(ask(false) && used() > 0);
        assert!(tracer.begin("GET", [].into_iter(), [].into_iter()).is_none(), "nothing is drawn of the others");
        tracer.close();
        let all = 20_001;
        let (rate, lost) = (spans.lost(Why::Rate), [Why::Queue, Why::Export, Why::Shutdown].map(|why| spans.lost(why)));
        assert_eq!(rate + lost.iter().sum::<u64>(), all);
        assert!(rate > 10_000, "{rate}");
    }

    #[test]
    fn callers_too_are_bounded_and_what_is_beyond_is_not_begun() {
        let options = Options { collector: "http://127.0.0.1:1".parse().unwrap(), ratio: Ratio(1.0) };
        let spans = Spans::default();
        let tracer = Tracer::start(options, Arc::new(System::default()), spans.clone()).unwrap();
        // Their rate is used up for longer than this test can last.
        for _ in 0..1_000 {
            tracer.callers.use_up(tracer.now());
        }
        assert!(tracer.begin("GET", [].into_iter(), [].into_iter()).is_none());
        assert_eq!(spans.lost(Why::Rate), 1);
    }

    #[test]
    fn a_method_that_nobody_knows_is_not_repeated() {
        assert_eq!((known("POST"), known("post"), known("SECRET")), ("POST", "_OTHER", "_OTHER"));
    }
}
