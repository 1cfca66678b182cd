//! From columns of text to tensors of labels.

mod answers;
mod negative;
mod spec;
#[cfg(test)]
mod tests;

use manytask_tensor::ShownPath as _;
use manytask_tensor::{KeyPath, Kind, Tensor, WHOLE};
use serde::{Deserialize, Serialize};

use self::answers::Answers;
pub use self::negative::Negative;
pub use self::spec::{MISSING_CLASS, TargetKind, TargetSpec};
use crate::moments::Moments;
use crate::table::{Column, level_value};
use crate::value::{Compare, Values, seen, sorted};
use crate::words::quoted;
use crate::{Error, Result, Table};

/// How labels are read, fitted on the training split and kept with the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetEncoder {
    name: String,
    kind: TargetKind,
    columns: Vec<String>,
    /// What runs of earlier versions kept; [`Answers`] has it now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    positive: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answers: Option<Answers>,
    classes: Vec<String>,
    #[serde(default)]
    compare: Compare,
    mean: f64,
    std: f64,
    /// The mean of a regression's labels in the training split, in their own units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label_mean: Option<f64>,
}

impl TargetEncoder {
    /// Looks at the labels of the given rows and no others, but checks that the settings name every value of the table.
    ///
    /// # Errors
    /// When a column is not there, has no label in these rows, or has values that the settings do not account for.
    pub fn fit(table: &Table, spec: &TargetSpec, rows: &[usize]) -> Result<Self> {
        match spec.expanded(table, &std::collections::HashSet::new())?.as_slice() {
            [spec] => Self::fit_one(table, spec, rows),
            many => Err(Error::config(
                "columns",
                format!("target `{}`: is {} tasks, one for each column", spec.task_name(), many.len()),
            )),
        }
    }

    /// Of a target whose columns are named one by one.
    pub(crate) fn fit_one(table: &Table, spec: &TargetSpec, rows: &[usize]) -> Result<Self> {
        let columns: Vec<&Column> =
            spec.columns.0.iter().map(|name| table.column(name)).collect::<Result<_>>()?;
        for column in &columns {
            if rows.iter().all(|&row| column.text(row).is_none()) {
                let (name, file) = (column.name(), table.path().shown());
                let message = format!(
                    "target `{}`: column `{name}` of {file} has no label in the training split",
                    spec.name
                );
                return Err(Error::config(KeyPath::from("columns").text(name), message));
            }
        }
        let mut encoder = Self {
            name: spec.name.clone(),
            kind: spec.kind,
            columns: spec.columns.0.clone(),
            positive: Vec::new(),
            answers: Answers::fit(table, spec, &columns)?,
            classes: spec.classes.clone(),
            compare: Compare::Value,
            mean: 0.0,
            std: 1.0,
            label_mean: None,
        };
        match (spec.kind, columns.first()) {
            (TargetKind::Multiclass, Some(column)) => {
                let values = Values::of(table, column, rows);
                encoder.compare = values.compare;
                if spec.classes.is_empty() {
                    encoder.classes = sorted(table.format(), values.names);
                }
                encoder.check_classes()?;
            }
            (TargetKind::Regression, Some(column)) => {
                let moments = label_moments(table, column, rows)?;
                encoder.label_mean =
                    moments.as_ref().map(|moments| moments.mean).filter(|mean| mean.is_finite());
                if let Some(moments) = moments.filter(|_| spec.standardises()) {
                    encoder.standardise(&moments, table, column, rows)?;
                }
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
                None => Err(Error::config(WHOLE, format!("target `{}` has no column", self.name))),
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

    /// The values that mean no and yes of a binary target, where each is a single one; `None` where the column holds 0 and 1.
    pub fn no_and_yes(&self) -> Option<(&str, &str)> {
        self.answers.as_ref().and_then(Answers::no_and_yes)
    }

    /// The mean of a regression's labels in the training split, in their own units.
    pub fn label_mean(&self) -> Option<f64> {
        self.label_mean
    }

    /// Predictions of a regression in the units of the column: `y * std + mean`, in double precision.
    pub fn decode(&self, predictions: &Tensor) -> Result<Tensor> {
        Ok(predictions.f_to_kind(Kind::Double)?.f_mul_scalar(self.std)?.f_add_scalar(self.mean)?)
    }

    /// The classes that none of these rows has.
    pub(crate) fn unseen_classes(&self, column: &Column, rows: &[usize]) -> Vec<&str> {
        let by_level = self.compare.places_of(column, &self.classes);
        let (seen, _) = seen(column, rows);
        let mut empty = vec![true; self.classes.len()];
        for place in by_level.iter().zip(seen).filter_map(|(place, seen)| place.filter(|_| seen)) {
            if let Some(empty) = empty.get_mut(place) {
                *empty = false;
            }
        }
        self.classes.iter().zip(empty).filter(|(_, empty)| *empty).map(|(class, _)| class.as_str()).collect()
    }

    fn standardise(
        &mut self,
        moments: &Moments,
        table: &Table,
        column: &Column,
        rows: &[usize],
    ) -> Result<()> {
        if moments.overflows() {
            let by_level = table.level_numbers(column)?;
            let label =
                |row: &usize| column.codes().get(*row).map_or(f64::NAN, |code| level_value(&by_level, *code));
            let labelled = rows.iter().filter(|row| !label(row).is_nan());
            let row = labelled.max_by(|a, b| label(a).abs().total_cmp(&label(b).abs())).copied();
            return Err(table.value_error(column, row.unwrap_or_default(), TOO_LARGE));
        }
        let varies = moments.inverse_std() > 0.0;
        (self.mean, self.std) = (moments.mean, if varies { moments.std } else { 1.0 });
        Ok(())
    }

    fn check_classes(&self) -> Result<()> {
        let indices = self.compare.indices(&self.classes);
        if indices.len() == self.classes.len() {
            return Ok(());
        }
        let first = |(place, class): &(usize, &String)| indices.get(&self.compare.key(class)) != Some(place);
        let twice = self.classes.iter().enumerate().find(first).map_or("", |(_, class)| class);
        Err(Error::config(
            KeyPath::from("classes").text(twice),
            format!("target `{}`: the class {} is listed twice", self.name, quoted(twice)),
        ))
    }

    fn encode_numbers(&self, table: &Table, column: &Column, rows: &[usize]) -> Result<Tensor> {
        let by_level: Vec<Option<f64>> = match (self.kind, &self.answers) {
            (TargetKind::Regression, _) => {
                let units = |y: f64| Some((y - self.mean) / self.std);
                table.level_numbers(column)?.into_iter().map(units).collect()
            }
            (_, Some(answers)) => answers.by_level(column),
            (_, None) => zeros_and_ones(table, column),
        };
        let mut labels = Vec::with_capacity(rows.len());
        for row in rows {
            let level = column.codes().get(*row).and_then(|code| by_level.get(*code as usize));
            let label = match level {
                None => f32::NAN,
                Some(Some(label)) if (*label as f32).is_finite() => *label as f32,
                Some(_) => return Err(table.value_error(column, *row, self.expected())),
            };
            labels.push(label);
        }
        Ok(Tensor::f_from_slice(&labels)?)
    }

    /// What a label would have to be.
    fn expected(&self) -> &'static str {
        match (self.kind, &self.answers) {
            (TargetKind::Regression, _) => TOO_LARGE,
            (_, Some(_)) => {
                "named under `positive` or `negative`; name it there, or list it under the target's `missing`"
            }
            (_, None) => {
                "0 or 1; name the values that mean yes under `positive`, or those that mean none under the target's `missing`"
            }
        }
    }

    fn encode_classes(&self, table: &Table, columns: &[&Column], rows: &[usize]) -> Result<Tensor> {
        let Some(column) = columns.first() else {
            return Err(Error::config(WHOLE, format!("target `{}` has no column", self.name)));
        };
        let by_level = self.compare.places_of(column, &self.classes);
        let labels = rows.iter().map(|&row| {
            match column.codes().get(row).and_then(|&code| by_level.get(code as usize)) {
                None => Ok(MISSING_CLASS),
                Some(Some(class)) => Ok(*class as i64),
                Some(None) => Err(table.value_error(
                    column,
                    row,
                    "a class of the training split; list all under `classes`",
                )),
            }
        });
        Ok(Tensor::f_from_slice(&labels.collect::<Result<Vec<i64>>>()?)?)
    }
}

/// The moments of the labels of these rows; `None` where none has a label.
fn label_moments(table: &Table, column: &Column, rows: &[usize]) -> Result<Option<Moments>> {
    let by_level = table.level_numbers(column)?;
    let label = |row: &usize| column.codes().get(*row).map_or(f64::NAN, |code| level_value(&by_level, *code));
    Ok(Moments::of(&rows.iter().map(label)))
}

fn zeros_and_ones(table: &Table, column: &Column) -> Vec<Option<f64>> {
    let number = |text: &String| table.format().parse(text).filter(|number| [0.0, 1.0].contains(number));
    column.levels().iter().map(number).collect()
}

const TOO_LARGE: &str = "a label that can be learned: it is too large beside the others; correct it, or list it under the target's `missing`";
