//! Tasks whose losses are computed at once: of the same loss and the same number of outputs.

use manytask_data as data;
use manytask_nn::dense::DenseLayer;
use manytask_nn::loss::Loss;
use manytask_tensor::{Device, Graph, Kind, Params, Tensor, gradients};

use crate::{Result, Task};

/// All tasks, by groups. What is of all tasks is in the order of the groups, unless it says otherwise.
#[derive(Debug)]
pub(super) struct Groups {
    all: Vec<Group>,
    /// For each task its place in the order of the groups.
    indices: Vec<usize>,
    /// For each task, which rows of the training split have a label; absent where all have.
    labelled: Vec<Option<Vec<bool>>>,
}

/// Tasks with one loss.
#[derive(Debug)]
struct Group {
    loss: Loss,
    tasks: Vec<usize>,
    outputs: i64,
    /// Whether predictions have a dimension of outputs.
    wide: bool,
    /// The labels of all rows, `[T, N]` or `[T, N, o]`.
    targets: Tensor,
    /// The tasks' numbers, on the device.
    numbers: Tensor,
}

impl Groups {
    pub(super) fn of(tasks: &[Task], heads: &[DenseLayer], train: &data::SplitData) -> Result<Self> {
        let mut found: Vec<(Loss, usize, bool, Vec<usize>)> = Vec::new();
        for (number, (task, head)) in tasks.iter().zip(heads).enumerate() {
            let wide = task.is_wide();
            let same = |of: &&mut (Loss, usize, bool, Vec<usize>)| {
                of.0 == task.loss && (of.1, of.2) == (head.outputs, wide)
            };
            match found.iter_mut().find(same) {
                Some(group) => group.3.push(number),
                None => found.push((task.loss.clone(), head.outputs, wide, vec![number])),
            }
        }
        let mut indices = vec![0; tasks.len()];
        let order = found.iter().flat_map(|(.., tasks)| tasks);
        for (place, task) in order.enumerate() {
            if let Some(own) = indices.get_mut(*task) {
                *own = place;
            }
        }
        let groups = found.into_iter().map(|(loss, outputs, wide, tasks)| {
            let targets: Vec<&Tensor> =
                tasks.iter().filter_map(|task| train.tasks.get(*task)).map(|task| &task.target).collect();
            let targets = Tensor::f_stack(&targets, 0)?;
            let numbers: Vec<i64> = tasks.iter().map(|task| *task as i64).collect();
            let numbers = Tensor::f_from_slice(&numbers)?.f_to_device(targets.device())?;
            Ok(Group { loss, tasks, outputs: outputs as i64, wide, targets, numbers })
        });
        let labelled = train.tasks.iter().map(|task| labelled(&task.target)).collect::<Result<_>>()?;
        Ok(Self { all: groups.collect::<Result<_>>()?, indices, labelled })
    }

    /// The tasks' numbers in the order of the groups.
    pub(super) fn order(&self) -> impl Iterator<Item = usize> {
        self.all.iter().flat_map(|group| group.tasks.iter().copied())
    }

    pub(super) fn in_task_order(&self, numbers: &[f64]) -> Vec<f64> {
        self.indices.iter().filter_map(|place| numbers.get(*place).copied()).collect()
    }

    /// The tasks that have a label in one of these rows, ascending.
    pub(super) fn present(&self, rows: &Tensor) -> Result<Vec<usize>> {
        if self.labelled.iter().all(Option::is_none) {
            return Ok((0..self.labelled.len()).collect());
        }
        let rows = Vec::<i64>::try_from(rows)?;
        let has = |labelled: &Option<Vec<bool>>| {
            labelled.as_ref().is_none_or(|all| rows.iter().any(|row| all.get(*row as usize) == Some(&true)))
        };
        let tasks = self.labelled.iter().enumerate().filter(|(_, labelled)| has(labelled));
        Ok(tasks.map(|(task, _)| task).collect())
    }

    /// The heads' weights, `[O, F]`.
    pub(super) fn weights(&self, heads: &[DenseLayer], params: &Params) -> Result<Tensor> {
        self.stacked(heads, |head| Ok(params.get(head.weight)?.f_detach()?))
    }

    fn stacked(&self, heads: &[DenseLayer], of: impl Fn(&DenseLayer) -> Result<Tensor>) -> Result<Tensor> {
        let splits = self.order().filter_map(|task| heads.get(task)).map(of).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::f_cat(&splits, 0)?)
    }

    /// The losses in double precision `[T]`, and each group's derivative of the losses by the predictions, `[T, B, o]`.
    pub(super) fn losses(
        &self,
        heads: &[DenseLayer],
        params: &Params,
        representation: &Tensor,
        rows: &Tensor,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let weights = self.weights(heads, params)?;
        let biases = self.stacked(heads, |head| Ok(params.get(head.bias)?.f_detach()?))?;
        let predictions = representation.f_detach()?.f_linear(&weights, Some(&biases))?;
        let batch = representation.size().first().copied().unwrap_or_default();
        let (mut losses, mut residuals, mut start) = (Vec::new(), Vec::new(), 0);
        for group in &self.all {
            let tasks = group.tasks.len() as i64;
            let own = predictions.f_narrow(1, start, tasks * group.outputs)?;
            start += tasks * group.outputs;
            let own = own.f_reshape([batch, tasks, group.outputs])?.f_transpose(0, 1)?.f_contiguous()?;
            let targets = group.targets.f_index_select(1, rows)?;
            let leaf = own.f_detach()?.f_set_requires_grad(true)?;
            let shaped = if group.wide { leaf.shallow_clone() } else { leaf.f_squeeze_dim(-1)? };
            let loss = group.loss.mean(&shaped, &targets, None, Some(tasks))?;
            residuals.extend(gradients(&loss.f_sum(loss.kind())?, &[&leaf], Graph::Free)?);
            losses.push(loss.f_detach()?.f_to_kind(Kind::Double)?);
        }
        Ok((Tensor::f_cat(&losses, 0)?, residuals))
    }

    /// R with a weight for each task (given in task order, `[T]`), `[B, O]`.
    pub(super) fn weighted(&self, residuals: &[Tensor], weights: &Tensor) -> Result<Tensor> {
        let splits = self.all.iter().zip(residuals).map(|(group, residual)| {
            let (tasks, batch, outputs) = residual.size3()?;
            let own = weights.f_index_select(0, &group.numbers)?.f_reshape([tasks, 1, 1])?;
            Ok(residual.f_mul(&own)?.f_transpose(0, 1)?.f_reshape([batch, tasks * outputs])?)
        });
        Ok(Tensor::f_cat(&splits.collect::<Result<Vec<_>>>()?, 1)?)
    }

    /// Each task's loss by the representation, `R W`, in task order, `[T, B, F]`.
    pub(super) fn cotangents(
        &self,
        residuals: &[Tensor],
        heads: &[DenseLayer],
        params: &Params,
    ) -> Result<Tensor> {
        let mut splits = Vec::with_capacity(self.all.len());
        for (group, residual) in self.all.iter().zip(residuals) {
            let own = group.tasks.iter().filter_map(|task| heads.get(*task));
            let own = own.map(|head| Ok(params.get(head.weight)?.f_detach()?)).collect::<Result<Vec<_>>>()?;
            splits.push(residual.f_matmul(&Tensor::f_stack(&own, 0)?)?);
        }
        let all = Tensor::f_cat(&splits, 0)?;
        if self.indices.iter().copied().eq(0..self.indices.len()) {
            return Ok(all);
        }
        let tasks = self.indices.iter().map(|place| all.f_select(0, *place as i64));
        Ok(Tensor::f_stack(&tasks.collect::<std::result::Result<Vec<_>, _>>()?, 0)?)
    }
}

/// Which rows have a label; nothing where all have.
fn labelled(target: &Tensor) -> Result<Option<Vec<bool>>> {
    let present = manytask_nn::loss::present(target)?;
    let present = if present.dim() > 1 { present.f_any_dim(1, false)? } else { present };
    let present = Vec::<bool>::try_from(present.f_to_device(Device::Cpu)?)?;
    Ok(if present.iter().all(|labelled| *labelled) { None } else { Some(present) })
}
