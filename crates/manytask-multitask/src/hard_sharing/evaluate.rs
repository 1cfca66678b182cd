//! Losses and metrics over a whole part, and predictions.

use manytask_data as data;
use manytask_data::Encoded;
use manytask_nn::Cx;
use manytask_tensor::{Device, Params, Tensor, no_grad};

use super::HardSharing;
use crate::{Error, Evaluation, Result};

/// Rows that go through the network at once: enough for the kernels, little enough for the memory.
const ROWS: i64 = 8192;

pub(super) fn evaluate(problem: &HardSharing, params: &Params, part: &data::Part) -> Result<Evaluation> {
    let outputs = problem.outputs_of(params, &part.inputs)?;
    let tasks = problem.tasks.iter().zip(&part.tasks).zip(&outputs);
    let tasks = tasks.map(|((task, labels), logits)| {
        let to_cpu = |tensor: &Tensor| tensor.f_to_device(Device::Cpu);
        let weight = labels.weight.as_ref().map(to_cpu).transpose()?;
        task.evaluate(&to_cpu(logits)?, &to_cpu(&labels.target)?, weight.as_ref())
    });
    Ok(Evaluation { tasks: tasks.collect::<Result<_>>()? })
}

impl HardSharing {
    /// What the network says of rows of inputs, one tensor for each task: values in the units of the labels `[N]`,
    /// probabilities `[N]` or `[N, L]`, or probabilities of each class `[N, C]`.
    ///
    /// `inputs` are one for all tasks or one for each, as in [`data::Part`].
    ///
    /// # Errors
    /// When the inputs are not of the network's form.
    pub fn predict(&self, params: &Params, inputs: &[Encoded]) -> Result<Vec<Tensor>> {
        let outputs = self.outputs_of(params, inputs)?;
        self.tasks.iter().zip(&outputs).map(|(task, logits)| task.present(logits)).collect()
    }

    /// Each task's raw outputs `[N, outputs]` for its rows.
    fn outputs_of(&self, params: &Params, inputs: &[Encoded]) -> Result<Vec<Tensor>> {
        let _off = no_grad();
        let all: Vec<usize> = (0..self.tasks.len()).collect();
        match inputs {
            [inputs] => self.chunks(params, inputs, &all),
            inputs if inputs.len() == self.tasks.len() => {
                let mut outputs = Vec::with_capacity(inputs.len());
                for (task, inputs) in inputs.iter().enumerate() {
                    outputs.extend(self.chunks(params, inputs, &[task])?);
                }
                Ok(outputs)
            }
            inputs => Err(Error::setting(
                format!("{} inputs for {} tasks", inputs.len(), self.tasks.len()),
                "give one for all tasks, or one for each",
            )),
        }
    }

    fn chunks(&self, params: &Params, inputs: &Encoded, tasks: &[usize]) -> Result<Vec<Tensor>> {
        let mut parts: Vec<Vec<Tensor>> = tasks.iter().map(|_| Vec::new()).collect();
        let rows = inputs.rows() as i64;
        let mut start = 0;
        // At least once, so that no rows give outputs of no rows.
        loop {
            let length = ROWS.min(rows - start);
            let chunk = Encoded {
                dense: inputs.dense.f_narrow(0, start, length)?,
                categorical: inputs.categorical.as_ref().map(|c| c.f_narrow(0, start, length)).transpose()?,
            };
            let mut cx = Cx::eval();
            let representation = self.network.represent(params, &chunk, &mut cx)?;
            for (&task, parts) in tasks.iter().zip(&mut parts) {
                parts.push(self.network.head(task, params, &representation, &mut cx)?);
            }
            start += length;
            if start >= rows {
                break;
            }
        }
        parts.iter().map(|parts| Ok(Tensor::f_cat(parts, 0)?)).collect()
    }
}
