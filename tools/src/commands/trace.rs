//! `interlock trace`: sends a file of recorded calls through a running server, one request a call, and sums up what was allowed and denied.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::client::{Client, block_on};
use crate::exit::{Exit, Failure};
use crate::files;
use crate::output::{self, say};
use crate::trace::airline::Call;

/// A trace has at most so many bytes.
const MAX_TRACE: usize = 256 * 1024 * 1024;

/// Send a file of requests and sum up the decisions.
#[derive(Debug, Args)]
pub struct Trace {
    /// One call a line
    file: PathBuf,
    /// What the lines are
    #[arg(long, value_enum, default_value = "native")]
    format: Format,
    /// The server's decision API
    #[arg(long, env = "INTERLOCK_URL", default_value = "http://127.0.0.1:7411")]
    url: String,
    /// The file with the API key
    #[arg(long, env = "INTERLOCK_KEY_FILE")]
    key_file: PathBuf,
    /// One JSON object a call on standard output
    #[arg(long)]
    json: bool,
}

/// What a line of the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A native request
    Native,
    /// A recorded call of the τ-bench airline
    TauAirline,
}

/// One call and what was decided about it.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The conversation that the call belongs to; empty for native requests.
    pub session: String,
    /// Its place in the conversation.
    pub step: u64,
    /// The tool, which is the action.
    pub tool: String,
    /// The server's answer.
    pub answer: Value,
}

impl Decided {
    /// Whether the call may run.
    pub fn allowed(&self) -> bool {
        self.answer.get("decision") == Some(&Value::Bool(true))
    }

    /// The policies that decided.
    pub fn policies(&self) -> impl Iterator<Item = &str> {
        strings(&self.answer, "policies")
    }

    /// The codes of the conditions that failed.
    pub fn reasons(&self) -> impl Iterator<Item = &str> {
        strings(&self.answer, "reasons")
    }

    fn line(&self) -> Value {
        let field = |name: &str| self.answer.get(name).cloned().unwrap_or_default();
        json!({
            "session": self.session, "step": self.step, "tool": self.tool, "decision": field("decision"), "reasons": field("reasons"),
            "policies": field("policies"), "permit": field("permit"), "index": field("index"),
        })
    }
}

fn strings<'a>(answer: &'a Value, field: &str) -> impl Iterator<Item = &'a str> {
    answer.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

impl Trace {
    /// Sends every line in order and prints the sum.
    pub fn run(&self) -> Result<Exit, Failure> {
        let client = Client::new(&self.url, Some(files::read_secret(&self.key_file)?))?;
        let text = files::read_text(&self.file, MAX_TRACE)?;
        let bar = progress(text.lines().count());
        let decided = block_on(send(&client, &text, self.format, |decided| {
            bar.inc(1);
            if self.json {
                bar.suspend(|| say!("{}", decided.line()))?;
            }
            Ok(())
        }))?;
        bar.finish_and_clear();
        if !self.json {
            output::print(summary(&decided))?;
        }
        Ok(Exit::Ok)
    }
}

fn progress(lines: usize) -> ProgressBar {
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(u64::try_from(lines).ok(), target);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} calls, {per_sec}, {eta} left");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Sends the lines of `text` one after the other; `each` sees every decision as it comes.
pub async fn send(
    client: &Client,
    text: &str,
    format: Format,
    mut each: impl FnMut(&Decided) -> Result<(), Failure>,
) -> Result<Vec<Decided>, Failure> {
    let mut all = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let at = |error: &dyn std::fmt::Display| format!("line {}: {error}", number + 1);
        let malformed = |error: &dyn std::fmt::Display| Failure::undecidable(at(error));
        let (session, step, request) = match format {
            Format::Native => {
                (String::new(), number as u64, serde_json::from_str(line).map_err(|error| malformed(&error))?)
            }
            Format::TauAirline => {
                let call = Call::parse(line).map_err(|error| malformed(&error))?;
                (call.session.clone(), call.step, call.request())
            }
        };
        let answer = client.post("/v1/decisions", "application/json", request.to_string().into_bytes()).await?;
        let answer = answer.success().map_err(|failure| Failure::new(failure.exit, at(&failure)))?.json()?;
        let tool = request.pointer("/action/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let decided = Decided { session, step, tool, answer };
        each(&decided)?;
        all.push(decided);
    }
    Ok(all)
}

/// How many were allowed and denied, by tool and by what decided.
pub fn summary(decided: &[Decided]) -> String {
    let allowed = decided.iter().filter(|call| call.allowed()).count();
    let mut out = format!("{} calls: {allowed} allowed, {} denied\n", decided.len(), decided.len() - allowed);
    let mut by_tool: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut by_reason: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for call in decided {
        let (yes, no) = by_tool.entry(&call.tool).or_default();
        *(if call.allowed() { yes } else { no }) += 1;
        if call.allowed() {
            continue;
        }
        let mut named = false;
        for reason in call.reasons() {
            if reason == "forbidden" {
                call.policies().for_each(|policy| *by_reason.entry((reason, policy)).or_default() += 1);
                named = true;
            } else {
                *by_reason.entry((reason, "")).or_default() += 1;
            }
        }
        if !named && call.reasons().next().is_none() {
            *by_reason.entry(("no reason given", "")).or_default() += 1;
        }
    }
    out.push_str("\nallowed  denied  tool\n");
    by_tool.iter().for_each(|(tool, (yes, no))| out.push_str(&format!("{yes:>7}  {no:>6}  {tool}\n")));
    if !by_reason.is_empty() {
        out.push_str("\n denied  by (a call may break several rules)\n");
    }
    for ((reason, policy), count) in by_reason {
        let by = if policy.is_empty() { reason.to_owned() } else { format!("{reason}: {policy}") };
        out.push_str(&format!("{count:>7}  {by}\n"));
    }
    out
}
