//! `interlock bench`: each figure beside the limit that was measured in the same run, fsync on.

mod disk;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use authorizer::engine::split_policies;
use benches::echo::Echo;
use benches::load::{Figures, Load, post};
use benches::policy::Workload;
use clap::{Args, Subcommand};
use verifier::act::Mode;
use verifier::epoch::EpochContent;

use crate::client::block_on;
use crate::commands::{init, policy};
use crate::exit::{Exit, Failure};
use crate::house::{Addresses, Admin, House, Words};
use crate::output::say;
use crate::trace::airline::Call;

const POLICIES: &str = include_str!("../../../testdata/policies/airline/policies.cedar");
const SCHEMA: &str = include_str!("../../../testdata/policies/airline/schema.cedarschema");
const TRAFFIC: &str = include_str!("../../../testdata/traffic/airline-sample.ndjson");
/// Decisions in one body of the batched load.
const BATCH: usize = 256;

/// Measure.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Durable appends through the ledger, against raw hashing and raw sequential write + fdatasync
    Ledger(Ledger),
    /// Opening a log of so many entries: time and resident memory of a fresh process
    Open(Open),
    /// Policy evaluation with 100, 10, 1,000 and 10,000 policies and six candidates, against plain `is_authorized` on what was built before
    Policies,
    /// Audit and fsck of a raw and of a sealed log, against raw hashing
    Checks(disk::Checks),
    /// What a log takes on the disk for each entry, by kind of file
    Sizes(disk::OfLog),
    /// A long run that must not grow: memory, descriptors and maps while segments roll; exits 1 if something did
    Soak(Soak),
    /// Decisions over HTTP, one a request and 256 a request, against a handler that parses and echoes the same bodies
    Serve(Serve),
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

/// How hard and how long.
#[derive(Debug, Args)]
pub struct Serve {
    /// Seconds a figure
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Connections of single decisions
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Connections of batches
    #[arg(long, default_value_t = 4)]
    batch_connections: usize,
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
            Self::Serve(serve) => serve.run(),
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
    say!("policies   engine ns   Cedar, candidates ns   ratio   against 100   Cedar, all ns")?;
    let mut of_100 = None;
    for count in [100, 10, 1_000, 10_000] {
        let row = Workload::new(count).map_err(Failure::refused)?.measure(Duration::from_secs(3));
        let of_100 = *of_100.get_or_insert(row.engine_ns);
        let (engine, candidates, all) = (row.engine_ns, row.candidates_ns, row.plain_ns);
        let (ratio, growth) = (row.ratio(), engine / of_100);
        say!("{:>8} {engine:>11.0} {candidates:>22.0} {ratio:>7.2} {growth:>13.2} {all:>15.0}", row.policies)?;
    }
    Ok(Exit::Ok)
}

impl Serve {
    fn run(&self) -> Result<Exit, Failure> {
        let directory = tempfile::tempdir().map_err(Failure::unavailable)?;
        let data = directory.path().join("log");
        let made = init::make(&data, "bench.example/log", |_| Ok(()))?;
        let house = House::open(&data, &Addresses::anywhere_on_loopback(), &Words::default())?;
        let admin = Admin::new(&made.admin_key)?;
        let policies = split_policies(POLICIES).map_err(Failure::refused)?;
        let content = EpochContent { policies, schema: Some(SCHEMA.to_owned()), entities: None, trust: None };
        block_on(async {
            policy::publish(&admin, &admin.client(&house.decision_url())?, (Mode::Live, &content), None).await
        })?;

        let bodies = requests()?;
        let batches: Vec<Vec<u8>> = (0..bodies.len()).map(|first| batch(&bodies, first)).collect();
        let echo = Echo::start(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
            .map_err(Failure::unavailable)?;
        let key = &made.api_key;
        let single = self.load(house.decision_address(), "/v1/decisions", key, &bodies, self.connections);
        let echoed = self.load(echo.address, "/v1/decisions", key, &bodies, self.connections);
        let many = "/v1/decisions?receipt=range&answer=brief";
        let batched = self.load(house.decision_address(), many, key, &batches, self.batch_connections);
        let batch_echoed = self.load(echo.address, many, key, &batches, self.batch_connections);

        let limit = run(&echoed)?;
        let figures = run(&single)?;
        say!("single decisions, {} connections, receipts returned, fsync on", self.connections)?;
        say!("  echo handler   {:>10.0}/s  p99 {:>7} us", limit.rate(), limit.latency.value_at_quantile(0.99))?;
        say!(
            "  decisions      {:>10.0}/s  p99 {:>7} us  ratio {:.2}",
            figures.rate(),
            figures.latency.value_at_quantile(0.99),
            figures.rate() / limit.rate()
        )?;
        let half = run(&Load { rate: Some(figures.rate() / 2.0), ..single })?;
        let quantile = |q| half.latency.value_at_quantile(q);
        say!(
            "  at half load   {:>10.0}/s  p50 {} us, p99 {} us, p99.9 {} us",
            half.rate(),
            quantile(0.5),
            quantile(0.99),
            quantile(0.999)
        )?;
        let limit = run(&batch_echoed)?;
        let figures = run(&batched)?;
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let many = BATCH as f64;
        say!("batched decisions, {BATCH} a request, {} connections, range receipts, fsync on", self.batch_connections)?;
        say!("  echo handler   {:>10.0}/s", limit.rate() * many)?;
        say!(
            "  decisions      {:>10.0}/s  p99 {:>7} us a body  ratio {:.3}",
            figures.rate() * many,
            figures.latency.value_at_quantile(0.99),
            figures.rate() / limit.rate()
        )?;
        say!("log size after the run: {}", house.reader().size())?;
        echo.stop().map_err(Failure::unavailable)?;
        house.stop();
        Ok(Exit::Ok)
    }

    fn load(&self, address: SocketAddr, path: &str, key: &str, bodies: &[Vec<u8>], connections: usize) -> Load {
        let requests = bodies.iter().map(|body| post(path, key, "application/json", body)).collect();
        Load {
            address,
            requests: Arc::new(requests),
            connections,
            warm_up: Duration::from_secs(1),
            duration: Duration::from_secs(self.seconds),
            rate: None,
        }
    }
}

fn run(load: &Load) -> Result<Figures, Failure> {
    let figures = load.run().map_err(Failure::unavailable)?;
    if figures.other > 0 {
        return Err(Failure::refused(format!("{} answers were not 200: the figure would lie", figures.other)));
    }
    Ok(figures)
}

/// The sample traffic as native requests.
fn requests() -> Result<Vec<Vec<u8>>, Failure> {
    let request = |line: &str| Call::parse(line).map(|call| call.request().to_string().into_bytes());
    TRAFFIC.lines().map(request).collect::<Result<_, _>>().map_err(Failure::undecidable)
}

/// A body of [`BATCH`] requests in turn, from one of them on.
fn batch(bodies: &[Vec<u8>], first: usize) -> Vec<u8> {
    let items: Vec<&[u8]> = bodies.iter().cycle().skip(first).take(BATCH).map(Vec::as_slice).collect();
    [b"[", items.join(&b","[..]).as_slice(), b"]"].concat()
}
