//! Whole steps of the training loop, and the way to the first of them.
#![expect(clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

mod common;

use std::ops::ControlFlow;

use common::{GOOD, short};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use manytask_benches::work;
use manytask_meta::Execution;
use manytask_multitask::{Event, Result, Trainer};

const WORKS: [&str; 9] = [
    "sinusoid-1",
    "sinusoid-5",
    "conv4-4-1",
    "protonet-60",
    "trunk-2-equal",
    "trunk-12-equal",
    "trunk-12-uncertainty",
    "trunk-12-pcgrad",
    "trunk-12-mgda",
];

fn one(trainer: &mut Trainer<'_>) {
    let finish = trainer.run(|_, event| -> Result<_> {
        let done = matches!(event, Event::StepDone { .. });
        Ok(if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    finish.expect(GOOD);
}

fn steps(c: &mut Criterion) {
    let mut group = c.benchmark_group("step");
    for name in WORKS {
        let work = work(name, Execution::Auto).expect(GOOD);
        let mut trainer = work.trainer(u64::MAX).expect(GOOD);
        group.bench_function(BenchmarkId::new("training", name), |b| b.iter(|| one(&mut trainer)));
    }
    group.finish();
}

/// Data made, network built, a training begun and one step of it.
fn start_up(c: &mut Criterion) {
    let mut group = c.benchmark_group("start-up");
    group.sample_size(10);
    for name in ["sinusoid-1", "conv4-4-1", "trunk-2-equal"] {
        group.bench_function(BenchmarkId::new("to the first step", name), |b| {
            b.iter(|| {
                let work = work(name, Execution::Auto).expect(GOOD);
                one(&mut work.trainer(1).expect(GOOD));
            });
        });
    }
    group.finish();
}

criterion_group! { name = training; config = short(); targets = steps, start_up }
criterion_main!(training);
