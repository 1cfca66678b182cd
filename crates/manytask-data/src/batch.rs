//! Which rows make up which batch.

use std::sync::{Arc, Mutex, PoisonError};

use manytask_tensor::Tensor;
use manytask_tensor::random::Key;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The order of the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchOrder {
    /// A new random order in each epoch: for training.
    #[default]
    Shuffled,
    /// The order of the rows, each once: for evaluation.
    Sequential,
}

/// What becomes of a last batch that is not full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastBatch {
    /// It is used as it is.
    #[default]
    Keep,
    /// It is left out, unless it is the only one.
    Drop,
}

/// Row numbers of batches, a pure function of (seed, epoch, index): a resumed run needs no state.
///
/// There is one stream of rows for all tasks, or one for each. An epoch goes once through the longest stream. When
/// shuffled, the shorter ones start over with a fresh order, and a stream with fewer rows than the batch gives all its rows
/// each time; when sequential, each row comes exactly once and the shorter streams end with empty batches.
///
/// ```
/// use manytask_data::{BatchOrder, Batcher, LastBatch};
/// let batcher = Batcher::new(&[5], 2, 1, BatchOrder::Shuffled, LastBatch::Keep)?;
/// assert_eq!(batcher.batches_per_epoch(), 3);
/// let rows = |epoch, index| Vec::<i64>::try_from(&batcher.batch(epoch, index).unwrap()[0]).unwrap();
/// let mut epoch = [rows(0, 0), rows(0, 1), rows(0, 2)].concat();
/// epoch.sort();
/// assert_eq!(epoch, [0, 1, 2, 3, 4]);
/// assert_eq!(rows(7, 1), rows(7, 1)); // no state
/// # Ok::<(), manytask_data::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Batcher {
    rows: Vec<usize>,
    size: usize,
    key: Key,
    order: BatchOrder,
    batches: u64,
    cache: Arc<Mutex<Vec<Option<Shuffle>>>>,
}

/// The order of one stream's rows in one pass, kept because consecutive batches need the same one.
#[derive(Debug)]
struct Shuffle {
    epoch: u64,
    pass: usize,
    rows: Arc<[i64]>,
}

impl Batcher {
    /// Batches of `size` rows from streams with these numbers of rows, see [`Part::streams`](crate::Part::streams).
    ///
    /// # Errors
    /// When the size is 0 or there is no row at all.
    pub fn new(rows: &[i64], size: usize, seed: u64, order: BatchOrder, last: LastBatch) -> Result<Self> {
        let rows: Vec<usize> = rows.iter().map(|&rows| usize::try_from(rows).unwrap_or_default()).collect();
        let longest = rows.iter().copied().max().unwrap_or_default();
        if size == 0 {
            return Err(Error::config("the batch size must be at least 1"));
        }
        if longest == 0 {
            return Err(Error::config("there are no rows to make batches of"));
        }
        let batches = match last {
            LastBatch::Keep => longest.div_ceil(size),
            LastBatch::Drop => (longest / size).max(1),
        };
        let cache = Arc::new(Mutex::new(rows.iter().map(|_| None).collect()));
        Ok(Self { rows, size, key: Key::new(seed, "batches"), order, batches: batches as u64, cache })
    }

    /// The number of batches in an epoch; the valid indices are those below it.
    pub fn batches_per_epoch(&self) -> u64 {
        self.batches
    }

    /// For each stream the row numbers of a batch, `[B]` int64 on the CPU.
    ///
    /// # Errors
    /// When the index is not below [`Batcher::batches_per_epoch`].
    pub fn batch(&self, epoch: u64, index: u64) -> Result<Vec<Tensor>> {
        if index >= self.batches {
            let message = format!("batch {index} of an epoch of {} batches", self.batches);
            return Err(Error::config(message));
        }
        let rows = (0..self.rows.len()).map(|stream| match self.order {
            BatchOrder::Sequential => self.sequential(stream, index as usize),
            BatchOrder::Shuffled => self.shuffled(stream, epoch, index as usize),
        });
        rows.map(|rows| Ok(Tensor::f_from_slice(&rows)?)).collect()
    }

    fn sequential(&self, stream: usize, index: usize) -> Vec<i64> {
        let rows = self.rows.get(stream).copied().unwrap_or_default();
        let start = index.saturating_mul(self.size).min(rows);
        (start as i64..(start + self.size).min(rows) as i64).collect()
    }

    fn shuffled(&self, stream: usize, epoch: u64, index: usize) -> Vec<i64> {
        let rows = self.rows.get(stream).copied().unwrap_or_default();
        let longest = self.rows.iter().copied().max().unwrap_or_default();
        let full = self.size.min(rows);
        if full == 0 {
            return Vec::new();
        }
        // The last batch of the longest stream is short; the others are as short, so that rows stay comparable.
        let taken = full.min(longest - (index * self.size).min(longest));
        let start = index * full;
        let mut batch = Vec::with_capacity(taken);
        while batch.len() < taken {
            let at = start + batch.len();
            let order = self.order_of(stream, epoch, at / rows);
            batch.extend(order.iter().skip(at % rows).take(taken - batch.len()));
        }
        batch
    }

    fn order_of(&self, stream: usize, epoch: u64, pass: usize) -> Arc<[i64]> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = cache.get(stream).and_then(Option::as_ref);
        if let Some(shuffle) = cached.filter(|shuffle| shuffle.epoch == epoch && shuffle.pass == pass) {
            return Arc::clone(&shuffle.rows);
        }
        let key = self.key.step(epoch).task(stream as u64).within(pass as u64);
        let rows: Arc<[i64]> = key.permutation(self.rows.get(stream).copied().unwrap_or_default()).into();
        if let Some(slot) = cache.get_mut(stream) {
            *slot = Some(Shuffle { epoch, pass, rows: Arc::clone(&rows) });
        }
        rows
    }
}

#[cfg(test)]
mod tests;
