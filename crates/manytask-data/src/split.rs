//! Training, validation and test splits of a table.

mod draw;
mod fold;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use manytask_tensor::{ShownPath as _, WHOLE, Within as _};
use serde::{Deserialize, Serialize};

use self::draw::{grouped, groups, per_group, random};
pub use self::fold::Fold;
use crate::bytes::digest;
use crate::value::Values;
use crate::words::quoted;
use crate::{Error, Result, Table};

/// How the rows of a table fall into parts. In a configuration: `split.random = { test = 0.2, seed = 1 }`. Values of columns
/// are compared as categories are: `1` and `1.0` are one.
///
/// ```
/// # use manytask_data::{Table, TableSource};
/// use manytask_data::{Fractions, SplitRule};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("t.csv");
/// # fs_err::write(&path, "x\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n")?;
/// # let table = Table::read(&TableSource::new(&path))?; // ten rows
/// let split = SplitRule::Random(Fractions { validation: 0.1, test: 0.2, seed: 7 });
/// let indices = split.indices(&table)?;
/// assert_eq!([indices.train.len(), indices.validation.len(), indices.test.len()], [7, 1, 2]);
/// assert_eq!(indices, split.indices(&table)?); // the same seed, the same split
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SplitRule {
    /// Each row by itself.
    Random(Fractions),
    /// Rows with the same value in a column stay together; the fractions are of groups, nearly of rows.
    Grouped(GroupFractions),
    /// Every group of rows is split by the fractions, so that each is in every split.
    PerGroup(GroupFractions),
    /// By the values of a column.
    Column(ByColumn),
    /// By files: the table is the training split, other files are the other parts.
    Files(Files),
}

/// The shares of the rows outside the training split.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
pub struct Fractions {
    /// The share of the validation split, in `[0, 1)`.
    pub validation: f64,
    /// The share of the test split, in `[0, 1)`.
    pub test: f64,
    /// The seed of the drawing.
    pub seed: u64,
}

/// [`Fractions`] of groups of rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupFractions {
    /// The column whose values name the groups.
    pub column: String,
    /// The share of the validation split, in `[0, 1)`.
    #[serde(default)]
    pub validation: f64,
    /// The share of the test split, in `[0, 1)`.
    #[serde(default)]
    pub test: f64,
    /// The seed of the drawing.
    #[serde(default)]
    pub seed: u64,
}

/// Which values of a column mean which part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByColumn {
    /// The column.
    pub column: String,
    /// The values of the training rows. Empty: all that are not named elsewhere.
    #[serde(default)]
    pub train: Vec<String>,
    /// The values of the validation rows.
    #[serde(default)]
    pub validation: Vec<String>,
    /// The values of the test rows.
    #[serde(default)]
    pub test: Vec<String>,
}

/// Files that hold the other parts, written like the first one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Files {
    /// The file of the validation split.
    pub validation: Option<PathBuf>,
    /// The file of the test split.
    pub test: Option<PathBuf>,
    /// Without a validation file: the share of the first file's rows that is held out for it.
    pub validation_fraction: f64,
    /// The seed of the drawing.
    pub seed: u64,
}

/// The rows of each split, counted from 0 and ascending; no row is in two parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Indices {
    /// The training split.
    pub train: Vec<usize>,
    /// The validation split; may be empty.
    pub validation: Vec<usize>,
    /// The test split; may be empty.
    pub test: Vec<usize>,
}

impl SplitRule {
    /// The rows of one table by part. For [`SplitRule::Files`] only the held-out validation share is drawn here; the files
    /// themselves are read by the data set that is split.
    ///
    /// # Errors
    /// When fractions do not leave a training split, a column is not there, or one of its values is in no split or in two.
    pub fn indices(&self, table: &Table) -> Result<Indices> {
        self.check()?;
        let indices = match self {
            Self::Random(f) => random(table.rows(), *f, f.seed),
            Self::Files(f) => random(table.rows(), f.fractions(), f.seed),
            Self::Grouped(f) => grouped(&groups(table, &f.column)?, f.fractions(), f.seed),
            Self::PerGroup(f) => per_group(&groups(table, &f.column)?, f.fractions(), f.seed),
            Self::Column(by) => by.indices(table).within(self.key())?,
        };
        if indices.train.is_empty() {
            return Err(Error::config(
                WHOLE,
                format!(
                    "split: no row of {} is left for training; make `validation` and `test` smaller",
                    table.path().shown()
                ),
            ));
        }
        self.check_shares(table, &indices)?;
        Ok(indices)
    }

    /// Refuses shares and values that are impossible for any table.
    ///
    /// # Errors
    /// When the shares leave nothing to train on, or a value is named for two parts.
    pub fn check(&self) -> Result<()> {
        let checked = match self {
            Self::Random(f) => f.check(),
            Self::Files(f) => f.check(),
            Self::Grouped(f) | Self::PerGroup(f) => f.fractions().check(),
            Self::Column(by) => by.check(),
        };
        checked.within(self.key())
    }

    /// Its name in a configuration.
    pub(crate) fn key(&self) -> &'static str {
        match self {
            Self::Random(_) => "random",
            Self::Grouped(_) => "grouped",
            Self::PerGroup(_) => "per_group",
            Self::Column(_) => "column",
            Self::Files(_) => "files",
        }
    }

    /// Whether rows are asked for to validate on.
    pub fn asks_for_validation(&self) -> bool {
        match self {
            Self::Random(f) => f.validation > 0.0,
            Self::Files(f) => f.validation.is_some() || f.validation_fraction > 0.0,
            Self::Grouped(f) | Self::PerGroup(f) => f.validation > 0.0,
            Self::Column(by) => !by.validation.is_empty(),
        }
    }

    /// A share that makes no row would be a setting without effect.
    fn check_shares(&self, table: &Table, indices: &Indices) -> Result<()> {
        let shares = match self {
            Self::Random(f) => [("validation", f.validation), ("test", f.test)],
            Self::Grouped(f) | Self::PerGroup(f) => [("validation", f.validation), ("test", f.test)],
            Self::Files(f) => [("validation_fraction", f.validation_fraction), ("test", 0.0)],
            Self::Column(_) => return Ok(()),
        };
        for ((key, share), split) in shares.into_iter().zip([&indices.validation, &indices.test]) {
            if share > 0.0 && split.is_empty() {
                let of = self.column().map_or(String::new(), |column| format!(" by `{column}`"));
                return Err(Error::config(
                    [self.key(), key],
                    format!(
                        "split: {key} = {share} of the {} rows of {}{of} makes no row; take a larger share, or leave it out",
                        table.rows(),
                        table.path().shown()
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The column the split looks at, which is no input.
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::Grouped(f) | Self::PerGroup(f) => Some(&f.column),
            Self::Column(by) => Some(&by.column),
            Self::Random(_) | Self::Files(_) => None,
        }
    }
}

impl Fractions {
    /// Refuses shares out of range.
    pub(crate) fn check(self) -> Result<()> {
        let share = 0.0..1.0;
        if share.contains(&self.validation) && share.contains(&self.test) && self.validation + self.test < 1.0
        {
            return Ok(());
        }
        let key = if share.contains(&self.validation) { "test" } else { "validation" };
        Err(Error::config(
            key,
            format!(
                "split: validation = {} and test = {} must be shares in [0, 1) that leave something to train on",
                self.validation, self.test
            ),
        ))
    }

    /// How many of `n` go to validation and test.
    fn counts(self, n: usize) -> (usize, usize) {
        let test = (self.test * n as f64).round() as usize;
        let both = ((self.test + self.validation) * n as f64).round() as usize;
        (both.saturating_sub(test), test)
    }
}

/// Refuses a share out of range, under the key that it is written as.
pub(crate) fn check_share(key: &str, share: f64) -> Result<()> {
    if (0.0..1.0).contains(&share) {
        return Ok(());
    }
    Err(Error::config(key, format!("{key} = {share} must be a share in [0, 1)")))
}

impl GroupFractions {
    fn fractions(&self) -> Fractions {
        Fractions { validation: self.validation, test: self.test, seed: self.seed }
    }
}

impl Files {
    fn check(&self) -> Result<()> {
        if self.validation.is_some() && self.validation_fraction != 0.0 {
            let message = "split: give either a `validation` file or a `validation_fraction`";
            return Err(Error::config("validation_fraction", message));
        }
        check_share("validation_fraction", self.validation_fraction)
    }

    fn fractions(&self) -> Fractions {
        Fractions { validation: self.validation_fraction, test: 0.0, seed: self.seed }
    }
}

impl ByColumn {
    fn check(&self) -> Result<()> {
        let mut named = std::collections::HashMap::new();
        for (split, values) in [&self.train, &self.validation, &self.test].into_iter().enumerate() {
            for value in values {
                if *named.entry(value).or_insert(split) != split {
                    return Err(Error::config(
                        WHOLE.text(value),
                        format!("split: the value {} is named for two splits", quoted(value)),
                    ));
                }
            }
        }
        Ok(())
    }

    fn indices(&self, table: &Table) -> Result<Indices> {
        let column = table.column(&self.column)?;
        let all: Vec<usize> = (0..table.rows()).collect();
        let values = Values::of(table, column, &all);
        let known = values.compare.indices(&values.names);
        let mut splits = vec![None; values.names.len()];
        for (split, named) in [(0, &self.train), (1, &self.validation), (2, &self.test)] {
            for value in named {
                let place = known.get(&values.compare.key(value)).and_then(|place| splits.get_mut(*place));
                match place {
                    None => {
                        let message = format!(
                            "split: the value {} does not occur in column `{}`",
                            quoted(value),
                            self.column
                        );
                        return Err(Error::config(WHOLE.text(value), message));
                    }
                    Some(Some(other)) if *other != split => {
                        let message = format!("split: the value {} is named for two splits", quoted(value));
                        return Err(Error::config(WHOLE.text(value), message));
                    }
                    Some(place) => *place = Some(split),
                }
            }
        }
        let by_level = values.compare.places_of(column, &values.names);
        let mut indices = Indices::default();
        for (row, code) in column.codes().iter().enumerate() {
            let place = by_level.get(*code as usize).copied().flatten();
            let rows = match place.and_then(|place| splits.get(place).copied().flatten()) {
                Some(1) => &mut indices.validation,
                Some(2) => &mut indices.test,
                None if !self.train.is_empty() => {
                    return Err(table.value_error(column, row, "named for any part of the split"));
                }
                _ => &mut indices.train,
            };
            rows.push(row);
        }
        Ok(indices)
    }
}

impl Indices {
    /// SHA-256 over the digest of the files and the rows of each split.
    pub(crate) fn digest(&self, files: &str) -> String {
        let mut bytes = files.as_bytes().to_vec();
        for split in [&self.train, &self.validation, &self.test] {
            bytes.extend((split.len() as u64).to_le_bytes());
            bytes.extend(split.iter().flat_map(|row| (*row as u64).to_le_bytes()));
        }
        digest([bytes.as_slice()])
    }

    fn sorted(mut self) -> Self {
        self.train.sort_unstable();
        self.validation.sort_unstable();
        self.test.sort_unstable();
        self
    }
}
