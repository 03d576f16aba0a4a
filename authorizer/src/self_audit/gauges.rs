//! What a scraper reads of self-audits.
//!
//! Guarantees: closed sets of labels; what `/v1/health` says of them, and nothing of an entry beside its index.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Outcome, Standing};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Made {
    outcome: &'static str,
}

/// The gauges of self-audits.
#[derive(Default)]
pub struct Gauges {
    made: Family<Made, Gauge>,
    failed: Gauge,
    running: Gauge,
    entries: Gauge,
    size: Gauge,
    first_fault: Gauge,
    ended: Gauge<f64, AtomicU64>,
}

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauges").finish_non_exhaustive()
    }
}

impl Gauges {
    /// Makes them known.
    pub fn register(&self, registry: &mut Registry) {
        let mut gauge = |name: &str, help: &str, gauge: &Gauge| registry.register(name, help, gauge.clone());
        gauge(
            "interlock_self_audit_failed",
            "1 if stored entries are not what the signed head says: nothing is decided",
            &self.failed,
        );
        gauge("interlock_self_audit_running", "1 while the log is audited", &self.running);
        gauge(
            "interlock_self_audit_entries",
            "Entries that the audit under way, or the last one, has read",
            &self.entries,
        );
        gauge("interlock_self_audit_size", "Size of the head that they are held against", &self.size);
        gauge(
            "interlock_self_audit_first_fault",
            "Index of the first entry that is wrong; -1 if none is known",
            &self.first_fault,
        );
        registry.register("interlock_self_audits", "Self-audits since the start, by how they ended", self.made.clone());
        registry.register(
            "interlock_self_audit_timestamp_seconds",
            "When the last self-audit ended, Unix seconds; 0 before the first",
            self.ended.clone(),
        );
    }

    /// As it stands now.
    pub fn set(&self, standing: &Standing) {
        let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        for (outcome, count) in Outcome::ALL.into_iter().zip(standing.counts) {
            self.made.get_or_create(&Made { outcome: outcome.name() }).set(whole(count));
        }
        let pass = standing.under_way.or(standing.last.map(|last| last.pass));
        self.failed.set(i64::from(standing.failed));
        self.running.set(i64::from(standing.under_way.is_some()));
        self.entries.set(pass.map_or(0, |pass| whole(pass.entries)));
        self.size.set(pass.map_or(0, |pass| whole(pass.size)));
        self.first_fault.set(standing.last.and_then(|last| last.first_fault).map_or(-1, whole));
        self.ended.set(standing.last.map_or(0.0, |last| Duration::from_millis(last.ended_ms).as_secs_f64()));
    }

    /// OpenMetrics text of these alone: an archive counts nothing else.
    #[must_use]
    pub fn alone(standing: &Standing) -> String {
        let (gauges, mut registry, mut out) = (Self::default(), Registry::default(), String::new());
        gauges.register(&mut registry);
        gauges.set(standing);
        // Writing into a String cannot fail.
        let _ = text::encode(&mut out, &registry);
        out
    }
}
