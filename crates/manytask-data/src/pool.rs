//! Classes of examples and episodes drawn from them.

use std::ops::Range;

use manytask_tensor::rows::{select, select_scaled};
use manytask_tensor::{Device, Kind, Tensor, WHOLE};
use serde::{Deserialize, Serialize};

mod rows;
#[cfg(test)]
mod tests;

pub use self::rows::EpisodeRows;
use crate::bytes::digest;
use crate::{Error, Result};

/// Examples by class, in memory: images, or rows of numbers. Episodes are drawn from them.
///
/// ```
/// use manytask_data::{ClassPool, EpisodeSpec};
/// use manytask_tensor::{Device, Kind, Tensor};
/// let images = Tensor::zeros([60, 1, 28, 28], (Kind::Uint8, Device::Cpu)); // 3 classes of 20
/// let pool = ClassPool::new(images, &[20, 20, 20], ["a", "b", "c"].map(String::from).to_vec())?;
/// let spec = EpisodeSpec { ways: 2, shots: 1, queries: 5 };
/// let four = pool.episodes(spec, 0, "train", 0..4)?;
/// assert_eq!(four.support_x.size(), [4, 2, 1, 28, 28]);
/// assert_eq!(four.query_y.size(), [4, 10]);
/// # Ok::<(), manytask_data::Error>(())
/// ```
#[derive(Debug)]
pub struct ClassPool {
    /// `[M, C, H, W]` uint8 or `[M, D]` float32, class after class.
    examples: Tensor,
    /// Where each class starts, and where the last one ends.
    starts: Vec<i64>,
    names: Vec<String>,
}

/// The form of an N-way K-shot episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpisodeSpec {
    /// Classes in an episode, `N`.
    pub ways: usize,
    /// Labelled examples of each class to adapt on, `K`.
    pub shots: usize,
    /// Examples of each class to be judged by, `Q`.
    pub queries: usize,
}

/// A batch of `T` episodes: to adapt on the support set, to be judged by the query set.
#[derive(Debug)]
pub struct Episodes {
    /// `[T, N*K, …]`, sorted by class; for regression `[T, K, 1]`.
    pub support_x: Tensor,
    /// `[T, N*K]` int64 below `N`; for regression `[T, K, 1]`.
    pub support_y: Tensor,
    /// `[T, N*Q, …]`, sorted by class; for regression `[T, Q, 1]`.
    pub query_x: Tensor,
    /// `[T, N*Q]` int64 below `N`; for regression `[T, Q, 1]`.
    pub query_y: Tensor,
}

impl EpisodeSpec {
    /// Whether there are such episodes of any classes.
    ///
    /// # Errors
    /// With fewer than two classes, which would leave nothing to tell apart, or without a shot or a query.
    pub fn check(&self) -> Result<()> {
        for (what, number, least) in
            [("ways", self.ways, 2), ("shots", self.shots, 1), ("queries", self.queries, 1)]
        {
            if number < least {
                return Err(Error::config(
                    what,
                    format!("`{what}` is {number}: an episode needs at least 2 ways, a shot and a query"),
                ));
            }
        }
        Ok(())
    }
}

impl ClassPool {
    /// Images `[M, C, H, W]` uint8 or features `[M, D]` float32, class after class; `counts` are the numbers of examples of each class.
    ///
    /// # Errors
    /// When the counts do not add up to `M`, the names are not as many, or the examples have another form.
    pub fn new(examples: Tensor, counts: &[i64], names: Vec<String>) -> Result<Self> {
        let (shape, kind) = (examples.size(), examples.kind());
        if !matches!((shape.len(), kind), (4, Kind::Uint8) | (2, Kind::Float)) {
            let message = format!(
                "examples must be images [M, C, H, W] of unsigned bytes or features [M, D] of single precision, not {shape:?} of {kind:?}"
            );
            return Err(Error::config(WHOLE, message));
        }
        let mut starts = vec![0];
        starts.extend(counts.iter().scan(0, |end, count| {
            *end += count;
            Some(*end)
        }));
        let total = starts.last().copied();
        if counts.iter().any(|count| *count < 0)
            || total != shape.first().copied()
            || names.len() != counts.len()
        {
            return Err(Error::config(
                WHOLE,
                format!(
                    "{} examples and {} names for {} classes of {} examples in all",
                    shape.first().copied().unwrap_or_default(),
                    names.len(),
                    counts.len(),
                    total.unwrap_or_default()
                ),
            ));
        }
        Ok(Self { examples, starts, names })
    }

    /// Images `[M, C, H, W]` or `[M, H, W]` uint8 in any order, with labels `[M]`; the class `n` is called `n`.
    ///
    /// # Errors
    /// When there are not as many labels as images, or a label is negative.
    pub fn from_labels(images: &Tensor, labels: &Tensor) -> Result<Self> {
        let labels = labels.f_to_kind(Kind::Int64)?.f_reshape([-1])?;
        let counts = Vec::<i64>::try_from(labels.f_bincount(None::<&Tensor>, 0)?)?;
        let images = if images.dim() == 3 { images.f_unsqueeze(1)? } else { images.shallow_clone() };
        let order = labels.f_argsort_stable(true, 0, false)?;
        let names = (0..counts.len()).map(|class| class.to_string()).collect();
        if images.size().first() != labels.size().first() {
            return Err(Error::config(
                WHOLE,
                format!("{:?} labels for images of shape {:?}", labels.size(), images.size()),
            ));
        }
        Self::new(images.f_index_select(0, &order)?, &counts, names)
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.names.len()
    }

    /// The classes' names in their order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of examples of a class (counted from 0); 0 beyond the last.
    pub fn count(&self, class: usize) -> usize {
        let range = self.starts.get(class).zip(self.starts.get(class + 1));
        range.map_or(0, |(start, end)| (end - start) as usize)
    }

    /// The shape of one example, `[C, H, W]` or `[D]`.
    pub fn example_shape(&self) -> Vec<i64> {
        self.examples.size().split_off(1)
    }

    /// All examples `[M, …]` as they are kept, class after class, and their classes `[M]` int64.
    pub fn labelled(&self) -> Result<(Tensor, Tensor)> {
        let classes =
            (0..self.classes()).flat_map(|class| std::iter::repeat_n(class as i64, self.count(class)));
        let labels =
            Tensor::f_from_slice(&classes.collect::<Vec<_>>())?.f_to_device(self.examples.device())?;
        Ok((self.examples.shallow_clone(), labels))
    }

    /// SHA-256 over the classes, their names and their examples.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn digest(&self) -> Result<String> {
        let bytes = self.examples.f_to_device(Device::Cpu)?.f_contiguous()?.f_view_dtype(Kind::Uint8)?;
        let bytes = Vec::<u8>::try_from(bytes.f_reshape([-1])?)?;
        let form = format!("{:?} {:?} {:?}", self.examples.size(), self.starts, self.names);
        Ok(digest([form.as_bytes(), &bytes]))
    }

    /// The pool on a device, where its episodes are gathered then.
    pub fn to_device(&self, device: Device) -> Result<Self> {
        Ok(Self {
            examples: self.examples.f_to_device(device)?,
            starts: self.starts.clone(),
            names: self.names.clone(),
        })
    }

    /// The given classes (counted from 0), in this order.
    ///
    /// # Errors
    /// When there is no such class.
    pub fn select(&self, classes: &[usize]) -> Result<Self> {
        let mut rows = Vec::new();
        let mut counts = Vec::with_capacity(classes.len());
        let mut names = Vec::with_capacity(classes.len());
        for &class in classes {
            let name = self.names.get(class);
            let name =
                name.ok_or_else(|| Error::config(WHOLE, format!("class {class} of {}", self.classes())))?;
            let start = self.starts.get(class).copied().unwrap_or_default();
            let count = self.count(class) as i64;
            rows.extend(start..start + count);
            counts.push(count);
            names.push(name.clone());
        }
        let rows = Tensor::f_from_slice(&rows)?.f_to_device(self.examples.device())?;
        Self::new(self.examples.f_index_select(0, &rows)?, &counts, names)
    }

    /// Each class four times, turned by 0, 90, 180 and 270 degrees (counter-clockwise) and named `…/rot090`:
    /// four classes next to each other, as Santoro et al. (2016) augment Omniglot.
    ///
    /// # Errors
    /// When the images are not square.
    pub fn with_rotations(&self) -> Result<Self> {
        let shape = self.example_shape();
        if shape.len() != 3 || shape.get(1) != shape.get(2) {
            return Err(Error::config(
                WHOLE,
                format!("only square images can be turned, these are {shape:?}"),
            ));
        }
        let turned = (0..4).map(|k| Ok(self.examples.f_rot90(k, [2, 3])?)).collect::<Result<Vec<_>>>()?;
        let total = self.examples.size().first().copied().unwrap_or_default();
        let mut rows = Vec::with_capacity(total as usize * 4);
        let mut counts = Vec::with_capacity(self.classes() * 4);
        let mut names = Vec::with_capacity(self.classes() * 4);
        for (class, (name, start)) in self.names.iter().zip(&self.starts).enumerate() {
            let count = self.count(class) as i64;
            for turn in 0..4 {
                rows.extend(total * turn + start..total * turn + start + count);
                counts.push(count);
                names.push(format!("{name}/rot{:03}", turn * 90));
            }
        }
        let rows = Tensor::f_from_slice(&rows)?.f_to_device(self.examples.device())?;
        Self::new(Tensor::f_cat(&turned, 0)?.f_index_select(0, &rows)?, &counts, names)
    }

    /// The classes of several pools, one pool after the other.
    ///
    /// # Errors
    /// When their examples differ in shape.
    pub fn concat(pools: &[&Self]) -> Result<Self> {
        let examples: Vec<&Tensor> = pools.iter().map(|pool| &pool.examples).collect();
        let counts = pools.iter().flat_map(|pool| (0..pool.classes()).map(|class| pool.count(class) as i64));
        let names = pools.iter().flat_map(|pool| pool.names.iter().cloned());
        Self::new(Tensor::f_cat(&examples, 0)?, &counts.collect::<Vec<_>>(), names.collect())
    }

    /// Whether the classes, of a split with this name, are enough for such episodes.
    ///
    /// # Errors
    /// As [`EpisodeSpec::check`], and when the pool has fewer classes than ways, or a class fewer examples than shots and queries:
    /// with the numbers and the remedy.
    pub fn check(&self, spec: EpisodeSpec, split: &str) -> Result<()> {
        spec.check()?;
        let EpisodeSpec { ways, shots, queries } = spec;
        if ways > self.classes() {
            return Err(Error::config(
                "ways",
                format!(
                    "`ways` is {ways}, but the {split} split has only {} classes; take fewer ways, or give it more classes in the \
                 split",
                    self.classes()
                ),
            ));
        }
        let needed = shots.saturating_add(queries);
        match (0..self.classes()).find(|&class| self.count(class) < needed) {
            None => Ok(()),
            Some(class) => Err(Error::config(
                "queries",
                format!(
                    "{shots} shots and {queries} `queries` are {needed} {} of a class, but class `{}` of the {split} split has \
                 only {}; take fewer of them",
                    if self.examples.kind() == Kind::Uint8 { "images" } else { "rows" },
                    self.names.get(class).map_or("", String::as_str),
                    self.count(class)
                ),
            )),
        }
    }

    /// The episodes with these numbers, images as float32 in `[0, 1]` and features as they are. Each is a function of (seed, purpose, number) and
    /// of nothing else: the same number is the same episode in any batch, any run and on any device.
    ///
    /// # Errors
    /// As [`ClassPool::check`], and when so many numbers do not fit in memory.
    pub fn episodes(&self, spec: EpisodeSpec, seed: u64, purpose: &str, ids: Range<u64>) -> Result<Episodes> {
        let tasks = ids.end.saturating_sub(ids.start) as i64;
        let EpisodeRows { support, query } = self.draw(spec, seed, purpose, ids)?;
        let (support_y, query_y) = self.labels_of(spec, tasks)?;
        Ok(Episodes {
            support_x: self.gather(&support, tasks)?,
            support_y,
            query_x: self.gather(&query, tasks)?,
            query_y,
        })
    }

    /// `[T, N*K, …]` float32, images in `[0, 1]`.
    fn gather(&self, rows: &[i64], tasks: i64) -> Result<Tensor> {
        let rows = Tensor::f_from_slice(rows)?.f_to_device(self.examples.device())?;
        let examples = self.numbers(&rows)?;
        let each = rows.size().first().copied().unwrap_or_default() / tasks.max(1);
        let shape = [vec![tasks, each], self.example_shape()].concat();
        Ok(examples.f_reshape(&shape)?)
    }

    /// Examples by their numbers, float32, images in `[0, 1]`.
    fn numbers(&self, rows: &Tensor) -> Result<Tensor> {
        Ok(match self.examples.kind() {
            Kind::Uint8 => select_scaled(&self.examples, rows, 255.0)?,
            _ => select(&self.examples, rows)?,
        })
    }

    /// `[T, N*K]` int64: 0 K times, 1 K times, ….
    fn labels(&self, ways: usize, each: usize, tasks: i64) -> Result<Tensor> {
        let labels = Tensor::f_arange(ways as i64, (Kind::Int64, self.examples.device()))?;
        let labels = labels.f_repeat_interleave_self_int(each as i64, 0, None)?;
        Ok(labels.f_unsqueeze(0)?.f_repeat([tasks, 1])?)
    }
}

/// Room for the values of so many tasks of so many rows, each of so many numbers.
///
/// # Errors
/// When they do not fit in memory.
pub(crate) fn room<T>(tasks: i64, rows: usize, each: usize) -> Result<Vec<T>> {
    let mut values = Vec::new();
    let count = usize::try_from(tasks).ok().and_then(|tasks| tasks.checked_mul(rows)?.checked_mul(each));
    match count.map(|count| values.try_reserve_exact(count)) {
        Some(Ok(())) => Ok(values),
        _ => Err(Error::config(
            WHOLE,
            format!(
                "{tasks} tasks of {rows} times {each} examples do not fit in memory; take fewer tasks at once, shots or queries"
            ),
        )),
    }
}
