//! The gradients of each task for trunks of convolutions and residual blocks, also with batch-norm: as those of a backward pass of its own.

use manytask_nn::layers::Linear;
use manytask_nn::nets::{Conv4, Conv4Config, LeNet, LeNetConfig, ResNet, ResNetConfig, Stem};
use manytask_tensor::{Kind, Tensor};

use super::*;
use crate::testing::F64;
use crate::{HardSharing, InputSizes};

/// A problem on 24 pictures of one channel and 8 x 8 pixels.
fn problem(
    trunk: impl FnOnce(&mut manytask_nn::Builder<'_>, &[i64]) -> Result<crate::Built>,
) -> MultiTaskProblem {
    let pixels = Key::new(1, "pixels").uniform(0.0, 255.0, &[24, 1, 8, 8], F64.0, F64.1).unwrap();
    let images = data::Images::new(pixels.to_kind(Kind::Uint8), data::Normalisation::default()).unwrap();
    let train = data::SplitData::new(vec![images.into()], rows(1, 24, true).tasks).unwrap();
    let sizes = InputSizes::Images { channels: 1, height: 8, width: 8 };
    let names = ["b", "r", "m"].map(String::from);
    let network = HardSharing::build(&sizes, 0, &names, trunk, |b, task, features| {
        Ok(Box::new(Linear::new(b, features, tasks()[task].outputs)?))
    });
    let splits = TaskSplits { train, validation: None, test: None };
    let batches = Batches { size: 8, ..Batches::default() };
    MultiTaskProblem::new(Box::new(network.unwrap()), tasks(), splits, batches).unwrap()
}

/// Rows, Gramian and the combination of each level against the tasks' own passes.
fn rows_are_exact(problem: &MultiTaskProblem) {
    let params = start(problem).require_grad().unwrap();
    let each = one_by_one(problem, &params, DRAW);
    let flat = |of: &Params| {
        let parts = problem.shared().iter().map(|slot| of.get(*slot).unwrap().reshape([-1]));
        Tensor::cat(&parts.collect::<Vec<_>>(), 0)
    };
    let expected = Tensor::stack(&each.iter().map(flat).collect::<Vec<_>>(), 0);
    let size = expected.abs().max().double_value(&[]);
    assert!(size > 0.0);
    let mut pass = problem.forward(&params, DRAW).unwrap();
    let found = pass.jacobian(&Level::Parameters).unwrap().rows().copy();
    assert!((&found - &expected).abs().max().double_value(&[]) < 1e-12 * size.max(1.0));
    let gramian = problem.forward(&params, DRAW).unwrap().gramian(&Level::Parameters).unwrap();
    let product = expected.matmul(&expected.tr());
    for (i, j) in (0..3).flat_map(|i| (0..3).map(move |j| (i, j))) {
        let expected = product.double_value(&[i as i64, j as i64]);
        assert!((gramian.at(i, j) - expected).abs() < 1e-9 * (1.0 + expected.abs()), "{i} {j}");
    }
    let weights = vec![0.5, -1.5, 2.0];
    let combined = pass.finish(&Combination::weights(weights.clone())).unwrap();
    let sum = expected.tr().mv(&Tensor::from_slice(&weights));
    assert!((flat(&combined) - sum).abs().max().double_value(&[]) < 1e-11 * size.max(1.0));
    // One look at the batch alone is recorded, whatever is asked for.
    let buffers = pass.take_context().take_buffers().len();
    let of_layout = problem.layout().entries().iter().filter(|entry| !entry.role.is_trained()).count();
    assert_eq!(buffers, of_layout);
}

#[test]
fn rows_of_residual_blocks_with_batch_norm_are_the_tasks_own_gradients() {
    rows_are_exact(&problem(|b, shape| {
        let config = ResNetConfig { stem: Stem::Small, width: 2, output: None };
        let net = ResNet::new(b, shape, [1; 4], &config)?;
        let features = net.features();
        Ok((Box::new(net), features))
    }));
}

#[test]
fn rows_of_blocks_of_convolution_with_batch_norm_are_the_tasks_own_gradients() {
    rows_are_exact(&problem(|b, shape| {
        let config = Conv4Config { hidden: 3, blocks: 2, ..Conv4Config::default() };
        let net = Conv4::for_images(b, shape, &config)?;
        let features = net.features();
        Ok((Box::new(net), features))
    }));
}

#[test]
fn rows_of_a_lenet_are_the_tasks_own_gradients() {
    rows_are_exact(&problem(|b, shape| {
        let net = LeNet::new(
            b,
            shape,
            &LeNetConfig { channels: vec![3], kernel: 3, hidden: vec![5], dropout: 0.5 },
        )?;
        let features = net.features();
        Ok((Box::new(net), features))
    }));
}
