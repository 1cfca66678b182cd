//! How a table becomes inputs and labels.

use manytask_tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::WeightIn;
use crate::value::{Compare, Values, sorted};
use crate::{
    DataReport, Encoder, Error, Inputs, Note, Result, SplitData, Splits, Table, TableSource, TargetEncoder,
    TargetKind, TaskData,
};

/// How a table becomes inputs and labels, fitted on a training split. Kept with the model, it reads new tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    pub(super) source: TableSource,
    pub(crate) inputs: Encoder,
    pub(crate) targets: Vec<TargetEncoder>,
    pub(super) weight: Option<String>,
    #[serde(default)]
    pub(super) weight_in: WeightIn,
    pub(super) tasks_by: Option<TasksBy>,
}

/// The tasks that are values of a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TasksBy {
    column: String,
    values: Vec<String>,
    #[serde(default)]
    compare: Compare,
}

impl TasksBy {
    pub(super) fn fit(table: &Table, column: &str, rows: &[usize]) -> Result<Self> {
        let Values { compare, names, .. } = Values::of(table, table.column(column)?, rows);
        Ok(Self { column: column.to_owned(), values: sorted(table.format(), names), compare })
    }
}

impl Schema {
    /// Of rows whose tasks are drawn for a learner: there is no target where the class of a row is what is predicted.
    pub(crate) fn of_tasks(source: TableSource, inputs: Encoder, targets: Vec<TargetEncoder>) -> Self {
        Self { source, inputs, targets, weight: None, weight_in: WeightIn::default(), tasks_by: None }
    }

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

    /// The column whose values are the tasks, if there is one.
    pub fn tasks_by(&self) -> Option<&str> {
        self.tasks_by.as_ref().map(|by| by.column.as_str())
    }

    /// How the labels of a task (counted from 0) are read; `None` beyond the last task.
    pub fn target(&self, task: usize) -> Option<&TargetEncoder> {
        match &self.tasks_by {
            None => self.targets.get(task),
            Some(by) => self.targets.first().filter(|_| task < by.values.len()),
        }
    }

    /// Where the weights of rows count.
    pub fn weight_in(&self) -> WeightIn {
        self.weight_in
    }

    /// Reads another file written like the training data; it needs no labels.
    pub fn read(&self, path: impl Into<std::path::PathBuf>) -> Result<Table> {
        Ok(Table::read(&self.source.at(path))?.for_model())
    }

    /// How the table was read, and what the inputs of these rows (counted from 0) have that the training split had not: numbers far outside its range,
    /// categories that were never seen, gaps. `what` is what the rows are called, such as the name of their file.
    ///
    /// # Errors
    /// Those of [`Schema::encode`].
    pub fn review(&self, table: &Table, rows: &[usize], what: &str) -> Result<Vec<Note>> {
        let of_file = table.notes().iter().cloned().map(Note);
        Ok(of_file.chain(self.inputs.review(table, rows, what)?).collect())
    }

    /// The inputs of a table: of all rows, or with `tasks_by` of each task's rows.
    ///
    /// # Errors
    /// When an input column is not there, a number cannot be read, or a row belongs to no task of the training split.
    pub fn encode(&self, table: &Table) -> Result<Vec<Inputs>> {
        let all: Vec<usize> = (0..table.rows()).collect();
        let encoded = Inputs::from(self.inputs.encode(table, &all)?);
        match self.indices(table, &all)? {
            None => Ok(vec![encoded]),
            Some(streams) => {
                streams.iter().map(|indices| encoded.select(&Tensor::f_from_slice(indices)?)).collect()
            }
        }
    }

    /// Inputs and labels of the given rows (counted from 0) of a table.
    pub fn split(&self, table: &Table, rows: &[usize]) -> Result<SplitData> {
        let inputs = Inputs::from(self.inputs.encode(table, rows)?);
        let weights = self.weights(table, rows)?;
        let Some(streams) = self.indices(table, rows)? else {
            let tasks = self.targets.iter().map(|target| {
                let weight = weights.as_ref().map(Tensor::shallow_clone);
                Ok(TaskData { name: target.name().to_owned(), target: target.encode(table, rows)?, weight })
            });
            return SplitData::new(vec![inputs], tasks.collect::<Result<_>>()?);
        };
        let target =
            self.targets.first().ok_or_else(|| Error::config("tasks_by", "`tasks_by` has no target"))?;
        let labels = target.encode(table, rows)?;
        let (mut of_tasks, mut tasks) = (Vec::new(), Vec::new());
        for (indices, name) in streams.iter().zip(self.task_names()) {
            let indices = Tensor::f_from_slice(indices)?;
            let select = |tensor: &Tensor| tensor.f_index_select(0, &indices);
            of_tasks.push(inputs.select(&indices)?);
            let weight = weights.as_ref().map(select).transpose()?;
            tasks.push(TaskData { name, target: select(&labels)?, weight });
        }
        SplitData::new(of_tasks, tasks)
    }

    /// The rows of each stream of inputs, in the order of `rows`: one stream, or with `tasks_by` one for each task.
    pub fn streams(&self, table: &Table, rows: &[usize]) -> Result<Vec<Vec<usize>>> {
        let Some(streams) = self.indices(table, rows)? else { return Ok(vec![rows.to_vec()]) };
        let of =
            |indices: Vec<i64>| indices.into_iter().filter_map(|place| rows.get(place as usize).copied());
        Ok(streams.into_iter().map(|indices| of(indices).collect()).collect())
    }

    /// With `tasks_by` the indices of each task's rows among `rows`.
    fn indices(&self, table: &Table, rows: &[usize]) -> Result<Option<Vec<Vec<i64>>>> {
        let Some(by) = &self.tasks_by else { return Ok(None) };
        let column = table.column(&by.column)?;
        let by_level = by.compare.places_of(column, &by.values);
        let mut streams = vec![Vec::new(); by.values.len()];
        for (place, row) in rows.iter().enumerate() {
            let task =
                column.codes().get(*row).and_then(|&code| by_level.get(code as usize).copied().flatten());
            match task.and_then(|task| streams.get_mut(task)) {
                Some(stream) => stream.push(place as i64),
                None => return Err(table.value_error(column, *row, "a task of the training split")),
            }
        }
        Ok(Some(streams))
    }

    /// What is in these splits.
    pub(super) fn report(&self, splits: &Splits<SplitData>) -> Result<DataReport> {
        let targets = || (0..self.task_names().len()).filter_map(|task| self.target(task));
        let kinds: Vec<_> = targets().map(TargetEncoder::kind).collect();
        let mut report = DataReport::of(splits, &kinds)?;
        report.inputs = self.inputs.counts();
        for (described, target) in report.targets.iter_mut().zip(targets()) {
            described.classes = match target.kind() {
                TargetKind::Multilabel => target.columns().to_vec(),
                _ => target.classes().to_vec(),
            };
            described.standardised = Some(target.mean_std()).filter(|units| *units != (0.0, 1.0));
        }
        report.weights = self.weight.as_ref().map(|column| match self.weight_in {
            WeightIn::Loss => {
                format!("rows weigh what `{column}` says in the loss, and alike in metrics (see `weight_in`)")
            }
            WeightIn::LossAndMetrics => format!("rows weigh what `{column}` says in loss and metrics"),
        });
        Ok(report)
    }

    fn weights(&self, table: &Table, rows: &[usize]) -> Result<Option<Tensor>> {
        let Some(name) = &self.weight else { return Ok(None) };
        let numbers = table.numbers(name)?;
        let weights = rows.iter().map(|&row| match numbers.get(row) {
            Some(weight) if *weight >= 0.0 && (*weight as f32).is_finite() => Ok(*weight as f32),
            _ => Err(table.value_error(
                table.column(name)?,
                row,
                "a weight; weights are numbers of at least 0",
            )),
        });
        Ok(Some(Tensor::f_from_slice(&weights.collect::<Result<Vec<f32>>>()?)?))
    }
}
