//! Gradients, whichever way a pass goes.

use manytask::multitask::architecture::TaskInputs;
use manytask::multitask::{Combination, Draw, Level, Problem, Shared};
use manytask::nn::Context;
use manytask::tensor::random::Key;
use manytask::tensor::{Graph, Owner, Params, Slot, Tensor, gradients};

use super::{DRAW, F64, HEAD, PARTS, problem, registered, rows, start};

/// Parameters none of which is 0, also where they start there.
fn moved(problem: &dyn Problem) -> Params {
    let noise = |slot: Slot, leaf: &Tensor| {
        // What makes parameters of a hundred numbers changes them by a sum of as many.
        let makes = problem.layout().entry(slot)?.name.starts_with("hypernetwork.");
        let many = if makes { 10.0 } else { 1.0 };
        let key = Key::new(8, "noise").task(slot.index() as u64);
        Ok(leaf + key.uniform(0.01, 0.1, &leaf.size(), F64.0, F64.1)? / many)
    };
    start(problem).map_slots(&problem.layout().trained(), noise).unwrap()
}

/// The gradient of one task's loss by all parameters.
fn gradient_of(problem: &dyn Problem, params: &Params, task: usize) -> Params {
    gradient_at(problem, params, task, DRAW)
}

fn gradient_at(problem: &dyn Problem, params: &Params, task: usize, draw: Draw) -> Params {
    let params = params.require_grad().unwrap();
    let mut weights = vec![0.0; problem.tasks().len()];
    weights[task] = 1.0;
    let mut pass = problem.forward(&params, draw).unwrap();
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
                // What the task's loss may depend on: shared parameters and its own; not what has another gradient.
                let others = problem.architecture().surrogates();
                let slots = problem.shared().iter().chain(problem.own(task)).copied();
                let slots: Vec<Slot> = slots.filter(|slot| !others.contains(slot)).collect();
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
        // What is drawn anew may leave a part out of a step.
        let draws = if problem.architecture().surrogates().is_empty() { 1 } else { 24 };
        let at = |step: u64, task: usize| gradient_at(&problem, &params, task, Draw { step, ..DRAW });
        let all: Vec<Vec<Params>> =
            (0..tasks).map(|task| (0..draws).map(|step| at(step, task)).collect()).collect();
        for (slot, entry) in problem.layout().slots().zip(problem.layout().entries()) {
            let moves = |task: usize| {
                all[task].iter().any(|one| one.get(slot).unwrap().abs().max().double_value(&[]) > 0.0)
            };
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
