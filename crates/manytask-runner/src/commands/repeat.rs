//! `manytask train --folds --seeds`: how good a configuration is, with its uncertainty.

mod out_of_fold;
mod summary;

use manytask_tensor::ShownPath as _;

use self::summary::Answer;
use super::studies::{self, Wanted, look, member, seeds};
use super::train::{dry_run, overrides};
use crate::cli::TrainArgs;
use crate::config::Source;
use crate::failure::{Code, Failure, Result};
use crate::invocation::{program, quoted};
use crate::plan::{Plan, Work};
use crate::registries::Registries;
use crate::report::{print, say};
use crate::study::{Lost, Question, Spec, Study};

/// `manytask train` with `--folds` or `--seeds`.
pub(super) fn repeat(arguments: &TrainArgs, registries: &Registries) -> Result<()> {
    let overrides = &overrides(arguments)?;
    let spec = spec(arguments, overrides, registries)?;
    let ending = match (arguments.folds, arguments.seeds) {
        (Some(folds), None) => format!("{folds}-folds"),
        (None, seeds) => format!("{}-seeds", seeds.unwrap_or(1)),
        (Some(folds), Some(seeds)) => format!("{folds}-folds-{seeds}-seeds"),
    };
    let wanted = Wanted {
        config: &arguments.config,
        overrides,
        runs: &arguments.runs,
        name: arguments.name.as_deref(),
        ending: &ending,
        jobs: arguments.jobs,
        display: arguments.progress.display(),
    };
    let first = spec.members.first().map(|member| member.overrides.as_slice()).unwrap_or_default();
    let looked = look(&wanted, first, registries)?;
    if arguments.dry_run {
        let trainer = looked.experiment.trainer()?;
        return dry_run(&looked.experiment, trainer);
    }
    studies::train(&wanted, looked, &spec, studies::whole, |study, lost| report(study, lost, registries))
}

fn spec(arguments: &TrainArgs, overrides: &[String], registries: &Registries) -> Result<Spec> {
    let source = Source::read(&arguments.config, overrides)?;
    let plan = Plan::read(&source, registries)?;
    if arguments.folds.is_some() {
        has_folds(&source, &plan)?;
    }
    let folds: Vec<Option<(usize, usize)>> = match arguments.folds {
        None => vec![None],
        Some(count) => (0..count as usize).map(|index| Some((index, count as usize))).collect(),
    };
    let seeds = seeds(plan.seed, arguments.seeds.unwrap_or(1));
    let members = seeds.iter().flat_map(|seed| folds.iter().map(|fold| member("", *fold, *seed, Vec::new())));
    Ok(Spec::new(Question::Repetition, members))
}

/// Refuses folds of what has none.
pub(super) fn has_folds(source: &Source, plan: &Plan) -> Result<()> {
    let refuse = |what: &str| {
        Err(Failure::new(Code::Usage, format!("{}: {what}", source.path().shown()))
            .hint("repeat the training with --seeds instead"))
    };
    match &plan.work {
        Work::Episodes(_) => refuse("--folds is for tables, and [data] gives episodes"),
        Work::Rows(rows) if !rows.data.has_folds() => refuse("--folds is for tables, and [data] has none"),
        Work::Rows(_) => Ok(()),
    }
}

/// Writes and says the result over all members that have one.
pub(super) fn report(study: &Study, lost: &[Lost], registries: &Registries) -> Result<()> {
    let (finished, _) = study.finished()?;
    if finished.is_empty() {
        return Ok(());
    }
    let answer = Answer::of(&finished, lost);
    study.write_results(&answer)?;
    print(&format!("\n{}", answer.text()))?;
    for note in answer.notes() {
        say(&format!("note: {note}"));
    }
    if let Some(path) = out_of_fold::write(study, &finished, registries)? {
        say(&format!("out-of-fold predictions are in {}", path.shown()));
    }
    let schema =
        study.spec.members.iter().any(|member| study.run_of(member).join(crate::run::SCHEMA).is_file());
    if schema {
        print(&format!("\n{} predict {} --input FILE\n", program(), quoted(study.path())))?;
    }
    Ok(())
}
