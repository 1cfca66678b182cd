//! `manytask front`: which losses of several tasks can be had together.

mod answer;
mod picture;
mod variants;

use std::path::Path;

use manytask_multitask::pareto::preferences;
use manytask_tensor::ShownPath as _;

use self::answer::Answer;
use self::variants::{FrontNetwork, Sought, Variant, objective_of, of_methods};
use super::studies::{self, Wanted, look, member};
use crate::cli::FrontArgs;
use crate::config::Source;
use crate::failure::{Code, Failure, Result};
use crate::network::NetworkPlan;
use crate::plan::{Plan, Work};
use crate::registries::Registries;
use crate::report::{print, say};
use crate::study::{Lost, Question, Spec, Study};

/// The picture in the folder of the study.
pub(super) const PICTURE: &str = "front.svg";

/// `manytask front`.
pub(super) fn front(arguments: &FrontArgs, registries: &Registries) -> Result<()> {
    let overrides = arguments.compute.with(&arguments.overrides);
    if let Some(change) = arguments.overrides.iter().find(|change| change.starts_with("aggregator")) {
        let what = format!("`{change}` has no effect: what weighs the tasks of a front are its methods");
        return Err(Failure::new(Code::Usage, what).hint("leave it out, or name methods with --methods"));
    }
    let networks = front_networks(registries);
    prefer(&arguments.methods, &networks, registries)?;
    let wanted = Wanted {
        config: &arguments.config,
        overrides: &overrides,
        runs: &arguments.runs,
        name: arguments.name.as_deref(),
        ending: "front",
        jobs: arguments.jobs,
        display: arguments.progress.display(),
    };
    let looked = look(&wanted, &[], registries)?;
    let source = &looked.source;
    let plan = Plan::read(source, registries)?;
    let refuse = |what: &str, remedy: &str| {
        Err(Failure::new(Code::Usage, format!("{}: {what}", source.path().shown())).hint(remedy.to_owned()))
    };
    if let Work::Episodes(_) = plan.work {
        return refuse("its tasks are drawn anew at each step", "a front is of tasks on rows");
    }
    let tasks = looked.experiment.problem.tasks().to_vec();
    if tasks.len() < 2 {
        return refuse("there is a single task", "a front is of two tasks or more");
    }
    if arguments.points < tasks.len() {
        let what = format!("{} preferences for {} tasks", arguments.points, tasks.len());
        return refuse(&what, "ask for at least as many with --points");
    }
    if !arguments.reference.is_empty() && arguments.reference.len() != tasks.len() {
        let what = format!("a reference of {} losses for {} tasks", arguments.reference.len(), tasks.len());
        return refuse(&what, &format!("write one for each of {}, in this order", tasks.join(", ")));
    }
    let own_monitor = plan.training.monitor.is_some();
    let monitors = plan.training.validates() && !own_monitor;
    if own_monitor {
        say(
            "note: the configuration's `monitor` decides which parameters of each training are kept, whatever its preference",
        );
    }
    let all = preferences(tasks.len(), arguments.points);
    let effective = source.effective()?;
    let network = effective.get("network").and_then(toml::Value::as_table).cloned().unwrap_or_default();
    let sought =
        Sought { tasks: &tasks, preferences: &all, points: arguments.points, monitors, network: &network };
    let variants = of_methods(&arguments.methods, &networks, sought)?;
    check(&variants, source, registries)?;
    let members =
        variants.iter().map(|variant| member(&variant.name, None, plan.seed, variant.overrides.clone()));
    let spec = Spec { reference: arguments.reference.clone(), ..Spec::new(Question::Front, members) };
    studies::train(&wanted, looked, &spec, studies::whole, report)
}

/// Refuses methods that take no preference between tasks.
fn prefer(methods: &[String], networks: &[FrontNetwork], registries: &Registries) -> Result<()> {
    let prefers = |name: &str| {
        let example = registries.aggregators.example(name).and_then(|text| text.parse::<toml::Table>().ok());
        example
            .is_some_and(|whole| whole.get("aggregator").is_some_and(|own| own.get("preference").is_some()))
    };
    let objectives = methods.iter().filter_map(|method| objective_of(method, networks));
    let Some(other) = objectives.into_iter().find(|name| !name.is_empty() && !prefers(name)) else {
        return Ok(());
    };
    let all = registries.aggregators.entries().map(|(name, _)| name).filter(|name| prefers(name));
    let all: Vec<&str> = all.chain(networks.iter().map(|(name, _)| name.as_str())).collect();
    let what = if registries.aggregators.has(other) {
        format!("--methods: `{other}` takes no preference between tasks, of which a front is made")
    } else {
        format!("--methods: there is no aggregator `{other}`")
    };
    let failure = Failure::new(Code::Usage, what);
    let failure = match crate::config::nearest(other, all.iter().copied()) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure,
    };
    Err(failure.hint(format!("there are {}", all.join(", "))))
}

/// The networks that are one for the whole front, each with the aggregator of its paper.
fn front_networks(registries: &Registries) -> Vec<FrontNetwork> {
    let objective = |name: &str| {
        let text = registries.architectures.example(name)?;
        let source = Source::new(Path::new(name), &text, &[]).ok()?;
        let section = source.section().ok()?.required_table(registries.architectures.section()).ok()?;
        NetworkPlan::read(section, registries).ok()?.front_aggregator()
    };
    let all = registries.architectures.entries();
    all.filter_map(|(name, _)| Some((name.to_owned(), objective(name)?))).collect()
}

/// Refuses a method that the configuration cannot be trained with, before anything is trained.
fn check(variants: &[Variant], source: &Source, registries: &Registries) -> Result<()> {
    for variant in variants {
        let of_variant = |failure: Failure| Failure {
            message: format!("{}: {}", variant.name, failure.message),
            ..failure
        };
        Plan::read(&source.with(&variant.overrides)?, registries)
            .map_err(of_variant)?
            .check()
            .map_err(of_variant)?;
    }
    Ok(())
}

/// Writes and says the answer of all members that have a result.
pub(super) fn report(study: &Study, lost: &[Lost]) -> Result<()> {
    let (finished, _) = study.finished()?;
    let Some(answer) = Answer::of(study, &finished, lost) else { return Ok(()) };
    study.write_results(&answer)?;
    study.write(PICTURE, picture::svg(&answer).as_bytes())?;
    print(&format!("\n{}", answer.text()))?;
    for note in answer.notes() {
        say(&format!("note: {note}"));
    }
    say(&format!("picture: {}", study.path().join(PICTURE).shown()));
    Ok(())
}
