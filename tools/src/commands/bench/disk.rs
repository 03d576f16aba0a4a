//! `interlock bench checks` and `interlock bench sizes`: what it costs to check a log, and what one takes on the disk.

use std::path::PathBuf;

use benches::checks::{Figures, Workload};
use benches::sizes::{Sizes, measure};
use clap::Args;

use crate::exit::{Exit, Failure};
use crate::output::{self, say};

/// How large, and where.
#[derive(Debug, Args)]
pub struct Checks {
    /// A directory on the disk that is used; a million entries take some 500 MB of it for a while
    #[arg(long, default_value = ".")]
    place: PathBuf,
    /// Statements in the one log; the other has a quarter as many decisions
    #[arg(long, default_value_t = 2_000_000)]
    entries: u64,
}

/// Which log.
#[derive(Debug, Args)]
pub struct OfLog {
    /// The log's directory
    dir: PathBuf,
}

impl Checks {
    /// Runs the benchmark.
    pub fn run(&self) -> Result<Exit, Failure> {
        for (workload, name, entries) in [
            (Workload::Statements, "statements of 256 B", self.entries),
            (Workload::Decisions, "decisions with private parts", self.entries / 4),
        ] {
            let figures = benches::checks::run(&self.place, workload, entries).map_err(Failure::unavailable)?;
            print(name, &figures)?;
        }
        say!("raw SHA-256: leaves and nodes, and in an audit of decisions the commitments to their private parts")?;
        say!("with CRC-32: the same, and the checksums of leaves and private parts, which fsck and audit both read")?;
        Ok(Exit::Ok)
    }
}

fn print(name: &str, figures: &Figures) -> Result<(), Failure> {
    let Figures { entries, checks, sealing, sizes: [raw, sealed] } = figures;
    say!("{entries} {name}")?;
    say!("  {:<14} {:>11}     raw SHA-256   ratio    with CRC-32   ratio", "", "checked")?;
    for check in checks {
        let (of_hashing, of_checking) = (check.of_hashing(), check.of_checking());
        let benches::checks::Check { name, rate, hashing, checking } = check;
        say!(
            "  {name:<14} {rate:>11.0}/s {hashing:>13.0}/s    {of_hashing:.2} {checking:>12.0}/s    {of_checking:.2}"
        )?;
    }
    let bytes = raw.raw - sealed.raw;
    say!("  sealing {} MiB took {sealing:.2?}; {} MiB are left of them", bytes >> 20, sealed.sealed >> 20)
}

impl OfLog {
    /// Measures the log's files.
    pub fn run(&self) -> Result<Exit, Failure> {
        let sizes = measure(&self.dir).map_err(Failure::unavailable)?;
        let report = ledger::fsck(&self.dir, None, &mut |_| {}).map_err(Failure::unavailable)?;
        output::print(as_text(&sizes, report.entries, report.decisions))?;
        Ok(Exit::Ok)
    }
}

fn as_text(sizes: &Sizes, entries: u64, decisions: u64) -> String {
    let Sizes { raw, sealed, sealed_entries, vault, tree, index } = *sizes;
    #[expect(clippy::cast_precision_loss, reason = "averages for people")]
    let each = |bytes: u64, count: u64| bytes as f64 / count.max(1) as f64;
    let line = |name: &str, bytes: u64, count: u64, of: &str| {
        format!("  {name:<16} {bytes:>13} B   {:>7.1} B for each of {count} {of}\n", each(bytes, count))
    };
    [
        format!("{entries} entries, {decisions} decisions\n"),
        line("sealed journal", sealed, sealed_entries, "sealed entries"),
        line("raw journal", raw, entries - sealed_entries, "other entries"),
        line("vault", vault, decisions, "decisions"),
        line("tree, derived", tree, entries, "entries"),
        line("index, derived", index, entries, "entries"),
    ]
    .concat()
}
