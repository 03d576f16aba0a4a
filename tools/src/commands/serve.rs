//! `interlock serve`: the decision API and the public read API over one log, until SIGTERM or Ctrl-C.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use authorizer::archive::Archive;
use authorizer::clock::System;
use authorizer::http::{BaseUrl, Rates};
use authorizer::service::Folded;
use authorizer::traces::{self, Ratio};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::client::block_on;
use crate::exit::{Exit, Failure};
use crate::house::{Addresses, Audits, House, Words};
use crate::output::note;

/// Units a second for one address, at most: more than all may have together.
const MAX_RATE: u32 = 1_000_000;

/// Serve a log.
#[derive(Debug, Args)]
pub struct Serve {
    /// The log's directory
    #[arg(long, env = "INTERLOCK_DATA_DIR")]
    data: PathBuf,
    /// The decision API's address
    #[arg(long, env = "INTERLOCK_LISTEN", default_value = "127.0.0.1:7411")]
    listen: SocketAddr,
    /// The public read API's address
    #[arg(long, env = "INTERLOCK_PUBLIC", default_value = "127.0.0.1:7410")]
    public: SocketAddr,
    /// Where the published head is remembered; beside the directory without. It must not be copied and restored with the directory: two
    /// copies with a memory each would sign two histories, which only those who watch would find
    #[arg(long)]
    memory: Option<PathBuf>,
    /// The operator's word that the memory is lost for good; recorded in the log
    #[arg(long)]
    accept_memory_loss: bool,
    /// The operator's word that the clock is right although it is far from the last record
    #[arg(long)]
    accept_clock_gap: bool,
    /// Serve the public read API alone, over what the last signed head covers: for an archive, or a log without its key
    #[arg(long, conflicts_with_all = ["accept_memory_loss", "accept_clock_gap", "behind_proxy"])]
    read_only: bool,
    /// The decision API stands behind a proxy that ends TLS: an address other than loopback is accepted
    #[arg(long)]
    behind_proxy: bool,
    /// By which address clients of the decision API come, `https://…`: AuthZEN's metadata names it
    #[arg(long, env = "INTERLOCK_BASE_URL", conflicts_with = "read_only")]
    base_url: Option<BaseUrl>,
    /// Strangers cannot try their own policies on the public listener (`/demo`, `/v1/sandbox/…`)
    #[arg(long, env = "INTERLOCK_NO_SANDBOX")]
    no_sandbox: bool,
    /// What one address may ask of the public listener, in units a second: a tile or a page is 1, a search 500, an evidence bundle 4,000,
    /// and ten times as many may come at once. Given, it holds for addresses of this machine too; without it others have 4,000 and those of
    /// this machine, where a proxy may stand, only count in what all share
    #[arg(long, env = "INTERLOCK_PUBLIC_RATE", value_name = "UNITS", value_parser = rates)]
    public_rate: Option<Rates>,
    /// Send traces to the OpenTelemetry collector at this address, by OTLP over HTTP: `http://127.0.0.1:4318`, on this machine only
    #[arg(long, env = "INTERLOCK_OTLP", value_name = "URL", hide_env_values = true, conflicts_with = "read_only")]
    otlp: Option<String>,
    /// The share of requests that are traced unless their caller decides (`traceparent`), from 0 to 1
    #[arg(long, env = "INTERLOCK_OTLP_SAMPLE", value_name = "RATIO", default_value = "0.01")]
    otlp_sample: Ratio,
    /// Hours from one audit of the log by this server to the next, or `off`; the first begins some seconds after the start. A log whose stored
    /// entries are no longer what its signed head says decides nothing any more
    #[arg(long, env = "INTERLOCK_SELF_AUDIT", value_name = "HOURS|off", default_value = "24", value_parser = Audits::parse)]
    self_audit: Audits,
    /// How many decisions stand between two `state` records; a small number shows many of them
    #[arg(long, hide = true, value_parser = clap::value_parser!(u64).range(16..), conflicts_with = "read_only")]
    state_every: Option<u64>,
}

impl Serve {
    /// Serves until a signal comes.
    pub fn run(&self) -> Result<Exit, Failure> {
        if self.read_only {
            return self.read();
        }
        let addresses = Addresses { listen: self.listen, public: self.public };
        // Not by the parser, which would repeat a password.
        let collector = self.otlp.as_deref().map(str::parse).transpose();
        let collector = collector.map_err(|error| Failure::usage(format!("--otlp: {error}")))?;
        let words = Words {
            traces: collector.map(|collector| traces::Options { collector, ratio: self.otlp_sample }),
            memory: self.memory.clone(),
            accept_memory_loss: self.accept_memory_loss,
            accept_clock_gap: self.accept_clock_gap,
            behind_proxy: self.behind_proxy,
            base_url: self.base_url.clone(),
            no_sandbox: self.no_sandbox,
            public_rates: self.public_rate,
            state_every: self.state_every,
            self_audit: self.self_audit,
        };
        let house = House::open(&self.data, &addresses, &words)?;
        note!("decision API     {}", house.decision_url());
        note!("public read API  {}", house.public_url());
        let head = house.reader().head();
        note!("{} at size {}, key {}", head.checkpoint.origin, head.checkpoint.size, house.reader().verifier_key());
        let Folded { from, records, passed_over } = house.folded();
        passed_over.iter().for_each(|why| note!("interlock: {why}"));
        match from {
            Some(index) => note!("state from the snapshot of entry {index}, {records} records behind it"),
            None => note!("state from {records} records"),
        }
        let mut told = false;
        let signalled = until_signal_beside(|| {
            if let Some(fault) = house.fault().filter(|_| !std::mem::replace(&mut told, true)) {
                note!("interlock: service_ended: {fault}: this process decides nothing any more; reads go on");
            }
        });
        house.stop();
        signalled.map(|()| Exit::Ok)
    }
}

impl Serve {
    fn read(&self) -> Result<Exit, Failure> {
        let reader = ledger::open_archive(&self.data, self.memory.as_deref()).map_err(Failure::unavailable)?;
        let clock = Arc::new(System::default());
        let (rates, plan) = (self.public_rate.unwrap_or_default(), self.self_audit.plan());
        let archive = Archive::start(self.public, reader.clone(), clock, rates, plan).map_err(Failure::unavailable)?;
        note!("public read API  http://{}", archive.address());
        let head = reader.head();
        let (origin, size) = (&head.checkpoint.origin, head.checkpoint.size);
        note!("{origin} at size {size}, for reading only, key {}", reader.verifier_key());
        let signalled = until_signal();
        if !archive.stop() {
            note!("interlock: the listener did not end in time");
        }
        signalled.map(|()| Exit::Ok)
    }
}

fn rates(text: &str) -> Result<Rates, String> {
    let units: Option<NonZeroU32> = text.parse().ok().filter(|units: &NonZeroU32| units.get() <= MAX_RATE);
    units.map(Rates::of_each).ok_or_else(|| format!("a number from 1 to {MAX_RATE}"))
}

/// Returns when SIGTERM or SIGINT comes.
pub fn until_signal() -> Result<(), Failure> {
    until_signal_beside(|| {})
}

/// As [`until_signal`]; looks each second at what else may come.
fn until_signal_beside(mut look: impl FnMut()) -> Result<(), Failure> {
    block_on(async {
        let mut each = tokio::time::interval(Duration::from_secs(1));
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::unavailable)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::unavailable)?;
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                _ = each.tick() => look(),
            }
        }
    })
}
