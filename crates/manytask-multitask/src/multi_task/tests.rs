use manytask_nn::layers::{Activation, Dropout, Linear, Sequential};
use manytask_nn::metrics::Output;
use manytask_tensor::{Graph, Kind, Params, Tensor, grad};

use super::*;
use crate::architecture::Bottleneck;
use crate::testing::{F64, network, problem_of, problems, relu_trunk, rows, start, tasks};
use crate::{Combination, HardSharing, Jacobian, Level, Shared, layer_columns};

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

/// Two numbers and two columns of categories in 100 indices, for one task or for each.
fn categories(seed: u64, single_input: bool) -> data::SplitData {
    let inputs = |seed: u64| {
        let normal = |what, columns| Key::new(seed, what).normal(&[200, columns], F64.0, F64.1).unwrap();
        let indices = (normal("indices", 2) * 1000.0).remainder(50.0) + Tensor::from_slice(&[-1.0, 50.0]);
        let one_hot = data::OneHot { indices: indices.to_kind(Kind::Int16), width: 100 };
        data::Inputs::from(data::Encoded {
            dense: normal("numbers", 2),
            one_hot: Some(one_hot),
            categorical: None,
        })
    };
    let inputs = if single_input { vec![inputs(seed)] } else { (seed..seed + 3).map(inputs).collect() };
    data::SplitData::new(inputs, rows(seed, 200, true).tasks).unwrap()
}

#[test]
fn categories_are_summed_as_the_matrix_is_multiplied() {
    for single_input in [true, false] {
        let network = |trunk| {
            let inputs = crate::InputSizes::numbers(102);
            let names = ["b", "r", "m"].map(String::from);
            let head = |b: &mut manytask_nn::Builder<'_>, task: usize, features| {
                Ok(Box::new(Linear::new(b, features, tasks()[task].outputs)?) as Box<dyn manytask_nn::Module>)
            };
            HardSharing::build(&inputs, 0, &names, trunk, head).unwrap()
        };
        let splits = || TaskSplits {
            train: categories(1, single_input),
            validation: Some(categories(9, true)),
            test: None,
        };
        let batches = Batches { size: 120, ..Batches::default() };
        let problem =
            MultiTaskProblem::new(Box::new(network(relu_trunk(20))), tasks(), splits(), batches).unwrap();
        let batch = problem.batch(DRAW).unwrap();
        let chain = problem.cut().chain().unwrap();
        let inputs = crate::trunk_inputs::TrunkInputs::new(&batch.inputs[0], chain, Kind::Double).unwrap();
        assert!(matches!(inputs.borrow::<f64>().unwrap(), manytask_nn::dense::Input::OneHot(_)));

        let params = start(&problem).require_grad().unwrap();
        let expected = one_by_one(&problem, &params, DRAW);
        let mut pass = problem.forward(&params, DRAW).unwrap();
        let combination = |weights| Combination { shared: Shared::Weights(weights), heads: vec![1.0; 3] };
        let combined = pass.finish(&combination(vec![0.5, -2.0, 3.0])).unwrap();
        let jacobian = pass.jacobian(&Level::Parameters).unwrap().rows().copy();
        let gramian = problem.forward(&params, DRAW).unwrap().gramian(&Level::Parameters).unwrap();
        let products = jacobian.matmul(&jacobian.tr());
        for slot in problem.shared() {
            let of = |task: usize| expected[task].get(*slot).unwrap();
            assert!(close(combined.get(*slot).unwrap(), &(of(0) * 0.5 - of(1) * 2.0 + of(2) * 3.0)));
        }
        let largest = products.max().double_value(&[]);
        for (task, expected) in expected.iter().enumerate() {
            let own = problem.shared().iter().map(|slot| expected.get(*slot).unwrap().reshape([-1]));
            assert!(close(&jacobian.select(0, task as i64), &Tensor::cat(&own.collect::<Vec<_>>(), 0)));
            for other in 0..3 {
                let product = products.double_value(&[task as i64, other as i64]);
                assert!((gramian.at(task, other) - product).abs() < 1e-11 * largest);
            }
        }
        let split = categories(9, true);
        let outputs = problem.architecture().outputs(&params, &split.inputs).unwrap();
        let mut cx = Context::eval();
        let representation = problem.cut().encode(&params, &split.inputs[0], &mut cx).unwrap();
        for (task, found) in outputs.iter().enumerate() {
            assert!(close(
                found,
                &problem.cut().heads().one(task, &params, &representation, &mut cx).unwrap()
            ));
        }
    }
}

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

/// The same pixels as images of bytes and as vectors go the same way, and with a flattening trunk the fused one.
#[test]
fn images_and_vectors_are_inputs_as_features_are() {
    let pixels = (Key::new(1, "pixels").uniform(0.0, 255.0, &[40, 4], F64.0, F64.1).unwrap()).round();
    let images = pixels.to_kind(Kind::Uint8).reshape([40, 1, 2, 2]);
    let images = data::Images::new(images, data::Normalisation::default()).unwrap();
    let values = pixels / 255.0;
    let (vectors, features) =
        (data::Inputs::vectors(values.shallow_clone()).unwrap(), data::Inputs::numbers(values));
    let flat = |b: &mut manytask_nn::Builder<'_>, shape: &[i64]| {
        let (trunk, features) = relu_trunk(9)(b, shape)?;
        let layers: Vec<Box<dyn manytask_nn::Module>> = vec![Box::new(manytask_nn::layers::Flatten), trunk];
        Ok((Box::new(Sequential(layers)) as Box<dyn manytask_nn::Module>, features))
    };
    let sizes = [
        (crate::InputSizes::numbers(4), features),
        (crate::InputSizes::Images { channels: 1, height: 2, width: 2 }, images.into()),
        (crate::InputSizes::Vectors(4), vectors),
    ];
    let mut seen: Option<(Vec<f64>, manytask_tensor::Params, Vec<Tensor>)> = None;
    for (sizes, inputs) in sizes {
        let names = ["b", "r", "m"].map(String::from);
        let network = HardSharing::build(&sizes, 0, &names, flat, |b, task, features| {
            Ok(Box::new(Linear::new(b, features, tasks()[task].outputs)?) as Box<dyn manytask_nn::Module>)
        });
        let train = data::SplitData::new(vec![inputs], rows(1, 40, true).tasks).unwrap();
        let splits = TaskSplits { train, validation: None, test: None };
        let problem =
            MultiTaskProblem::new(Box::new(network.unwrap()), tasks(), splits, Batches::default()).unwrap();
        assert!(problem.cut().chain().is_ok());
        let params = start(&problem).require_grad().unwrap();
        let graph = one_by_one(&problem, &params, DRAW);
        let mut pass = problem.forward(&params, DRAW).unwrap();
        let gradient = pass.finish(&Combination::weights(vec![1.0; 3])).unwrap();
        for slot in problem.shared() {
            let sum = graph.iter().map(|of| of.get(*slot).unwrap().shallow_clone()).reduce(|a, b| a + b);
            assert!(close(gradient.get(*slot).unwrap(), &sum.unwrap()));
        }
        let outputs = problem.architecture().outputs(&params, &problem.splits.train.inputs).unwrap();
        let (losses, first_outputs) = (pass.losses().to_vec(), outputs);
        if let Some((expected, of_features, outputs)) = &seen {
            assert!(losses.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12));
            assert!(gradient.max_difference(of_features).unwrap() < 1e-12);
            assert!(first_outputs.iter().zip(outputs).all(|(a, b)| close(a, b)));
        } else {
            seen = Some((losses, gradient, first_outputs));
        }
    }
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
