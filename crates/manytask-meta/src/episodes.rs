use std::fmt::Debug;
use std::ops::Range;

use manytask_data::{ClassPool, EpisodeSpec, Episodes, GaussianProcess, Sinusoid, Splits};
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

    /// The classes of images that a split's tasks are drawn from, with the form of the tasks; `None` where there is no such split, or
    /// tasks are not drawn from classes of images.
    fn class_pool(&self, _split: Split) -> Option<(&ClassPool, EpisodeSpec)> {
        None
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

/// N-way K-shot tasks on images, of classes that no two parts share.
#[derive(Debug)]
pub struct ImageEpisodes {
    /// The classes.
    pub pools: Splits<ClassPool>,
    /// The form of the tasks.
    pub spec: EpisodeSpec,
}

impl ImageEpisodes {
    fn pool(&self, split: Split) -> Result<&ClassPool> {
        let pool = match split {
            Split::Train => Some(&self.pools.train),
            Split::Validation => self.pools.validation.as_ref(),
            Split::Test => self.pools.test.as_ref(),
        };
        pool.ok_or_else(|| {
            Error::setting(
                WHOLE,
                format!("the classes have no {} split", purpose(split)),
                "name one in the split, or leave out what asks for it",
            )
        })
    }

    fn spec(&self, queries: Option<usize>) -> EpisodeSpec {
        EpisodeSpec { queries: queries.unwrap_or(self.spec.queries), ..self.spec }
    }
}

impl EpisodeSource for ImageEpisodes {
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
