//! Losses and metrics over a whole part.

use manytask_data as data;
use manytask_tensor::{Device, Params, Tensor};

use super::HardSharing;
use crate::{Evaluation, Result};

pub(super) fn evaluate(problem: &HardSharing, params: &Params, part: &data::Part) -> Result<Evaluation> {
    let outputs = problem.network.outputs(params, &part.inputs)?;
    let tasks = problem.tasks.iter().zip(&part.tasks).zip(&outputs);
    let tasks = tasks.map(|((task, labels), logits)| {
        let to_cpu = |tensor: &Tensor| tensor.f_to_device(Device::Cpu);
        let weight = labels.weight.as_ref().map(to_cpu).transpose()?;
        task.evaluate(&to_cpu(logits)?, &to_cpu(&labels.target)?, weight.as_ref())
    });
    Ok(Evaluation::new(tasks.collect::<Result<_>>()?))
}
