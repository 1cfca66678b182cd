//! A small problem for the tests of this crate.

use manytask_data::{Inputs, SplitData as Rows, TaskData};
use manytask_nn::layers::{Activation, Linear, Sequential};
use manytask_nn::metrics::Output;
use manytask_nn::{Builder, Module};
use manytask_tensor::random::Key;
use manytask_tensor::{Device, Kind, Params, Tensor};

use crate::{Batches, HardSharing, InputSizes, MultiTaskProblem, Problem, Result, Task, TaskSplits};

pub(crate) const F64: (Kind, Device) = (Kind::Double, Device::Cpu);

fn normal(seed: u64, what: &str, shape: &[i64]) -> Tensor {
    Key::new(seed, what).normal(shape, F64.0, F64.1).unwrap()
}

/// A binary task `b`, a regression `r`, and `m` of three classes, on `rows` rows of four numbers, in f64.
pub(crate) fn rows(seed: u64, rows: i64, single_input: bool) -> Rows {
    let inputs = |number: u64| Inputs::numbers(normal(seed + number, "x", &[rows, 4]));
    let inputs: Vec<Inputs> = if single_input { vec![inputs(0)] } else { (0..3).map(inputs).collect() };
    let x = |task: usize| inputs[if single_input { 0 } else { task }].tensor(F64.0).unwrap();
    let b = (x(0).select(1, 0) + x(0).select(1, 1)).gt(0.0).to_kind(F64.0);
    let r = x(1).select(1, 2) * 2.0 + x(1).select(1, 3).tanh() + 1.0;
    let m = x(2).narrow(1, 0, 3).argmax(1, false);
    let task = |name: &str, target: Tensor| TaskData { name: name.into(), target, weight: None };
    let tasks = vec![task("b", b), task("r", r), task("m", m)];
    Rows::new(inputs, tasks).unwrap()
}

pub(crate) fn tasks() -> Vec<Task> {
    vec![
        Task::new("b", Output::Binary, 1),
        Task { mean_std: (1.0, 2.0), ..Task::new("r", Output::Regression, 1) },
        Task::new("m", Output::Multiclass, 3),
    ]
}

pub(crate) fn network(trunk: impl FnOnce(&mut Builder<'_>, &[i64]) -> Result<crate::Built>) -> HardSharing {
    let described = tasks();
    let names: Vec<String> = described.iter().map(|task| task.name.clone()).collect();
    HardSharing::build(&InputSizes::numbers(4), 0, &names, trunk, |b, task, features| {
        Ok(Box::new(Linear::new(b, features, described[task].outputs)?))
    })
    .unwrap()
}

/// Four numbers to six through a tanh.
pub(crate) fn tanh_trunk(b: &mut Builder<'_>, inputs: &[i64]) -> Result<(Box<dyn Module>, i64)> {
    let linear = Linear::new(&mut b.scope("layer0"), inputs.iter().product(), 6)?;
    Ok((Box::new(Sequential(vec![Box::new(linear), Box::new(Activation::Tanh)])), 6))
}

/// Four numbers to six through relus, with two layers of `width` between: a trunk whose passes are fused.
pub(crate) fn relu_trunk(width: i64) -> impl FnOnce(&mut Builder<'_>, &[i64]) -> Result<crate::Built> {
    move |b, inputs| {
        let first = Linear::new(&mut b.scope("layer0"), inputs.iter().product(), width)?;
        let second = Linear::new(&mut b.scope("layer1"), width, width)?;
        let third = Linear::new(&mut b.scope("layer2"), width, 6)?;
        let relu = || Box::new(Activation::Relu);
        let layers: Vec<Box<dyn Module>> =
            vec![Box::new(first), relu(), Box::new(second), relu(), Box::new(third), relu()];
        Ok((Box::new(Sequential(layers)), 6))
    }
}

pub(crate) fn problem_of(train: Rows) -> MultiTaskProblem {
    problem_with(network(tanh_trunk), train)
}

pub(crate) fn problem_with(network: HardSharing, train: Rows) -> MultiTaskProblem {
    let splits = TaskSplits { train, validation: Some(rows(50, 40, true)), test: None };
    let batches = Batches { size: 8, ..Batches::default() };
    MultiTaskProblem::new(Box::new(network), tasks(), splits, batches).unwrap()
}

/// The same data with each of [`networks`].
pub(crate) fn problems(train: impl Fn() -> Rows) -> Vec<MultiTaskProblem> {
    networks().into_iter().map(|network| problem_with(network, train())).collect()
}

/// A trunk of a graph, and narrow and wide ones that are fused; the last has heads of two layers.
pub(crate) fn networks() -> [HardSharing; 4] {
    let deep_heads = HardSharing::build(
        &InputSizes::numbers(4),
        0,
        &["b", "r", "m"].map(String::from),
        relu_trunk(7),
        |b, task, features| {
            let hidden = Linear::new(&mut b.scope("hidden"), features, 5)?;
            let output = Linear::new(b, 5, tasks()[task].outputs)?;
            Ok(Box::new(Sequential(vec![Box::new(hidden), Box::new(Activation::Tanh), Box::new(output)])))
        },
    );
    [network(tanh_trunk), network(relu_trunk(5)), network(relu_trunk(90)), deep_heads.unwrap()]
}

pub(crate) fn start(problem: &dyn Problem) -> Params {
    problem.layout().init(3, F64.0, F64.1).unwrap()
}
