//! A tensor of tasks × parameters that goes on from step to step.

use manytask_tensor::Tensor;

use crate::{Jacobian, Result, State, StepInfo};

/// A row for each task, zeros before the first step.
#[derive(Debug)]
pub(super) struct Accumulator {
    tasks: usize,
    rows: Option<Tensor>,
}

impl Accumulator {
    pub(super) fn new(tasks: usize) -> Self {
        Self { tasks, rows: None }
    }

    /// The rows of these tasks, as wide and on the device as gradients are; those given are of the same tasks.
    pub(super) fn of(&mut self, tasks: &[usize], gradients: &Tensor) -> Result<Tensor> {
        let indices = indices(tasks, gradients)?;
        let rows = if let Some(rows) = &self.rows {
            rows.shallow_clone()
        } else {
            let width = gradients.size().get(1).copied().unwrap_or(0);
            Tensor::f_zeros([self.tasks as i64, width], (gradients.kind(), gradients.device()))?
        };
        let found = rows.f_index_select(0, &indices)?;
        self.rows = Some(rows);
        Ok(found)
    }

    /// Writes the rows of these tasks.
    pub(super) fn put(&mut self, tasks: &[usize], rows: &Tensor) -> Result<()> {
        if let Some(all) = &mut self.rows {
            let indices = indices(tasks, rows)?;
            let _ = all.f_index_copy_(0, &indices, rows)?;
        }
        Ok(())
    }

    /// Adds it to a state.
    pub(super) fn save(&self, name: &str, mut state: State) -> State {
        if let Some(rows) = &self.rows {
            state.tensors.insert(name.to_owned(), rows.shallow_clone());
        }
        state
    }

    /// Takes it back; a state from before the first step has none.
    pub(super) fn restore(&mut self, aggregator: &str, name: &str, state: &State) -> Result<()> {
        let there = state.tensors.contains_key(name);
        self.rows = there.then(|| state.rows(aggregator, name, self.tasks)).transpose()?;
        Ok(())
    }
}

fn indices(tasks: &[usize], like: &Tensor) -> Result<Tensor> {
    let tasks: Vec<i64> = tasks.iter().map(|task| *task as i64).collect();
    Ok(Tensor::f_from_slice(&tasks)?.f_to_device(like.device())?)
}

/// The gradients of a step.
///
/// # Errors
/// When one is NaN or infinite, with its task's name.
pub(super) fn finite_rows(jacobian: &Jacobian, step: &StepInfo<'_>) -> Result<Tensor> {
    let rows = jacobian.rows();
    let finite = rows.f_isfinite()?.f_all_dim(1, false)?;
    if finite.f_all()?.f_int64_value(&[])? == 0 {
        let finite = Vec::<bool>::try_from(finite)?;
        let wrong = finite.iter().position(|finite| !finite).and_then(|row| step.losses.present().get(row));
        let name = wrong.map_or("", |task| step.name(*task));
        return Err(step.diverged(format!("the gradient of task `{name}` is not finite")));
    }
    Ok(rows.shallow_clone())
}
