//! A trunk that all tasks share, whose features each task changes after every stage.

use manytask_nn::{Builder, Context, Module};
use manytask_tensor::{Params, Tensor};

use super::{Blueprint, Body, BodyOutput, Rows, TaskFeatures, of_task, run_stage, stage_widths};
use crate::Result;

/// What each task does to the features after every stage of one trunk. The first stage is run once, the later ones on the rows
/// of all wanted tasks one after the other: its cost is that of the trunk on K times the rows from there on.
#[derive(Debug)]
pub(crate) struct Conditioned {
    trunk: Box<dyn Module>,
    /// By task, then by stage: modules that keep the features' shape.
    tasks: Vec<Vec<Box<dyn Module>>>,
}

impl Conditioned {
    /// Adds the part `trunk`, which must have stages, as `trunk.…`, with what `tasks` makes of the stages' widths.
    ///
    /// # Errors
    /// When the trunk has no stages; those of `tasks`.
    pub(crate) fn build(
        architecture: &str,
        blueprint: &Blueprint<'_>,
        root: &mut Builder<'_>,
        shape: &[i64],
        tasks: impl FnOnce(&mut Builder<'_>, &[i64]) -> Result<Vec<Vec<Box<dyn Module>>>>,
    ) -> Result<(Self, i64)> {
        let (trunk, features) = blueprint.part("trunk", &mut root.scope("trunk"), shape)?;
        let widths = stage_widths(architecture, trunk.as_ref())?;
        Ok((Self { trunk, tasks: tasks(root, &widths)? }, features))
    }
}

impl Body for Conditioned {
    fn features(
        &self,
        params: &Params,
        x: &Tensor,
        rows: &Rows,
        wanted: &[usize],
        cx: &mut Context,
    ) -> Result<BodyOutput> {
        let first = run_stage(self.trunk.as_ref(), 0, params, x, cx)?;
        let mut own = (0..wanted.len()).map(|at| rows.of(at, &first)).collect::<Result<Vec<_>>>()?;
        let sizes: Vec<i64> = own.iter().map(|x| x.size().first().copied().unwrap_or_default()).collect();
        let stages = self.tasks.first().map_or(0, Vec::len);
        for stage in 0..stages {
            if stage > 0 {
                let all = run_stage(self.trunk.as_ref(), stage, params, &Tensor::f_cat(&own, 0)?, cx)?;
                own = all.f_split_with_sizes(&sizes, 0)?;
            }
            for (x, task) in own.iter_mut().zip(wanted) {
                *x = of_task(of_task(&self.tasks, *task)?, stage)?.forward(params, x, cx)?;
            }
        }
        Ok(TaskFeatures::Each(own).into())
    }

    fn smallest_batch(&self) -> usize {
        self.trunk.smallest_batch()
    }
}
