//! A command of one's own: everything of `manytask`, with a network, a data set and an aggregator that it does not have.
//!
//! ```console
//! $ cargo run --example own -- train crates/manytask-runner/examples/own.toml
//! $ cargo run --example own -- explain loudest
//! ```

use std::path::Path;
use std::process::ExitCode;

use manytask::Registries;
use manytask::data::{DataSettings, Loaded};
use manytask::data_sets::{DataReport, Inputs, SplitData, TargetKind, TaskData};
use manytask::failure;
use manytask::multitask::{
    Aggregator, AggregatorSettings, Built, InputSizes, LossWeighting, OnLosses, Result, StepInfo, Task,
    TaskSplits,
};
use manytask::network::TrunkSettings;
use manytask::nn::layers::Linear;
use manytask::nn::metrics::Output;
use manytask::nn::{self, Builder, Context, Module};
use manytask::tensor::random::Key;
use manytask::tensor::{Device, Kind, Method, Params, Tensor};
use serde::{Deserialize, Serialize};

/// `[data] kind = "waves"`: two tasks on the same numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Waves {
    rows: i64,
}

impl Default for Waves {
    fn default() -> Self {
        Self { rows: 500 }
    }
}

impl Method for Waves {
    const NAME: &'static str = "waves";
    const SUMMARY: &'static str = "a sine and a cosine";
    const ABOUT: &'static str = "";
}

impl DataSettings for Waves {
    fn load(&self, _folder: &Path) -> failure::Result<Loaded> {
        let split = |seed| -> failure::Result<SplitData> {
            let x = Key::new(seed, "waves").uniform(-3.0, 3.0, &[self.rows, 1], Kind::Float, Device::Cpu)?;
            let task = |name: &str, target: Tensor| TaskData { name: name.into(), target, weight: None };
            let tasks = vec![task("sine", x.sin().squeeze_dim(1)), task("cosine", x.cos().squeeze_dim(1))];
            Ok(SplitData::new(vec![Inputs::numbers(x)], tasks)?)
        };
        let splits = TaskSplits { train: split(0)?, validation: Some(split(1)?), test: Some(split(2)?) };
        let kinds = [TargetKind::Regression; 2];
        Ok(Loaded {
            report: DataReport::of(&splits, &kinds)?,
            splits,
            tasks: ["sine", "cosine"].map(|name| Task::new(name, Output::Regression, 1)).into(),
            inputs: InputSizes::numbers(1),
            schema: None,
            digest: format!("waves of {}", self.rows),
            split_digest: format!("waves of {}", self.rows),
        })
    }
}

/// `trunk = { kind = "sines" }`: a layer followed by a sine.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sines {
    size: i64,
}

#[derive(Debug)]
struct SineLayer(Linear);

impl Module for SineLayer {
    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> nn::Result<Tensor> {
        Ok(self.0.forward(params, x, cx)?.f_sin()?)
    }
}

impl Default for Sines {
    fn default() -> Self {
        Self { size: 16 }
    }
}

impl Method for Sines {
    const NAME: &'static str = "sines";
    const SUMMARY: &'static str = "a layer of sines";
    const ABOUT: &'static str = "";
}

impl TrunkSettings for Sines {
    fn build(&self, b: &mut Builder<'_>, inputs: &[i64]) -> nn::Result<Built> {
        Ok((Box::new(SineLayer(Linear::new(b, inputs.iter().product(), self.size)?)), self.size))
    }
}

/// `[aggregator] kind = "loudest"`: only the task with the largest loss is followed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Loudest {}

impl Method for Loudest {
    const NAME: &'static str = "loudest";
    const SUMMARY: &'static str = "the largest loss alone";
    const ABOUT: &'static str = "";
}

impl AggregatorSettings for Loudest {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        Ok(Box::new(OnLosses::new(Loudest {}, tasks)))
    }
}

impl LossWeighting for Loudest {
    fn name(&self) -> &'static str {
        Loudest::NAME
    }

    fn weights(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        let losses = step.losses.values();
        let most = losses.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Ok(losses.iter().map(|loss| f64::from(u8::from(*loss == most))).collect())
    }
}

fn main() -> ExitCode {
    let mut all = Registries::default();
    all.data.method::<Waves>();
    all.trunks.method::<Sines>();
    all.aggregators.method::<Loudest>();
    manytask::main_with(&all)
}
