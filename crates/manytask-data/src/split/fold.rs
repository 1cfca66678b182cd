//! Folds of a cross-validation.

use manytask_tensor::random::stream;
use manytask_tensor::{KeyPath, ShownPath as _};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::draw::groups;
use super::{Indices, SplitRule};
use crate::{Error, Result, Table};

/// One fold of a k-fold cross-validation: its rows are the test split. In a configuration: `fold = { index = 0, count = 5 }`.
///
/// The folds of one count and seed have every row once and sizes that are as equal as can be. They follow the [`SplitRule`]: with
/// [`SplitRule::Grouped`] whole groups, with [`SplitRule::PerGroup`] the same share of every group, which stratifies by the column. Its
/// `test` share is not used, its `validation` share, still one of all rows, is drawn from the rows outside of the fold. What is a
/// validation or test split by a file or by the values of a column is in no fold: the former is validated on in each, the latter
/// is left out.
///
/// ```
/// # use manytask_data::{Table, TableSource};
/// use manytask_data::{Fold, Fractions, SplitRule};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("t.csv");
/// # fs_err::write(&path, "x\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n")?;
/// # let table = Table::read(&TableSource::new(&path))?; // ten rows
/// let split = SplitRule::Random(Fractions { validation: 0.1, test: 0.2, seed: 7 });
/// let fold = Fold { index: 0, count: 5, seed: 0 };
/// let indices = fold.indices(&table, Some(&split))?;
/// assert_eq!([indices.train.len(), indices.validation.len(), indices.test.len()], [7, 1, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fold {
    /// Which fold is the test split, counted from 0.
    pub index: usize,
    /// How many folds there are.
    pub count: usize,
    /// The seed of the drawing: another one makes other folds.
    #[serde(default)]
    pub seed: u64,
}

impl Fold {
    /// The rows of each split.
    ///
    /// # Errors
    /// When there are fewer rows or groups than folds, the split's column is not there, or nothing is left to train on.
    pub fn indices(&self, table: &Table, split: Option<&SplitRule>) -> Result<Indices> {
        self.check(split)?;
        let Units { rows: units, strata, validation } = Units::of(table, split)?;
        let of_unit = self.assigned(&units, &strata);
        let fewest = (0..self.count).find(|fold| !of_unit.contains(&Some(*fold)));
        if fewest.is_some() {
            let what = if matches!(split, Some(SplitRule::Grouped(_))) { "groups" } else { "rows" };
            return Err(Error::config(
                ["fold", "count"],
                format!(
                    "fold: {} {what} of {} cannot make {} folds; take fewer",
                    units.len(),
                    table.path().shown(),
                    self.count
                ),
            ));
        }
        let mut indices = Indices { validation, ..Indices::default() };
        let held_out = self.validation_units(&units, &strata, &of_unit, share_of(split));
        for (number, unit) in units.iter().enumerate() {
            let split = if of_unit.get(number) == Some(&Some(self.index)) {
                &mut indices.test
            } else if held_out.get(number) == Some(&true) {
                &mut indices.validation
            } else {
                &mut indices.train
            };
            split.extend(unit);
        }
        if share_of(split) > 0.0 && indices.validation.is_empty() {
            return Err(Error::config(
                share_key(split),
                format!(
                    "split: validation = {} of the {} rows of {} makes no row; take a larger share, or leave it out",
                    share_of(split),
                    table.rows(),
                    table.path().shown()
                ),
            ));
        }
        if indices.train.is_empty() {
            return Err(Error::config(
                "fold",
                "fold: no row is left for training; take more folds, or a smaller `validation`",
            ));
        }
        Ok(indices.sorted())
    }

    /// The fold of each row, counted from 0; `None` for a row in no fold.
    ///
    /// # Errors
    /// As [`Fold::indices`].
    pub fn of_rows(&self, table: &Table, split: Option<&SplitRule>) -> Result<Vec<Option<usize>>> {
        let mut of_rows = vec![None; table.rows()];
        for index in 0..self.count {
            let fold = Self { index, ..*self };
            for row in fold.indices(table, split)?.test {
                if let Some(of_row) = of_rows.get_mut(row) {
                    *of_row = Some(index);
                }
            }
        }
        Ok(of_rows)
    }

    /// Refuses numbers that are impossible for any table.
    ///
    /// # Errors
    /// When there are fewer than two folds, the fold is none of them, or the validation share leaves nothing to train on.
    pub fn check(&self, split: Option<&SplitRule>) -> Result<()> {
        let Self { index, count, .. } = *self;
        if count < 2 {
            return Err(Error::config(
                ["fold", "count"],
                format!("fold: `count` is {count}; a cross-validation has 2 folds at least"),
            ));
        }
        if index >= count {
            return Err(Error::config(
                ["fold", "index"],
                format!("fold: `index` is {index}; of {count} folds it goes from 0 to {}", count - 1),
            ));
        }
        let validation = share_of(split);
        if validation + 1.0 / count as f64 >= 1.0 {
            return Err(Error::config(
                ["fold", "count"],
                format!("fold: {count} folds and validation = {validation} leave nothing to train on"),
            ));
        }
        Ok(())
    }

    /// The fold of each unit: units in random order, the largest first, each to the smallest fold of its stratum so far and, of
    /// equal ones, to the smallest of all.
    fn assigned(&self, units: &[Vec<usize>], strata: &[Vec<usize>]) -> Vec<Option<usize>> {
        let mut of_unit = vec![None; units.len()];
        let mut all = vec![0_usize; self.count];
        for (number, stratum) in strata.iter().enumerate() {
            let mut order = stratum.clone();
            order.shuffle(&mut stream(self.seed, "fold", 0, number as u64));
            let size = |unit: &usize| units.get(*unit).map_or(0, Vec::len);
            order.sort_by_key(|unit| std::cmp::Reverse(size(unit)));
            let mut own = vec![0_usize; self.count];
            for unit in order {
                let sizes = own.iter().zip(&all).enumerate().map(|(fold, (own, all))| (*own, *all, fold));
                let Some((_, _, fold)) = sizes.min() else { continue };
                for sizes in [&mut own, &mut all] {
                    if let Some(rows) = sizes.get_mut(fold) {
                        *rows += size(&unit);
                    }
                }
                if let Some(of_unit) = of_unit.get_mut(unit) {
                    *of_unit = Some(fold);
                }
            }
        }
        of_unit
    }

    /// Which units outside of the fold are validated on: in random order while they fit at least half into the share.
    fn validation_units(
        &self,
        units: &[Vec<usize>],
        strata: &[Vec<usize>],
        of_unit: &[Option<usize>],
        share: f64,
    ) -> Vec<bool> {
        let mut chosen = vec![false; units.len()];
        let size = |unit: usize| units.get(unit).map_or(0, Vec::len);
        for (number, stratum) in strata.iter().enumerate() {
            let rows: usize = stratum.iter().map(|unit| size(*unit)).sum();
            let wanted = (share * rows as f64).round() as usize;
            let outside = |unit: &usize| of_unit.get(*unit).copied().flatten() != Some(self.index);
            let mut open: Vec<usize> = stratum.iter().copied().filter(outside).collect();
            open.shuffle(&mut stream(self.seed, "fold validation", self.index as u64, number as u64));
            // The last one trains.
            open.pop();
            let mut taken = 0;
            for unit in open {
                if taken + size(unit).div_ceil(2) <= wanted
                    && let Some(chosen) = chosen.get_mut(unit)
                {
                    *chosen = true;
                    taken += size(unit);
                }
            }
        }
        chosen
    }
}

/// What folds are made of.
struct Units {
    /// Rows that stay together.
    rows: Vec<Vec<usize>>,
    /// The units that are shared out evenly among the folds.
    strata: Vec<Vec<usize>>,
    /// Rows that are validated on whatever the fold.
    validation: Vec<usize>,
}

impl Units {
    fn of(table: &Table, split: Option<&SplitRule>) -> Result<Self> {
        let single = |rows: Vec<usize>, validation| {
            let units: Vec<Vec<usize>> = rows.into_iter().map(|row| vec![row]).collect();
            Self { strata: vec![(0..units.len()).collect()], rows: units, validation }
        };
        Ok(match split {
            None | Some(SplitRule::Random(_) | SplitRule::Files(_)) => {
                single((0..table.rows()).collect(), Vec::new())
            }
            Some(SplitRule::Column(_)) => {
                let indices = split.map(|split| split.indices(table)).transpose()?.unwrap_or_default();
                single(indices.train, indices.validation)
            }
            Some(SplitRule::Grouped(by)) => {
                let units = groups(table, &by.column)?;
                Self { strata: vec![(0..units.len()).collect()], rows: units, validation: Vec::new() }
            }
            Some(SplitRule::PerGroup(by)) => {
                let groups = groups(table, &by.column)?;
                let mut all = Self { rows: Vec::new(), strata: Vec::new(), validation: Vec::new() };
                for group in groups {
                    let start = all.rows.len();
                    all.rows.extend(group.into_iter().map(|row| vec![row]));
                    all.strata.push((start..all.rows.len()).collect());
                }
                all
            }
        })
    }
}

/// The key of that share.
fn share_key(split: Option<&SplitRule>) -> KeyPath {
    match split {
        Some(rule @ SplitRule::Files(_)) => ["split", rule.key(), "validation_fraction"].into(),
        Some(rule) => ["split", rule.key(), "validation"].into(),
        None => "split".into(),
    }
}

/// The share of the rows that is drawn to validate on.
fn share_of(split: Option<&SplitRule>) -> f64 {
    match split {
        Some(SplitRule::Random(f)) => f.validation,
        Some(SplitRule::Grouped(f) | SplitRule::PerGroup(f)) => f.validation,
        Some(SplitRule::Files(f)) => f.validation_fraction,
        Some(SplitRule::Column(_)) | None => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fmt::Write;

    use super::*;
    use crate::testing::table;
    use crate::{ByColumn, Fractions, GroupFractions};

    /// 103 rows of groups of sizes 1 to 12, in turn.
    fn grouped() -> Table {
        let mut text = "group,kind\n".to_owned();
        let mut row = 0;
        for group in 0_usize.. {
            for _ in 0..=(group * 5) % 12 {
                if row == 103 {
                    return table(&text);
                }
                writeln!(text, "g{group},{}", ["a", "b", "c"][row % 3]).unwrap();
                row += 1;
            }
        }
        table(&text)
    }

    fn group(table: &Table, column: &str, rows: &[usize]) -> HashSet<String> {
        let column = table.column(column).unwrap();
        rows.iter().filter_map(|row| column.text(*row).map(str::to_owned)).collect()
    }

    fn folds(table: &Table, split: Option<&SplitRule>, count: usize) -> Vec<Indices> {
        (0..count).map(|index| Fold { index, count, seed: 4 }.indices(table, split).unwrap()).collect()
    }

    fn by(validation: f64) -> GroupFractions {
        GroupFractions { column: "group".into(), validation, test: 0.3, seed: 1 }
    }

    #[test]
    fn every_row_is_tested_once_and_each_split_has_its_share() {
        let table = grouped();
        let splits = [
            None,
            Some(SplitRule::Random(Fractions { validation: 0.1, test: 0.5, seed: 3 })),
            Some(SplitRule::Grouped(by(0.1))),
            Some(SplitRule::PerGroup(by(0.1))),
        ];
        for split in &splits {
            let all = folds(&table, split.as_ref(), 5);
            let mut tested: Vec<usize> = all.iter().flat_map(|indices| indices.test.clone()).collect();
            tested.sort_unstable();
            assert_eq!(tested, (0..103).collect::<Vec<_>>(), "{split:?}");
            for indices in &all {
                let rows = [&indices.train, &indices.validation, &indices.test];
                let mut together: Vec<usize> = rows.into_iter().flatten().copied().collect();
                together.sort_unstable();
                assert_eq!(together, (0..103).collect::<Vec<_>>());
                assert!((17..=25).contains(&indices.test.len()), "{split:?} {}", indices.test.len());
                if split.is_some() && !matches!(split, Some(SplitRule::PerGroup(_))) {
                    assert!(
                        (6..=14).contains(&indices.validation.len()),
                        "{split:?} {}",
                        indices.validation.len()
                    );
                }
            }
        }
    }

    #[test]
    fn groups_stay_together_or_are_in_each_fold() {
        let table = grouped();
        let whole = SplitRule::Grouped(by(0.2));
        for indices in folds(&table, Some(&whole), 4) {
            let of = |rows: &[usize]| group(&table, "group", rows);
            assert!(of(&indices.test).is_disjoint(&of(&indices.train)));
            assert!(of(&indices.validation).is_disjoint(&of(&indices.train)));
            assert!(
                !indices.validation.is_empty() && of(&indices.validation).is_disjoint(&of(&indices.test))
            );
        }
        let each = SplitRule::PerGroup(GroupFractions { column: "kind".into(), ..by(0.0) });
        for indices in folds(&table, Some(&each), 5) {
            for kind in ["a", "b", "c"] {
                let column = table.column("kind").unwrap();
                let count = indices.test.iter().filter(|row| column.text(**row) == Some(kind)).count();
                assert!((6..=7).contains(&count), "{kind} {count}");
            }
        }
    }

    #[test]
    fn what_a_column_names_is_validated_on_in_each_fold_or_left_out() {
        let table = grouped();
        let split = SplitRule::Column(ByColumn {
            column: "kind".into(),
            train: Vec::new(),
            validation: vec!["b".into()],
            test: vec!["c".into()],
        });
        for indices in folds(&table, Some(&split), 3) {
            assert_eq!(group(&table, "kind", &indices.validation), HashSet::from(["b".to_owned()]));
            assert_eq!(group(&table, "kind", &indices.test), HashSet::from(["a".to_owned()]));
            assert_eq!(indices.train.len() + indices.test.len(), 35);
        }
        let of_rows = Fold { index: 2, count: 3, seed: 0 }.of_rows(&table, Some(&split)).unwrap();
        assert_eq!(of_rows.iter().flatten().count(), 35);
        assert_eq!(of_rows.iter().flatten().filter(|fold| **fold == 1).count(), 12);
    }

    #[test]
    fn another_seed_makes_other_folds_and_the_index_does_not() {
        let table = grouped();
        let of = |seed, index| Fold { index, count: 5, seed }.indices(&table, None).unwrap().test;
        assert_eq!(of(1, 0), of(1, 0));
        assert_ne!(of(1, 0), of(2, 0));
    }

    #[test]
    fn impossible_folds_are_refused() {
        let table = grouped();
        let refused = |index, count, split: Option<&SplitRule>| {
            Fold { index, count, seed: 0 }.indices(&table, split).unwrap_err().to_string()
        };
        assert!(refused(0, 1, None).contains("2 folds at least"));
        assert!(refused(5, 5, None).contains("from 0 to 4"));
        assert!(refused(0, 104, None).contains("103 rows"));
        assert!(refused(0, 60, Some(&SplitRule::Grouped(by(0.0)))).contains(" groups of "));
        let most = SplitRule::Random(Fractions { validation: 0.6, test: 0.0, seed: 0 });
        assert!(refused(0, 2, Some(&most)).contains("leave nothing"));
    }
}
