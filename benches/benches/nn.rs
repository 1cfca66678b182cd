//! Networks forward and backward, and optimizers: `manytask-nn`.
#![expect(clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

mod common;

use std::hint::black_box;

use common::{GOOD, short};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use manytask_nn::nets::{Conv4, Conv4Config, Mlp, MlpConfig};
use manytask_nn::optim::{Active, Optimizer};
use manytask_nn::{BatchNormPolicy, Builder, Context, Module};
use manytask_tensor::random::Key;
use manytask_tensor::{Device, Graph, Kind, Layout, Params, Tensor, grad};

fn mlp() -> (Mlp, Params) {
    let mut layout = Layout::builder();
    let config = MlpConfig { hidden: vec![40, 40], output: Some(1), ..MlpConfig::default() };
    let net = Mlp::new(&mut Builder::new(&mut layout), 1, &config).expect(GOOD);
    (net, layout.build().init(0, Kind::Float, Device::Cpu).expect(GOOD).require_grad().expect(GOOD))
}

fn conv4() -> (Conv4, Params) {
    let mut layout = Layout::builder();
    let config = Conv4Config { output: Some(5), ..Conv4Config::default() };
    let net = Conv4::new(&mut Builder::new(&mut layout), 1, 28, &config).expect(GOOD);
    (net, layout.build().init(0, Kind::Float, Device::Cpu).expect(GOOD).require_grad().expect(GOOD))
}

fn normal(shape: &[i64]) -> Tensor {
    Key::new(0, "x").normal(shape, Kind::Float, Device::Cpu).expect(GOOD)
}

/// Forward, forward and backward, and forward for several tasks at once.
fn passes(c: &mut Criterion, name: &str, net: &dyn Module, params: &Params, shape: &[i64], tasks: i64) {
    let mut group = c.benchmark_group("nn");
    let x = normal(shape);
    let forward = |params: &Params, x: &Tensor| {
        let mut cx = Context::eval().with_batch_norm(BatchNormPolicy::Batch);
        net.forward(params, black_box(x), &mut cx).expect(GOOD)
    };
    group.bench_function(BenchmarkId::new("forward", name), |b| b.iter(|| forward(params, &x)));
    group.bench_function(BenchmarkId::new("forward and backward", name), |b| {
        b.iter(|| grad(&forward(params, &x).square().mean(Kind::Float), params, Graph::Free).expect(GOOD));
    });
    let expanded = params.expand_tasks(tasks).expect(GOOD);
    let x = normal(&[&[tasks], shape].concat());
    group.bench_function(BenchmarkId::new(format!("forward, {tasks} tasks"), name), |b| {
        b.iter(|| forward(&expanded, &x));
    });
    group.finish();
}

fn networks(c: &mut Criterion) {
    let (net, params) = mlp();
    passes(c, "mlp 1-40-40-1, 10 rows", &net, &params, &[10, 1], 25);
    let (net, params) = conv4();
    passes(c, "conv4, 75 pictures", &net, &params, &[75, 1, 28, 28], 4);
}

fn optimizers(c: &mut Criterion) {
    let mut group = c.benchmark_group("optimizers");
    for (network, params) in [("mlp 1-40-40-1", mlp().1), ("conv4", conv4().1)] {
        for (name, optimizer) in [("sgd", Optimizer::sgd(0.9)), ("adam", Optimizer::adam())] {
            let mut now = params.copy().expect(GOOD);
            let gradient = params.copy().expect(GOOD);
            let mut state = optimizer.init(&now).expect(GOOD);
            group.bench_function(BenchmarkId::new(name, network), |b| {
                b.iter(|| optimizer.step(&mut now, &gradient, &mut state, 1e-9, Active::All).expect(GOOD));
            });
        }
    }
    group.finish();
}

criterion_group! { name = nn; config = short(); targets = networks, optimizers }
criterion_main!(nn);
