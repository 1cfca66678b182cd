//! `manytask compare-strategies`: does one network for several tasks beat a network for each, by which strategy, and how sure is
//! that.

mod comparison;
mod text;
mod variants;

use manytask_tensor::ShownPath as _;

use self::comparison::Comparison;
use self::variants::{ALONE, Variant, of_plan};
use super::studies::{self, Wanted, look, member, seeds};
use crate::cli::CompareArgs;
use crate::config::Source;
use crate::failure::{Code, Failure, Result};
use crate::plan::{Plan, Work};
use crate::registries::Registries;
use crate::report::{print, say};
use crate::study::{Lost, Question, Spec, Study};

/// `manytask compare-strategies`.
pub(super) fn compare(arguments: &CompareArgs, registries: &Registries) -> Result<()> {
    let overrides = arguments.compute.with(&arguments.overrides);
    let wanted = Wanted {
        config: &arguments.config,
        overrides: &overrides,
        runs: &arguments.runs,
        name: arguments.name.as_deref(),
        ending: "strategies",
        jobs: arguments.jobs,
        display: arguments.progress.display(),
    };
    let looked = look(&wanted, &[], registries)?;
    let source = &looked.source;
    let plan = Plan::read(source, registries)?;
    if let Work::Episodes(_) = plan.work {
        let what = format!("{}: its tasks are drawn anew at each step", source.path().shown());
        return Err(Failure::new(Code::Usage, what).hint("strategies are compared for tasks on rows"));
    }
    let tasks = looked.experiment.problem.tasks().to_vec();
    if tasks.len() < 2 {
        let what = format!("{}: there is a single task", source.path().shown());
        return Err(Failure::new(Code::Usage, what).hint("strategies are compared for two tasks or more"));
    }
    let configured = source.effective()?.get("aggregator").cloned();
    let variants = of_plan(&tasks, configured.as_ref(), arguments.strategies.as_deref())?;
    check(&variants, source, registries)?;
    let seeds = seeds(plan.seed, arguments.seeds);
    let members = seeds.iter().flat_map(|seed| {
        variants.iter().map(|variant| member(&variant.name, None, *seed, variant.overrides.clone()))
    });
    let spec = Spec::new(Question::Strategies, members);
    if plan.training.validates() {
        say(
            "the best scalarization and the best strategy are chosen on the validation split, and judged on another",
        );
    }
    studies::train(&wanted, looked, &spec, studies::whole, report)
}

/// Refuses a strategy that the configuration cannot be trained with, before anything is trained.
fn check(variants: &[Variant], source: &Source, registries: &Registries) -> Result<()> {
    for variant in variants.iter().filter(|variant| !variant.name.starts_with(ALONE)) {
        let of_variant = |failure: Failure| {
            let message = format!("strategy `{}`: {}", variant.name, failure.message);
            Failure { message, ..failure }
                .hint("name others with --strategies, such as --strategies pcgrad,famo")
        };
        let plan = Plan::read(&source.with(&variant.overrides)?, registries).map_err(of_variant)?;
        plan.check().map_err(of_variant)?;
    }
    Ok(())
}

/// Writes and says the answer of all members that have a result.
pub(super) fn report(study: &Study, lost: &[Lost]) -> Result<()> {
    let (finished, _) = study.finished()?;
    if finished.is_empty() {
        return Ok(());
    }
    let comparison = Comparison::of(study, &finished, lost)?;
    study.write_results(&comparison)?;
    print(&format!("\n{}", text::table(&comparison)))?;
    print(&format!("\n{}", text::answer(&comparison)))?;
    for note in text::notes(&comparison) {
        say(&format!("note: {note}"));
    }
    Ok(())
}
