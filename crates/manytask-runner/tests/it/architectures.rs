//! What every registered architecture must stand: the tests are driven by the registry, so that none can be added without them.

use std::path::Path;
use std::sync::Arc;

use manytask::Registries;
use manytask::config::Source;
use manytask::data_sets::{Inputs, SplitData as Rows, TaskData};
use manytask::multitask::architecture::{Auxiliary, Features, Heads, InputEncoder, Outputs, TaskInputs};
use manytask::multitask::{
    Architecture, ArchitectureSettings, Batches, Blueprint, Combination, Draw, Error, InputSizes, Level,
    Monitor, MultiTaskProblem, Problem, Result, Shared, Split, Task, TaskSplits, Trainer, Training, check,
};
use manytask::network::NetworkPlan;
use manytask::nn::metrics::Output;
use manytask::nn::optim::{AdamW, Optimizer};
use manytask::nn::schedule::Schedule;
use manytask::nn::{Builder, Context, Mode, Module, Precision};
use manytask::run::Record;
use manytask::tensor::random::Key;
use manytask::tensor::{Device, Graph, Init, Kind, Layout, Owner, Params, Role, Slot, Tensor, gradients};
use serde::{Deserialize, Serialize};

use crate::command::Place;

const F64: (Kind, Device) = (Kind::Double, Device::Cpu);
const DRAW: Draw = Draw { seed: 4, step: 2, replica: 0, split: Split::Train };

/// All architectures that come with the command, and one of this test's own.
fn all() -> Registries {
    let mut all = Registries::default();
    all.architectures
        .add("toy", "", "", &Toy::default(), |toy: Toy| Box::new(toy) as Box<dyn ArchitectureSettings>);
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
    let mut inputs = manytask::data_sets::Encoded::numbers(x.shallow_clone());
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
        let sizes = InputSizes::Features { dense: 4, categories };
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

/// Parameters none of which is 0, also where they start there.
fn moved(problem: &dyn Problem) -> Params {
    let noise = |slot: Slot, leaf: &Tensor| {
        Ok(leaf
            + Key::new(8, "noise").task(slot.index() as u64).uniform(
                0.01,
                0.1,
                &leaf.size(),
                F64.0,
                F64.1,
            )?)
    };
    start(problem).map_slots(&problem.layout().trained(), noise).unwrap()
}

/// The gradient of one task's loss by all parameters.
fn gradient_of(problem: &dyn Problem, params: &Params, task: usize) -> Params {
    let params = params.require_grad().unwrap();
    let mut weights = vec![0.0; problem.tasks().len()];
    weights[task] = 1.0;
    let mut pass = problem.forward(&params, DRAW).unwrap();
    pass.finish(&Combination::weighted_losses(weights)).unwrap().detach().unwrap()
}

#[test]
fn gradients_are_those_of_finite_differences() {
    const STEP: f64 = 1e-5;
    for name in registered() {
        for parts in [PARTS.to_owned(), format!("{PARTS}{HEAD}")] {
            let problem = problem(&name, &parts, true);
            let params = moved(&problem);
            for task in 0..problem.tasks().len() {
                let gradient = gradient_of(&problem, &params, task);
                // What the task's loss may depend on: shared parameters and its own.
                let slots: Vec<Slot> = problem.shared().iter().chain(problem.own(task)).copied().collect();
                let direction = params.zeros_like().unwrap();
                let noise = |slot: Slot, leaf: &Tensor| {
                    Key::new(9, "direction").task(slot.index() as u64).normal(&leaf.size(), F64.0, F64.1)
                };
                let direction = direction.map_slots(&slots, noise).unwrap();
                let loss = |factor: f64| {
                    let moved = params.add_scaled(&direction, factor).unwrap();
                    problem.losses(&moved, DRAW).unwrap().get(task).unwrap()
                };
                let found = gradient.dot(&direction).unwrap().double_value(&[]);
                let expected = (loss(STEP) - loss(-STEP)) / (2.0 * STEP);
                assert!(
                    (found - expected).abs() < 1e-6 * (1.0 + expected.abs()),
                    "{name}, task {task}: {found} {expected}"
                );
            }
        }
    }
}

#[test]
fn every_trained_parameter_receives_gradient_and_own_ones_of_their_task_alone() {
    for name in registered() {
        let problem = problem(&name, &format!("{PARTS}{HEAD}"), true);
        let params = moved(&problem);
        let tasks = problem.tasks().len();
        let all: Vec<Params> = (0..tasks).map(|task| gradient_of(&problem, &params, task)).collect();
        for (slot, entry) in problem.layout().slots().zip(problem.layout().entries()) {
            let moves = |task: usize| all[task].get(slot).unwrap().abs().max().double_value(&[]) > 0.0;
            match entry.owner {
                _ if !entry.role.is_trained() => {}
                Owner::Shared => assert!((0..tasks).any(moves), "{name}: {}", entry.name),
                Owner::Task(own) => {
                    for task in 0..tasks {
                        assert_eq!(moves(task), task == own, "{name}: {} and task {task}", entry.name);
                    }
                }
            }
        }
    }
}

/// The same gradient whichever way a pass goes: one sum, two sums, or rows that were made before.
#[test]
fn combinations_are_those_of_the_rows_in_every_way() {
    for name in registered() {
        for parts in [PARTS.to_owned(), format!("{PARTS}{HEAD}")] {
            let problem = problem(&name, &parts, true);
            let params = start(&problem).require_grad().unwrap();
            let tasks = problem.tasks().len();
            let each: Vec<Params> = (0..tasks).map(|task| gradient_of(&problem, &params, task)).collect();
            let weights: Vec<f64> = (0..tasks).map(|task| 0.5 + task as f64).collect();
            let heads: Vec<f64> = (0..tasks).map(|task| 2.0 - 0.3 * task as f64).collect();
            let sum = |slot: Slot, factors: &[f64]| {
                let terms = each.iter().zip(factors).map(|(row, factor)| row.get(slot).unwrap() * *factor);
                terms.reduce(|a, b| a + b).unwrap()
            };
            let levels = [(&weights, None), (&heads, None)];
            let looked_at = [(&heads, Some(Level::Parameters)), (&heads, Some(Level::LastLayer))];
            let looked_at = looked_at.into_iter().filter(|_| !problem.shared().is_empty());
            for (heads, first) in levels.into_iter().chain(looked_at) {
                let mut pass = problem.forward(&params, DRAW).unwrap();
                if let Some(level) = &first {
                    pass.jacobian(level).unwrap();
                }
                let shared = Shared::Weights(weights.clone());
                let found = pass.finish(&Combination { shared, heads: heads.clone() }).unwrap();
                for slot in problem.layout().trained() {
                    let owner = problem.layout().entry(slot).unwrap().owner;
                    let expected = sum(slot, if owner == Owner::Shared { &weights } else { heads });
                    let difference = (found.get(slot).unwrap() - expected).abs().max().double_value(&[]);
                    assert!(difference < 1e-12, "{name}, {first:?}: {:?}", problem.layout().entry(slot));
                }
            }
            if problem.shared().is_empty() {
                continue;
            }
            let mut pass = problem.forward(&params, DRAW).unwrap();
            let rows = pass.jacobian(&Level::Parameters).unwrap().rows().copy();
            for (task, own) in each.iter().enumerate() {
                let flat = problem.shared().iter().map(|slot| own.get(*slot).unwrap().reshape([-1]));
                let flat = Tensor::cat(&flat.collect::<Vec<_>>(), 0);
                assert!((rows.get(task as i64) - flat).abs().max().double_value(&[]) < 1e-12, "{name}");
            }
            let gramian = problem.forward(&params, DRAW).unwrap().gramian(&Level::Parameters).unwrap();
            let product = rows.matmul(&rows.tr());
            for (i, j) in (0..tasks).flat_map(|i| (0..tasks).map(move |j| (i, j))) {
                let expected = product.double_value(&[i as i64, j as i64]);
                assert!((gramian.at(i, j) - expected).abs() < 1e-9, "{name}");
            }
            let direction = Combination::direction(rows.get(0), Level::Parameters, tasks);
            let found = problem.forward(&params, DRAW).unwrap().finish(&direction).unwrap();
            for slot in problem.shared() {
                let difference = found.get(*slot).unwrap() - each[0].get(*slot).unwrap();
                assert!(difference.abs().max().double_value(&[]) < 1e-12, "{name}");
            }
        }
    }
}

fn training(steps: u64) -> Training {
    Training {
        seed: 1,
        steps,
        learning_rate: 1e-2,
        optimizer: Optimizer::AdamW(AdamW { weight_decay: 0.1, ..AdamW::default() }),
        schedule: Schedule::default(),
        clip_norm: None,
        validate_every: None,
        save_every: None,
        diagnose_every: None,
        monitor: Monitor::default(),
        early_stopping: None,
    }
}

fn trained(problem: &MultiTaskProblem, params: &Params, kind: &str, steps: u64) -> Result<Params> {
    let tasks = problem.tasks().to_vec();
    let aggregator = crate::aggregators::settings(kind, &tasks).build(&tasks)?;
    check(aggregator.as_ref(), problem)?;
    let mut trainer = Trainer::new(problem, aggregator, training(steps), params)?;
    trainer.run(|_, _| Ok::<_, Error>(std::ops::ControlFlow::Continue(())))?;
    Ok(trainer.params().copy()?)
}

#[test]
fn parameters_of_absent_tasks_rest() {
    for name in registered() {
        let mut problem = problem(&name, PARTS, true);
        let last = problem.tasks().len() - 1;
        let tasks = problem.described_tasks().to_vec();
        let network = plan(&name, PARTS);
        let sizes = InputSizes::Features { dense: 4, categories: vec![3] };
        let part = rows(1, 40, &tasks, true);
        let missing = if part.tasks[last].target.kind() == Kind::Int64 {
            part.tasks[last].target.full_like(-100)
        } else {
            part.tasks[last].target.full_like(f64::NAN)
        };
        let labels = part.tasks.into_iter().enumerate().map(|(task, data)| TaskData {
            target: if task == last { missing.shallow_clone() } else { data.target },
            ..data
        });
        let train = Rows::new(part.inputs, labels.collect()).unwrap();
        let parts = TaskSplits { train, validation: None, test: None };
        let network = network.build(&sizes, &tasks, Precision::Full).unwrap();
        problem = MultiTaskProblem::new(network, tasks, parts, Batches::default()).unwrap();
        let before = start(&problem);
        let after = trained(&problem, &before, "equal_weights", 4).unwrap();
        let mut rested = 0;
        for slot in problem.layout().trained() {
            let same = before.get(slot).unwrap() == after.get(slot).unwrap();
            let entry = problem.layout().entry(slot).unwrap();
            let rests = entry.owner == Owner::Task(last);
            rested += usize::from(rests);
            if rests || entry.owner != Owner::Shared {
                assert_eq!(same, rests, "{name}: {}", entry.name);
            }
        }
        assert!(rested > 0, "{name} has nothing of the last task's own");
    }
}

#[test]
fn every_architecture_trains_with_every_aggregator_or_says_why_not() {
    let aggregators: Vec<String> =
        Registries::default().aggregators.entries().map(|(name, _)| name.to_owned()).collect();
    for name in registered() {
        let problem = problem(&name, PARTS, false);
        let params = start(&problem);
        for kind in &aggregators {
            match trained(&problem, &params, kind, 3) {
                Ok(after) => {
                    assert!(after.is_finite().unwrap(), "{name} with {kind}");
                    assert!(
                        after.max_difference(&params).unwrap() > 1e-4,
                        "{name} with {kind} learns nothing"
                    );
                }
                Err(error) => {
                    let error = error.to_string();
                    let says = "goes by gradients of parameters that tasks share";
                    assert!(
                        error.contains(says) && problem.shared().is_empty(),
                        "{name} with {kind}: {error}"
                    );
                }
            }
        }
        if !problem.shared().is_empty() {
            let (first, later) = (params, trained(&problem, &start(&problem), "equal_weights", 60).unwrap());
            let mean = |params: &Params| problem.evaluate(params, Split::Train).unwrap().mean_loss().unwrap();
            assert!(mean(&later) < 0.9 * mean(&first), "{name}: {} {}", mean(&first), mean(&later));
        }
    }
}

#[test]
fn auxiliary_losses_are_in_the_losses_and_named_and_not_in_an_evaluation() {
    let problem = problem("toy", PARTS, false);
    let params = start(&problem).require_grad().unwrap();
    let pass = problem.forward(&params, DRAW).unwrap();
    let auxiliary = pass.auxiliary().to_vec();
    assert_eq!(auxiliary.iter().map(|of| (of.name, of.task)).collect::<Vec<_>>(), [("size", None)]);
    assert!(auxiliary[0].value > 0.0);
    let plain = plan("toy", &format!("{PARTS}scale = 0.0\n"));
    let tasks = described(4);
    let network = plain.build(&InputSizes::numbers(4), &tasks, Precision::Full).unwrap();
    let parts = TaskSplits { train: rows(1, 40, &tasks, false), validation: None, test: None };
    let batches = Batches { size: 16, ..Batches::default() };
    let plain = MultiTaskProblem::new(network, tasks, parts, batches).unwrap();
    let without = plain.forward(&params, DRAW).unwrap();
    for (with, without) in pass.losses().iter().zip(without.losses()) {
        assert!((with - without - auxiliary[0].value / 4.0).abs() < 1e-12, "each task has an equal share");
    }
    let train = |problem: &MultiTaskProblem| problem.evaluate(&params, Split::Train).unwrap();
    assert_eq!(train(&problem), train(&plain));
}

const CONFIG: &str =
    "[network]\nkind = \"hard_sharing\"\ntrunk = { kind = \"mlp\", hidden = [8], dropout = 0.2 }\n";
const TARGETS: &str = "  { name = \"score\", kind = \"regression\", standardise = true },\n";

/// A configuration with this network and two binary tasks, which every architecture is for.
fn configured(network: &str) -> Place {
    let place = Place::new();
    let text = place.read("a.toml");
    assert!(text.contains(CONFIG) && text.contains(TARGETS));
    let text = text.replace(CONFIG, network);
    let text = text.replace(TARGETS, "  { name = \"late\", kind = \"binary\", columns = [\"age\"], positive = [\"60\", \"61\", \"62\", \"63\", \"64\", \"65\", \"66\", \"67\", \"68\", \"69\"], negative = \"rest\" },\n");
    let text = text.replace("\"age\", \"hours\"]", "\"hours\"]");
    place.write("a.toml", text + "\n[tasks.default]\nmetrics = [\"log_loss\"]\n");
    place
}

fn networks() -> Vec<(String, String)> {
    let names = Registries::default();
    let names = names.architectures.entries().map(|(name, _)| name.to_owned());
    let text = |name: &str| {
        format!(
            "[network]\nkind = \"{name}\"\ntrunk = {{ kind = \"mlp\", hidden = [8], dropout = 0.2 }}\nhead = {{ kind = \"mlp\", hidden = [5] }}\n"
        )
    };
    names.map(|name| (name.clone(), text(&name))).collect()
}

#[test]
fn a_run_of_any_architecture_goes_on_to_the_same_bytes() {
    for (name, network) in networks() {
        let place = configured(&network);
        place.good(&["train", "a.toml", "--quiet", "training.keep_checkpoints=9"]);
        let read = || {
            let files = ["metrics.jsonl", "results.json"].map(|file| place.read(&format!("runs/a/{file}")));
            let last = place.read("runs/a/checkpoints/latest");
            let bytes = ["params.safetensors", "optimizer.safetensors", "state.json"]
                .map(|file| fs_err::read(place.at(&format!("runs/a/checkpoints/{last}/{file}"))).unwrap());
            (files, bytes)
        };
        let before = read();
        place.good(&["resume", "runs/a", "--quiet", "--checkpoint", "step-14"]);
        assert_eq!(before, read(), "{name}");
        let wrong = if name == "mmoe" { "hard_sharing" } else { "mmoe" };
        let said = place.run(&["resume", "runs/a", &format!("network.kind={wrong}")]);
        assert!(said.code == Some(3) && said.err.contains("`network.kind`"), "{name}: {said:?}");
    }
}

#[test]
fn predictions_are_what_an_evaluation_scores() {
    for (name, network) in networks() {
        let place = configured(&network);
        let text = place.read("a.toml");
        let split = "split.random = { validation = 0.2, test = 0.2, seed = 1 }";
        assert!(text.contains(split));
        place.write(
            "a.toml",
            text.replace(split, "split.files = { test = \"test.csv\", validation_fraction = 0.2, seed = 1 }"),
        );
        let table = place.read("people.csv");
        let test: Vec<&str> = table.lines().take(90).collect();
        place.write("test.csv", test.join("\n") + "\n");
        place.good(&["train", "a.toml", "--quiet"]);
        let predicted = place.good(&["predict", "runs/a", "--input", "test.csv"]).out;
        let columns = |text: &str| {
            let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
            let header = lines.next().unwrap();
            (header, lines.collect::<Vec<_>>())
        };
        let ((header, predictions), (of_table, rows)) = (columns(&predicted), columns(&test.join("\n")));
        assert_eq!(predictions.len(), rows.len());
        let at = |header: &[String], name: &str| header.iter().position(|of| of == name).unwrap();
        let results: serde_json::Value = serde_json::from_str(&place.read("runs/a/results.json")).unwrap();
        for task in ["rich", "late"] {
            let scored = log_loss_of(&results, task);
            let column = at(&header, task);
            let losses = predictions.iter().zip(&rows).map(|(predicted, row)| {
                let p: f64 = predicted[column].parse().unwrap();
                let yes = match task {
                    "rich" => row[at(&of_table, "rich")] == "1",
                    _ => row[at(&of_table, "age")].parse::<u32>().unwrap() >= 60,
                };
                if yes { -p.ln() } else { -(1.0 - p).ln() }
            });
            let mean = losses.sum::<f64>() / rows.len() as f64;
            assert!((mean - scored).abs() < 1e-5, "{name}, {task}: {mean} {scored}");
        }
        let said = place.good(&["eval", "runs/a"]);
        assert!(said.out.contains("late"), "{said:?}");
    }
}

/// The log loss of a task, wherever the results have it.
fn log_loss_of(results: &serde_json::Value, task: &str) -> f64 {
    fn find(value: &serde_json::Value, task: &str) -> Option<f64> {
        if value["name"] == task {
            let all = value["metrics"].as_array()?;
            let metric = all.iter().find(|metric| metric[0] == "log_loss")?;
            return metric[1].as_f64();
        }
        match value {
            serde_json::Value::Array(all) => all.iter().find_map(|value| find(value, task)),
            serde_json::Value::Object(all) => all.values().find_map(|value| find(value, task)),
            _ => None,
        }
    }
    find(results, task).unwrap()
}

#[test]
fn auxiliary_losses_are_logged_by_name() {
    let network = "[network]\nkind = \"soft_sharing\"\ntrunk = { kind = \"mlp\", hidden = [8] }\n";
    let place = configured(network);
    place.good(&["train", "a.toml", "--quiet"]);
    let metrics = place.read("runs/a/metrics.jsonl");
    let records: Vec<Record> = metrics.lines().map(|line| Record::read(line.as_bytes()).unwrap()).collect();
    for task in ["rich", "late"] {
        let first = |metric: &str| {
            let of = |record: &&Record| record.task.as_deref() == Some(task) && record.metric == metric;
            records.iter().find(of).and_then(|record| record.value).unwrap()
        };
        let distance = first("auxiliary/trunk_distance");
        assert!(distance > 0.0 && distance < first("loss"), "{metrics}");
    }
}

#[test]
fn what_cannot_be_is_refused_before_data_are_read() {
    let trunk = "trunk = { kind = \"mlp\", hidden = [8] }\n";
    let uncertainty = "kind = \"uncertainty_weighting\"";
    let representation = "kind = \"mgda\"\nlevel = \"representation\"";
    for (network, aggregator, says) in [
        (format!("kind = \"mmoe\"\n{trunk}"), representation, "do not share; set level = \"parameters\""),
        (format!("kind = \"cross_stitch\"\n{trunk}"), representation, "set level = \"parameters\""),
        (format!("kind = \"soft_sharing\"\n{trunk}"), "kind = \"mgda\"", "take a method that goes by losses"),
        (
            format!("kind = \"mmoe\"\n{trunk}experts = 0\n"),
            uncertainty,
            "`experts` is 0; it must be from 1 to 4096",
        ),
        (format!("kind = \"mmoe\"\n{trunk}exprets = 3\n"), uncertainty, "did you mean `experts`?"),
        (
            format!("kind = \"mmoe\"\n{trunk}botom = {{ kind = \"mlp\" }}\n"),
            uncertainty,
            "did you mean `bottom`?",
        ),
        (
            format!("{trunk}bottom = {{ kind = \"mlp\" }}\n"),
            uncertainty,
            "`hard_sharing` has no part `bottom`",
        ),
        ("kind = \"mmoe\"\n".to_owned(), uncertainty, "missing key `trunk` in [network]"),
        (
            "kind = \"cross_stitch\"\ntrunk = { kind = \"mlp\", hidden = [] }\n".to_owned(),
            uncertainty,
            "no stages",
        ),
        (format!("kind = \"cross_stitch\"\n{trunk}units = \"row\"\n"), uncertainty, "unknown value `row`"),
        (format!("kind = \"soft_sharing\"\n{trunk}strength = -1.0\n"), uncertainty, "`strength` is -1"),
    ] {
        let place = configured(&format!("[network]\n{network}"));
        let text = place.read("a.toml").replace(uncertainty, aggregator);
        place.write("a.toml", text);
        fs_err::remove_file(place.at("people.csv")).unwrap();
        let said = place.run(&["check", "a.toml"]);
        let told = says.split("; ").all(|piece| said.err.contains(piece));
        assert!(said.code == Some(3) && told, "{network}{aggregator}: {said:?}");
    }
    // ESMM is for two binary tasks, and one of these is a regression.
    let place = Place::new();
    place.config_with(CONFIG, "[network]\nkind = \"esmm\"\n");
    let said = place.run(&["check", "a.toml"]);
    assert!(said.code == Some(3) && said.err.contains("the regression task `score`"), "{said:?}");
    let place = configured("[network]\nkind = \"esmm\"\n");
    place.good(&["check", "a.toml"]);
    let alone = place.read("a.toml").replace("[training]\n", "[training]\nonly_tasks = [\"rich\"]\n");
    place.write("a.toml", alone);
    let said = place.run(&["check", "a.toml"]);
    assert!(said.code == Some(3) && said.err.contains("exactly two binary tasks"), "{said:?}");
}

#[test]
fn hard_sharing_is_meant_where_no_architecture_is_named() {
    let place = Place::new();
    place.good(&["train", "a.toml", "--quiet"]);
    let before = place.read("runs/a/results.json");
    place.config_with("kind = \"hard_sharing\"\n", "");
    place.good(&["train", "a.toml", "--quiet", "--name", "b"]);
    assert_eq!(before, place.read("runs/b/results.json"));
}

#[test]
fn architectures_are_listed_and_explained() {
    let place = Place::new();
    let said = place.good(&["list", "architectures"]);
    let names = Registries::default();
    for (name, _) in names.architectures.entries() {
        assert!(said.out.contains(name), "{said:?}");
        let explained = place.good(&["explain", name]).out;
        assert!(explained.contains("(architecture)") && explained.contains("[network]"), "{explained}");
    }
    let explained = place.good(&["explain", "mmoe"]).out;
    for piece in ["Ma et al. 2018", "experts = 8", "1 to 4096", "A step costs", "temperature = 1.0"] {
        assert!(explained.contains(piece), "`{piece}` is not in {explained}");
    }
}

/// An architecture in one file, registered by one line in [`all`]: a factor for each task and feature of one trunk, and the
/// mean size of the factors as auxiliary loss.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Toy {
    scale: f64,
}

impl Default for Toy {
    fn default() -> Self {
        Self { scale: 0.5 }
    }
}

#[derive(Debug)]
struct ToyNetwork {
    layout: Arc<Layout>,
    encoder: InputEncoder,
    trunk: Box<dyn Module>,
    factors: Slot,
    heads: Heads,
    scale: f64,
}

impl ArchitectureSettings for Toy {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn build(&self, blueprint: &Blueprint<'_>) -> Result<Box<dyn Architecture>> {
        let mut layout = Layout::builder();
        let mut root = Builder::new(&mut layout);
        let encoder = blueprint.encoder(&mut root)?;
        let (trunk, features) = blueprint.part("trunk", &mut root.scope("trunk"), encoder.shape())?;
        let tasks = blueprint.tasks.len() as i64;
        let init = Init::Uniform { low: 0.5, high: 1.5 };
        let factors = root.parameter("factors", &[tasks, features], init, Role::Scale)?;
        let heads = blueprint.heads(&mut root, features)?;
        let layout = layout.build();
        let heads = heads.within(&layout);
        Ok(Box::new(ToyNetwork { layout, encoder, trunk, factors, heads, scale: self.scale }))
    }
}

impl Architecture for ToyNetwork {
    fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    fn tasks(&self) -> usize {
        self.heads.len()
    }

    fn forward(
        &self,
        params: &Params,
        inputs: &TaskInputs,
        wanted: &[usize],
        cx: &mut Context,
    ) -> Result<Outputs> {
        let x = self.encoder.forward(params, &inputs.all, cx)?;
        let features = self.trunk.forward(params, &x, cx)?;
        let factors = params.get(self.factors)?;
        let own = wanted.iter().enumerate().map(|(position, task)| {
            Ok(inputs.rows.of(position, &features)?.f_mul(&factors.f_get(*task as i64)?)?)
        });
        let own = own.collect::<Result<Vec<_>>>()?;
        let outputs = self.heads.forward(params, Features::Each(&own), wanted, cx)?;
        if cx.mode() == Mode::Eval || self.scale == 0.0 {
            return Ok(outputs);
        }
        let value = factors.f_square()?.f_mean(factors.kind())?.f_mul_scalar(self.scale)?;
        Ok(outputs.with_auxiliary(vec![Auxiliary { name: "size", task: None, value }]))
    }
}

/// What a graph says of an architecture by itself is what its problem's passes say.
#[test]
fn raw_outputs_have_a_graph_to_the_parameters() {
    for name in registered() {
        let problem = problem(&name, PARTS, false);
        let params = start(&problem).require_grad().unwrap();
        let part = rows(5, 12, problem.described_tasks(), false);
        let inputs = TaskInputs::shared(&part.inputs[0]);
        let outputs =
            problem.architecture().forward(&params, &inputs, &[0, 1], &mut Context::eval()).unwrap();
        let total = outputs.raw(1).unwrap().sum(F64.0);
        let leaves: Vec<&Tensor> = params.leaves().iter().filter(|leaf| leaf.requires_grad()).collect();
        let found = gradients(&total, &leaves, Graph::Free).unwrap();
        assert!(found.iter().any(|gradient| gradient.abs().max().double_value(&[]) > 0.0), "{name}");
        let all = problem.architecture().outputs(&params, &part.inputs).unwrap();
        assert!((&all[1] - outputs.raw(1).unwrap()).abs().max().double_value(&[]) < 1e-12, "{name}");
    }
}
