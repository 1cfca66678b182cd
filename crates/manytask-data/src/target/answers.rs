//! What means yes and what means no.

use std::collections::HashSet;

use manytask_tensor::{KeyPath, ShownPath as _, WHOLE};
use serde::{Deserialize, Serialize};

use super::{Negative, TargetSpec};
use crate::error::{did_you_mean, nearest};
use crate::table::Column;
use crate::value::Compare;
use crate::words::quoted;
use crate::{Error, Result, Table};

/// The values of a target of yes and no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answers {
    compare: Compare,
    positive: Vec<String>,
    /// Absent: all others.
    negative: Option<Vec<String>>,
}

impl Answers {
    /// Checks the values that the settings name against those of the whole table. `None`: the columns hold 0 and 1.
    ///
    /// # Errors
    /// At a value that does not occur, or that may mean either.
    pub(super) fn fit(table: &Table, spec: &TargetSpec, columns: &[&Column]) -> Result<Option<Self>> {
        if spec.positive.is_empty() {
            return Ok(None);
        }
        let levels = columns.iter().flat_map(|column| column.levels());
        let compare = Compare::of(table.format(), levels.map(String::as_str));
        let mut answers = Self { compare, positive: spec.positive.clone(), negative: None };
        answers.check_positive(table, spec, columns)?;
        let positive = answers.keys(&answers.positive);
        answers.negative = match &spec.negative {
            Negative::Rest => None,
            Negative::Values(values) => {
                if let Some(both) = values.iter().find(|value| positive.contains(&*compare.key(value))) {
                    let message = format!(
                        "target `{}`: the value {} is under `positive` and under `negative`",
                        spec.name,
                        quoted(both)
                    );
                    return Err(Error::config(WHOLE.text(both), message));
                }
                Some(values.clone())
            }
            Negative::OtherValue => Some(only_other(table, spec, columns, compare, &positive)?),
        };
        Ok(Some(answers))
    }

    /// The values that mean no and yes, where each is a single one.
    pub(super) fn no_and_yes(&self) -> Option<(&str, &str)> {
        match (self.negative.as_deref(), self.positive.as_slice()) {
            (Some([no]), [yes]) => Some((no, yes)),
            _ => None,
        }
    }

    /// 1, 0 or, where it is neither, nothing, for each level.
    pub(super) fn by_level(&self, column: &Column) -> Vec<Option<f64>> {
        let positive = self.keys(&self.positive);
        let negative = self.negative.as_ref().map(|values| self.keys(values));
        let answer = |level: &String| {
            let key = self.compare.key(level);
            if positive.contains(&*key) {
                return Some(1.0);
            }
            negative.as_ref().is_none_or(|negative| negative.contains(&*key)).then_some(0.0)
        };
        column.levels().iter().map(answer).collect()
    }

    fn keys(&self, values: &[String]) -> HashSet<String> {
        values.iter().map(|value| self.compare.key(value).into_owned()).collect()
    }

    /// Values that mean yes must occur somewhere in the file: they are misspelt otherwise.
    fn check_positive(&self, table: &Table, spec: &TargetSpec, columns: &[&Column]) -> Result<()> {
        let levels = || columns.iter().flat_map(|column| column.levels()).map(String::as_str);
        let keys: HashSet<_> = levels().map(|level| self.compare.key(level)).collect();
        match self.positive.iter().find(|value| !keys.contains(&self.compare.key(value))) {
            None => Ok(()),
            Some(value) => Err(Error::config(
                WHOLE.text(value),
                format!(
                    "target `{}`: the value {} does not occur in {}{}",
                    spec.name,
                    quoted(value),
                    table.path().shown(),
                    did_you_mean(nearest(value, levels()).as_deref())
                ),
            )),
        }
    }
}

/// The value of each column beside the positive ones.
fn only_other(
    table: &Table,
    spec: &TargetSpec,
    columns: &[&Column],
    compare: Compare,
    positive: &HashSet<String>,
) -> Result<Vec<String>> {
    let mut negative = Vec::new();
    for column in columns {
        let mut counts = vec![0_usize; column.levels().len()];
        for code in column.codes() {
            if let Some(count) = counts.get_mut(*code as usize) {
                *count += 1;
            }
        }
        let levels = column.levels().iter().zip(counts);
        let others: Vec<(&String, usize)> =
            levels.filter(|(level, count)| *count > 0 && !positive.contains(&*compare.key(level))).collect();
        let distinct: HashSet<_> = others.iter().map(|(level, _)| compare.key(level)).collect();
        if distinct.len() > 1 {
            let shown =
                others.iter().take(6).map(|(level, count)| format!("{} ({count} rows)", quoted(level)));
            let more = if others.len() > 6 { ", …" } else { "" };
            return Err(Error::config(
                KeyPath::from("columns").text(column.name()),
                format!(
                    "target `{}`: column `{}` of {} has {} values beside those under `positive`: {}{more}; name those that mean \
                 no under `negative` (all others: negative = \"rest\"), or list them under `missing`",
                    spec.name,
                    column.name(),
                    table.path().shown(),
                    distinct.len(),
                    shown.collect::<Vec<_>>().join(", ")
                ),
            ));
        }
        negative.extend(others.into_iter().map(|(level, _)| level.clone()));
    }
    Ok(negative)
}
