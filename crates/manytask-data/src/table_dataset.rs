//! Tasks on tables, from the description to tensors.

mod cache;
mod schema;

use std::collections::HashSet;
use std::path::PathBuf;

use manytask_tensor::{KeyPath, Kind, Within as _, threads};
use serde::{Deserialize, Serialize};

pub use self::cache::Cached;
pub use self::schema::Schema;
use self::schema::TasksBy;
use crate::bytes::digest;
use crate::encoder::{BINS, CLIP};
use crate::findings::FindingContext;
use crate::input_columns::Resolved;
use crate::parallel::in_threads;
use crate::{
    DataReport, Encoder, Error, Fold, Indices, InputColumns, Note, Result, Scale, SplitData, SplitRule,
    Splits, Table, TableReader, TableSource, TargetEncoder, TargetSpec, TaskNote,
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
/// assert_eq!(dataset.splits.train.rows(0), 3);
/// assert_eq!(dataset.splits.test.map(|test| test.tasks[1].target.size()), Some(vec![1]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableDataset {
    /// The table.
    pub source: TableSource,
    /// How its rows fall into parts. Absent: all are for training.
    #[serde(default)]
    pub split: Option<SplitRule>,
    /// The fold of a cross-validation that is the test split, in place of what `split` would test on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<Fold>,
    /// Which columns are inputs.
    pub inputs: InputColumns,
    /// What is predicted: one task each, all on the same rows.
    pub targets: Vec<TargetSpec>,
    /// A column that says how much each row counts in the loss.
    #[serde(default)]
    pub weight: Option<String>,
    /// Where weights count. Absent: in the loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_in: Option<WeightIn>,
    /// A column whose every value is a task with its rows, all with the same single target (multi-input).
    #[serde(default)]
    pub tasks_by: Option<String>,
}

/// Where the weights of rows count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightIn {
    /// In the loss; in metrics all rows count alike.
    #[default]
    Loss,
    /// In the loss and in metrics.
    LossAndMetrics,
}

/// A data set ready for training.
#[derive(Debug)]
pub struct Dataset {
    /// The rows of each split.
    pub splits: Splits<SplitData>,
    /// How tables are read and encoded; kept with the model.
    pub schema: Schema,
    /// SHA-256 over the digests of the files, in hexadecimal digits.
    pub digest: String,
    /// SHA-256 over that digest and the rows of each split: equal where the same rows are trained on and judged.
    pub split_digest: String,
    /// What was read: rows, inputs and labels of each split, and what is odd about them.
    pub report: DataReport,
}

impl TableDataset {
    /// Reads, splits, fits the encoders on the training split and encodes all parts.
    ///
    /// # Errors
    /// When a file cannot be read, or the description does not fit the table; see [`Error`].
    pub fn load(&self) -> Result<Dataset> {
        self.check()?;
        let (described, read) = self.read_described()?;
        self.encoded(&described, &read)
    }

    /// The same of a table that any reader gives, in place of the file that `source` names.
    ///
    /// ```
    /// use manytask_data::{ColumnData, MemoryTable, TableDataset};
    /// let data: TableDataset = toml::from_str(
    ///     "source.path = 'memory'\ninputs.numeric = ['x']\ntargets = [{ name = 'y', kind = 'regression' }]",
    /// )?;
    /// let numbers = |values: &[f64]| ColumnData::Numbers(values.to_vec());
    /// let table = MemoryTable::new("memory").with("x", numbers(&[1.0, 2.0])).with("y", numbers(&[0.5, 1.5]));
    /// assert_eq!(data.load_from(&table)?.report.rows, [("train".to_owned(), 2)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`TableDataset::load`], and when the description names further files, or marks of missing values, which typed columns do
    /// not have.
    pub fn load_from(&self, reader: &dyn TableReader) -> Result<Dataset> {
        self.check()?;
        if matches!(self.split, Some(SplitRule::Files(_))) {
            return Err(Error::config(
                ["split", "files"],
                "split.files names CSV files, and the table comes from another reader; split its rows otherwise",
            ));
        }
        if let Some((number, target)) =
            self.targets.iter().enumerate().find(|(_, target)| !target.missing.is_empty())
        {
            return Err(Error::config(
                KeyPath::from(("targets", number)).then("missing"),
                format!(
                    "target `{}`: `missing` lists marks of text files; leave the values out of the column instead",
                    target.task_name()
                ),
            ));
        }
        let table = reader.read()?;
        let described = self.expanded(&table)?;
        let indices = self.indices(&table)?;
        let digest = digest([table.digest().as_bytes()]);
        self.encoded(&described, &Read { table, indices, digest })
    }

    /// Fits the encoders on the training rows and encodes all splits.
    fn encoded(&self, described: &Self, read: &Read) -> Result<Dataset> {
        let Read { table, indices, digest } = read;
        let (schema, inputs) = described.fit(table, &indices.train)?;
        let split = |rows: &[usize]| (!rows.is_empty()).then(|| schema.split(table, rows)).transpose();
        let train = schema.split(table, &indices.train)?;
        let splits = Splits { train, validation: split(&indices.validation)?, test: split(&indices.test)? };
        check_weights(&splits)?;
        let mut report = schema.report(&splits)?;
        let context = FindingContext {
            table,
            indices,
            inputs: &inputs,
            encoder: schema.inputs(),
            targets: &schema.targets,
            groups: self.groups(),
            split_groups: self.split_groups(),
        };
        report.task_notes.extend(context.of_tasks()?.into_iter().map(|note| match self.tasks_by {
            // The target is that of all tasks.
            Some(_) => TaskNote { tasks: Vec::new(), ..note },
            None => note,
        }));
        report.notes.extend(context.findings()?);
        report.missing = context.marks_of_missing()?;
        report.notes.splice(0..0, table.notes().iter().cloned().map(Note));
        Ok(Dataset { split_digest: indices.digest(digest), digest: digest.clone(), splits, schema, report })
    }

    /// The rows as they stand in the files, and which of them each split has, in the order of [`Dataset::splits`].
    ///
    /// # Errors
    /// As [`TableDataset::load`].
    pub fn rows(&self) -> Result<(Table, Indices)> {
        let (_, Read { table, indices, .. }) = self.read_described()?;
        Ok((table, indices))
    }

    /// The same with the defaults written out that depend on other settings: the columns of targets, whether they are
    /// standardised, the bound of numbers, where weights count.
    #[must_use]
    pub fn written_out(&self) -> Self {
        let mut all = self.clone();
        all.targets = self.targets.iter().map(TargetSpec::written_out).collect();
        match self.inputs.scale {
            Scale::Standard | Scale::Robust => _ = all.inputs.clip.get_or_insert(CLIP),
            Scale::Piecewise => _ = all.inputs.bins.get_or_insert(BINS),
            Scale::Quantile | Scale::Raw => {}
        }
        all.weight_in = self.weight.as_ref().map(|_| self.weight_in.unwrap_or_default());
        all
    }

    /// Refuses a description that fits no table, before anything is read.
    ///
    /// # Errors
    /// When there is no target, two have one name, one has settings of another kind, or the split is impossible.
    pub fn check(&self) -> Result<()> {
        if self.targets.is_empty() {
            return Err(Error::config("targets", "targets: there are none; describe at least one"));
        }
        if self.source.path.file_name().is_some_and(|name| name == "-") {
            let what = "`-` is standard input, which is there once, and a training reads its table again; write it to a file";
            return Err(Error::config(["source", "path"], what));
        }
        if self.tasks_by.is_some() && self.targets.len() > 1 {
            return Err(Error::config(
                "tasks_by",
                "tasks_by: takes a single target, which all its tasks share",
            ));
        }
        if self.weight.is_none() && self.weight_in.is_some() {
            return Err(Error::config(
                "weight_in",
                "`weight_in` is set and `weight` is not; name the column of weights",
            ));
        }
        self.source.check().within("source")?;
        self.inputs.check().within("inputs")?;
        for (number, target) in self.targets.iter().enumerate() {
            target.check().within(("targets", number))?;
        }
        self.split.iter().try_for_each(SplitRule::check).within("split")?;
        self.fold.iter().try_for_each(|fold| fold.check(self.split.as_ref()))?;
        self.different_names()
    }

    fn different_names(&self) -> Result<()> {
        let mut names = HashSet::new();
        let mut named = self.targets.iter().enumerate().filter(|(_, target)| !target.name.is_empty());
        match named.find(|(_, target)| !names.insert(target.name.as_str())) {
            Some((number, target)) => {
                Err(Error::config(("targets", number), format!("targets: two are called `{}`", target.name)))
            }
            None => Ok(()),
        }
    }

    /// The tables, and the description with every column of a target named. Marks of missing labels whose columns are known
    /// by their star alone take a second reading.
    fn read_described(&self) -> Result<(Self, Read)> {
        let mut first = self.clone();
        for target in &self.targets {
            first.source = target.mark(first.source, &target.named_columns());
        }
        let read = first.read()?;
        let mut described = first.expanded(&read.table)?;
        for target in &described.targets {
            described.source = target.mark(described.source, &target.columns.0);
        }
        let read = if described.source == first.source { read } else { described.read()? };
        Ok((described, read))
    }

    /// The same with one target for each task, all columns named one by one.
    fn expanded(&self, table: &Table) -> Result<Self> {
        let mut closed: HashSet<String> = self.others().into_iter().map(str::to_owned).collect();
        for target in &self.targets {
            closed.extend(target.exact_columns(table));
        }
        let closed: HashSet<&str> = closed.iter().map(String::as_str).collect();
        let mut targets = Vec::new();
        for (number, target) in self.targets.iter().enumerate() {
            targets.extend(target.expanded(table, &closed).within(("targets", number))?);
        }
        let described = Self { targets, ..self.clone() };
        described.different_names()?;
        if described.tasks_by.is_some() && described.targets.len() > 1 {
            return Err(Error::config(
                "tasks_by",
                "tasks_by: takes a single target, which all its tasks share",
            ));
        }
        Ok(described)
    }

    /// Columns that are neither inputs nor targets.
    fn others(&self) -> Vec<&str> {
        let mut others = self.groups();
        others.extend(self.weight.as_deref());
        others
    }

    /// Columns whose values are tasks, groups or parts.
    fn groups(&self) -> Vec<&str> {
        let split = self.split.as_ref().and_then(SplitRule::column);
        self.tasks_by.as_deref().into_iter().chain(split).collect()
    }

    /// The column whose groups a split keeps together or divides, where these are no tasks.
    fn split_groups(&self) -> Option<&str> {
        let grouped = matches!(self.split, Some(SplitRule::Grouped(_) | SplitRule::PerGroup(_)));
        let column = self.split.as_ref().filter(|_| grouped).and_then(SplitRule::column);
        column.filter(|column| self.tasks_by.as_deref() != Some(*column))
    }

    /// All files as one table, and the rows of each split in it.
    fn read(&self) -> Result<Read> {
        let others = self.split_files().map(|path| path.map(|path| self.source.at(path)));
        let (table, others) = read_all(&self.source, &others);
        let mut table = table?;
        let mut indices = self.indices(&table)?;
        let mut digests = vec![table.digest().to_owned()];
        for (other, rows) in others.into_iter().zip([&mut indices.validation, &mut indices.test]) {
            let Some(other) = other.transpose()? else { continue };
            digests.push(other.digest().to_owned());
            let start = table.rows();
            table.append(&other);
            rows.extend(start..table.rows());
        }
        let digest = digest(digests.iter().map(String::as_bytes));
        Ok(Read { table, indices, digest })
    }

    /// The rows of each split in one table.
    fn indices(&self, table: &Table) -> Result<Indices> {
        match (&self.fold, &self.split) {
            (Some(fold), split) => fold.indices(table, split.as_ref()),
            (None, Some(split)) => split.indices(table).within("split"),
            (None, None) => Ok(Indices { train: (0..table.rows()).collect(), ..Indices::default() }),
        }
    }

    /// The files of the validation and the test split, where they are files; a fold stands for the latter.
    fn split_files(&self) -> [Option<&PathBuf>; 2] {
        match &self.split {
            Some(SplitRule::Files(files)) => {
                [files.validation.as_ref(), files.test.as_ref().filter(|_| self.fold.is_none())]
            }
            _ => [None, None],
        }
    }

    /// The fold of each row of the first file, counted from 0, with `None` for a row in no fold; without [`TableDataset::fold`]
    /// `None` altogether.
    ///
    /// # Errors
    /// When the file cannot be read, or cannot be divided so.
    pub fn folds(&self) -> Result<Option<Vec<Option<usize>>>> {
        let Some(fold) = &self.fold else { return Ok(None) };
        fold.of_rows(&Table::read(&self.source)?, self.split.as_ref()).map(Some)
    }

    fn fit(&self, table: &Table, rows: &[usize]) -> Result<(Schema, Resolved)> {
        let mut others = self.others();
        others.extend(self.targets.iter().flat_map(|target| target.columns.0.iter().map(String::as_str)));
        table.read_columns(others.iter().copied())?;
        for column in &others {
            table.column(column)?;
        }
        for column in self.source.missing_by.keys() {
            table.named(column)?;
        }
        let reserved: HashSet<&str> = others.into_iter().collect();
        let inputs = self.inputs.resolve(table, &reserved).within("inputs")?;
        let targets = self.targets.iter().map(|target| {
            TargetEncoder::fit_one(table, target, rows).within(KeyPath::from("targets").text(&target.name))
        });
        let schema = Schema {
            source: self.source.clone(),
            inputs: Encoder::fit_resolved(table, &self.inputs, &inputs, rows)?,
            targets: targets.collect::<Result<_>>()?,
            weight: self.weight.clone(),
            weight_in: self.weight_in.unwrap_or_default(),
            tasks_by: self.tasks_by.as_ref().map(|name| TasksBy::fit(table, name, rows)).transpose()?,
        };
        Ok((schema, inputs))
    }
}

/// What the files hold.
struct Read {
    /// All files, one below the other.
    table: Table,
    /// The rows of each split.
    indices: Indices,
    /// Of the files.
    digest: String,
}

/// Weights that are all 0 would make a loss of nothing.
fn check_weights(splits: &Splits<SplitData>) -> Result<()> {
    for (name, split) in splits.iter() {
        for task in &split.tasks {
            let Some(weight) = &task.weight else { continue };
            if weight.numel() > 0 && weight.f_sum(Kind::Double)?.f_double_value(&[])? == 0.0 {
                return Err(Error::config(
                    "weight",
                    format!(
                        "weight: all rows of task `{}` in the {name} split have the weight 0; leave them out, or weigh them",
                        task.name
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// A table and up to two others; with more than one thread at the same time.
fn read_all(
    source: &TableSource,
    others: &[Option<TableSource>; 2],
) -> (Result<Table>, [Option<Result<Table>>; 2]) {
    let count = threads::get();
    let wanted: Vec<&TableSource> = std::iter::once(source).chain(others.iter().flatten()).collect();
    let read = |source: &&TableSource| crate::table::read_in(source, count);
    let tables: Vec<_> =
        if count < 2 { wanted.iter().map(read).collect() } else { in_threads(&wanted, read) };
    let mut tables = tables.into_iter();
    let table = tables.next().unwrap_or_else(|| Table::read(source));
    (table, others.each_ref().map(|other| other.as_ref().and_then(|_| tables.next())))
}

#[cfg(test)]
mod tests;
