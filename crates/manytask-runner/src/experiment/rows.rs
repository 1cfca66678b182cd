//! The rows of an experiment again, as they stand in its files, and others.

use manytask_data::{Images, Indices, Inputs, SplitData, Table};
use manytask_multitask::{Evaluation, MultiTaskProblem, Problem as _, Split, TaskSplits};
use manytask_tensor::Params;

use super::Experiment;
use crate::failure::{Result, Within as _};
use crate::plan::Work;
use crate::schema::InputSchema;

impl Experiment {
    /// Its rows as they stand in a table, and which of them each split has; `None` of what is no table.
    ///
    /// # Errors
    /// When a file is missing or damaged.
    pub(crate) fn rows(&self) -> Result<Option<(Table, Indices)>> {
        match &self.plan.work {
            Work::Rows(rows) => rows.data.rows(&self.plan.folder),
            Work::Episodes(_) => Ok(None),
        }
    }

    /// The pictures of a split, where all tasks are on the same ones.
    ///
    /// # Errors
    /// When a file is missing or damaged.
    pub(crate) fn pictures(&self, split: Split) -> Result<Option<Images>> {
        let (Work::Rows(rows), Some(InputSchema::Images(_))) = (&self.plan.work, &self.schema) else {
            return Ok(None);
        };
        let splits = rows.data.load(&self.plan.folder).within("data")?.splits;
        let own = match split {
            Split::Train => Some(splits.train),
            Split::Validation => splits.validation,
            Split::Test => splits.test,
        };
        let mut inputs = own.filter(SplitData::is_single_input).map(|own| own.inputs).unwrap_or_default();
        Ok(match inputs.pop() {
            Some(Inputs::Images(images)) => Some(images),
            _ => None,
        })
    }

    /// What its network makes of other rows than those of its splits.
    ///
    /// # Errors
    /// When the network is not for them.
    pub(crate) fn evaluate_rows(&self, params: &Params, rows: SplitData) -> Result<Option<Evaluation>> {
        let (Work::Rows(plan), Some(schema)) = (&self.plan.work, &self.schema) else { return Ok(None) };
        let tasks = plan.kept(plan.describe(schema.tasks())?);
        let names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
        // A problem has a training split, whatever is judged.
        let splits = TaskSplits { train: rows, validation: None, test: None };
        let splits = splits.select(&names)?.to_device(self.device)?;
        let network = plan.network.build(&schema.sizes(), &tasks, self.plan.precision)?;
        let problem = MultiTaskProblem::new(network, tasks, splits, plan.batches)?;
        Ok(Some(problem.evaluate(params, Split::Train)?))
    }
}
