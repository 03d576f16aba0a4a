//! Why: whoever runs the service must see from outside what it decides, what it turns away, and how long the log takes.
//!
//! OpenMetrics text at `/metrics`, without a key. Decisions and their reasons are told on the decision API's listener only; the public one
//! tells what everybody can see in the log anyway, and how it is asked. What its dashboard shows is added up in `tally.rs`.
//!
//! Guarantees: every label has a closed set of values, so the size of an answer does not depend on who asks or for what; no realm, subject,
//! key or address is a label. Does not: remember anything over a restart; the log does.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use verifier::decision::Outcome;
use verifier::record::Record;

use crate::proposal::{Item, Place};
use crate::self_audit::{Gauges, Standing};
use crate::stages::Stages;
use crate::tally::Tally;
use crate::traces::Spans;

/// Seconds, from a fifth of a millisecond (a decision on an idle machine takes about one) to the five after which nobody waits.
const SECONDS: [f64; 14] = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];

/// What was built, as whoever built it says (`INTERLOCK_COMMIT` in the build's environment): a tree of sources alone does not know.
const COMMIT: &str = match option_env!("INTERLOCK_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Decided {
    effect: &'static str,
    /// The code of the first condition that failed, of the closed list; empty where it is allowed.
    reason: &'static str,
}

/// Of an epoch that is tried in shadow mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tried {
    effect: &'static str,
    /// What the candidate would have decided.
    candidate: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Shed {
    cause: &'static str,
}

/// What became of a decision that was to be decided again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rechecked {
    /// Plain Cedar comes to the same.
    Same,
    /// It does not.
    Differs,
    /// It cannot be read, or a governance race denied it.
    Unknown,
    /// It was drawn, and there was no room.
    Skipped,
    /// It had a policy error, and there was no room.
    Missed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Came {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    /// The path's pattern in the table of paths.
    route: String,
    code: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Synced {
    file: &'static str,
}

const MISSED: &str = "missed";

#[derive(Clone)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(SECONDS)
    }
}

/// What is true now, read when somebody asks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Entries under the published head.
    pub tree_size: u64,
    /// When that head was made, Unix milliseconds.
    pub head_ms: u64,
    /// Decisions that wait to be recorded.
    pub waiting: usize,
    /// Whether the service is ready.
    pub ready: bool,
    /// The age of the last canary that was denied; `None` if there is none or it is too old.
    pub canary: Option<Duration>,
    /// Whether compiled policies decide.
    pub compiled: bool,
    /// How many things an operator has to look into.
    pub alerts: usize,
    /// Decisions that wait to be decided again.
    pub rechecks_waiting: usize,
    /// What the log's own audits came to.
    pub audit: Standing,
}

/// All counters of a process.
pub struct Metrics {
    open: Registry,
    inner: Registry,
    decisions: Family<Decided, Counter>,
    shadow_decisions: Family<Tried, Counter>,
    decision_seconds: Histogram,
    shed: Family<Shed, Counter>,
    requests: Family<Answered, Counter>,
    refused: Family<Shed, Counter>,
    sequencing_seconds: Histogram,
    commit_seconds: Histogram,
    fsync_seconds: Family<Synced, Histogram, Buckets>,
    /// What became of spans.
    pub spans: Spans,
    /// Where the time goes.
    pub stages: Stages,
    /// What the service's own dashboard shows.
    pub tally: Tally,
    tree_size: Gauge,
    checkpoint_timestamp: Gauge<f64, std::sync::atomic::AtomicU64>,
    pool_entries: Gauge,
    ready: Gauge,
    canary_age: Gauge<f64, std::sync::atomic::AtomicU64>,
    rechecks: Family<Came, Counter>,
    rechecks_waiting: Gauge,
    compiled: Gauge,
    alerts: Gauge,
    audits: Gauges,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            open: Registry::default(),
            inner: Registry::default(),
            decisions: Family::default(),
            shadow_decisions: Family::default(),
            decision_seconds: Buckets.new_metric(),
            shed: Family::default(),
            requests: Family::default(),
            refused: Family::default(),
            sequencing_seconds: Buckets.new_metric(),
            commit_seconds: Buckets.new_metric(),
            fsync_seconds: Family::new_with_constructor(Buckets),
            spans: Spans::default(),
            stages: Stages::default(),
            tally: Tally::default(),
            tree_size: Gauge::default(),
            checkpoint_timestamp: Gauge::default(),
            pool_entries: Gauge::default(),
            ready: Gauge::default(),
            canary_age: Gauge::default(),
            rechecks: Family::default(),
            rechecks_waiting: Gauge::default(),
            compiled: Gauge::default(),
            alerts: Gauge::default(),
            audits: Gauges::default(),
        };
        let open = &mut metrics.open;
        let build = [("version", env!("CARGO_PKG_VERSION")), ("commit", COMMIT)];
        open.register("interlock_build", "The version that runs, and what it was built from", Info::new(build));
        open.register("ledger_tree_size", "Entries under the published head", metrics.tree_size.clone());
        open.register(
            "ledger_checkpoint_timestamp_seconds",
            "When the published head was made, Unix seconds",
            metrics.checkpoint_timestamp.clone(),
        );
        open.register("interlock_ready", "1 if decisions can be made", metrics.ready.clone());
        metrics.audits.register(open);
        open.register("http_requests", "Answers by path and status", metrics.requests.clone());
        open.register(
            "http_refused",
            "Requests to the public listener that were refused before any work: their address, or all, had taken too much",
            metrics.refused.clone(),
        );
        let inner = &mut metrics.inner;
        inner.register(
            "authorizer_decisions",
            "Recorded decisions by outcome and the first condition's code that denied",
            metrics.decisions.clone(),
        );
        inner.register(
            "authorizer_shadow_decisions",
            "Decisions under an epoch in shadow mode, by what was enforced and what the candidate says",
            metrics.shadow_decisions.clone(),
        );
        inner.register(
            "authorizer_decision_duration_seconds",
            "From a body that was read to its durable records",
            metrics.decision_seconds.clone(),
        );
        inner.register("authorizer_shed", "Calls that got 503, by cause: nothing was decided", metrics.shed.clone());
        inner.register(
            "authorizer_canary_age_seconds",
            "Since a request that must be denied was denied; -1 if none was lately",
            metrics.canary_age.clone(),
        );
        inner.register("ledger_pool_entries", "Decisions that wait to be recorded", metrics.pool_entries.clone());
        inner.register(
            "ledger_sequencing_duration_seconds",
            "From a full batch to its published head, all syncs included",
            metrics.sequencing_seconds.clone(),
        );
        inner.register(
            "ledger_commit_duration_seconds",
            "From a frame's write to its published head: the syncs of journal and memory, and a signature",
            metrics.commit_seconds.clone(),
        );
        inner.register(
            "ledger_fsync_duration_seconds",
            "Each fdatasync of a batch by itself, by what is made durable",
            metrics.fsync_seconds.clone(),
        );
        inner.register(
            "authorizer_rechecks",
            "Decisions of compiled policies that were to be decided again by plain Cedar, by what came of it",
            metrics.rechecks.clone(),
        );
        inner.register(
            "authorizer_rechecks_waiting",
            "Decisions that wait to be decided again",
            metrics.rechecks_waiting.clone(),
        );
        inner.register(
            "authorizer_compiled",
            "1 if compiled policies decide, 0 if plain Cedar does",
            metrics.compiled.clone(),
        );
        inner.register("authorizer_alerts", "What /readyz tells an operator to look into", metrics.alerts.clone());
        metrics.stages.register(inner);
        metrics.spans.register(inner);
        metrics
    }
}

impl Metrics {
    /// Items of a body were answered; what was recorded before counts once.
    pub fn decided(&self, items: &[(Box<Item>, Place)]) {
        let mut allowed = 0;
        let effect = |outcome| if outcome == Outcome::Allow { "allow" } else { "deny" };
        for (item, place) in items {
            let Place::New { record: Record::Decision(decision), .. } = place else { continue };
            if let Some(shadow) = decision.shadow {
                let tried = Tried { effect: effect(decision.outcome), candidate: effect(shadow.outcome) };
                self.shadow_decisions.get_or_create(&tried).inc();
            }
            match item.verdict.codes().next() {
                None => allowed += 1,
                Some((_, code)) => {
                    self.tally.deny(code.condition());
                    self.decisions.get_or_create(&Decided { effect: "deny", reason: code.name() }).inc();
                }
            }
        }
        if allowed > 0 {
            self.tally.allow(allowed);
            self.decisions.get_or_create(&Decided { effect: "allow", reason: "" }).inc_by(allowed);
        }
    }

    /// A body was answered by the sequencer.
    pub fn took(&self, time: Duration) {
        self.tally.decisions.add(time);
        self.decision_seconds.observe(time.as_secs_f64());
    }

    /// A batch was published.
    pub fn sequenced(&self, time: Duration) {
        self.sequencing_seconds.observe(time.as_secs_f64());
    }

    /// A staged batch was committed.
    pub fn committed(&self, time: Duration) {
        self.tally.commits.add(time);
        self.commit_seconds.observe(time.as_secs_f64());
    }

    /// A file of the log was synced.
    pub fn synced(&self, file: &'static str, time: Duration) {
        self.tally.synced(file, time);
        self.fsync_seconds.get_or_create(&Synced { file }).observe(time.as_secs_f64());
    }

    /// A decision was decided again, or was not.
    pub fn rechecked(&self, what: Rechecked) {
        let outcome = match what {
            Rechecked::Same => "same",
            Rechecked::Differs => "differs",
            Rechecked::Unknown => "unknown",
            Rechecked::Skipped => "skipped",
            Rechecked::Missed => MISSED,
        };
        self.rechecks.get_or_create(&Came { outcome }).inc();
    }

    /// Decisions with a policy error that were not decided again.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.rechecks.get(&Came { outcome: MISSED }).map_or(0, |counter| counter.get())
    }

    /// A request was answered; `shed` is the cause of a 503.
    pub fn answered(&self, route: Option<String>, code: u16, shed: Option<&'static str>) {
        let route = route.unwrap_or_else(|| "other".to_owned());
        self.requests.get_or_create(&Answered { route, code }).inc();
        if let Some(cause) = shed {
            // What strangers try in the sandbox is no agent that was turned away.
            if !cause.starts_with("sandbox_") {
                self.tally.shed();
            }
            self.shed.get_or_create(&Shed { cause }).inc();
        }
    }

    /// A request to the public listener was refused before any work, with a code of the closed list.
    pub fn refused(&self, status: u16, cause: &'static str) {
        self.answered(None, status, None);
        self.refused.get_or_create(&Shed { cause }).inc();
    }

    /// What anybody may read.
    #[must_use]
    pub fn public(&self, now: Now) -> String {
        self.set(now);
        encoded(&[&self.open])
    }

    /// What whoever reaches the decision API's address may read.
    #[must_use]
    pub fn all(&self, now: Now) -> String {
        self.set(now);
        encoded(&[&self.open, &self.inner])
    }

    fn set(&self, now: Now) {
        self.tree_size.set(i64::try_from(now.tree_size).unwrap_or(i64::MAX));
        self.checkpoint_timestamp.set(Duration::from_millis(now.head_ms).as_secs_f64());
        self.pool_entries.set(i64::try_from(now.waiting).unwrap_or(i64::MAX));
        self.ready.set(i64::from(now.ready));
        self.rechecks_waiting.set(i64::try_from(now.rechecks_waiting).unwrap_or(i64::MAX));
        self.compiled.set(i64::from(now.compiled));
        self.alerts.set(i64::try_from(now.alerts).unwrap_or(i64::MAX));
        self.audits.set(&now.audit);
        self.canary_age.set(now.canary.map_or(-1.0, |age| age.as_secs_f64()));
    }
}

/// OpenMetrics text of several registries.
fn encoded(registries: &[&Registry]) -> String {
    let mut out = String::new();
    for registry in registries {
        // Writing into a String cannot fail.
        let _ = text::encode_registry(&mut out, registry);
    }
    let _ = text::encode_eof(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_that_is_busy_turned_no_agent_away() {
        let metrics = Metrics::default();
        metrics.answered(None, 503, Some("sandbox_busy"));
        assert_eq!(metrics.tally.read().shed, 0);
        metrics.answered(None, 503, Some("overloaded"));
        assert_eq!(metrics.tally.read().shed, 1);
    }
}
