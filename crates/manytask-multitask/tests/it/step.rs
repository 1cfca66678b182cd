//! Steps made of losses and gradients.

use manytask_multitask::{GivenBatch, GivenStep, Needs, TaskVec};

/// A step of all tasks with these gradients; it refuses what is not declared.
pub(crate) fn seen(losses: Vec<f64>, rows: &[Vec<f64>], needs: Needs) -> GivenStep {
    GivenStep::new(GivenBatch::new(losses, rows).unwrap(), needs)
}

/// A step of `tasks` tasks of which these are present.
pub(crate) fn some_seen(
    (tasks, present): (usize, &[usize]),
    losses: Vec<f64>,
    rows: &[Vec<f64>],
    needs: Needs,
) -> GivenStep {
    let losses: TaskVec = present.iter().copied().zip(losses).collect();
    let mut step = GivenStep::new(GivenBatch::of(losses, rows).unwrap(), needs);
    step.tasks = tasks;
    step
}
