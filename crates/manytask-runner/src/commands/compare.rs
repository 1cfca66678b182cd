//! `manytask compare`: runs beside each other on the same rows, with intervals of their differences.

use std::path::{Path, PathBuf};

use manytask_multitask::{Split, TaskOutputs};
use manytask_nn::metrics::Metric;
use manytask_tensor::ShownPath as _;
use manytask_tensor::random::Key;
use rand::Rng as _;
use serde::Serialize;

use super::changes::Purpose;
use super::drive::name_of;
use super::opened::Opened;
use crate::cli::RunsToCompare;
use crate::experiment::Experiment;
use crate::failure::{Code, Failure, Result};
use crate::postprocessing::metric_of;
use crate::registries::Registries;
use crate::report::{aligned, number, print, say};
use crate::run::{RunFolder, Which};
use crate::statistics::CONFIDENCE;

/// How often the rows are drawn anew, where there are many rows less often.
const RESAMPLES: u64 = 1000;
const MANY_ROWS: usize = 20_000;

/// A run with its predictions.
struct Judged {
    name: String,
    split_digest: String,
    split: Split,
    outputs: Vec<TaskOutputs>,
    metrics: Vec<Option<Metric>>,
}

/// A task of a run beside that of the first.
#[derive(Debug, Serialize)]
struct Compared {
    task: String,
    metric: String,
    run: String,
    value: Option<f64>,
    /// Against the first run; `None` for that one itself, and where the metric has no value.
    difference: Option<f64>,
    /// Of the difference, over rows that are drawn anew.
    interval: Option<(f64, f64)>,
    better: Option<Verdict>,
}

/// Whether a run is better than the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Better,
    Worse,
    /// The interval holds both.
    Unsure,
}

/// `manytask compare`.
pub(super) fn compare(arguments: &RunsToCompare, registries: &Registries) -> Result<()> {
    let is_change = |path: &&PathBuf| !path.exists() && path.to_string_lossy().contains('=');
    let (changes, runs): (Vec<&PathBuf>, Vec<&PathBuf>) = arguments.runs.iter().partition(is_change);
    let changes: Vec<String> =
        changes.into_iter().map(|change| change.to_string_lossy().into_owned()).collect();
    if runs.len() < 2 {
        return Err(Failure::new(Code::Usage, "a comparison takes two runs or more")
            .hint("name them one after the other"));
    }
    let judged = runs.iter().map(|run| Judged::of(run, &changes, registries)).collect::<Result<Vec<_>>>()?;
    let Some((first, others)) = judged.split_first() else { return Ok(()) };
    for other in others {
        if other.split_digest != first.split_digest || other.split != first.split {
            let what = format!("{} and {} are judged on different rows", first.name, other.name);
            return Err(Failure::new(Code::Checkpoint, what).hint("compare runs on the same data and split"));
        }
    }
    let differences = differences(first, others)?;
    if differences.is_empty() {
        let what = format!("{} has no task that another run has too", first.name);
        return Err(Failure::new(Code::Usage, what).hint("compare runs that predict the same"));
    }
    if arguments.json {
        let text = serde_json::to_string_pretty(&differences);
        return print(&(text.map_err(|error| Failure::new(Code::Bug, error.to_string()))? + "\n"));
    }
    print(&format!(
        "{} split, differences against {}\n{}",
        name_of(first.split),
        first.name,
        table(&differences)
    ))?;
    say(&format!(
        "note: intervals of {} % are over rows drawn anew from these, the same for all runs (bootstrap); they say nothing of other seeds, see `train --seeds`",
        100.0 * CONFIDENCE
    ));
    Ok(())
}

impl Judged {
    fn of(run: &Path, changes: &[String], registries: &Registries) -> Result<Self> {
        let opened = Opened::new(RunFolder::view(run)?, changes, Purpose::Eval)?;
        let experiment: Experiment = opened.load(registries)?;
        let problem = experiment.problem.as_ref();
        let (params, _) = opened.folder.params(Which::Best, problem.layout(), experiment.device)?;
        let split = experiment.judged_by;
        let outputs = problem.outputs(&params, split)?;
        if outputs.is_empty() {
            let what = format!("{} is a run of a learner, whose tasks are drawn", run.shown());
            return Err(Failure::new(Code::Usage, what)
                .hint("its results have intervals over tasks: see `manytask eval`"));
        }
        let schema = problem.evaluation_schema();
        let primary = |outputs: &TaskOutputs| {
            let (name, _) = schema.task(&outputs.name)?.metrics.first()?;
            Metric::named(name)
        };
        let metrics = outputs.iter().map(primary).collect();
        Ok(Self {
            name: run.shown().to_string(),
            split_digest: experiment.split_digest.clone(),
            split,
            outputs,
            metrics,
        })
    }
}

fn differences(first: &Judged, others: &[Judged]) -> Result<Vec<Compared>> {
    let mut all = Vec::new();
    for (own, metric) in first.outputs.iter().zip(&first.metrics) {
        let Some(metric) = *metric else { continue };
        let theirs: Vec<(&Judged, &TaskOutputs)> = others
            .iter()
            .filter_map(|other| Some((other, other.outputs.iter().find(|task| task.name == own.name)?)))
            .filter(|(_, task)| task.output == own.output && task.columns == own.columns)
            .collect();
        if theirs.is_empty() {
            continue;
        }
        let of =
            |task: &TaskOutputs, weight: Option<&[f64]>| metric_of(metric, task, &task.prediction, weight);
        let plain = |task: &TaskOutputs| of(task, task.weight.as_deref());
        let value = plain(own)?;
        let row = |run: &str, value, difference, interval| Compared {
            task: own.name.clone(),
            metric: metric.name(),
            run: run.to_owned(),
            value,
            difference,
            interval,
            better: interval.map(|interval| verdict(interval, metric.higher_is_better())),
        };
        all.push(row(&first.name, value, None, None));
        let mut drawn: Vec<Vec<f64>> = vec![Vec::new(); theirs.len()];
        for resample in 0..resamples(own) {
            let weight = weights(own, resample);
            let Some(base) = of(own, Some(&weight))? else { continue };
            for ((_, task), drawn) in theirs.iter().zip(&mut drawn) {
                drawn.extend(of(task, Some(&weight))?.map(|value| value - base));
            }
        }
        for ((other, task), drawn) in theirs.iter().zip(drawn) {
            let other_value = plain(task)?;
            let difference = value.zip(other_value).map(|(base, value)| value - base);
            all.push(row(&other.name, other_value, difference, middle(drawn)));
        }
    }
    Ok(all)
}

fn rows_of(task: &TaskOutputs) -> usize {
    task.prediction.len() / task.columns.max(1)
}

fn resamples(task: &TaskOutputs) -> u64 {
    if rows_of(task) > MANY_ROWS { RESAMPLES / 5 } else { RESAMPLES }
}

/// How often each row was drawn, times its weight.
fn weights(task: &TaskOutputs, resample: u64) -> Vec<f64> {
    let rows = rows_of(task);
    let mut rng = Key::new(0, "bootstrap").step(resample).rng();
    let mut counts = vec![0.0; rows];
    for _ in 0..rows {
        if let Some(count) = counts.get_mut(rng.random_range(0..rows)) {
            *count += 1.0;
        }
    }
    match &task.weight {
        None => counts,
        Some(weight) => counts.iter().zip(weight).map(|(count, weight)| count * weight).collect(),
    }
}

/// The ends of the middle share of values.
fn middle(mut values: Vec<f64>) -> Option<(f64, f64)> {
    values.sort_by(f64::total_cmp);
    let outside = (1.0 - CONFIDENCE) / 2.0;
    let at =
        |share: f64| values.get((share * (values.len().checked_sub(1)?) as f64).round() as usize).copied();
    Some((at(outside)?, at(1.0 - outside)?))
}

fn verdict((low, high): (f64, f64), higher_is_better: bool) -> Verdict {
    match (low > 0.0, high < 0.0) {
        (true, _) if higher_is_better => Verdict::Better,
        (_, true) if !higher_is_better => Verdict::Better,
        (false, false) => Verdict::Unsure,
        _ => Verdict::Worse,
    }
}

fn table(differences: &[Compared]) -> String {
    let head =
        ["task", "metric", "run", "value", "difference", "95 % interval", ""].map(str::to_owned).to_vec();
    let cell = |value: Option<f64>| value.map_or("-".to_owned(), number);
    let signed = |value: f64| if value < 0.0 { number(value) } else { format!("+{}", number(value)) };
    let row = |of: &Compared| {
        vec![
            of.task.clone(),
            of.metric.clone(),
            of.run.clone(),
            cell(of.value),
            of.difference.map_or("-".to_owned(), signed),
            of.interval.map_or("-".to_owned(), |(low, high)| format!("{} … {}", signed(low), signed(high))),
            match of.better {
                Some(Verdict::Better) => "better",
                Some(Verdict::Worse) => "worse",
                Some(Verdict::Unsure) => "not certain",
                None => "",
            }
            .to_owned(),
        ]
    };
    aligned(&std::iter::once(head).chain(differences.iter().map(row)).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use manytask_nn::metrics::Output;

    use super::*;

    fn judged(name: &str, prediction: Vec<f64>, target: &[f64]) -> Judged {
        let task = TaskOutputs {
            name: "y".into(),
            output: Output::Regression,
            columns: 1,
            prediction,
            target: target.to_vec(),
            weight: None,
            train_mean: None,
        };
        Judged {
            name: name.into(),
            split_digest: String::new(),
            split: Split::Test,
            outputs: vec![task],
            metrics: vec![Some(Metric::Mae)],
        }
    }

    #[test]
    fn a_difference_that_is_the_same_in_every_row_has_no_width() {
        let target: Vec<f64> = (0..50_u32).map(f64::from).collect();
        let shifted = |by: f64| target.iter().map(|y| y + by).collect::<Vec<_>>();
        let noisy: Vec<f64> =
            target.iter().enumerate().map(|(i, y)| y + if i % 2 == 0 { 0.0 } else { 2.0 }).collect();
        let first = judged("a", shifted(1.0), &target);
        let others = [judged("b", shifted(0.25), &target), judged("c", noisy, &target)];
        let all = differences(&first, &others).unwrap();
        assert_eq!((all[1].difference, all[1].interval), (Some(-0.75), Some((-0.75, -0.75))));
        assert_eq!((all[1].better, all[2].better), (Some(Verdict::Better), Some(Verdict::Unsure)));
        // The mean of 50 fair draws of 0 and 2 has a deviation of 1/√50.
        let (low, high) = all[2].interval.unwrap();
        assert!((high - low - 2.0 * 1.96 / 50_f64.sqrt()).abs() < 0.08, "{low} {high}");
        assert!(table(&all).contains("not certain"));
    }
}
