//! A verified bundle in plain words, as one page of HTML for people and for paper: nothing is fetched, and no script runs in it.
//!
//! Guarantees: it is made of a verified bundle only, says rung by rung what held and at the end what was not checked, and every value of the
//! log is escaped, so that no request can write into the page. Does not: judge, and is no evidence itself; the bundle is.

use std::fmt::Write;

use serde_json::Value;
use verifier::bundle::{Part, Parts};
use verifier::decision::{Class, Condition, Decision, Detail, Outcome};
use verifier::epoch::EpochContent;
use verifier::record::Record;
use verifier::text::rfc3339;
use verifier::verify::VerifiedBundle;

const STYLE: &str = "\
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.6rem}h2{margin-top:2.5rem;font-size:1.25rem}h3{margin:1.8rem 0 .3rem;font-size:1.05rem}\
pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.85rem;border-left:3px solid;padding:.2rem .8rem;margin:.5rem 0}\
code{overflow-wrap:anywhere}table{border-collapse:collapse;margin:.5rem 0}th,td{text-align:left;padding:.1rem 1.2rem .1rem 0;vertical-align:top}\
.allow,.deny{font-weight:700}\
@media print{:root{color-scheme:light}body{font-size:10.5pt;max-width:none;margin:0}article{break-inside:avoid}h2,h3{break-after:avoid}@page{margin:18mm}}";

/// The page. `said` is the verdict as `--json` has it.
pub fn page(verified: &VerifiedBundle<'_>, said: &Value) -> String {
    let (head, manifest) = (verified.head(), &verified.bundle().manifest);
    let origin = escaped(&head.origin);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>Evidence from {origin}</title>\n<style>{STYLE}</style>\n<main>\n<h1>Evidence from {origin}</h1>\n"
    );
    let outcomes = |wanted| verified.decisions().filter(|(_, decision, _)| decision.outcome == wanted).count();
    let (allowed, denied) = (outcomes(Outcome::Allow), outcomes(Outcome::Deny));
    put(
        &mut out,
        format_args!(
            "<p>{} records of this log were verified: {allowed} decisions that allowed an action, {denied} that denied one, and what they \
             rest on. The log had {} records when its head was signed.</p>\n<table>\n\
             <tr><th scope=\"row\">Chosen by, as its maker says<td>{}\n<tr><th scope=\"row\">Root of the log<td><code>{}</code>\n</table>\n",
            verified.bundle().entries.len(),
            head.size,
            escaped(manifest.choice),
            head.root,
        ),
    );
    out.push_str("<h2>What was verified</h2>\n");
    list(&mut out, &said["held"]);
    out.push_str("<h2>What was not</h2>\n");
    list(&mut out, &said["not_checked"]);
    out.push_str("<h2>The decisions</h2>\n");
    verified.decisions().for_each(|(index, decision, parts)| told(&mut out, index, decision, parts));
    out.push_str("<h2>The other records</h2>\n<table>\n<tr><th scope=\"col\">Entry<th scope=\"col\">Kind<th scope=\"col\">Recorded\n");
    for (index, record, _) in verified.records().filter(|(_, record, _)| !matches!(record, Record::Decision(_))) {
        put(&mut out, format_args!("<tr><td>{index}<td>{}<td>{}\n", record.kind_name(), rfc3339(record.recorded_at())));
    }
    out.push_str("</table>\n<h2>The rules that were in force</h2>\n");
    verified.epochs().iter().for_each(|(number, document)| epoch(&mut out, *number, document));
    out.push_str("</main>\n</html>\n");
    out
}

fn list(out: &mut String, items: &Value) {
    out.push_str("<ul>\n");
    for item in items.as_array().into_iter().flatten().filter_map(Value::as_str) {
        put(out, format_args!("<li>{}\n", escaped(item)));
    }
    out.push_str("</ul>\n");
}

/// One decision: who asked to do what, what came of it, and why.
fn told(out: &mut String, index: u64, decision: &Decision, parts: &Parts<'_>) {
    let detail = match parts.detail {
        Part::Disclosed { bytes, .. } => Detail::decode(bytes).ok(),
        Part::Committed | Part::Erased { .. } | Part::Lost => None,
    };
    let (class, word) = match decision.outcome {
        Outcome::Allow => ("allow", "allowed"),
        Outcome::Deny => ("deny", "denied"),
    };
    put(out, format_args!("<article>\n<h3>Entry {index}: <span class=\"{class}\">{word}</span></h3>\n<p>"));
    let asked = match &detail {
        Some(detail) => format!(
            "<code>{}</code> asked to do <code>{}</code> with <code>{}</code>, and that was {word}",
            named(&detail.subject),
            escaped(&detail.action),
            named(&detail.resource)
        ),
        None => format!("Something was asked, and that was {word}"),
    };
    put(out, format_args!("At {} {asked}", rfc3339(decision.evaluated_at)));
    if let Some(grant) = decision.grant {
        let times = if grant.uses == 1 { "once".to_owned() } else { format!("up to {} times", grant.uses) };
        put(out, format_args!(", to be acted on {times} before {}", rfc3339(grant.expires_at)));
    }
    if let Some(audience) = &decision.audience {
        put(out, format_args!(", by <code>{}</code> alone", escaped(audience)));
    }
    put(
        out,
        format_args!(
            ". Realm {}, epoch {}, recorded {}, id <code>{}</code>.</p>\n",
            escaped(&decision.realm),
            decision.epoch,
            rfc3339(decision.recorded_at),
            decision.permit
        ),
    );
    conditions(out, decision, detail.as_ref());
    if let Some(policies) = detail.as_ref().and_then(|detail| detail.policies.as_ref()) {
        put(
            out,
            format_args!("<p>Decided by {} policies: {}</p>\n", policies.count, escaped(&policies.shown.join(", "))),
        );
    }
    if let Some(shadow) = decision.shadow {
        let would = if shadow.outcome == Outcome::Allow { "allowed" } else { "denied" };
        put(out, format_args!("<p>The candidate epoch {} would have {would} it.</p>\n", shadow.epoch));
    }
    match parts.request {
        Part::Disclosed { bytes, .. } => {
            put(
                out,
                format_args!(
                    "<p>The request, as it was sent:</p>\n<pre>{}</pre>\n",
                    escaped(&String::from_utf8_lossy(bytes))
                ),
            );
        }
        Part::Committed | Part::Erased { .. } | Part::Lost => {
            put(out, format_args!("<p>The request {}.</p>\n", absent(&parts.request)))
        }
    }
    if !matches!(parts.detail, Part::Disclosed { .. }) {
        put(out, format_args!("<p>Who asked and why it came out so {}.</p>\n", absent(&parts.detail)));
    }
    out.push_str("</article>\n");
}

/// The conditions that speak against it, or that none does.
fn conditions(out: &mut String, decision: &Decision, detail: Option<&Detail>) {
    let code = |condition: Condition| {
        let mut codes = detail.into_iter().flat_map(|detail| &detail.codes);
        codes.find(|(of, _)| *of == condition).map(|(_, code)| code.as_str())
    };
    let against = decision.classes.iter().filter(|(_, class)| matches!(class, Class::Fail | Class::Unknown));
    let lines: Vec<String> = against
        .map(|(condition, class)| {
            let how = if class == Class::Fail { "was not met" } else { "could not be evaluated" };
            let why = code(condition).map_or_else(String::new, |code| format!(" (<code>{}</code>)", escaped(code)));
            format!("{} {how}{why}", in_words(condition))
        })
        .collect();
    let met: Vec<&str> =
        decision.classes.iter().filter(|(_, class)| *class == Class::Pass).map(|(c, _)| in_words(c)).collect();
    if !lines.is_empty() {
        put(out, format_args!("<p>Against it: {}.</p>\n", lines.join("; ")));
    }
    put(
        out,
        format_args!(
            "<p>Evaluated and met: {}.</p>\n",
            if met.is_empty() { "nothing".to_owned() } else { met.join(", ") }
        ),
    );
}

/// A condition in plain words.
const fn in_words(condition: Condition) -> &'static str {
    match condition {
        Condition::Policy => "the policies",
        Condition::Identity => "who asks",
        Condition::Trust => "trust assertions",
        Condition::Runtime => "switches, deadline and clock",
        Condition::Scopes => "the scopes",
        Condition::Operational => "rates, budgets and leases",
        Condition::Environment => "the environment's digests",
        Condition::Attestation => "the attestation",
        Condition::Permissions => "lifetime, uses and approvals",
    }
}

fn absent(part: &Part<'_>) -> String {
    match part {
        Part::Disclosed { .. } => "is here".to_owned(),
        Part::Committed => "is not public: the record commits to it".to_owned(),
        Part::Erased { by } => format!("was erased, as entry {by} says"),
        Part::Lost => "is missing, and no record says why".to_owned(),
    }
}

fn epoch(out: &mut String, number: u64, document: &[u8]) {
    put(out, format_args!("<h3>Epoch {number}</h3>\n"));
    let Ok(content) = EpochContent::decode(document) else {
        return put(out, format_args!("<p>{} bytes of a form that this version does not read.</p>\n", document.len()));
    };
    for (id, text) in &content.policies {
        put(out, format_args!("<p>Policy <code>{}</code></p>\n<pre>{}</pre>\n", escaped(id), escaped(text)));
    }
    for (name, text) in
        [("Schema", &content.schema), ("Registered entities", &content.entities), ("Trust file", &content.trust)]
    {
        if let Some(text) = text {
            put(out, format_args!("<p>{name}</p>\n<pre>{}</pre>\n", escaped(text)));
        }
    }
}

/// An entity as policies write it.
fn named((kind, id): &(String, String)) -> String {
    escaped(&format!("{kind}::\"{id}\""))
}

/// Text that stays text: no tags, no entities, and nothing that is not seen or that shows the rest otherwise: control characters, line and
/// paragraph separators, and what Unicode calls default ignorable (DerivedCoreProperties), direction marks and zero widths among them.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}' => put(&mut out, format_args!("{}", c.escape_unicode())),
            c if c.is_control() => put(&mut out, format_args!("{}", c.escape_unicode())),
            c => out.push(c),
        }
    }
    out
}

fn put(out: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = out.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_spelled_and_what_is_stays() {
        for c in [
            '\u{0}',
            '\u{1b}',
            '\u{ad}',
            '\u{200b}',
            '\u{200d}',
            '\u{2028}',
            '\u{2029}',
            '\u{202e}',
            '\u{2060}',
            '\u{feff}',
            '\u{e0041}',
        ] {
            assert_eq!(escaped(&format!("clerk{c}")), format!("clerk{}", c.escape_unicode()));
        }
        for seen in ["clerk", "a\nb", "\u{e9}", "e\u{301}", "\u{939}\u{93f}", "\u{1F512}"] {
            assert_eq!(escaped(seen), seen);
        }
        assert_eq!(escaped("<b a=\"1\">&'"), "&lt;b a=&quot;1&quot;&gt;&amp;&#39;");
    }
}
