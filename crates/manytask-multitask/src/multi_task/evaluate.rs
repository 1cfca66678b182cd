//! Losses and metrics over a whole split.

use manytask_data as data;
use manytask_tensor::{Device, Kind, Params, Tensor};

use super::MultiTaskProblem;
use crate::{Evaluation, Result, TaskOutputs};

/// Of the raw outputs for all rows.
pub(super) fn evaluate(
    problem: &MultiTaskProblem,
    outputs: &[Tensor],
    split: &data::SplitData,
) -> Result<Evaluation> {
    let tasks = problem.tasks.iter().zip(&split.tasks).zip(outputs);
    let tasks = tasks.map(|((task, labels), logits)| {
        let to_cpu = |tensor: &Tensor| tensor.f_to_device(Device::Cpu);
        let weight = labels.weight.as_ref().map(to_cpu).transpose()?;
        task.evaluate(&to_cpu(logits)?, &to_cpu(&labels.target)?, weight.as_ref())
    });
    Ok(Evaluation::new(tasks.collect::<Result<_>>()?))
}

/// Predictions and labels of all rows.
pub(super) fn outputs(
    problem: &MultiTaskProblem,
    params: &Params,
    split: &data::SplitData,
) -> Result<Vec<TaskOutputs>> {
    let outputs = problem.architecture().outputs(params, &split.inputs)?;
    let tasks = problem.tasks.iter().zip(&split.tasks).zip(&outputs);
    let tasks = tasks
        .map(|((task, labels), logits)| task.outputs_beside(logits, &labels.target, labels.weight.as_ref()));
    tasks.collect()
}

/// Whether a task's metric has a value for any predictions: two kinds of them are tried, all alike and all different, since a
/// metric may be undefined where only one class is predicted.
pub(super) fn can_have_value(
    problem: &MultiTaskProblem,
    split: &data::SplitData,
    task: usize,
    name: &str,
) -> Result<bool> {
    let Some((described, labels)) = problem.tasks.get(task).zip(split.tasks.get(task)) else {
        return Ok(false);
    };
    let target = labels.target.f_to_device(Device::Cpu)?;
    if name == "loss" {
        return Ok(manytask_nn::loss::present(&target)?.f_any()?.f_int64_value(&[])? != 0);
    }
    let metrics = described.metrics.iter().copied().filter(|metric| metric.name() == name).collect();
    let alone = crate::Task { metrics, ..described.clone() };
    let rows = described.label_rows(&target)?.size().first().copied().unwrap_or_default();
    let kind = if target.kind() == Kind::Int64 { Kind::Float } else { target.kind() };
    let shape = [rows, described.outputs];
    let different = Tensor::f_arange(rows * described.outputs, (kind, Device::Cpu))?.f_sin()?;
    for logits in [Tensor::f_zeros(shape, (kind, Device::Cpu))?, different.f_reshape(shape)?] {
        if alone.evaluate(&logits, &target, None)?.metric(name).is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
