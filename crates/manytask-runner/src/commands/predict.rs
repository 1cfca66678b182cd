use manytask_data::Schema;
use manytask_nn::metrics::Output;
use manytask_tensor::{Device, Kind, Tensor, io::write_atomically};

use crate::cli::PredictArgs;
use crate::config::Source;
use crate::data::{sizes_of, tasks_of};
use crate::failure::{Code, Failure, Result};
use crate::plan::{Plan, Work};
use crate::registries::Registries;
use crate::report::print;
use crate::run::{CONFIG, RunFolder, SCHEMA, read_json};

/// `manytask predict`: only the run's folder and the input are needed, not the data it was trained on.
pub(super) fn predict(arguments: &PredictArgs, registries: &Registries) -> Result<()> {
    let folder = RunFolder::view(&arguments.run)?;
    let source = Source::read(&folder.path().join(CONFIG), &[])?;
    let plan = Plan::read(&source, registries)?;
    let device = plan.device.resolve()?;
    let schema = folder.path().join(SCHEMA);
    if !schema.is_file() {
        return Err(Failure::new(Code::Usage, format!("{} is no run on tables", folder.path().display()))
            .hint("judge it with `manytask eval`"));
    }
    let schema: Schema = read_json(&schema)?;
    let Work::Rows(rows) = &plan.work else {
        return Err(Failure::new(Code::Usage, format!("{} is no run on tables", folder.path().display())));
    };
    let mut tasks = rows.describe(tasks_of(&schema))?;
    let every = tasks.clone();
    tasks.retain(|task| rows.only.is_empty() || rows.only.contains(&task.name));
    let network = rows.network.build(&sizes_of(&schema), &tasks, plan.precision)?;
    let (params, _) = folder.params(arguments.checkpoint, network.layout(), device)?;
    let table = schema.read(&arguments.input)?;
    let mut inputs = schema.encode(&table)?;
    // With tasks of their own rows the output says which row each prediction is of.
    let all: Vec<usize> = (0..table.rows()).collect();
    let mut streams = schema.streams(&table, &all)?;
    if inputs.len() > 1 {
        let mut keep = every.iter().map(|task| tasks.contains(task));
        inputs.retain(|_| keep.next().unwrap_or(false));
        let mut keep = every.iter().map(|task| tasks.contains(task));
        streams.retain(|_| keep.next().unwrap_or(false));
    }
    let inputs = inputs.iter().map(|input| input.to_device(device)).collect::<Result<Vec<_>, _>>()?;
    let outputs = network.outputs(&params, &inputs)?;
    let mut columns: Vec<Column> = Vec::new();
    for ((number, task), logits) in tasks.iter().enumerate().zip(&outputs) {
        let target = every.iter().position(|other| other.name == task.name).and_then(|at| schema.target(at));
        let parts: Vec<String> = match (task.output, target) {
            (Output::Multiclass, Some(target)) => target.classes().to_vec(),
            (Output::Multilabel, Some(target)) => target.columns().to_vec(),
            _ => Vec::new(),
        };
        let rows = if streams.len() > 1 { streams.get(number) } else { None };
        columns.extend(Column::of(&task.name, &parts, &task.present(logits)?, rows)?);
    }
    let text = csv(&columns, table.rows());
    match &arguments.output {
        None => print(&text)?,
        Some(path) => write_atomically(path, text.as_bytes())?,
    }
    Ok(())
}

/// One column of predictions, for all rows of the input or for some.
struct Column {
    name: String,
    values: Vec<f64>,
    rows: Option<Vec<usize>>,
}

impl Column {
    /// The columns of a task: one, or one for each class or label.
    fn of(task: &str, parts: &[String], values: &Tensor, rows: Option<&Vec<usize>>) -> Result<Vec<Self>> {
        let values = values.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?;
        let column = |name: String, values: Tensor| -> Result<Self> {
            Ok(Self { name, values: Vec::<f64>::try_from(values.f_contiguous()?)?, rows: rows.cloned() })
        };
        if parts.is_empty() {
            return Ok(vec![column(task.to_owned(), values.f_reshape([-1])?)?]);
        }
        let parts = parts.iter().enumerate();
        parts.map(|(i, part)| column(format!("{task}={part}"), values.f_select(1, i as i64)?)).collect()
    }

    fn at(&self, row: usize) -> Option<f64> {
        let place = match &self.rows {
            None => row,
            Some(rows) => rows.iter().position(|other| *other == row)?,
        };
        self.values.get(place).copied()
    }
}

/// Comma-separated values, one row for each of the input; empty where a task is not of that row.
fn csv(columns: &[Column], rows: usize) -> String {
    let quoted = |name: &str| {
        if name.contains([',', '"', '\n']) {
            format!("\"{}\"", name.replace('"', "\"\""))
        } else {
            name.to_owned()
        }
    };
    let mut text = columns.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(",");
    text.push('\n');
    for row in 0..rows {
        let cells =
            columns.iter().map(|column| column.at(row).map_or(String::new(), |value| format!("{value:.6}")));
        text.push_str(&cells.collect::<Vec<_>>().join(","));
        text.push('\n');
    }
    text
}
