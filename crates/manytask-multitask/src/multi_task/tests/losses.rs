//! Losses and metrics of batches and splits, with absent tasks and missing labels.

use manytask_nn::layers::{Activation, Dropout, Linear, Sequential};
use manytask_nn::metrics::Output;
use manytask_tensor::{Kind, Tensor};

use super::*;
use crate::HardSharing;
use crate::testing::{F64, problem_of};

#[test]
fn a_task_without_a_label_in_the_batch_is_no_row() {
    let split = || {
        let mut split = rows(1, 8, true);
        let _ = split.tasks[0].target.fill_(f64::NAN);
        split
    };
    for problem in problems(split) {
        let params = start(&problem).require_grad().unwrap();
        let mut pass = problem.forward(&params, DRAW).unwrap();
        assert_eq!(pass.present(), [1, 2]);
        assert_eq!(pass.jacobian(&Level::Parameters).unwrap().rows().size()[0], 2);
        let gradient = pass.finish(&Combination::weights(vec![1.0, 1.0])).unwrap();
        assert_eq!(gradient.named("heads.b.weight").unwrap().abs().max().double_value(&[]), 0.0);
        assert!(problem.losses(&params, DRAW).unwrap().get(0).is_none());
        assert!(pass.finish(&Combination::weights(vec![1.0; 3])).is_err());
    }
}

#[test]
fn the_same_draw_is_the_same_batch_and_randomness() {
    let trunk = |b: &mut manytask_nn::Builder<'_>, inputs: &[i64]| -> Result<crate::Built> {
        let linear = Linear::new(&mut b.scope("layer0"), inputs.iter().product(), 6)?;
        let layers: Vec<Box<dyn manytask_nn::Module>> =
            vec![Box::new(linear), Box::new(Activation::Tanh), Box::new(Dropout::new(0.5)?)];
        Ok((Box::new(Sequential(layers)), 6))
    };
    let splits = TaskSplits { train: rows(1, 40, true), validation: None, test: None };
    let batches = Batches { size: 8, ..Batches::default() };
    let problem = MultiTaskProblem::new(Box::new(network(trunk)), tasks(), splits, batches).unwrap();
    let params = start(&problem).require_grad().unwrap();
    let losses = |draw| problem.forward(&params, draw).unwrap().losses().to_vec();
    assert_eq!(losses(DRAW), losses(DRAW));
    let without_graph = problem.losses(&params, DRAW).unwrap().values().to_vec();
    assert_eq!(losses(DRAW), without_graph);
    for other in [Draw { step: 3, ..DRAW }, Draw { replica: 1, ..DRAW }, Draw { seed: 5, ..DRAW }] {
        assert_ne!(losses(DRAW), losses(other), "{other:?}");
    }
    let no_part = problem.evaluate(&params, Split::Test).unwrap_err().to_string();
    assert!(no_part.contains("no test split"), "{no_part}");
}

#[test]
fn metrics_of_a_regression_are_in_the_units_of_its_labels() {
    let problem = problem_of(rows(1, 40, true));
    let params = start(&problem);
    let evaluation = problem.evaluate(&params, Split::Validation).unwrap();
    let split = rows(50, 40, true);
    let outputs = problem.architecture().outputs(&params, &split.inputs).unwrap();
    let described = problem.described_tasks().iter().zip(&outputs);
    let predictions: Vec<Tensor> = described.map(|(task, logits)| task.present(logits).unwrap()).collect();
    let (predicted, labels) = (&predictions[1], &split.tasks[1].target * 2.0 + 1.0);
    let rmse = (predicted - labels).square().mean(Kind::Double).sqrt().double_value(&[]);
    assert!((evaluation.task("r").unwrap().metric("rmse").unwrap() - rmse).abs() < 1e-9);
    let loss = evaluation.task("r").unwrap().loss.unwrap();
    assert!((4.0 * loss - rmse * rmse).abs() < 1e-9, "the loss is of standardised labels");
    let sums = predictions[2].sum_dim_intlist([1].as_slice(), false, Kind::Double);
    assert!(close(&sums, &sums.ones_like()), "probabilities of classes");
    assert!(problem.architecture().outputs(&params, &[]).is_err());
}

/// Six tasks of two kinds that miss different labels, two of them with weights of rows: all of a kind at once are each by itself.
#[test]
fn losses_of_one_kind_at_once_are_those_of_each_task() {
    let described: Vec<Task> = [true, true, false, true, false, true]
        .into_iter()
        .enumerate()
        .map(|(task, binary)| {
            let output = if binary { Output::Binary } else { Output::Regression };
            Task::new(format!("t{task}"), output, 1)
        })
        .collect();
    let inputs = rows(1, 40, true).inputs;
    let x = inputs[0].tensor(F64.0).unwrap();
    let labels = described.iter().enumerate().map(|(task, of)| {
        let column = x.select(1, task as i64 % 4);
        let target = match of.output {
            Output::Binary => column.gt(0.1 * task as f64).to_kind(F64.0),
            _ => column.sin(),
        };
        let missing = x.select(1, (task as i64 + 1) % 4).gt(1.0 - 0.3 * task as f64);
        let target = manytask_tensor::masked_fill(&target, &missing, f64::NAN).unwrap();
        let weight = [1, 3].contains(&task).then(|| x.select(1, 2).square() + 0.1);
        data::TaskData { name: of.name.clone(), target, weight }
    });
    let train =
        data::SplitData::new(inputs.iter().map(data::Inputs::shallow_clone).collect(), labels.collect());
    let splits = TaskSplits { train: train.unwrap(), validation: None, test: None };
    let names: Vec<String> = described.iter().map(|task| task.name.clone()).collect();
    let network = HardSharing::build(
        &crate::InputSizes::numbers(4),
        0,
        &names,
        crate::testing::tanh_trunk,
        |b, _, features| Ok(Box::new(Linear::new(b, features, 1)?)),
    );
    let batches = Batches { size: 8, ..Batches::default() };
    let problem = MultiTaskProblem::new(Box::new(network.unwrap()), described, splits, batches).unwrap();
    let params = start(&problem).require_grad().unwrap();
    let mut most = 0;
    for step in 0..5 {
        let draw = Draw { step, ..DRAW };
        let expected: Vec<f64> =
            each_loss(&problem, &params, draw).iter().map(|loss| loss.double_value(&[])).collect();
        let mut pass = problem.forward(&params, draw).unwrap();
        let whole = problem.losses(&params, draw).unwrap();
        most = most.max(expected.len());
        for found in [pass.losses(), whole.values()] {
            assert_eq!(found.len(), expected.len());
            assert!(
                found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-12),
                "{found:?} {expected:?}"
            );
        }
        let each = one_by_one(&problem, &params, draw);
        let weights: Vec<f64> = (0..each.len()).map(|row| 0.5 + row as f64).collect();
        let found = pass.finish(&Combination::weighted_losses(weights.clone())).unwrap();
        for slot in problem.layout().trained() {
            let rows = each.iter().zip(&weights).map(|(row, weight)| row.get(slot).unwrap() * *weight);
            let sum = rows.reduce(|a, b| a + b).unwrap();
            assert!(close(found.get(slot).unwrap(), &sum), "{:?}", problem.layout().entry(slot));
        }
    }
    assert_eq!(most, 6, "a batch with all tasks");
}
