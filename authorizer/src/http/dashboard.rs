//! The page `/health` without its script: the figures of now, written into it.
//!
//! Guarantees: what stands in it is what `/v1/health` says; its script writes the same words. Does not draw curves: those need the script.

use std::fmt::Write;
use std::sync::LazyLock;

use ledger::http::habits::{age, escape};
use verifier::site;

use super::history::{Counts, Health, ServiceView};
use crate::self_audit;
use crate::tally::Percentiles;

/// The document without the figures.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| site::page("/health").map(site::document).unwrap_or_default());

/// What is not measured.
const DASH: &str = "–";

/// The page.
pub(super) fn page(health: &Health) -> String {
    let service = health.service.as_ref();
    let minute = service.map(|service| &service.last_minute);
    let p99 = minute.and_then(|minute| minute.decision_ms).map(|of| milliseconds(of.p99));
    site::fill(
        &DOCUMENT,
        &[
            ("state", &state(health)),
            ("age", &age(health.head.age_ms)),
            ("size", &health.head.size.to_string()),
            ("rate", &minute.map_or_else(|| DASH.to_owned(), |minute| rate(&minute.counts))),
            ("p99", &p99.unwrap_or_else(|| DASH.to_owned())),
            ("counts", &counts(service)),
            ("times", &times(service)),
            ("facts", &facts(health)),
        ],
    )
}

fn state(health: &Health) -> String {
    let tag = |colour, words: &str| format!("<span class=\"tag {colour}\">{words}</span>");
    match &health.service {
        _ if health.self_audit.state() == "failed" => tag("bad", "not ready") + " " + &escape(self_audit::FAILED),
        _ if health.frozen => tag("open", "frozen: complete for ever"),
        None => tag("open", "archive: read only"),
        Some(service) => {
            let mut out = match service.missing {
                None => tag("good", "ready"),
                Some(why) => tag("bad", "not ready") + " " + &escape(why),
            };
            for alert in &service.alerts {
                // Writing into a String cannot fail.
                let _ = write!(out, "<p class=\"open\">{}</p>", escape(alert));
            }
            out
        }
    }
}

/// Decisions a second over the last minute.
fn rate(counts: &Counts) -> String {
    let hundredths = (counts.allowed + counts.denied).saturating_mul(100) / 60;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn milliseconds(value: f32) -> String {
    if value >= 100.0 { format!("{value:.0} ms") } else { format!("{value:.2} ms") }
}

fn counts(service: Option<&ServiceView>) -> String {
    let mut out = String::new();
    let mut row = |name: &str, of: &dyn Fn(&Counts) -> u64| {
        let cell = |counts: Option<&Counts>| counts.map_or_else(|| DASH.to_owned(), |counts| of(counts).to_string());
        let (minute, total) =
            (service.map(|service| &service.last_minute.counts), service.map(|service| &service.total));
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{}</th><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>",
            escape(name),
            cell(minute),
            cell(total)
        );
    };
    row("Allowed", &|counts| counts.allowed);
    row("Denied", &|counts| counts.denied);
    for condition in service.iter().flat_map(|service| service.total.denied_by.keys()) {
        let of = |counts: &Counts| counts.denied_by.get(condition).and_then(serde_json::Value::as_u64).unwrap_or(0);
        row(&format!("– by {condition}"), &of);
    }
    row("Turned away (503)", &|counts| counts.shed);
    out
}

fn times(service: Option<&ServiceView>) -> String {
    let minute = service.map(|service| &service.last_minute);
    let mut out = String::new();
    let mut row = |name: &str, of: Option<Percentiles>| {
        let cells = of.map_or_else(
            || [DASH.to_owned(), DASH.to_owned(), DASH.to_owned(), "0".to_owned()],
            |of| [milliseconds(of.p50), milliseconds(of.p90), milliseconds(of.p99), of.count.to_string()],
        );
        let _ = write!(out, "<tr><th scope=\"row\">{name}</th>");
        for cell in cells {
            let _ = write!(out, "<td class=\"number\">{cell}</td>");
        }
        out.push_str("</tr>");
    };
    row("A decision, from its last byte to its durable record", minute.and_then(|minute| minute.decision_ms));
    row("A commit, from the frame's write to its head", minute.and_then(|minute| minute.commit_ms));
    row("fsync of the journal", minute.and_then(|minute| minute.fsync_ms.journal));
    row("fsync of the vault", minute.and_then(|minute| minute.fsync_ms.vault));
    row("fsync of the memory", minute.and_then(|minute| minute.fsync_ms.memory));
    out
}

fn facts(health: &Health) -> String {
    let mut out = String::new();
    let mut fact = |name: &str, value: &str| {
        let _ = write!(out, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    };
    let dash = || DASH.to_owned();
    let service = health.service.as_ref();
    let canary = service.map_or_else(dash, |service| match service.canary_age_ms {
        Some(ms) => {
            format!("<span class=\"tag good\">denied</span> a request that must be denied was, {} ago", age(ms))
        }
        None => "<span class=\"tag bad\">none lately</span>".to_owned(),
    });
    fact("Canary", &canary);
    fact("Queue", &service.map_or_else(dash, |service| format!("{} decisions wait to be recorded", service.waiting)));
    fact("Last self-audit", &health.self_audit.words(health.now_ms));
    fact("Measured since", &service.and_then(|service| service.since.clone()).unwrap_or_else(dash));
    fact("Version", health.version);
    fact("The service's clock", &health.time);
    out
}
