//! Where rows come from, as `[data]` says.

use std::fmt::Debug;
use std::path::Path;

use manytask_data::{Cached, DataReport, Schema, Split, TableDataset};
use manytask_multitask::{InputSizes, Parts, Task};

use crate::failure::Result;
use crate::report::say;
use crate::tables;

/// The settings of a data set of rows with labels.
pub trait DataSettings: Debug + Send + Sync {
    /// Reads everything; relative paths start from `folder`.
    ///
    /// # Errors
    /// When a file is missing or damaged, or does not have what the settings name.
    fn load(&self, folder: &Path) -> Result<Loaded>;
}

/// Rows with labels, in parts.
#[derive(Debug)]
pub struct Loaded {
    /// Training, validation and test rows.
    pub parts: Parts,
    /// What is predicted, with the usual losses and metrics.
    pub tasks: Vec<Task>,
    /// The sizes of the inputs.
    pub inputs: InputSizes,
    /// How files become inputs and labels: kept with a run, for `predict`.
    pub schema: Option<Schema>,
    /// A digest of the content.
    pub digest: String,
    /// A digest of the content and of the rows of each part: equal where the same rows are trained on and judged.
    pub split_digest: String,
    /// What was read, shown before the training.
    pub report: DataReport,
}

impl DataSettings for TableDataset {
    fn load(&self, folder: &Path) -> Result<Loaded> {
        let mut described = self.clone();
        described.source.path = folder.join(&described.source.path);
        if let Some(Split::Files(files)) = &mut described.split {
            for path in [&mut files.validation, &mut files.test].into_iter().flatten() {
                *path = folder.join(&path);
            }
        }
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
        let parts = Parts { train: dataset.train, validation: dataset.validation, test: dataset.test };
        Ok(Loaded {
            parts,
            tasks: tasks_of(&dataset.schema),
            inputs: sizes_of(&dataset.schema),
            digest: dataset.digest,
            split_digest: dataset.split_digest,
            report: dataset.report,
            schema: Some(dataset.schema),
        })
    }
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
    if !report.rows.is_empty() {
        match detail {
            Detail::Full => report.lines().iter().for_each(|line| say(line)),
            Detail::Brief => say(&report.summary()),
            Detail::Notes => {}
        }
    }
    report.notes.iter().for_each(|note| say(&format!("note: {note}")));
}

/// The tasks of a table, with their usual losses and metrics.
pub(crate) fn tasks_of(schema: &Schema) -> Vec<Task> {
    let names = schema.task_names().into_iter().enumerate();
    names.filter_map(|(task, name)| Some(Task::of(name, schema.target(task)?))).collect()
}

/// The sizes of a table's inputs.
pub(crate) fn sizes_of(schema: &Schema) -> InputSizes {
    InputSizes { dense: schema.inputs().width(), categories: schema.inputs().cardinalities() }
}
