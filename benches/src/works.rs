//! The works of training steps.

mod few_shot;
mod trunk;

use std::ops::Range;

use anyhow::Result;
use manytask_data::{Episodes, Sinusoid};
use manytask_meta::{EpisodeShape, EpisodeSource, Maml, MetaModel, MetaProblem, MetaSettings, OuterGradient};
use manytask_multitask::aggregators::EqualWeights;
use manytask_multitask::{Problem, Split};
use manytask_nn::Builder;
use manytask_nn::loss::Loss;
use manytask_nn::nets::{Mlp, MlpConfig};
use manytask_tensor::{Device, Kind, Layout, Tensor};

pub use few_shot::{blocks, pictures};
pub(crate) use few_shot::{conv4, protonet};
pub(crate) use trunk::trunk;

use crate::{How, Work};

/// Tasks that are the same in every step.
#[derive(Debug)]
struct Written(Episodes);

impl EpisodeSource for Written {
    fn episodes(
        &self,
        _: Split,
        _: u64,
        _: Range<u64>,
        _: Option<usize>,
    ) -> manytask_multitask::Result<Episodes> {
        let own = Tensor::shallow_clone;
        let Episodes { support_x, support_y, query_x, query_y } = &self.0;
        Ok(Episodes {
            support_x: own(support_x),
            support_y: own(support_y),
            query_x: own(query_x),
            query_y: own(query_y),
        })
    }

    fn has_validation(&self) -> bool {
        false
    }
}

/// Episodes on a device.
fn on(device: Device, episodes: &Episodes) -> Result<Episodes> {
    let Episodes { support_x, support_y, query_x, query_y } = episodes;
    Ok(Episodes {
        support_x: support_x.f_to_device(device)?,
        support_y: support_y.f_to_device(device)?,
        query_x: query_x.f_to_device(device)?,
        query_y: query_y.f_to_device(device)?,
    })
}

/// Episodes by the names that the other systems know them by.
fn named(episodes: &Episodes) -> Vec<(String, Tensor)> {
    let Episodes { support_x, support_y, query_x, query_y } = episodes;
    let data =
        [("support_x", support_x), ("support_y", support_y), ("query_x", query_x), ("query_y", query_y)];
    data.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone())).into()
}

/// MAML on so many sine waves, with so many inner steps, of a perceptron 1-40-40-1.
///
/// # Errors
/// When a number is 0.
pub fn waves(tasks: usize, steps: u32, outer_gradient: OuterGradient, how: impl Into<How>) -> Result<Work> {
    let learner = Maml { inner_steps: steps, outer_gradient, ..Maml::default() };
    perceptron(tasks, 40, &learner, how)
}

/// The same of 25 sine waves with a perceptron of two hidden layers of a width.
pub(crate) fn wide_waves(name: &str, steps: u32, width: i64, how: impl Into<How>) -> Result<Work> {
    let learner = Maml { inner_steps: steps, ..Maml::default() };
    Ok(Work { name: name.to_owned(), ..perceptron(25, width, &learner, how)? })
}

/// A learner on so many sine waves of 10 shots and 10 queries, with a perceptron of two hidden layers of a width.
///
/// # Errors
/// When a number is 0.
pub fn perceptron(tasks: usize, width: i64, learner: &Maml, how: impl Into<How>) -> Result<Work> {
    let How { execution, device, precision } = how.into();
    let drawn = Sinusoid::default().episodes(10, 10, 0, "bench", 0..tasks as u64, Kind::Float)?;
    let data = named(&drawn);
    let mut layout = Layout::builder();
    let config = MlpConfig { hidden: vec![width, width], output: Some(1), ..MlpConfig::default() };
    let mut root = Builder::new(&mut layout);
    let net = Mlp::new(&mut root.with_precision(precision), 1, &config)?;
    let name = format!("sinusoid-{}", learner.inner_steps);
    let settings = MetaSettings { tasks_per_step: tasks, execution, ..MetaSettings::default() };
    let model = MetaModel::build(layout, Box::new(net), learner, EpisodeShape::regression(1, 1))?;
    let problem = MetaProblem::new(model, Box::new(Written(on(device, &drawn)?)), Loss::Mse, settings)?;
    let start = problem.layout().init(0, Kind::Float, device)?;
    Ok(Work {
        name,
        execution: Some(problem.execution(&start)),
        start,
        problem: Box::new(problem),
        checked: None,
        aggregator: Box::new(EqualWeights::default()),
        learning_rate: 1e-3,
        leaf: "layer1.bias",
        data,
    })
}
