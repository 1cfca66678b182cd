//! Small networks for the tests of architectures.

use std::collections::BTreeMap;

use manytask_data::{Images, Inputs, Normalisation};
use manytask_nn::metrics::Output;
use manytask_nn::nets::{Conv4, Conv4Config, MlpConfig};
use manytask_nn::{Builder, Context, Precision};
use manytask_tensor::random::Key;
use manytask_tensor::{Kind, Params, Tensor};

use crate::architecture::{
    ArchitectureSettings, Blueprint, Built, InputSizes, Rows, TaskInputs, TrunkSettings,
};
pub(super) use crate::testing::F64;
use crate::{Architecture, Result, Task};

/// So many binary tasks `t0 …`.
pub(super) fn tasks(count: usize) -> Vec<Task> {
    (0..count).map(|task| Task::new(format!("t{task}"), Output::Binary, 1)).collect()
}

/// Rows of four numbers.
pub(super) fn inputs(rows: i64) -> Inputs {
    Inputs::numbers(Key::new(rows as u64, "x").normal(&[rows, 4], F64.0, F64.1).unwrap())
}

pub(super) fn mlp(hidden: &[i64]) -> MlpConfig {
    MlpConfig { hidden: hidden.to_vec(), ..MlpConfig::default() }
}

/// A network of perceptrons for rows of four numbers.
pub(super) fn blueprinted(
    settings: &dyn ArchitectureSettings,
    tasks: &[Task],
    parts: &[(&str, MlpConfig)],
) -> Box<dyn Architecture> {
    let parts = parts.iter().map(|(key, part)| (*key, Box::new(part.clone()) as Box<dyn TrunkSettings>));
    blueprinted_for(settings, tasks, parts.collect(), &InputSizes::numbers(4)).unwrap()
}

/// A network of any parts for any inputs.
pub(super) fn blueprinted_for(
    settings: &dyn ArchitectureSettings,
    tasks: &[Task],
    parts: BTreeMap<&str, Box<dyn TrunkSettings>>,
    inputs: &InputSizes,
) -> Result<Box<dyn Architecture>> {
    let parts = parts.into_iter().map(|(key, part)| (key.to_owned(), part)).collect();
    settings.build(&Blueprint {
        inputs,
        encoding: 3.into(),
        tasks,
        precision: Precision::Full,
        parts: &parts,
    })
}

/// `x Wᵀ + b` with a layer's parameters.
pub(super) fn linear(params: &Params, x: &Tensor, name: &str) -> Tensor {
    let named = |part: &str| params.named(&format!("{name}.{part}")).unwrap();
    x.matmul(&named("weight").tr()) + named("bias")
}

/// Each of two tasks on rows of its own has the outputs that it has when these rows are all there are.
pub(super) fn own_rows_are_as_shared_ones(network: &dyn Architecture, params: &Params) {
    let (a, b) = (inputs(6), inputs(9));
    let rows = Rows::Own(vec![(0, 6), (6, 9)]);
    let both = TaskInputs { all: Inputs::cat(&[&a, &b]).unwrap(), rows, preference: None };
    let own = network.forward(params, &both, &[0, 1], &mut Context::eval()).unwrap();
    for (position, x) in [a, b].iter().enumerate() {
        let alone =
            network.forward(params, &TaskInputs::shared(x), &[position], &mut Context::eval()).unwrap();
        let difference = own.raw(position).unwrap() - alone.raw(0).unwrap();
        assert!(difference.abs().max().double_value(&[]) < 1e-12);
    }
}

#[derive(Debug)]
struct Blocks;

impl TrunkSettings for Blocks {
    fn build(&self, b: &mut Builder<'_>, inputs: &[i64]) -> manytask_nn::Result<Built> {
        let net = Conv4::new(
            b,
            inputs[0],
            inputs[1],
            &Conv4Config { hidden: 3, blocks: 2, ..Conv4Config::default() },
        )?;
        let features = net.features();
        Ok((Box::new(net), features))
    }
}

/// A network of two blocks of convolutions with three channels, for images of 8 x 8 pixels.
pub(super) fn of_blocks(settings: &dyn ArchitectureSettings, tasks: &[Task]) -> Box<dyn Architecture> {
    let sizes = InputSizes::Images { channels: 1, height: 8, width: 8 };
    let parts = [("trunk", Box::new(Blocks) as Box<dyn TrunkSettings>)];
    blueprinted_for(settings, tasks, parts.into(), &sizes).unwrap()
}

/// Images of 8 x 8 pixels.
pub(super) fn images(count: i64) -> Inputs {
    let pixels = Key::new(1, "pixels").uniform(0.0, 255.0, &[count, 1, 8, 8], F64.0, F64.1).unwrap();
    Inputs::Images(Images::new(pixels.to_kind(Kind::Uint8), Normalisation::default()).unwrap())
}
