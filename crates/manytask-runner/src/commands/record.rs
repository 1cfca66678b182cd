//! What of a training goes into `metrics.jsonl` and TensorBoard's file, and what is said of an evaluation.

use manytask_multitask::{AuxiliaryLoss, Evaluation, Event, StepReport, TaskEvaluation};
use serde_json::{Map, Value, json};

use crate::failure::Result;
use crate::progress::Progress;
use crate::report::figure;
use crate::run::{Metrics, TensorBoard};

/// The files that take the figures of a training.
#[derive(Debug)]
pub(super) struct Record<'e> {
    pub(super) metrics: Metrics,
    pub(super) board: TensorBoard,
    /// The figure that decides which parameters are the best.
    pub(super) monitored: String,
    /// The names of the tasks.
    pub(super) tasks: &'e [String],
    /// Steps between two lines of training losses.
    pub(super) every: u64,
    /// The last step, which has a line too.
    pub(super) last: u64,
    /// The steps of an epoch, of which the last has a line, too.
    pub(super) epoch: Option<u64>,
    /// The line of this step, while more may belong to it.
    pub(super) line: Option<Value>,
    /// Whether it was told that the monitored figure has no value.
    pub(super) told: bool,
}

impl Record<'_> {
    /// Writes what belongs into the files. A step has one line of training losses at most: at the interval, at the end of an
    /// epoch, with the means over it, and at the last step.
    pub(super) fn take(&mut self, event: &Event<'_>, progress: &Progress) -> Result<()> {
        match event {
            Event::Step(report) => {
                let due = |every: u64| report.step.is_multiple_of(every.max(1));
                if due(self.every) || self.epoch.is_some_and(due) || report.step == self.last {
                    self.step(report)?;
                }
            }
            Event::EpochDone { step, means, .. } => {
                self.epoch(*step, means)?;
                self.flush()?;
            }
            Event::Evaluated { step, evaluation, monitored, improved } => {
                self.flush()?;
                if monitored.is_none() && !std::mem::replace(&mut self.told, true) {
                    progress.note(&format!(
                        "note: step {step}: the monitored figure `{}` has no value on the validation part, so this look decides nothing; monitor another figure, or take another split",
                        self.monitored
                    ));
                }
                let line = json!({ "step": step, "part": "validation", "tasks": evaluation.tasks, "improved": improved });
                self.metrics.write(&line)?;
                self.board.write(*step, &scalars(evaluation))?;
                progress.note(&summary(*step, evaluation, *improved));
                for note in &evaluation.notes {
                    progress.note(&format!("note: {note}"));
                }
            }
            Event::Checkpoint { .. } | Event::StepDone { .. } => self.flush()?,
        }
        Ok(())
    }

    /// The means over an epoch go into the line of its last step.
    fn epoch(&mut self, step: u64, means: &[Option<f64>]) -> Result<()> {
        let named = || self.tasks.iter().zip(means).filter_map(|(name, mean)| Some((name, (*mean)?)));
        if let Some(line) = &mut self.line {
            let means: Map<String, Value> = named().map(|(name, mean)| (name.clone(), json!(mean))).collect();
            line["epoch_losses"] = Value::Object(means);
        }
        let scalars: Vec<(String, f64)> =
            named().map(|(name, mean)| (format!("train/{name}/epoch_loss"), mean)).collect();
        self.board.write(step, &scalars)
    }

    /// Writes the line that waits.
    fn flush(&mut self) -> Result<()> {
        match self.line.take() {
            Some(line) => self.metrics.write(&line),
            None => Ok(()),
        }
    }

    /// An auxiliary loss by its name, with that of its task where it is of one.
    fn named(&self, of: &AuxiliaryLoss) -> (String, f64) {
        match of.task.and_then(|task| self.tasks.get(task)) {
            Some(task) => (format!("{}/{task}", of.name), of.value),
            None => (of.name.to_owned(), of.value),
        }
    }

    fn step(&mut self, report: &StepReport) -> Result<()> {
        let tasks = report.present.iter().filter_map(|task| self.tasks.get(*task));
        let by_name = |values: &[f64]| -> Map<String, Value> {
            tasks.clone().zip(values).map(|(name, value)| (name.clone(), json!(value))).collect()
        };
        let mut line = json!({
            "step": report.step,
            "epoch": report.epoch,
            "part": "train",
            "losses": by_name(&report.losses),
            "learning_rate": report.learning_rate,
        });
        if let Some(weights) = &report.weights {
            line["weights"] = Value::Object(by_name(weights));
        }
        if !report.terms.is_empty() {
            let terms = report.terms.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
            line["terms"] = Value::Object(terms.collect());
        }
        if let Some(norm) = report.gradient_norm {
            line["gradient_norm"] = json!(norm);
        }
        let auxiliary: Vec<(String, f64)> = report.auxiliary.iter().map(|of| self.named(of)).collect();
        if !auxiliary.is_empty() {
            line["auxiliary"] = auxiliary.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        }
        self.line = Some(line);
        let mut scalars: Vec<(String, f64)> =
            tasks.zip(&report.losses).map(|(name, loss)| (format!("train/{name}/loss"), *loss)).collect();
        scalars.extend(auxiliary.into_iter().map(|(name, value)| (format!("train/auxiliary/{name}"), value)));
        scalars.extend(report.terms.iter().map(|(name, value)| (format!("train/{name}"), *value)));
        scalars.push(("train/learning_rate".into(), report.learning_rate));
        self.board.write(report.step, &scalars)
    }
}

fn scalars(evaluation: &Evaluation) -> Vec<(String, f64)> {
    let of_task = |task: &TaskEvaluation| {
        let name = task.name.clone();
        let figures = task.metrics.iter().map(|(metric, value)| (metric.clone(), *value));
        let all = std::iter::once(("loss".to_owned(), task.loss)).chain(figures);
        all.filter_map(move |(figure, value)| Some((format!("validation/{name}/{figure}"), value?)))
            .collect::<Vec<_>>()
    };
    evaluation.tasks.iter().flat_map(of_task).collect()
}

fn summary(step: u64, evaluation: &Evaluation, improved: bool) -> String {
    const SHOWN: usize = 3;
    let shown = |value: Option<f64>| value.map_or("-".to_owned(), figure);
    let tasks = evaluation.tasks.iter().take(SHOWN).filter_map(|task| {
        let (name, value) = task.metrics.first()?;
        Some(format!("{} {name} {}", task.name, shown(*value)))
    });
    let mut parts: Vec<String> = tasks.collect();
    if evaluation.tasks.len() > SHOWN {
        parts.push(format!("and {} more tasks", evaluation.tasks.len() - SHOWN));
    }
    let star = if improved { " (best)" } else { "" };
    format!("step {step}: validation loss {}, {}{star}", shown(evaluation.mean_loss()), parts.join(", "))
}
