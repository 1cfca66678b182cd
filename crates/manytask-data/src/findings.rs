//! What a user should look at in a table before anything is trained on it.

use std::collections::{BTreeMap, HashSet};

use crate::error::shown;
use crate::inputs::Resolved;
use crate::moments::{Moments, dwarfing};
use crate::report::{capped, examples, quoted, short};
use crate::table::{Column, level_value};
use crate::value::{Values, seen};
use crate::{Encoder, Indices, Note, Result, Table, TargetEncoder, TargetKind};

#[cfg(test)]
mod tests;

/// Training rows from which on a finding is no accident.
const ENOUGH: usize = 20;
/// The share of distinct values from which on a column names its rows.
const NEARLY_ALL: f64 = 0.9;
/// A column that is the same in all rows of a part, where chance would not have it more often than so.
const CHANCE: f64 = 1e-3;
/// Mean or deviation of labels beyond which they are better standardised.
const LARGE: f64 = 1e3;
/// Deviation of labels below which they are better standardised.
const SMALL: f64 = 1e-3;

/// All that is looked at.
pub(crate) struct Scene<'a> {
    pub(crate) table: &'a Table,
    pub(crate) indices: &'a Indices,
    pub(crate) inputs: &'a Resolved,
    pub(crate) encoder: &'a Encoder,
    pub(crate) targets: &'a [TargetEncoder],
    /// Columns whose values are tasks or groups.
    pub(crate) groups: Vec<&'a str>,
}

impl Scene<'_> {
    /// What is found, the gravest first.
    pub(crate) fn findings(&self) -> Result<Vec<Note>> {
        let mut notes = self.inputs.notes.clone();
        notes.extend(self.answers_among_inputs()?);
        notes.extend(self.words_for_missing()?);
        notes.extend(self.odd_labels()?);
        notes.extend(self.identifiers()?);
        notes.extend(self.constants()?);
        notes.extend(self.spellings()?);
        notes.extend(self.encoder.oddities(self.table, &self.indices.train)?);
        for (rows, what) in [(&self.indices.validation, VALIDATION), (&self.indices.test, TEST)] {
            if !rows.is_empty() {
                notes.extend(self.encoder.review(self.table, rows, what)?);
            }
        }
        Ok(notes)
    }

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

    fn categories(&self) -> impl Iterator<Item = Result<&Column>> {
        self.inputs.one_hot.iter().chain(&self.inputs.embedding).map(|name| self.table.column(name))
    }

    fn columns(&self) -> impl Iterator<Item = Result<&Column>> {
        self.categories().chain(self.inputs.numeric.iter().map(|name| self.table.column(name)))
    }

    /// Inputs that tell a target's label exactly.
    fn answers_among_inputs(&self) -> Result<Vec<Note>> {
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
        let notes = told.map(|(label, telling)| {
            Note(format!(
                "target `{}`: in all training rows its label follows from the input column {}; if that is not known when \
                 predicting, put it under `ignore`",
                label.task,
                examples(telling)
            ))
        });
        Ok(capped(notes.collect(), "are labels that follow from an input"))
    }

    /// A usual mark of missing labels that may as well be the name of a class.
    fn words_for_missing(&self) -> Result<Vec<Note>> {
        let mut notes = Vec::new();
        for target in self.targets.iter().filter(|target| target.kind() != TargetKind::Regression) {
            for name in target.columns() {
                let marks = self.table.column(name)?.missing_marks().iter();
                if let Some(word) = marks.map(String::as_str).find(|mark| mark.eq_ignore_ascii_case("none")) {
                    notes.push(Note(format!(
                        "target `{}`: `{word}` in column `{}` stands for no label; if it is a class, list marks of missing \
                         values without it under `missing` in `source`, if not, list it under the target's `missing`",
                        target.name(),
                        shown(name)
                    )));
                }
            }
        }
        Ok(capped(notes, "have `none` for no label"))
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
    fn odd_labels(&self) -> Result<Vec<Note>> {
        let mut notes = Vec::new();
        for target in self.targets {
            let Some(name) = target.columns().first() else { continue };
            let column = self.table.column(name)?;
            match target.kind() {
                TargetKind::Multiclass => {
                    let empty = target.unseen_classes(column, &self.indices.train);
                    if !empty.is_empty() {
                        let (task, empty) = (target.name(), examples(empty));
                        notes.push(Note(format!("target `{task}`: no training row is of class {empty}")));
                    }
                }
                TargetKind::Regression => notes.extend(self.odd_numbers(target, column)?),
                TargetKind::Binary | TargetKind::Multilabel => {}
            }
        }
        Ok(capped(notes, "are targets with odd labels"))
    }

    fn odd_numbers(&self, target: &TargetEncoder, column: &Column) -> Result<Option<Note>> {
        let (task, rows) = (target.name(), &self.indices.train);
        let by_level = self.table.level_numbers(column)?;
        let number =
            |row: usize| column.codes().get(row).map_or(f64::NAN, |code| level_value(&by_level, *code));
        if let Some(row) = dwarfing(rows, number) {
            return Ok(Some(Note(format!(
                "target `{task}`: the label {} in {} is so far from all others that they hardly differ beside it; correct it, \
                 or list it under the target's `missing`",
                quoted(column.text(row).unwrap_or_default()),
                self.table.row_name(row)
            ))));
        }
        let moments = Moments::of(&rows.iter().map(|row| number(*row)));
        let odd = moments.filter(|of| of.std > 0.0 && (of.mean.abs().max(of.std) > LARGE || of.std < SMALL));
        Ok(odd.filter(|_| target.mean_std() == (0.0, 1.0)).map(|of| {
            Note(format!(
                "target `{task}`: its labels have mean {} and deviation {} and are not standardised, so losses are of that \
                 size; leave `standardise` out",
                short(of.mean),
                short(of.std)
            ))
        }))
    }

    /// Inputs that name or count the rows.
    fn identifiers(&self) -> Result<Vec<Note>> {
        let rows = &self.indices.train;
        let mut notes = Vec::new();
        for column in self.categories() {
            let column = column?;
            let (seen, _) = seen(column, rows);
            let distinct = seen.iter().filter(|seen| **seen).count();
            let known = rows.iter().filter(|row| column.text(**row).is_some()).count();
            if known >= ENOUGH && distinct as f64 >= NEARLY_ALL * known as f64 {
                notes.push(Note(format!(
                    "column `{0}` has {distinct} values in {known} training rows: it names the rows and tells nothing of \
                     others; leave it out with ignore = [\"{0}\"]",
                    column.name(),
                )));
            }
        }
        for name in self.inputs.numeric.iter().filter(|name| !self.inputs.exactly.contains(*name)) {
            let column = self.table.column(name)?;
            if column.levels().len() >= ENOUGH && counts_up(column) {
                notes.push(Note(format!(
                    "column `{name}` counts the rows: it is an input by their order; leave it out with ignore = [\"{name}\"]"
                )));
            }
        }
        for column in self.columns() {
            let column = column?;
            if column.is_nameless() && !self.inputs.exactly.contains(column.name()) {
                notes.push(Note(format!(
                    "column `{0}` has no name in the header and is taken as an input; leave it out with ignore = [\"{0}\"]",
                    column.name()
                )));
            }
        }
        Ok(capped(notes, "name or count the rows"))
    }

    /// Inputs that are the same in all rows of a part.
    fn constants(&self) -> Result<Vec<Note>> {
        let mut notes = Vec::new();
        let mut everywhere = HashSet::new();
        for column in self.columns() {
            let column = column?;
            if alike(column, &self.indices.train).is_some() {
                everywhere.insert(column.name());
            }
        }
        if self.indices.train.len() > 1 && !everywhere.is_empty() {
            let names = self.table.names().filter(|name| everywhere.contains(name));
            notes.push(Note(format!(
                "{} of the input columns never vary in the training part and tell nothing: {}",
                everywhere.len(),
                examples(names)
            )));
        }
        for (rows, what) in [(&self.indices.validation, VALIDATION), (&self.indices.test, TEST)] {
            let mut names = Vec::new();
            for column in self.columns() {
                let column = column?;
                let Some(code) = alike(column, rows).filter(|_| !everywhere.contains(column.name())) else {
                    continue;
                };
                let train = &self.indices.train;
                let equal = train.iter().filter(|row| column.codes().get(**row) == Some(&code)).count();
                if (equal as f64 / train.len().max(1) as f64).powf(rows.len() as f64) < CHANCE {
                    names.push(column.name());
                }
            }
            if !names.is_empty() {
                notes.push(Note(format!(
                    "{} of the input columns vary in training and not in {what}: {}",
                    names.len(),
                    examples(names)
                )));
            }
        }
        Ok(notes)
    }

    /// Values that are written in several ways.
    fn spellings(&self) -> Result<Vec<Note>> {
        let labels = self.targets.iter().filter(|target| target.kind() != TargetKind::Regression);
        let labels = labels.flat_map(|target| target.columns().iter().map(String::as_str));
        let groups = labels.chain(self.groups.iter().copied()).map(|name| self.table.column(name));
        let mut notes = Vec::new();
        let mut seen = HashSet::new();
        for column in self.categories().chain(groups) {
            let column = column?;
            let values = Values::of(column, &self.indices.train);
            if let Some((first, other)) = values.merged.first().filter(|_| seen.insert(column.name())) {
                notes.push(Note(format!(
                    "column `{}`: {} are one value, {} spellings in all are taken for another",
                    column.name(),
                    examples([first.as_str(), other.as_str()]),
                    values.merged.len()
                )));
            }
        }
        Ok(capped(notes, "have values that are written in several ways"))
    }
}

/// A column of labels.
struct Label<'a> {
    task: &'a str,
    column: &'a Column,
    /// Of each level, if it is a regression's.
    numbers: Option<Vec<f64>>,
}

/// Whether a column without a name numbers the rows, as tables do that were written with their index.
pub(crate) fn numbers_rows(column: &Column) -> bool {
    column.is_nameless() && column.levels().len() > 2 && counts_up(column)
}

const VALIDATION: &str = "the validation part";
const TEST: &str = "the test part";

/// Whether the values are integers, each one more than the one before, and nearly as many as there are rows.
fn counts_up(column: &Column) -> bool {
    let mut before = None;
    for level in column.levels() {
        let Ok(number) = level.trim().parse::<i64>() else { return false };
        if before.is_some_and(|before: i64| before.checked_add(1) != Some(number)) {
            return false;
        }
        before = Some(number);
    }
    // Files of other parts may count anew.
    2 * column.levels().len() >= column.codes().len()
}

/// The code that all of these rows have, if it is one.
fn alike(column: &Column, rows: &[usize]) -> Option<u32> {
    let mut codes = rows.iter().map(|row| column.codes().get(*row));
    let first = codes.next()??;
    codes.all(|code| code == Some(first)).then_some(*first)
}

/// Whether each value of the input has one label alone, and there are far fewer values than rows.
fn determines(input: &Column, label: &Column, rows: &[usize]) -> bool {
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
