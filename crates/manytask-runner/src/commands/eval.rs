//! `manytask eval`: a run's parameters are judged again.

use std::path::Path;

use manytask_multitask::{Evaluation, MultiTaskProblem, Problem, Split, delta_m};
use manytask_tensor::ShownPath as _;
use manytask_tensor::threads;
use serde_json::{Value, json};

use super::baselines::baselines;
use super::changes::Purpose;
use super::drive::name_of;
use super::opened::Opened;
use super::predict::{no_schema, of_input, schema};
use super::preferred::with_preference;
use crate::cli::{EvalArgs, SplitName};
use crate::data::Detail;
use crate::device;
use crate::failure::{Code, Failure, Result};
use crate::plan::{Work, threads_of};
use crate::postprocessing::{self, Judged};
use crate::registries::Registries;
use crate::report::{circumstances, print, say, say_circumstances, table};
use crate::run::{RunFolder, json as to_json};
use crate::schema::LabelledRows;

/// `manytask eval`.
pub(super) fn eval(arguments: &EvalArgs, registries: &Registries) -> Result<()> {
    // An option with many values takes the changes behind it as well.
    let is_change = |path: &&std::path::PathBuf| !path.exists() && path.to_string_lossy().contains('=');
    let (swallowed, runs): (Vec<_>, Vec<_>) = arguments.baseline.iter().partition(is_change);
    let swallowed = swallowed.into_iter().map(|change| change.to_string_lossy().into_owned());
    let overrides: Vec<String> = arguments.overrides.iter().cloned().chain(swallowed).collect();
    let overrides = arguments.compute.with(&overrides);
    let folder = RunFolder::view(&arguments.run)?;
    let overrides = with_preference(folder.path(), &overrides, &arguments.preference, registries)?;
    let opened = Opened::new(folder, &overrides, Purpose::Eval)?;
    if let Some(data) = &arguments.data {
        return of_file(&opened, data, arguments, registries);
    }
    let experiment = opened.load(registries)?;
    experiment.say_data(Detail::Brief);
    let problem: &dyn Problem = experiment.problem.as_ref();
    let (params, step) = opened.folder.params(arguments.checkpoint, problem.layout(), experiment.device)?;
    let split = match arguments.split {
        None => experiment.judged_by,
        Some(SplitName::Train) => Split::Train,
        Some(SplitName::Validation) => Split::Validation,
        Some(SplitName::Test) => Split::Test,
    };
    let baseline = match runs.as_slice() {
        [] => None,
        runs => Some(baselines(runs, &opened, &experiment, split)?),
    };
    let evaluation = problem.evaluate(&params, split)?;
    let judged = match opened.fitted(step)? {
        None => Vec::new(),
        Some(fitted) => fitted.judge(&problem.outputs(&params, split)?)?,
    };
    let delta = baseline.map(|baseline| {
        say_missing(&evaluation, &baseline);
        delta_m(&evaluation, &baseline)
    });
    if arguments.json {
        let changes = delta.map(|delta| json!({ "mean": delta.mean, "tasks": delta.tasks }));
        let mut all =
            json!({ "step": step, "split": name_of(split), "tasks": evaluation.tasks, "delta_m": changes });
        add_judged(&mut all, &judged);
        circumstances(&mut all, problem, &evaluation);
        print(&String::from_utf8_lossy(&to_json(&all)?))
    } else {
        print(&format!(
            "{} split, parameters of step {step}\n{}",
            name_of(split),
            table(&evaluation, delta.as_ref())
        ))?;
        print_judged(&judged)?;
        say_circumstances(problem, &evaluation);
        Ok(())
    }
}

/// Judges by the labels of another file; the data of the training are not needed.
fn of_file(opened: &Opened, data: &Path, arguments: &EvalArgs, registries: &Registries) -> Result<()> {
    let schema = schema(opened)?;
    let plan = opened.plan(registries)?;
    let Work::Rows(rows) = &plan.work else { return Err(no_schema(opened)) };
    threads::set(threads_of(&plan))?;
    let (device, note) = device::open(&plan)?;
    if let Some(note) = note {
        say(&note);
    }
    let Some(LabelledRows { splits, notes }) = schema.labelled(data).map_err(of_input)? else {
        return Err(Failure::new(Code::Usage, "--data is for tables, and this run is on images")
            .hint("name files with labels under [data] of another configuration"));
    };
    let tasks = rows.kept(rows.describe(schema.tasks())?);
    let names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
    let splits = splits.select(&names)?.to_device(device)?;
    let network = rows.network.build(&schema.sizes(), &tasks, plan.precision)?;
    let problem = MultiTaskProblem::new(network, tasks, splits, rows.batches)?;
    let (params, step) = opened.folder.params(arguments.checkpoint, problem.layout(), device)?;
    let evaluation = problem.evaluate(&params, Split::Test)?;
    let judged = match opened.fitted(step)? {
        None => Vec::new(),
        Some(fitted) => fitted.judge(&problem.outputs(&params, Split::Test)?)?,
    };
    for note in notes {
        say(&format!("note: {note}"));
    }
    if arguments.json {
        let mut all = json!({ "step": step, "data": data.shown().to_string(), "tasks": evaluation.tasks });
        add_judged(&mut all, &judged);
        circumstances(&mut all, &problem, &evaluation);
        return print(&String::from_utf8_lossy(&to_json(&all)?));
    }
    print(&format!("{}, parameters of step {step}\n{}", data.shown(), table(&evaluation, None)))?;
    print_judged(&judged)?;
    say_circumstances(&problem, &evaluation);
    Ok(())
}

/// Puts what was fitted on the validation split beside the metrics.
fn add_judged(all: &mut Value, judged: &[Judged]) {
    if !judged.is_empty() {
        all["postprocessing"] = json!({ "judged": judged });
    }
}

fn print_judged(judged: &[Judged]) -> Result<()> {
    if judged.is_empty() {
        return Ok(());
    }
    print(&format!("\nfitted on the validation split of the training\n{}", postprocessing::table(judged)))
}

/// Says which tasks no baseline has: Δm is without them.
fn say_missing(evaluation: &Evaluation, baseline: &Evaluation) {
    const SHOWN: usize = 5;
    let missing = evaluation.tasks.iter().map(|task| task.name.as_str());
    let missing: Vec<&str> = missing.filter(|name| baseline.task(name).is_none()).collect();
    if !missing.is_empty() {
        let more = missing.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let names: Vec<&str> = missing.into_iter().take(SHOWN).collect();
        say(&format!("note: no baseline has {}{more}: Δm is without them", names.join(", ")));
    }
}
