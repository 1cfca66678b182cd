//! Columns of numbers.

use manytask_tensor::{KeyPath, ShownPath as _};
use serde::{Deserialize, Serialize};

use super::shape::{Shape, quantiles};
use super::{Missing, codes};
use crate::input_columns::{InputColumns, Scale};
use crate::moments::{Moments, dwarfing};
use crate::table::{Column, level_value};
use crate::words::{quoted, short};
use crate::{Error, Note, Result, Table};

/// How far beyond the training range a number counts as far outside, in widths of the range.
const FAR: f64 = 1.0;
/// The share of values outside the training range from which it is told even if none is far outside.
const SHIFTED: f64 = 0.1;
/// Values outside the training range that are always normal.
const FEW: usize = 10;

/// A column of numbers, fitted on the training split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Number {
    pub(super) name: String,
    mean: f64,
    /// What a missing value is taken for, before scaling.
    fill: f64,
    /// 0 where the column is constant.
    inverse_std: f64,
    pub(super) missing: Missing,
    /// What the training split had; unknown of runs of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<Seen>,
    /// What becomes of it instead, where it is not shifted and divided alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shape: Option<Shape>,
}

/// The numbers of the training split.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    low: f64,
    high: f64,
    /// Numbers farther outside than so many widths of the range are taken for its bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clip: Option<f64>,
}

impl Number {
    /// # Errors
    /// When the column has text, no number in these rows, or one so large that its deviation overflows.
    pub(super) fn fit(table: &Table, column: &Column, inputs: &InputColumns, rows: &[usize]) -> Result<Self> {
        let by_level = table.level_numbers(column)?;
        let values = || codes(column, rows).map(|code| level_value(&by_level, code));
        let Some(moments) = Moments::of(&values()) else {
            let message = format!(
                "{}: column `{}` has no value in the training split; put it under `ignore`",
                table.path().shown(),
                column.name()
            );
            return Err(Error::config(KeyPath::from("inputs").text(column.name()), message));
        };
        if moments.overflows() {
            let largest = rows.iter().zip(values()).filter(|(_, value)| !value.is_nan());
            let row = largest.max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())).map_or(0, |(row, _)| *row);
            return Err(table.value_error(column, row, TOO_LARGE));
        }
        let sorted = || {
            let mut numbers: Vec<f64> = values().filter(|value| !value.is_nan()).collect();
            numbers.sort_unstable_by(f64::total_cmp);
            numbers
        };
        let standard = (moments.mean, moments.inverse_std());
        let ((shift, inverse_std), shape) = match inputs.scale {
            Scale::Raw => ((0.0, 1.0), None),
            Scale::Standard => (standard, None),
            Scale::Robust => (robust(&sorted()).unwrap_or(standard), None),
            Scale::Quantile => (standard, Some(Shape::quantile(&sorted())?)),
            Scale::Piecewise => (standard, Some(Shape::piecewise(&sorted(), inputs.bins.unwrap_or(BINS)))),
        };
        let missing = if moments.count < rows.len() { Missing::Seen } else { Missing::Unseen };
        let clip = match inputs.scale {
            Scale::Raw => None,
            Scale::Standard | Scale::Robust => Some(inputs.clip.unwrap_or(CLIP)),
            Scale::Quantile | Scale::Piecewise => Some(0.0),
        };
        Ok(Self {
            name: column.name().to_owned(),
            mean: shift,
            fill: moments.mean,
            inverse_std,
            missing,
            seen: Some(Seen { low: moments.low, high: moments.high, clip }),
            shape,
        })
    }

    pub(super) fn width(&self) -> usize {
        self.numbers() + usize::from(self.missing == Missing::Seen)
    }

    /// The inputs that a number becomes.
    fn numbers(&self) -> usize {
        self.shape.as_ref().map_or(1, Shape::width)
    }

    /// Whether a number becomes one number, and not bins.
    pub(super) fn is_one_number(&self) -> bool {
        self.shape.as_ref().and_then(Shape::bins).is_none()
    }

    /// The names of these inputs.
    pub(super) fn names(&self) -> Vec<String> {
        match self.shape.as_ref().and_then(Shape::bins) {
            None => vec![self.name.clone()],
            Some(bins) => bins.iter().map(|low| format!("{} above {}", self.name, short(*low))).collect(),
        }
    }

    /// Writes the inputs of these rows into `dense`, whose rows have `width` numbers, at place `at`.
    pub(super) fn encode(
        &self,
        table: &Table,
        rows: &[usize],
        dense: &mut [f32],
        width: usize,
        at: usize,
    ) -> Result<()> {
        let column = table.column(&self.name)?;
        let numbers = self.numbers();
        let (mut by_level, mut fill) = (Vec::new(), Vec::new());
        for number in table.level_numbers(column)? {
            self.write(number, &mut by_level);
        }
        self.write(self.fill, &mut fill);
        for ((target, code), row) in dense.chunks_mut(width.max(1)).zip(codes(column, rows)).zip(rows) {
            let start = (code as usize).saturating_mul(numbers);
            let value = by_level.get(start..start.saturating_add(numbers));
            if value.is_some_and(|value| value.iter().any(|value| !value.is_finite())) {
                return Err(table.value_error(column, *row, TOO_LARGE));
            }
            if let Some(cells) = target.get_mut(at..at + numbers) {
                cells.copy_from_slice(value.unwrap_or(&fill));
            }
            if let (Missing::Seen, None, Some(cell)) = (self.missing, value, target.get_mut(at + numbers)) {
                *cell = 1.0;
            }
        }
        Ok(())
    }

    /// Appends the inputs of a number.
    fn write(&self, number: f64, out: &mut Vec<f32>) {
        match &self.shape {
            None => out.push(self.scaled(number)),
            Some(shape) => shape.write(number, out),
        }
    }

    /// Not finite where it is beyond single precision.
    fn scaled(&self, number: f64) -> f32 {
        let scaled = |number: f64| ((number - self.mean) * self.inverse_std) as f32;
        match self.seen {
            Some(seen) if scaled(number).is_finite() => scaled(seen.clipped(number)),
            _ => scaled(number),
        }
    }

    /// A value that dwarfs all others, values that hardly differ, or identifiers that no number can tell apart.
    pub(super) fn oddity(&self, table: &Table, rows: &[usize]) -> Result<Option<Note>> {
        let column = table.column(&self.name)?;
        let by_level = table.level_numbers(column)?;
        let values = || codes(column, rows).map(|code| level_value(&by_level, code));
        let Some(moments) = Moments::of(&values()).filter(|moments| moments.low < moments.high) else {
            return Ok(None);
        };
        let name = &self.name;
        let number = |row| column.codes().get(row).map_or(f64::NAN, |code| level_value(&by_level, *code));
        if let Some(row) = dwarfing(rows, number) {
            return Ok(Some(Note(format!(
                "column `{name}`: {} in {} is so far from all other values that they hardly differ beside it; correct it, or \
                 list it under `missing`",
                quoted(column.text(row).unwrap_or_default()),
                table.row_name(row)
            ))));
        }
        let size = moments.low.abs().max(moments.high.abs());
        if moments.high - moments.low < ALIKE * size {
            return Ok(Some(Note(format!(
                "column `{name}` hardly varies: its training values lie between {:?} and {:?}",
                moments.low, moments.high
            ))));
        }
        let distinct = column.levels().iter().zip(&by_level).filter(|(_, number)| number.abs() >= INTEGERS);
        let mut numbers: Vec<u64> = distinct.map(|(_, number)| number.to_bits()).collect();
        let texts = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        Ok((numbers.len() < texts).then(|| {
            Note(format!(
                "column `{name}`: {texts} values beyond 2^53 are only {} different numbers; identifiers are categories",
                numbers.len()
            ))
        }))
    }

    /// What these rows have that the training split had not.
    pub(super) fn review(&self, table: &Table, rows: &[usize], what: &str) -> Result<Vec<Note>> {
        let column = table.column(&self.name)?;
        let by_level = table.level_numbers(column)?;
        let name = column.name();
        let mut notes = Vec::new();
        let gaps = codes(column, rows).filter(|code| by_level.get(*code as usize).is_none()).count();
        if gaps > 0 && self.missing == Missing::Unseen {
            notes.push(Note(format!(
                "column `{name}`: {gaps} of {} rows of {what} have no value, which no training row lacked; taken for the mean {}",
                rows.len(),
                short(self.fill)
            )));
        }
        let Some(seen) = self.seen else { return Ok(notes) };
        let values = || rows.iter().zip(codes(column, rows).map(|code| level_value(&by_level, code)));
        let outside = values().filter(|(_, value)| seen.widths_outside(*value) > 0.0).count();
        let far = || values().filter(|(_, value)| seen.widths_outside(*value) > FAR);
        let range = format!("the training range {} to {}", short(seen.low), short(seen.high));
        if let Some((row, _)) = far().next() {
            let taken = match seen.clip {
                _ if self.inverse_std == 0.0 => "the column did not vary there and is no help".to_owned(),
                Some(0.0) => "they are taken for its bounds".to_owned(),
                Some(clip) => format!("values beyond {clip} times its width are taken for that bound"),
                None => "they are taken as they are".to_owned(),
            };
            notes.push(Note(format!(
                "column `{name}`: {} of {} values of {what} lie far outside {range}, the first in {}: {}; {taken}",
                far().count(),
                rows.len(),
                table.row_name(*row),
                quoted(column.text(*row).unwrap_or_default()),
            )));
        } else if outside > FEW && outside as f64 > SHIFTED * rows.len() as f64 {
            notes.push(Note(format!(
                "column `{name}`: {outside} of {} values of {what} lie outside {range}",
                rows.len()
            )));
        }
        Ok(notes)
    }
}

impl Seen {
    fn clipped(self, number: f64) -> f64 {
        let Some(clip) = self.clip else { return number };
        let slack = clip * (self.high - self.low);
        number.max(self.low - slack).min(self.high + slack)
    }

    /// How many widths of the range a number lies outside of it; 0 within.
    fn widths_outside(self, number: f64) -> f64 {
        let beyond = (self.low - number).max(number - self.high);
        match self.high - self.low {
            _ if beyond.is_nan() || beyond <= 0.0 => 0.0,
            width if width > 0.0 => beyond / width,
            _ => f64::INFINITY,
        }
    }
}

/// The median, and the inverse of what lies between the quartiles; `None` where that is nothing.
fn robust(sorted: &[f64]) -> Option<(f64, f64)> {
    let quartiles: Vec<f64> = quantiles(sorted, 5).map(|(_, value)| value).collect();
    let &[_, low, median, high, _] = quartiles.as_slice() else { return None };
    let inverse = (high - low).recip();
    (high > low && inverse.is_finite()).then_some((median, inverse))
}

/// The bins of numbers where none are set.
pub(crate) const BINS: usize = 32;

/// Values that differ by less than this share of their size hardly vary.
const ALIKE: f64 = 1e-9;
/// From here on not every integer is a number in double precision: 2⁵³.
const INTEGERS: f64 = 9_007_199_254_740_992.0;

/// The bound of standardised inputs where none is set, in widths of the training range.
pub(crate) const CLIP: f64 = 10.0;

const TOO_LARGE: &str =
    "a number that can be used: it is too large beside the others; correct it, or list it under `missing`";
