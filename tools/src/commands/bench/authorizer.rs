//! `interlock bench authorizer` and `interlock bench overload`: decisions over HTTP on loopback, client in the same process, every write synced.
//!
//! Whatever is answered but 200 (and 503 where that is what is measured) ends the run: a figure would lie.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use authorizer::engine::split_policies;
use authorizer::stages::{Spent, Stage};
use benches::echo::Echo;
use benches::load::{Figures, Load, post};
use benches::signed::Agent;
use benches::{cpu, policy as policies};
use clap::Args;
use tempfile::TempDir;
use verifier::act::{Deed, Mode, Power, Target};
use verifier::epoch::EpochContent;

use crate::client::block_on;
use crate::commands::{init, policy};
use crate::exit::{Exit, Failure};
use crate::house::{Addresses, Admin, House, Words, now_ms};
use crate::output::say;
use crate::trace::airline::Call;

pub(super) const POLICIES: &str = include_str!("../../../../testdata/policies/airline/policies.cedar");
pub(super) const SCHEMA: &str = include_str!("../../../../testdata/policies/airline/schema.cedarschema");
pub(super) const TRAFFIC: &str = include_str!("../../../../testdata/traffic/airline-sample.ndjson");
const ORIGIN: &str = "bench.example/log";
/// Decisions in one body of the batched load.
const BATCH: usize = 256;
const SINGLE: &str = "/v1/decisions";
pub(super) const MANY: &str = "/v1/decisions?receipt=range&answer=brief";
/// How many times the connections of the peak make an overload.
const TIMES: usize = 10;
/// It is saturated where twice the connections are served less than so much more.
const GROWTH: f64 = 1.05;
/// Connections of the peak, at most: ten times as many, both ends of each in one process, are what descriptors are there for.
const MOST: usize = 512;

/// How hard and how long.
#[derive(Debug, Args)]
pub struct Authorizer {
    /// Seconds a figure
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Connections of single decisions
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Connections of batches
    #[arg(long, default_value_t = 4)]
    batch_connections: usize,
    /// Decide by policies that were compiled, and not by plain Cedar
    #[arg(long)]
    compiled: bool,
    /// Requests that are signed, one by one, before they are sent; each is good for one time
    #[arg(long, default_value_t = 30_000)]
    signed: usize,
}

/// How hard and how long.
#[derive(Debug, Args)]
pub struct Overload {
    /// Seconds a figure
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(2..=3_600))]
    seconds: u64,
    /// Connections to begin with; they are doubled until it serves no more for it
    #[arg(long, default_value_t = 64)]
    connections: usize,
}

/// A log with the airline's policies, served.
pub(super) struct Site {
    pub directory: TempDir,
    pub house: House,
    admin: Admin,
    agent: Agent,
    key: String,
    /// The requests, one by one.
    pub bodies: Vec<Vec<u8>>,
    seconds: u64,
}

impl Site {
    /// The log's directory.
    pub fn data(directory: &TempDir) -> PathBuf {
        directory.path().join("log")
    }

    /// Everything that a load needs; decided by compiled policies or by plain Cedar.
    pub fn open(seconds: u64, compiled: bool) -> Result<Self, Failure> {
        let directory = tempfile::tempdir().map_err(Failure::unavailable)?;
        let data = Self::data(&directory);
        let made = init::make(&data, ORIGIN, |_| Ok(()))?;
        let house = House::open(&data, &Addresses::anywhere_on_loopback(), &Words::default())?;
        let admin = Admin::new(&made.admin_key)?;
        let agent = Agent::new(ORIGIN);
        let policies = split_policies(POLICIES).map_err(Failure::refused)?;
        let engine = if compiled { "[engine]\nkind = \"compiled\"\n" } else { "" };
        let (schema, trust) = (Some(SCHEMA.to_owned()), Some(agent.trust("Session") + engine));
        let content = EpochContent { policies, schema, entities: None, trust };
        block_on(async {
            policy::publish(&admin, &admin.client(&house.decision_url())?, (Mode::Live, &content), None).await
        })?;
        let request = |line: &str| Call::parse(line).map(|call| call.request().to_string().into_bytes());
        let bodies = TRAFFIC.lines().map(request).collect::<Result<_, _>>().map_err(Failure::undecidable)?;
        Ok(Site { directory, house, admin, agent, key: made.api_key.to_string(), bodies, seconds })
    }

    /// As many bodies of [`BATCH`] requests as there are requests, each from another one on.
    pub fn batches(&self) -> Vec<Vec<u8>> {
        (0..self.bodies.len()).map(|first| batch(&self.bodies, first)).collect()
    }

    /// A load of these bodies.
    pub fn load(&self, address: SocketAddr, path: &str, bodies: &[Vec<u8>], connections: usize) -> Load {
        let requests = bodies.iter().map(|body| post(path, &self.key, "application/json", body)).collect();
        Load {
            address,
            requests: Arc::new(requests),
            connections,
            warm_up: Duration::from_secs(1),
            duration: Duration::from_secs(self.seconds),
            rate: None,
            once: false,
        }
    }

    fn single(&self, connections: usize) -> Load {
        self.load(self.house.decision_address(), SINGLE, &self.bodies, connections)
    }

    /// So many requests, each under a signature of its own.
    fn signed(&self, count: usize, connections: usize) -> Load {
        let now_s = now_ms() / 1_000;
        let bodies = self.bodies.iter().cycle().take(count).enumerate();
        let requests = bodies.map(|(n, body)| self.agent.post(SINGLE, &self.key, body, now_s, n)).collect();
        let warm_up = Duration::ZERO;
        // It ends when all are sent.
        let duration = Duration::from_secs(240);
        Load { requests: Arc::new(requests), once: true, warm_up, duration, ..self.single(connections) }
    }

    fn spent(&self) -> Result<Reading, Failure> {
        let stages = &self.house.metrics().stages;
        let of = Stage::ALL.map(|stage| stages.so_far(stage));
        Ok(Reading {
            of,
            cpu: cpu::of_other_threads().map_err(Failure::unavailable)?,
            entries: self.house.reader().size(),
        })
    }
}

/// What was spent so far.
struct Reading {
    of: [(Spent, u64); 7],
    cpu: Duration,
    entries: u64,
}

impl Reading {
    /// Where the time of the decisions since an earlier reading went.
    fn tell(&self, since: &Reading) -> Result<(), Failure> {
        let decisions = self.entries.saturating_sub(since.entries);
        let each = |time: Duration, count: u64| time.as_nanos() as f64 / count.max(1) as f64;
        say!("  CPU of the server, ns a decision    (wall)   of {decisions}")?;
        let mut sum = 0.0;
        for ((stage, (spent, count)), (before, counted)) in Stage::ALL.iter().zip(&self.of).zip(&since.of) {
            let (spent, count) = (spent.without(*before), count - counted);
            sum += each(spent.cpu, count);
            say!("    {:<10} {:>18.0} {:>12.0}", stage.name(), each(spent.cpu, count), each(spent.wall, count))?;
        }
        let all = each(self.cpu.saturating_sub(since.cpu), decisions);
        say!("    {:<10} {:>18.0}              sockets, HTTP, runtime, index", "the rest", all - sum)?;
        say!("    {:<10} {:>18.0}", "all", all)?;
        Ok(())
    }
}

/// Runs a load of which every request must be served.
pub(super) fn run(load: &Load) -> Result<Figures, Failure> {
    let figures = load.run().map_err(Failure::unavailable)?;
    let lost = figures.other + figures.turned_away + figures.closed;
    if lost > 0 {
        return Err(Failure::refused(format!("{lost} answers were not 200: the figure would lie")));
    }
    Ok(figures)
}

fn quantile(figures: &Figures, q: f64) -> u64 {
    figures.latency.value_at_quantile(q)
}

impl Authorizer {
    /// Measures and tells.
    pub fn run(&self) -> Result<Exit, Failure> {
        let site = Site::open(self.seconds, self.compiled)?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let echo = Echo::start(cores).map_err(Failure::unavailable)?;
        self.singles(&site, &echo)?;
        self.batches(&site, &echo)?;
        let (one, two) = policies::workers(Duration::from_secs(self.seconds)).map_err(Failure::refused)?;
        say!("evaluation alone, each worker with its own copy of the engine, {cores} cores")?;
        say!("  one worker     {one:>10.0}/s")?;
        say!("  two workers    {two:>10.0}/s  ratio {:.2}", two / one)?;
        say!("log size after the run: {}", site.house.reader().size())?;
        echo.stop().map_err(Failure::unavailable)?;
        site.house.stop();
        Ok(Exit::Ok)
    }

    fn singles(&self, site: &Site, echo: &Echo) -> Result<(), Failure> {
        let limit = run(&site.load(echo.address, SINGLE, &site.bodies, self.connections))?;
        let before = site.spent()?;
        let figures = run(&site.single(self.connections))?;
        let after = site.spent()?;
        say!("single decisions, {} connections, receipts returned, fsync on", self.connections)?;
        say!("  echo handler   {:>10.0}/s  p99 {:>7} us", limit.rate(), quantile(&limit, 0.99))?;
        let ratio = figures.rate() / limit.rate();
        say!("  API key        {:>10.0}/s  p99 {:>7} us  ratio {ratio:.2}", figures.rate(), quantile(&figures, 0.99))?;
        let rate = Some(figures.rate() / 2.0);
        let half = run(&Load { rate, ..site.single(self.connections) })?;
        // What of it is the machine's: the same pace, where nothing is decided and nothing is written.
        let calm = run(&Load { rate, ..site.load(echo.address, SINGLE, &site.bodies, self.connections) })?;
        for (what, paced) in [("at half load", &half), ("echo, as often", &calm)] {
            let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|q| quantile(paced, q));
            say!("  {what:<15}{:>10.0}/s  p50 {p50} us, p99 {p99} us, p99.9 {p999} us", paced.rate())?;
        }
        after.tell(&before)?;
        let signed = run(&site.signed(self.signed, self.connections))?;
        let ratio = signed.rate() / limit.rate();
        say!("  each signed    {:>10.0}/s  p99 {:>7} us  ratio {ratio:.2}", signed.rate(), quantile(&signed, 0.99))?;
        Ok(())
    }

    fn batches(&self, site: &Site, echo: &Echo) -> Result<(), Failure> {
        let bodies = site.batches();
        let connections = self.batch_connections;
        let limit = run(&site.load(echo.address, MANY, &bodies, connections))?;
        let before = site.spent()?;
        let figures = run(&site.load(site.house.decision_address(), MANY, &bodies, connections))?;
        let after = site.spent()?;
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let many = BATCH as f64;
        say!("batched decisions, {BATCH} a request, {connections} connections, range receipts, fsync on")?;
        say!("  echo handler   {:>10.0}/s", limit.rate() * many)?;
        let (rate, ratio) = (figures.rate() * many, figures.rate() / limit.rate());
        say!("  API key        {rate:>10.0}/s  p99 {:>7} us a body  ratio {ratio:.3}", quantile(&figures, 0.99))?;
        after.tell(&before)
    }
}

impl Overload {
    /// Measures and tells; exits 1 if what is still served is less than nine tenths of the peak.
    pub fn run(&self) -> Result<Exit, Failure> {
        let site = Site::open(self.seconds, false)?;
        let (connections, peak) = self.peak(&site)?;
        let before = cpu::resident().map_err(Failure::unavailable)?;
        let flood = site.single(connections * TIMES);
        let over = flood.run().map_err(Failure::unavailable)?;
        let after = cpu::resident().map_err(Failure::unavailable)?;
        let ratio = over.rate() / peak.rate();
        say!("single decisions, receipts returned, fsync on; a decision is served by 200")?;
        say!("  {connections:>5} connections {:>10.0}/s  p99 {:>8} us", peak.rate(), quantile(&peak, 0.99))?;
        say!(
            "  {:>5} connections {:>10.0}/s  p99 {:>8} us  ratio {ratio:.2}, bar 0.90",
            flood.connections,
            over.rate(),
            quantile(&over, 0.99)
        )?;
        say!(
            "        turned away with 503 and Retry-After {}, connections closed {}, other answers {}",
            over.turned_away,
            over.closed,
            over.other
        )?;
        say!("        resident, client included: {} MiB before, {} MiB after", before >> 20, after >> 20)?;
        let (took, flooded) = self.switch(&site, &flood)?;
        say!("  the kill switch beside {} connections: answered, and so in force, after {took:?}", flood.connections)?;
        let other = over.other + flooded.other;
        site.house.stop();
        Ok(if ratio >= 0.9 && other == 0 && took < Duration::from_secs(1) { Exit::Ok } else { Exit::Invalid })
    }

    /// The fewest connections that saturate it, and what it serves then.
    fn peak(&self, site: &Site) -> Result<(usize, Figures), Failure> {
        let served = |connections| site.single(connections).run().map_err(Failure::unavailable);
        let mut connections = self.connections;
        let mut peak = served(connections)?;
        while connections < MOST {
            let more = served(connections * 2)?;
            if more.rate() < peak.rate() * GROWTH {
                break;
            }
            (connections, peak) = (connections * 2, more);
        }
        Ok((connections, peak))
    }

    /// Throws the kill switch in the middle of a flood.
    fn switch(&self, site: &Site, flood: &Load) -> Result<(Duration, Figures), Failure> {
        let (admin, url) = (&site.admin, site.house.decision_url());
        std::thread::scope(|scope| {
            let thrown = scope.spawn(move || {
                std::thread::sleep(Duration::from_secs(1 + self.seconds / 2));
                let client = admin.client(&url)?;
                block_on(async {
                    let follows = admin.state(&client).await?.governance;
                    let deed = Deed::Switch { target: Target::Global, power: Power::Halt, reason: "overload".into() };
                    let note = admin.sign(follows, deed);
                    let begun = Instant::now();
                    client.post("/v1/switches", "text/plain", note.into_bytes()).await?.success()?;
                    Ok::<_, Failure>(begun.elapsed())
                })
            });
            let flooded = flood.run().map_err(Failure::unavailable);
            let took = thrown.join().map_err(|_| Failure::unavailable("the administrator's thread ended"))??;
            Ok((took, flooded?))
        })
    }
}

/// A body of [`BATCH`] requests in turn, from one of them on.
fn batch(bodies: &[Vec<u8>], first: usize) -> Vec<u8> {
    let items: Vec<&[u8]> = bodies.iter().cycle().skip(first).take(BATCH).map(Vec::as_slice).collect();
    [b"[", items.join(&b","[..]).as_slice(), b"]"].concat()
}
