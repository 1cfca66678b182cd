//! The stacked pass gives what the others give, also through recordings that are run again and again.

use manytask_tensor::Tensor;

use super::*;
use crate::testing::{network, problem_with, relu_trunk, rows, start};
use crate::{Problem, Shared};

fn with_gaps() -> data::SplitData {
    let split = rows(1, 40, true);
    let _ = split.tasks[1].target.narrow(0, 0, 39).fill_(f64::NAN);
    let _ = split.tasks[0].target.narrow(0, 3, 20).fill_(f64::NAN);
    split
}

/// Problems whose layers have the one or the other cheaper form of the Gramian, without and with missing labels.
fn problems() -> Vec<MultiTaskProblem> {
    let splits = [|| rows(1, 40, true), with_gaps];
    let widths = [2, 90];
    splits
        .iter()
        .flat_map(|split| widths.map(|width| problem_with(network(relu_trunk(width)), split())))
        .collect()
}

fn stacked(problem: &MultiTaskProblem) -> Stacked {
    let train = problem.split(Split::Train).unwrap();
    Stacked::of(problem.architecture.as_ref(), &problem.tasks, train).unwrap().unwrap().rehearsing()
}

fn close(a: &Tensor, b: &Tensor) -> bool {
    a.size() == b.size() && (a - b).abs().max().double_value(&[]) < 1e-11
}

/// Parameters that go on from step to step in the same memory.
fn moved(params: &mut Params, gradient: &Params) {
    let next = params.add_scaled(gradient, -0.05).unwrap();
    params.copy_from(&next).unwrap();
}

#[test]
fn steps_of_weights_are_those_of_the_other_passes() {
    for problem in problems() {
        let stacked = stacked(&problem);
        let mut params = start(&problem);
        let mut absent = 0;
        for step in 0..8 {
            let live = params.require_grad().unwrap();
            let draw = Draw { seed: 4, step, replica: 0, split: Split::Train };
            let mut other = problem.forward(&live, draw).unwrap();
            let mut pass = of_problem(&problem, &stacked, &live, draw).unwrap().unwrap();
            assert_eq!(pass.present(), other.present());
            for (found, expected) in pass.losses().iter().zip(other.losses()) {
                assert!((found - expected).abs() < 1e-12, "{found} and {expected}");
            }
            let tasks = pass.present().len();
            absent += 3 - tasks;
            let combination = || Combination {
                shared: Shared::Weights([0.5, -2.0, 3.0][..tasks].to_vec()),
                heads: [1.0, 0.25, 4.0][..tasks].to_vec(),
            };
            let found = pass.finish(&combination()).unwrap();
            let expected = other.finish(&combination()).unwrap();
            assert!(found.max_difference(&expected).unwrap() < 1e-11, "step {step}");
            drop(pass);
            moved(&mut params, &expected);
        }
        assert_eq!(absent > 0, problem.gaps[0].contains(&true));
        assert_eq!(stacked.reason(), None);
    }
}

#[test]
fn rows_inner_products_and_directions_are_those_of_the_other_passes() {
    for problem in problems() {
        let stacked = stacked(&problem);
        let mut params = start(&problem);
        for step in 0..6 {
            let live = params.require_grad().unwrap();
            let draw = Draw { seed: 4, step, replica: 0, split: Split::Train };
            let mut other = problem.forward(&live, draw).unwrap();
            let mut pass = of_problem(&problem, &stacked, &live, draw).unwrap().unwrap();
            let tasks = pass.present().len();
            let gramian = pass.gramian(&Level::Parameters).unwrap();
            let expected = other.gramian(&Level::Parameters).unwrap();
            for (found, expected) in gramian.values().iter().zip(expected.values()) {
                assert!((found - expected).abs() < 1e-11 * expected.abs().max(1.0), "{found} and {expected}");
            }
            for level in [
                Level::Parameters,
                Level::Representation,
                Level::LastLayer,
                Level::Layers(vec!["trunk.layer0".into(), "trunk.layer2.bias".into()]),
            ] {
                let found = pass.jacobian(&level).unwrap().rows().copy();
                assert!(close(&found, other.jacobian(&level).unwrap().rows()), "{level:?}");
            }
            for level in [Level::Parameters, Level::Representation] {
                let vector = other.jacobian(&level).unwrap().rows().select(0, 0) * 2.0;
                let direction = || Combination::direction(vector.copy(), level.clone(), tasks);
                let expected = problem.forward(&live, draw).unwrap().finish(&direction()).unwrap();
                let found = pass.finish(&direction()).unwrap();
                assert!(found.max_difference(&expected).unwrap() < 1e-11, "{level:?}");
            }
            let expected = other.finish(&Combination::weights(vec![1.0; tasks])).unwrap();
            drop(pass);
            moved(&mut params, &expected);
        }
    }
}

#[test]
fn a_pass_that_lives_is_not_overwritten_by_the_next() {
    let problem = &problems()[0];
    let stacked = stacked(problem);
    let params = start(problem).require_grad().unwrap();
    let draw = |step, replica| Draw { seed: 4, step, replica, split: Split::Train };
    for step in 0..6 {
        let mut first = of_problem(problem, &stacked, &params, draw(step, 0)).unwrap().unwrap();
        let before = first.jacobian(&Level::Parameters).unwrap().rows().copy();
        let mut second = of_problem(problem, &stacked, &params, draw(step, 1)).unwrap().unwrap();
        let other = second.jacobian(&Level::Parameters).unwrap().rows().copy();
        assert!(!close(&before, &other));
        assert!(close(first.jacobian(&Level::Parameters).unwrap().rows(), &before));
        let mut alone = problem.forward(&params, draw(step, 0)).unwrap();
        let expected = alone.finish(&Combination::weights(vec![1.0, 2.0, 3.0])).unwrap();
        let found = first.finish(&Combination::weights(vec![1.0, 2.0, 3.0])).unwrap();
        assert!(found.max_difference(&expected).unwrap() < 1e-11);
    }
}
