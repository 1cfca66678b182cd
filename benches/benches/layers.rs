//! Benchmarks by layer: `cargo xtask bench [FILTER]`.
#![expect(clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use manytask_benches::{GramianStep, work};
use manytask_meta::Execution;
use manytask_multitask::aggregators::{AlignedMtl, CaGrad, Mgda, NashMtl, PcGrad, UpGrad};
use manytask_multitask::{AggregatorSettings, Combination, Draw, Jacobian, Level, Part};
use manytask_nn::nets::{Mlp, MlpConfig};
use manytask_nn::optim::Optimizer;
use manytask_nn::{Builder, Cx, Module};
use manytask_tensor::random::Key;
use manytask_tensor::{Device, Graph, Kind, Layout, grad};

const GOOD: &str = "the work is well-formed";
const DRAW: Draw = Draw { seed: 0, step: 0, replica: 0, part: Part::Train };

fn network(c: &mut Criterion) {
    let mut group = c.benchmark_group("nn");
    let mut layout = Layout::builder();
    let config = MlpConfig { hidden: vec![40, 40], output: Some(1), ..MlpConfig::default() };
    let net = Mlp::new(&mut Builder::new(&mut layout), 1, &config).expect(GOOD);
    let params = layout.build().init(0, Kind::Float, Device::Cpu).expect(GOOD).require_grad().expect(GOOD);
    let x = Key::new(0, "x").normal(&[10, 1], Kind::Float, Device::Cpu).expect(GOOD);
    group.bench_function("mlp 1-40-40-1 forward", |b| {
        b.iter(|| net.forward(&params, black_box(&x), &mut Cx::eval()).expect(GOOD));
    });
    group.bench_function("mlp 1-40-40-1 forward and backward", |b| {
        b.iter(|| {
            let y = net.forward(&params, black_box(&x), &mut Cx::eval()).expect(GOOD);
            grad(&y.square().mean(Kind::Float), &params, Graph::Free).expect(GOOD)
        });
    });
    let tasks = params.expand_tasks(25).expect(GOOD);
    let x = Key::new(0, "x").normal(&[25, 10, 1], Kind::Float, Device::Cpu).expect(GOOD);
    group.bench_function("mlp 1-40-40-1 forward, 25 tasks", |b| {
        b.iter(|| net.forward(&tasks, black_box(&x), &mut Cx::eval()).expect(GOOD));
    });
    for (name, optimizer) in [("sgd", Optimizer::sgd(0.9)), ("adam", Optimizer::adam())] {
        let mut now = params.copy().expect(GOOD);
        let gradient = params.copy().expect(GOOD);
        let mut state = optimizer.init(&now).expect(GOOD);
        group.bench_function(BenchmarkId::new("step of six leaves", name), |b| {
            b.iter(|| optimizer.step(&mut now, &gradient, &mut state, 1e-9).expect(GOOD));
        });
    }
    group.finish();
}

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
            let mut step = GramianStep::new(tasks).expect(GOOD);
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
        let work = work(name, Execution::Batched).expect(GOOD);
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
                pass.jacobian(Level::Parameters).expect(GOOD).gramian().expect(GOOD)
            });
        });
    }
    group.finish();
}

fn inner_loops(c: &mut Criterion) {
    let mut group = c.benchmark_group("inner loops");
    for steps in [1, 5] {
        for (name, execution) in
            [("batched", Execution::Batched), ("loop", Execution::Loop), ("threads", Execution::Threads(2))]
        {
            let work = work(&format!("sinusoid-{steps}"), execution).expect(GOOD);
            let params = work.start().expect(GOOD).require_grad().expect(GOOD);
            group.bench_function(
                BenchmarkId::new(format!("25 tasks, {steps} steps, second order"), name),
                |b| {
                    b.iter(|| {
                        let mut pass = work.problem().forward(&params, DRAW).expect(GOOD);
                        pass.finish(&Combination::weights(vec![0.04; 25])).expect(GOOD)
                    });
                },
            );
        }
    }
    group.finish();
}

fn short() -> Criterion {
    let second = std::time::Duration::from_secs(1);
    Criterion::default().sample_size(20).warm_up_time(second / 2).measurement_time(second)
}

criterion_group! { name = layers; config = short(); targets = network, aggregators, solve, passes, inner_loops }
criterion_main!(layers);
