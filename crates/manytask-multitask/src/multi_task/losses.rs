//! The losses of the present tasks, all of a kind at once.

use manytask_data::Batch;
use manytask_tensor::{Kind, Tensor};

use super::MultiTaskProblem;
use crate::architecture::Outputs;
use crate::multi_task::broken;
use crate::{AuxiliaryLoss, Result, Task};

/// The losses of the present tasks, auxiliary ones included.
pub(super) struct Losses {
    /// `[K]`, with a graph to the outputs.
    pub(super) vector: Tensor,
    /// Their values.
    pub(super) values: Vec<f64>,
    /// What the architecture added to them.
    pub(super) auxiliary: Vec<AuxiliaryLoss>,
}

/// One present task with its labels.
struct Labelled<'a> {
    task: &'a Task,
    raw: Tensor,
    target: Tensor,
    weight: Option<Tensor>,
}

impl Labelled<'_> {
    /// Whether both are computed at once.
    fn is_like(&self, other: &Self) -> bool {
        self.task.loss == other.task.loss
            && self.task.output == other.task.output
            && self.raw.size() == other.raw.size()
            && self.target.size() == other.target.size()
            && self.weight.is_some() == other.weight.is_some()
    }
}

impl Losses {
    /// Of raw outputs; their values are fetched at once.
    pub(super) fn new(
        problem: &MultiTaskProblem,
        batch: &Batch,
        present: &[usize],
        outputs: &Outputs,
    ) -> Result<Self> {
        let mut vector = vector(problem, batch, present, outputs)?;
        let mut names = Vec::new();
        let mut added = Vec::new();
        for auxiliary in &outputs.auxiliary {
            names.push((auxiliary.name, auxiliary.task));
            added.push(auxiliary.value.f_reshape([1])?);
        }
        if !added.is_empty() {
            vector = vector.f_add(&shares(present, outputs, &vector)?)?;
        }
        added.insert(0, vector.shallow_clone());
        let all = Tensor::f_cat(&added, 0)?.f_detach()?.f_to_kind(Kind::Double)?;
        let mut values = Vec::<f64>::try_from(all)?;
        let of_auxiliary = values.split_off(present.len().min(values.len()));
        let auxiliary = names
            .into_iter()
            .zip(of_auxiliary)
            .map(|((name, task), value)| AuxiliaryLoss { name, task, value })
            .collect();
        Ok(Self { vector, values, auxiliary })
    }

    /// `Σ wᵢ lᵢ`, one element; without weights the sum.
    pub(super) fn total(&self, weights: Option<&[f64]>) -> Result<Tensor> {
        let weighted = match weights.filter(|weights| weights.iter().any(|weight| *weight != 1.0)) {
            None => self.vector.shallow_clone(),
            Some(weights) => self.vector.f_mul(&numbers(weights, &self.vector)?)?,
        };
        Ok(weighted.f_sum(self.vector.kind())?)
    }
}

/// Numbers `[K]` of the kind and on the device of another tensor.
pub(super) fn numbers(values: &[f64], like: &Tensor) -> Result<Tensor> {
    Ok(Tensor::f_from_slice(values)?.f_to_kind(like.kind())?.f_to_device(like.device())?)
}

/// What auxiliary losses add to the loss of each present task, `[K]`.
fn shares(present: &[usize], outputs: &Outputs, like: &Tensor) -> Result<Tensor> {
    let zero = Tensor::f_zeros([1], (like.kind(), like.device()))?;
    let mut added: Vec<Tensor> = present.iter().map(|_| zero.shallow_clone()).collect();
    for auxiliary in &outputs.auxiliary {
        let value = auxiliary.value.f_reshape([1])?;
        let share = match auxiliary.task {
            Some(_) => value,
            None => value.f_div(&numbers(&[present.len().max(1) as f64], &value)?)?,
        };
        for (place, task) in added.iter_mut().zip(present) {
            if auxiliary.task.is_none_or(|of| of == *task) {
                *place = place.f_add(&share)?;
            }
        }
    }
    Ok(Tensor::f_cat(&added, 0)?)
}

/// The losses of the present tasks, `[K]`.
fn vector(problem: &MultiTaskProblem, batch: &Batch, present: &[usize], outputs: &Outputs) -> Result<Tensor> {
    let repeated = repeated(batch, outputs.members)?;
    let (targets, weights) = match &repeated {
        Some((targets, weights)) => (targets, weights),
        None => (&batch.targets, &batch.weights),
    };
    let labelled = present.iter().enumerate().map(|(position, &task)| {
        let described = problem.tasks.get(task).zip(targets.get(task));
        let (task_of, target) = described.ok_or_else(|| broken("a task without labels"))?;
        let weight = weights.get(task).and_then(Option::as_ref);
        Ok(Labelled {
            task: task_of,
            raw: outputs.raw(position)?,
            target: task_of.label_rows(target)?,
            weight: weight.map(|weight| task_of.weight_rows(weight, target)).transpose()?,
        })
    });
    let labelled = labelled.collect::<Result<Vec<_>>>()?;
    let mut kinds: Vec<Vec<usize>> = Vec::new();
    for (position, own) in labelled.iter().enumerate() {
        let like = |kind: &&mut Vec<usize>| {
            kind.first().and_then(|first| labelled.get(*first)).is_some_and(|first| first.is_like(own))
        };
        match kinds.iter_mut().find(like) {
            Some(kind) => kind.push(position),
            None => kinds.push(vec![position]),
        }
    }
    let parts = kinds.iter().map(|kind| of_kind(&labelled, kind, outputs));
    let parts = parts.collect::<Result<Vec<_>>>()?;
    if let [part] = parts.as_slice() {
        return Ok(part.shallow_clone());
    }
    let mut indices: Vec<(usize, i64)> = kinds.into_iter().flatten().zip(0..).collect();
    indices.sort_unstable();
    let indices: Vec<i64> = indices.into_iter().map(|(_, place)| place).collect();
    let all = Tensor::f_cat(&parts, 0)?;
    if indices.is_sorted() {
        return Ok(all);
    }
    Ok(all.f_index_select(0, &Tensor::f_from_slice(&indices)?.f_to_device(all.device())?)?)
}

/// Labels and weights of rows for each task.
type Labels = (Vec<Tensor>, Vec<Option<Tensor>>);

/// Labels and weights as often as there are members whose outputs stand one after the other; `None` with one member.
fn repeated(batch: &Batch, members: i64) -> Result<Option<Labels>> {
    if members == 1 {
        return Ok(None);
    }
    let of = |rows: &Tensor| -> Result<Tensor> {
        let mut times = vec![1; rows.dim()];
        if let Some(first) = times.first_mut() {
            *first = members;
        }
        Ok(rows.f_repeat(times)?)
    };
    let targets = batch.targets.iter().map(of).collect::<Result<_>>()?;
    let weights = batch.weights.iter().map(|weight| weight.as_ref().map(of).transpose());
    Ok(Some((targets, weights.collect::<Result<_>>()?)))
}

/// The losses of tasks with one kind of loss, in one go.
fn of_kind(labelled: &[Labelled<'_>], positions: &[usize], outputs: &Outputs) -> Result<Tensor> {
    let of: Vec<&Labelled<'_>> = positions.iter().filter_map(|position| labelled.get(*position)).collect();
    let Some(first) = of.first() else { return Err(broken("losses of no task")) };
    if of.len() == 1 {
        return Ok(first.task.mean_loss(&first.raw, &first.target, first.weight.as_ref())?.f_reshape([1])?);
    }
    let whole = outputs.groups.iter().find(|group| group.positions == positions);
    let raw = match whole {
        Some(group) => group.raw.shallow_clone(),
        None => Tensor::f_stack(&of.iter().map(|own| &own.raw).collect::<Vec<_>>(), 0)?,
    };
    let target = Tensor::f_stack(&of.iter().map(|own| &own.target).collect::<Vec<_>>(), 0)?;
    let weights: Option<Vec<&Tensor>> = of.iter().map(|own| own.weight.as_ref()).collect();
    let weight = weights.map(|weights| Tensor::f_stack(&weights, 0)).transpose()?;
    let prediction = first.task.squeeze(&raw)?;
    Ok(first.task.loss.mean(&prediction, &target, weight.as_ref(), Some(of.len() as i64))?)
}
