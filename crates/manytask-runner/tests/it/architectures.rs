//! What every registered architecture must stand: the tests are driven by the registry, so that none can be added without them.

mod gradients;
mod own;
mod pixels;
mod runs;
mod trained;

use std::path::Path;

use manytask::Registries;
use manytask::config::Source;
use manytask::data_sets::{Encoded, Inputs, SplitData as Rows, TaskData};
use manytask::multitask::{Batches, Draw, InputSizes, MultiTaskProblem, Problem, Split, Task, TaskSplits};
use manytask::network::NetworkPlan;
use manytask::nn::Precision;
use manytask::nn::metrics::Output;
use manytask::tensor::random::Key;
use manytask::tensor::{Device, Kind, Params};

use self::own::Toy;

const F64: (Kind, Device) = (Kind::Double, Device::Cpu);
const DRAW: Draw = Draw { seed: 4, step: 2, replica: 0, split: Split::Train };

/// All architectures that come with the command, and one of this test's own.
fn all() -> Registries {
    let mut all = Registries::default();
    all.architectures.method::<Toy>();
    all
}

fn registered() -> Vec<String> {
    all().architectures.entries().map(|(name, _)| name.to_owned()).collect()
}

/// Small parts whose activations have derivatives everywhere.
const PARTS: &str = "trunk = { kind = \"mlp\", hidden = [6, 5], activation = \"tanh\" }\n";
const HEAD: &str = "head = { kind = \"mlp\", hidden = [4], activation = \"tanh\" }\n";

fn plan(name: &str, parts: &str) -> NetworkPlan {
    let registries = all();
    let text = format!("[network]\nkind = \"{name}\"\nembedding = 3\n{parts}");
    let source = Source::new(Path::new("a.toml"), &text, &[]).unwrap();
    let section = source.section().unwrap().required_table("network").unwrap();
    NetworkPlan::read(section, &registries).unwrap_or_else(|failure| panic!("{name}: {failure}"))
}

/// Four tasks of three kinds, or two binary ones.
fn described(count: usize) -> Vec<Task> {
    let mut tasks = vec![
        Task::new("a", Output::Binary, 1),
        Task::new("b", Output::Binary, 1),
        Task::new("r", Output::Regression, 1),
        Task::new("m", Output::Multiclass, 3),
    ];
    tasks.truncate(count);
    tasks
}

/// Rows of four numbers and a column of categories that is embedded.
fn rows(seed: u64, count: i64, tasks: &[Task], embeds: bool) -> Rows {
    let x = Key::new(seed, "x").normal(&[count, 4], F64.0, F64.1).unwrap();
    let mut inputs = Encoded::numbers(x.shallow_clone());
    if embeds {
        let categories = (x.select(1, 3).sin() * 10.0).round().remainder(3.0);
        inputs.categorical = Some(categories.to_kind(Kind::Int64).unsqueeze(1));
    }
    let labels = tasks.iter().map(|task| {
        let target = match task.name.as_str() {
            "a" => (x.select(1, 0) + x.select(1, 1)).gt(0.0).to_kind(F64.0),
            "b" => (x.select(1, 0) - x.select(1, 2)).gt(0.3).to_kind(F64.0),
            "r" => x.select(1, 2) * 2.0 + x.select(1, 3).tanh(),
            _ => x.narrow(1, 0, 3).argmax(1, false),
        };
        TaskData { name: task.name.clone(), target, weight: None }
    });
    Rows::new(vec![Inputs::Features(inputs)], labels.collect()).unwrap()
}

/// The problem of an architecture with as many tasks as it is for.
fn problem(name: &str, parts: &str, embeds: bool) -> MultiTaskProblem {
    let build = |count: usize| {
        let tasks = described(count);
        let categories = if embeds { vec![3] } else { Vec::new() };
        let sizes = InputSizes::Features { dense: 4, numbers: (0..4).collect(), categories };
        let network = plan(name, parts).build(&sizes, &tasks, Precision::Full).map_err(|e| e.to_string())?;
        network.check(&tasks, true).map_err(|error| error.to_string())?;
        let splits = TaskSplits {
            train: rows(1, 40, &tasks, embeds),
            validation: Some(rows(2, 30, &tasks, embeds)),
            test: None,
        };
        let batches = Batches { size: 16, ..Batches::default() };
        MultiTaskProblem::new(network, tasks, splits, batches).map_err(|error| error.to_string())
    };
    build(4).or_else(|_| build(2)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn start(problem: &dyn Problem) -> Params {
    problem.layout().init(3, F64.0, F64.1).unwrap()
}
