//! `interlock bench replay`: a log of decisions computed again, against plain Cedar on the same requests.
//!
//! The limit is what plain Cedar itself does on all cores with requests that are parsed already: their entities and context are built, and
//! those policies are evaluated whose scope can be true. Replay reads leaves and private parts, hashes them, parses, does the same, follows
//! the fold, and holds every byte against what is recorded.

use std::time::{Duration, Instant};

use authorizer::engine::split_policies;
use authorizer::governance::Governors;
use authorizer::replay::{Options, replay};
use authorizer::service::admin_keys_path;
use benches::policy;
use clap::Args;
use verifier::epoch::EpochContent;
use verifier::request::Request;

use super::authorizer::{MANY, POLICIES, SCHEMA, Site, run};
use crate::exit::{Exit, Failure};
use crate::output::say;

/// How long.
#[derive(Debug, Args)]
pub struct Replay {
    /// Seconds of decisions, and seconds of plain Cedar
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Connections of the batches that fill the log
    #[arg(long, default_value_t = 4)]
    connections: usize,
}

impl Replay {
    /// Measures and tells; exits 1 if a decision does not come out.
    pub fn run(&self) -> Result<Exit, Failure> {
        let site = Site::open(self.seconds, true)?;
        run(&site.load(site.house.decision_address(), MANY, &site.batches(), self.connections))?;
        let Site { directory, house, bodies, .. } = site;
        house.stop();
        let data = Site::data(&directory);
        let mut reader = ledger::open_archive(&data, None).map_err(Failure::unavailable)?;
        let governors = Governors::read(&admin_keys_path(&data), reader.origin()).map_err(Failure::unavailable)?;
        let head = reader.head();
        let head = (head.checkpoint.size, head.checkpoint.root);
        let begun = Instant::now();
        let report =
            replay(&mut reader, &governors, head, Options::default(), &mut |_| {}).map_err(Failure::refused)?;
        let took = begun.elapsed();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = report.decisions as f64 / took.as_secs_f64();
        let requests = bodies.iter().map(|body| Request::parse(body)).collect::<Result<Vec<_>, _>>();
        let requests = requests.map_err(Failure::undecidable)?;
        let policies = split_policies(POLICIES).map_err(Failure::refused)?;
        let content = EpochContent { policies, schema: Some(SCHEMA.to_owned()), entities: None, trust: None };
        let plain = policy::plainly_on_all_cores(content, &requests, Duration::from_secs(self.seconds));
        let plain = plain.map_err(Failure::refused)?;
        say!("replay       {rate:>10.0}/s   {} decisions, {} the same, in {took:?}", report.decisions, report.same)?;
        say!("plain Cedar  {plain:>10.0}/s   all cores, parsed requests to nine verdicts")?;
        say!("ratio        {:>10.2}     bar 0.50", rate / plain)?;
        Ok(if report.same == report.decisions { Exit::Ok } else { Exit::Invalid })
    }
}
