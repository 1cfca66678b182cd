//! `manytask group`: which tasks belong into one network.

mod picture;

use std::ops::ControlFlow;

use manytask_multitask::{AffinityProbe, Event, Grouping, TaskAffinity, Trainer};
use manytask_tensor::{ShownPath as _, io};
use serde_json::json;

use super::destination::Destination;
use crate::cli::GroupArgs;
use crate::config::Source;
use crate::data::Detail;
use crate::experiment::Experiment;
use crate::failure::{Code, Failure, Result};
use crate::plan::{Plan, Work};
use crate::registries::Registries;
use crate::report::{aligned, print, say};

/// Tasks up to which all pairs are printed.
const SHOWN: usize = 20;

/// `manytask group`.
pub(super) fn group(arguments: &GroupArgs, registries: &Registries) -> Result<()> {
    if let Some(path) = &arguments.svg {
        Destination { option: "--svg", path }.is_new()?;
    }
    let source = Source::read(&arguments.config, &arguments.compute.with(&arguments.overrides))?;
    let plan = Plan::read(&source, registries)?;
    if matches!(plan.work, Work::Episodes(_)) {
        let what = "the tasks of a learner are sampled anew at each step, so that they cannot be grouped";
        return Err(Failure::new(Code::Config, what).hint("group is for tasks on rows"));
    }
    let experiment = Experiment::load(plan)?;
    if experiment.problem.tasks().len() < 2 {
        let what = format!("{}: there is one task alone", arguments.config.shown());
        return Err(Failure::new(Code::Config, what).hint("groups need at least two"));
    }
    if !experiment.problem.offers().shared {
        let what = "the tasks of this network share no parameters, so that a step for one says nothing of the others";
        return Err(Failure::new(Code::Config, what)
            .hint("take an architecture that shares them, such as hard_sharing"));
    }
    experiment.say_data(if arguments.quiet { Detail::Notes } else { Detail::Brief });
    let affinity = measured(&experiment, arguments)?;
    let found = affinity.groupings(arguments.groups);
    let best = found.iter().enumerate().max_by(|(_, a), (_, b)| a.affinity.total_cmp(&b.affinity));
    let best = best.map_or(0, |(place, _)| place);
    if let (Some(path), Some(grouping)) = (&arguments.svg, found.get(best)) {
        io::write_atomically(path, picture::svg(&affinity, grouping).as_bytes())?;
        say(&format!("picture: {}", path.shown()));
    }
    if arguments.json {
        return print(&format!("{:#}\n", as_json(&affinity, &found, best)));
    }
    print(&as_text(&affinity, &found, best))
}

/// Trains the network of all tasks, and looks every few steps at what a step for one of them does to the others.
fn measured(experiment: &Experiment, arguments: &GroupArgs) -> Result<TaskAffinity> {
    let mut record = None;
    let mut trainer = experiment.trainer_around(|aggregator| {
        let (probe, seen) = AffinityProbe::new(aggregator, arguments.every, experiment.problem.tasks())?;
        record = Some(seen);
        Ok(Box::new(probe))
    })?;
    let steps = trainer.training().steps;
    trainer.run(|_: &Trainer<'_>, event: Event<'_>| -> Result<ControlFlow<()>> {
        if let Event::StepDone { step } = event
            && !arguments.quiet
            && step * 10 / steps > (step - 1) * 10 / steps
        {
            say(&format!("step {step}/{steps}"));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    record
        .map(|record| record.affinity())
        .ok_or_else(|| Failure::new(Code::Bug, "the affinities were not kept"))
}

fn names(affinity: &TaskAffinity, group: &[usize]) -> Vec<String> {
    group.iter().filter_map(|task| affinity.tasks.get(*task).cloned()).collect()
}

fn as_text(affinity: &TaskAffinity, found: &[Grouping], best: usize) -> String {
    let decimals = decimals(affinity);
    let percent = |value: f64| format!("{:+.decimals$}", 100.0 * value);
    let mut text = format!("affinities over {} steps\n", affinity.looks);
    if affinity.tasks.len() <= SHOWN {
        let head = std::iter::once("% off the loss of".to_owned()).chain(affinity.tasks.iter().cloned());
        let mut rows = vec![head.collect::<Vec<_>>()];
        for (number, (name, row)) in affinity.tasks.iter().zip(&affinity.matrix).enumerate() {
            let cell = |(other, value): (usize, &Option<f64>)| match value {
                Some(value) if other != number => percent(*value),
                _ => "-".to_owned(),
            };
            rows.push(
                std::iter::once(format!("by a step for {name}"))
                    .chain(row.iter().enumerate().map(cell))
                    .collect(),
            );
        }
        text += &aligned(&rows);
    }
    text += "\n";
    let mut rows = vec![["networks", "affinity %"].map(str::to_owned).to_vec()];
    rows.extend(
        found.iter().map(|grouping| vec![grouping.groups.len().to_string(), percent(grouping.affinity)]),
    );
    let listed = |grouping: &Grouping| {
        let groups = grouping.groups.iter().map(|group| names(affinity, group).join(", "));
        groups.collect::<Vec<_>>().join(" | ")
    };
    let behind = std::iter::once("tasks".to_owned()).chain(found.iter().map(listed));
    for (line, behind) in aligned(&rows).lines().zip(behind) {
        text.extend([line, "  ", behind.as_str(), "\n"]);
    }
    let how = if affinity.is_exact() {
        ""
    } else {
        " (found by joining two groups at a time, as the tasks are many)"
    };
    let networks =
        if best == 0 { "one network for all".to_owned() } else { format!("{} networks", best + 1) };
    let remedy = if best == 0 { "" } else { "; training.only_tasks trains a network for one group" };
    text + &format!("\nhighest with {networks}{how}{remedy}\n")
}

/// The decimals of percents at which the largest affinity between two tasks has three digits.
fn decimals(affinity: &TaskAffinity) -> usize {
    let of_others = |(one, row): (usize, &Vec<Option<f64>>)| {
        let others = row.iter().enumerate().filter(|(other, _)| *other != one);
        others.filter_map(|(_, value)| *value).fold(0.0_f64, |most, value| most.max(value.abs()))
    };
    let largest = affinity.matrix.iter().enumerate().map(of_others).fold(0.0, f64::max);
    if largest > 0.0 { (2.0 - (100.0 * largest).log10().floor()).clamp(1.0, 9.0) as usize } else { 1 }
}

fn as_json(affinity: &TaskAffinity, found: &[Grouping], best: usize) -> serde_json::Value {
    let grouping = |grouping: &Grouping| {
        let groups: Vec<Vec<String>> = grouping.groups.iter().map(|group| names(affinity, group)).collect();
        json!({ "affinity": grouping.affinity, "groups": groups })
    };
    json!({
        "tasks": affinity.tasks,
        "affinity": affinity.matrix,
        "looks": affinity.looks,
        "exact": affinity.is_exact(),
        "groupings": found.iter().map(grouping).collect::<Vec<_>>(),
        "best": best,
    })
}
