use std::fmt::Debug;
use std::ops::Range;

use manytask_data::{ClassPool, EpisodeSpec, Episodes, GaussianProcess, Sinusoid, Splits, TaskGroups};
use manytask_multitask::{Error, Result, Split};
use manytask_tensor::{Device, Kind, Tensor, WHOLE, send};

/// Where tasks come from. The same number is the same task, whenever it is asked for.
pub trait EpisodeSource: Debug + Send {
    /// The tasks with these numbers, along the leading dimension; with `queries` another number of queries (for each class,
    /// where there are classes) than in training.
    ///
    /// # Errors
    /// When there is no such part, or it is too small.
    fn episodes(&self, split: Split, seed: u64, ids: Range<u64>, queries: Option<usize>) -> Result<Episodes>;

    /// Whether there is a validation split.
    fn has_validation(&self) -> bool;

    /// The classes that a split's tasks are drawn from, with the form of the tasks; `None` where there is no such split, or tasks are not
    /// drawn from classes.
    fn class_pool(&self, _split: Split) -> Option<(&ClassPool, EpisodeSpec)> {
        None
    }

    /// The standard deviation that the labels of a regression were divided by: metrics are of what they were before.
    fn label_deviation(&self) -> f64 {
        1.0
    }

    /// Refuses a split that cannot give such tasks: too few classes, or too few examples of one.
    ///
    /// # Errors
    /// With the split, the numbers and the remedy.
    fn check(&self, split: Split, queries: Option<usize>) -> Result<()> {
        self.episodes(split, 0, 0..1, queries).map(drop)
    }
}

/// The name of a split, in the keys of draws and for who reads.
pub(crate) fn purpose(split: Split) -> &'static str {
    match split {
        Split::Train => "train",
        Split::Validation => "validation",
        Split::Test => "test",
    }
}

/// Tasks of the sinusoid family.
#[derive(Debug, Clone, PartialEq)]
pub struct SinusoidEpisodes {
    /// The family.
    pub family: Sinusoid,
    /// Examples to adapt on.
    pub shots: usize,
    /// Examples to be judged by.
    pub queries: usize,
    /// The type of numbers.
    pub kind: Kind,
    /// Where they are wanted.
    pub device: Device,
}

impl Default for SinusoidEpisodes {
    fn default() -> Self {
        Self { family: Sinusoid::default(), shots: 10, queries: 10, kind: Kind::Float, device: Device::Cpu }
    }
}

impl EpisodeSource for SinusoidEpisodes {
    fn episodes(&self, split: Split, seed: u64, ids: Range<u64>, queries: Option<usize>) -> Result<Episodes> {
        let queries = queries.unwrap_or(self.queries);
        let drawn = self.family.episodes(self.shots, queries, seed, purpose(split), ids, self.kind)?;
        to_device(drawn, self.device)
    }

    fn has_validation(&self) -> bool {
        true
    }

    fn check(&self, _part: Split, queries: Option<usize>) -> Result<()> {
        Ok(self.family.check(self.shots, queries.unwrap_or(self.queries))?)
    }
}

/// Functions drawn from Gaussian processes.
#[derive(Debug, Clone, PartialEq)]
pub struct GaussianProcessEpisodes {
    /// The family.
    pub family: GaussianProcess,
    /// The type of numbers.
    pub kind: Kind,
    /// Where they are wanted.
    pub device: Device,
}

impl Default for GaussianProcessEpisodes {
    fn default() -> Self {
        Self { family: GaussianProcess::default(), kind: Kind::Float, device: Device::Cpu }
    }
}

impl EpisodeSource for GaussianProcessEpisodes {
    fn episodes(&self, split: Split, seed: u64, ids: Range<u64>, queries: Option<usize>) -> Result<Episodes> {
        to_device(self.family.episodes(queries, seed, purpose(split), ids, self.kind)?, self.device)
    }

    fn has_validation(&self) -> bool {
        true
    }

    fn check(&self, _part: Split, queries: Option<usize>) -> Result<()> {
        Ok(self.family.check(queries)?)
    }
}

/// Episodes that were drawn on the processor, where they are wanted.
fn to_device(drawn: Episodes, device: Device) -> Result<Episodes> {
    if device == Device::Cpu {
        return Ok(drawn);
    }
    let to = |tensor: &Tensor| send(tensor, device);
    Ok(Episodes {
        support_x: to(&drawn.support_x)?,
        support_y: to(&drawn.support_y)?,
        query_x: to(&drawn.query_x)?,
        query_y: to(&drawn.query_y)?,
    })
}

/// N-way K-shot tasks on images or rows, of classes that no two splits share.
#[derive(Debug)]
pub struct ClassEpisodes {
    /// The classes.
    pub pools: Splits<ClassPool>,
    /// The form of the tasks.
    pub spec: EpisodeSpec,
}

/// Tasks that are groups of rows, of which no two splits share one.
#[derive(Debug)]
pub struct GroupEpisodes {
    /// The tasks.
    pub groups: Splits<TaskGroups>,
    /// Rows to adapt on.
    pub shots: usize,
    /// Rows to be judged by, or as many as there are.
    pub queries: usize,
    /// What labels were divided by.
    pub label_deviation: f64,
}

impl EpisodeSource for GroupEpisodes {
    fn episodes(&self, split: Split, seed: u64, ids: Range<u64>, queries: Option<usize>) -> Result<Episodes> {
        let queries = queries.unwrap_or(self.queries);
        Ok(of_split(&self.groups, split, "tasks")?.episodes(
            self.shots,
            queries,
            seed,
            purpose(split),
            ids,
        )?)
    }

    fn has_validation(&self) -> bool {
        self.groups.validation.is_some()
    }

    fn label_deviation(&self) -> f64 {
        self.label_deviation
    }

    fn check(&self, split: Split, queries: Option<usize>) -> Result<()> {
        let groups = of_split(&self.groups, split, "tasks")?;
        Ok(groups.check(self.shots, queries.unwrap_or(self.queries), purpose(split))?)
    }
}

/// What a split's tasks are drawn from.
fn of_split<'a, T>(splits: &'a Splits<T>, split: Split, what: &str) -> Result<&'a T> {
    let found = match split {
        Split::Train => Some(&splits.train),
        Split::Validation => splits.validation.as_ref(),
        Split::Test => splits.test.as_ref(),
    };
    found.ok_or_else(|| {
        Error::setting(
            WHOLE,
            format!("the {what} have no {} split", purpose(split)),
            "name one in the split, or leave out what asks for it",
        )
    })
}

impl ClassEpisodes {
    fn pool(&self, split: Split) -> Result<&ClassPool> {
        of_split(&self.pools, split, "classes")
    }

    fn spec(&self, queries: Option<usize>) -> EpisodeSpec {
        EpisodeSpec { queries: queries.unwrap_or(self.spec.queries), ..self.spec }
    }
}

impl EpisodeSource for ClassEpisodes {
    fn episodes(&self, split: Split, seed: u64, ids: Range<u64>, queries: Option<usize>) -> Result<Episodes> {
        Ok(self.pool(split)?.episodes(self.spec(queries), seed, purpose(split), ids)?)
    }

    fn class_pool(&self, split: Split) -> Option<(&ClassPool, EpisodeSpec)> {
        Some((self.pool(split).ok()?, self.spec))
    }

    fn has_validation(&self) -> bool {
        self.pools.validation.is_some()
    }

    fn check(&self, split: Split, queries: Option<usize>) -> Result<()> {
        Ok(self.pool(split)?.check(self.spec(queries), purpose(split))?)
    }
}

/// One task of several, without the leading dimension.
pub fn select(episodes: &Episodes, task: i64) -> Result<Episodes> {
    let of = |tensor: &Tensor| tensor.f_select(0, task);
    Ok(Episodes {
        support_x: of(&episodes.support_x)?,
        support_y: of(&episodes.support_y)?,
        query_x: of(&episodes.query_x)?,
        query_y: of(&episodes.query_y)?,
    })
}
