//! `manytask predict`: only the run's folder and the input are needed, not the data it was trained on.

use std::path::Path;

use manytask_data::{Schema, Table};
use manytask_multitask::Task;
use manytask_tensor::io::write_atomically;
use manytask_tensor::{Kind, Tensor, threads};

use super::changes::Purpose;
use super::opened::Opened;
use super::predictions::{Predictions, parts_of};
use super::train::{digest, with_options};
use crate::cli::PredictArgs;
use crate::data::{sizes_of, tasks_of};
use crate::experiment::threads_of;
use crate::failure::{Code, Failure, Result};
use crate::plan::{Plan, RowsPlan, Work};
use crate::registries::Registries;
use crate::report::{print, say};
use crate::run::{RunFolder, SCHEMA};

/// `manytask predict`.
pub(super) fn predict(arguments: &PredictArgs, registries: &Registries) -> Result<()> {
    let overrides = with_options(&arguments.overrides, arguments.device.as_deref(), arguments.threads);
    let opened = Opened::new(RunFolder::view(&arguments.run)?, &overrides, Purpose::Predict)?;
    let output = arguments.output.as_deref().filter(|path| path.as_os_str() != "-");
    if let Some(output) = output {
        spare(output, &arguments.input, opened.folder.path())?;
    }
    let schema = schema(&opened)?;
    let plan = opened.plan(registries)?;
    let Work::Rows(rows) = &plan.work else { return Err(no_tables(&opened)) };
    threads::set(threads_of(&plan))?;
    let table = schema.read(&arguments.input).map_err(of_input)?;
    let predictions = computed(arguments, &opened, &schema, &plan, rows, &table)?;
    let all: Vec<usize> = (0..table.rows()).collect();
    for note in schema.review(&table, &all, "the input").map_err(of_input)? {
        say(&format!("note: {note}"));
    }
    if let Some(note) = predictions.note() {
        say(&format!("note: {note}"));
    }
    let text = predictions.csv();
    match output {
        None => print(&text),
        Some(path) => {
            write_atomically(path, text.as_bytes())?;
            say(&format!("predictions for {} rows are in {}", table.rows(), path.display()));
            Ok(())
        }
    }
}

fn computed(
    arguments: &PredictArgs,
    opened: &Opened,
    schema: &Schema,
    plan: &Plan,
    rows: &RowsPlan,
    table: &Table,
) -> Result<Predictions> {
    let device = plan.device.resolve()?;
    let every = rows.describe(tasks_of(schema))?;
    let chosen = |task: &Task| rows.only.is_empty() || rows.only.contains(&task.name);
    let tasks: Vec<Task> = every.iter().filter(|task| chosen(task)).cloned().collect();
    let network = rows.network.build(&sizes_of(schema), &tasks, plan.precision)?;
    let (params, _) = opened.folder.params(arguments.checkpoint, network.layout(), device)?;
    let mut inputs = schema.encode(table).map_err(of_input)?;
    let all: Vec<usize> = (0..table.rows()).collect();
    let streams = schema.streams(table, &all).map_err(of_input)?;
    if inputs.len() > 1 {
        let mut tasks = every.iter();
        inputs.retain(|_| tasks.next().is_some_and(chosen));
    }
    let inputs = inputs.iter().map(|input| input.to_device(device)).collect::<Result<Vec<_>, _>>()?;
    let outputs = network.outputs(&params, &inputs)?;
    // Probabilities and units in double precision: in single precision a probability is soon 1.
    let values = tasks
        .iter()
        .zip(&outputs)
        .map(|(task, logits)| -> Result<Tensor> { Ok(task.present(&logits.f_to_kind(Kind::Double)?)?) });
    let values = values.collect::<Result<Vec<_>>>()?;
    let numbered = every.iter().enumerate().filter(|(_, task)| chosen(task));
    if schema.tasks_by().is_some() {
        let of_tasks =
            numbered.zip(&values).filter_map(|((number, _), values)| Some((streams.get(number)?, values)));
        let target = schema.target(0);
        let name = target.map_or("prediction", |target| target.name());
        let first = every.first().map_or_else(Vec::new, |task| parts_of(task, target));
        let names: Vec<&str> = every.iter().map(|task| task.name.as_str()).collect();
        return Predictions::by_row(table.rows(), &names, &streams, name, &first, of_tasks);
    }
    let columns = numbered
        .zip(&values)
        .map(|((number, task), values)| (task.name.as_str(), parts_of(task, schema.target(number)), values));
    Predictions::by_task(table.rows(), columns)
}

/// How tables are read, as the run wrote it.
fn schema(opened: &Opened) -> Result<Schema> {
    let path = opened.folder.path().join(SCHEMA);
    let written = opened.manifest.as_ref().and_then(|manifest| manifest.schema_digest.as_ref());
    let damaged = |why: &str| {
        let what = format!("{}: {why}", path.display());
        Failure::new(Code::Checkpoint, what).hint("bring the file back, or train anew with `manytask train`")
    };
    let text = match fs_err::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(if written.is_some() { damaged("is missing") } else { no_tables(opened) });
        }
        Err(error) => return Err(error.into()),
    };
    if written.is_some_and(|written| *written != digest(&text)) {
        return Err(damaged("is damaged: it is not what the run has written"));
    }
    serde_json::from_slice(&text).map_err(|error| damaged(&format!("is damaged: {error}")))
}

fn no_tables(opened: &Opened) -> Failure {
    let what = format!("{} is no run on tables", opened.folder.path().display());
    Failure::new(Code::Usage, what).hint("judge it with `manytask eval`")
}

/// A mistake in the input is one of data, whatever it would be in a training.
fn of_input(error: impl Into<Failure>) -> Failure {
    match error.into() {
        Failure { code: Code::Config, message, hints } => Failure { code: Code::Data, message, hints },
        other => other,
    }
}

/// Refuses to write over the input or a file of the run.
fn spare(output: &Path, input: &Path, run: &Path) -> Result<()> {
    const OWN: [&str; 6] = ["config.toml", "manifest.json", SCHEMA, "results.json", "metrics.jsonl", ".lock"];
    let refuse = |what: &str| {
        Err(Failure::new(Code::Usage, format!("--output {}: this is {what}", output.display()))
            .hint("give another file, or - for stdout"))
    };
    let Some(place) = placed(output) else { return Ok(()) };
    if placed(input).as_deref() == Some(&place) && place.is_file() {
        return refuse("the input");
    }
    let Some(inside) = placed(run).and_then(|run| place.strip_prefix(run).ok().map(Path::to_owned)) else {
        return Ok(());
    };
    let own = OWN.iter().any(|name| inside == Path::new(name))
        || inside.starts_with("checkpoints")
        || inside.to_string_lossy().starts_with("events.out.tfevents");
    if own { refuse("a file of the run") } else { Ok(()) }
}

/// Where a path leads, which need not exist.
fn placed(path: &Path) -> Option<std::path::PathBuf> {
    if let Ok(place) = fs_err::canonicalize(path) {
        return Some(place);
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(fs_err::canonicalize(parent).ok()?.join(path.file_name()?))
}
