//! The leading task dimension.

use tch::Tensor;

use crate::{Error, Params, Result};

impl Params {
    /// The same parameters for each of `tasks` tasks: views that need no memory.
    ///
    /// # Errors
    /// When there is a task dimension already.
    pub fn expand_tasks(&self, tasks: i64) -> Result<Self> {
        self.without_tasks("expand_tasks")?;
        let leaves = self.leaves().iter().map(|leaf| {
            let shape: Vec<i64> = std::iter::once(tasks).chain(leaf.size()).collect();
            Ok(leaf.f_unsqueeze(0)?.f_expand(shape, false)?)
        });
        Self::with_tasks(self.layout().clone(), leaves.collect::<Result<_>>()?, tasks)
    }

    /// The parameters of one task, views.
    ///
    /// # Errors
    /// When there is no task dimension or `task` is not in it.
    pub fn task(&self, task: i64) -> Result<Self> {
        let tasks = self.some_tasks("task")?;
        if !(0..tasks).contains(&task) {
            return Err(Error::Layout { message: format!("task {task} of {tasks}") });
        }
        let leaves = self.leaves().iter().map(|leaf| Ok(leaf.f_select(0, task)?));
        Self::new(self.layout().clone(), leaves.collect::<Result<_>>()?)
    }

    /// One set of parameters for each task, put side by side.
    ///
    /// # Errors
    /// When there is none, or their layouts differ, or one has a task dimension.
    pub fn stack(parts: &[Self]) -> Result<Self> {
        let Some(first) = parts.first() else {
            return Err(Error::Layout { message: "nothing to stack".into() });
        };
        for part in parts {
            part.without_tasks("stack")?;
            first.same_layout(part)?;
        }
        let leaves = (0..first.leaves().len()).map(|i| {
            let column: Vec<&Tensor> = parts.iter().filter_map(|part| part.leaves().get(i)).collect();
            Ok(Tensor::f_stack(&column, 0)?)
        });
        Self::with_tasks(first.layout().clone(), leaves.collect::<Result<_>>()?, parts.len() as i64)
    }

    /// The mean over the task dimension.
    pub fn mean_over_tasks(&self) -> Result<Self> {
        let tasks = self.some_tasks("mean_over_tasks")?;
        self.sum_over_tasks()?.scale(1.0 / tasks as f64)
    }

    /// The sum over the task dimension.
    pub fn sum_over_tasks(&self) -> Result<Self> {
        self.some_tasks("sum_over_tasks")?;
        let leaves = self
            .leaves()
            .iter()
            .map(|leaf| Ok(leaf.f_sum_dim_intlist([0].as_slice(), false, leaf.kind())?));
        Self::new(self.layout().clone(), leaves.collect::<Result<_>>()?)
    }

    fn some_tasks(&self, what: &str) -> Result<i64> {
        self.tasks().ok_or_else(|| Error::Layout {
            message: format!("`{what}` on parameters without a task dimension"),
        })
    }

    fn without_tasks(&self, what: &str) -> Result<()> {
        match self.tasks() {
            None => Ok(()),
            Some(tasks) => Err(Error::Layout {
                message: format!("`{what}` on parameters that have a task dimension of {tasks} already"),
            }),
        }
    }
}
