use serde::{Deserialize, Serialize};

/// A number for each task that is present, with the tasks: losses, weights, means.
///
/// Batches with missing labels hold other tasks, so numbers alone could be read as another task's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskVec {
    present: Vec<usize>,
    values: Vec<f64>,
}

impl TaskVec {
    /// The tasks, by number, ascending.
    pub fn present(&self) -> &[usize] {
        &self.present
    }

    /// The numbers of the present tasks, in their order.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The number of present tasks.
    pub fn len(&self) -> usize {
        self.present.len()
    }

    /// Whether no task is present.
    pub fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    /// A task's number; `None` where it is absent.
    pub fn get(&self, task: usize) -> Option<f64> {
        self.row(task).and_then(|row| self.values.get(row).copied())
    }

    /// A task's place among the present ones; `None` where it is absent.
    pub fn row(&self, task: usize) -> Option<usize> {
        self.present.binary_search(&task).ok()
    }

    /// Each task with its number.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (usize, f64)> + '_ {
        self.present.iter().copied().zip(self.values.iter().copied())
    }

    /// Other numbers for the same tasks.
    #[must_use]
    pub fn map(&self, mut f: impl FnMut(usize, f64) -> f64) -> Self {
        Self {
            present: self.present.clone(),
            values: self.iter().map(|(task, value)| f(task, value)).collect(),
        }
    }

    /// These numbers for the same tasks: as many as there are tasks, others are left out.
    #[must_use]
    pub fn with_values(&self, values: &[f64]) -> Self {
        self.iter().map(|(task, _)| task).zip(values.iter().copied()).collect()
    }

    /// The tasks that are present here and there.
    pub fn common(&self, other: &Self) -> Vec<usize> {
        self.present.iter().copied().filter(|task| other.row(*task).is_some()).collect()
    }
}

/// Of tasks by number, in any order; of a task that comes twice the first number stands.
impl FromIterator<(usize, f64)> for TaskVec {
    fn from_iter<I: IntoIterator<Item = (usize, f64)>>(pairs: I) -> Self {
        let mut pairs: Vec<(usize, f64)> = pairs.into_iter().collect();
        if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
            pairs.sort_by_key(|(task, _)| *task);
            pairs.dedup_by_key(|(task, _)| *task);
        }
        let (present, values) = pairs.into_iter().unzip();
        Self { present, values }
    }
}

/// Of all tasks in order, with nothing for the absent ones.
impl FromIterator<Option<f64>> for TaskVec {
    fn from_iter<I: IntoIterator<Item = Option<f64>>>(values: I) -> Self {
        values.into_iter().enumerate().filter_map(|(task, value)| value.map(|value| (task, value))).collect()
    }
}

/// Of all tasks in order, all present.
impl FromIterator<f64> for TaskVec {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        values.into_iter().enumerate().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_with_their_tasks() {
        let losses: TaskVec = [Some(1.0), None, Some(3.0)].into_iter().collect();
        assert_eq!((losses.present(), losses.values()), (&[0, 2][..], &[1.0, 3.0][..]));
        assert_eq!((losses.get(2), losses.get(1), losses.row(2)), (Some(3.0), None, Some(1)));
        let other: TaskVec = [(2, 5.0), (1, 4.0), (2, 9.0)].into_iter().collect();
        assert_eq!((other.present(), other.values()), (&[1, 2][..], &[4.0, 5.0][..]));
        assert_eq!(losses.common(&other), [2]);
        assert_eq!(losses.map(|task, value| value * task as f64).values(), [0.0, 6.0]);
        assert_eq!([7.0, 8.0].into_iter().collect::<TaskVec>().get(1), Some(8.0));
    }
}
