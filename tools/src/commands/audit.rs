//! `interlock audit` and `interlock fsck`: everything derived again from the first byte of a log's directory.
//!
//! Audit asks whether every entry holds and follows from the key; fsck asks whether the files are what they must be. Both read beside a
//! running server. Of a log at an address, `address` derives what its server serves.

mod address;

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ledger::{CheckError, Progress, Report};
use serde_json::json;

use crate::commands::verify::read_vkey;
use crate::exit::{Exit, Failure};
use crate::output::{self, note, say};

/// Re-derive a whole log, in its directory or at its public address, and hold it against its key.
#[derive(Debug, Args)]
pub struct Audit {
    #[command(flatten)]
    place: Place,
    /// The log's verification key, or a file that holds it; without it only the log's own claim is there to compare
    #[arg(long)]
    vkey: Option<String>,
}

/// Find damage in a log's directory.
#[derive(Debug, Args)]
pub struct Fsck {
    #[command(flatten)]
    place: Place,
}

/// Where the log is.
#[derive(Debug, Args)]
struct Place {
    /// The log's directory; for an audit also a server's public address
    dir: PathBuf,
    /// Where its head is remembered; beside the directory without
    #[arg(long)]
    memory: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

impl Audit {
    /// Audits; a clean log without a key that the reader brought is not anchored.
    pub fn run(&self) -> Result<Exit, Failure> {
        if let Some(url) = self.place.dir.to_str().filter(|place| place.contains("://")) {
            if self.place.memory.is_some() {
                return Err(Failure::usage("--memory is for a directory"));
            }
            let exit = address::audit(url, self.vkey.as_deref(), self.place.json)?;
            return Ok(self.anchored(exit));
        }
        let claimed = || {
            let text = std::fs::read_to_string(self.place.dir.join("log.toml"));
            let text = text.map_err(|error| Failure::unavailable(format!("{}: {error}", self.place.dir.display())))?;
            let log: toml::Table = text.parse().map_err(Failure::undecidable)?;
            let key = log.get("verification_key").and_then(toml::Value::as_str);
            read_vkey(key.ok_or_else(|| Failure::undecidable("`log.toml` names no verification key"))?)
        };
        let key = self.vkey.as_ref().map_or_else(claimed, |vkey| read_vkey(vkey))?;
        let exit = self
            .place
            .check("audit", |progress| ledger::audit(&self.place.dir, self.place.memory.as_deref(), &key, progress))?;
        Ok(self.anchored(exit))
    }

    fn anchored(&self, exit: Exit) -> Exit {
        if exit == Exit::Ok && self.vkey.is_none() {
            note!("not anchored: no --vkey was given, so the log was held against its own claim only");
            return Exit::NotAnchored;
        }
        exit
    }
}

impl Fsck {
    /// Checks the files.
    pub fn run(&self) -> Result<Exit, Failure> {
        self.place.check("fsck", |progress| ledger::fsck(&self.place.dir, self.place.memory.as_deref(), progress))
    }
}

impl Place {
    fn check(
        &self,
        what: &str,
        check: impl FnOnce(&mut dyn FnMut(Progress)) -> Result<Report, CheckError>,
    ) -> Result<Exit, Failure> {
        let target =
            if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} entries, {per_sec}, {eta} left");
        let bar = bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let report = check(&mut |Progress { done, total }| {
            bar.set_length(total);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        let report = report.map_err(Failure::unavailable)?;
        if self.json {
            say!("{}", as_json(what, &report))?;
        } else {
            output::print(as_text(what, &report))?;
        }
        Ok(match report.is_clean() {
            false => Exit::Invalid,
            // Nothing says that they would match: not wrong, and not verified.
            true if what == "audit" && report.without_private_parts && report.decisions > 0 => Exit::Undecidable,
            true => Exit::Ok,
        })
    }
}

fn as_text(what: &str, report: &Report) -> String {
    let root = report.root.map_or_else(|| "none".to_owned(), |root| root.to_string());
    let mut out = format!("{} at size {}, root {root}\n", report.origin, report.size);
    out.push_str(&format!("{} entries in {} frames\n", report.entries, report.frames));
    // Only the audit holds the vault's parts against the log.
    if what != "audit" && report.erased > 0 {
        let erased = report.erased;
        out.push_str(&format!("{erased} erased, as the vault says; audit asks whether a record says so too\n"));
    }
    if what == "audit" {
        let Report { decisions, kept, erased, .. } = report;
        out.push_str(&format!("{decisions} decisions, {kept} with their private parts, {erased} erased\n"));
        if report.without_private_parts {
            out.push_str(
                "an archive without private parts: those of its decisions are lost here and were not checked\n",
            );
        }
    }
    for problem in &report.problems {
        let index = problem.index.map_or_else(String::new, |index| format!(", entry {index}"));
        let offset = problem.offset.map_or_else(String::new, |offset| format!(", offset {offset}"));
        out.push_str(&format!("  WRONG  {}{index}{offset}: {}\n", problem.file.display(), problem.what));
    }
    let unlisted = report.problem_count - report.problems.len() as u64;
    if unlisted > 0 {
        out.push_str(&format!("  and {unlisted} more\n"));
    }
    out.push_str(&if report.is_clean() {
        format!("{what}: clean\n")
    } else {
        format!("{what}: {} problems\n", report.problem_count)
    });
    out
}

fn as_json(what: &str, report: &Report) -> serde_json::Value {
    let problem = |problem: &ledger::Problem| json!({"file": problem.file, "index": problem.index, "offset": problem.offset, "what": problem.what});
    json!({
        "schema": "interlock/check/v1", "check": what, "clean": report.is_clean(), "origin": report.origin, "size": report.size,
        "root": report.root.map(|root| root.to_string()), "entries": report.entries, "frames": report.frames,
        "decisions": report.decisions, "without_private_parts": report.without_private_parts, "kept": report.kept, "erased": report.erased, "problem_count": report.problem_count,
        "problems": report.problems.iter().map(problem).collect::<Vec<_>>(),
    })
}
