//! `manytask tune lr`: the learning-rate range test (Smith 2017, arXiv:1506.01186, section 3.3; with a rate that rises by one factor at each step).

use std::ops::ControlFlow;

use manytask_multitask::{Event, StepReport, Training};
use manytask_nn::schedule::{Schedule, ScheduleKind};
use serde_json::json;

use super::Answer;
use crate::cli::TuneArgs;
use crate::config::Source;
use crate::data::Detail;
use crate::experiment::Experiment;
use crate::failure::{Code, Failure, Result};
use crate::html::{Chart, Mark, Series};
use crate::plan::Plan;
use crate::registries::Registries;
use crate::report::{aligned, number};

/// The share of the past in the smoothed losses.
const SMOOTHING: f64 = 0.9;
/// Where the smoothed loss is so many times farther from its lowest value than the first one was, the rest is not tried.
const TOO_FAR: f64 = 3.0;
/// The share of the steps, one of so many, that does not count for the lowest loss.
const SETTLED: usize = 10;
/// By what the rate with the lowest loss is divided.
const BELOW: f64 = 10.0;
/// The lowest and the highest rate, and the steps between them, where they are not named.
const FROM: f64 = 1e-6;
const TO: f64 = 1.0;
const STEPS: u64 = 300;
/// Lines of the table.
const LINES: usize = 12;

/// `manytask tune lr`.
pub(super) fn tune(arguments: &TuneArgs, overrides: &[String], registries: &Registries) -> Result<Answer> {
    let (from, to) = (arguments.from.unwrap_or(FROM), arguments.to.unwrap_or(TO));
    if !(from > 0.0 && from < to && to.is_finite()) {
        let what = format!("rates from {from} to {to}");
        return Err(Failure::new(Code::Usage, what).hint("both are above 0, and the second is larger"));
    }
    let steps = arguments.steps.unwrap_or(STEPS);
    let source = Source::read(&arguments.config, overrides)?;
    let mut experiment = Experiment::load(Plan::read(&source, registries)?)?;
    experiment.training = rising(&experiment.training, (from, to), steps);
    experiment.say_data(if arguments.quiet { Detail::Notes } else { Detail::Brief });
    let found = Found::of(tried(&experiment)?)?;
    let change = format!("optimizer.learning_rate={}", shown_rate(found.suggested));
    Ok(Answer { text: found.text(), json: found.as_json(), chart: found.chart(), change })
}

/// The same training with a learning rate that rises by one factor at each step, without anything that looks at the validation split.
fn rising(training: &Training, (from, to): (f64, f64), steps: u64) -> Training {
    Training {
        steps,
        learning_rate: from,
        schedule: Schedule { warm_up: 0, kind: ScheduleKind::Exponential { ratio: to / from } },
        validate_every: None,
        save_every: None,
        diagnose_every: None,
        early_stopping: None,
        ..training.clone()
    }
}

/// The rate of each step with the smoothed loss, up to where the training goes astray.
fn tried(experiment: &Experiment) -> Result<Vec<(f64, f64)>> {
    let mut trainer = experiment.trainer()?;
    let mut smoothed = Smoothed { tasks: vec![(0.0, 0.0); experiment.problem.tasks().len()] };
    let mut all: Vec<(f64, f64)> = Vec::new();
    let run = trainer.run(|_, event| {
        let Event::Step(report) = event else { return Ok(ControlFlow::Continue(())) };
        let Some(loss) = smoothed.take(report) else { return Ok(ControlFlow::Continue(())) };
        all.push((report.learning_rate, loss));
        Ok::<_, Failure>(if astray(&all) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    match run {
        Err(failure) if failure.code == Code::Diverged => Ok(all),
        Err(failure) => Err(failure),
        Ok(_) => Ok(all),
    }
}

/// Means of each task's losses that forget, corrected for their start as Adam's are.
struct Smoothed {
    /// Of each task the sum of its losses and that of their weights.
    tasks: Vec<(f64, f64)>,
}

impl Smoothed {
    /// The mean over the tasks that were seen.
    fn take(&mut self, report: &StepReport) -> Option<f64> {
        for (task, loss) in report.present.iter().zip(&report.losses) {
            // Tasks that are sampled anew have no names, and share one mean.
            let place = if self.tasks.is_empty() { 0 } else { (*task).min(self.tasks.len() - 1) };
            if self.tasks.is_empty() {
                self.tasks.push((0.0, 0.0));
            }
            if let Some((sum, weight)) = self.tasks.get_mut(place) {
                *sum = SMOOTHING * *sum + (1.0 - SMOOTHING) * loss;
                *weight = SMOOTHING * *weight + (1.0 - SMOOTHING);
            }
        }
        let means: Vec<f64> =
            self.tasks.iter().filter(|(_, weight)| *weight > 0.0).map(|(sum, weight)| sum / weight).collect();
        crate::statistics::mean(&means)
    }
}

/// Whether the last loss is far above the lowest.
fn astray(all: &[(f64, f64)]) -> bool {
    let (Some((_, first)), Some((_, last))) = (all.first(), all.last()) else { return false };
    let lowest = all.iter().fold(f64::INFINITY, |lowest, (_, loss)| lowest.min(*loss));
    last - lowest > TOO_FAR * (first - lowest) && last - first > 0.5 * first.abs()
}

/// What a range test has found.
#[derive(Debug)]
struct Found {
    /// Rates with smoothed losses.
    tried: Vec<(f64, f64)>,
    /// The rate with the lowest one.
    lowest: f64,
    /// A tenth of it: high, and far enough from where losses rise.
    suggested: f64,
}

impl Found {
    fn of(tried: Vec<(f64, f64)>) -> Result<Self> {
        // The first means are of few losses.
        let mut settled = tried.iter().skip(tried.len() / SETTLED);
        let first = settled.clone().next().map_or(f64::INFINITY, |(rate, _)| *rate);
        let best = settled.by_ref().filter(|(_, loss)| loss.is_finite()).min_by(|a, b| a.1.total_cmp(&b.1));
        let Some(&(lowest, _)) = best.filter(|(rate, _)| *rate > first) else {
            let what = "no rate made the losses lower";
            return Err(Failure::new(Code::Diverged, what)
                .hint("try higher rates with --to where the loss has not moved, lower ones with --from where it rises at once, or more --steps"));
        };
        Ok(Self { tried, lowest, suggested: lowest / BELOW })
    }

    fn text(&self) -> String {
        let every = self.tried.len().div_ceil(LINES).max(1);
        let mut rows = vec![vec!["learning rate".to_owned(), "loss".to_owned()]];
        let shown = self.tried.iter().step_by(every);
        rows.extend(shown.map(|(rate, loss)| vec![shown_rate(*rate), number(*loss)]));
        format!(
            "{}\nlosses are lowest at {}; a tenth of it is suggested: {}\n",
            aligned(&rows),
            shown_rate(self.lowest),
            shown_rate(self.suggested)
        )
    }

    fn as_json(&self) -> serde_json::Value {
        json!({ "tried": self.tried, "lowest": self.lowest, "suggested": self.suggested })
    }

    fn chart(&self) -> Chart {
        let points = self.tried.iter().map(|(rate, loss)| (rate.log10(), *loss));
        let at = |rate: f64| {
            let nearest =
                self.tried.iter().min_by(|a, b| (a.0 / rate).ln().abs().total_cmp(&(b.0 / rate).ln().abs()));
            nearest.map(|(rate, loss)| (rate.log10(), *loss)).into_iter().collect()
        };
        Chart::new("learning-rate range test", "learning rate, as the exponent of 10", "loss")
            .with(Series::line("smoothed", points.collect()))
            .with(Series::line("suggested", at(self.suggested)).drawn(Mark::Dotted))
    }
}

/// A rate with two digits, as a change of the configuration has it.
fn shown_rate(rate: f64) -> String {
    format!("{rate:.1e}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(present: &[usize], losses: &[f64]) -> StepReport {
        StepReport {
            step: 1,
            epoch: 0,
            present: present.to_vec(),
            losses: losses.to_vec(),
            auxiliary: Vec::new(),
            weights: None,
            terms: Vec::new(),
            learning_rate: 0.1,
            gradient_norm: None,
            stationary: false,
            diagnostics: None,
        }
    }

    #[test]
    fn the_suggestion_is_a_tenth_of_the_rate_with_the_lowest_loss() {
        let valley = |rate: f64| (rate.log10() + 2.0).powi(2);
        let tried: Vec<(f64, f64)> = (0..=60)
            .map(|n| 10_f64.powf(-6.0 + f64::from(n) / 10.0))
            .map(|rate| (rate, valley(rate)))
            .collect();
        let found = Found::of(tried).unwrap();
        assert!((found.lowest - 1e-2).abs() < 1e-9 && (found.suggested - 1e-3).abs() < 1e-9);
        assert!(
            found.text().ends_with("lowest at 1.0e-2; a tenth of it is suggested: 1.0e-3\n"),
            "{}",
            found.text()
        );
        let rising = vec![(1e-6, 1.0), (1e-5, 2.0)];
        assert_eq!(Found::of(rising).unwrap_err().code, Code::Diverged);
        assert!(Found::of(Vec::new()).is_err());
    }

    #[test]
    fn losses_are_smoothed_for_each_task_by_itself() {
        let mut smoothed = Smoothed { tasks: vec![(0.0, 0.0); 2] };
        // The first value is itself, and a task that is not there keeps its mean.
        assert!((smoothed.take(&report(&[0], &[4.0])).unwrap() - 4.0).abs() < 1e-12);
        assert!((smoothed.take(&report(&[1], &[8.0])).unwrap() - 6.0).abs() < 1e-12);
        let expected = f64::midpoint((0.9 * 0.4 + 0.1 * 2.0) / 0.19, 8.0);
        assert!((smoothed.take(&report(&[0], &[2.0])).unwrap() - expected).abs() < 1e-12);
        let mut sampled = Smoothed { tasks: Vec::new() };
        assert!(sampled.take(&report(&[0, 1], &[1.0, 1.0])).is_some_and(|mean| (mean - 1.0).abs() < 1e-12));
    }

    #[test]
    fn a_training_that_goes_astray_is_ended() {
        let falling = [(1e-3, 1.0), (1e-2, 0.5), (1e-1, 1.2)];
        assert!(!astray(&falling));
        assert!(astray(&[falling.as_slice(), &[(1.0, 2.5)]].concat()));
        // Noise around the first loss is none.
        assert!(!astray(&[(1e-6, 1.0), (2e-6, 1.0), (3e-6, 1.01)]));
    }
}
