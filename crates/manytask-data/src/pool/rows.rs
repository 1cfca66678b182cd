//! Examples of a pool by their numbers: those of episodes, batches of all classes, and runs of them.

use std::ops::Range;

use manytask_tensor::random::stream;
use manytask_tensor::{Kind, Tensor, WHOLE};
use rand::Rng;
use rand::seq::index::sample;

use super::{ClassPool, EpisodeSpec, room};
use crate::{Error, Result};

/// The numbers of the examples of some episodes, counted from 0 over the whole pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpisodeRows {
    /// For each task `N·K`, sorted by class.
    pub support: Vec<i64>,
    /// For each task `N·Q`, sorted by class.
    pub query: Vec<i64>,
}

impl ClassPool {
    /// The number of all examples.
    pub fn len(&self) -> usize {
        self.starts.last().copied().unwrap_or_default() as usize
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The examples of the episodes with these numbers, as [`ClassPool::episodes`] has them.
    ///
    /// # Errors
    /// As [`ClassPool::episodes`].
    pub fn draw(&self, spec: EpisodeSpec, seed: u64, purpose: &str, ids: Range<u64>) -> Result<EpisodeRows> {
        self.check(spec, purpose)?;
        let tasks = ids.end.saturating_sub(ids.start) as i64;
        let mut support = room(tasks, spec.ways, spec.shots)?;
        let mut query = room(tasks, spec.ways, spec.queries)?;
        for id in ids {
            let mut rng = stream(seed, purpose, id, 0);
            for class in sample(&mut rng, self.classes(), spec.ways) {
                let start = self.starts.get(class).copied().unwrap_or_default();
                let drawn = sample(&mut rng, self.count(class), spec.shots + spec.queries);
                let mut rows = drawn.into_iter().map(|row| start + row as i64);
                support.extend(rows.by_ref().take(spec.shots));
                query.extend(rows);
            }
        }
        Ok(EpisodeRows { support, query })
    }

    /// The labels of so many episodes, `[T, N·K]` and `[T, N·Q]` int64.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn labels_of(&self, spec: EpisodeSpec, tasks: i64) -> Result<(Tensor, Tensor)> {
        Ok((self.labels(spec.ways, spec.shots, tasks)?, self.labels(spec.ways, spec.queries, tasks)?))
    }

    /// A run of examples, `[B, …]` float32, images in `[0, 1]`, class after class.
    ///
    /// # Errors
    /// When there are not so many.
    pub fn examples(&self, range: Range<i64>) -> Result<Tensor> {
        let rows = Tensor::f_arange_start(range.start, range.end, (Kind::Int64, self.examples.device()))?;
        self.numbers(&rows)
    }

    /// So many examples of all classes, `[B, …]` float32, images in `[0, 1]`, and the class of each `[B]` int64, drawn uniformly and with
    /// replacement: a function of (seed, number).
    ///
    /// # Errors
    /// When there is no example, or so many do not fit in memory.
    pub fn batch(&self, size: usize, seed: u64, number: u64) -> Result<(Tensor, Tensor)> {
        let total = self.len() as i64;
        if total == 0 {
            return Err(Error::config(WHOLE, "there is no example to draw from"));
        }
        let mut rng = stream(seed, "all classes", number, 0);
        let (mut rows, mut classes) = (room(1, 1, size)?, room::<i64>(1, 1, size)?);
        for _ in 0..size {
            let row = rng.random_range(0..total);
            // The class whose run holds the row: those without examples hold none.
            classes.push(self.starts.partition_point(|start| *start <= row) as i64 - 1);
            rows.push(row);
        }
        let examples = self.gather(&rows, 1)?.f_squeeze_dim(0)?;
        let classes = Tensor::f_from_slice(&classes)?.f_to_device(self.examples.device())?;
        Ok((examples, classes))
    }
}
