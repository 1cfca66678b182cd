//! What aggregators are made of, and the passes that give it to them: `manytask-multitask`.
#![expect(clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

mod common;

use std::hint::black_box;

use common::{GOOD, short};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use manytask_benches::{DRAW, gramian_step, work};
use manytask_meta::Execution;
use manytask_multitask::aggregators::{AlignedMtl, CaGrad, Mgda, NashMtl, PcGrad, UpGrad};
use manytask_multitask::{AggregatorSettings, Combination, Jacobian, Level};
use manytask_tensor::random::Key;
use manytask_tensor::{Device, Kind};

fn aggregators(c: &mut Criterion) {
    let mut group = c.benchmark_group("aggregators");
    for (tasks, size) in [(2, 1_000_000), (12, 1_000_000), (40, 100_000)] {
        let rows = Key::new(0, "rows").normal(&[tasks, size], Kind::Float, Device::Cpu).expect(GOOD);
        let jacobian = Jacobian::new(&rows).expect(GOOD);
        let id = format!("{tasks} x {size}");
        group.bench_function(BenchmarkId::new("gramian", &id), |b| {
            b.iter(|| jacobian.gramian().expect(GOOD));
        });
        let weights = vec![0.1; tasks as usize];
        group.bench_function(BenchmarkId::new("combine", &id), |b| {
            b.iter(|| jacobian.combine(&weights).expect(GOOD));
        });
    }
    group.finish();
}

fn solve(c: &mut Criterion) {
    let mut group = c.benchmark_group("aggregators/solve");
    let methods: [(&str, Box<dyn AggregatorSettings>); 6] = [
        ("pcgrad", Box::new(PcGrad::default())),
        ("mgda", Box::new(Mgda::default())),
        ("cagrad", Box::new(CaGrad::default())),
        ("upgrad", Box::new(UpGrad::default())),
        ("aligned_mtl", Box::new(AlignedMtl::default())),
        ("nash_mtl", Box::new(NashMtl::default())),
    ];
    for (name, settings) in methods {
        for tasks in [2, 12, 40, 128] {
            let names: Vec<String> = (0..tasks).map(|task| format!("task{task}")).collect();
            let mut aggregator = settings.build(&names).expect(GOOD);
            let mut step = gramian_step(tasks).expect(GOOD);
            group.bench_function(BenchmarkId::new(name, tasks), |b| {
                b.iter(|| aggregator.combine(black_box(&mut step)).expect(GOOD));
            });
        }
    }
    group.finish();
}

fn passes(c: &mut Criterion) {
    let mut group = c.benchmark_group("pass");
    for name in ["trunk-2-equal", "trunk-12-equal", "trunk-40-equal"] {
        let work = work(name, Execution::Auto).expect(GOOD);
        let params = work.start().expect(GOOD).require_grad().expect(GOOD);
        let tasks = work.problem().tasks().len();
        group.bench_function(BenchmarkId::new("weighted losses", name), |b| {
            b.iter(|| {
                let mut pass = work.problem().forward(&params, DRAW).expect(GOOD);
                pass.finish(&Combination::weighted_losses(vec![1.0; tasks])).expect(GOOD)
            });
        });
        group.bench_function(BenchmarkId::new("Gramian", name), |b| {
            b.iter(|| {
                let mut pass = work.problem().forward(&params, DRAW).expect(GOOD);
                pass.jacobian(&Level::Parameters).expect(GOOD).gramian().expect(GOOD)
            });
        });
    }
    group.finish();
}

criterion_group! { name = layer; config = short(); targets = aggregators, solve, passes }
criterion_main!(layer);
