//! `interlock replay`: every decision of a log computed again with plain Cedar, from a directory or from a server's public address.
//!
//! A directory is only read, as an archive is: nothing is recovered or signed and no key is needed; but it must not be open in a server.
//! From an address nothing is believed but what the verification key signed: the entries are hashed to the root of the checkpoint, private
//! parts are held against the leaves. Who governs the log is read from the directory; for an address, or an archive, the reader brings the
//! administrators' verifier keys, as `init` wrote them to `keys/admin.vkeys`.

use std::fmt::Display;
use std::io::IsTerminal;
use std::path::PathBuf;

use authorizer::governance::Governors;
use authorizer::replay::{Options, ReplayError, Report, Source, Stored, replay};
use authorizer::service::admin_keys_path;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ledger::PrivateOwned;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use verifier::checkpoint::SignedCheckpoint;
use verifier::hash::Hash;
use verifier::note::VerifierKey;
use verifier::record::Record;
use verifier::text::unb64;
use verifier::tile::{Bundle, FULL_WIDTH, entries};

use crate::client::Client;
use crate::commands::verify::read_vkey;
use crate::exit::{Exit, Failure};
use crate::output::{self, note, say};

/// Requests that are under way at once: enough to hide a network's delay, few for a server.
const AT_ONCE: usize = 16;

/// Compute every decision of a log again.
#[derive(Debug, Args)]
pub struct Replay {
    /// The log's directory, or a server's public address
    place: String,
    /// The log's verification key, or a file that holds it
    #[arg(long)]
    vkey: Option<String>,
    /// The administrators' verifier keys, one a line; needed for an address, and for an archive, which has no `keys/admin.vkeys`
    #[arg(long)]
    governors: Option<PathBuf>,
    /// Where the head is remembered; beside the directory without
    #[arg(long)]
    memory: Option<PathBuf>,
    /// Evaluate all policies each time, and not only those whose scope can be true
    #[arg(long)]
    full: bool,
    /// Begin to decide behind this `state` record: what stands before it is folded as it is told, and held against the record's digest
    #[arg(long, value_name = "INDEX")]
    from: Option<u64>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

impl Replay {
    /// Replays. 0: all came out; 1: something does not follow; 3: some could not be computed again; 5: no key was given.
    pub fn run(&self) -> Result<Exit, Failure> {
        let key = self.vkey.as_deref().map(read_vkey).transpose()?;
        let report =
            if self.place.contains("://") { self.address(key.as_ref()) } else { self.directory(key.as_ref()) }?;
        if self.json {
            say!("{}", as_json(&report))?;
        } else {
            output::print(as_text(&report))?;
        }
        Ok(if report.difference_count > 0 {
            Exit::Invalid
        } else if !report.not_recomputable.is_empty() {
            Exit::Undecidable
        } else if key.is_none() {
            note!("not anchored: no --vkey was given, so the log was held against its own claim only");
            Exit::NotAnchored
        } else {
            Exit::Ok
        })
    }

    fn directory(&self, key: Option<&VerifierKey>) -> Result<Report, Failure> {
        let dir = PathBuf::from(&self.place);
        let mut reader = ledger::open_archive(&dir, self.memory.as_deref()).map_err(Failure::unavailable)?;
        if key.is_some_and(|key| key != reader.verifier_key()) {
            return Err(Failure::refused("the log names another verification key than the one given"));
        }
        let governors = self.governors.clone().unwrap_or_else(|| admin_keys_path(&dir));
        let governors = Governors::read(&governors, reader.origin()).map_err(Failure::unavailable)?;
        let head = reader.head();
        self.replay(&mut reader, &governors, (head.checkpoint.size, head.checkpoint.root))
    }

    fn address(&self, key: Option<&VerifierKey>) -> Result<Report, Failure> {
        let (Some(key), Some(governors)) = (key, &self.governors) else {
            return Err(Failure::usage("an address is replayed with --vkey and --governors"));
        };
        if self.memory.is_some() {
            return Err(Failure::usage("--memory is for a directory"));
        }
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::unavailable)?;
        let client = Client::new(&self.place, None)?;
        let note = runtime.block_on(async { client.get("/checkpoint").await?.success() })?;
        let signed = SignedCheckpoint::open(note.text()?, key, key.name()).map_err(Failure::refused)?;
        let governors = Governors::read(governors, key.name()).map_err(Failure::unavailable)?;
        let (size, root) = (signed.checkpoint().size, signed.checkpoint().root);
        self.replay(&mut Remote { runtime, client, size }, &governors, (size, root))
    }

    fn replay<S: Source>(&self, source: &mut S, governors: &Governors, head: (u64, Hash)) -> Result<Report, Failure>
    where
        S::Error: Display,
    {
        let target =
            if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} entries, {per_sec}, {eta} left");
        let bar = ProgressBar::with_draw_target(Some(head.0), target)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let options = Options { full: self.full, from: self.from };
        let report = replay(source, governors, head, options, &mut |done| bar.set_position(done));
        bar.finish_and_clear();
        report.map_err(|error| match error {
            ReplayError::Source(error) => Failure::unavailable(format!("the log cannot be read: {error}")),
            ReplayError::Short { .. } => Failure::unavailable(text(&error)),
            ReplayError::NoState(_) => Failure::usage(text(&error)),
            ReplayError::Fold(_) | ReplayError::Epoch { .. } | ReplayError::Root { .. } => {
                Failure::refused(text(&error))
            }
        })
    }
}

fn text<E: Display>(error: &ReplayError<E>) -> String {
    match error {
        ReplayError::Source(error) => error.to_string(),
        ReplayError::Short { first, wanted, got } => format!("{got} of {wanted} entries could be read from {first} on"),
        ReplayError::Fold(error) => error.to_string(),
        ReplayError::NoState(index) => format!("--from {index}: that entry is no `state` record"),
        ReplayError::Epoch { index, source } => format!("the epoch of entry {index} does not validate: {source}"),
        ReplayError::Root { size, computed, stated } => {
            format!("the entries have the root {computed} at size {size}, the head says {stated}")
        }
    }
}

/// A log at its public address.
struct Remote {
    runtime: Runtime,
    client: Client,
    size: u64,
}

impl Source for Remote {
    type Error = Failure;

    fn read(&mut self, first: u64, count: u64) -> Result<Vec<Stored>, Failure> {
        let Self { runtime, client, size } = self;
        runtime.block_on(async {
            let full = u64::from(FULL_WIDTH);
            let mut stored = Vec::new();
            for index in first / full..(first + count).div_ceil(full) {
                let width = u16::try_from((*size - index * full).min(full)).unwrap_or(FULL_WIDTH);
                let path = format!("/{}", Bundle { index, width }.path());
                let bytes = client.get(&path).await?.success()?.body;
                for (place, leaf) in (index * full..).zip(entries(&bytes)) {
                    let leaf = leaf.map_err(|error| Failure::undecidable(format!("{path}: {error}")))?;
                    if (first..first + count).contains(&place) {
                        stored.push(Stored { leaf: leaf.to_vec(), private: None, detail: None, erased: false });
                    }
                }
            }
            fill(client, first, &mut stored).await?;
            Ok(stored)
        })
    }
}

/// Asks for the private parts of every decision.
async fn fill(client: &Client, first: u64, stored: &mut [Stored]) -> Result<(), Failure> {
    let decisions =
        stored.iter().enumerate().filter(|(_, one)| matches!(Record::decode(&one.leaf), Ok(Record::Decision(_))));
    let mut left: Vec<usize> = decisions.map(|(place, _)| place).collect();
    let mut under_way = JoinSet::new();
    loop {
        while under_way.len() < AT_ONCE
            && let Some(place) = left.pop()
        {
            let (client, path) = (client.clone(), format!("/v1/requests/{}", first + place as u64));
            under_way.spawn(async move { (place, client.get(&path).await, path) });
        }
        let Some(done) = under_way.join_next().await else { return Ok(()) };
        let (place, answer, path) = done.map_err(Failure::unavailable)?;
        let answer = answer?;
        let erased = answer.status == StatusCode::GONE;
        let private = match answer.status {
            // Withheld, erased.
            StatusCode::NOT_FOUND | StatusCode::GONE => None,
            _ => {
                let private = parts(&answer.success()?.json()?);
                Some(
                    private
                        .ok_or_else(|| Failure::undecidable(format!("{path}: the answer is not two salted parts")))?,
                )
            }
        };
        if let Some(one) = stored.get_mut(place) {
            (one.private, one.erased) = (private, erased);
        }
    }
}

pub(super) fn parts(json: &Value) -> Option<PrivateOwned> {
    let part = |name: &str| {
        let field = |field: &str| unb64(json.get(name)?.get(field)?.as_str()?).ok();
        Some((field("salt")?.try_into().ok()?, field("bytes")?))
    };
    let ((request_salt, request), (detail_salt, detail)) = (part("request")?, part("detail")?);
    Some(PrivateOwned { disclosed: true, request_salt, request, detail_salt, detail })
}

fn as_text(report: &Report) -> String {
    let Report { entries, decisions, same, executions, executions_same, states, states_same, .. } = report;
    let Report { given, not_recomputable, difference_count, differences, .. } = report;
    let mut out = format!("{entries} entries, {decisions} decisions: {same} came out byte for byte\n");
    if *executions > 0 {
        out.push_str(&format!("  {executions} steps of executions: {executions_same} came out byte for byte\n"));
    }
    if *states > 0 {
        out.push_str(&format!("  {states} digests of the state: {states_same} came out\n"));
    }
    for (fact, count) in given {
        out.push_str(&format!("  taken as given: {fact} in {count}\n"));
    }
    for (outcome, count) in not_recomputable {
        let what = match *outcome {
            "allow" | "deny" => "their request or detail",
            _ => "something that they rest on (a parent, a counter, a nonce)",
        };
        out.push_str(&format!("  not recomputable, {what} is erased, withheld or lost: {count} ({outcome})\n"));
    }
    for ((key, outcome), count) in &report.erased {
        let key = if key.is_empty() { "a key that was erased too" } else { key };
        out.push_str(&format!("  erased: {count} ({outcome}), asked by {key}\n"));
    }
    for difference in differences {
        out.push_str(&format!("  WRONG  entry {}: {}\n", difference.index, difference.what));
    }
    let unlisted = difference_count - differences.len() as u64;
    if unlisted > 0 {
        out.push_str(&format!("  and {unlisted} more\n"));
    }
    out.push_str(&match (difference_count, not_recomputable.is_empty()) {
        (0, true) => "replay: every decision follows\n".to_owned(),
        (0, false) => "replay: every decision that could be computed follows\n".to_owned(),
        (count, _) => format!("replay: {count} records do not follow\n"),
    });
    out
}

fn as_json(report: &Report) -> Value {
    let differences = report.differences.iter().map(|one| json!({"index": one.index, "what": one.what}));
    json!({
        "schema": "interlock/replay/v1", "entries": report.entries, "decisions": report.decisions, "same": report.same,
        "executions": report.executions, "executions_same": report.executions_same,
        "states": report.states, "states_same": report.states_same,
        "erased": report.erased.iter().map(|((key, outcome), count)| json!({"key": key, "outcome": outcome, "count": count})).collect::<Vec<_>>(),
        "given": report.given, "not_recomputable": report.not_recomputable,
        "difference_count": report.difference_count, "differences": differences.collect::<Vec<_>>(),
    })
}
