//! A step of which nothing but losses and gradients is known: what a method costs beside its gradients.

use anyhow::Result;
use manytask_multitask::{GivenBatch, GivenStep, Level, Needs};
use manytask_tensor::random::Key;
use manytask_tensor::{Device, Kind};

/// A step of so many tasks, whose gradients are normal vectors of twice as many numbers: about half of all pairs are in
/// conflict. Its Gramian is computed once.
///
/// # Errors
/// When memory runs out.
pub fn gramian_step(tasks: usize) -> Result<GivenStep> {
    let shape = [tasks as i64, 2 * tasks as i64];
    let rows = Key::new(0, "rows").normal(&shape, Kind::Double, Device::Cpu)?;
    let row = |task: i64| Vec::<f64>::try_from(rows.f_select(0, task)?);
    let rows = (0..tasks as i64).map(row).collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(GivenStep::new(GivenBatch::new(vec![1.0; tasks], &rows)?, Needs::gramian(Level::Parameters)))
}
