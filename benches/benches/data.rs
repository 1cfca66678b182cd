//! Batches gathered and episodes drawn: `manytask-data`.
#![expect(clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

mod common;

use common::{GOOD, short};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use manytask_benches::pictures;
use manytask_data::{
    BatchOrder, Batcher, ClassPool, EpisodeSpec, Inputs, LastBatch, Sinusoid, SplitData, TaskData, gather,
};
use manytask_tensor::random::Key;
use manytask_tensor::{Device, Kind};

fn batches(c: &mut Criterion) {
    const ROWS: i64 = 20_000;
    let mut group = c.benchmark_group("batches");
    let dense = Key::new(0, "x").normal(&[ROWS, 512], Kind::Float, Device::Cpu).expect(GOOD);
    let tasks = (0..2).map(|task| TaskData {
        name: format!("task{task}"),
        target: dense.select(1, task).contiguous(),
        weight: None,
    });
    let inputs = vec![Inputs::numbers(dense.shallow_clone())];
    let split = SplitData::new(inputs, tasks.collect()).expect(GOOD);
    for size in [32, 256] {
        for (name, order) in [("shuffled", BatchOrder::Shuffled), ("sequential", BatchOrder::Sequential)] {
            let batcher = Batcher::new(&split.streams(), size, 0, order, LastBatch::Keep).expect(GOOD);
            let each = batcher.batches_per_epoch();
            let mut number = 0;
            group.bench_function(BenchmarkId::new(format!("{size} rows of 512"), name), |b| {
                b.iter(|| {
                    number += 1;
                    gather(&split, &batcher, number / each, number % each).expect(GOOD)
                });
            });
        }
    }
    group.finish();
}

fn episodes(c: &mut Criterion) {
    const CLASSES: usize = 1000;
    let mut group = c.benchmark_group("episodes");
    let names = (0..CLASSES).map(|class| class.to_string()).collect();
    let pool = ClassPool::new(pictures(CLASSES).expect(GOOD), &[20; CLASSES], names).expect(GOOD);
    for (name, spec, tasks) in [
        ("32 of 5 ways 1 shot", EpisodeSpec { ways: 5, shots: 1, queries: 15 }, 32),
        ("1 of 60 ways 5 shots", EpisodeSpec { ways: 60, shots: 5, queries: 5 }, 1),
    ] {
        let mut first = 0;
        group.bench_function(BenchmarkId::new("pictures", name), |b| {
            b.iter(|| {
                first += tasks;
                pool.episodes(spec, 0, "bench", first..first + tasks).expect(GOOD)
            });
        });
    }
    group.bench_function(BenchmarkId::new("sine waves", "25 of 10 shots"), |b| {
        let family = Sinusoid::default();
        b.iter(|| family.episodes(10, 10, 0, "bench", 0..25, Kind::Float).expect(GOOD));
    });
    group.finish();
}

criterion_group! { name = data; config = short(); targets = batches, episodes }
criterion_main!(data);
