//! Which tasks a batch is of, and whether its rows are enough.

use manytask_data as data;
use manytask_data::{Batch, TaskSampling};
use manytask_tensor::{Tensor, Within as _};

use super::MultiTaskProblem;
use crate::{Error, Labelled, Result, Split};

impl MultiTaskProblem {
    /// The tasks of which a row with a label counts in a batch; none where the rows are too few for the statistics of
    /// shared layers.
    pub(super) fn present(&self, split: Split, batch: &Batch) -> Result<Vec<usize>> {
        let gaps = match split {
            Split::Train => &self.gaps[0],
            Split::Validation => &self.gaps[1],
            Split::Test => &self.gaps[2],
        };
        let mut is_present = Vec::with_capacity(self.tasks.len());
        // Labels of one form are looked at together, and what is found is fetched at once for each form.
        let mut looked: Vec<Vec<usize>> = Vec::new();
        for (task, target) in batch.targets.iter().enumerate() {
            is_present.push(target.numel() > 0);
            if target.numel() == 0 || !gaps.get(task).copied().unwrap_or(true) {
                continue;
            }
            let like =
                |tasks: &&mut Vec<usize>| tasks.first().is_some_and(|first| alike(batch, *first, task));
            match looked.iter_mut().find(like) {
                Some(tasks) => tasks.push(task),
                None => looked.push(vec![task]),
            }
        }
        for tasks in looked {
            for (task, some) in tasks.iter().zip(some_count(batch, &tasks)?) {
                if let Some(place) = is_present.get_mut(*task) {
                    *place = some;
                }
            }
        }
        let mut present: Vec<usize> =
            is_present.iter().enumerate().filter_map(|(task, is)| is.then_some(task)).collect();
        // Where tasks have rows of their own, shared layers see those of the present tasks alone.
        let needed = self.architecture.smallest_batch();
        if needed > 1 && batch.inputs.len() > 1 {
            let rows = present.iter().filter_map(|task| batch.inputs.get(*task));
            if rows.map(data::Inputs::rows).sum::<usize>() < needed {
                present.clear();
            }
        }
        Ok(present)
    }

    /// Refuses batches with fewer rows than the statistics of trunk or heads need, and a sampling of tasks that has no effect.
    pub(super) fn check_batches(&self) -> Result<()> {
        let (network, split) = (&self.architecture, &self.splits.train);
        if self.batches.sampling == TaskSampling::Proportional && split.is_single_input() {
            return Err(Error::setting(
                "task_sampling",
                "task_sampling = \"proportional\", but all tasks are on the same rows",
                "leave it out; it is for tasks with rows of their own",
            ));
        }
        self.batches.augment.check_inputs(&split.inputs).within("augment")?;
        if !self.batches.augment.is_none()
            && let Some(task) = self.tasks.iter().find(|task| task.labelled == Labelled::Pixel)
        {
            return Err(Error::setting(
                "augment",
                format!(
                    "task `{}` has a label for each pixel, which would not move along with its picture",
                    task.name
                ),
                "leave augment out",
            ));
        }
        if self.batches.augment.manifold_mixup.is_some()
            && !(split.is_single_input() && network.mixes_hidden())
        {
            return Err(Error::setting(
                ["augment", "manifold_mixup"],
                "activations are mixed between the layers of one trunk for tasks on the same rows, which this is not",
                "take hard_sharing with a trunk of layers such as mlp, or mixup, which mixes inputs",
            ));
        }
        let heads: Vec<usize> = (0..self.tasks.len()).map(|task| network.smallest_batch_of(task)).collect();
        let needed = heads.iter().copied().fold(network.smallest_batch(), usize::max);
        if needed < 2 {
            return Ok(());
        }
        let (fewest, each) = self.batches.of(split, 0)?.fewest();
        if split.is_single_input() {
            return if fewest < needed { Err(self.too_few("all tasks", fewest, needed)) } else { Ok(()) };
        }
        if fewest < network.smallest_batch() {
            return Err(self.too_few("all tasks", fewest, needed));
        }
        for ((name, needed), rows) in self.names.iter().zip(heads).zip(each) {
            if let Some(rows) = rows.filter(|rows| *rows < needed) {
                return Err(self.too_few(&format!("task `{name}`"), rows, needed));
            }
        }
        Ok(())
    }

    fn too_few(&self, whose: &str, rows: usize, needed: usize) -> Error {
        let change = if self.batches.size < needed {
            format!("set batch_size to at least {needed}")
        } else {
            "give the training split more rows of it".into()
        };
        Error::setting(
            "batch_size",
            format!(
                "batch-norm needs {needed} rows in a batch for its statistics, but one of {whose} has {rows}"
            ),
            format!("{change}, or set norm = \"layer\" or \"none\""),
        )
    }
}

/// Whether two tasks' labels have one form.
fn alike(batch: &Batch, one: usize, other: usize) -> bool {
    let form = |task: usize| {
        let weight = batch.weights.get(task).is_some_and(Option::is_some);
        batch.targets.get(task).map(|target| (target.kind(), target.size(), weight))
    };
    form(one) == form(other)
}

/// For each of some tasks with labels of one form, whether a row with a label counts.
fn some_count(batch: &Batch, tasks: &[usize]) -> Result<Vec<bool>> {
    let targets: Vec<&Tensor> = tasks.iter().filter_map(|task| batch.targets.get(*task)).collect();
    let weights: Option<Vec<&Tensor>> =
        tasks.iter().map(|task| batch.weights.get(*task).and_then(Option::as_ref)).collect();
    let weights = weights.map(|weights| Tensor::f_cat(&weights, 0)).transpose()?;
    // Tasks one below the other: rows of one long task, taken apart again.
    let counts = counting(&Tensor::f_cat(&targets, 0)?, weights.as_ref())?;
    let some = counts.f_reshape([targets.len() as i64, -1])?.f_any_dim(1, false)?;
    Ok(Vec::<bool>::try_from(some)?)
}

/// Where labels are there and their rows have a weight that is not 0.
fn counting(target: &Tensor, weight: Option<&Tensor>) -> Result<Tensor> {
    let present = manytask_nn::loss::present(target)?;
    let Some(weight) = weight else { return Ok(present) };
    let counts = weight.f_ne(0.0)?;
    let counts = (1..present.dim()).try_fold(counts, |counts, _| counts.f_unsqueeze(-1))?;
    Ok(present.f_logical_and(&counts)?)
}

/// For each task, whether labels are missing or do not count.
pub(super) fn gaps_of(split: &data::SplitData) -> Result<Vec<bool>> {
    let gap = |task: &data::TaskData| {
        Ok(counting(&task.target, task.weight.as_ref())?.f_all()?.f_int64_value(&[])? == 0)
    };
    split.tasks.iter().map(gap).collect()
}
