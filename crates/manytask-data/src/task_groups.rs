//! Tasks that are groups of rows, and episodes drawn from them.

use std::ops::Range;

use manytask_tensor::random::stream;
use manytask_tensor::rows::select;
use manytask_tensor::{Device, Kind, Tensor, WHOLE};
use rand::Rng;
use rand::seq::index::sample;

use crate::bytes::digest;
use crate::pool::room;
use crate::{Episodes, Error, MISSING_CLASS, Result};

/// Rows of features with labels, by the task that each is of: schools with their pupils, assays with their molecules.
///
/// An episode is a task with `shots` of its rows to adapt on and others to be judged by: `queries` of them, or as many as there are.
/// Where there are fewer the labels of the rest are missing, so that tasks of all sizes stand along one dimension.
///
/// ```
/// use manytask_data::TaskGroups;
/// use manytask_tensor::Tensor;
/// let x = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0, 5.0]).reshape([5, 1]);
/// let schools = TaskGroups::new(x.shallow_clone(), x * 10.0, &[3, 2], vec!["a".into(), "b".into()])?;
/// let two = schools.episodes(1, 2, 0, "train", 0..2)?;
/// assert_eq!((two.support_x.size(), two.query_y.size()), (vec![2, 1, 1], vec![2, 2, 1]));
/// # Ok::<(), manytask_data::Error>(())
/// ```
#[derive(Debug)]
pub struct TaskGroups {
    /// `[M, D]` float32, task after task.
    inputs: Tensor,
    /// `[M, L]` float32, or `[M]` int64.
    labels: Tensor,
    /// Where each task starts, and where the last one ends.
    starts: Vec<i64>,
    names: Vec<String>,
}

impl TaskGroups {
    /// Inputs `[M, D]` float32 and labels `[M, L]` float32 or `[M]` int64, task after task; `counts` are the rows of each task.
    ///
    /// # Errors
    /// When rows and names are not as many as the counts say.
    pub fn new(inputs: Tensor, labels: Tensor, counts: &[i64], names: Vec<String>) -> Result<Self> {
        let mut starts = vec![0];
        starts.extend(counts.iter().scan(0, |end, count| {
            *end += count;
            Some(*end)
        }));
        let total = starts.last().copied();
        let rows = |tensor: &Tensor| tensor.size().first().copied();
        if counts.iter().any(|count| *count < 0)
            || rows(&inputs) != total
            || rows(&labels) != total
            || names.len() != counts.len()
        {
            return Err(Error::config(
                WHOLE,
                format!(
                    "{:?} inputs, {:?} labels and {} names for {} tasks of {} rows in all",
                    inputs.size(),
                    labels.size(),
                    names.len(),
                    counts.len(),
                    total.unwrap_or_default()
                ),
            ));
        }
        Ok(Self { inputs, labels, starts, names })
    }

    /// The number of tasks.
    pub fn tasks(&self) -> usize {
        self.names.len()
    }

    /// The tasks' names in their order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of rows of a task (counted from 0); 0 beyond the last.
    pub fn count(&self, task: usize) -> usize {
        let range = self.starts.get(task).zip(self.starts.get(task + 1));
        range.map_or(0, |(start, end)| (end - start) as usize)
    }

    /// The number of all rows.
    pub fn rows(&self) -> usize {
        self.starts.last().copied().unwrap_or_default() as usize
    }

    /// The number of inputs of a row.
    pub fn width(&self) -> i64 {
        self.inputs.size().last().copied().unwrap_or_default()
    }

    /// SHA-256 over the tasks, their names and their rows.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn digest(&self) -> Result<String> {
        let bytes = |tensor: &Tensor| -> Result<Vec<u8>> {
            let bytes = tensor
                .f_to_device(Device::Cpu)?
                .f_contiguous()?
                .f_reshape([-1])?
                .f_view_dtype(Kind::Uint8)?;
            Ok(Vec::<u8>::try_from(bytes)?)
        };
        let form = format!("{:?} {:?} {:?}", self.inputs.size(), self.starts, self.names);
        Ok(digest([form.as_bytes(), &bytes(&self.inputs)?, &bytes(&self.labels)?]))
    }

    /// The tasks on a device, where their episodes are gathered then.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn to_device(&self, device: Device) -> Result<Self> {
        Ok(Self {
            inputs: self.inputs.f_to_device(device)?,
            labels: self.labels.f_to_device(device)?,
            starts: self.starts.clone(),
            names: self.names.clone(),
        })
    }

    /// Whether a split of this name has such episodes.
    ///
    /// # Errors
    /// Without a shot, a query or a task, and when a task has no row beside its shots.
    pub fn check(&self, shots: usize, queries: usize, split: &str) -> Result<()> {
        if shots == 0 || queries == 0 {
            let key = if shots == 0 { "shots" } else { "queries" };
            return Err(Error::config(
                key,
                format!(
                    "`shots` is {shots} and `queries` {queries}: a task needs a shot and a query at least"
                ),
            ));
        }
        if self.tasks() == 0 {
            return Err(Error::config(
                "shots",
                format!("the {split} split has no task of more than {shots} `shots`; take fewer"),
            ));
        }
        match (0..self.tasks()).find(|&task| self.count(task) <= shots) {
            None => Ok(()),
            Some(task) => Err(Error::config(
                "shots",
                format!(
                    "`shots` is {shots}, but task `{}` of the {split} split has only {} rows; take fewer, so that one is left to be judged by",
                    self.names.get(task).map_or("", String::as_str),
                    self.count(task)
                ),
            )),
        }
    }

    /// The episodes with these numbers: of each a task drawn uniformly, `shots` of its rows and up to `queries` others. Each is a
    /// function of (seed, purpose, number) and of nothing else.
    ///
    /// # Errors
    /// As [`TaskGroups::check`], and when so many numbers do not fit in memory.
    pub fn episodes(
        &self,
        shots: usize,
        queries: usize,
        seed: u64,
        purpose: &str,
        ids: Range<u64>,
    ) -> Result<Episodes> {
        self.check(shots, queries, purpose)?;
        let tasks = ids.end.saturating_sub(ids.start) as i64;
        // No task has more.
        let queries = queries.min((0..self.tasks()).map(|task| self.count(task) - shots).max().unwrap_or(1));
        let (mut support, mut query) = (room(tasks, 1, shots)?, room(tasks, 1, queries)?);
        let mut there: Vec<bool> = room(tasks, 1, queries)?;
        for id in ids {
            let mut rng = stream(seed, purpose, id, 0);
            let task = rng.random_range(0..self.tasks());
            let start = self.starts.get(task).copied().unwrap_or_default();
            let count = self.count(task);
            let drawn = sample(&mut rng, count, count.min(shots + queries));
            let mut rows = drawn.into_iter().map(|row| start + row as i64);
            support.extend(rows.by_ref().take(shots));
            let found = count.min(shots + queries) - shots;
            query.extend(rows);
            // Any row stands where there is none: its label is missing.
            query.extend(std::iter::repeat_n(start, queries - found));
            there.extend((0..queries).map(|place| place < found));
        }
        let (support_x, support_y) = self.gather(&support, tasks)?;
        let (query_x, query_y) = self.gather(&query, tasks)?;
        let there = Tensor::f_from_slice(&there)?.f_to_device(query_y.device())?;
        let mut shape = query_y.size();
        shape.iter_mut().skip(2).for_each(|size| *size = 1);
        let absent = there.f_reshape(&shape)?.f_logical_not()?;
        let missing = if query_y.kind() == Kind::Int64 { MISSING_CLASS as f64 } else { f64::NAN };
        let query_y = query_y.f_masked_fill(&absent, missing)?;
        Ok(Episodes { support_x, support_y, query_x, query_y })
    }

    /// Inputs `[T, K, D]` and labels `[T, K, L]` or `[T, K]` of these rows.
    fn gather(&self, rows: &[i64], tasks: i64) -> Result<(Tensor, Tensor)> {
        let rows = Tensor::f_from_slice(rows)?.f_to_device(self.inputs.device())?;
        let of = |tensor: &Tensor| -> Result<Tensor> {
            let each = rows.size().first().copied().unwrap_or_default() / tasks.max(1);
            let shape = [vec![tasks, each], tensor.size().split_off(1)].concat();
            Ok(select(tensor, &rows)?.f_reshape(&shape)?)
        };
        Ok((of(&self.inputs)?, of(&self.labels)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three tasks of 3, 6 and 2 rows; inputs tell task and row.
    fn groups() -> TaskGroups {
        let counts = [3, 6, 2];
        let rows: Vec<f32> = (0..3_u8)
            .flat_map(|task| (0..counts[task as usize]).map(move |row| f32::from(task) * 100.0 + row as f32))
            .collect();
        let x = Tensor::from_slice(&rows).reshape([-1, 1]);
        TaskGroups::new(x.shallow_clone(), x * 2.0, &counts, ["a", "b", "c"].map(String::from).to_vec())
            .unwrap()
    }

    fn numbers(tensor: &Tensor) -> Vec<f32> {
        Vec::try_from(tensor.reshape([-1])).unwrap()
    }

    #[test]
    fn an_episode_is_different_rows_of_one_task() {
        let mut seen = std::collections::HashSet::new();
        for id in 0..50 {
            let episode = groups().episodes(1, 4, 7, "train", id..id + 1).unwrap();
            let (support, query) = (numbers(&episode.support_x), numbers(&episode.query_x));
            assert_eq!(numbers(&episode.support_y), [support[0] * 2.0]);
            let task = (support[0] / 100.0).floor();
            let labels = numbers(&episode.query_y);
            let there: Vec<f32> =
                query.iter().zip(&labels).filter(|(_, label)| !label.is_nan()).map(|(row, _)| *row).collect();
            assert_eq!(there.len(), [2, 4, 1][task as usize]);
            let mut rows = [support.clone(), there.clone()].concat();
            rows.sort_by(f32::total_cmp);
            rows.dedup();
            assert_eq!(rows.len(), 1 + there.len(), "no row is there twice");
            assert!(rows.iter().all(|row| (row / 100.0).floor() == task));
            for (row, label) in query.iter().zip(labels) {
                assert!(label.is_nan() || label == row * 2.0);
            }
            seen.insert(task as i64);
        }
        assert_eq!(seen.len(), 3, "every task is drawn");
    }

    #[test]
    fn an_episode_is_the_same_in_any_batch() {
        let batch = groups().episodes(1, 9, 1, "test", 3..7).unwrap();
        let alone = groups().episodes(1, 9, 1, "test", 5..6).unwrap();
        assert_eq!(batch.query_x.size(), [4, 5, 1], "no task has more than five others");
        assert_eq!(batch.support_x.get(2), alone.support_x.get(0));
        let other = groups().episodes(1, 9, 1, "train", 0..20).unwrap();
        assert_ne!(groups().episodes(1, 9, 1, "test", 0..20).unwrap().support_x, other.support_x);
    }

    #[test]
    fn classes_are_missing_where_there_is_no_row() {
        let x = Tensor::zeros([3, 2], (Kind::Float, Device::Cpu));
        let groups =
            TaskGroups::new(x, Tensor::from_slice(&[0_i64, 1, 2]), &[1, 2], vec!["a".into(), "b".into()]);
        let groups = groups.unwrap();
        assert!(
            groups
                .episodes(1, 1, 0, "train", 0..1)
                .unwrap_err()
                .to_string()
                .contains("task `a` of the train split has only 1 rows")
        );
        assert!(groups.check(0, 1, "test").is_err() && groups.check(1, 0, "test").is_err());
        let x = Tensor::zeros([5, 2], (Kind::Float, Device::Cpu));
        let labels = Tensor::from_slice(&[0_i64, 1, 2, 3, 4]);
        let groups = TaskGroups::new(x, labels, &[2, 3], vec!["a".into(), "b".into()]).unwrap();
        let all = groups.episodes(1, 2, 0, "train", 0..30).unwrap();
        assert_eq!(all.query_y.size(), [30, 2]);
        let labels = Vec::<i64>::try_from(all.query_y.reshape([-1])).unwrap();
        assert!(
            labels.contains(&MISSING_CLASS)
                && labels.iter().all(|label| *label == MISSING_CLASS || *label >= 0)
        );
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        let x = || Tensor::zeros([3, 1], (Kind::Float, Device::Cpu));
        for (counts, names) in [(vec![2], 1), (vec![1, 2], 1), (vec![4, -1], 2)] {
            let names = (0..names).map(|name: i32| name.to_string()).collect();
            assert!(TaskGroups::new(x(), x(), &counts, names).is_err());
        }
    }
}
