//! From columns of text to tensors of labels.

mod spec;
#[cfg(test)]
mod tests;

use manytask_tensor::Tensor;
use serde::{Deserialize, Serialize};

pub use self::spec::{MISSING_CLASS, TargetKind, TargetSpec};
use crate::error::{did_you_mean, nearest};
use crate::table::{Column, level_value};
use crate::value::sorted;
use crate::{Error, Result, Table};

/// How labels are read, fitted on the training part and kept with the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetEncoder {
    name: String,
    kind: TargetKind,
    columns: Vec<String>,
    positive: Vec<String>,
    classes: Vec<String>,
    mean: f64,
    std: f64,
}

impl TargetEncoder {
    /// Looks at the labels of the given rows and no others.
    ///
    /// # Errors
    /// When a column is not there, has no label in these rows, or a value named in the settings does not occur.
    pub fn fit(table: &Table, spec: &TargetSpec, rows: &[usize]) -> Result<Self> {
        spec.check()?;
        let columns: Vec<&Column> =
            spec.column_names().into_iter().map(|name| table.column(name)).collect::<Result<_>>()?;
        for column in &columns {
            if rows.iter().all(|&row| column.text(row).is_none()) {
                let (name, file) = (column.name(), table.path().display());
                let message = format!(
                    "target `{}`: column `{name}` of {file} has no label in the training part",
                    spec.name
                );
                return Err(Error::config(message));
            }
        }
        known_values(table, spec, &columns)?;
        let mut encoder = Self {
            name: spec.name.clone(),
            kind: spec.kind,
            columns: columns.iter().map(|column| column.name().to_owned()).collect(),
            positive: spec.positive.clone(),
            classes: spec.classes.clone(),
            mean: 0.0,
            std: 1.0,
        };
        match (spec.kind, columns.first()) {
            (TargetKind::Multiclass, Some(column)) if spec.classes.is_empty() => {
                encoder.classes = values(column, rows);
            }
            (TargetKind::Regression, Some(column)) if spec.standardise => {
                (encoder.mean, encoder.std) = moments(&table.level_numbers(column)?, column, rows);
            }
            _ => {}
        }
        Ok(encoder)
    }

    /// The labels of these rows, in the form of the [`TargetKind`].
    ///
    /// # Errors
    /// At a value that is no label, with its row.
    pub fn encode(&self, table: &Table, rows: &[usize]) -> Result<Tensor> {
        let columns: Vec<&Column> =
            self.columns.iter().map(|name| table.column(name)).collect::<Result<_>>()?;
        match self.kind {
            TargetKind::Multiclass => self.encode_classes(table, &columns, rows),
            TargetKind::Multilabel => {
                let labels = columns.iter().map(|column| self.encode_numbers(table, column, rows));
                Ok(Tensor::f_stack(&labels.collect::<Result<Vec<_>>>()?, 1)?)
            }
            TargetKind::Regression | TargetKind::Binary => match columns.first() {
                Some(column) => self.encode_numbers(table, column, rows),
                None => Err(Error::config(format!("target `{}` has no column", self.name))),
            },
        }
    }

    /// The task's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is predicted.
    pub fn kind(&self) -> TargetKind {
        self.kind
    }

    /// The columns the labels are in.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The classes of a multi-class target, in the order of their numbers.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// How many numbers a head must give: 1, the number of classes, or the number of labels.
    pub fn outputs(&self) -> i64 {
        match self.kind {
            TargetKind::Regression | TargetKind::Binary => 1,
            TargetKind::Multiclass => self.classes.len() as i64,
            TargetKind::Multilabel => self.columns.len() as i64,
        }
    }

    /// The mean and standard deviation by which a regression's labels were brought to `(y - mean) / std`; 0 and 1 if not.
    pub fn mean_std(&self) -> (f64, f64) {
        (self.mean, self.std)
    }

    /// Predictions of a regression in the units of the column: `y * std + mean`.
    pub fn decode(&self, predictions: &Tensor) -> Result<Tensor> {
        Ok(predictions.f_mul_scalar(self.std)?.f_add_scalar(self.mean)?)
    }

    fn encode_numbers(&self, table: &Table, column: &Column, rows: &[usize]) -> Result<Tensor> {
        let by_level: Vec<f64> = match self.kind {
            TargetKind::Regression => {
                table.level_numbers(column)?.iter().map(|y| (y - self.mean) / self.std).collect()
            }
            _ if self.positive.is_empty() => zeros_and_ones(table, column)?,
            _ => column
                .levels()
                .iter()
                .map(|level| f64::from(u8::from(self.positive.contains(level))))
                .collect(),
        };
        let label = |&row: &usize| {
            column.codes().get(row).map_or(f64::NAN, |&code| level_value(&by_level, code)) as f32
        };
        Ok(Tensor::f_from_slice(&rows.iter().map(label).collect::<Vec<f32>>())?)
    }

    fn encode_classes(&self, table: &Table, columns: &[&Column], rows: &[usize]) -> Result<Tensor> {
        let Some(column) = columns.first() else {
            return Err(Error::config(format!("target `{}` has no column", self.name)));
        };
        let number =
            |level: &String| self.classes.iter().position(|class| class == level).map(|class| class as i64);
        let by_level: Vec<Option<i64>> = column.levels().iter().map(number).collect();
        let labels = rows.iter().map(|&row| {
            match column.codes().get(row).and_then(|&code| by_level.get(code as usize)) {
                None => Ok(MISSING_CLASS),
                Some(Some(class)) => Ok(*class),
                Some(None) => Err(table.value_error(
                    column,
                    row,
                    "a class of the training part; list all under `classes`",
                )),
            }
        });
        Ok(Tensor::f_from_slice(&labels.collect::<Result<Vec<i64>>>()?)?)
    }
}

/// Values the settings name must occur somewhere in the file: they are misspelt otherwise.
fn known_values(table: &Table, spec: &TargetSpec, columns: &[&Column]) -> Result<()> {
    for value in &spec.positive {
        if !columns.iter().any(|column| column.levels().contains(value)) {
            let levels = columns.iter().flat_map(|column| column.levels()).map(String::as_str);
            let message = format!(
                "target `{}`: the value `{value}` does not occur in {}{}",
                spec.name,
                table.path().display(),
                did_you_mean(nearest(value, levels).as_deref())
            );
            return Err(Error::config(message));
        }
    }
    Ok(())
}

fn zeros_and_ones(table: &Table, column: &Column) -> Result<Vec<f64>> {
    let numbers = column.levels().iter().enumerate().map(|(code, text)| match table.format().parse(text) {
        Some(number) if number == 0.0 || number == 1.0 => Ok(number),
        _ => {
            let row = column.codes().iter().position(|&c| c as usize == code).unwrap_or_default();
            Err(table.value_error(column, row, "0 or 1; name the values that mean yes under `positive`"))
        }
    });
    numbers.collect()
}

/// The distinct values in these rows, sorted as numbers if they all are numbers.
pub(crate) fn values(column: &Column, rows: &[usize]) -> Vec<String> {
    let mut seen = vec![false; column.levels().len()];
    for code in rows.iter().filter_map(|&row| column.codes().get(row)) {
        if let Some(seen) = seen.get_mut(*code as usize) {
            *seen = true;
        }
    }
    let levels = column.levels().iter().zip(seen).filter(|(_, seen)| *seen).map(|(level, _)| level.clone());
    sorted(levels.collect())
}

fn moments(by_level: &[f64], column: &Column, rows: &[usize]) -> (f64, f64) {
    let codes = || rows.iter().filter_map(|&row| column.codes().get(row));
    let values = || codes().map(|&code| level_value(by_level, code)).filter(|y| !y.is_nan());
    let count = values().count().max(1) as f64;
    let mean = values().sum::<f64>() / count;
    let std = (values().map(|y| (y - mean).powi(2)).sum::<f64>() / count).sqrt();
    (mean, if std > 0.0 { std } else { 1.0 })
}
