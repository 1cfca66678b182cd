//! `manytask predict`: only the run's folder and the input are needed, not the data it was trained on.

mod derived;

use std::path::Path;

use manytask_data::{Columns, Table};
use manytask_multitask::Task;
use manytask_nn::metrics::Output;
use manytask_tensor::ShownPath as _;
use manytask_tensor::{Kind, Tensor, threads};

use self::derived::{postprocessed, with_derived};
use super::changes::Purpose;
use super::opened::Opened;
use super::predictions::{Predictions, output_of};
use super::preferred::with_preference;
use crate::cli::PredictArgs;
use crate::device;
use crate::digest::digest;
use crate::failure::{Code, Failure, Result};
use crate::plan::{Plan, RowsPlan, Work, threads_of};
use crate::registries::Registries;
use crate::report::say;
use crate::run::{RunFolder, SCHEMA, Which, is_study};
use crate::schema::{InputRows, InputSchema};
use crate::study::{Question, Study, finished_of, run_of};

/// `manytask predict`.
pub(super) fn predict(arguments: &PredictArgs, registries: &Registries) -> Result<()> {
    let overrides = arguments.compute.with(&arguments.overrides);
    let output = output_of(arguments.output.as_deref(), &[&arguments.input], &arguments.run)?;
    let keep = Columns::from(arguments.keep.as_slice());
    let asked = Asked {
        input: &arguments.input,
        overrides: &overrides,
        checkpoint: arguments.checkpoint,
        keep: &keep,
        preference: &arguments.preference,
    };
    let Predicted { predictions, count, notes } = if is_study(&arguments.run) {
        of_study(&arguments.run, &asked, registries)?
    } else {
        of_run(&arguments.run, &asked, registries)?
    };
    for note in notes.into_iter().chain(predictions.note()) {
        say(&format!("note: {note}"));
    }
    predictions.deliver(output, &format!("predictions for {count} rows"))
}

/// What is to be predicted, and how.
pub(super) struct Asked<'a> {
    pub(super) input: &'a Path,
    pub(super) overrides: &'a [String],
    pub(super) checkpoint: Which,
    /// Columns of the file that stand before the predictions.
    pub(super) keep: &'a Columns,
    /// Of a network for the whole Pareto front which point of it; empty: the usual one.
    pub(super) preference: &'a [f64],
}

/// Predictions for all rows of a file.
pub(super) struct Predicted {
    pub(super) predictions: Predictions,
    /// How many rows there are.
    count: usize,
    /// What is odd about the file.
    notes: Vec<String>,
}

/// What the network of a run predicts.
///
/// # Errors
/// When the run or the file is damaged, or the file has not what the network was trained on.
pub(super) fn of_run(run: &Path, asked: &Asked<'_>, registries: &Registries) -> Result<Predicted> {
    let folder = RunFolder::view(run)?;
    let overrides = with_preference(folder.path(), asked.overrides, asked.preference, registries)?;
    let opened = Opened::new(folder, &overrides, Purpose::Predict)?;
    let schema = schema(&opened)?;
    let plan = opened.plan(registries)?;
    let Work::Rows(rows) = &plan.work else {
        let what =
            format!("{} is a run of a learner, which needs examples of a task", opened.folder.path().shown());
        return Err(Failure::new(Code::Usage, what).hint("give it some with `manytask adapt`"));
    };
    threads::set(threads_of(&plan))?;
    let input = schema.read(asked.input).map_err(of_input)?;
    let predictions = computed(asked.checkpoint, &opened, &schema, &plan, rows, &input)?;
    let predictions = predictions.with_kept(kept(&input, asked)?);
    let notes = schema.review(&input).map_err(of_input)?;
    Ok(Predicted { predictions, count: input.count, notes: notes.iter().map(ToString::to_string).collect() })
}

/// The columns of the input that are kept, as they stand in it.
fn kept(input: &InputRows, asked: &Asked<'_>) -> Result<Vec<(String, Vec<String>)>> {
    if asked.keep.0.is_empty() {
        return Ok(Vec::new());
    }
    let Some(table) = input.table() else {
        return Err(nothing_to_keep(asked.input));
    };
    kept_columns(table, asked.keep, asked.input)
}

/// What is said of columns that are to be kept of pictures.
pub(super) fn nothing_to_keep(input: &Path) -> Failure {
    let what = format!("--keep names columns of a table, and {} is none", input.shown());
    Failure::new(Code::Usage, what).hint("leave --keep out: pictures are named by their files")
}

/// Columns of a table that was read from `input`, as they stand in it.
pub(super) fn kept_columns(
    table: &Table,
    keep: &Columns,
    input: &Path,
) -> Result<Vec<(String, Vec<String>)>> {
    if keep.0.is_empty() {
        return Ok(Vec::new());
    }
    let of = |name: String| {
        let column = table.column(&name).map_err(of_input)?;
        let texts = (0..table.rows()).map(|row| column.text(row).unwrap_or_default().to_owned());
        Ok((name, texts.collect()))
    };
    let names = table.matching(keep).map_err(|_| no_such_column(table, keep, input));
    names?.into_iter().map(of).collect()
}

/// What is said of a column that is to be kept and is not there.
fn no_such_column(table: &Table, keep: &Columns, input: &Path) -> Failure {
    let absent = keep.0.iter().find(|name| table.matching(&Columns::from(name.as_str())).is_err());
    let absent = absent.map_or("", String::as_str);
    let what = format!("--keep: {} has no column `{absent}`", input.shown());
    let failure = Failure::new(Code::Usage, what);
    match crate::config::nearest(absent, table.names()) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure,
    }
}

/// The mean of what the networks of a study predict.
fn of_study(study: &Path, asked: &Asked<'_>, registries: &Registries) -> Result<Predicted> {
    let spec = Study::spec_of(study)?;
    if spec.question != Question::Repetition {
        let compares = match spec.question {
            Question::Sweep => "settings",
            Question::Front => "preferences",
            Question::Repetition | Question::Strategies => "strategies",
        };
        let what = format!("{} compares {compares}, which do not predict together", study.shown());
        return Err(Failure::new(Code::Usage, what).hint("name one of the runs in its folder `members`"));
    }
    let (finished, open) = finished_of(study, &spec)?;
    let mut all = Vec::new();
    for (member, _) in &finished {
        all.push(of_run(&run_of(study, member), asked, registries)?);
    }
    let Some(first) = all.first() else {
        let what = format!("{}: no run of this study has a result yet", study.shown());
        return Err(
            Failure::new(Code::Data, what).hint("let it end, with `manytask resume` if it was interrupted")
        );
    };
    let (count, mut notes) = (first.count, first.notes.clone());
    notes.push(format!("predictions are the mean of {} networks", all.len()));
    if all.iter().any(|predicted| predicted.predictions.has_derived()) {
        notes.push(
            "classes, sets and intervals are of single networks: name a run in `members` for them".to_owned(),
        );
    }
    if !open.is_empty() {
        notes.push(format!("{} further runs of the study have no result", open.len()));
    }
    let every = vec![true; count];
    let members = all.into_iter().map(|predicted| (predicted.predictions, every.clone()));
    Ok(Predicted { predictions: Predictions::mean(&members.collect::<Vec<_>>()), count, notes })
}

fn computed(
    checkpoint: Which,
    opened: &Opened,
    schema: &InputSchema,
    plan: &Plan,
    rows: &RowsPlan,
    input: &InputRows,
) -> Result<Predictions> {
    let (device, note) = device::open(plan)?;
    if let Some(note) = note {
        say(&note);
    }
    let every = rows.describe(schema.tasks())?;
    let chosen = |task: &Task| rows.only.is_empty() || rows.only.contains(&task.name);
    let tasks: Vec<Task> = every.iter().filter(|task| chosen(task)).cloned().collect();
    let network = rows.network.build(&schema.sizes(), &tasks, plan.precision)?;
    let (params, step) = opened.folder.params(checkpoint, network.layout(), device)?;
    let fitted = opened.fitted(step)?;
    if fitted.is_some() && opened.changed.iter().any(|key| key.starts_with("network.preference")) {
        say("note: what was fitted on the validation split is for the preference of the configuration");
    }
    // One for all tasks, or that of each task which predicts.
    let single = input.inputs.len() == 1;
    let own = input.inputs.iter().zip(&every).filter(|(_, task)| single || chosen(task));
    let inputs = own.map(|(inputs, _)| inputs.to_device(device)).collect::<Result<Vec<_>, _>>()?;
    let outputs = network.outputs(&params, &inputs)?;
    let numbered = every.iter().enumerate().filter(|(_, task)| chosen(task));
    let (mut values, mut derived) = (Vec::new(), Vec::new());
    for ((number, task), logits) in numbered.clone().zip(&outputs) {
        // Probabilities and units in double precision: in single precision a probability is soon 1.
        let presented = task.present(&logits.f_to_kind(Kind::Double)?)?;
        let fitted = fitted.as_ref().and_then(|fitted| fitted.tasks.get(&task.name));
        let own =
            fitted.map(|fitted| postprocessed(fitted, task, logits, schema.words(number))).transpose()?;
        values.push(match &own {
            Some(own) if task.output != Output::Regression => {
                Tensor::f_from_slice(&own.probabilities)?.f_reshape(presented.size())?
            }
            _ => presented,
        });
        derived.push(own);
    }
    let streams = &input.streams;
    if let Some(target) = schema.target_of_values() {
        let of_tasks = numbered
            .clone()
            .zip(&values)
            .filter_map(|((number, _), values)| Some((streams.get(number)?, values)));
        let names: Vec<&str> = every.iter().map(|task| task.name.as_str()).collect();
        let predictions =
            Predictions::by_row(input.count, &names, streams, target, &schema.predicted(0), of_tasks)?;
        let of_tasks =
            numbered.zip(derived).filter_map(|((number, _), own)| Some((streams.get(number)?, own?)));
        return Ok(of_tasks.fold(predictions, |all, (rows, own)| with_derived(all, target, rows, own)));
    }
    let columns = numbered
        .clone()
        .zip(&values)
        .map(|((number, task), values)| (task.name.as_str(), schema.predicted(number), values));
    let predictions = Predictions::by_task(input.count, columns)?.of_files(input.files.clone());
    let all: Vec<usize> = (0..input.count).collect();
    let of_tasks = numbered.zip(derived).filter_map(|((_, task), own)| Some((&task.name, own?)));
    Ok(of_tasks.fold(predictions, |predictions, (name, own)| with_derived(predictions, name, &all, own)))
}

/// How inputs are read, as the run wrote it.
pub(super) fn schema(opened: &Opened) -> Result<InputSchema> {
    let path = opened.folder.path().join(SCHEMA);
    let written = opened.manifest.as_ref().and_then(|manifest| manifest.schema_digest.as_ref());
    let damaged = |why: &str| {
        let what = format!("{}: {why}", path.shown());
        Failure::new(Code::Checkpoint, what).hint("bring the file back, or train anew with `manytask train`")
    };
    let text = match fs_err::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(if written.is_some() { damaged("is missing") } else { no_schema(opened) });
        }
        Err(error) => return Err(error.into()),
    };
    if written.is_some_and(|written| *written != digest(&text)) {
        return Err(damaged("is damaged: it is not what the run has written"));
    }
    serde_json::from_slice(&text).map_err(|error| damaged(&format!("is damaged: {error}")))
}

pub(super) fn no_schema(opened: &Opened) -> Failure {
    let what = format!(
        "{} is a run on no table or images, whose predictions are for no file",
        opened.folder.path().shown()
    );
    Failure::new(Code::Usage, what).hint("judge it with `manytask eval`")
}

/// A mistake in the input is one of data, whatever it would be in a training.
pub(super) fn of_input(error: impl Into<Failure>) -> Failure {
    match error.into() {
        failure if failure.code == Code::Config => Failure { code: Code::Data, ..failure },
        other => other,
    }
}
