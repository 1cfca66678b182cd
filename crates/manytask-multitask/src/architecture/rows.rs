use manytask_data::{Batch, Inputs};
use manytask_tensor::Tensor;

use crate::Result;

/// Which rows of a matrix are whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// All tasks are on the same.
    Shared,
    /// Each wanted task has its own: the first and their number, one task's after the other's.
    Own(Vec<(i64, i64)>),
}

impl Rows {
    /// The rows of the wanted task at `position` out of all.
    ///
    /// # Errors
    /// When they are not there.
    pub fn of(&self, position: usize, all: &Tensor) -> Result<Tensor> {
        match self {
            Self::Shared => Ok(all.shallow_clone()),
            Self::Own(spans) => {
                let (start, length) = spans.get(position).copied().unwrap_or_default();
                Ok(all.f_narrow(0, start, length)?)
            }
        }
    }
}

/// The inputs of the wanted tasks: one for all, or the tasks' own rows one after the other.
#[derive(Debug)]
pub struct TaskInputs {
    /// All rows.
    pub all: Inputs,
    /// Whose they are.
    pub rows: Rows,
    /// The preference that they are looked at with, a share of each task of the network, where it is one for the whole Pareto front; without one it is
    /// the network's usual one.
    pub preference: Option<Vec<f64>>,
}

impl TaskInputs {
    /// Those of the present tasks of a batch.
    ///
    /// # Errors
    /// When the forms of the tasks' inputs differ.
    pub fn join(batch: &Batch, present: &[usize]) -> Result<Self> {
        if let [inputs] = batch.inputs.as_slice() {
            return Ok(Self::shared(inputs));
        }
        let inputs: Vec<&Inputs> = present.iter().filter_map(|task| batch.inputs.get(*task)).collect();
        let spans = inputs.iter().scan(0, |start, input| {
            let length = input.rows() as i64;
            let place = (*start, length);
            *start += length;
            Some(place)
        });
        let rows = Rows::Own(spans.collect());
        Ok(Self { all: Inputs::cat(&inputs)?, rows, preference: None })
    }

    /// The same rows for all tasks.
    pub fn shared(inputs: &Inputs) -> Self {
        Self { all: inputs.shallow_clone(), rows: Rows::Shared, preference: None }
    }

    /// The same, looked at with a preference.
    #[must_use]
    pub fn at(self, preference: Option<Vec<f64>>) -> Self {
        Self { preference, ..self }
    }

    /// The inputs of the wanted task at `position` alone.
    ///
    /// # Errors
    /// When they are not there.
    pub fn of(&self, position: usize) -> Result<Inputs> {
        match &self.rows {
            Rows::Shared => Ok(self.all.shallow_clone()),
            Rows::Own(spans) => {
                let (start, length) = spans.get(position).copied().unwrap_or_default();
                Ok(self.all.narrow(start, length)?)
            }
        }
    }
}
