//! Criterion: one durable append of a small and of a large batch, and proofs. The ratios to the machine's limits are `interlock bench ledger`.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot go on stops")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ledger::{Batch, Ledger, Options};
use verifier::record::Record;

fn statement(number: u64) -> Record {
    let mut body = vec![b'.'; 206];
    body.get_mut(..8).expect("the body is longer").copy_from_slice(&number.to_be_bytes());
    Record::Statement { recorded_at: 1, realm: "main".into(), media_type: "application/octet-stream".into(), body }
}

fn append(criterion: &mut Criterion) {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let dir = place.path().join("log");
    ledger::create(&dir, "bench.example/ledger", 1).unwrap();
    let (mut ledger, reader) = Ledger::open(Options::new(&dir), 1).unwrap();
    let mut group = criterion.benchmark_group("ledger");
    for count in [1_u64, 256, 4096] {
        let mut batch = Batch::default();
        for number in 0..count {
            batch.push(&statement(number), None).unwrap();
        }
        group.throughput(Throughput::Elements(count));
        group.bench_function(format!("append/{count}"), |bencher| {
            bencher.iter(|| ledger.append(black_box(&batch), 1).unwrap());
        });
    }
    let size = reader.size();
    let mut index = 0;
    group.throughput(Throughput::Elements(1));
    group.bench_function("inclusion", |bencher| {
        bencher.iter(|| {
            index = (index + 0x9e37_79b9) % size;
            reader.inclusion(black_box(index), size).unwrap()
        });
    });
    group.bench_function("receipt", |bencher| {
        bencher.iter(|| {
            index = (index + 0x9e37_79b9) % size;
            reader.receipt(black_box(index), None).unwrap()
        });
    });
    group.finish();
}

criterion_group!(benches, append);
criterion_main!(benches);
