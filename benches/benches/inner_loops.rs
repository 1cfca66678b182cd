//! Meta-gradients by tasks, inner steps, order and way of computing: `manytask-meta`.
#![expect(clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

mod common;

use common::{GOOD, short};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use manytask_benches::{DRAW, Work, waves, work};
use manytask_meta::{Execution, OuterGradient};
use manytask_multitask::Combination;

const WAYS: [(&str, Execution); 4] = [
    ("analytic", Execution::Analytic),
    ("loop", Execution::Loop),
    ("threads", Execution::Threads(2)),
    ("batched", Execution::Batched),
];

fn bench(c: &mut Criterion, what: &str, way: &str, work: &Work) {
    let params = work.start().expect(GOOD).require_grad().expect(GOOD);
    let tasks = work.problem().tasks().len();
    c.benchmark_group("inner loops").bench_function(BenchmarkId::new(what, way), |b| {
        b.iter(|| {
            let mut pass = work.problem().forward(&params, DRAW).expect(GOOD);
            pass.finish(&Combination::weights(vec![1.0 / tasks as f64; tasks])).expect(GOOD)
        });
    });
}

fn sine_waves(c: &mut Criterion) {
    for tasks in [4, 25] {
        for steps in [1, 5] {
            for (order, outer) in
                [("second", OuterGradient::SecondOrder), ("first", OuterGradient::FirstOrder)]
            {
                for (way, execution) in WAYS {
                    let work = waves(tasks, steps, outer, execution).expect(GOOD);
                    bench(c, &format!("{tasks} sine waves, {steps} steps, {order} order"), way, &work);
                }
            }
        }
    }
}

fn pictures(c: &mut Criterion) {
    for (way, execution) in WAYS {
        let work = work("conv4-4-1", execution).expect(GOOD);
        bench(c, "conv4, 4 tasks, 1 steps, second order", way, &work);
    }
}

criterion_group! { name = loops; config = short(); targets = sine_waves, pictures }
criterion_main!(loops);
