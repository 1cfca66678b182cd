//! Parameters as data, and gradients: `manytask-tensor`.
#![expect(clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

mod common;

use std::hint::black_box;

use common::{GOOD, short};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use manytask_nn::nets::{Conv4, Conv4Config, Mlp, MlpConfig};
use manytask_nn::{Builder, Cx, Module};
use manytask_tensor::random::Key;
use manytask_tensor::{Device, Graph, Kind, Layout, Params, grad, gradients, jacobian};

/// The parameters of a small perceptron, of one with a million numbers, and of four blocks of convolution.
fn networks() -> [(&'static str, Params); 3] {
    let mlp = |inputs, hidden: &[i64]| {
        let mut layout = Layout::builder();
        let config = MlpConfig { hidden: hidden.to_vec(), output: Some(1), ..MlpConfig::default() };
        Mlp::new(&mut Builder::new(&mut layout), inputs, &config).expect(GOOD);
        layout.build().init(0, Kind::Float, Device::Cpu).expect(GOOD)
    };
    let mut layout = Layout::builder();
    let config = Conv4Config { output: Some(5), ..Conv4Config::default() };
    Conv4::new(&mut Builder::new(&mut layout), 1, 28, &config).expect(GOOD);
    let conv4 = layout.build().init(0, Kind::Float, Device::Cpu).expect(GOOD);
    [("mlp 1-40-40-1", mlp(1, &[40, 40])), ("mlp 1024-512-512-1", mlp(1024, &[512, 512])), ("conv4", conv4)]
}

fn parameters(c: &mut Criterion) {
    let mut group = c.benchmark_group("ops");
    for (name, params) in networks() {
        let other = params.copy().expect(GOOD);
        group.bench_function(BenchmarkId::new("flatten", name), |b| {
            b.iter(|| black_box(&params).flatten().expect(GOOD));
        });
        let vector = params.flatten().expect(GOOD);
        group.bench_function(BenchmarkId::new("unflatten", name), |b| {
            b.iter(|| params.unflatten(black_box(&vector)).expect(GOOD));
        });
        group.bench_function(BenchmarkId::new("add_scaled", name), |b| {
            b.iter(|| params.add_scaled(black_box(&other), 0.1).expect(GOOD));
        });
        group.bench_function(BenchmarkId::new("dot", name), |b| {
            b.iter(|| params.dot(black_box(&other)).expect(GOOD));
        });
    }
    group.finish();
}

fn differentiation(c: &mut Criterion) {
    let mut group = c.benchmark_group("gradients");
    let mut layout = Layout::builder();
    let config = MlpConfig { hidden: vec![40, 40], output: Some(1), ..MlpConfig::default() };
    let net = Mlp::new(&mut Builder::new(&mut layout), 1, &config).expect(GOOD);
    let params = layout.build().init(0, Kind::Float, Device::Cpu).expect(GOOD).require_grad().expect(GOOD);
    let x = Key::new(0, "x").normal(&[10, 1], Kind::Float, Device::Cpu).expect(GOOD);
    let forward = || net.forward(&params, black_box(&x), &mut Cx::eval()).expect(GOOD).square();
    group.bench_function("first", |b| {
        b.iter(|| grad(&forward().mean(Kind::Float), &params, Graph::Free).expect(GOOD));
    });
    group.bench_function("second", |b| {
        let inputs: Vec<_> = params.leaves().iter().collect();
        b.iter(|| {
            let loss = forward().mean(Kind::Float);
            let first = gradients(&loss, &inputs, Graph::Differentiable).expect(GOOD);
            let norm = first.iter().skip(1).fold(first[0].square().sum(Kind::Float), |sum, gradient| {
                sum + gradient.square().sum(Kind::Float)
            });
            gradients(&norm, &inputs, Graph::Free).expect(GOOD)
        });
    });
    group.bench_function("Jacobian of ten", |b| {
        b.iter(|| jacobian(&forward().reshape([10]), &params, Graph::Free).expect(GOOD));
    });
    group.finish();
}

criterion_group! { name = ops; config = short(); targets = parameters, differentiation }
criterion_main!(ops);
