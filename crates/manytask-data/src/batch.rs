//! Which rows make up which batch.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use manytask_tensor::random::Key;
use manytask_tensor::{Tensor, WHOLE};
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
    /// It is used as it is; a single row is joined to the batch before.
    #[default]
    Keep,
    /// It is left out, unless it is the only one.
    Drop,
}

/// How many rows of each stream are in a batch, where tasks have rows of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskSampling {
    /// As many of each: the rows of short streams are seen several times in an epoch.
    #[default]
    Equal,
    /// By their rows: each row of each stream is seen once in an epoch, spread evenly over its batches. A short stream gives
    /// two rows at a time at least, so it is not in every batch.
    Proportional,
}

/// Row numbers of batches, a pure function of (seed, epoch, index): a resumed run needs no state.
///
/// There is one stream of rows for all tasks, or one for each. An epoch goes once through the longest stream. When
/// shuffled, the shorter ones start over with a fresh order, and a stream with fewer rows than the batch gives all its rows
/// each time; when sequential, each row comes exactly once and the shorter streams end with empty batches. With
/// [`TaskSampling::Proportional`] each row comes once in either order.
///
/// ```
/// use manytask_data::{BatchOrder, Batcher, LastBatch};
/// let batcher = Batcher::new(&[5], 3, 1, BatchOrder::Shuffled, LastBatch::Keep)?;
/// assert_eq!(batcher.batches_per_epoch(), 2);
/// let rows = |epoch, index| Vec::<i64>::try_from(&batcher.batch(epoch, index).unwrap()[0]).unwrap();
/// let mut epoch = [rows(0, 0), rows(0, 1)].concat();
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
    sampling: TaskSampling,
    batches: usize,
    /// Rows of the longest stream in the last batch.
    last: usize,
    /// The rows of each stream by class; of a stream without any all rows count alike.
    classes: Arc<[RowClasses]>,
    cache: Arc<Mutex<Vec<Option<Shuffle>>>>,
}

/// The numbers of a stream's rows by what they are balanced by, such as their label.
pub type RowClasses = Vec<Vec<i64>>;

/// The order of one stream's rows in one pass, kept because consecutive batches need the same one.
#[derive(Debug)]
struct Shuffle {
    epoch: u64,
    pass: usize,
    rows: Arc<[i64]>,
}

impl Batcher {
    /// Batches of `size` rows from streams with these numbers of rows, see [`SplitData::streams`](crate::SplitData::streams).
    ///
    /// # Errors
    /// When the size is 0 or there is no row at all.
    pub fn new(rows: &[i64], size: usize, seed: u64, order: BatchOrder, last: LastBatch) -> Result<Self> {
        let rows: Vec<usize> = rows.iter().map(|&rows| usize::try_from(rows).unwrap_or_default()).collect();
        let longest = rows.iter().copied().max().unwrap_or_default();
        if size == 0 {
            return Err(Error::config("batch_size", "the batch size must be at least 1"));
        }
        if longest == 0 {
            return Err(Error::config(WHOLE, "there are no rows to make batches of"));
        }
        let (batches, last) = match last {
            LastBatch::Keep => {
                let batches = kept(longest, size);
                (batches, longest - (batches - 1) * size)
            }
            LastBatch::Drop => ((longest / size).max(1), size.min(longest)),
        };
        let cache = Arc::new(Mutex::new(rows.iter().map(|_| None).collect()));
        let (key, sampling) = (Key::new(seed, "batches"), TaskSampling::Equal);
        Ok(Self { rows, size, key, order, sampling, batches, last, classes: Arc::default(), cache })
    }

    /// The same with as many rows of each class, by stream: where shuffled, rows of all classes follow each other in turn, so that each batch has as many
    /// of each up to one. Epochs are as long as before: the rows of a rare class come several times, each time in a new order, of a frequent one
    /// some are left out. Rows of no class never come. A stream without classes stays as it is.
    ///
    /// ```
    /// use manytask_data::{BatchOrder, Batcher, LastBatch};
    /// let batcher = Batcher::new(&[9], 4, 1, BatchOrder::Shuffled, LastBatch::Keep)?;
    /// let batcher = batcher.balanced(vec![vec![vec![0, 1, 2, 3, 4, 5, 6], vec![7, 8]]]);
    /// let rows = Vec::<i64>::try_from(&batcher.batch(0, 0)?[0]).unwrap();
    /// assert_eq!(rows.iter().filter(|row| **row >= 7).count(), 2);
    /// # Ok::<(), manytask_data::Error>(())
    /// ```
    #[must_use]
    pub fn balanced(self, classes: Vec<RowClasses>) -> Self {
        let filled = |stream: RowClasses| stream.into_iter().filter(|class| !class.is_empty()).collect();
        // Orders that clones know are other ones.
        let cache = Arc::new(Mutex::new(self.rows.iter().map(|_| None).collect()));
        Self { classes: classes.into_iter().map(filled).collect(), cache, ..self }
    }

    /// The same with another rule for streams of unequal length.
    #[must_use]
    pub fn sampled(self, sampling: TaskSampling) -> Self {
        Self { sampling, ..self }
    }

    /// The number of batches in an epoch; the valid indices are those below it.
    pub fn batches_per_epoch(&self) -> u64 {
        self.batches as u64
    }

    /// For each stream the row numbers of a batch, `[B]` int64 on the CPU.
    ///
    /// # Errors
    /// When the index is not below [`Batcher::batches_per_epoch`].
    pub fn batch(&self, epoch: u64, index: u64) -> Result<Vec<Tensor>> {
        if index >= self.batches as u64 {
            let message = format!("batch {index} of an epoch of {} batches", self.batches);
            return Err(Error::config(WHOLE, message));
        }
        let rows = (0..self.rows.len()).map(|stream| self.rows_of(stream, epoch, index as usize));
        rows.map(|rows| Ok(Tensor::f_from_slice(&rows)?)).collect()
    }

    /// How often each stream's rows are seen in an epoch, on average.
    pub fn repeats(&self) -> Vec<f64> {
        let seen = |stream: usize, rows: usize| {
            let drawn: usize = match (self.order, self.sampling) {
                // All batches but the last have as many.
                (BatchOrder::Shuffled, TaskSampling::Equal) => {
                    self.span(stream, 0).len() * (self.batches - 1)
                        + self.span(stream, self.batches - 1).len()
                }
                _ => (0..self.batches).map(|index| self.span(stream, index).len()).sum(),
            };
            if rows == 0 { 0.0 } else { drawn as f64 / rows as f64 }
        };
        self.rows.iter().enumerate().map(|(stream, rows)| seen(stream, *rows)).collect()
    }

    /// The fewest rows that a batch has in all, and of each stream where it has any.
    pub fn fewest(&self) -> (usize, Vec<Option<usize>>) {
        let mut all = usize::MAX;
        let mut each = vec![None::<usize>; self.rows.len()];
        for index in 0..self.batches {
            let mut sum = 0;
            for (stream, fewest) in each.iter_mut().enumerate() {
                let rows = self.span(stream, index).len();
                sum += rows;
                if rows > 0 {
                    *fewest = Some(fewest.map_or(rows, |fewest| fewest.min(rows)));
                }
            }
            if sum > 0 {
                all = all.min(sum);
            }
        }
        (all, each)
    }

    /// The places of a batch's rows in the order of a stream, which goes on in passes over its rows.
    fn span(&self, stream: usize, index: usize) -> Range<usize> {
        let rows = self.rows.get(stream).copied().unwrap_or_default();
        match (self.sampling, self.order) {
            _ if rows == 0 => 0..0,
            (TaskSampling::Proportional, _) => {
                let pieces = (rows / self.size.min(2)).clamp(1, self.batches);
                // Piece p is in batch ⌊p · batches / pieces⌋.
                let piece = (index * pieces).div_ceil(self.batches);
                if piece < pieces && piece * self.batches / pieces == index {
                    piece * rows / pieces..(piece + 1) * rows / pieces
                } else {
                    0..0
                }
            }
            (TaskSampling::Equal, BatchOrder::Sequential) => {
                let own = kept(rows, self.size);
                let start = index * self.size;
                // The last batch of all may be without the rest.
                let end = if index + 1 == self.batches { rows.min(start + self.last) } else { rows };
                match index + 1 {
                    number if number < own => start..start + self.size,
                    number if number == own => start..end,
                    _ => 0..0,
                }
            }
            (TaskSampling::Equal, BatchOrder::Shuffled) => {
                // The last batch of the longest stream has other rows; the others have as many, so that they stay comparable.
                let taken = if index + 1 == self.batches { self.last } else { self.size };
                let start = index * self.size.min(rows);
                start..start + taken.min(rows)
            }
        }
    }

    fn rows_of(&self, stream: usize, epoch: u64, index: usize) -> Vec<i64> {
        let rows = self.rows.get(stream).copied().unwrap_or_default();
        let Range { start, end } = self.span(stream, index);
        if self.order == BatchOrder::Sequential {
            return (start as i64..end as i64).collect();
        }
        let mut batch = Vec::with_capacity(end - start);
        while batch.len() < end - start {
            let at = start + batch.len();
            let order = self.order_of(stream, epoch, at / rows);
            batch.extend(order.iter().skip(at % rows).take(end - at));
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
        let count = self.rows.get(stream).copied().unwrap_or_default();
        let rows: Arc<[i64]> = match self.classes.get(stream) {
            Some(classes) if !classes.is_empty() => in_turn(key, classes, count).into(),
            _ => key.permutation(count).into(),
        };
        if let Some(slot) = cache.get_mut(stream) {
            *slot = Some(Shuffle { epoch, pass, rows: Arc::clone(&rows) });
        }
        rows
    }
}

/// So many rows, of each class in turn; a class starts over in a new order when all its rows have come.
fn in_turn(key: Key, classes: &[Vec<i64>], count: usize) -> Vec<i64> {
    let each = count.div_ceil(classes.len().max(1));
    let drawn = |(number, class): (usize, &Vec<i64>)| {
        let mut rows = Vec::with_capacity(each + class.len());
        let mut pass = 0;
        while rows.len() < each && !class.is_empty() {
            let key = key.within(number as u64 + 1).within(pass);
            rows.extend(
                key.permutation(class.len()).into_iter().filter_map(|place| class.get(place as usize)),
            );
            pass += 1;
        }
        rows
    };
    let drawn: Vec<Vec<i64>> = classes.iter().enumerate().map(drawn).collect();
    let places = (0..each).flat_map(|place| drawn.iter().filter_map(move |class| class.get(place).copied()));
    places.take(count).collect()
}

/// The number of batches of all rows, where a single row left over is joined to the batch before.
fn kept(rows: usize, size: usize) -> usize {
    let whole = rows / size;
    if whole > 0 && rows % size < 2 && size > 1 { whole } else { rows.div_ceil(size) }
}

#[cfg(test)]
mod tests;
