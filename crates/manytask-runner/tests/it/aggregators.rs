//! What every registered aggregator must stand: the tests are driven by the registry, so that none can be added without them.

use std::path::Path;

use manytask::Registries;
use manytask::config::Source;
use manytask::multitask::aggregators::Property;
use manytask::multitask::{
    Aggregator, AggregatorSettings, Demand, GivenBatch, GivenStep, Gives, State, Step as _, TaskVec,
};
use manytask::tensor::random::Key;
use manytask::tensor::{Device, Kind};

use crate::command::Place;

const LOSSES: [f64; 4] = [2.0, 0.5, 1.2, 0.1];

fn names(count: usize) -> Vec<String> {
    (0..count).map(|task| format!("task{task}")).collect()
}

fn registered() -> Vec<String> {
    Registries::default().aggregators.entries().map(|(name, _)| name.to_owned()).collect()
}

/// The section that `explain` shows, for tasks of these names.
fn text(name: &str, tasks: &[String]) -> String {
    if name == "fixed_weights" {
        let weights: Vec<String> =
            tasks.iter().enumerate().map(|(number, task)| format!("{task} = {}.5", number + 1)).collect();
        return format!("[aggregator]\nkind = \"fixed_weights\"\nweights = {{ {} }}\n", weights.join(", "));
    }
    Registries::default().aggregators.example(name).unwrap()
}

pub(crate) fn settings(name: &str, tasks: &[String]) -> Box<dyn AggregatorSettings> {
    let source = Source::new(Path::new("a.toml"), &text(name, tasks), &[]).unwrap();
    let section = source.section().unwrap().required_table("aggregator").unwrap();
    Registries::default().aggregators.make(section).unwrap_or_else(|failure| panic!("{name}: {failure}"))
}

fn build(name: &str, tasks: usize) -> Box<dyn Aggregator> {
    settings(name, &names(tasks)).build(&names(tasks)).unwrap()
}

/// Gradients that are neither all in conflict nor all agreed.
fn rows(seed: u64, tasks: usize) -> Vec<Vec<f64>> {
    let row = |task: usize| {
        let drawn = Key::new(seed, "rows").task(task as u64).normal(&[6], Kind::Double, Device::Cpu).unwrap();
        Vec::<f64>::try_from(drawn + 0.3).unwrap()
    };
    (0..tasks).map(row).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A step of these tasks with further batches and a validation batch, which hold other tasks where some are absent.
fn step(
    aggregator: &dyn Aggregator,
    number: u64,
    present: &[usize],
    losses: &[f64],
    rows: &[Vec<f64>],
) -> GivenStep {
    let of = |tasks: &[usize], factor: f64| {
        let losses: TaskVec = tasks.iter().map(|task| (*task, losses[*task])).collect();
        let rows: Vec<Vec<f64>> =
            tasks.iter().map(|task| rows[*task].iter().map(|x| x * factor).collect()).collect();
        GivenBatch::of(losses, &rows).unwrap()
    };
    let all: Vec<usize> = (0..rows.len()).collect();
    let mut step = GivenStep::new(of(present, 1.0), aggregator.needs());
    (step.number, step.epoch, step.tasks) = (number, number / 2, rows.len());
    step.replicas = vec![of(&all, 0.9), of(&all[..all.len().div_ceil(2)], 1.1)];
    step.validation = Some(of(&all[all.len() / 2..], 1.2));
    step
}

/// The direction and the factors of the heads of one step, and what the aggregator is told after it.
fn go(
    aggregator: &mut dyn Aggregator,
    number: u64,
    present: &[usize],
    losses: &[f64],
    rows: &[Vec<f64>],
) -> Vec<f64> {
    let step = step(aggregator, number, present, losses, rows);
    take(aggregator, step, losses)
}

/// The same of a step with these losses.
fn take(aggregator: &mut dyn Aggregator, mut step: GivenStep, losses: &[f64]) -> Vec<f64> {
    let (name, number) = (aggregator.name(), step.number);
    let present = step.present().to_vec();
    let combination = aggregator.combine(&mut step).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(combination.heads.len(), present.len(), "{name}");
    let mut found = step.direction(&combination).unwrap();
    found.extend(&combination.heads);
    assert!(found.iter().all(|x| x.is_finite()), "{name}: {found:?}");
    if let Some(weights) = aggregator.weights() {
        assert_eq!(weights.present(), present, "{name}");
    }
    if aggregator.needs().losses_after_step {
        let after = present.iter().map(|task| (*task, losses[*task] * 0.9)).collect::<TaskVec>();
        aggregator.after_step(&after).unwrap();
    }
    if number % 2 == 1 {
        aggregator.end_epoch(&present.iter().map(|task| (*task, losses[*task])).collect()).unwrap();
    }
    found
}

/// The direction of a first step of all tasks.
fn direction(name: &str, losses: &[f64], rows: &[Vec<f64>]) -> Vec<f64> {
    let mut aggregator = build(name, rows.len());
    let all: Vec<usize> = (0..rows.len()).collect();
    let mut found = go(aggregator.as_mut(), 0, &all, losses, rows);
    found.truncate(rows[0].len());
    found
}

/// Losses of a step: they fall, each at its own rate.
fn losses_at(number: u64) -> Vec<f64> {
    LOSSES
        .iter()
        .enumerate()
        .map(|(task, loss)| loss * (-0.1 * (task + 1) as f64 * number as f64).exp())
        .collect()
}

#[test]
fn a_saved_state_goes_on_to_the_bit_and_absent_tasks_are_no_rows() {
    let present: [&[usize]; 8] =
        [&[0, 1, 2, 3], &[0, 2], &[1, 2, 3], &[3], &[0, 1, 2, 3], &[1], &[0, 3], &[0, 1, 2, 3]];
    for name in registered() {
        let mut aggregator = build(&name, 4);
        let at = |aggregator: &mut dyn Aggregator, number: u64| {
            let (losses, rows) = (losses_at(number), rows(number, 4));
            go(aggregator, number, present[number as usize], &losses, &rows)
        };
        for number in 0..4 {
            at(aggregator.as_mut(), number);
        }
        let State { memory, tensors } = aggregator.state().unwrap();
        // As in a checkpoint: the memory is text, tensors are copies.
        let memory = serde_json::from_str(&serde_json::to_string(&memory).unwrap()).unwrap();
        let tensors = tensors.into_iter().map(|(name, tensor)| (name, tensor.copy())).collect();
        let saved = State { memory, tensors };
        let mut other = build(&name, 4);
        other.restore(&saved).unwrap();
        for number in 4..8 {
            let (one, two) = (at(aggregator.as_mut(), number), at(other.as_mut(), number));
            assert_eq!(one, two, "{name}, step {number}");
        }
        let keeps = saved.memory.as_object().is_some_and(|memory| !memory.is_empty());
        if keeps {
            assert!(aggregator.needs().fixed_tasks, "{name} keeps something and does not say so");
            let error = build(&name, 3).restore(&saved).unwrap_err().to_string();
            assert!(error.contains("the saved state"), "{name}: {error}");
        }
    }
}

#[test]
fn one_task_alone_is_not_led_uphill() {
    for name in registered() {
        let mut aggregator = build(&name, 1);
        let gradient = vec![3.0, -1.0, 0.5];
        let found = go(aggregator.as_mut(), 0, &[0], &[2.0], std::slice::from_ref(&gradient));
        assert!(dot(&found[..3], &gradient) > 0.0, "{name}: {found:?}");
        assert!(found[3] > 0.0, "{name}: {found:?}");
    }
}

#[test]
fn gradients_of_zero_and_equal_ones_are_no_obstacle() {
    for name in registered() {
        let mut some = rows(3, 4);
        some[1].fill(0.0);
        direction(&name, &LOSSES, &some);
        some[2] = some[0].clone();
        direction(&name, &LOSSES, &some);
        for row in &mut some {
            row.fill(0.0);
        }
        let found = direction(&name, &LOSSES, &some);
        assert!(found.iter().all(|x| *x == 0.0), "{name}: {found:?}");
    }
}

#[test]
fn gradients_of_every_size_give_finite_directions() {
    for name in registered() {
        for powers in [[-10; 4], [15; 4], [-10, 15, 0, 3], [0, -5, 5, 15]] {
            let mut some = rows(4, 4);
            for (row, power) in some.iter_mut().zip(powers) {
                for x in row {
                    *x *= 10_f64.powi(power);
                }
            }
            // Several steps, so that what is learned from them is seen too.
            let mut aggregator = build(&name, 4);
            for number in 0..4 {
                go(aggregator.as_mut(), number, &[0, 1, 2, 3], &losses_at(number), &some);
            }
        }
    }
}

#[test]
fn a_gradient_that_is_not_finite_is_an_error_with_its_task() {
    for name in registered() {
        let mut aggregator = build(&name, 4);
        if aggregator.needs().demand() == Demand::Losses {
            continue;
        }
        for wrong in [f64::NAN, f64::INFINITY] {
            let mut some = rows(5, 4);
            some[2][1] = wrong;
            let mut step = step(aggregator.as_ref(), 7, &[0, 2, 3], &LOSSES, &some);
            let error = aggregator.combine(&mut step).unwrap_err().to_string();
            assert!(error.contains("step 7") && error.contains("`task2`"), "{name}: {error}");
        }
    }
}

#[test]
fn losses_below_zero_are_taken_or_refused_by_name() {
    for name in registered() {
        let mut aggregator = build(&name, 4);
        let mut step = step(aggregator.as_ref(), 3, &[0, 1, 2, 3], &[1.0, -0.5, 2.0, 0.3], &rows(6, 4));
        match aggregator.combine(&mut step) {
            Ok(combination) => assert!(combination.heads.iter().all(|x| x.is_finite()), "{name}"),
            Err(error) => {
                let error = error.to_string();
                assert!(error.contains(&format!("`{name}` needs losses above 0")), "{name}: {error}");
                assert!(
                    error.contains("step 3") && error.contains("`task1`") && error.contains("-0.5"),
                    "{error}"
                );
            }
        }
    }
}

/// How far two directions are from each other, relative to their lengths and a little of the gradients'.
fn gap(one: &[f64], other: &[f64], rows: &[Vec<f64>]) -> f64 {
    let longest = rows.iter().map(|row| dot(row, row).sqrt()).fold(0.0, f64::max);
    let difference: Vec<f64> = one.iter().zip(other).map(|(a, b)| a - b).collect();
    dot(&difference, &difference).sqrt() / (dot(one, one).sqrt() + 1e-3 * longest)
}

#[test]
fn methods_have_the_properties_that_they_claim() {
    let mut claimed = 0;
    for name in registered() {
        let properties = settings(&name, &names(4)).properties();
        claimed += properties.len();
        for seed in 10..40 {
            let (some, losses) = (rows(seed, 4), LOSSES.to_vec());
            let found = direction(&name, &losses, &some);
            for property in properties {
                match property {
                    Property::PermutationInvariant => {
                        let order = [2, 0, 3, 1];
                        let turned: Vec<Vec<f64>> = order.iter().map(|task| some[*task].clone()).collect();
                        let losses: Vec<f64> = order.iter().map(|task| losses[*task]).collect();
                        let other = direction(&name, &losses, &turned);
                        assert!(gap(&found, &other, &some) < 1e-9, "{name}, {seed}: {found:?} {other:?}");
                    }
                    Property::NonConflicting => {
                        for row in &some {
                            let product = dot(row, &found);
                            assert!(
                                product > -1e-9 * dot(row, row).sqrt() * dot(&found, &found).sqrt(),
                                "{name}"
                            );
                        }
                    }
                    Property::Homogeneous => {
                        let scaled: Vec<Vec<f64>> =
                            some.iter().map(|row| row.iter().map(|x| x * 100.0).collect()).collect();
                        let other: Vec<f64> =
                            direction(&name, &losses, &scaled).iter().map(|x| x / 100.0).collect();
                        assert!(gap(&found, &other, &some) < 1e-9, "{name}, {seed}: {found:?} {other:?}");
                    }
                    Property::LinearUnderScaling => {
                        let of = |factors: [f64; 4]| {
                            let scaled: Vec<Vec<f64>> = some
                                .iter()
                                .zip(factors)
                                .map(|(row, factor)| row.iter().map(|x| x * factor).collect())
                                .collect();
                            direction(&name, &losses, &scaled)
                        };
                        let (a, b) = ([1.0, 0.2, 3.0, 0.5], [0.4, 2.0, 1.0, 5.0]);
                        let sum = of(std::array::from_fn(|task| a[task] + b[task]));
                        let parts: Vec<f64> = of(a).iter().zip(of(b)).map(|(a, b)| a + b).collect();
                        assert!(gap(&sum, &parts, &some) < 1e-9, "{name}, {seed}: {sum:?} {parts:?}");
                    }
                }
            }
        }
    }
    assert!(claimed > 30, "{claimed}");
}

#[test]
fn no_two_methods_are_the_same() {
    let mut seen: Vec<(String, Vec<f64>)> = Vec::new();
    for name in registered() {
        let mut aggregator = build(&name, 4);
        let mut found = Vec::new();
        for number in 0..12 {
            let mut some = rows(number, 4);
            // One task against another, so that the mean goes against it.
            some[3] = some[0].iter().zip(&some[3]).map(|(a, b)| 0.1 * b - 0.4 * a).collect();
            let losses = losses_at(number);
            let mut step = step(aggregator.as_ref(), number, &[0, 1, 2, 3], &losses, &some);
            step.preference = Some(vec![0.4, 0.3, 0.2, 0.1]);
            found = take(aggregator.as_mut(), step, &losses);
        }
        if let Some((other, _)) = seen.iter().find(|(_, other)| gap(other, &found, &rows(11, 4)) < 1e-6) {
            panic!("{name} does what {other} does: {found:?}");
        }
        seen.push((name, found));
    }
}

#[test]
fn the_form_of_answers_is_what_is_said_of_it() {
    for name in registered() {
        let mut aggregator = build(&name, 4);
        let mut step = step(aggregator.as_ref(), 0, &[0, 1, 2, 3], &LOSSES, &rows(8, 4));
        let combination = aggregator.combine(&mut step).unwrap();
        let weights = match &combination.shared {
            manytask::multitask::Shared::Weights(weights) => Some(weights.clone()),
            manytask::multitask::Shared::Direction { .. } => None,
        };
        match aggregator.gives() {
            Gives::LossWeights => assert_eq!(weights.as_deref(), Some(&combination.heads[..]), "{name}"),
            Gives::GradientWeights if name == "pipeline" => assert!(weights.is_some()),
            Gives::GradientWeights => {
                assert!(weights.is_some() && combination.heads == [1.0; 4], "{name}");
            }
            Gives::Direction => assert!(weights.is_none(), "{name}"),
        }
    }
}

/// Training the two tasks of the small table for a few steps of two rows, some of which have no score.
fn train(place: &Place, aggregator: &str, name: &str) -> crate::command::Said {
    place.config_with("[aggregator]\nkind = \"uncertainty_weighting\"\n", aggregator);
    let fewer = ["training.batch_size=2", "training.validate_every_epochs=50"];
    place.run(&["train", "a.toml", "--name", name, "training.epochs=0.12", fewer[0], fewer[1]])
}

#[test]
fn every_method_trains() {
    let place = Place::new();
    let tasks = ["rich".to_owned(), "score".to_owned()];
    for name in registered() {
        let said = train(&place, &text(&name, &tasks), &name);
        assert_eq!(said.code, Some(0), "{name}: {said:?}");
        let metrics = place.read(&format!("runs/{name}/metrics.jsonl"));
        assert!(metrics.lines().count() >= 3, "{name}: {metrics}");
    }
}

#[test]
fn impossible_pipelines_are_refused_by_check_with_the_remedy() {
    let place = Place::new();
    for (stages, says) in [
        ("weighting = { kind = \"cagrad\" }", ["`cagrad` is no weighting", "name it under `combination`"]),
        ("combination = { kind = \"dwa\" }", ["`dwa` is no combination", "name it under `weighting`"]),
        ("smoothing = 0.5", ["without a method", "name a weighting or a combination"]),
        ("", ["without a stage", "equal_weights"]),
        ("transform = \"log\"\nweighting = { kind = \"dwa\" }", ["`dwa` goes by", "leave out the transform"]),
        (
            "weighting = { kind = \"rlw\" }\ncombination = { kind = \"modo\" }",
            ["`modo` looks at other batches", "leave out the weighting"],
        ),
        (
            "combination = { kind = \"graddrop\" }\nupdate_every = 3",
            ["`graddrop` gives a direction", "leave out smoothing, scale and update_every"],
        ),
        ("weighting = { kind = \"dwa\" }\nmax_norm = 1.0", ["`dwa` weighs losses", "clip_norm"]),
        ("weighting = { kind = \"dwaa\" }", ["there is no aggregator `dwaa`", "did you mean `dwa`?"]),
        ("wieghting = { kind = \"dwa\" }", ["unknown key `wieghting`", "did you mean `weighting`?"]),
        (
            "combination = { kind = \"graddrop\", level = \"last_layer\" }",
            ["graddrop: a direction of some layers only", "set level"],
        ),
    ] {
        let section = format!("[aggregator]\nkind = \"pipeline\"\n{stages}\n");
        place.config_with("[aggregator]\nkind = \"uncertainty_weighting\"\n", &section);
        let said = place.run(&["check", "a.toml"]);
        assert_eq!(said.code, Some(3), "{stages}: {said:?}");
        assert!(says.iter().all(|piece| said.err.contains(piece)), "{stages}: {}", said.err);
    }
}

#[test]
fn a_layer_that_is_not_there_is_refused_with_those_that_are() {
    let place = Place::new();
    let section = "[aggregator]\nkind = \"gradnorm\"\nlevel = { layers = [\"trunk.layer7\"] }\n";
    let said = train(&place, section, "a");
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(
        said.err.contains("no shared layer `trunk.layer7`") && said.err.contains("`trunk.layer0`"),
        "{}",
        said.err
    );
    let section = "[aggregator]\nkind = \"gradnorm\"\nlevel = { layers = [\"trunk.layer0\"] }\n";
    assert_eq!(train(&place, section, "b").code, Some(0));
}
