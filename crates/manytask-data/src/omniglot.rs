//! Omniglot (Lake, Salakhutdinov & Tenenbaum, 2015) as published: two archives of PNG drawings.

mod source;
#[cfg(test)]
mod tests;

use manytask_tensor::Within as _;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use manytask_tensor::random::stream;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::class_split::listed;
use crate::picture::check_size;
use crate::{ClassPool, Error, Result, Splits};

/// The characters of Omniglot; ink is 255, paper 0.
#[derive(Debug)]
pub struct Omniglot {
    folder: PathBuf,
    background: ClassPool,
    evaluation: ClassPool,
    passed_over: Vec<String>,
}

/// Which characters are for training, validation and test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OmniglotSplit {
    /// By lists of classes such as `Angelic/character01/rot090`, the split of Vinyals et al. (2016) with its rotations.
    Vinyals(VinyalsFiles),
    /// By lot, irrespective of the alphabet, as Finn et al. (2017) do with 1,200 characters; the rest is for testing.
    Random(RandomCharacters),
    /// The authors' own: the background set to train, the evaluation set to test.
    Lake,
}

/// The lists of the Vinyals split, one class in each line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VinyalsFiles {
    /// The list of training classes.
    pub train: PathBuf,
    /// The list of validation classes.
    pub validation: PathBuf,
    /// The list of test classes.
    pub test: PathBuf,
}

/// Numbers of characters drawn by lot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomCharacters {
    /// Characters to train on.
    pub train: usize,
    /// Characters for validation.
    #[serde(default)]
    pub validation: usize,
    /// The seed of the drawing.
    #[serde(default)]
    pub seed: u64,
}

/// Whether turned characters are classes of their own. (The lists of the Vinyals split say so themselves.)
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rotations {
    /// Only upright characters.
    #[default]
    None,
    /// Each character is four classes: turned by 0, 90, 180 and 270 degrees.
    Quarter,
}

impl Omniglot {
    /// Reads `images_background` and `images_evaluation` from a folder, as `.zip` or unpacked, into images of
    /// `[1, size, size]` by area average (the field uses 28). Classes are named `Alphabet/characterNN`.
    ///
    /// ```no_run
    /// use manytask_data::{Omniglot, OmniglotSplit, Rotations};
    /// let pools = Omniglot::open("data/omniglot".as_ref(), 28)?.split(&OmniglotSplit::Lake, Rotations::None)?;
    /// assert_eq!((pools.train.classes(), pools.test.map(|test| test.classes())), (964, Some(659)));
    /// # Ok::<(), manytask_data::Error>(())
    /// ```
    ///
    /// # Errors
    /// When one of the two is absent, damaged, or not in the official tree.
    pub fn open(folder: &Path, size: usize) -> Result<Self> {
        check_size(size)?;
        let (background, mut passed_over) = source::read(folder, "images_background", size)?;
        let (evaluation, others) = source::read(folder, "images_evaluation", size)?;
        passed_over.extend(others);
        Ok(Self { folder: folder.to_owned(), background, evaluation, passed_over })
    }

    /// Whether drawings can be brought to this size.
    ///
    /// # Errors
    /// With the range.
    pub fn check_size(size: usize) -> Result<()> {
        check_size(size)
    }

    /// Files and folders that are no drawings or hold none, by their names within the folder: they are in no class.
    pub fn passed_over(&self) -> &[String] {
        &self.passed_over
    }

    /// SHA-256 over all characters with their drawings, at this size.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn digest(&self) -> Result<String> {
        Ok(format!("{}{}", self.background.digest()?, self.evaluation.digest()?))
    }

    /// The 30 alphabets of the background set.
    pub fn background(&self) -> &ClassPool {
        &self.background
    }

    /// The 20 alphabets of the evaluation set.
    pub fn evaluation(&self) -> &ClassPool {
        &self.evaluation
    }

    /// The classes of each split. With [`OmniglotSplit::Vinyals`], `rotations` is ignored: the lists name them.
    ///
    /// # Errors
    /// When a list cannot be read or names an unknown class, or more characters are asked for than there are.
    pub fn split(&self, split: &OmniglotSplit, rotations: Rotations) -> Result<Splits<ClassPool>> {
        let turn = |pool: ClassPool| match rotations {
            Rotations::None => Ok(pool),
            Rotations::Quarter => pool.with_rotations(),
        };
        match split {
            OmniglotSplit::Lake => {
                let whole = |pool: &ClassPool| turn(ClassPool::concat(&[pool])?);
                Ok(Splits {
                    train: whole(&self.background)?,
                    validation: None,
                    test: Some(whole(&self.evaluation)?),
                })
            }
            OmniglotSplit::Random(numbers) => self.random(*numbers, turn).within(["split", "random"]),
            OmniglotSplit::Vinyals(files) => {
                let all = ClassPool::concat(&[&self.background, &self.evaluation])?.with_rotations()?;
                let mut taken = HashMap::new();
                let mut listed =
                    |path: &Path| all.select(&listed(all.names(), &self.folder, path, &mut taken)?);
                Ok(Splits {
                    train: listed(&files.train)?,
                    validation: Some(listed(&files.validation)?),
                    test: Some(listed(&files.test)?),
                })
            }
        }
    }

    fn random(
        &self,
        numbers: RandomCharacters,
        turn: impl Fn(ClassPool) -> Result<ClassPool>,
    ) -> Result<Splits<ClassPool>> {
        let RandomCharacters { train, validation, seed } = numbers;
        let all = ClassPool::concat(&[&self.background, &self.evaluation])?;
        if train == 0 || train.saturating_add(validation) >= all.classes() {
            return Err(Error::config(
                "train",
                format!(
                    "omniglot: {train} characters to train and {validation} to validate leave none of {} to train or test",
                    all.classes()
                ),
            ));
        }
        let mut order: Vec<usize> = (0..all.classes()).collect();
        order.shuffle(&mut stream(seed, "split", 0, 0));
        let mut order = order.into_iter();
        let mut part = |count: usize| {
            let mut classes: Vec<usize> = order.by_ref().take(count).collect();
            classes.sort_unstable();
            turn(all.select(&classes)?)
        };
        Ok(Splits {
            train: part(train)?,
            validation: if validation == 0 { None } else { Some(part(validation)?) },
            test: Some(part(usize::MAX)?),
        })
    }
}
