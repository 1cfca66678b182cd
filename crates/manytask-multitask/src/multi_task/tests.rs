mod convolutions;
mod inputs;
mod losses;

use manytask_tensor::{Graph, Params, Tensor, grad};

use super::*;
use crate::architecture::Bottleneck;
use crate::testing::{network, problems, rows, start, tasks};
use crate::{Combination, Jacobian, Level, Shared, layer_columns};

const DRAW: Draw = Draw { seed: 4, step: 2, replica: 0, split: Split::Train };

/// The gradient of each task's loss, by a backward pass of its own from the loss to all parameters.
fn one_by_one(problem: &MultiTaskProblem, params: &Params, draw: Draw) -> Vec<Params> {
    let losses = each_loss(problem, params, draw);
    losses.iter().map(|loss| grad(loss, params, Graph::Keep).unwrap()).collect()
}

/// The loss of each present task, through its own head.
fn each_loss(problem: &MultiTaskProblem, params: &Params, draw: Draw) -> Vec<Tensor> {
    let batch = problem.batch(draw).unwrap();
    let present = problem.present(draw.split, &batch).unwrap();
    let (cut, mut cx) = (problem.cut(), context(problem, draw));
    let inputs = TaskInputs::join(&batch, &present).unwrap();
    let representation = cut.encode(params, &inputs.all, &mut cx).unwrap();
    let losses = present.iter().enumerate().map(|(position, &task)| {
        let own = inputs.rows.of(position, &representation).unwrap();
        let raw = cut.heads().one(task, params, &own, &mut cx).unwrap();
        problem.tasks[task].mean_loss(&raw, &batch.targets[task], batch.weights[task].as_ref()).unwrap()
    });
    losses.collect()
}

impl MultiTaskProblem {
    fn cut(&self) -> &dyn Bottleneck {
        self.architecture().bottleneck().unwrap()
    }
}

fn is_shared(problem: &MultiTaskProblem, slot: Slot) -> bool {
    problem.shared().contains(&slot)
}

fn close(a: &Tensor, b: &Tensor) -> bool {
    (a - b).abs().max().double_value(&[]) < 1e-12
}

fn with_gaps() -> data::SplitData {
    let mut split = rows(1, 40, true);
    let target = &mut split.tasks[1].target;
    let _ = target.narrow(0, 0, 25).fill_(f64::NAN);
    split
}

fn with_weights() -> data::SplitData {
    let mut split = rows(1, 40, true);
    split.tasks[0].weight = Some(split.inputs[0].features().unwrap().dense.select(1, 1).square() + 0.1);
    split.tasks[2].weight = Some(split.inputs[0].features().unwrap().dense.select(1, 2).square() + 0.1);
    split
}

#[test]
fn a_combination_is_that_of_the_tasks_own_gradients() {
    let splits = [|| rows(1, 40, true), || rows(1, 40, false), with_gaps, with_weights];
    for problem in splits.into_iter().flat_map(problems) {
        let params = start(&problem).require_grad().unwrap();
        let expected = one_by_one(&problem, &params, DRAW);
        let weights = vec![0.5, -2.0, 3.0];
        let heads = vec![1.0, 0.25, 4.0];
        let combination = || Combination { shared: Shared::Weights(weights.clone()), heads: heads.clone() };
        let mut plain = problem.forward(&params, DRAW).unwrap();
        let mut with_rows = problem.forward(&params, DRAW).unwrap();
        with_rows.jacobian(&Level::Parameters).unwrap();
        for pass in [&mut plain, &mut with_rows] {
            assert_eq!(pass.present(), [0, 1, 2]);
            let found = pass.finish(&combination()).unwrap();
            for slot in problem.layout().trained() {
                let factors = if is_shared(&problem, slot) { &weights } else { &heads };
                let sum = expected
                    .iter()
                    .zip(factors)
                    .fold(params.get(slot).unwrap().zeros_like().detach(), |sum, (row, w)| {
                        sum + row.get(slot).unwrap() * *w
                    });
                assert!(close(found.get(slot).unwrap(), &sum), "{:?}", problem.layout().entry(slot));
            }
        }
    }
}

#[test]
fn rows_are_the_tasks_own_gradients_and_a_direction_is_taken_as_it_is() {
    let splits = [|| rows(1, 40, true), || rows(1, 40, false), with_gaps];
    for problem in splits.into_iter().flat_map(problems) {
        let params = start(&problem).require_grad().unwrap();
        let mut pass = problem.forward(&params, DRAW).unwrap();
        let rows = pass.jacobian(&Level::Parameters).unwrap().rows().copy();
        for (row, expected) in one_by_one(&problem, &params, DRAW).iter().enumerate() {
            let flat: Vec<Tensor> =
                problem.shared().iter().map(|slot| expected.get(*slot).unwrap().reshape([-1])).collect();
            assert!(close(&rows.select(0, row as i64), &Tensor::cat(&flat, 0)));
        }
        let direction = rows.select(0, 0) * 2.0;
        let found = pass.finish(&Combination::direction(direction.copy(), Level::Parameters, 3)).unwrap();
        let flat: Vec<Tensor> =
            problem.shared().iter().map(|s| found.get(*s).unwrap().reshape([-1])).collect();
        assert!(close(&Tensor::cat(&flat, 0), &direction));
    }
}

#[test]
fn a_direction_of_the_representation_goes_through_the_trunk_once() {
    for problem in problems(|| rows(1, 40, true)) {
        let params = start(&problem).require_grad().unwrap();
        let mut pass = problem.forward(&params, DRAW).unwrap();
        let rows = pass.jacobian(&Level::Representation).unwrap().rows().copy();
        assert_eq!(rows.size(), [3, 8 * 6]);
        let direction = rows.select(0, 0) - rows.select(0, 2) * 3.0;
        let found = pass.finish(&Combination::direction(direction, Level::Representation, 3)).unwrap();
        let expected = one_by_one(&problem, &params, DRAW);
        for slot in problem.shared() {
            let sum = expected[0].get(*slot).unwrap() - expected[2].get(*slot).unwrap() * 3.0;
            assert!(close(found.get(*slot).unwrap(), &sum));
        }
    }
    for multi in problems(|| rows(1, 40, false)) {
        let params = start(&multi).require_grad().unwrap();
        assert!(!multi.offers().representation);
        let mut pass = multi.forward(&params, DRAW).unwrap();
        assert!(pass.jacobian(&Level::Representation).unwrap_err().to_string().contains("rows of its own"));
    }
}

#[test]
fn gradients_of_layers_are_columns_of_all_and_a_combination_can_follow() {
    let splits = [|| rows(1, 40, true), || rows(1, 40, false)];
    for problem in splits.into_iter().flat_map(problems) {
        let params = start(&problem).require_grad().unwrap();
        let mut whole = problem.forward(&params, DRAW).unwrap();
        let all = whole.jacobian(&Level::Parameters).unwrap().rows().copy();
        let last = problem.shared().len() - 2;
        let last = problem.layout().entry(problem.shared()[last]).unwrap().name.replace(".weight", "");
        let expected = whole.finish(&Combination::weights(vec![1.0, 2.0, -1.0])).unwrap();
        for level in
            [Level::LastLayer, Level::Layers(vec![last]), Level::Layers(vec!["trunk.layer0.bias".into()])]
        {
            let columns = layer_columns(problem.layout(), problem.shared(), &level).unwrap();
            let of_all = Jacobian::new(&all).unwrap().of_columns(&columns).unwrap();
            assert!(of_all.rows().size()[1] < all.size()[1] || problem.shared().len() == 2);
            let mut pass = problem.forward(&params, DRAW).unwrap();
            assert!(close(pass.jacobian(&level).unwrap().rows(), of_all.rows()), "{level:?}");
            let found = pass.finish(&Combination::weights(vec![1.0, 2.0, -1.0])).unwrap();
            assert!(found.max_difference(&expected).unwrap() < 1e-12, "{level:?}");
            let direction = Combination::direction(of_all.rows().select(0, 0), level.clone(), 3);
            assert!(pass.finish(&direction).unwrap_err().to_string().contains("some layers only"));
        }
        let unknown = Level::Layers(vec!["trunk.layer9".into()]);
        let error = problem.forward(&params, DRAW).unwrap().jacobian(&unknown).unwrap_err().to_string();
        assert!(error.contains("`trunk.layer9`"), "{error}");
    }
}

#[test]
fn inner_products_are_those_of_the_rows() {
    let mut compact = 0;
    for problem in problems(|| rows(1, 40, true)) {
        let layers = problem.cut().chain().map_or(&[][..], |chain| chain.layers());
        compact += usize::from(!layers.is_empty() && dense::compact_is_cheaper(layers, 8, 3));
        let params = start(&problem).require_grad().unwrap();
        let rows = problem.forward(&params, DRAW).unwrap().jacobian(&Level::Parameters).unwrap().gramian();
        let rows = rows.unwrap();
        let found = problem.forward(&params, DRAW).unwrap().gramian(&Level::Parameters).unwrap();
        let largest = rows.squared_norms().into_iter().fold(0.0, f64::max);
        for (a, b) in found.values().iter().zip(rows.values()) {
            assert!((a - b).abs() < 1e-12 * largest, "{a} {b}");
        }
    }
    assert!(compact > 0, "no problem for which products are taken without gradients");
}

#[test]
fn the_trunk_is_fused_where_it_is_a_chain() {
    let chains: Vec<bool> = problems(|| rows(1, 40, true)).iter().map(|p| p.cut().chain().is_ok()).collect();
    assert_eq!(chains, [false, true, true, true]);
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let splits = || TaskSplits { train: rows(1, 8, true), validation: None, test: None };
    let batches = Batches::default();
    let trunk = || network(crate::testing::tanh_trunk);
    let two = tasks().into_iter().take(2).collect();
    assert!(
        MultiTaskProblem::new(Box::new(trunk()), two, splits(), batches)
            .unwrap_err()
            .to_string()
            .contains("3 heads for 2")
    );
    let mut wrong = tasks();
    wrong[0].loss = manytask_nn::loss::Loss::Mse;
    let message = MultiTaskProblem::new(Box::new(trunk()), wrong, splits(), batches).unwrap_err().to_string();
    assert!(message.contains("task `b`") && message.contains("binary_cross_entropy"), "{message}");
    assert!(
        MultiTaskProblem::new(Box::new(trunk()), tasks(), splits(), Batches { size: 0, ..batches }).is_err()
    );
}
