//! The rows under criterion, each a group with the contestants at every size.

use std::{hint::black_box, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use errgroup_benches::{COLLECTIONS, Growth, JOINS, Part, Row, TREES, WINDOWS};

/// How long a cell is probed, to leave out what grows too fast.
const PROBE: Duration = Duration::from_micros(500);

fn rows(criterion: &mut Criterion) {
    part(criterion, &COLLECTIONS);
    part(criterion, &JOINS);
    part(criterion, &WINDOWS);
    part(criterion, &TREES);
}

fn part<R: Row>(criterion: &mut Criterion, part: &'static Part<R>) {
    for &row in R::value_variants() {
        let mut group = criterion.benchmark_group(row.name());
        let mut growth: Vec<Growth> = part.entries.iter().map(|_| Growth::default()).collect();
        for &n in part.sizes {
            group.throughput(Throughput::Elements(row.items(n)));
            for (entry, growth) in part.entries.iter().zip(&mut growth) {
                if !(entry.ends)(row) || growth.rules_out(n) {
                    continue;
                }
                // The best of three, as one disturbed probe must not look like growth.
                let probes = [(); 3].map(|()| entry.calibrate(row, n, PROBE));
                let best = probes
                    .iter()
                    .map(|probe| (probe.per_item(row, n), probe.shortest_call()))
                    .min_by(|a, b| a.0.total_cmp(&b.0));
                let (per_item, call) = best.expect("there are three");
                growth.record(n, per_item, call);
                group.bench_function(BenchmarkId::new(entry.name, n), |bencher| {
                    bencher.iter_custom(|iters| (entry.measure)(black_box(row), n, iters));
                });
            }
        }
        group.finish();
    }
}

criterion_group! {
    name = groups;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(10);
    targets = rows
}
criterion_main!(groups);
