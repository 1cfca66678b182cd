//! What of a training goes into `metrics.jsonl` and TensorBoard's file, and what is said of an evaluation.

use manytask_multitask::{Diagnostics, Evaluation, Event, StepReport};

use crate::failure::Result;
use crate::progress::Progress;
use crate::report::number;
use crate::run::{Metrics, Origin, Record, Split, TensorBoard};

/// The files that take the metrics of a training.
#[derive(Debug)]
pub(super) struct Recorder<'e> {
    pub(super) metrics: Metrics,
    pub(super) board: TensorBoard,
    /// The metric that decides which parameters are the best.
    pub(super) monitored: String,
    /// The names of the tasks.
    pub(super) tasks: &'e [String],
    /// Steps between two records of training losses.
    pub(super) every: u64,
    /// The last step, which is recorded too.
    pub(super) last: u64,
    /// The steps of an epoch, of which the last is recorded, too.
    pub(super) epoch: Option<u64>,
    /// The records of this step, while more may belong to it.
    pub(super) waiting: Vec<Record>,
    /// Whether it was told that the monitored metric has no value.
    pub(super) told: bool,
    /// Steps that move no shared parameter.
    pub(super) still: Still,
}

/// Counts steps in which the tasks' gradients cancel.
#[derive(Debug, Default)]
pub(super) struct Still {
    steps: u64,
    told: bool,
}

impl Still {
    /// So many one after the other are told.
    const MANY: u64 = 100;

    fn count(&mut self, report: &StepReport, progress: &Progress) {
        self.steps = if report.stationary { self.steps + 1 } else { 0 };
        if self.steps == Self::MANY && !std::mem::replace(&mut self.told, true) {
            progress.note(&format!(
                "note: step {}: in the last {} steps the gradients of the tasks cancelled, so that no shared parameter moved: the aggregator stays where no step is better for all tasks (a Pareto-stationary point); end here, or go on with another aggregator",
                report.step,
                Self::MANY
            ));
        }
    }
}

impl Recorder<'_> {
    /// Writes what belongs into the files. A step is recorded once at most: at the interval, at the end of an epoch, with the
    /// means over it, and at the last step.
    pub(super) fn take(&mut self, event: &Event<'_>, progress: &Progress) -> Result<()> {
        match event {
            Event::Step(report) => {
                self.still.count(report, progress);
                let due = |every: u64| report.step.is_multiple_of(every.max(1));
                if due(self.every) || self.epoch.is_some_and(due) || report.step == self.last {
                    self.waiting = self.of_step(report);
                }
                if let Some(diagnostics) = &report.diagnostics {
                    self.waiting.extend(self.of_diagnostics(report, diagnostics));
                    progress.line(&shown(report.step, diagnostics));
                }
            }
            Event::EpochDone { step, means, .. } => {
                let origin = self.origin(*step, Split::Train);
                let named = self.tasks.iter().zip(*means).filter(|(_, mean)| mean.is_some());
                let means = named.map(|(task, mean)| origin.record(Some(task), "epoch_loss", *mean));
                self.waiting.extend(means);
                self.flush()?;
            }
            Event::Evaluated { step, evaluation, monitored, improved } => {
                self.flush()?;
                if monitored.is_none() && !std::mem::replace(&mut self.told, true) {
                    progress.note(&format!(
                        "note: step {step}: the monitored metric `{}` has no value on the validation split, so this look decides nothing; monitor another metric, or take another split",
                        self.monitored
                    ));
                }
                self.waiting = of_evaluation(self.origin(*step, Split::Validation), evaluation, *improved);
                self.flush()?;
                progress.look(&summary(*step, evaluation, *improved), *improved);
                for note in &evaluation.notes {
                    progress.note(&format!("note: {note}"));
                }
            }
            Event::Checkpoint { .. } | Event::StepDone { .. } => self.flush()?,
        }
        Ok(())
    }

    /// Of the data of the step that is the `step`-th.
    fn origin(&self, step: u64, split: Split) -> Origin {
        let epoch = self.epoch.map(|each| step.saturating_sub(1) / each.max(1));
        Origin { step, epoch, split }
    }

    /// Writes the records that wait.
    fn flush(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.metrics.write(&self.waiting)?;
        self.board.write(&self.waiting)?;
        self.waiting.clear();
        Ok(())
    }

    fn of_diagnostics(&self, report: &StepReport, diagnostics: &Diagnostics) -> Vec<Record> {
        let origin = self.origin(report.step, Split::Train);
        let name = |place: usize| {
            report.present.get(place).and_then(|task| self.tasks.get(*task)).map(String::as_str)
        };
        let each = |metric: &str, values: &[f64]| -> Vec<Record> {
            values
                .iter()
                .enumerate()
                .map(|(place, value)| origin.record(name(place), metric, Some(*value)))
                .collect()
        };
        let mut records = each("gradient_norm", &diagnostics.norms);
        records.extend(each("descent", &diagnostics.descent));
        records.extend(diagnostics.cosines.iter().map(|(a, b, cosine)| {
            origin.record(name(*a), &format!("cosine/{}", name(*b).unwrap_or_default()), Some(*cosine))
        }));
        let whole = [
            ("conflict_rate", diagnostics.conflict_rate),
            ("condition_number", diagnostics.condition_number),
            ("descends_for_all", f64::from(u8::from(diagnostics.descends_for_all()))),
        ];
        records.extend(whole.map(|(metric, value)| origin.record(None, metric, Some(value))));
        records
    }

    fn of_step(&self, report: &StepReport) -> Vec<Record> {
        let origin = self.origin(report.step, Split::Train);
        let by_task = |metric, values: &[f64]| -> Vec<Record> {
            let tasks = report.present.iter().map(|task| self.tasks.get(*task).map(String::as_str));
            tasks.zip(values).map(|(task, value)| origin.record(task, metric, Some(*value))).collect()
        };
        let mut records = by_task("loss", &report.losses);
        records.extend(by_task("weight", report.weights.as_deref().unwrap_or_default()));
        for of in &report.auxiliary {
            let task = of.task.and_then(|task| self.tasks.get(task)).map(String::as_str);
            records.push(origin.record(task, &format!("auxiliary/{}", of.name), Some(of.value)));
        }
        records.extend(report.terms.iter().map(|(name, value)| origin.record(None, name, Some(*value))));
        records.push(origin.record(None, "learning_rate", Some(report.learning_rate)));
        records.extend(report.gradient_norm.map(|norm| origin.record(None, "gradient_norm", Some(norm))));
        records
    }
}

/// What is said of the tasks' gradients.
fn shown(step: u64, diagnostics: &Diagnostics) -> String {
    let pairs = diagnostics.cosines.len();
    let conflicts = diagnostics.cosines.iter().filter(|(.., cosine)| *cosine < 0.0).count();
    let up = diagnostics.descent.iter().filter(|cosine| **cosine < 0.0).count();
    let down = match up {
        _ if diagnostics.descends_for_all() => "the step is down for every task".to_owned(),
        0 => "the step is level for some task".to_owned(),
        up => format!("the step is up for {up} of {} tasks", diagnostics.descent.len()),
    };
    let condition = number(diagnostics.condition_number);
    format!(
        "step {step}: {conflicts} of {pairs} pairs of gradients conflict, condition number {condition}, {down}"
    )
}

fn of_evaluation(origin: Origin, evaluation: &Evaluation, improved: bool) -> Vec<Record> {
    let mut records = Vec::new();
    for task in &evaluation.tasks {
        let name = Some(task.name.as_str());
        records.push(origin.record(name, "loss", task.loss));
        records.extend(task.metrics.iter().map(|(metric, value)| origin.record(name, metric, *value)));
    }
    records.push(origin.record(None, "improved", Some(f64::from(u8::from(improved)))));
    records
}
fn summary(step: u64, evaluation: &Evaluation, improved: bool) -> String {
    const SHOWN: usize = 3;
    let shown = |value: Option<f64>| value.map_or("-".to_owned(), number);
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
