//! What was read of a data set: rows, inputs and labels of each split, and what is odd about them.

mod classes;
mod note;
mod odd;
#[cfg(test)]
mod tests;

use manytask_tensor::WHOLE;
use std::collections::HashSet;
use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};

pub use self::classes::ClassCounts;
pub(crate) use self::note::capped;
pub use self::note::{Note, NoteForm, TaskNote};
use self::odd::OddLabels;
use crate::splits::SPLITS;
use crate::words::{quoted, shape, short};
use crate::{Error, MISSING_CLASS, Result, SplitData, Splits, TargetKind};

/// Targets that are listed one by one; more are summarised.
const LISTED: usize = 12;
/// Classes that are counted one by one.
const CLASSES: usize = 8;

/// What was read of a data set, to be shown before anything is trained on it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DataReport {
    /// The rows of each split, in the order training, validation, test; those without a row are left out.
    pub rows: Vec<(String, usize)>,
    /// Of a data set of episodes: the splits with their classes and images, or tasks and rows.
    #[serde(skip)]
    pub classes: Vec<ClassCounts>,
    /// The inputs by their form.
    pub inputs: InputCounts,
    /// The labels of each task.
    pub targets: Vec<TargetReport>,
    /// What stands for a missing value in inputs and labels, blank fields apart, and in how many columns.
    pub missing: Vec<(String, usize)>,
    /// How row weights count, if there are any.
    pub weights: Option<String>,
    /// What a user should look at in the labels of tasks, most important first.
    pub task_notes: Vec<TaskNote>,
    /// What else a user should look at, most important first.
    pub notes: Vec<Note>,
    /// What the other splits of a data set of episodes have that the training split had not: of no concern where nothing is trained.
    #[serde(skip)]
    pub unlike_training: Vec<Note>,
}

/// How many inputs there are of each form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputCounts {
    /// Numeric columns.
    pub numeric: usize,
    /// One-hot columns.
    pub one_hot: usize,
    /// The 0/1 inputs that these make.
    pub one_hot_width: usize,
    /// Columns for embedding layers.
    pub embedding: usize,
    /// The shape of images, `[C, H, W]`; empty where inputs are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image: Vec<i64>,
}

/// The labels of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetReport {
    /// The task's name.
    pub name: String,
    /// The names of classes, or of the columns of a multi-label task.
    pub classes: Vec<String>,
    /// The mean and standard deviation by which a regression's labels are standardised.
    pub standardised: Option<(f64, f64)>,
    /// The labels of each split.
    pub splits: Vec<(String, LabelCounts)>,
}

/// How many labels of each sort there are in a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelCounts {
    /// Of a regression.
    Numbers {
        /// Rows with a label.
        labelled: usize,
        /// Rows without.
        missing: usize,
    },
    /// Of a binary task, or of all labels of a multi-label one.
    Answers {
        /// Labels that are 1.
        yes: usize,
        /// Labels that are 0.
        no: usize,
        /// Labels that are missing.
        missing: usize,
    },
    /// Of classes.
    Classes {
        /// Rows of each class.
        counts: Vec<usize>,
        /// Rows without a label.
        missing: usize,
    },
}

/// Marks of missing values that are listed.
const MARKS: usize = 6;

impl DataReport {
    /// Counts rows and labels; `kinds` has the kind of each task.
    ///
    /// # Errors
    /// When labels are not of the form of their kind.
    pub fn of(splits: &Splits<SplitData>, kinds: &[TargetKind]) -> Result<Self> {
        let mut report = Self::default();
        let mut odd = OddLabels::default();
        for (name, split) in splits.iter() {
            let rows = split.streams().iter().sum::<i64>() as usize;
            report.rows.push((name.to_owned(), rows));
            for (number, (task, kind)) in split.tasks.iter().zip(kinds).enumerate() {
                if report.targets.len() <= number {
                    let (name, classes) = (task.name.clone(), Vec::new());
                    report.targets.push(TargetReport {
                        name,
                        classes,
                        standardised: None,
                        splits: Vec::new(),
                    });
                }
                let counts = LabelCounts::of(&task.target, *kind)?;
                odd.look(&task.name, name, &task.target, &counts)?;
                if let Some(target) = report.targets.get_mut(number) {
                    target.splits.push((name.to_owned(), counts));
                }
            }
        }
        report.task_notes = odd.notes();
        Ok(report)
    }

    /// One line for rows and inputs, then one for each task, of which many are summarised. Notes are not among them.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.summary()];
        let listed = if self.targets.len() > LISTED { LISTED - 1 } else { LISTED };
        lines.extend(self.targets.iter().take(listed).map(TargetReport::line));
        if let Some(rest) = self.targets.get(listed..).filter(|rest| !rest.is_empty()) {
            lines.push(summarised(rest));
        }
        if !self.missing.is_empty() {
            let marks = self.missing.iter().take(MARKS).map(|(mark, columns)| match columns {
                1 => format!("{} in 1 column", quoted(mark)),
                columns => format!("{} in {columns} columns", quoted(mark)),
            });
            let more = if self.missing.len() > MARKS { ", …" } else { "" };
            lines.push(format!("  taken for missing: {}{more}", marks.collect::<Vec<_>>().join(", ")));
        }
        lines.extend(self.weights.iter().map(|weights| format!("  {weights}")));
        lines
    }

    /// The same of these tasks alone.
    #[must_use]
    pub fn of_tasks(mut self, names: &[&str]) -> Self {
        let names: HashSet<&str> = names.iter().copied().collect();
        self.targets.retain(|target| names.contains(target.name.as_str()));
        let notes = std::mem::take(&mut self.task_notes).into_iter();
        self.task_notes = notes.filter_map(|note| note.kept(|task| names.contains(task))).collect();
        self
    }

    /// The same where nothing is trained, so that it does not matter what the training split has.
    #[must_use]
    pub fn of_no_training(self) -> Self {
        Self { unlike_training: Vec::new(), ..self }
    }

    /// All that a user should look at, most important first.
    pub fn all_notes(&self) -> Vec<String> {
        let others = self.notes.iter().chain(&self.unlike_training).map(ToString::to_string);
        note::shown(&self.task_notes).into_iter().chain(others).collect()
    }

    /// Whether nothing is known of the rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.classes.is_empty()
    }

    /// Rows and inputs, or classes and images, in one line.
    pub fn summary(&self) -> String {
        if !self.classes.is_empty() {
            let of_part = |counts: &ClassCounts| {
                let ClassCounts { split, classes, examples, called: [groups, each] } = counts;
                format!("{classes} {split} {groups} of {examples} {each}")
            };
            return format!("data: {}", self.classes.iter().map(of_part).collect::<Vec<_>>().join(", "));
        }
        let rows: Vec<String> = self.rows.iter().map(|(split, rows)| format!("{rows} {split}")).collect();
        if !self.inputs.image.is_empty() {
            return format!("data: {} images of {}", rows.join(", "), shape(&self.inputs.image));
        }
        format!("data: {} rows; {}", rows.join(", "), self.inputs)
    }
}

impl fmt::Display for InputCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut forms = Vec::new();
        if self.numeric > 0 {
            forms.push(format!("{} numeric", self.numeric));
        }
        if self.one_hot > 0 {
            forms.push(format!("{} one-hot with {} categories", self.one_hot, self.one_hot_width));
        }
        if self.embedding > 0 {
            forms.push(format!("{} embedded", self.embedding));
        }
        if forms.is_empty() {
            return f.write_str("inputs of no table");
        }
        write!(f, "input columns: {}", forms.join(", "))
    }
}

impl TargetReport {
    fn line(&self) -> String {
        let mut line = format!("  {}: ", self.name);
        let splits =
            self.splits.iter().map(|(split, counts)| format!("{split} {}", counts.text(&self.classes)));
        line.push_str(&splits.collect::<Vec<_>>().join("; "));
        if let Some((mean, std)) = self.standardised {
            let (mean, std) = (short(mean), short(std));
            let _ =
                write!(line, "; standardised by mean {mean} and deviation {std}, its loss is in these units");
        }
        line
    }
}

impl LabelCounts {
    /// Counts the labels of a tensor.
    fn of(target: &manytask_tensor::Tensor, kind: TargetKind) -> Result<Self> {
        let flat = target.f_to_device(manytask_tensor::Device::Cpu)?.f_contiguous()?.f_reshape([-1])?;
        let form = |_| Error::config(WHOLE, "labels are not of the form of their target's kind");
        if kind == TargetKind::Multiclass {
            let labels = Vec::<i64>::try_from(flat).map_err(form)?;
            let mut counts: Vec<usize> = Vec::new();
            for class in labels.iter().filter(|class| **class != MISSING_CLASS) {
                let class = usize::try_from(*class).unwrap_or_default();
                if counts.len() <= class {
                    counts.resize(class + 1, 0);
                }
                if let Some(count) = counts.get_mut(class) {
                    *count += 1;
                }
            }
            return Ok(Self::Classes { missing: labels.len() - counts.iter().sum::<usize>(), counts });
        }
        let labels = Vec::<f32>::try_from(flat).map_err(form)?;
        let missing = labels.iter().filter(|label| label.is_nan()).count();
        if kind == TargetKind::Regression {
            return Ok(Self::Numbers { labelled: labels.len() - missing, missing });
        }
        let yes = labels.iter().filter(|label| **label > 0.5).count();
        Ok(Self::Answers { yes, no: labels.len() - missing - yes, missing })
    }

    /// The number of labels.
    pub fn labelled(&self) -> usize {
        match self {
            Self::Numbers { labelled, .. } => *labelled,
            Self::Answers { yes, no, .. } => yes + no,
            Self::Classes { counts, .. } => counts.iter().sum(),
        }
    }

    /// The number of labels that are missing.
    pub fn missing(&self) -> usize {
        match self {
            Self::Numbers { missing, .. } | Self::Answers { missing, .. } | Self::Classes { missing, .. } => {
                *missing
            }
        }
    }

    fn text(&self, classes: &[String]) -> String {
        let missing = self.missing();
        match self {
            Self::Numbers { labelled, .. } => format!("{labelled} labels, {missing} missing"),
            Self::Answers { yes, no, .. } => format!("{yes} yes, {no} no, {missing} missing"),
            Self::Classes { counts, .. } if counts.len() > CLASSES => {
                let present = counts.iter().filter(|count| **count > 0).count();
                format!("{} labels of {present} classes, {missing} missing", self.labelled())
            }
            Self::Classes { counts, .. } => {
                let named = counts.iter().enumerate().map(|(class, count)| {
                    let name = classes.get(class).cloned().unwrap_or_else(|| class.to_string());
                    format!("{count} {name}")
                });
                let named: Vec<String> = named.chain([format!("{missing} missing")]).collect();
                named.join(", ")
            }
        }
    }
}

/// Many tasks in one line: from the fewest to the most labels in each split.
fn summarised(targets: &[TargetReport]) -> String {
    let mut line = format!("  and {} further tasks", targets.len());
    for split in SPLITS {
        let labels = || {
            let of = |target: &TargetReport| {
                let counts = target.splits.iter().find(|(name, _)| name == split)?;
                Some(counts.1.labelled())
            };
            targets.iter().filter_map(of)
        };
        if let (Some(fewest), Some(most)) = (labels().min(), labels().max()) {
            let _ = write!(line, "; {split} {fewest} to {most} labels each");
        }
    }
    line
}
