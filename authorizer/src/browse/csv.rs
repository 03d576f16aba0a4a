//! Why: auditors work in spreadsheets, and a spreadsheet runs what looks like a formula.
//!
//! Guarantees: RFC 4180, UTF-8, every cell quoted, one header line; no cell begins with a character that a spreadsheet takes for a formula, as
//! far as others than this service chose it: such a cell has an apostrophe in front (OWASP, CSV injection). Hashes are hex, which none is.
//! Does not: tell more than the JSON form; what is withheld is named, and its cells are empty.

use verifier::decision::{Class, Condition, Named};
use verifier::text::{hex, rfc3339};

use super::filter::entity;
use super::scan::Found;

const COLUMNS: [&str; 22] = [
    "index",
    "permit",
    "outcome",
    "realm",
    "recorded_at",
    "evaluated_at",
    "epoch",
    "governance",
    "not_passed",
    "expires_at",
    "uses",
    "audience",
    "withheld",
    "subject",
    "action",
    "resource",
    "reasons",
    "policies",
    "parent",
    "leaf",
    "request",
    "detail",
];

/// The decisions as CSV.
#[must_use]
pub fn csv(found: &[Found]) -> String {
    let mut out = String::new();
    line(&mut out, COLUMNS.map(str::to_owned));
    found.iter().for_each(|found| line(&mut out, cells(found)));
    out
}

fn cells(Found { node, leaf }: &Found) -> [String; COLUMNS.len()] {
    let decision = &node.decision;
    let detail = node.detail.as_ref().ok();
    let text = |text: Option<String>| text.unwrap_or_default();
    let names = |named: &Named| {
        let more = named.count.saturating_sub(named.shown.len() as u64);
        let tail = (more > 0).then(|| format!("and {more} more"));
        named.shown.iter().cloned().chain(tail).collect::<Vec<_>>().join(" ")
    };
    [
        node.index.to_string(),
        decision.permit.to_string(),
        decision.outcome.name().to_owned(),
        decision.realm.clone(),
        rfc3339(decision.recorded_at),
        rfc3339(decision.evaluated_at),
        decision.epoch.to_string(),
        decision.governance.to_string(),
        not_passed(&decision.classes).map(Condition::name).collect::<Vec<_>>().join(" "),
        text(decision.grant.map(|grant| rfc3339(grant.expires_at))),
        text(decision.grant.map(|grant| grant.uses.to_string())),
        text(decision.audience.clone()),
        text(node.detail.as_ref().err().map(|why| why.name().to_owned())),
        text(detail.map(|detail| entity(&detail.subject))),
        text(detail.map(|detail| detail.action.clone())),
        text(detail.map(|detail| entity(&detail.resource))),
        text(detail.map(|detail| detail.codes.iter().map(|(_, code)| code.as_str()).collect::<Vec<_>>().join(" "))),
        text(detail.and_then(|detail| detail.policies.as_ref()).map(names)),
        text(detail.and_then(|detail| detail.parent).map(|parent| parent.to_string())),
        hex(&leaf.0),
        hex(&decision.request.0),
        hex(&decision.detail.0),
    ]
}

fn not_passed(classes: &verifier::decision::Classes) -> impl Iterator<Item = Condition> {
    classes.iter().filter(|(_, class)| matches!(class, Class::Fail | Class::Unknown)).map(|(condition, _)| condition)
}

fn line(out: &mut String, cells: [String; COLUMNS.len()]) {
    for (place, cell) in cells.iter().enumerate() {
        out.push_str(if place == 0 { "\"" } else { ",\"" });
        if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}']) {
            out.push('\'');
        }
        out.push_str(&cell.replace('"', "\"\""));
        out.push('"');
    }
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_none_leaves_its_quotes() {
        let mut cells: [String; COLUMNS.len()] = std::array::from_fn(|_| String::new());
        let given = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1", "a\"b,c\r\nd", "plain"];
        for (cell, text) in cells.iter_mut().zip(given) {
            text.clone_into(cell);
        }
        let mut out = String::new();
        line(&mut out, cells);
        let expected = "\"'=1+1\",\"'+1\",\"'-1\",\"'@SUM(A1)\",\"'\t=1\",\"'＝1\",\"a\"\"b,c\r\nd\",\"plain\",";
        assert!(out.starts_with(expected), "{out}");
        assert!(out.ends_with("\"\"\r\n"), "{out}");
    }
}
