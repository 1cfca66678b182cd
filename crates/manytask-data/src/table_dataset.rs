//! Tasks on tables, from the description to tensors.

mod cache;

use std::collections::HashSet;

use manytask_tensor::{Tensor, threads};
use serde::{Deserialize, Serialize};

pub use self::cache::Cached;
use crate::bytes::digest;
use crate::{
    DataReport, Encoded, Encoder, Error, Indices, Inputs, Part, Result, Split, Table, TableSource,
    TargetEncoder, TargetKind, TargetSpec, TaskData,
};

/// A multi-task data set on tables, as a configuration describes it.
///
/// ```
/// use manytask_data::TableDataset;
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("people.csv");
/// # fs_err::write(&path, "age,job,rich,score\n30,a,0,1.5\n40,b,1,2.5\n50,a,1,\n20,b,0,0.5\n")?;
/// let mut data: TableDataset = toml::from_str(
///     r#"
///     source = { path = "people.csv" }
///     split.random = { test = 0.25, seed = 1 }
///     inputs = { numeric = ["age"], one_hot = "rest" }
///     targets = [{ name = "rich", kind = "binary" }, { name = "score", kind = "regression" }]
///     "#,
/// )?;
/// data.source.path = path; // where this example wrote it
/// let dataset = data.load()?;
/// assert_eq!(dataset.schema.inputs().input_names(), ["age", "job=a", "job=b"]);
/// assert_eq!(dataset.train.rows(0), 3);
/// assert_eq!(dataset.test.map(|test| test.tasks[1].target.size()), Some(vec![1]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableDataset {
    /// The table.
    pub source: TableSource,
    /// How its rows fall into parts. Absent: all are for training.
    #[serde(default)]
    pub split: Option<Split>,
    /// Which columns are inputs.
    pub inputs: Inputs,
    /// What is predicted: one task each, all on the same rows.
    pub targets: Vec<TargetSpec>,
    /// A column that says how much each row counts in the loss.
    #[serde(default)]
    pub weight: Option<String>,
    /// A column whose every value is a task with its rows, all with the same single target (multi-input).
    #[serde(default)]
    pub tasks_by: Option<String>,
}

/// A data set ready for training.
#[derive(Debug)]
pub struct Dataset {
    /// The training part.
    pub train: Part,
    /// The validation part, if there is one.
    pub validation: Option<Part>,
    /// The test part, if there is one.
    pub test: Option<Part>,
    /// How tables are read and encoded; kept with the model.
    pub schema: Schema,
    /// SHA-256 over the digests of the files, in hexadecimal digits.
    pub digest: String,
    /// SHA-256 over that digest and the rows of each part: equal where the same rows are trained on and judged.
    pub split_digest: String,
    /// What was read: rows, inputs and labels of each part, and what is odd about them.
    pub report: DataReport,
}

/// How a table becomes inputs and labels, fitted on a training part. Kept with the model, it reads new tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    source: TableSource,
    inputs: Encoder,
    targets: Vec<TargetEncoder>,
    weight: Option<String>,
    tasks_by: Option<TasksBy>,
}

/// The tasks that are values of a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TasksBy {
    column: String,
    values: Vec<String>,
}

impl TableDataset {
    /// Reads, splits, fits the encoders on the training part and encodes all parts.
    ///
    /// # Errors
    /// When a file cannot be read, or the description does not fit the table; see [`Error`].
    pub fn load(&self) -> Result<Dataset> {
        self.check()?;
        let (table, indices, digest) = self.read()?;
        let schema = self.fit(&table, &indices.train)?;
        let part = |rows: &[usize]| (!rows.is_empty()).then(|| schema.part(&table, rows)).transpose();
        let train = schema.part(&table, &indices.train)?;
        let (validation, test) = (part(&indices.validation)?, part(&indices.test)?);
        let report = schema.report([Some(&train), validation.as_ref(), test.as_ref()])?;
        let split_digest = indices.digest(&digest);
        Ok(Dataset { train, validation, test, schema, digest, split_digest, report })
    }

    /// Refuses a description that fits no table, before anything is read.
    ///
    /// # Errors
    /// When there is no target, two have one name, one has settings of another kind, or the split is impossible.
    pub fn check(&self) -> Result<()> {
        if self.targets.is_empty() {
            return Err(Error::config("targets: there are none; describe at least one"));
        }
        if self.tasks_by.is_some() && self.targets.len() > 1 {
            return Err(Error::config("tasks_by: takes a single target, which all its tasks share"));
        }
        self.targets.iter().try_for_each(TargetSpec::check)?;
        self.split.iter().try_for_each(Split::check)?;
        let mut names = HashSet::new();
        match self.targets.iter().find(|target| !names.insert(target.name.as_str())) {
            Some(target) => Err(Error::config(format!("targets: two are called `{}`", target.name))),
            None => Ok(()),
        }
    }

    /// All files as one table, and the rows of each part in it.
    fn read(&self) -> Result<(Table, Indices, String)> {
        let files = match &self.split {
            Some(Split::Files(files)) => [files.validation.as_ref(), files.test.as_ref()],
            _ => [None, None],
        };
        let others = files.map(|path| path.map(|path| self.source.at(path)));
        let (table, others) = read_all(&self.source, &others);
        let mut table = table?;
        let mut indices = match &self.split {
            Some(split) => split.indices(&table)?,
            None => Indices { train: (0..table.rows()).collect(), ..Indices::default() },
        };
        let mut digests = vec![table.digest().to_owned()];
        for (other, rows) in others.into_iter().zip([&mut indices.validation, &mut indices.test]) {
            let Some(other) = other.transpose()? else { continue };
            digests.push(other.digest().to_owned());
            let start = table.rows();
            table.append(&other);
            rows.extend(start..table.rows());
        }
        let digest = digest(digests.iter().map(String::as_bytes));
        Ok((table, indices, digest))
    }

    fn fit(&self, table: &Table, rows: &[usize]) -> Result<Schema> {
        let mut reserved: Vec<&str> = self.targets.iter().flat_map(TargetSpec::column_names).collect();
        reserved.extend(self.weight.as_deref());
        reserved.extend(self.tasks_by.as_deref());
        reserved.extend(self.split.as_ref().and_then(Split::column));
        for column in &reserved {
            table.column(column)?;
        }
        let tasks_by = self.tasks_by.as_ref().map(|name| -> Result<TasksBy> {
            let column = table.column(name)?;
            Ok(TasksBy { column: name.clone(), values: crate::target::values(column, rows) })
        });
        Ok(Schema {
            source: self.source.clone(),
            inputs: Encoder::fit(table, &self.inputs, &reserved, rows)?,
            targets: self
                .targets
                .iter()
                .map(|target| TargetEncoder::fit(table, target, rows))
                .collect::<Result<_>>()?,
            weight: self.weight.clone(),
            tasks_by: tasks_by.transpose()?,
        })
    }
}

/// A table and up to two others; with more than one thread at the same time.
fn read_all(
    source: &TableSource,
    others: &[Option<TableSource>; 2],
) -> (Result<Table>, [Option<Result<Table>>; 2]) {
    let count = threads::get();
    if count < 2 {
        return (Table::read(source), others.each_ref().map(|other| other.as_ref().map(Table::read)));
    }
    std::thread::scope(|scope| {
        let started = others.each_ref().map(|other| {
            other.as_ref().map(|other| scope.spawn(move || crate::table::read_in(other, count)))
        });
        let lost = |_| Err(Error::config("a thread that read a table ended early"));
        let table = Table::read(source);
        (table, started.map(|thread| thread.map(|thread| thread.join().unwrap_or_else(lost))))
    })
}

impl Schema {
    /// How inputs are read.
    pub fn inputs(&self) -> &Encoder {
        &self.inputs
    }

    /// The names of the tasks: those of the targets, or `school=1`, `school=2`, … with `tasks_by`.
    pub fn task_names(&self) -> Vec<String> {
        match &self.tasks_by {
            None => self.targets.iter().map(|target| target.name().to_owned()).collect(),
            Some(by) => by.values.iter().map(|value| format!("{}={value}", by.column)).collect(),
        }
    }

    /// How the labels of a task (counted from 0) are read; `None` beyond the last task.
    pub fn target(&self, task: usize) -> Option<&TargetEncoder> {
        match &self.tasks_by {
            None => self.targets.get(task),
            Some(by) => self.targets.first().filter(|_| task < by.values.len()),
        }
    }

    /// Reads another file written like the training data; it needs no labels.
    pub fn read(&self, path: impl Into<std::path::PathBuf>) -> Result<Table> {
        Ok(Table::read(&self.source.at(path))?.for_model())
    }

    /// The inputs of a table: of all rows, or with `tasks_by` of each task's rows.
    ///
    /// # Errors
    /// When an input column is not there, a number cannot be read, or a row belongs to no task of the training part.
    pub fn encode(&self, table: &Table) -> Result<Vec<Encoded>> {
        let all: Vec<usize> = (0..table.rows()).collect();
        self.streams(table, &all)?.iter().map(|rows| self.inputs.encode(table, rows)).collect()
    }

    /// Inputs and labels of the given rows (counted from 0) of a table.
    pub fn part(&self, table: &Table, rows: &[usize]) -> Result<Part> {
        let streams = self.streams(table, rows)?;
        let inputs = streams.iter().map(|rows| self.inputs.encode(table, rows)).collect::<Result<_>>()?;
        let names = self.task_names().into_iter().enumerate();
        let tasks = names.zip(streams.iter().cycle()).map(|((task, name), rows)| {
            let target = self
                .target(task)
                .ok_or_else(|| Error::config(format!("task `{name}` has no target")))?
                .encode(table, rows)?;
            Ok(TaskData { name, target, weight: self.weights(table, rows)? })
        });
        Part::new(inputs, tasks.collect::<Result<_>>()?)
    }

    /// The rows of each stream of inputs, in the order of `rows`: one stream, or with `tasks_by` one for each task.
    pub fn streams(&self, table: &Table, rows: &[usize]) -> Result<Vec<Vec<usize>>> {
        let Some(by) = &self.tasks_by else { return Ok(vec![rows.to_vec()]) };
        let column = table.column(&by.column)?;
        let task = |level: &String| by.values.iter().position(|value| value == level);
        let by_level: Vec<Option<usize>> = column.levels().iter().map(task).collect();
        let mut streams = vec![Vec::new(); by.values.len()];
        for &row in rows {
            let task =
                column.codes().get(row).and_then(|&code| by_level.get(code as usize).copied().flatten());
            match task.and_then(|task| streams.get_mut(task)) {
                Some(stream) => stream.push(row),
                None => return Err(table.value_error(column, row, "a task of the training part")),
            }
        }
        Ok(streams)
    }

    /// What is in these parts: training, validation, test.
    fn report(&self, parts: [Option<&Part>; 3]) -> Result<DataReport> {
        let targets = || (0..self.task_names().len()).filter_map(|task| self.target(task));
        let kinds: Vec<_> = targets().map(TargetEncoder::kind).collect();
        let mut report = DataReport::of(parts, &kinds)?;
        report.inputs = self.inputs.counts();
        for (described, target) in report.targets.iter_mut().zip(targets()) {
            described.classes = match target.kind() {
                TargetKind::Multilabel => target.columns().to_vec(),
                _ => target.classes().to_vec(),
            };
            described.standardised = Some(target.mean_std()).filter(|units| *units != (0.0, 1.0));
        }
        Ok(report)
    }

    fn weights(&self, table: &Table, rows: &[usize]) -> Result<Option<Tensor>> {
        let Some(name) = &self.weight else { return Ok(None) };
        let numbers = table.numbers(name)?;
        let weights = rows.iter().map(|&row| match numbers.get(row) {
            Some(weight) if *weight >= 0.0 => Ok(*weight as f32),
            _ => Err(table.value_error(
                table.column(name)?,
                row,
                "a weight; weights are numbers of at least 0",
            )),
        });
        Ok(Some(Tensor::f_from_slice(&weights.collect::<Result<Vec<f32>>>()?)?))
    }
}

#[cfg(test)]
mod tests;
