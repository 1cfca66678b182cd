//! Small networks for the tests of architectures.

use std::collections::BTreeMap;

use manytask_data::Inputs;
use manytask_nn::Precision;
use manytask_nn::metrics::Output;
use manytask_nn::nets::MlpConfig;
use manytask_tensor::random::Key;

use crate::architecture::{ArchitectureSettings, Blueprint, InputSizes, TrunkSettings};
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
    settings.build(&Blueprint { inputs, embedding: 3, tasks, precision: Precision::Full, parts: &parts })
}
