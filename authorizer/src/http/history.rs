//! `GET /v1/health`, `GET /v1/health/history` and the page `/health` on the public listener: how the service is, and how it was.
//!
//! Guarantees: what `/metrics` of this listener may tell, with its course: no reason of a denial, no realm, no key; a denial is counted by the
//! first condition that its leaf says did not pass. What is not measured is `null`. Of an archive there are a head and what its audits of
//! itself came to.

use actix_web::web::{Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use ledger::http::habits::{HTML, Problem, Query, at, fresh, fresh_json, headers, read, secure};
use serde::Serialize;
use serde_json::{Map, Value};
use verifier::decision::Condition;
use verifier::hash::Hash;
use verifier::text::rfc3339;

use super::dashboard;
use super::lineage::Teller;
use super::self_audit::AuditView;
use crate::history::Sample;
use crate::live::Shared;
use crate::tally::{Percentiles, Sums};

/// Puts the paths into an app, before the read API, which answers every other path.
pub(super) fn configure(config: &mut ServiceConfig, teller: Teller) {
    let teller = Data::new(teller);
    let path = |pattern| at(pattern).app_data(teller.clone()).wrap(headers());
    config
        .service(path("/health").route(read().to(page)))
        .service(path("/v1/health").route(read().to(now)))
        .service(path("/v1/health/history").route(read().to(history)));
}

/// How the service is.
#[derive(Serialize)]
pub(super) struct Health {
    pub(super) origin: String,
    pub(super) version: &'static str,
    /// By the service's clock.
    pub(super) time: String,
    #[serde(skip)]
    pub(super) now_ms: u64,
    pub(super) head: HeadView,
    pub(super) frozen: bool,
    /// `null` for an archive, which serves and decides nothing.
    pub(super) service: Option<ServiceView>,
    pub(super) self_audit: AuditView,
}

#[derive(Serialize)]
pub(super) struct HeadView {
    pub(super) size: u64,
    pub(super) root: Hash,
    pub(super) time: String,
    pub(super) age_ms: u64,
}

#[derive(Serialize)]
pub(super) struct ServiceView {
    pub(super) ready: bool,
    /// Why it is not ready.
    pub(super) missing: Option<&'static str>,
    /// What an operator has to look into.
    pub(super) alerts: Vec<&'static str>,
    /// When the first sample was taken.
    pub(super) since: Option<String>,
    pub(super) epoch: u64,
    pub(super) governance: u64,
    /// Decisions that wait to be recorded.
    pub(super) waiting: usize,
    /// Since a request that must be denied was denied; `null` if none was lately.
    pub(super) canary_age_ms: Option<u64>,
    pub(super) total: Counts,
    /// Of the last minute.
    pub(super) last_minute: Minute,
}

#[derive(Serialize)]
pub(super) struct Counts {
    pub(super) allowed: u64,
    pub(super) denied: u64,
    /// By the first condition that did not pass.
    pub(super) denied_by: Map<String, Value>,
    /// Calls that got 503: nothing was decided.
    pub(super) shed: u64,
}

#[derive(Serialize)]
pub(super) struct Minute {
    #[serde(flatten)]
    pub(super) counts: Counts,
    /// Milliseconds from a body that was read to its durable records.
    pub(super) decision_ms: Option<Percentiles>,
    /// Milliseconds from a frame's write to its published head.
    pub(super) commit_ms: Option<Percentiles>,
    /// Milliseconds of each sync by itself.
    pub(super) fsync_ms: Fsyncs,
}

#[derive(Serialize)]
pub(super) struct Fsyncs {
    pub(super) journal: Option<Percentiles>,
    pub(super) vault: Option<Percentiles>,
    pub(super) memory: Option<Percentiles>,
}

impl Counts {
    fn of(sums: &Sums) -> Self {
        let by = Condition::ALL.into_iter().zip(sums.denied).filter(|(_, count)| *count > 0);
        Self {
            allowed: sums.allowed,
            denied: sums.denied.iter().sum(),
            denied_by: by.map(|(condition, count)| (condition.name().to_owned(), count.into())).collect(),
            shed: sums.shed,
        }
    }
}

impl Health {
    /// How it is now.
    pub(super) fn of(teller: &Teller) -> Self {
        let reader = teller.reader();
        let head = reader.head();
        let now_ms = teller.now_ms();
        let service = match teller {
            Teller::Service(shared) => Some(ServiceView::of(shared)),
            Teller::Archive(..) => None,
        };
        Self {
            origin: reader.origin().to_owned(),
            version: env!("CARGO_PKG_VERSION"),
            time: rfc3339(now_ms),
            now_ms,
            head: HeadView {
                size: head.checkpoint.size,
                root: head.checkpoint.root,
                time: rfc3339(head.time_ms),
                age_ms: now_ms.saturating_sub(head.time_ms),
            },
            frozen: reader.frozen(),
            service,
            self_audit: AuditView::of(&teller.audits().standing()),
        }
    }
}

impl ServiceView {
    fn of(shared: &Shared) -> Self {
        let (seen, live, ready) = (shared.seen(), shared.live.load(), shared.ready());
        let lately = shared.history.lately(&seen.sums);
        Self {
            ready: ready.is_ok(),
            missing: ready.err(),
            alerts: shared.alerts(),
            since: shared.history.started_ms().map(rfc3339),
            epoch: live.epoch,
            governance: live.governance,
            waiting: seen.waiting,
            canary_age_ms: seen.canary.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            total: Counts::of(&seen.sums),
            last_minute: Minute {
                counts: Counts::of(&lately),
                decision_ms: lately.decisions.percentiles(),
                commit_ms: lately.commits.percentiles(),
                fsync_ms: Fsyncs {
                    journal: lately.journal.percentiles(),
                    vault: lately.vault.percentiles(),
                    memory: lately.memory.percentiles(),
                },
            },
        }
    }
}

/// The page, with the figures of now in it; its own query is read by its script alone.
async fn page(request: HttpRequest, teller: Data<Teller>) -> Result<HttpResponse, Problem> {
    let mut answer = fresh(&request, HTML, dashboard::page(&Health::of(&teller))).await?;
    secure(answer.headers_mut());
    Ok(answer)
}

async fn now(request: HttpRequest, teller: Data<Teller>) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    fresh_json(&request, &Health::of(&teller)).await
}

/// Samples column by column: a day of minutes is told in a few dozen kilobytes.
#[derive(Default, Serialize)]
struct Columns {
    /// When each ended, Unix milliseconds.
    at: Vec<u64>,
    size: Vec<u64>,
    allowed: Vec<u64>,
    denied: Vec<u64>,
    /// By the first condition that did not pass; conditions that denied nothing are left out.
    denied_by: Map<String, Value>,
    shed: Vec<u64>,
    waiting: Vec<usize>,
    /// Looks at which the service was ready, and all looks.
    ready: Vec<u32>,
    looks: Vec<u32>,
    canary_ms: Vec<Option<u64>>,
    decision_ms: Curves,
    commit_ms: Curves,
    journal_ms: Curves,
    vault_ms: Curves,
    memory_ms: Curves,
}

#[derive(Default, Serialize)]
struct Curves {
    p50: Vec<Option<f32>>,
    p90: Vec<Option<f32>>,
    p99: Vec<Option<f32>>,
}

impl Curves {
    fn of(samples: &[Sample], which: impl Fn(&Sample) -> Option<Percentiles>) -> Self {
        let found: Vec<_> = samples.iter().map(which).collect();
        let column = |value: fn(Percentiles) -> f32| found.iter().map(|found| found.map(value)).collect();
        Self { p50: column(|of| of.p50), p90: column(|of| of.p90), p99: column(|of| of.p99) }
    }
}

impl Columns {
    fn of(samples: &[Sample]) -> Self {
        let mut denied_by = Map::new();
        for condition in Condition::ALL {
            let by = |sample: &Sample| sample.denied.get(condition.index()).copied().unwrap_or(0);
            let column: Vec<u64> = samples.iter().map(by).collect();
            if column.iter().any(|count| *count > 0) {
                denied_by.insert(condition.name().to_owned(), column.into());
            }
        }
        Self {
            at: samples.iter().map(|sample| sample.at_ms).collect(),
            size: samples.iter().map(|sample| sample.size).collect(),
            allowed: samples.iter().map(|sample| sample.allowed).collect(),
            denied: samples.iter().map(|sample| sample.denied.iter().sum()).collect(),
            denied_by,
            shed: samples.iter().map(|sample| sample.shed).collect(),
            waiting: samples.iter().map(|sample| sample.waiting).collect(),
            ready: samples.iter().map(|sample| sample.ready).collect(),
            looks: samples.iter().map(|sample| sample.looks).collect(),
            canary_ms: samples.iter().map(|sample| sample.canary_ms).collect(),
            decision_ms: Curves::of(samples, |sample| sample.decisions),
            commit_ms: Curves::of(samples, |sample| sample.commits),
            journal_ms: Curves::of(samples, |sample| sample.journal),
            vault_ms: Curves::of(samples, |sample| sample.vault),
            memory_ms: Curves::of(samples, |sample| sample.memory),
        }
    }
}

#[derive(Serialize)]
struct Course {
    /// By the service's clock, Unix milliseconds.
    now: u64,
    /// When the first sample was taken; `null` where nothing is measured.
    since: Option<u64>,
    step_ms: u64,
    samples: Columns,
}

async fn history(request: HttpRequest, teller: Data<Teller>) -> Result<HttpResponse, Problem> {
    let query = Query::read(&request, &["step", "after"])?;
    let after = query.number("after")?.unwrap_or(0);
    let minutes = match query.text("step")?.as_deref() {
        None | Some("minute") => true,
        Some("second") => false,
        Some(_) => return Err(Problem::malformed("step", "`second` or `minute`")),
    };
    let (since, samples) = match &**teller {
        Teller::Service(shared) => {
            let history = &shared.history;
            (history.started_ms(), if minutes { history.minutes(after) } else { history.seconds(after) })
        }
        Teller::Archive(..) => (None, Vec::new()),
    };
    let step_ms = if minutes { 60_000 } else { 1_000 };
    fresh_json(&request, &Course { now: teller.now_ms(), since, step_ms, samples: Columns::of(&samples) }).await
}
