//! Work on many tasks with a shared trunk.

use std::sync::Arc;

use anyhow::{Result, bail};
use manytask_data::{BatchOrder, Inputs, SplitData as Rows, TaskData};
use manytask_multitask::aggregators::{
    AlignedMtl, CaGrad, EqualWeights, Mgda, NashMtl, PcGrad, UncertaintyWeighting, UpGrad,
};
use manytask_multitask::{
    AggregatorSettings, Batches, HardSharing, InputSizes, MultiTaskProblem, Problem, Task, TaskSplits,
};
use manytask_nn::layers::Linear;
use manytask_nn::metrics::Output;
use manytask_nn::nets::{Mlp, MlpConfig};
use manytask_tensor::random::Key;
use manytask_tensor::{Device, Kind, Layout, Params, Tensor};

use crate::{How, Work};

fn aggregator(name: &str) -> Result<Box<dyn AggregatorSettings>> {
    Ok(match name {
        "equal" => Box::new(EqualWeights::default()),
        "uncertainty" => Box::new(UncertaintyWeighting::default()),
        "pcgrad" => Box::new(PcGrad::default()),
        "mgda" => Box::new(Mgda::default()),
        "cagrad" => Box::new(CaGrad { c: 0.4, ..CaGrad::default() }),
        "upgrad" => Box::new(UpGrad::default()),
        "aligned" => Box::new(AlignedMtl::default()),
        "nash" => Box::new(NashMtl::default()),
        other => bail!("there is no aggregator `{other}`"),
    })
}

/// Targets `[tasks, rows]`: what they have in common with a sign for each task, and noise, of a scale for each.
fn targets(tasks: i64, rows: i64) -> Result<Tensor> {
    let common = Key::new(0, "common").normal(&[1, rows], Kind::Float, Device::Cpu)?;
    let noise = Key::new(0, "y").normal(&[tasks, rows], Kind::Float, Device::Cpu)?;
    let of_tasks = |value: fn(i64) -> f32| {
        Tensor::f_from_slice(&(0..tasks).map(value).collect::<Vec<_>>())?.f_unsqueeze(1)
    };
    let signs = of_tasks(|task| if task % 2 == 0 { 0.6 } else { -0.6 })?;
    let scales = of_tasks(|task| 0.5 + 0.5 * (task % 3) as f32)?;
    Ok(signs.f_mul(&common)?.f_add(&noise.f_mul_scalar(0.8)?)?.f_mul(&scales)?)
}

/// Parameters whose heads have a part in common: those of heads by themselves are nearly orthogonal, and so would be the tasks'
/// gradients, whatever the targets.
fn start(layout: &Arc<Layout>) -> Result<Params> {
    let mut params = layout.init(0, Kind::Float, Device::Cpu)?;
    let heads = layout.select(|entry| entry.name.starts_with("heads.") && entry.name.ends_with(".weight"));
    let Some(common) = heads.first().map(|slot| params.get(*slot)).transpose()?.map(Tensor::copy) else {
        return Ok(params);
    };
    for slot in heads.into_iter().skip(1) {
        let mixed = params.get(slot)?.f_add(&common)?.f_mul_scalar(0.5_f64.sqrt())?;
        params.put(slot, mixed)?;
    }
    Ok(params)
}

pub(crate) fn trunk(name: &str, tasks: usize, method: &str, how: How) -> Result<Work> {
    const ROWS: i64 = 256;
    const INPUTS: i64 = 1024;
    let aggregator = aggregator(method)?;
    let normal = |what: &str, shape: &[i64]| Key::new(0, what).normal(shape, Kind::Float, Device::Cpu);
    let (x, y) = (normal("x", &[ROWS, INPUTS])?, targets(tasks as i64, ROWS)?);
    let names: Vec<String> = (0..tasks).map(|task| format!("task{task}")).collect();
    let labels = names.iter().enumerate().map(|(task, name)| TaskData {
        name: name.clone(),
        target: y.select(0, task as i64),
        weight: None,
    });
    let inputs = vec![Inputs::numbers(x.shallow_clone())];
    let train = Rows::new(inputs, labels.collect())?.to_device(how.device)?;
    let splits = TaskSplits { train, validation: None, test: None };
    let config = MlpConfig { hidden: vec![512, 512], ..MlpConfig::default() };
    let network = HardSharing::build(
        &InputSizes::numbers(INPUTS),
        1,
        &names,
        |b, inputs| {
            let net = Mlp::new(&mut b.with_precision(how.precision), inputs.iter().product(), &config)?;
            let features = net.features();
            Ok((Box::new(net), features))
        },
        |b, _, features| Ok(Box::new(Linear::new(&mut b.with_precision(how.precision), features, 1)?)),
    )?;
    let described = names.iter().map(|name| Task::new(name, Output::Regression, 1)).collect();
    let batches = Batches { size: ROWS as usize, order: BatchOrder::Sequential, ..Batches::default() };
    let problem = MultiTaskProblem::new(Box::new(network), described, splits, batches)?;
    Ok(Work {
        name: name.into(),
        execution: None,
        start: start(problem.layout())?.to(Kind::Float, how.device)?,
        problem: Box::new(problem),
        checked: None,
        aggregator,
        learning_rate: 1e-4,
        leaf: "trunk.layer1.bias",
        data: vec![("x".to_owned(), x), ("y".to_owned(), y)],
    })
}
