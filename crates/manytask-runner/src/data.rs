//! Where rows come from, as `[data]` says.

mod images;
mod scenes;

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use manytask_data::{
    Cached, DataReport, Indices, Scale, SplitRule, Table, TableDataset, TargetKind, TargetSpec,
};
use manytask_multitask::{InputSizes, Task, TaskSplits};
use manytask_nn::metrics::Output;

use crate::failure::{Code, Failure, Result};
use crate::report::say;
use crate::schema::InputSchema;
use crate::tables;

/// The settings of a data set of rows with labels.
pub trait DataSettings: Debug + Send + Sync {
    /// Reads everything; relative paths start from `folder`.
    ///
    /// # Errors
    /// When a file is missing or damaged, or does not have what the settings name.
    fn load(&self, folder: &Path) -> Result<Loaded>;

    /// What the settings say by themselves, before anything is read.
    ///
    /// # Errors
    /// When they are impossible whatever the files hold.
    fn outline(&self) -> Result<Outline> {
        Ok(Outline::default())
    }

    /// Whether the rows can be divided into the folds of a cross-validation, by the key `fold`.
    fn has_folds(&self) -> bool {
        false
    }

    /// The folds of the rows, where the settings name one of them.
    ///
    /// # Errors
    /// When a file is missing or damaged, or its rows cannot be divided so.
    fn folds(&self, folder: &Path) -> Result<Option<RowFolds>> {
        let _ = folder;
        Ok(None)
    }

    /// The rows as they stand in a table, and which of them each split has; `None` of what is no table.
    ///
    /// # Errors
    /// When a file is missing or damaged, or does not have what the settings name.
    fn rows(&self, folder: &Path) -> Result<Option<(Table, Indices)>> {
        let _ = folder;
        Ok(None)
    }

    /// The settings with defaults that depend on others written out, for those who read the whole configuration; `None` where
    /// there are none.
    ///
    /// # Errors
    /// When they have no form in TOML.
    fn described(&self) -> Result<Option<toml::Table>> {
        Ok(None)
    }
}

/// The folds of the rows of a file.
#[derive(Debug)]
pub struct RowFolds {
    /// The file, as `predict` can read it.
    pub path: PathBuf,
    /// The fold of each of its rows, counted from 0; `None` for a row in no fold.
    pub of_rows: Vec<Option<usize>>,
}

/// What is known of rows with labels before they are read.
#[derive(Debug, Default)]
pub struct Outline {
    /// The tasks.
    pub tasks: OutlinedTasks,
    /// Whether there is a validation split.
    pub validation: Option<bool>,
    /// Whether columns are embedded.
    pub embeds: Option<bool>,
    /// Whether an input can be a number, where it is known that none is.
    pub numbers: Option<bool>,
    /// The form of the inputs.
    pub inputs: OutlinedInputs,
}

/// What is known of inputs before they are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OutlinedInputs {
    /// Rows of a number at least.
    #[default]
    Rows,
    /// Images, with their shape `[C, H, W]` where it is known.
    Images(Option<[i64; 3]>),
}

impl OutlinedInputs {
    /// Sizes that a network can be built for: what there is at least, or for images of unknown size usual ones.
    pub(crate) fn sizes(self) -> InputSizes {
        const USUAL: i64 = 64;
        match self {
            Self::Rows => InputSizes::numbers(1),
            Self::Images(shape) => {
                let [channels, height, width] = shape.unwrap_or([1, USUAL, USUAL]);
                InputSizes::Images { channels, height, width }
            }
        }
    }

    /// Whether a network for [`OutlinedInputs::sizes`] has no more parameters than the real one.
    pub(crate) fn is_least(self) -> bool {
        self != Self::Images(None)
    }
}

/// What is known of tasks before their data are read. A task with 0 outputs has as many classes as the data.
#[derive(Debug, Default)]
pub enum OutlinedTasks {
    /// Nothing.
    #[default]
    Unknown,
    /// All of them.
    Named(Vec<Task>),
    /// Each is like this one, under names that the data have.
    Alike(Task),
}

/// Rows with labels, in splits.
#[derive(Debug)]
pub struct Loaded {
    /// Training, validation and test rows.
    pub splits: TaskSplits,
    /// What is predicted, with the usual losses and metrics.
    pub tasks: Vec<Task>,
    /// The sizes of the inputs.
    pub inputs: InputSizes,
    /// How files become inputs and labels: kept with a run, for `predict`.
    pub schema: Option<InputSchema>,
    /// A digest of the content.
    pub digest: String,
    /// A digest of the content and of the rows of each split: equal where the same rows are trained on and judged.
    pub split_digest: String,
    /// What was read, shown before the training.
    pub report: DataReport,
}

impl DataSettings for TableDataset {
    fn outline(&self) -> Result<Outline> {
        self.check()?;
        let embeds = Some(!self.inputs.embedding.0.is_empty());
        let validation = Some(self.split.as_ref().is_some_and(SplitRule::asks_for_validation));
        let described: Option<Vec<_>> = self.targets.iter().map(TargetSpec::tasks).collect();
        let tasks = match described.map(|targets| targets.concat()).as_deref() {
            None => OutlinedTasks::Unknown,
            Some([target]) if self.tasks_by.is_some() => OutlinedTasks::Alike(outlined(target)),
            Some(targets) => OutlinedTasks::Named(targets.iter().map(outlined).collect()),
        };
        let numbers =
            (self.inputs.numeric.0.is_empty() || self.inputs.scale == Scale::Piecewise).then_some(false);
        Ok(Outline { tasks, validation, embeds, numbers, inputs: OutlinedInputs::Rows })
    }

    fn described(&self) -> Result<Option<toml::Table>> {
        let table = toml::Table::try_from(self.written_out());
        table.map(Some).map_err(|error| Failure::new(Code::Bug, error.to_string()))
    }

    fn has_folds(&self) -> bool {
        true
    }

    fn folds(&self, folder: &Path) -> Result<Option<RowFolds>> {
        let described = placed(self, folder);
        let of_rows = described.folds()?;
        Ok(of_rows.map(|of_rows| RowFolds { path: described.source.path.clone(), of_rows }))
    }

    fn rows(&self, folder: &Path) -> Result<Option<(Table, Indices)>> {
        Ok(Some(placed(self, folder).rows()?))
    }

    fn load(&self, folder: &Path) -> Result<Loaded> {
        let described = placed(self, folder);
        let dataset = match tables::folder() {
            None => described.load()?,
            Some(cache) => {
                let (dataset, how) = described.load_cached(&cache)?;
                if let Cached::Refused(why) = how {
                    say(&format!("note: the next start will read the tables again: {why}"));
                }
                dataset
            }
        };
        let schema = InputSchema::Table(Box::new(dataset.schema));
        Ok(Loaded {
            splits: dataset.splits,
            tasks: schema.tasks(),
            inputs: schema.sizes(),
            digest: dataset.digest,
            split_digest: dataset.split_digest,
            report: dataset.report,
            schema: Some(schema),
        })
    }
}

/// The same with all paths as seen from a folder.
fn placed(dataset: &TableDataset, folder: &Path) -> TableDataset {
    let mut described = dataset.clone();
    described.source.path = folder.join(&described.source.path);
    if let Some(SplitRule::Files(files)) = &mut described.split {
        for path in [&mut files.validation, &mut files.test].into_iter().flatten() {
            *path = folder.join(&path);
        }
    }
    described
}

/// How much is said of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Rows and inputs, and the labels of each task.
    Full,
    /// Rows and inputs in one line.
    Brief,
    /// Nothing but what is odd.
    Notes,
}

/// Says what was read of data, and what is odd about it.
pub(crate) fn say_report(report: &DataReport, detail: Detail) {
    if !report.is_empty() {
        match detail {
            Detail::Full => report.lines().iter().for_each(|line| say(line)),
            Detail::Brief => say(&report.summary()),
            Detail::Notes => {}
        }
    }
    report.all_notes().iter().for_each(|note| say(&format!("note: {note}")));
}

/// The task of a target whose table was not read.
fn outlined(target: &TargetSpec) -> Task {
    let (output, outputs) = match target.kind {
        TargetKind::Regression => (Output::Regression, 1),
        TargetKind::Binary => (Output::Binary, 1),
        TargetKind::Multiclass => (Output::Multiclass, target.classes.len() as i64),
        TargetKind::Multilabel => (Output::Multilabel, target.columns.0.len() as i64),
    };
    Task::new(&target.name, output, outputs)
}
