//! Policy evaluation at 10, 100, 1,000 and 10,000 policies, the engine beside plain `cedar-policy`; one request an iteration, 256 of them in turn.
//!
//! `cargo bench -p benches --bench policy`; afterwards it prints the ratios, measured in the same run.

use std::cell::Cell;
use std::time::Duration;

use benches::policy::{Measured, Workload};
use criterion::{Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default()
        .configure_from_args()
        .sample_size(10)
        .measurement_time(Duration::from_secs(2))
        .warm_up_time(Duration::from_secs(1));
    let mut rows = Vec::new();
    for policies in [10, 100, 1_000, 10_000] {
        let workload = match Workload::new(policies) {
            Ok(workload) => workload,
            Err(error) => return eprintln!("{error}"),
        };
        let mut group = criterion.benchmark_group(format!("policy/{policies}"));
        group.throughput(Throughput::Elements(1));
        let turn = Cell::new(0);
        group.bench_function("engine", |bencher| bencher.iter(|| workload.decide(turn.replace(turn.get() + 1))));
        group.bench_function("plain cedar, candidates", |bencher| {
            bencher.iter(|| workload.candidates(turn.replace(turn.get() + 1)))
        });
        group.finish();
        rows.push(workload.measure(Duration::from_secs(1)));
    }
    criterion.final_summary();
    println!("policies   engine ns   compiled ns   Cedar, candidates ns   ratio   Cedar, all ns");
    for row in &rows {
        let Measured { policies, engine_ns, compiled_ns, candidates_ns, plain_ns } = row;
        println!(
            "{policies:>8} {engine_ns:>11.0} {compiled_ns:>13.0} {candidates_ns:>22.0} {:>7.2} {plain_ns:>15.0}",
            row.ratio()
        );
    }
}
