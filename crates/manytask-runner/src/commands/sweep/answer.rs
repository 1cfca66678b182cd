//! Which values are best: chosen on the validation split, judged on another.

use std::collections::BTreeMap;
use std::time::Duration;

use manytask_multitask::TaskEvaluation;
use serde::Serialize;

use crate::failure::Result;
use crate::report::{aligned, number};
use crate::run::validation_of;
use crate::statistics::{CONFIDENCE, Repetition, Summary, mean, ranks};
use crate::study::{Finished, Lost, Member, Study, span};

/// Tasks and points that are shown; all are in `results.json`.
const TASKS: usize = 4;
const POINTS: usize = 40;

/// The answer, as `results.json` has it.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    question: &'static str,
    /// The split that was judged.
    split: String,
    /// The split that the order is of.
    chosen_on: &'static str,
    confidence: f64,
    /// Each task with the metric that it is judged by.
    tasks: Vec<(String, String)>,
    /// The best first.
    points: Vec<Tried>,
    /// Points that did not go on, where it halved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stopped: Vec<Stopped>,
    failed: Vec<(String, String)>,
}

/// One combination of values over its repetitions.
#[derive(Debug, Serialize)]
struct Tried {
    name: String,
    /// The mean over tasks and repetitions of the rank among all points on the split that is chosen on, 1 for the best.
    mean_rank: Option<f64>,
    /// The primary metric of each task on the split that is judged.
    metrics: Vec<Option<Summary>>,
    /// Seconds of training and evaluation, the mean over repetitions.
    seconds: Option<f64>,
    /// The runs.
    runs: Vec<String>,
}

/// A repetition of a sweep: a fold, or a seed where there is none.
type Repeat = (Option<usize>, u64);

/// A point that did not go on.
#[derive(Debug, Serialize)]
pub(super) struct Stopped {
    pub(super) name: String,
    /// After so many steps.
    pub(super) step: u64,
}

/// The tasks of a point in each repetition, on the split that is chosen on and on the one that is judged.
#[derive(Default)]
pub(super) struct Trials {
    chosen_on: BTreeMap<Repeat, Vec<TaskEvaluation>>,
    judged: BTreeMap<Repeat, Vec<TaskEvaluation>>,
    seconds: Vec<f64>,
    runs: Vec<String>,
}

impl Trials {
    /// The same with what a member has seen on the split that is chosen on.
    pub(super) fn see(&mut self, member: &Member, seen: Vec<TaskEvaluation>) {
        self.chosen_on.insert((member.fold, member.seed), seen);
    }
}

impl Answer {
    pub(super) fn of(
        study: &Study,
        finished: &[(Member, Finished)],
        lost: &[Lost],
        stopped: Vec<Stopped>,
    ) -> Result<Self> {
        let mut points: Vec<(String, Trials)> = Vec::new();
        let mut validated = true;
        for (member, finished) in finished {
            let results = &finished.results;
            let validation = validation_of(&study.run_of(member), results.step, &results.tasks)?;
            validated &= !validation.is_empty();
            let place = points.iter().position(|(name, _)| *name == member.variant).unwrap_or(points.len());
            if place == points.len() {
                points.push((member.variant.clone(), Trials::default()));
            }
            if let Some((_, trials)) = points.get_mut(place) {
                let repeat = (member.fold, member.seed);
                trials.chosen_on.insert(repeat, validation);
                trials.judged.insert(repeat, results.tasks.clone());
                trials.seconds.push(finished.manifest.seconds);
                trials.runs.push(member.name.clone());
            }
        }
        let first = finished.first().map(|(_, finished)| &finished.results);
        let tasks = first.map(|results| primary(&results.tasks)).unwrap_or_default();
        let ratios: Vec<f64> =
            finished.iter().map(|(_, finished)| finished.results.test_per_train()).collect();
        let repetition = if finished.iter().any(|(member, _)| member.fold.is_some_and(|fold| fold > 0)) {
            Repetition::Folds { test_per_train: mean(&ratios).unwrap_or_default() }
        } else {
            Repetition::Independent
        };
        let mean_ranks = mean_ranks(&points, &tasks, validated);
        let mut tried: Vec<Tried> = points
            .into_iter()
            .zip(mean_ranks)
            .map(|((name, trials), mean_rank)| {
                let of = |(task, _, metric): &(String, bool, String)| {
                    let values = trials.judged.values().filter_map(|tasks| value(tasks, task, metric));
                    Summary::of(values.collect(), repetition)
                };
                let metrics = tasks.iter().map(of).collect();
                Tried { name, mean_rank, metrics, seconds: mean(&trials.seconds), runs: trials.runs }
            })
            .collect();
        let key = |tried: &Tried| tried.mean_rank.unwrap_or(f64::INFINITY);
        tried.sort_by(|a, b| key(a).total_cmp(&key(b)));
        Ok(Self {
            question: "sweep",
            split: first.map(|results| results.split.clone()).unwrap_or_default(),
            chosen_on: if validated { "validation" } else { "judged" },
            confidence: CONFIDENCE,
            tasks: tasks.into_iter().map(|(task, _, metric)| (task, metric)).collect(),
            points: tried,
            stopped,
            failed: lost.iter().map(|lost| (lost.member.name.clone(), lost.why.clone())).collect(),
        })
    }

    /// The first run of the best point.
    pub(super) fn best(&self) -> Option<&str> {
        self.points.first().and_then(|tried| tried.runs.first()).map(String::as_str)
    }

    /// What is shown of it.
    pub(super) fn text(&self) -> String {
        let named = self.tasks.iter().take(TASKS).map(|(task, metric)| format!("{task} {metric}"));
        let mut rows = vec![
            std::iter::once("point".to_owned())
                .chain(named)
                .chain(["mean rank", "time"].map(str::to_owned))
                .collect::<Vec<_>>(),
        ];
        for tried in self.points.iter().take(POINTS) {
            let cell = |summary: &Option<Summary>| match summary {
                None => "-".to_owned(),
                Some(Summary { mean, half_width: Some(half), .. }) => {
                    format!("{} ± {}", number(*mean), number(*half))
                }
                Some(Summary { mean, .. }) => number(*mean),
            };
            let mut row = vec![tried.name.clone()];
            row.extend(tried.metrics.iter().take(TASKS).map(cell));
            row.push(tried.mean_rank.map_or("-".to_owned(), |rank| format!("{rank:.1}")));
            row.push(tried.seconds.map_or("-".to_owned(), |s| span(Duration::from_secs_f64(s.max(0.0)))));
            rows.push(row);
        }
        let more = self.points.len().saturating_sub(POINTS);
        let more = if more > 0 { format!(", {more} more in results.json") } else { String::new() };
        let stopped = match self.stopped.len() {
            0 => String::new(),
            count => format!(", {count} stopped before their end"),
        };
        format!("{} split, {} points{more}{stopped}\n{}", self.split, self.points.len(), aligned(&rows))
    }

    /// What a reader must know of it.
    pub(super) fn notes(&self) -> Vec<String> {
        let order = if self.chosen_on == "validation" {
            "the order is that of the validation split: the mean rank of the tasks' primary metrics"
        } else {
            "there is no validation split: the order is that of the split that is judged, so the best looks better than it is"
        };
        let single = self.points.iter().all(|tried| tried.runs.len() < 2);
        let unsure = single.then(|| {
            "each point was trained once: near ones may be in another order with another seed, see --seeds".to_owned()
        });
        std::iter::once(order.to_owned()).chain(unsure).collect()
    }
}

/// The tasks with whether more of their primary metric is better, and its name.
pub(super) fn primary(tasks: &[TaskEvaluation]) -> Vec<(String, bool, String)> {
    let of = |task: &TaskEvaluation| {
        Some((task.name.clone(), task.higher_is_better, task.metrics.first()?.0.clone()))
    };
    tasks.iter().filter_map(of).collect()
}

/// Of each point the mean over tasks and repetitions of its rank.
pub(super) fn mean_ranks(
    points: &[(String, Trials)],
    tasks: &[(String, bool, String)],
    validated: bool,
) -> Vec<Option<f64>> {
    let of = |trials: &Trials| if validated { trials.chosen_on.clone() } else { trials.judged.clone() };
    let all: Vec<BTreeMap<Repeat, Vec<TaskEvaluation>>> =
        points.iter().map(|(_, trials)| of(trials)).collect();
    let mut repeats: Vec<Repeat> = all.iter().flat_map(|trials| trials.keys().copied()).collect();
    repeats.sort_unstable();
    repeats.dedup();
    let mut own: Vec<Vec<f64>> = vec![Vec::new(); points.len()];
    for repeat in repeats {
        for (task, higher_is_better, metric) in tasks {
            let values: Vec<Option<f64>> =
                all.iter().map(|trials| value(trials.get(&repeat)?, task, metric)).collect();
            for (rank, own) in ranks(&values, *higher_is_better).into_iter().zip(&mut own) {
                own.extend(rank);
            }
        }
    }
    own.iter().map(|ranks| mean(ranks)).collect()
}

fn value(tasks: &[TaskEvaluation], task: &str, metric: &str) -> Option<f64> {
    tasks.iter().find(|own| own.name == task)?.metric(metric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rank_is_a_mean_over_tasks_of_different_metrics() {
        let task = |name: &str, higher_is_better, value| TaskEvaluation {
            name: name.into(),
            loss: None,
            metrics: vec![("m".into(), Some(value))],
            higher_is_better,
        };
        let trials = |auc, rmse| {
            let mut trials = Trials::default();
            trials.judged.insert((None, 1), vec![task("a", true, auc), task("b", false, rmse)]);
            trials
        };
        let points = [
            ("x".to_owned(), trials(0.9, 100.0)),
            ("y".to_owned(), trials(0.8, 90.0)),
            ("z".to_owned(), trials(0.7, 120.0)),
        ];
        let tasks = [("a".to_owned(), true, "m".to_owned()), ("b".to_owned(), false, "m".to_owned())];
        assert_eq!(mean_ranks(&points, &tasks, false), [Some(1.5), Some(1.5), Some(3.0)]);
    }
}
