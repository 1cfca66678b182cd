//! Work on many tasks with a shared trunk.

use anyhow::{Result, bail};
use manytask_data::{BatchOrder, Encoded, Part as Rows, TaskData};
use manytask_multitask::aggregators::{EqualWeights, Mgda, PcGrad, UncertaintyWeighting};
use manytask_multitask::{AggregatorSettings, Batches, HardSharing, InputSizes, Parts, SharedTrunk, Task};
use manytask_nn::layers::Linear;
use manytask_nn::metrics::Output;
use manytask_nn::nets::{Mlp, MlpConfig};
use manytask_tensor::random::Key;
use manytask_tensor::{Device, Kind};

use crate::Work;

fn aggregator(name: &str) -> Result<Box<dyn AggregatorSettings>> {
    Ok(match name {
        "equal" => Box::new(EqualWeights::default()),
        "uncertainty" => Box::new(UncertaintyWeighting::default()),
        "pcgrad" => Box::new(PcGrad::default()),
        "mgda" => Box::new(Mgda::default()),
        other => bail!("there is no aggregator `{other}`"),
    })
}

pub(crate) fn trunk(name: &str, tasks: usize, method: &str) -> Result<Work> {
    const ROWS: i64 = 256;
    const INPUTS: i64 = 1024;
    let aggregator = aggregator(method)?;
    let normal = |what: &str, shape: &[i64]| Key::new(0, what).normal(shape, Kind::Float, Device::Cpu);
    let (x, y) = (normal("x", &[ROWS, INPUTS])?, normal("y", &[tasks as i64, ROWS])?);
    let names: Vec<String> = (0..tasks).map(|task| format!("task{task}")).collect();
    let labels = names.iter().enumerate().map(|(task, name)| TaskData {
        name: name.clone(),
        target: y.select(0, task as i64),
        weight: None,
    });
    let inputs = vec![Encoded { dense: x.shallow_clone(), categorical: None }];
    let parts = Parts { train: Rows::new(inputs, labels.collect())?, validation: None, test: None };
    let config = MlpConfig { hidden: vec![512, 512], ..MlpConfig::default() };
    let network = SharedTrunk::build(
        &InputSizes { dense: INPUTS, categories: Vec::new() },
        1,
        &names,
        |b, inputs| {
            let net = Mlp::new(b, inputs, &config)?;
            let features = net.features();
            Ok((Box::new(net), features))
        },
        |b, _, features| Ok(Box::new(Linear::new(b, features, 1)?)),
    )?;
    let described = names.iter().map(|name| Task::new(name, Output::Regression, 1)).collect();
    let batches = Batches { size: ROWS as usize, order: BatchOrder::Sequential, ..Batches::default() };
    let problem = HardSharing::new(network, described, parts, batches)?;
    Ok(Work {
        name: name.into(),
        problem: Box::new(problem),
        checked: None,
        aggregator,
        learning_rate: 1e-4,
        leaf: "trunk.layer1.bias",
        data: vec![("x".to_owned(), x), ("y".to_owned(), y)],
    })
}
