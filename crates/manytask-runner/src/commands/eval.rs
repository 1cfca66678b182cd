use manytask_multitask::{Evaluation, Part, Problem, TaskEvaluation, delta_m};
use serde::Deserialize;
use serde_json::json;

use super::train::name_of;
use crate::cli::{EvalArgs, PartName};
use crate::config::Source;
use crate::data::Detail;
use crate::experiment::Experiment;
use crate::failure::{Code, Failure, Result};
use crate::plan::Plan;
use crate::registries::Registries;
use crate::report::{circumstances, print, say_circumstances, table};
use crate::run::{CONFIG, RESULTS, RunFolder, json as to_json, read_json};

/// The part of `results.json` that is compared.
#[derive(Deserialize)]
struct Results {
    part: String,
    tasks: Vec<TaskEvaluation>,
}

/// `manytask eval`.
pub(super) fn eval(arguments: &EvalArgs, registries: &Registries) -> Result<()> {
    let folder = RunFolder::view(&arguments.run)?;
    let source = Source::read(&folder.path().join(CONFIG), &[])?;
    let experiment =
        Plan::read(&source, registries).and_then(Experiment::load).map_err(|failure| source.name(failure))?;
    experiment.say_data(Detail::Brief);
    let problem: &dyn Problem = experiment.problem.as_ref();
    let (params, step) = folder.params(arguments.checkpoint, problem.layout(), experiment.device)?;
    let part = match arguments.part {
        None => experiment.judged_by,
        Some(PartName::Train) => Part::Train,
        Some(PartName::Validation) => Part::Validation,
        Some(PartName::Test) => Part::Test,
    };
    let evaluation = problem.evaluate(&params, part)?;
    let delta = match arguments.baseline.as_slice() {
        [] => None,
        runs => Some(delta_m(&evaluation, &baselines(runs, part)?)),
    };
    if arguments.json {
        let changes = delta.map(|delta| json!({ "mean": delta.mean, "tasks": delta.tasks }));
        let mut all =
            json!({ "step": step, "part": name_of(part), "tasks": evaluation.tasks, "delta_m": changes });
        circumstances(&mut all, problem, &evaluation);
        print(&String::from_utf8_lossy(&to_json(&all)?))
    } else {
        print(&format!(
            "{} part, parameters of step {step}\n{}",
            name_of(part),
            table(&evaluation, delta.as_ref())
        ))?;
        say_circumstances(problem, &evaluation);
        Ok(())
    }
}

/// The results of runs of single tasks, together.
fn baselines(runs: &[std::path::PathBuf], part: Part) -> Result<Evaluation> {
    let mut tasks = Vec::new();
    for run in runs {
        let results: Results = read_json(&run.join(RESULTS))?;
        if results.part != name_of(part) {
            let what = format!("{}: its result is of the {} part", run.display(), results.part);
            return Err(Failure::new(Code::Usage, what).hint(format!("compare with --part {}", results.part)));
        }
        tasks.extend(results.tasks);
    }
    Ok(Evaluation::new(tasks))
}
