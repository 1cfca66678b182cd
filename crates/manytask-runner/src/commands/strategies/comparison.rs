//! Strategies against a network for each task, seed by seed.

use std::collections::BTreeMap;

use manytask_multitask::{Evaluation, TaskEvaluation, delta_m};
use serde::Serialize;

use super::variants::{ALONE, EQUAL, SCALARIZATION};
use crate::failure::Result;
use crate::run::validation_of;
use crate::statistics::{CONFIDENCE, Repetition, Summary, mean, ranks};
use crate::study::{Finished, Lost, Member, Study};

/// What separate networks are called in tables.
pub(super) const SEPARATE: &str = "separate networks";

/// The answer, as `results.json` has it.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    question: &'static str,
    /// The split that was judged.
    pub(super) split: String,
    pub(super) seeds: Vec<u64>,
    confidence: f64,
    /// What the sign of changes means.
    pub(super) sign: &'static str,
    pub(super) tasks: Vec<ComparedTask>,
    /// The separate networks first, then the strategies by their mean change.
    pub(super) strategies: Vec<Strategy>,
    /// The scalarization that is best on the validation split, one of equal weights among them.
    pub(super) tuned_scalarization: Option<String>,
    /// The strategy that is best on the validation split.
    pub(super) chosen: Option<String>,
    /// Whether `chosen` was chosen on another split than it is judged on.
    pub(super) chosen_on_validation: bool,
    pub(super) failed: Vec<(String, String)>,
}

/// A task and what it is judged by.
#[derive(Debug, Serialize)]
pub(super) struct ComparedTask {
    pub(super) name: String,
    pub(super) metric: String,
    pub(super) higher_is_better: bool,
}

/// One strategy over all seeds.
#[derive(Debug, Serialize)]
pub(super) struct Strategy {
    pub(super) name: String,
    /// The primary metric of each task.
    pub(super) metrics: Vec<Option<Summary>>,
    /// The change of each task against its separate network of the same seed, in percent, worse is positive.
    pub(super) changes: Vec<Option<Summary>>,
    /// Δm: the mean change over tasks.
    pub(super) delta_m: Option<Summary>,
    /// The mean change over tasks on the validation split against equal weights, in percent, worse is positive.
    pub(super) validation_change: Option<f64>,
    /// The mean over tasks and seeds of the rank among all, 1 for the best.
    pub(super) mean_rank: Option<f64>,
    /// Seconds of training and evaluation, the mean over seeds; of separate networks those of all together.
    pub(super) seconds: Option<f64>,
    /// The most memory that was held at a time, in bytes, the mean over seeds; of separate networks the largest.
    pub(super) memory: Option<f64>,
}

/// One strategy in one repetition.
#[derive(Debug, Default)]
struct Trial {
    test: Vec<TaskEvaluation>,
    validation: Vec<TaskEvaluation>,
    seconds: Option<f64>,
    memory: Option<f64>,
}

type Trials = BTreeMap<u64, Trial>;

impl Comparison {
    pub(super) fn of(study: &Study, finished: &[(Member, Finished)], lost: &[Lost]) -> Result<Self> {
        let mut variants: Vec<(String, Trials)> = vec![(SEPARATE.to_owned(), Trials::new())];
        let mut seeds = Vec::new();
        for (member, finished) in finished {
            if !seeds.contains(&member.seed) {
                seeds.push(member.seed);
            }
            let validation =
                validation_of(&study.run_of(member), finished.results.step, &finished.results.tasks)?;
            let name = if member.variant.starts_with(ALONE) { SEPARATE } else { &member.variant };
            let at = variants.iter().position(|(other, _)| other == name).unwrap_or(variants.len());
            if at == variants.len() {
                variants.push((name.to_owned(), Trials::new()));
            }
            if let Some((_, trials)) = variants.get_mut(at) {
                trials.entry(member.seed).or_default().take(finished, validation);
            }
        }
        let tasks = compared(&variants);
        let failed = lost.iter().map(|lost| (lost.member.name.clone(), lost.why.clone())).collect();
        Ok(Self::with(&variants, tasks, seeds, split_of(finished), failed))
    }

    fn with(
        variants: &[(String, Trials)],
        tasks: Vec<ComparedTask>,
        seeds: Vec<u64>,
        split: String,
        failed: Vec<(String, String)>,
    ) -> Self {
        let none = Trials::new();
        let of =
            |name: &str| variants.iter().find(|(other, _)| other == name).map_or(&none, |(_, trials)| trials);
        let (separate, equal) = (of(SEPARATE), of(EQUAL));
        let ranks = mean_ranks(variants, &tasks, &seeds);
        let mut strategies: Vec<Strategy> = variants
            .iter()
            .zip(ranks)
            .filter(|((_, trials), _)| !trials.is_empty())
            .map(|((name, trials), mean_rank)| Strategy {
                mean_rank,
                validation_change: validation_change(trials, equal),
                ..Strategy::of(name, trials, separate, &tasks)
            })
            .collect();
        let key = |strategy: &Strategy| {
            let change = strategy.delta_m.as_ref().map_or(f64::INFINITY, |delta| delta.mean);
            (strategy.name != SEPARATE, change)
        };
        strategies.sort_by(|a, b| {
            let ((a_first, a), (b_first, b)) = (key(a), key(b));
            a_first.cmp(&b_first).then(a.total_cmp(&b))
        });
        let is_scalar =
            |strategy: &&Strategy| strategy.name == EQUAL || strategy.name.starts_with(SCALARIZATION);
        let tuned = least(strategies.iter().filter(is_scalar), |strategy| strategy.validation_change);
        let one = || strategies.iter().filter(|strategy| strategy.name != SEPARATE);
        let on_validation = least(one(), |strategy| strategy.validation_change);
        let on_test = least(one(), |strategy| strategy.delta_m.as_ref().map(|delta| delta.mean));
        Self {
            question: "strategies",
            split,
            seeds,
            confidence: CONFIDENCE,
            sign: "changes are in percent of the separate network's metric, worse is positive",
            tasks,
            chosen_on_validation: on_validation.is_some(),
            chosen: on_validation.or(on_test),
            tuned_scalarization: tuned,
            strategies,
            failed,
        }
    }

    /// A strategy by its name.
    pub(super) fn strategy(&self, name: &str) -> Option<&Strategy> {
        self.strategies.iter().find(|strategy| strategy.name == name)
    }
}

impl Trial {
    /// Takes the result of a run in: of separate networks one for each task.
    fn take(&mut self, finished: &Finished, validation: Vec<TaskEvaluation>) {
        self.test.extend(finished.results.tasks.iter().cloned());
        self.validation.extend(validation);
        let manifest = &finished.manifest;
        self.seconds = Some(self.seconds.unwrap_or_default() + manifest.seconds);
        let memory = manifest.peak_memory.map(|bytes| bytes as f64);
        self.memory = [self.memory, memory].into_iter().flatten().reduce(f64::max);
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::new(self.test.clone())
    }
}

impl Strategy {
    fn of(name: &str, trials: &Trials, separate: &Trials, tasks: &[ComparedTask]) -> Self {
        let summary = |values: Vec<f64>| Summary::of(values, Repetition::Independent);
        let deltas = || {
            trials.iter().filter_map(|(seed, trial)| {
                let base = separate.get(seed)?;
                // Where a separate network failed there is nothing to compare all tasks with.
                let whole = base.test.len() == tasks.len() && trial.test.len() == tasks.len();
                Some((delta_m(&trial.evaluation(), &base.evaluation()), whole))
            })
        };
        let metrics = tasks.iter().map(|task| {
            let value = |trial: &Trial| trial.evaluation().task(&task.name)?.metric(&task.metric);
            summary(trials.values().filter_map(value).collect())
        });
        let changes = tasks.iter().map(|task| {
            let of = |(delta, _): (manytask_multitask::Delta, bool)| {
                delta.tasks.into_iter().find(|(name, _)| *name == task.name).and_then(|(_, change)| change)
            };
            summary(deltas().filter_map(of).collect())
        });
        let whole = deltas().filter(|(_, whole)| *whole);
        let each = |of: fn(&Trial) -> Option<f64>| mean(&trials.values().filter_map(of).collect::<Vec<_>>());
        Self {
            name: name.to_owned(),
            metrics: metrics.collect(),
            changes: changes.collect(),
            delta_m: summary(whole.filter_map(|(delta, _)| delta.mean).collect()),
            validation_change: None,
            mean_rank: None,
            seconds: each(|trial| trial.seconds),
            memory: each(|trial| trial.memory),
        }
    }
}

/// The tasks with their primary metrics.
fn compared(variants: &[(String, Trials)]) -> Vec<ComparedTask> {
    let all =
        variants.iter().rev().flat_map(|(_, trials)| trials.values()).max_by_key(|trial| trial.test.len());
    let task = |task: &TaskEvaluation| {
        let (metric, _) = task.metrics.first()?;
        let (name, metric) = (task.name.clone(), metric.clone());
        Some(ComparedTask { name, metric, higher_is_better: task.higher_is_better })
    };
    all.map(|trial| trial.test.iter().filter_map(task).collect()).unwrap_or_default()
}

fn split_of(finished: &[(Member, Finished)]) -> String {
    finished.first().map(|(_, finished)| finished.results.split.clone()).unwrap_or_default()
}

/// The mean over seeds of the mean change against equal weights on the validation split.
fn validation_change(trials: &Trials, equal: &Trials) -> Option<f64> {
    let changes = equal.iter().map(|(seed, base)| {
        let own = Evaluation::new(trials.get(seed)?.validation.clone());
        delta_m(&own, &Evaluation::new(base.validation.clone())).mean
    });
    // A strategy that failed with some seeds is not the best.
    mean(&changes.collect::<Option<Vec<f64>>>()?)
}

/// For each variant the mean over tasks and seeds of its rank; a variant without a value in one of them has none there.
fn mean_ranks(variants: &[(String, Trials)], tasks: &[ComparedTask], seeds: &[u64]) -> Vec<Option<f64>> {
    let mut all: Vec<Vec<f64>> = vec![Vec::new(); variants.len()];
    for task in tasks {
        for seed in seeds {
            let value = |(_, trials): &(String, Trials)| {
                trials.get(seed)?.evaluation().task(&task.name)?.metric(&task.metric)
            };
            let values: Vec<Option<f64>> = variants.iter().map(value).collect();
            for (own, rank) in all.iter_mut().zip(ranks(&values, task.higher_is_better)) {
                own.extend(rank);
            }
        }
    }
    all.iter().map(|ranks| mean(ranks)).collect()
}

/// The name of the strategy with the least value.
fn least<'a>(
    strategies: impl Iterator<Item = &'a Strategy>,
    value: impl Fn(&Strategy) -> Option<f64>,
) -> Option<String> {
    let known = strategies.filter_map(|strategy| Some((strategy, value(strategy)?)));
    known.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(strategy, _)| strategy.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(values: &[f64], seconds: f64) -> Trial {
        let task = |(number, value): (usize, &f64)| TaskEvaluation {
            name: ["a", "b"][number].into(),
            loss: None,
            metrics: vec![("score".into(), Some(*value))],
            // The second is an error.
            higher_is_better: number == 0,
        };
        let tasks: Vec<TaskEvaluation> = values.iter().enumerate().map(task).collect();
        Trial { test: tasks.clone(), validation: tasks, seconds: Some(seconds), memory: Some(1.0) }
    }

    fn variant(name: &str, trials: &[(u64, &[f64])]) -> (String, Trials) {
        (name.to_owned(), trials.iter().map(|(seed, values)| (*seed, trial(values, 2.0))).collect())
    }

    fn comparison(variants: &[(String, Trials)]) -> Comparison {
        Comparison::with(variants, compared(variants), vec![1, 2], "test".into(), Vec::new())
    }

    #[test]
    fn changes_are_paired_by_seed_and_worse_is_positive() {
        let variants = [
            variant(SEPARATE, &[(1, &[0.8, 2.0]), (2, &[0.5, 1.0])]),
            variant(EQUAL, &[(1, &[0.84, 2.2]), (2, &[0.55, 1.0])]),
            variant("pcgrad", &[(1, &[0.88, 1.8]), (2, &[0.6, 0.9])]),
            variant("mgda", &[(1, &[0.99, 1.0])]),
        ];
        let comparison = comparison(&variants);
        let names: Vec<&str> = comparison.strategies.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, [SEPARATE, "mgda", "pcgrad", EQUAL]);
        let equal = comparison.strategy(EQUAL).unwrap();
        let changes: Vec<f64> = equal.changes.iter().map(|change| change.as_ref().unwrap().mean).collect();
        assert!((changes[0] + 7.5).abs() < 1e-9 && (changes[1] - 5.0).abs() < 1e-9, "{changes:?}");
        let delta = equal.delta_m.as_ref().unwrap();
        // (−5 + 10) / 2 with the first seed, (−10 + 0) / 2 with the second.
        assert!((delta.values[0] - 2.5).abs() < 1e-9 && (delta.values[1] + 5.0).abs() < 1e-9);
        assert!(delta.interval().is_some_and(|(low, high)| low < -5.0 && high > 2.5));
        // mgda has failed with a seed: it is shown, and not chosen.
        assert_eq!(comparison.chosen.as_deref(), Some("pcgrad"));
        assert_eq!(comparison.tuned_scalarization.as_deref(), Some(EQUAL));
        let rank = |name: &str| comparison.strategy(name).unwrap().mean_rank.unwrap();
        assert_eq!((rank("mgda"), rank("pcgrad")), (1.0, (2.0 + 2.0 + 1.0 + 1.0) / 4.0));
    }

    #[test]
    fn without_a_separate_network_for_each_task_there_is_no_mean_change() {
        let variants = [
            variant(SEPARATE, &[(1, &[0.8]), (2, &[0.5])]),
            variant(EQUAL, &[(1, &[0.84, 2.2]), (2, &[0.55, 1.0])]),
        ];
        let comparison = comparison(&variants);
        let equal = comparison.strategy(EQUAL).unwrap();
        assert!(equal.delta_m.is_none() && equal.changes[0].is_some() && equal.changes[1].is_none());
        assert_eq!(comparison.tasks.len(), 2);
    }
}
