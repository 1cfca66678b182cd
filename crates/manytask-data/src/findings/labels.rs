//! Labels: what tells them, what is odd about them, and what stands for none.

use std::collections::{BTreeMap, HashSet};

use super::{ENOUGH, FindingContext};
use crate::error::shown;
use crate::moments::{Moments, dwarfing};
use crate::table::{Column, level_value};
use crate::words::{examples, quoted, short};
use crate::{Result, TargetEncoder, TargetKind, TaskNote};

/// Mean or deviation of labels beyond which they are better standardised.
const LARGE: f64 = 1e3;
/// Deviation of labels below which they are better standardised.
const SMALL: f64 = 1e-3;
const ODD: &str = "have odd labels";

impl FindingContext<'_> {
    /// What stands for a missing value in inputs and labels, and in how many columns.
    pub(crate) fn marks_of_missing(&self) -> Result<Vec<(String, usize)>> {
        let labels = self.targets.iter().flat_map(TargetEncoder::columns).map(|name| self.table.column(name));
        let mut marks = BTreeMap::new();
        for column in self.columns().chain(labels) {
            for mark in column?.missing_marks().iter().filter(|mark| !mark.is_empty()) {
                *marks.entry(mark.clone()).or_insert(0) += 1;
            }
        }
        Ok(marks.into_iter().collect())
    }

    /// Inputs that tell a target's label exactly.
    pub(super) fn answers_among_inputs(&self) -> Result<Vec<TaskNote>> {
        let rows = &self.indices.train;
        let labels = self.labels()?;
        let of_numbers = labels.iter().any(|label| label.numbers.is_some());
        let numeric: HashSet<&str> = self.inputs.numeric.iter().map(String::as_str).collect();
        let mut telling: Vec<Vec<&str>> = vec![Vec::new(); labels.len()];
        for input in self.columns() {
            let input = input?;
            let numbers =
                (of_numbers && numeric.contains(input.name())).then(|| self.table.level_numbers(input));
            let numbers = numbers.transpose()?;
            for (label, telling) in labels.iter().zip(&mut telling) {
                let linear = match (&numbers, &label.numbers) {
                    (Some(xs), Some(ys)) => is_linear(input, xs, label.column, ys, rows),
                    _ => false,
                };
                if linear || determines(input, label.column, rows) {
                    telling.push(input.name());
                }
            }
        }
        let told = labels.iter().zip(telling).filter(|(_, telling)| !telling.is_empty());
        Ok(told
            .map(|(label, telling)| {
                let text = format!(
                    "target `{}`: in all training rows its label follows from the input column {}; if that is not known when \
                 predicting, put it under `ignore`",
                    label.task,
                    examples(telling)
                );
                TaskNote::of(label.task, text, "have labels that follow from an input")
            })
            .collect())
    }

    /// A usual mark of missing labels that may as well be the name of a class.
    pub(super) fn words_for_missing(&self) -> Result<Vec<TaskNote>> {
        let mut notes = Vec::new();
        for target in self.targets.iter().filter(|target| target.kind() != TargetKind::Regression) {
            for name in target.columns() {
                let marks = self.table.column(name)?.missing_marks().iter();
                if let Some(word) = marks.map(String::as_str).find(|mark| mark.eq_ignore_ascii_case("none")) {
                    let text = format!(
                        "target `{}`: `{word}` in column `{}` stands for no label; if it is a class, list marks of missing \
                         values without it under `missing` in `source`, if not, list it under the target's `missing`",
                        target.name(),
                        shown(name)
                    );
                    notes.push(TaskNote::of(target.name(), text, "have `none` for no label"));
                }
            }
        }
        Ok(notes)
    }

    fn labels(&self) -> Result<Vec<Label<'_>>> {
        let mut labels = Vec::new();
        for target in self.targets {
            for name in target.columns() {
                let column = self.table.column(name)?;
                let numbers =
                    (target.kind() == TargetKind::Regression).then(|| self.table.level_numbers(column));
                labels.push(Label { task: target.name(), column, numbers: numbers.transpose()? });
            }
        }
        Ok(labels)
    }

    /// Labels of a regression far from the size that networks learn, and classes that no training row has.
    pub(super) fn odd_labels(&self) -> Result<Vec<TaskNote>> {
        let mut notes = Vec::new();
        for target in self.targets {
            let Some(name) = target.columns().first() else { continue };
            let column = self.table.column(name)?;
            match target.kind() {
                TargetKind::Multiclass => {
                    let empty = target.unseen_classes(column, &self.indices.train);
                    if !empty.is_empty() {
                        let (task, empty) = (target.name(), examples(empty));
                        let text = format!("target `{task}`: no training row is of class {empty}");
                        notes.push(TaskNote::of(task, text, ODD));
                    }
                }
                TargetKind::Regression => {
                    let odd = self.odd_numbers(target, column)?;
                    notes.extend(odd.map(|text| TaskNote::of(target.name(), text, ODD)));
                }
                TargetKind::Binary | TargetKind::Multilabel => {}
            }
        }
        Ok(notes)
    }

    fn odd_numbers(&self, target: &TargetEncoder, column: &Column) -> Result<Option<String>> {
        let (task, rows) = (target.name(), &self.indices.train);
        let by_level = self.table.level_numbers(column)?;
        let number =
            |row: usize| column.codes().get(row).map_or(f64::NAN, |code| level_value(&by_level, *code));
        if let Some(row) = dwarfing(rows, number) {
            return Ok(Some(format!(
                "target `{task}`: the label {} in {} is so far from all others that they hardly differ beside it; correct it, \
                 or list it under the target's `missing`",
                quoted(column.text(row).unwrap_or_default()),
                self.table.row_name(row)
            )));
        }
        let moments = Moments::of(&rows.iter().map(|row| number(*row)));
        let odd = moments.filter(|of| of.std > 0.0 && (of.mean.abs().max(of.std) > LARGE || of.std < SMALL));
        Ok(odd.filter(|_| target.mean_std() == (0.0, 1.0)).map(|of| {
            format!(
                "target `{task}`: its labels have mean {} and deviation {} and are not standardised, so losses are of that \
                 size; leave `standardise` out",
                short(of.mean),
                short(of.std)
            )
        }))
    }
}

/// A column of labels.
struct Label<'a> {
    task: &'a str,
    column: &'a Column,
    /// Of each level, if it is a regression's.
    numbers: Option<Vec<f64>>,
}

/// Whether each value of the input has one label alone, and there are far fewer values than rows.
pub(crate) fn determines(input: &Column, label: &Column, rows: &[usize]) -> bool {
    const OPEN: u32 = u32::MAX;
    let gap = input.levels().len();
    if rows.len() < ENOUGH || gap * 4 > rows.len() {
        return false;
    }
    let mut label_of = vec![OPEN; gap + 1];
    let (mut labelled, mut used, mut first, mut several) = (0_usize, 0_usize, None, false);
    for row in rows {
        let (Some(value), Some(answer)) = (input.codes().get(*row), label.codes().get(*row)) else {
            continue;
        };
        if *answer as usize >= label.levels().len() {
            continue;
        }
        let Some(known) = label_of.get_mut((*value as usize).min(gap)) else { continue };
        if *known == OPEN {
            *known = *answer;
            used += 1;
        } else if known != answer {
            return false;
        }
        labelled += 1;
        several |= *first.get_or_insert(*answer) != *answer;
    }
    several && labelled >= ENOUGH && used * 4 <= labelled
}

/// Whether labels are `a x + b` of the numbers of an input.
fn is_linear(input: &Column, xs: &[f64], label: &Column, ys: &[f64], rows: &[usize]) -> bool {
    let points = || {
        rows.iter().filter_map(|row| {
            let x = level_value(xs, *input.codes().get(*row)?);
            let y = level_value(ys, *label.codes().get(*row)?);
            (!x.is_nan() && !y.is_nan()).then_some((x, y))
        })
    };
    // Two rows far enough apart say what the line would be, a few more that there is none.
    let Some((x0, y0)) = points().next() else { return false };
    let Some((x1, y1)) = points().find(|(x, y)| *x != x0 && *y != y0) else { return false };
    let slope = (y1 - y0) / (x1 - x0);
    let off = |(x, y): (f64, f64)| (y0 + slope * (x - x0) - y).abs();
    let size = (y1 - y0).abs();
    if points().take(ENOUGH).any(|point| off(point) > 1e-2 * size.max((point.1 - y0).abs())) {
        return false;
    }
    let (Some(x), Some(y)) = (Moments::of(&points().map(|(x, _)| x)), Moments::of(&points().map(|(_, y)| y)))
    else {
        return false;
    };
    let together: f64 = points().map(|(a, b)| (a - x.mean) * (b - y.mean)).sum::<f64>() / x.count as f64;
    x.count >= ENOUGH && (together * x.inverse_std() * y.inverse_std()).abs() > 1.0 - 1e-9
}
