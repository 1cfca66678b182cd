//! Means over folds and seeds.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::report::{aligned, number};
use crate::statistics::{CONFIDENCE, Repetition, Summary, mean};
use crate::study::{Finished, Lost, Member};

/// Rows of the table that is shown; more are in `results.json`.
const ROWS: usize = 48;

/// The result of a repeated training, as `results.json` has it.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    question: &'static str,
    /// The split that was judged.
    split: String,
    /// How many folds were trained; 0 without a cross-validation.
    folds: usize,
    /// The seeds.
    seeds: Vec<u64>,
    /// The probability of the intervals.
    confidence: f64,
    /// What the intervals are of.
    interval: String,
    tasks: Vec<TaskSummary>,
    /// Each metric's mean over the tasks that have it.
    mean: Vec<(String, Summary)>,
    runs: Vec<Run>,
    failed: Vec<Failed>,
}

/// The metrics of a task.
#[derive(Debug, Serialize)]
struct TaskSummary {
    name: String,
    higher_is_better: bool,
    /// The primary metric first, the loss last.
    metrics: Vec<(String, Summary)>,
    /// In how many repetitions a metric is undefined.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    undefined: BTreeMap<String, usize>,
}

/// One of the runs.
#[derive(Debug, Serialize)]
struct Run {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fold: Option<usize>,
    seed: u64,
    step: u64,
}

/// A run without a result.
#[derive(Debug, Serialize)]
struct Failed {
    name: String,
    why: String,
}

impl Answer {
    pub(super) fn of(finished: &[(Member, Finished)], lost: &[Lost]) -> Self {
        let folds = count(finished.iter().filter_map(|(member, _)| member.fold));
        let seeds: Vec<u64> = unique(finished.iter().map(|(member, _)| member.seed));
        let ratios: Vec<f64> =
            finished.iter().map(|(_, finished)| finished.results.test_per_train()).collect();
        let repetition = if folds > 1 {
            Repetition::Folds { test_per_train: mean(&ratios).unwrap_or_default() }
        } else {
            Repetition::Independent
        };
        let first = finished.first().map(|(_, finished)| &finished.results);
        let names: Vec<(String, bool)> = first
            .map(|results| {
                results.tasks.iter().map(|task| (task.name.clone(), task.higher_is_better)).collect()
            })
            .unwrap_or_default();
        let metrics_of = |name: Option<&str>| metrics(finished, name, repetition);
        let tasks = names.iter().map(|(name, higher_is_better)| {
            let (metrics, undefined) = metrics_of(Some(name));
            TaskSummary { name: name.clone(), higher_is_better: *higher_is_better, metrics, undefined }
        });
        Self {
            question: "repetition",
            split: first.map(|results| results.split.clone()).unwrap_or_default(),
            folds,
            confidence: CONFIDENCE,
            interval: described(folds, seeds.len()),
            tasks: tasks.collect(),
            mean: if names.len() > 1 { metrics_of(None).0 } else { Vec::new() },
            runs: finished
                .iter()
                .map(|(member, finished)| Run {
                    name: member.name.clone(),
                    fold: member.fold,
                    seed: member.seed,
                    step: finished.results.step,
                })
                .collect(),
            failed: lost
                .iter()
                .map(|lost| Failed { name: lost.member.name.clone(), why: lost.why.clone() })
                .collect(),
            seeds,
        }
    }

    /// What is shown of it.
    pub(super) fn text(&self) -> String {
        let head = ["task", "metric", "mean", "deviation", "95 % interval", "lowest", "highest"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        let tasks =
            self.tasks.iter().flat_map(|task| task.metrics.iter().map(|metric| (task.name.as_str(), metric)));
        let means = self.mean.iter().map(|metric| ("mean", metric));
        let all: Vec<_> = tasks.collect();
        let shown = if all.len() > ROWS { 0 } else { all.len() };
        for (task, (metric, summary)) in all.iter().take(shown).copied().chain(means) {
            rows.push(row(task, metric, summary));
        }
        let over = match (self.folds, self.seeds.len()) {
            (0 | 1, seeds) => format!("{seeds} seeds"),
            (folds, 1) => format!("{folds} folds"),
            (folds, seeds) => format!("{folds} folds, each with {seeds} seeds"),
        };
        let left = if shown < all.len() {
            format!("; of the {} tasks see results.json", self.tasks.len())
        } else {
            String::new()
        };
        format!("{} split, {over}{left}\n{}", self.split, aligned(&rows))
    }

    /// What a reader must know of it.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = vec![self.interval.clone()];
        let undefined = self
            .tasks
            .iter()
            .flat_map(|task| task.undefined.iter().map(move |(metric, count)| (task, metric, count)));
        if let Some((task, metric, count)) = undefined.clone().next() {
            let more = undefined.count() - 1;
            let more = if more > 0 { format!(", and {more} more such") } else { String::new() };
            notes.push(format!(
                "{metric} of {} has no value in {count} runs, whose rows have a single class or none{more}: the mean is over the others",
                task.name
            ));
        }
        notes
    }
}

/// Each metric of a task, or its mean over tasks, summarised over repetitions; and how often it has no value.
fn metrics(
    finished: &[(Member, Finished)],
    task: Option<&str>,
    repetition: Repetition,
) -> (Vec<(String, Summary)>, BTreeMap<String, usize>) {
    let mut names: Vec<String> = Vec::new();
    for (_, finished) in finished {
        let tasks = finished.results.tasks.iter().filter(|own| task.is_none_or(|name| own.name == name));
        for (name, _) in tasks.flat_map(|task| &task.metrics) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    names.push("loss".to_owned());
    let (mut summaries, mut undefined) = (Vec::new(), BTreeMap::new());
    for name in names {
        // Seeds of one fold are one repetition, as are folds where there is none.
        let mut by_repetition: BTreeMap<(Option<usize>, u64), Vec<f64>> = BTreeMap::new();
        let mut missing = 0;
        for (member, finished) in finished {
            let evaluation = finished.results.evaluation();
            let value = match task {
                Some(task) => evaluation.task(task).and_then(|task| task.metric(&name)),
                None if name == "loss" => evaluation.mean_loss(),
                None => evaluation.mean(&name),
            };
            let key = if member.fold.is_some() { (member.fold, 0) } else { (None, member.seed) };
            match value {
                Some(value) => by_repetition.entry(key).or_default().push(value),
                None => missing += 1,
            }
        }
        let values: Vec<f64> = by_repetition.values().filter_map(|values| mean(values)).collect();
        if let Some(summary) = Summary::of(values, repetition) {
            if missing > 0 {
                undefined.insert(name.clone(), missing);
            }
            summaries.push((name, summary));
        }
    }
    (summaries, undefined)
}

fn row(task: &str, metric: &str, summary: &Summary) -> Vec<String> {
    let shown = |value: Option<f64>| value.map_or("-".to_owned(), number);
    let interval = summary
        .interval()
        .map_or("-".to_owned(), |(low, high)| format!("{} … {}", number(low), number(high)));
    let lowest = summary.values.iter().copied().reduce(f64::min);
    let highest = summary.values.iter().copied().reduce(f64::max);
    vec![
        task.to_owned(),
        metric.to_owned(),
        number(summary.mean),
        shown(summary.deviation),
        interval,
        shown(lowest),
        shown(highest),
    ]
}

fn described(folds: usize, seeds: usize) -> String {
    match (folds, seeds) {
        (0 | 1, 0 | 1) => "a single repetition has no interval; ask for more with --folds or --seeds".to_owned(),
        (0 | 1, _) => "intervals are Student's over the seeds: the randomness of training on the same rows, not that of other rows".to_owned(),
        (_, 0 | 1) => "intervals are Student's over the folds, widened since folds share training rows (Nadeau & Bengio 2003)".to_owned(),
        _ => "intervals are Student's over the folds, each the mean of its seeds, widened since folds share training rows (Nadeau & Bengio 2003)".to_owned(),
    }
}

fn unique<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut unique = Vec::new();
    for value in values {
        if !unique.contains(&value) {
            unique.push(value);
        }
    }
    unique
}

fn count<T: PartialEq>(values: impl Iterator<Item = T>) -> usize {
    unique(values).len()
}
