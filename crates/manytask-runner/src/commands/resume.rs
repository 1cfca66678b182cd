//! `manytask resume`: a run goes on where it was, perhaps with changes.

use std::path::Path;

use manytask_multitask::Trainer;
use manytask_nn::schedule::ScheduleKind;
use manytask_tensor::ShownPath as _;

use super::changes::Purpose;
use super::drive::Drive;
use super::opened::Opened;
use super::train::effective;
use super::{front, repeat, strategies, studies, sweep};
use crate::cli::ResumeArgs;
use crate::config::Source;
use crate::data::Detail;
use crate::digest::digest;
use crate::experiment::Experiment;
use crate::failure::{Code, Failure, Result};
use crate::plan::Plan;
use crate::registries::Registries;
use crate::report::{number, say};
use crate::run::{
    BestKept, CONFIG, Change, Manifest, RESULTS, RunFolder, Which, is_study, now, of_checkpoint,
    step_of_folder,
};
use crate::signals::Signals;
use crate::study::Question;

/// `manytask resume`.
pub(super) fn resume(arguments: &ResumeArgs, registries: &Registries) -> Result<()> {
    if is_study(&arguments.run) {
        return of_study(arguments, registries);
    }
    let overrides = arguments.compute.with(&arguments.overrides);
    let opened = Opened::new(RunFolder::open(&arguments.run)?, &overrides, Purpose::Resume)?;
    refuse_edits(&opened)?;
    let experiment = opened.load(registries)?;
    experiment.say_data(if arguments.progress.quiet { Detail::Notes } else { Detail::Brief });
    let mut trainer = experiment.trainer()?;
    restore(&opened, &mut trainer, arguments.checkpoint)?;
    let step = trainer.progress().step;
    enough_steps(&opened, &trainer)?;
    if opened.goes_on_anew(step) {
        stop_no_more(&mut trainer);
    }
    say_rate(&opened, &experiment, &trainer, registries)?;
    let signals = Signals::listen()?;
    if arguments.supervised {
        crate::signals::end_with_stdin()?;
    }
    let manifest = begin(&opened, &experiment, &overrides, step)?;
    let display = arguments.progress.display();
    let until = arguments.until;
    Drive { experiment: &experiment, folder: &opened.folder, manifest, signals, display, until }
        .finish(trainer)
}

/// Trains what a study has not yet. What its members change was settled when it began.
fn of_study(arguments: &ResumeArgs, registries: &Registries) -> Result<()> {
    let changes = arguments.overrides.len()
        + usize::from(arguments.compute.device.is_some())
        + usize::from(arguments.compute.threads.is_some())
        + usize::from(arguments.checkpoint != Which::Latest);
    if changes > 0 {
        let what = format!("{} is a study, whose runs go on as they began", arguments.run.shown());
        return Err(Failure::new(Code::Usage, what)
            .hint("only --jobs and --quiet can be given; begin another one for changes"));
    }
    let display = arguments.progress.display();
    studies::resume(&arguments.run, arguments.jobs, display, registries, sweep::conducted, |study, lost| {
        match study.spec.question {
            Question::Repetition => repeat::report(study, lost, registries),
            Question::Strategies => strategies::report(study, lost),
            Question::Sweep => sweep::report(study, lost),
            Question::Front => front::report(study, lost),
        }
    })
}

/// Refuses a configuration that was edited where a run cannot change.
fn refuse_edits(opened: &Opened) -> Result<()> {
    if opened.edited.is_empty() {
        return Ok(());
    }
    let path = opened.folder.path().join(CONFIG);
    let what = format!(
        "{}: `{}` was changed, which a run that has begun cannot go on with",
        path.shown(),
        opened.edited.join("`, `")
    );
    Err(Failure::new(Code::Checkpoint, what).hint("change it back, or train anew with `manytask train`"))
}

/// Goes back to a checkpoint, and names the best one as it was then.
fn restore(opened: &Opened, trainer: &mut Trainer<'_>, which: Which) -> Result<()> {
    let folder = &opened.folder;
    let Some(checkpoint) = folder.find(which)? else {
        say(&format!("note: {} has no checkpoint yet: it starts from the beginning", folder.path().shown()));
        return Ok(());
    };
    trainer.restore(&checkpoint).map_err(of_checkpoint)?;
    let step = trainer.progress().step;
    if step_of_folder(&checkpoint) != Some(step) {
        let what = format!("{}: its state is that after {step} steps", checkpoint.shown());
        return Err(Failure::new(Code::Checkpoint, what));
    }
    if which == Which::Latest {
        folder.name_latest(step)?;
    }
    let best = trainer.progress().best.map(|best| best.step);
    if folder.set_best(best)? == BestKept::No {
        say(&format!(
            "note: the best checkpoint before step {step} is no longer there: from here on the best is looked for anew"
        ));
        trainer.forget_best();
    }
    Ok(())
}

/// Refuses fewer steps than were made.
fn enough_steps(opened: &Opened, trainer: &Trainer<'_>) -> Result<()> {
    let (done, all) = (trainer.progress().step, trainer.training().steps);
    if done <= all {
        return Ok(());
    }
    let what = format!("{done} steps are made already, more than the {all} of the whole training");
    let failure =
        Failure::new(Code::Config, what).hint("ask for more epochs or steps, or go back with --checkpoint");
    Err(opened.source.locate(failure))
}

/// Goes on after early stopping.
fn stop_no_more(trainer: &mut Trainer<'_>) {
    if trainer.progress().stopped {
        let step = trainer.progress().step;
        say(&format!(
            "note: this run stopped early at step {step}: it goes on, and its patience counts anew"
        ));
        trainer.wait_anew();
    }
}

/// Says how the learning rate goes on where that is not as it would have been.
fn say_rate(
    opened: &Opened,
    experiment: &Experiment,
    trainer: &Trainer<'_>,
    registries: &Registries,
) -> Result<()> {
    let of_course = |key: &String| {
        ["training.epochs", "training.steps", "optimizer.", "schedule."].iter().any(|of| key.starts_with(of))
    };
    if !opened.changed.iter().any(of_course) {
        return Ok(());
    }
    let plain = Source::read(opened.source.path(), &[])?;
    let before = Plan::read(&plain, registries)?;
    let (step, new) = (trainer.progress().step, trainer.training());
    let plateau = &trainer.progress().plateau;
    let old_steps = before.training.total(experiment.problem.steps_per_epoch()).unwrap_or(new.steps);
    let old_rate = before.schedule.rate(before.learning_rate, step, old_steps, plateau);
    let rate = new.schedule.rate(new.learning_rate, step, new.steps, plateau);
    say(&format!("note: the training goes on from step {step} to step {} (before: {old_steps})", new.steps));
    if rate != old_rate || new.schedule != before.schedule || new.schedule.kind != ScheduleKind::Constant {
        say(&format!(
            "note: the learning rate goes on at {} (before: {}); its schedule spans all {} steps",
            number(rate),
            number(old_rate),
            new.steps
        ));
    }
    Ok(())
}

/// Writes the changes into the run, and that it was resumed.
fn begin(opened: &Opened, experiment: &Experiment, overrides: &[String], step: u64) -> Result<Manifest> {
    let folder = &opened.folder;
    let Some(mut manifest) = opened.manifest.clone() else { return folder.manifest() };
    if !opened.changed.is_empty() {
        let data = experiment.data_folder();
        let (config, from_run) =
            effective(&opened.source, data, (experiment.threads, experiment.device), folder.path())?;
        folder.write(CONFIG, config.as_bytes())?;
        manifest.config_digest = digest(config.as_bytes());
        manifest.data_folder = from_run.or(manifest.data_folder);
        manifest.history.push(Change { step, when: now(), changes: overrides.to_vec() });
    }
    manifest.resumed += 1;
    manifest.device = format!("{:?}", experiment.device);
    manifest.threads = experiment.threads;
    (manifest.ended, manifest.exit, manifest.results_digest) = (None, None, None);
    folder.write_manifest(&manifest)?;
    remove_results(folder.path())?;
    Ok(manifest)
}

/// The result of before is none of the training that goes on.
fn remove_results(run: &Path) -> Result<()> {
    match fs_err::remove_file(run.join(RESULTS)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
