//! Losses and metrics over a whole part.

use manytask_data as data;
use manytask_tensor::{Device, Kind, Params, Tensor};

use super::MultiTaskProblem;
use crate::{Evaluation, Result};

pub(super) fn evaluate(problem: &MultiTaskProblem, params: &Params, part: &data::Part) -> Result<Evaluation> {
    let outputs = problem.architecture().outputs(params, &part.inputs)?;
    let tasks = problem.tasks.iter().zip(&part.tasks).zip(&outputs);
    let tasks = tasks.map(|((task, labels), logits)| {
        let to_cpu = |tensor: &Tensor| tensor.f_to_device(Device::Cpu);
        let weight = labels.weight.as_ref().map(to_cpu).transpose()?;
        task.evaluate(&to_cpu(logits)?, &to_cpu(&labels.target)?, weight.as_ref())
    });
    Ok(Evaluation::new(tasks.collect::<Result<_>>()?))
}

/// Whether a task's figure has a value for any predictions: two kinds of them are tried, all alike and all different, since a
/// figure may be undefined where only one class is predicted.
pub(super) fn can_have_value(
    problem: &MultiTaskProblem,
    part: &data::Part,
    task: usize,
    figure: &str,
) -> Result<bool> {
    let Some((described, labels)) = problem.tasks.get(task).zip(part.tasks.get(task)) else {
        return Ok(false);
    };
    let target = labels.target.f_to_device(Device::Cpu)?;
    if figure == "loss" {
        return Ok(manytask_nn::loss::present(&target)?.f_any()?.f_int64_value(&[])? != 0);
    }
    let metrics = described.metrics.iter().copied().filter(|metric| metric.name() == figure).collect();
    let alone = crate::Task { metrics, ..described.clone() };
    let rows = target.size().first().copied().unwrap_or_default();
    let kind = if target.kind() == Kind::Int64 { Kind::Float } else { target.kind() };
    let shape = [rows, described.outputs];
    let different = Tensor::f_arange(rows * described.outputs, (kind, Device::Cpu))?.f_sin()?;
    for logits in [Tensor::f_zeros(shape, (kind, Device::Cpu))?, different.f_reshape(shape)?] {
        if alone.evaluate(&logits, &target, None)?.figure(figure).is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
