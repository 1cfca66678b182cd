//! Parameters as data, and gradients: `manytask-tensor`.
#![expect(clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

mod common;

use std::hint::black_box;

use common::{GOOD, short};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use manytask_nn::nets::{Conv4, Conv4Config, Mlp, MlpConfig};
use manytask_nn::{Builder, Context, Module};
use manytask_tensor::dense::{Accumulate, Matrix, product, values};
use manytask_tensor::one_hot::{OneHotRows, expand};
use manytask_tensor::random::Key;
use manytask_tensor::{Device, Graph, Kind, Layout, Params, Tensor, grad, gradients, jacobian};

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
    let forward = || net.forward(&params, black_box(&x), &mut Context::eval()).expect(GOOD).square();
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

/// Products of the shapes of trunks, by threads: a layer forward and its gradient.
fn products(c: &mut Criterion) {
    let mut group = c.benchmark_group("products");
    for (rows, inputs, outputs) in [(32, 499, 128), (256, 499, 128), (256, 512, 512), (256, 1024, 512)] {
        let (x, w) = (vec![0.5_f32; rows * inputs], vec![0.25_f32; outputs * inputs]);
        let (mut out, mut gradient) = (vec![0.0_f32; rows * outputs], w.clone());
        for threads in [1, 2] {
            let name = format!("{rows}x{inputs}x{outputs}, threads {threads}");
            group.bench_function(BenchmarkId::new("forward", &name), |b| {
                let x = Matrix::new(&x, rows, inputs).expect(GOOD);
                let w = Matrix::new(&w, outputs, inputs).expect(GOOD).transposed();
                b.iter(|| product(&mut out, Accumulate::No, 1.0, black_box(x), w, threads).expect(GOOD));
            });
            group.bench_function(BenchmarkId::new("gradient", &name), |b| {
                let delta = Matrix::new(&out, rows, outputs).expect(GOOD).transposed();
                let x = Matrix::new(&x, rows, inputs).expect(GOOD);
                b.iter(|| {
                    product(&mut gradient, Accumulate::No, 1.0, delta, black_box(x), threads).expect(GOOD);
                });
            });
        }
    }
    group.finish();
}

/// The first layer on 7 numbers and 33 categories in 492 indices, with and without the zeros.
fn one_hot(c: &mut Criterion) {
    const OUTPUTS: usize = 128;
    let mut group = c.benchmark_group("one-hot");
    for rows in [32, 256, 1024] {
        let numbers = Key::new(0, "numbers").normal(&[rows, 7], Kind::Float, Device::Cpu).expect(GOOD);
        // 33 columns with indices of their own, 14 or 15 each.
        let value =
            Key::new(0, "indices").normal(&[rows, 33], Kind::Float, Device::Cpu).expect(GOOD) * 1000.0;
        let first = Tensor::arange(33, (Kind::Float, Device::Cpu)) * 14.9;
        let indices = (value.remainder(14.0) + first).to_kind(Kind::Int16);
        let weight = vec![0.1_f32; OUTPUTS * 499];
        let (mut out, mut gradient) = (vec![0.0_f32; rows as usize * OUTPUTS], weight.clone());
        group.bench_function(BenchmarkId::new("sums", rows), |b| {
            b.iter(|| {
                let x = OneHotRows::new(black_box(&numbers), &indices, 492).expect(GOOD);
                x.add_product(&weight, OUTPUTS, &mut out, 1).expect(GOOD);
                x.gradient(&out, OUTPUTS, &mut gradient, 1).expect(GOOD);
            });
        });
        group.bench_function(BenchmarkId::new("matrix", rows), |b| {
            b.iter(|| {
                let x = expand(black_box(&numbers), &indices, 492).expect(GOOD);
                let x = Matrix::new(values(&x).expect(GOOD), rows as usize, 499).expect(GOOD);
                let w = Matrix::new(&weight, OUTPUTS, 499).expect(GOOD).transposed();
                product(&mut out, Accumulate::No, 1.0, x, w, 1).expect(GOOD);
                let delta = Matrix::new(&out, rows as usize, OUTPUTS).expect(GOOD).transposed();
                product(&mut gradient, Accumulate::No, 1.0, delta, x, 1).expect(GOOD);
            });
        });
    }
    group.finish();
}

criterion_group! { name = ops; config = short(); targets = parameters, differentiation, products, one_hot }
criterion_main!(ops);
