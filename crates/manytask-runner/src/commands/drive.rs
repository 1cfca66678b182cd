//! A training with its folder: checkpoints, metrics, signals, and the result at the end.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use manytask_data::TargetReport;
use manytask_multitask::{Evaluation, Event, Finish, Identity, Split, Trainer, Worsened};
use manytask_tensor::Params;
use manytask_tensor::ShownPath as _;
use serde_json::{Value, json};

use super::record::{Recorder, Still};
use crate::digest::digest;
use crate::experiment::Experiment;
use crate::failure::{Code, Failure, OUT_OF_MEMORY, Result};
use crate::invocation::{program, quoted};
use crate::postprocessing;
use crate::progress::{Display, Progress};
use crate::report::{circumstances, number, print, say, say_circumstances, table};
use crate::run::{Cause, Form, Manifest, RESULTS, RunFolder, UpTo, Which, Written, json as to_json, now};
use crate::signals::Signals;
use crate::whole_front;

/// The ends of epochs are saved where the last checkpoint is older than this, or than so many times what writing it took.
const BETWEEN_EPOCHS: Duration = Duration::from_secs(10);
const TIMES_ITS_COST: u32 = 50;
/// And never where it is younger than this.
const AT_LEAST: Duration = Duration::from_secs(1);

/// A training with its folder.
pub(super) struct Drive<'e> {
    pub(super) experiment: &'e Experiment,
    pub(super) folder: &'e RunFolder,
    pub(super) manifest: Manifest,
    pub(super) signals: Signals,
    pub(super) display: Display,
    /// After how many steps it pauses, with its state saved; `None`: at its end.
    pub(super) until: Option<u64>,
}

impl Drive<'_> {
    /// Trains to the end, and judges the best parameters.
    pub(super) fn finish(mut self, mut trainer: Trainer<'_>) -> Result<()> {
        let path = self.folder.path();
        say(&format!("run: {}", path.shown()));
        for note in self.folder.notes() {
            say(&format!("note: {note}"));
        }
        say(&match self.experiment.problem.fused(trainer.params()) {
            Ok(()) => "passes: fused".to_owned(),
            Err(reason) => format!("passes: through the graph, because of {reason}"),
        });
        let (began, before) = (Instant::now(), self.manifest.seconds);
        let outcome = self.run(&mut trainer);
        if let Some(reason) = self.experiment.problem.uncaptured() {
            say(&format!("note: operations were launched one by one, which a GPU is slower with: {reason}"));
        }
        let exit = match &outcome {
            Ok(Finish::Completed) => "completed".to_owned(),
            Ok(Finish::StoppedEarly) => "stopped early".to_owned(),
            Ok(Finish::Interrupted) => "interrupted".to_owned(),
            Err(failure) => failure.message.clone(),
        };
        (self.manifest.ended, self.manifest.exit) = (Some(now()), Some(exit));
        self.manifest.spent(before, began);
        let written = self.folder.write_manifest(&self.manifest);
        let finish = outcome.map_err(|failure| self.with_half_a_step(self.with_last_checkpoint(failure)))?;
        written?;
        let (program, shown) = (program(), quoted(path));
        let step = trainer.progress().step;
        if finish == Finish::Interrupted {
            let received = self.signals.received();
            if received.is_none() && self.until.is_some() {
                say(&format!("paused after step {step}, the state is saved"));
                return Ok(());
            }
            let code = received.unwrap_or(130);
            return Err(Failure::new(
                Code::Interrupted(code),
                format!("interrupted after step {step}, the state is saved"),
            )
            .hint(format!("continue with `{program} resume {shown}`")));
        }
        // What follows only looks at what is saved, and may take long.
        self.signals.all_is_saved();
        let best = trainer.progress().best.map_or(step, |best| best.step);
        self.say_worse(&trainer)?;
        let problem = &self.experiment.problem;
        let (params, _) = self.folder.params(Which::Best, problem.layout(), self.experiment.device)?;
        let start = Instant::now();
        let evaluation = problem.evaluate(&params, self.experiment.judged_by)?;
        self.manifest.judged_seconds = Some(start.elapsed().as_secs_f64());
        let postprocessed = self.postprocess(&params, best)?;
        let split = name_of(self.experiment.judged_by);
        let mut results = self.results(best, &evaluation);
        let front = whole_front::judge(problem.as_ref(), &params, self.experiment.judged_by)?;
        if !front.is_empty() {
            results["front"] = json!(front);
        }
        if let Some((kept, _)) = &postprocessed {
            results["postprocessing"] = kept.clone();
        }
        let results = to_json(&results)?;
        self.folder.write(RESULTS, &results)?;
        self.manifest.results_digest = Some(digest(&results));
        self.manifest.spent(before, began);
        self.folder.write_manifest(&self.manifest)?;
        let ended =
            if finish == Finish::StoppedEarly { format!(", stopped early at {step}") } else { String::new() };
        print(&format!("\n{split} split, parameters of step {best}{ended}\n{}", table(&evaluation, None)))?;
        if !front.is_empty() {
            print(&format!("\n{split} split, by preference\n{}", whole_front::text(&front)))?;
        }
        if let Some((_, text)) = &postprocessed {
            print(text)?;
        }
        say_circumstances(self.experiment.problem.as_ref(), &evaluation);
        let (verb, next) = match (self.experiment.adapts(), &self.experiment.schema) {
            (true, _) => ("adapt", " --support EXAMPLES --query FILE"),
            (false, Some(_)) => ("predict", " --input FILE"),
            (false, None) => ("eval", ""),
        };
        print(&format!("\n{program} {verb} {shown}{next}\n"))
    }

    /// The result of the parameters of a step, as `results.json` has it.
    fn results(&self, step: u64, evaluation: &Evaluation) -> Value {
        let report = &self.experiment.report;
        let rows: serde_json::Map<_, _> =
            report.rows.iter().map(|(split, rows)| (split.clone(), json!(rows))).collect();
        let of_splits = |target: &TargetReport| {
            target.splits.iter().cloned().map(|(split, counts)| (split, json!(counts))).collect()
        };
        let labels: serde_json::Map<_, _> =
            report.targets.iter().map(|target| (target.name.clone(), of_splits(target))).collect();
        let split = name_of(self.experiment.judged_by);
        let mut results = json!({ "step": step, "split": split, "tasks": evaluation.tasks, "rows": rows, "labels": labels });
        circumstances(&mut results, self.experiment.problem.as_ref(), evaluation);
        results
    }

    /// Says that a training has ended far worse than it began.
    fn say_worse(&self, trainer: &Trainer<'_>) -> Result<()> {
        if let Some(Worsened { before, after }) = trainer.worsened(&self.experiment.start()?)? {
            let (before, after, step) = (number(before), number(after), trainer.progress().step);
            say(&format!(
                "note: the training made the network worse: the mean loss of the training split was {before} before the first step and is {after} after step {step}; lower the learning rate, or set clip_norm"
            ));
        }
        Ok(())
    }

    /// What is fitted to the predictions on the validation split, as it is kept with the results and as it is shown.
    fn postprocess(&self, params: &Params, step: u64) -> Result<Option<(Value, String)>> {
        let Some((fitted, notes)) = self.experiment.postprocessed(params, step)? else { return Ok(None) };
        for note in notes {
            say(&format!("note: {note}"));
        }
        let split = self.experiment.judged_by;
        let judged = fitted.judge(&self.experiment.problem.outputs(params, split)?)?;
        if split == Split::Validation {
            say(
                "note: there is no test split: what is fitted on the validation split is judged on it, which flatters it",
            );
        }
        let text = format!(
            "\nfitted on the validation split, judged on the {} split\n{}",
            name_of(split),
            postprocessing::table(&judged)
        );
        let kept = json!({ "step": fitted.step, "tasks": fitted.tasks, "judged": judged });
        Ok(Some((kept, text)))
    }

    fn run(&self, trainer: &mut Trainer<'_>) -> Result<Finish> {
        let start = trainer.progress().step;
        let problem = self.experiment.problem.as_ref();
        let last = trainer.training().steps;
        let mut record = Recorder {
            metrics: self.folder.metrics(if trainer.progress().evaluation_due {
                UpTo::Evaluation(start)
            } else {
                UpTo::Step(start)
            })?,
            board: self.folder.tensorboard((self.manifest.resumed > 0).then_some(start))?,
            tasks: problem.tasks(),
            every: self.experiment.log_every(),
            last,
            epoch: problem.steps_per_epoch(),
            monitored: trainer.training().monitor.metric.clone(),
            waiting: Vec::new(),
            told: false,
            still: Still::default(),
        };
        if record.metrics.form() == Form::Earlier {
            let path = self.folder.path().join("metrics.jsonl");
            say(&format!(
                "note: {}: was written by an earlier version; it now has a line for each number",
                path.shown()
            ));
        }
        for number in record.metrics.damaged() {
            let path = self.folder.path().join("metrics.jsonl");
            say(&format!("note: {}: line {number} is damaged; it stays as it is", path.shown()));
        }
        // Lines are on the disk before the checkpoint of their step.
        let due = if start == last { start } else { start - start % record.every };
        if record.metrics.last() < due && record.metrics.damaged().is_empty() {
            let (path, last) = (self.folder.path().join("metrics.jsonl"), record.metrics.last());
            say(&format!(
                "note: {}: lines of the steps {} to {due} are missing; it goes on without them",
                path.shown(),
                last + 1
            ));
        }
        let names = if problem.identity() == Identity::Fixed { problem.tasks() } else { &[] };
        let mut progress = Progress::new(start, last, names, &self.experiment.work(), self.display);
        let every = self.experiment.save_every();
        let mut saves = Saves {
            drive: self,
            step: start,
            at: Instant::now(),
            took: Duration::ZERO,
            left: BTreeSet::new(),
        };
        let finish = trainer.run(|trainer, event| {
            if let Event::Step(report) = &event {
                progress.step(report);
            }
            record.take(&event, &progress)?;
            progress.heard();
            match event {
                Event::Checkpoint { step, improved } => {
                    saves.save(
                        trainer,
                        &record,
                        Save { step, best: improved, cause: Cause::Training },
                        &progress,
                    )?;
                }
                // Before the evaluation, which may take long and fail.
                Event::EpochDone { step, .. } if saves.at.elapsed() >= saves.between_epochs().min(every) => {
                    saves.save(
                        trainer,
                        &record,
                        Save { step, best: false, cause: Cause::Time },
                        &progress,
                    )?;
                }
                Event::StepDone { step } if saves.at.elapsed() >= every => {
                    saves.save(
                        trainer,
                        &record,
                        Save { step, best: false, cause: Cause::Time },
                        &progress,
                    )?;
                }
                _ => {}
            }
            let paused = self.until.is_some_and(|until| trainer.progress().step >= until);
            let stop = paused || self.signals.received().is_some();
            Ok::<_, Failure>(if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        progress.end();
        let finish = finish?;
        let step = trainer.progress().step;
        if finish == Finish::Interrupted && saves.step != step {
            saves.save(trainer, &record, Save { step, best: false, cause: Cause::Training }, &progress)?;
        }
        Ok(finish)
    }

    /// Says what a step is made of where it did not fit into memory, and what takes half of it.
    fn with_half_a_step(&self, failure: Failure) -> Failure {
        let half = failure
            .hints
            .iter()
            .any(|hint| hint == OUT_OF_MEMORY)
            .then(|| self.experiment.plan.half_a_step());
        half.flatten().into_iter().fold(failure, Failure::hint)
    }

    /// Says where a diverged training can be taken up.
    fn with_last_checkpoint(&self, failure: Failure) -> Failure {
        if failure.code != Code::Diverged {
            return failure;
        }
        match self.folder.find(Which::Latest) {
            Ok(Some(path)) => failure.hint(format!("the last good checkpoint is {}", path.shown())),
            _ => failure.hint("there is no checkpoint of it"),
        }
    }
}

/// The checkpoints that a training has written.
struct Saves<'d> {
    drive: &'d Drive<'d>,
    /// After how many steps the last one was.
    step: u64,
    at: Instant,
    /// How long writing it took.
    took: Duration,
    /// What was told of old ones that could not be removed.
    left: BTreeSet<String>,
}

/// A checkpoint that is due.
#[derive(Clone, Copy)]
struct Save {
    step: u64,
    best: bool,
    cause: Cause,
}

impl Saves<'_> {
    /// How old the last checkpoint is at least when an epoch's end is saved: what saving takes stays small beside the training.
    fn between_epochs(&self) -> Duration {
        self.took.saturating_mul(TIMES_ITS_COST).clamp(AT_LEAST, BETWEEN_EPOCHS)
    }

    fn save(
        &mut self,
        trainer: &Trainer<'_>,
        record: &Recorder<'_>,
        due: Save,
        progress: &Progress,
    ) -> Result<()> {
        let Save { step, best, cause } = due;
        if cause == Cause::Time && step == self.step {
            return Ok(());
        }
        let began = Instant::now();
        record.metrics.sync()?;
        let written = Written { step, best, keep: self.drive.experiment.keep_checkpoints(), cause };
        for why in self.drive.folder.checkpoint(written, |to| Ok(trainer.save(to)?))? {
            if self.left.insert(why.clone()) {
                progress.note(&format!(
                    "note: an old checkpoint could not be removed, and is tried again: {why}"
                ));
            }
        }
        (self.step, self.at, self.took) = (step, Instant::now(), began.elapsed());
        Ok(())
    }
}

/// A split's name.
pub(super) fn name_of(split: Split) -> &'static str {
    match split {
        Split::Train => "train",
        Split::Validation => "validation",
        Split::Test => "test",
    }
}
