//! Where the time of a decision goes: CPU time of the service's own threads, by stage.
//!
//! Guarantees: cheap enough to be always on. A small body is measured one time in [`ONE_IN`], a large one and a batch always, each by two
//! readings of the thread's CPU clock (some hundred nanoseconds); a stage's time and the decisions that it was for are counted together, so
//! that their quotient needs no scaling. What a thread waits for is not in its CPU time; for what waits for the disk the wall time stands beside.
//! Does not: add up to the process's CPU time. The rest is the kernel's sockets, HTTP, the runtime; `interlock bench authorizer` tells it.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use rustix::time::{ClockId, clock_gettime};

/// Bodies of few decisions are measured one time in so many.
const ONE_IN: u32 = 16;
/// Bodies with at least so many decisions are always measured.
const LARGE: usize = 16;

/// What is done with a decision, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// From a body's bytes to requests.
    Parse,
    /// From a request to nine verdicts, with its detail and commitments.
    Evaluate,
    /// Its place, the stateful conditions and its outcome.
    Sequence,
    /// Its record into the batch.
    Encode,
    /// Vault write and sync, leaf hashes, nodes.
    Hash,
    /// Frame write and sync, signature, memory, publication.
    Commit,
    /// Proofs and the answer's text.
    Answer,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Stage; 7] =
        [Stage::Parse, Stage::Evaluate, Stage::Sequence, Stage::Encode, Stage::Hash, Stage::Commit, Stage::Answer];

    /// As metrics name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stage::Parse => "parse",
            Stage::Evaluate => "evaluate",
            Stage::Sequence => "sequence",
            Stage::Encode => "encode",
            Stage::Hash => "hash",
            Stage::Commit => "commit",
            Stage::Answer => "answer",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    stage: &'static str,
}

/// What was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// By the thread on a core.
    pub cpu: Duration,
    /// By the clock on the wall.
    pub wall: Duration,
}

impl Spent {
    /// Both together with another's.
    #[must_use]
    pub fn and(self, other: Spent) -> Spent {
        Spent { cpu: self.cpu.saturating_add(other.cpu), wall: self.wall.saturating_add(other.wall) }
    }

    /// What is left without another's.
    #[must_use]
    pub fn without(self, other: Spent) -> Spent {
        Spent { cpu: self.cpu.saturating_sub(other.cpu), wall: self.wall.saturating_sub(other.wall) }
    }
}

/// A beginning, on the thread that reads it again.
#[derive(Clone, Copy, Debug)]
pub struct Since {
    cpu: Duration,
    wall: Instant,
}

impl Since {
    /// Now.
    #[must_use]
    pub fn now() -> Since {
        Since { cpu: cpu(), wall: Instant::now() }
    }

    /// When that was.
    #[must_use]
    pub fn when(self) -> Instant {
        self.wall
    }

    /// Since then.
    #[must_use]
    pub fn spent(self) -> Spent {
        Spent { cpu: cpu().saturating_sub(self.cpu), wall: self.wall.elapsed() }
    }
}

/// The CPU time of the calling thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Runs work, and tells what it spends while it is polled, where `measured`.
pub async fn timed<F: Future>(measured: bool, work: F) -> (F::Output, Option<Spent>) {
    if !measured {
        return (work.await, None);
    }
    let mut work = pin!(work);
    let mut spent = Spent::default();
    let done = poll_fn(|cx| {
        let since = Since::now();
        let polled = work.as_mut().poll(cx);
        spent = spent.and(since.spent());
        polled
    })
    .await;
    (done, Some(spent))
}

/// What all stages have spent so far on what was measured.
#[derive(Debug, Default)]
pub struct Stages {
    nanoseconds: Family<Label, Counter>,
    waited: Family<Label, Counter>,
    decisions: Family<Label, Counter>,
}

impl Stages {
    /// Whether a body is one of those that are measured at this stage.
    #[must_use]
    pub fn measures(stage: Stage, decisions: usize) -> bool {
        thread_local! {
            // One for each stage: of a common one, a stage that always comes second would never be measured.
            static COUNTS: [Cell<u32>; Stage::ALL.len()] = const { [const { Cell::new(0) }; Stage::ALL.len()] };
        }
        decisions >= LARGE
            || COUNTS.with(|counts| {
                let Some(place) = counts.get(stage as usize) else { return false };
                let count = place.get();
                place.set(count.wrapping_add(1));
                count.is_multiple_of(ONE_IN)
            })
    }

    /// Something was spent on so many decisions.
    pub fn add(&self, stage: Stage, decisions: usize, spent: Spent) {
        let label = Label { stage: stage.name() };
        let whole = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.get_or_create(&label).inc_by(whole(spent.cpu));
        self.waited.get_or_create(&label).inc_by(whole(spent.wall));
        self.decisions.get_or_create(&label).inc_by(decisions as u64);
    }

    /// As [`Stages::add`], where it was measured.
    pub fn add_some(&self, stage: Stage, decisions: usize, spent: Option<Spent>) {
        if let Some(spent) = spent {
            self.add(stage, decisions, spent);
        }
    }

    /// What was spent on a stage so far, and on how many decisions.
    #[must_use]
    pub fn so_far(&self, stage: Stage) -> (Spent, u64) {
        let label = Label { stage: stage.name() };
        let read = |family: &Family<Label, Counter>| family.get_or_create(&label).get();
        let spent = Spent {
            cpu: Duration::from_nanos(read(&self.nanoseconds)),
            wall: Duration::from_nanos(read(&self.waited)),
        };
        (spent, read(&self.decisions))
    }

    /// Tells them with the others.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "authorizer_stage_cpu_nanoseconds",
            "CPU time of decisions that were measured, by stage",
            self.nanoseconds.clone(),
        );
        registry.register(
            "authorizer_stage_wall_nanoseconds",
            "The same by the clock on the wall: what waits for the disk is in it",
            self.waited.clone(),
        );
        registry.register(
            "authorizer_stage_decisions",
            "Decisions that were measured, by stage",
            self.decisions.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_body_is_always_measured_and_a_small_one_now_and_then() {
        assert!((0..100).all(|_| Stages::measures(Stage::Parse, LARGE)));
        let measured = |stage| Stages::measures(stage, 1);
        // Whatever else is asked in between.
        let both = (0..ONE_IN * 10).map(|_| (measured(Stage::Parse), measured(Stage::Evaluate)));
        let (parsed, evaluated): (Vec<bool>, Vec<bool>) = both.unzip();
        assert_eq!([parsed, evaluated].map(|of| of.into_iter().filter(|measured| *measured).count()), [10, 10]);
    }

    #[test]
    fn what_a_thread_waits_for_is_no_cpu_time_of_its() {
        let since = Since::now();
        std::thread::sleep(Duration::from_millis(30));
        let slept = since.spent();
        assert!(slept.wall >= Duration::from_millis(30) && slept.cpu < slept.wall);
        let stages = Stages::default();
        stages.add(Stage::Commit, 3, slept);
        stages.add(Stage::Commit, 4, slept);
        assert_eq!(stages.so_far(Stage::Commit), (slept.and(slept), 7));
        assert_eq!(stages.so_far(Stage::Parse), (Spent::default(), 0));
        assert_eq!(Stage::ALL.map(Stage::name).len(), 7);
    }
}
