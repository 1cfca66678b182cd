//! Features, categories, images and vectors as inputs.

use manytask_nn::layers::{Linear, Sequential};
use manytask_tensor::{Kind, Tensor};

use super::*;
use crate::HardSharing;
use crate::testing::{F64, relu_trunk};

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
    let mut seen: Option<(Vec<f64>, Params, Vec<Tensor>)> = None;
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
