//! `interlock bench`: each figure beside the limit that was measured in the same run, fsync on.

mod authorizer;
mod disk;
mod replay;

use std::path::PathBuf;
use std::time::Duration;

use ::authorizer::engine::split_policies;
use benches::policy::Workload;
use clap::{Args, Subcommand};
use verifier::epoch::EpochContent;
use verifier::request::Request;

use crate::exit::{Exit, Failure};
use crate::output::say;
use crate::trace::airline::Call;
use authorizer::{POLICIES, SCHEMA, TRAFFIC};

/// Measure.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Durable appends through the ledger, against raw hashing and raw sequential write + fdatasync
    Ledger(Ledger),
    /// Opening a log of so many entries: time and resident memory of a fresh process
    Open(Open),
    /// Policy evaluation, plain and compiled, with 100, 10, 1,000 and 10,000 policies and six candidates, against plain `is_authorized` on what
    /// was built before; and of airline traffic (all of it where `INTERLOCK_DATA` names the directory)
    Policies,
    /// Audit and fsck of a raw and of a sealed log, against raw hashing
    Checks(disk::Checks),
    /// What a log takes on the disk for each entry, by kind of file
    Sizes(disk::OfLog),
    /// A long run that must not grow: memory, descriptors and maps while segments roll; exits 1 if something did
    Soak(Soak),
    /// Decisions over HTTP against a handler that parses and echoes the same bodies; where the time goes; two workers against one
    Authorizer(authorizer::Authorizer),
    /// Ten times the connections that saturate it: what is still served, what is turned away, and how long the kill switch takes then
    Overload(authorizer::Overload),
    /// A log of decisions computed again, against plain Cedar on the same requests
    Replay(replay::Replay),
}

/// What is appended, and where.
#[derive(Debug, Args)]
pub struct Ledger {
    /// A directory on the disk that is measured
    #[arg(long, default_value = ".")]
    place: PathBuf,
    /// Bytes of an entry
    #[arg(long, default_value_t = 256)]
    entry_bytes: usize,
    /// Entries a batch
    #[arg(long)]
    batch: Option<usize>,
}

/// How large, and where.
#[derive(Debug, Args)]
pub struct Open {
    /// A directory on the disk that is used; 100,000,000 entries take some 25 GB of it for a while
    #[arg(long, default_value = ".")]
    place: PathBuf,
    /// Entries of the largest log; the others have a tenth and a hundredth
    #[arg(long, default_value_t = 10_000_000)]
    entries: u64,
    /// Open this log once and say what it took: what the command runs in a fresh process
    #[arg(long, hide = true)]
    existing: Option<PathBuf>,
}

/// How long, and where.
#[derive(Debug, Args)]
pub struct Soak {
    /// A directory on the disk that is used
    #[arg(long, default_value = ".")]
    place: PathBuf,
    /// How long, behind a warm-up of 80,000 entries
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
}

impl Bench {
    /// Runs the benchmark.
    pub fn run(&self) -> Result<Exit, Failure> {
        match self {
            Self::Ledger(ledger) => ledger.run(),
            Self::Open(open) => open.run(),
            Self::Policies => policies(),
            Self::Checks(checks) => checks.run(),
            Self::Sizes(log) => log.run(),
            Self::Soak(soak) => soak.run(),
            Self::Authorizer(authorizer) => authorizer.run(),
            Self::Overload(overload) => overload.run(),
            Self::Replay(replay) => replay.run(),
        }
    }
}

impl Ledger {
    fn run(&self) -> Result<Exit, Failure> {
        let mut settings = benches::ledger::Settings::new(&self.place);
        settings.entry_bytes = self.entry_bytes;
        settings.batch = self.batch.unwrap_or(settings.batch);
        let figures = benches::ledger::run(&settings).map_err(Failure::unavailable)?;
        say!("{} durable appends of {} B, {} a batch, fsync on", figures.entries, figures.entry_bytes, figures.batch)?;
        say!("  raw leaf + node hashing, all cores    {:>12.0}/s", figures.hashing)?;
        say!("  raw sequential write + fdatasync      {:>12.0}/s", figures.writing)?;
        say!("  appends                               {:>12.0}/s  ratio {:.2}", figures.append, figures.ratio())?;
        let tiles = figures.tiles;
        say!("  a constant of 8,192 B over HTTP       {:>12.0}/s", tiles.constant)?;
        say!("  tiles over HTTP                       {:>12.0}/s  ratio {:.2}", tiles.tiles, tiles.ratio())?;
        say!(
            "  slowest batch {:?}, inclusion proofs {:.0}/s a core, reopened in {:?}",
            figures.slowest_batch,
            figures.proofs,
            figures.reopen
        )?;
        Ok(Exit::Ok)
    }
}

impl Soak {
    fn run(&self) -> Result<Exit, Failure> {
        let settings = benches::soak::Settings { place: self.place.clone(), time: Duration::from_secs(self.seconds) };
        let figures = benches::soak::run(&settings).map_err(Failure::unavailable)?;
        say!("entries      resident, MiB   anonymous, MiB   descriptors    maps")?;
        let row = |sample: &benches::soak::Sample| {
            let benches::soak::Sample { entries, resident, anonymous, descriptors, maps } = sample;
            let [resident, anonymous] = [resident, anonymous].map(|bytes| *bytes as f64 / 1_048_576.0);
            format!("{entries:<12} {resident:>13.1} {anonymous:>16.1} {descriptors:>13} {maps:>7}")
        };
        for sample in &figures.samples {
            say!("{}", row(sample))?;
        }
        if let (Some(middle), Some(end)) = (figures.samples.get(figures.samples.len() / 2), figures.samples.last()) {
            say!("middle\n{}\nend\n{}", row(middle), row(end))?;
        }
        say!("{} segments of the journal", figures.segments)?;
        let grown = figures.grown();
        for what in &grown {
            say!("GROWN  {what}")?;
        }
        Ok(if grown.is_empty() { Exit::Ok } else { Exit::Invalid })
    }
}

impl Open {
    fn run(&self) -> Result<Exit, Failure> {
        if let Some(dir) = &self.existing {
            let opened = benches::open::open(dir).map_err(Failure::unavailable)?;
            say!("{} {} {}", opened.entries, opened.time.as_micros(), opened.resident)?;
            return Ok(Exit::Ok);
        }
        let place = tempfile::tempdir_in(&self.place).map_err(Failure::unavailable)?;
        let dir = place.path().join("log");
        say!("entries      opened in    resident   page cache")?;
        for entries in [self.entries / 100, self.entries / 10, self.entries] {
            benches::open::grow(&dir, entries).map_err(Failure::unavailable)?;
            // Only root may empty the page cache; what was measured is told.
            let cold = std::fs::write("/proc/sys/vm/drop_caches", "1\n").is_ok();
            let program = std::env::current_exe().map_err(Failure::unavailable)?;
            let child = std::process::Command::new(program).args(["bench", "open", "--existing"]).arg(&dir).output();
            let told = String::from_utf8(child.map_err(Failure::unavailable)?.stdout).map_err(Failure::unavailable)?;
            let numbers: Vec<u64> = told.split_whitespace().filter_map(|number| number.parse().ok()).collect();
            let [size, micros, resident] = numbers[..] else {
                return Err(Failure::unavailable("the log could not be opened"));
            };
            let state = if cold { "empty" } else { "warm" };
            say!("{size:>11} {:>9} us {:>7} MiB   {state}", micros, resident >> 20)?;
        }
        Ok(Exit::Ok)
    }
}

fn policies() -> Result<Exit, Failure> {
    say!(
        "policies   engine ns   compiled ns   ratio   against 100   Cedar, candidates ns   engine's ratio   Cedar, all ns"
    )?;
    let mut of_100 = None;
    for count in [100, 10, 1_000, 10_000] {
        let row = Workload::new(count).map_err(Failure::refused)?.measure(Duration::from_secs(4));
        let of_100 = *of_100.get_or_insert(row.compiled_ns);
        let (engine, compiled, candidates, all) = (row.engine_ns, row.compiled_ns, row.candidates_ns, row.plain_ns);
        let (ratio, growth, limit) = (engine / compiled, compiled / of_100, row.ratio());
        say!(
            "{:>8} {engine:>11.0} {compiled:>13.0} {ratio:>7.1} {growth:>13.2} {candidates:>22.0} {limit:>16.2} {all:>15.0}",
            row.policies
        )?;
    }
    let traffic = std::env::var_os("INTERLOCK_DATA").map(|data| PathBuf::from(data).join("tau-airline-gpt4o.ndjson"));
    let (name, lines) = match traffic {
        Some(file) => ("all calls", std::fs::read_to_string(file).map_err(Failure::unavailable)?),
        None => ("the sample in the repository; INTERLOCK_DATA names more", TRAFFIC.to_owned()),
    };
    let parse = |line: &str| {
        let call = Call::parse(line).map_err(Failure::undecidable)?;
        Request::parse(call.request().to_string().as_bytes()).map_err(Failure::undecidable)
    };
    let requests = lines.lines().map(parse).collect::<Result<Vec<_>, _>>()?;
    let policies = split_policies(POLICIES).map_err(Failure::refused)?;
    let content = EpochContent { policies, schema: Some(SCHEMA.to_owned()), entities: None, trust: None };
    let measured = benches::policy::measure(content, &requests, Duration::from_secs(4));
    let (plain, compiled) = measured.map_err(Failure::refused)?;
    say!(
        "airline traffic, {} requests ({name}): engine {plain:.0} ns, compiled {compiled:.0} ns, ratio {:.1}",
        requests.len(),
        plain / compiled
    )?;
    Ok(Exit::Ok)
}
