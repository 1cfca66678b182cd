//! Tasks on a table, or on any tensors: what a multi-task problem is trained on.

use manytask_tensor::rows::select;
use manytask_tensor::{Device, Tensor, WHOLE};

use crate::error::{did_you_mean, nearest, shown};
use crate::{Error, Inputs, Result};

/// One task's labels.
#[derive(Debug)]
pub struct TaskData {
    /// The task's name.
    pub name: String,
    /// The labels, by [`TargetKind`](crate::TargetKind): `[N]` or `[N, L]` float32 (NaN: missing), or `[N]` int64
    /// ([`MISSING_CLASS`](crate::MISSING_CLASS): missing).
    pub target: Tensor,
    /// How much each row counts, `[N]` float32.
    pub weight: Option<Tensor>,
}

/// One part of a data set: training, validation or test.
///
/// With one element in `inputs` all tasks share its rows (single-input); otherwise there is one for each task, with rows
/// of its own (multi-input).
#[derive(Debug)]
pub struct SplitData {
    /// The inputs: one for all tasks, or one for each.
    pub inputs: Vec<Inputs>,
    /// The tasks in their order.
    pub tasks: Vec<TaskData>,
}

/// Rows of a [`SplitData`], gathered for one step.
#[derive(Debug)]
pub struct Batch {
    /// The inputs: one for all tasks, or one for each.
    pub inputs: Vec<Inputs>,
    /// The labels of each task, for the rows of its inputs.
    pub targets: Vec<Tensor>,
    /// The weights of each task's rows.
    pub weights: Vec<Option<Tensor>>,
}

impl SplitData {
    /// Checks that inputs and labels belong together.
    ///
    /// # Errors
    /// When there are neither one nor as many inputs as tasks, or rows differ in number.
    pub fn new(inputs: Vec<Inputs>, tasks: Vec<TaskData>) -> Result<Self> {
        if tasks.is_empty() || (inputs.len() != 1 && inputs.len() != tasks.len()) {
            return Err(Error::config(
                WHOLE,
                format!(
                    "{} inputs for {} tasks: give one for all, or one for each",
                    inputs.len(),
                    tasks.len()
                ),
            ));
        }
        let split = Self { inputs, tasks };
        for (number, task) in split.tasks.iter().enumerate() {
            let rows = split.rows(number) as i64;
            let lengths = [Some(&task.target), task.weight.as_ref()];
            for length in lengths.into_iter().flatten().map(|tensor| tensor.size().first().copied()) {
                if length != Some(rows) {
                    return Err(Error::config(
                        WHOLE,
                        format!(
                            "task `{}`: {} labels or weights for {rows} rows of inputs",
                            task.name,
                            length.unwrap_or_default()
                        ),
                    ));
                }
            }
        }
        Ok(split)
    }

    /// Whether all tasks are on the same rows.
    pub fn is_single_input(&self) -> bool {
        self.inputs.len() == 1
    }

    /// The rows of a task (counted from 0).
    pub fn rows(&self, task: usize) -> usize {
        self.input_of(task).map_or(0, Inputs::rows)
    }

    /// The rows of each stream of inputs, as [`Batcher::new`](crate::Batcher::new) takes them.
    pub fn streams(&self) -> Vec<i64> {
        self.inputs.iter().map(|input| input.rows() as i64).collect()
    }

    /// The tasks with these names alone, in the order of the split, with the rows that they need.
    ///
    /// # Errors
    /// When no task has one of the names, or no name is given.
    pub fn select_tasks(self, names: &[&str]) -> Result<Self> {
        let known = || self.tasks.iter().map(|task| task.name.as_str());
        if let Some(name) = names.iter().find(|name| !known().any(|known| known == **name)) {
            let suggestion = did_you_mean(nearest(name, known()).as_deref());
            return Err(Error::config(WHOLE, format!("there is no task `{}`{suggestion}", shown(name))));
        }
        let (single, Self { inputs, tasks }) = (self.is_single_input(), self);
        let kept = |task: &TaskData| names.contains(&task.name.as_str());
        let inputs = if single {
            inputs
        } else {
            inputs.into_iter().zip(&tasks).filter(|(_, task)| kept(task)).map(|(input, _)| input).collect()
        };
        Self::new(inputs, tasks.into_iter().filter(kept).collect())
    }

    /// The inputs of a task: its own, or those of all.
    pub fn input_of(&self, task: usize) -> Option<&Inputs> {
        self.inputs.get(if self.is_single_input() { 0 } else { task })
    }

    /// The rows with these numbers; `indices` has one `[B]` int64 tensor for each stream of inputs, on the split's device.
    pub fn gather(&self, indices: &[Tensor]) -> Result<Batch> {
        if indices.len() != self.inputs.len() {
            let message =
                format!("{} index tensors for {} streams of inputs", indices.len(), self.inputs.len());
            return Err(Error::config(WHOLE, message));
        }
        let inputs = self.inputs.iter().zip(indices).map(|(input, rows)| input.select(rows));
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        let mut targets = Vec::with_capacity(self.tasks.len());
        let mut weights = Vec::with_capacity(self.tasks.len());
        // One stream serves every task; several serve one task each.
        for (task, rows) in self.tasks.iter().zip(indices.iter().cycle()) {
            targets.push(select(&task.target, rows)?);
            weights.push(task.weight.as_ref().map(|weight| select(weight, rows)).transpose()?);
        }
        Ok(Batch { inputs, targets, weights })
    }

    /// All rows as one batch, without copying.
    pub fn whole(&self) -> Batch {
        Batch {
            inputs: self.inputs.iter().map(Inputs::shallow_clone).collect(),
            targets: self.tasks.iter().map(|task| task.target.shallow_clone()).collect(),
            weights: self.tasks.iter().map(|task| task.weight.as_ref().map(Tensor::shallow_clone)).collect(),
        }
    }

    /// The part on a device.
    pub fn to_device(&self, device: Device) -> Result<Self> {
        let inputs = self.inputs.iter().map(|input| input.to_device(device)).collect::<Result<_>>()?;
        let tasks = self.tasks.iter().map(|task| {
            Ok(TaskData {
                name: task.name.clone(),
                target: task.target.f_to_device(device)?,
                weight: task.weight.as_ref().map(|weight| weight.f_to_device(device)).transpose()?,
            })
        });
        Ok(Self { inputs, tasks: tasks.collect::<Result<_>>()? })
    }

    /// A second handle to the same memory.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        let tasks = self.tasks.iter().map(|task| TaskData {
            name: task.name.clone(),
            target: task.target.shallow_clone(),
            weight: task.weight.as_ref().map(Tensor::shallow_clone),
        });
        Self { inputs: self.inputs.iter().map(Inputs::shallow_clone).collect(), tasks: tasks.collect() }
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::Kind;

    use super::*;
    use crate::testing::numbered_split;

    #[test]
    fn one_stream_serves_all_tasks() {
        let split = numbered_split(&[5], 3);
        let batch = split.gather(&[Tensor::from_slice(&[4_i64, 1])]).unwrap();
        assert_eq!(batch.inputs.len(), 1);
        assert_eq!(batch.targets.len(), 3);
        for (target, weight) in batch.targets.iter().zip(&batch.weights) {
            assert_eq!(Vec::<f32>::try_from(target).unwrap(), [4.0, 1.0]);
            assert_eq!(weight.as_ref().unwrap().double_value(&[0]), 40.0);
        }
    }

    #[test]
    fn each_task_may_have_its_own_rows() {
        let split = numbered_split(&[2, 3], 2);
        assert_eq!((split.rows(0), split.rows(1), split.is_single_input()), (2, 3, false));
        let batch = split.gather(&[Tensor::from_slice(&[1_i64]), Tensor::from_slice(&[2_i64, 0])]).unwrap();
        assert_eq!(Vec::<f32>::try_from(&batch.targets[1]).unwrap(), [2.0, 0.0]);
        assert_eq!(batch.inputs[0].rows(), 1);
        assert_eq!(split.whole().targets[1].size(), [3]);
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        assert!(numbered_split(&[2], 1).gather(&[]).is_err());
        let out = numbered_split(&[2], 1).gather(&[Tensor::from_slice(&[2_i64])]).unwrap_err();
        assert!(matches!(out, Error::Tensor(_)));
        let SplitData { inputs, mut tasks } = numbered_split(&[3], 2);
        tasks[1].target = Tensor::zeros([2], (Kind::Float, Device::Cpu));
        let error = SplitData::new(inputs, tasks).unwrap_err().to_string();
        assert!(error.contains("task `task1`: 2 labels or weights for 3 rows"), "{error}");
        let SplitData { inputs, tasks } = numbered_split(&[3, 3], 2);
        assert!(
            SplitData::new(inputs, tasks.into_iter().chain(numbered_split(&[3], 1).tasks).collect()).is_err()
        );
    }
}
