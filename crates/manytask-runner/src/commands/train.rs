use std::ops::ControlFlow;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use manytask_multitask::{Evaluation, Event, Finish, Identity, Part, StepReport, Trainer, Worsened};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::cli::{ResumeArgs, TrainArgs};
use crate::config::Source;
use crate::data::Detail;
use crate::experiment::{Experiment, threads_of};
use crate::failure::{Code, Failure, Result};
use crate::plan::Plan;
use crate::progress::{Progress, Quiet};
use crate::registries::Registries;
use crate::report::{circumstances, figure, print, say, say_circumstances, table};
use crate::run::{
    CONFIG, Exact, MANIFEST, Manifest, Metrics, RESULTS, RunFolder, SCHEMA, TensorBoard, Which, Written,
    json as to_json, of_checkpoint,
};
use crate::signals::Signals;

/// `manytask train`.
pub(super) fn train(arguments: &TrainArgs, registries: &Registries) -> Result<()> {
    let mut overrides = arguments.overrides.clone();
    overrides.extend(arguments.device.iter().map(|device| format!("device={device:?}")));
    overrides.extend(arguments.threads.iter().map(|threads| format!("threads={threads}")));
    let source = Source::read(&arguments.config, &overrides)?;
    let named = |failure| source.name(failure);
    let plan = Plan::read(&source, registries).map_err(named)?;
    let config = effective(&source, &plan)?;
    let experiment = Experiment::load(plan).map_err(named)?;
    let trainer = experiment.trainer().map_err(named)?;
    experiment.say_data(if arguments.quiet { Detail::Notes } else { Detail::Full });
    if arguments.dry_run {
        return dry_run(trainer);
    }
    let (name, exact) = match &arguments.name {
        Some(name) => (name.clone(), Exact::Yes),
        None => (name_for(&arguments.config), Exact::No),
    };
    // Until here nothing is lost when a signal ends the process.
    let signals = Signals::listen()?;
    let folder = RunFolder::create(&arguments.runs, &name, exact)?;
    let manifest = match begin(&folder, &experiment, &config) {
        Ok(manifest) => manifest,
        Err(failure) => {
            folder.discard();
            return Err(failure);
        }
    };
    let quiet = if arguments.quiet { Quiet::Yes } else { Quiet::No };
    Drive { experiment: &experiment, folder: &folder, manifest, signals, quiet }.finish(trainer)
}

/// The name of a run: that of the configuration, or of the run that it is the configuration of.
fn name_for(config: &Path) -> String {
    let of_run = config.file_name().is_some_and(|name| name == CONFIG);
    let run = config.parent().filter(|folder| of_run && folder.join(MANIFEST).is_file());
    let name = run.and_then(Path::file_name).or_else(|| config.file_stem());
    name.map_or("run".into(), |name| name.to_string_lossy().into_owned())
}

/// Writes what makes a folder one of a run.
fn begin(folder: &RunFolder, experiment: &Experiment, config: &str) -> Result<Manifest> {
    if let Some(schema) = &experiment.schema {
        folder.write(SCHEMA, &to_json(schema)?)?;
    }
    let manifest = Manifest {
        version: env!("CARGO_PKG_VERSION").into(),
        revision: env!("MANYTASK_REVISION").into(),
        host: host(),
        device: format!("{:?}", experiment.device),
        threads: experiment.threads,
        seed: experiment.training.seed,
        config_digest: digest(config.as_bytes()),
        data_digest: experiment.digest.clone(),
        started: now(),
        ended: None,
        exit: None,
        resumed: 0,
    };
    folder.write_manifest(&manifest)?;
    // Last: a folder with a configuration is a run that can be resumed.
    folder.write(CONFIG, config.as_bytes())?;
    Ok(manifest)
}

/// `manytask resume`.
pub(super) fn resume(arguments: &ResumeArgs, registries: &Registries) -> Result<()> {
    let folder = RunFolder::open(&arguments.run)?;
    let mut manifest = folder.manifest()?;
    let source = Source::read(&folder.path().join(CONFIG), &[])?;
    let named = |failure| source.name(failure);
    let plan = Plan::read(&source, registries).map_err(named)?;
    let config = fs_err::read(source.path())?;
    if digest(&config) != manifest.config_digest {
        say(&format!("note: {} was changed since this run began", source.path().display()));
    }
    let experiment = Experiment::load(plan).map_err(named)?;
    if experiment.digest != manifest.data_digest {
        let what = format!("{}: the data have changed since this run began", folder.path().display());
        return Err(Failure::new(Code::Checkpoint, what)
            .hint("bring the old files back, or train anew with `manytask train`"));
    }
    experiment.say_data(if arguments.quiet { Detail::Notes } else { Detail::Brief });
    let mut trainer = experiment.trainer()?;
    if let Some(checkpoint) = folder.find(Which::Latest)? {
        trainer.restore(&checkpoint).map_err(of_checkpoint)?;
    }
    let signals = Signals::listen()?;
    manifest.resumed += 1;
    (manifest.ended, manifest.exit) = (None, None);
    folder.write_manifest(&manifest)?;
    let quiet = if arguments.quiet { Quiet::Yes } else { Quiet::No };
    Drive { experiment: &experiment, folder: &folder, manifest, signals, quiet }.finish(trainer)
}

/// The configuration with overrides, paths and threads written out, so that it means the same anywhere on this machine.
fn effective(source: &Source, plan: &Plan) -> Result<String> {
    let mut table = source.effective()?;
    table.insert("threads".into(), toml::Value::Integer(threads_of(plan) as i64));
    if let Some(toml::Value::Table(data)) = table.get_mut("data")
        && !plan.folder.as_os_str().is_empty()
    {
        data.insert("folder".into(), toml::Value::String(plan.folder.display().to_string()));
    }
    toml::to_string(&table).map_err(|error| Failure::new(Code::Bug, error.to_string()))
}

/// One step, of which nothing is kept.
fn dry_run(mut trainer: Trainer<'_>) -> Result<()> {
    let mut losses = Vec::new();
    trainer.run(|_, event| -> Result<_> {
        if let Event::Step(report) = event {
            losses.clone_from(&report.losses);
        }
        Ok(ControlFlow::Break(()))
    })?;
    let losses: Vec<String> = losses.into_iter().map(figure).collect();
    let seen = if losses.is_empty() {
        "without a loss: its batch has no label".to_owned()
    } else {
        format!("losses {}", losses.join(", "))
    };
    say(&format!("one step was made, {seen}; nothing was written"));
    Ok(())
}

/// A training with its folder.
struct Drive<'e> {
    experiment: &'e Experiment,
    folder: &'e RunFolder,
    manifest: Manifest,
    signals: Signals,
    quiet: Quiet,
}

impl Drive<'_> {
    fn finish(mut self, mut trainer: Trainer<'_>) -> Result<()> {
        let path = self.folder.path().display().to_string();
        say(&format!("run: {path}"));
        let outcome = self.run(&mut trainer);
        let exit = match &outcome {
            Ok(Finish::Completed) => "completed".to_owned(),
            Ok(Finish::StoppedEarly) => "stopped early".to_owned(),
            Ok(Finish::Interrupted) => "interrupted".to_owned(),
            Err(failure) => failure.message.clone(),
        };
        (self.manifest.ended, self.manifest.exit) = (Some(now()), Some(exit));
        let written = self.folder.write_manifest(&self.manifest);
        let finish = outcome.map_err(|failure| self.with_last_checkpoint(failure))?;
        written?;
        let step = trainer.progress().step;
        if finish == Finish::Interrupted {
            let code = self.signals.received().unwrap_or(130);
            return Err(Failure::new(
                Code::Interrupted(code),
                format!("interrupted after step {step}, the state is saved"),
            )
            .hint(format!("continue with `manytask resume {path}`")));
        }
        let best = trainer.progress().best.map_or(step, |best| best.step);
        if let Some(Worsened { before, after }) = trainer.worsened(&self.experiment.start()?)? {
            let (before, after) = (figure(before), figure(after));
            say(&format!(
                "note: the training made the network worse: the mean loss of the training part was {before} before the first step and is {after} after step {step}; lower the learning rate, or set clip_norm"
            ));
        }
        let evaluation = self.judge()?;
        let part = name_of(self.experiment.judged_by);
        let mut results = json!({ "step": best, "part": part, "tasks": evaluation.tasks });
        circumstances(&mut results, self.experiment.problem.as_ref(), &evaluation);
        self.folder.write(RESULTS, &to_json(&results)?)?;
        let ended =
            if finish == Finish::StoppedEarly { format!(", stopped early at {step}") } else { String::new() };
        print(&format!("\n{part} part, parameters of step {best}{ended}\n{}", table(&evaluation, None)))?;
        say_circumstances(self.experiment.problem.as_ref(), &evaluation);
        let next = if self.experiment.schema.is_some() { " --input FILE" } else { "" };
        let verb = if self.experiment.schema.is_some() { "predict" } else { "eval" };
        print(&format!("\nmanytask {verb} {path}{next}\n"))
    }

    /// The figures of the best parameters.
    fn judge(&self) -> Result<Evaluation> {
        let problem = &self.experiment.problem;
        let (params, _) = self.folder.params(Which::Best, problem.layout(), self.experiment.device)?;
        Ok(problem.evaluate(&params, self.experiment.judged_by)?)
    }

    fn run(&self, trainer: &mut Trainer<'_>) -> Result<Finish> {
        let start = trainer.progress().step;
        let mut metrics = self.folder.metrics(start)?;
        let mut board = self.folder.tensorboard((self.manifest.resumed > 0).then_some(start))?;
        let problem = self.experiment.problem.as_ref();
        let names = if problem.identity() == Identity::Fixed { problem.tasks() } else { &[] };
        let mut progress = Progress::new(start, trainer.training().steps, names, self.quiet);
        let keep = self.experiment.keep_checkpoints();
        let mut saved = start;
        let mut told = false;
        let finish = trainer.run(|trainer, event| {
            match event {
                Event::Step(report) => {
                    progress.step(report);
                    if report.step.is_multiple_of(self.experiment.log_every()) {
                        self.log_step(report, &mut metrics, &mut board)?;
                    }
                }
                Event::Evaluated { step, evaluation, monitored, improved } => {
                    if monitored.is_none() && !std::mem::replace(&mut told, true) {
                        let figure = &trainer.training().monitor.figure;
                        progress.note(&format!("note: step {step}: the monitored figure `{figure}` has no value on the validation part, so this look decides nothing; monitor another figure, or take another split"));
                    }
                    metrics.write(&json!({ "step": step, "part": "validation", "tasks": evaluation.tasks, "improved": improved }))?;
                    board.write(step, &scalars(evaluation))?;
                    progress.note(&summary(step, evaluation, improved));
                    for note in &evaluation.notes {
                        progress.note(&format!("note: {note}"));
                    }
                }
                Event::Checkpoint { step, improved } => {
                    metrics.sync()?;
                    let written = Written { step, best: improved, keep };
                    self.folder.checkpoint(written, |to| Ok(trainer.save(to)?))?;
                    saved = step;
                }
                Event::EpochDone { .. } | Event::StepDone { .. } => {}
            }
            let stop = self.signals.received().is_some();
            Ok::<_, Failure>(if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        progress.end();
        let finish = finish?;
        let step = trainer.progress().step;
        if finish == Finish::Interrupted && saved != step {
            metrics.sync()?;
            self.folder.checkpoint(Written { step, best: false, keep }, |to| Ok(trainer.save(to)?))?;
        }
        Ok(finish)
    }

    fn log_step(&self, report: &StepReport, metrics: &mut Metrics, board: &mut TensorBoard) -> Result<()> {
        let names = self.experiment.problem.tasks();
        let by_name = |values: &[f64]| -> Map<String, Value> {
            let tasks = report.present.iter().filter_map(|task| names.get(*task));
            tasks.zip(values).map(|(name, value)| (name.clone(), json!(value))).collect()
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
        if let Some(norm) = report.gradient_norm {
            line["gradient_norm"] = json!(norm);
        }
        metrics.write(&line)?;
        let tasks = report.present.iter().filter_map(|task| names.get(*task));
        let mut scalars: Vec<(String, f64)> =
            tasks.zip(&report.losses).map(|(name, loss)| (format!("train/{name}/loss"), *loss)).collect();
        scalars.push(("train/learning_rate".into(), report.learning_rate));
        board.write(report.step, &scalars)
    }

    /// Says where a diverged training can be taken up.
    fn with_last_checkpoint(&self, failure: Failure) -> Failure {
        if failure.code != Code::Diverged {
            return failure;
        }
        match self.folder.find(Which::Latest) {
            Ok(Some(path)) => failure.hint(format!("the last good checkpoint is {}", path.display())),
            _ => failure.hint("there is no checkpoint of it"),
        }
    }
}

fn scalars(evaluation: &Evaluation) -> Vec<(String, f64)> {
    let of_task = |task: &manytask_multitask::TaskEvaluation| {
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

/// A part's name.
pub(super) fn name_of(part: Part) -> &'static str {
    match part {
        Part::Train => "train",
        Part::Validation => "validation",
        Part::Test => "test",
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn host() -> String {
    let read = |path: &str| fs_err::read_to_string(path).ok();
    let name = read("/proc/sys/kernel/hostname").or_else(|| read("/etc/hostname"));
    name.map_or("unknown".to_owned(), |name| name.trim().to_owned())
}
