//! How files become inputs of a run's network: kept with the run, so that `predict` needs nothing else.

use std::path::Path;

use manytask_data::{
    ImageSchema, ImageTask, Inputs, Note, Schema, SplitData, Splits, Table, TargetEncoder, TargetKind,
};
use manytask_multitask::{InputSizes, Task};
use manytask_nn::metrics::Output;
use serde::{Deserialize, Serialize};

/// How files become inputs, and what is predicted of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum InputSchema {
    /// Columns of a table.
    Table(Box<Schema>),
    /// Images.
    Images(ImageSchema),
}

/// What a file holds for a network.
#[derive(Debug)]
pub(crate) struct InputRows {
    /// The inputs: one for all tasks, or one for each.
    pub(crate) inputs: Vec<Inputs>,
    /// The rows of each of them, counted from 0 through the whole file.
    pub(crate) streams: Vec<Vec<usize>>,
    /// How many there are.
    pub(crate) count: usize,
    /// The file of each row, where each has one of its own.
    pub(crate) files: Option<Vec<String>>,
    table: Option<Table>,
    notes: Vec<Note>,
}

/// What a file with labels holds for a network.
#[derive(Debug)]
pub(crate) struct LabelledRows {
    pub(crate) splits: Splits<SplitData>,
    pub(crate) notes: Vec<Note>,
}

impl InputRows {
    /// The table that they are from, where it is one.
    pub(crate) fn table(&self) -> Option<&Table> {
        self.table.as_ref()
    }
}

impl InputSchema {
    /// The tasks, with their usual losses and metrics.
    pub fn tasks(&self) -> Vec<Task> {
        match self {
            Self::Table(schema) => {
                let names = schema.task_names().into_iter().enumerate();
                let task = |(task, name)| {
                    let target = schema.target(task)?;
                    Some(Task { weight_in: schema.weight_in(), ..Task::of(name, target) })
                };
                names.filter_map(task).collect()
            }
            Self::Images(schema) => schema.tasks.iter().map(image_task).collect(),
        }
    }

    /// The form and the sizes of the inputs.
    pub fn sizes(&self) -> InputSizes {
        match self {
            Self::Table(schema) => InputSizes::Features {
                dense: schema.inputs().width(),
                numbers: schema.inputs().number_places(),
                categories: schema.inputs().cardinalities(),
            },
            Self::Images(schema) => {
                let size = |place: usize| schema.image.get(place).copied().unwrap_or_default();
                InputSizes::Images { channels: size(0), height: size(1), width: size(2) }
            }
        }
    }

    /// The names of what a task (counted from 0) predicts at once: classes or labels. None of a task with one prediction.
    pub(crate) fn predicted(&self, task: usize) -> Vec<String> {
        match self {
            Self::Table(schema) => match schema.target(task) {
                Some(target) if target.kind() == TargetKind::Multiclass => target.classes().to_vec(),
                Some(target) if target.kind() == TargetKind::Multilabel => target.columns().to_vec(),
                _ => Vec::new(),
            },
            Self::Images(schema) => {
                schema.tasks.get(task).map(|task| task.classes.clone()).unwrap_or_default()
            }
        }
    }

    /// What decisions of a task (counted from 0) are called: classes or labels, or what means no and yes.
    pub(crate) fn words(&self, task: usize) -> Vec<String> {
        let no_and_yes = match self {
            Self::Table(schema) => schema.target(task).and_then(TargetEncoder::no_and_yes),
            Self::Images(_) => None,
        };
        let names = self.predicted(task);
        match no_and_yes {
            Some((no, yes)) => vec![no.to_owned(), yes.to_owned()],
            None if names.is_empty() => vec!["0".to_owned(), "1".to_owned()],
            None => names,
        }
    }

    /// The one target of tasks that are values of a column.
    pub(crate) fn target_of_values(&self) -> Option<&str> {
        match self {
            Self::Table(schema) if schema.tasks_by().is_some() => {
                Some(schema.target(0).map_or("prediction", |target| target.name()))
            }
            _ => None,
        }
    }

    /// Reads a file, or a folder of pictures, for the network.
    ///
    /// # Errors
    /// When it is missing or damaged, or has not what the network was trained on.
    pub(crate) fn read(&self, path: &Path) -> manytask_data::Result<InputRows> {
        match self {
            Self::Table(schema) => {
                let table = schema.read(path)?;
                let all: Vec<usize> = (0..table.rows()).collect();
                let (inputs, streams) = (schema.encode(&table)?, schema.streams(&table, &all)?);
                Ok(InputRows {
                    inputs,
                    streams,
                    count: table.rows(),
                    files: None,
                    table: Some(table),
                    notes: Vec::new(),
                })
            }
            Self::Images(schema) => {
                let rows = schema.read(path)?;
                let count = rows.inputs.rows();
                let streams = vec![(0..count).collect()];
                let (files, notes) = (rows.files, rows.notes);
                Ok(InputRows { inputs: vec![rows.inputs], streams, count, files, table: None, notes })
            }
        }
    }

    /// Inputs and labels of the rows of a file, in the place of a test split.
    ///
    /// # Errors
    /// When it is missing or damaged, or has not what the network was trained on; `None` for images, whose labels stand in other
    /// files.
    pub(crate) fn labelled(&self, path: &Path) -> manytask_data::Result<Option<LabelledRows>> {
        let Self::Table(schema) = self else { return Ok(None) };
        let table = schema.read(path)?;
        let all: Vec<usize> = (0..table.rows()).collect();
        // Nothing is trained on the first; a problem has one.
        let splits = Splits {
            train: schema.split(&table, &all)?,
            validation: None,
            test: Some(schema.split(&table, &all)?),
        };
        Ok(Some(LabelledRows { splits, notes: schema.review(&table, &all, "the file")? }))
    }

    /// What is odd about rows that were read.
    ///
    /// # Errors
    /// Those of [`InputSchema::read`].
    pub(crate) fn review(&self, rows: &InputRows) -> manytask_data::Result<Vec<Note>> {
        let (Self::Table(schema), Some(table)) = (self, &rows.table) else { return Ok(rows.notes.clone()) };
        let all: Vec<usize> = (0..rows.count).collect();
        schema.review(table, &all, "the input")
    }
}

/// A task on images with its usual loss and metrics.
pub(crate) fn image_task(task: &ImageTask) -> Task {
    match task.kind {
        TargetKind::Multiclass => Task::new(&task.name, Output::Multiclass, task.classes.len() as i64),
        TargetKind::Multilabel => Task::new(&task.name, Output::Multilabel, task.classes.len() as i64),
        TargetKind::Binary => Task::new(&task.name, Output::Binary, 1),
        TargetKind::Regression => Task::new(&task.name, Output::Regression, 1),
    }
}

#[cfg(test)]
mod tests {
    use manytask_data::Normalisation;

    use super::*;

    #[test]
    fn a_schema_of_images_is_read_as_such() {
        let schema = InputSchema::Images(ImageSchema {
            image: vec![1, 36, 36],
            normalisation: Normalisation { mean: vec![0.5], std: vec![0.25] },
            tasks: vec![ImageTask {
                name: "left".into(),
                kind: TargetKind::Multiclass,
                classes: vec!["shirt".into(), "shoe".into()],
            }],
        });
        let text = serde_json::to_string(&schema).unwrap();
        assert_eq!(serde_json::from_str::<InputSchema>(&text).unwrap(), schema);
        assert_eq!(schema.sizes(), InputSizes::Images { channels: 1, height: 36, width: 36 });
        assert_eq!((schema.tasks()[0].outputs, schema.predicted(0).len()), (2, 2));
    }
}
