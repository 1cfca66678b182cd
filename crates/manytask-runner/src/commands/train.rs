//! `manytask train`: from a configuration to a run.

use std::path::{Component, Path, PathBuf};

use manytask_multitask::Trainer;
use manytask_tensor::{Device, ShownPath as _};

use super::changes;
use super::drive::Drive;
use super::fastest::fastest;
use crate::cli::TrainArgs;
use crate::config::{Source, one_line};
use crate::data::Detail;
use crate::device;
use crate::digest::digest;
use crate::experiment::Experiment;
use crate::failure::{Code, Failure, Result};
use crate::plan::{Plan, threads_of};
use crate::progress::{Display, Progress};
use crate::registries::Registries;
use crate::report::{number, say};
use crate::run::{CONFIG, Exact, MANIFEST, Manifest, RunFolder, SCHEMA, json as to_json, now};
use crate::signals::Signals;

/// `manytask train` of a single run.
pub(super) fn train(arguments: &TrainArgs, registries: &Registries) -> Result<()> {
    let overrides = overrides(arguments)?;
    if arguments.jobs.is_some() {
        return Err(Failure::new(Code::Usage, "--jobs is for several trainings")
            .hint("ask for them with --folds or --seeds, or leave it out"));
    }
    let source = Source::read(&arguments.config, &overrides)?;
    let plan = Plan::read(&source, registries)?;
    let threads = threads_of(&plan);
    let experiment = load(plan, &source, &arguments.config, registries)?;
    let (experiment, chosen) = fastest(experiment, |device| {
        let plan = Plan { device, ..Plan::read(&source, registries)? };
        load(plan, &source, &arguments.config, registries)
    })?;
    if let Some(chosen) = chosen {
        say(&chosen);
    }
    let folder = experiment.data_folder().to_owned();
    let trainer = experiment.trainer()?;
    experiment.say_data(if arguments.progress.quiet { Detail::Notes } else { Detail::Full });
    if arguments.dry_run {
        return dry_run(&experiment, trainer);
    }
    let (name, exact) = match &arguments.name {
        Some(name) => (name.clone(), Exact::Yes),
        None => (name_for(&arguments.config), Exact::No),
    };
    // Until here nothing is lost when a signal ends the process.
    let signals = Signals::listen()?;
    if arguments.supervised {
        crate::signals::end_with_stdin()?;
    }
    let place = (threads, experiment.device);
    let (config, from_run) = effective(&source, &folder, place, &arguments.runs.join(&name))?;
    let schema = experiment.schema.as_ref().map(to_json).transpose()?;
    let manifest = Manifest {
        version: env!("CARGO_PKG_VERSION").into(),
        revision: env!("MANYTASK_REVISION").into(),
        host: host(),
        device: format!("{:?}", experiment.device),
        threads: experiment.threads,
        seed: experiment.training.seed,
        config_digest: digest(config.as_bytes()),
        fixed: changes::fixed(&source.effective()?),
        data_digest: experiment.digest.clone(),
        split_digest: experiment.split_digest.clone(),
        schema_digest: schema.as_deref().map(digest),
        results_digest: None,
        data_folder: from_run,
        started: now(),
        ended: None,
        exit: None,
        resumed: 0,
        history: Vec::new(),
        seconds: 0.0,
        judged_seconds: None,
        peak_memory: None,
    };
    let described = to_json(&manifest)?;
    let mut files = vec![(CONFIG, config.as_bytes()), (MANIFEST, described.as_slice())];
    files.extend(schema.as_deref().map(|schema| (SCHEMA, schema)));
    let folder = RunFolder::create(&arguments.runs, &name, exact, &files)?;
    let display = arguments.progress.display();
    let until = arguments.until;
    Drive { experiment: &experiment, folder: &folder, manifest, signals, display, until }.finish(trainer)
}

/// The experiment of a plan. Data of a run that was moved together with them are looked for from there.
fn load(plan: Plan, source: &Source, config: &Path, registries: &Registries) -> Result<Experiment> {
    let failure = match Experiment::load(plan) {
        Err(failure) if failure.code == Code::Data => failure,
        loaded => return loaded,
    };
    let beside = run_of(config)
        .and_then(|run| Some(run.join(RunFolder::view(run).ok()?.manifest().ok()?.data_folder?)));
    let Some(Ok(beside)) = beside.map(fs_err::canonicalize) else { return Err(failure) };
    let plan = Plan { folder: beside.clone(), ..Plan::read(source, registries)? };
    let Ok(experiment) = Experiment::load(plan) else { return Err(failure) };
    say(&format!("note: the data are taken from {}", beside.shown()));
    Ok(experiment)
}

/// The changes that the arguments of `train` make.
pub(super) fn overrides(arguments: &TrainArgs) -> Result<Vec<String>> {
    let mut overrides = arguments.compute.with(&arguments.overrides);
    if let Some(run) = &arguments.init_from {
        let run = std::path::absolute(run)?;
        let Some(run) = run.to_str() else {
            let what = format!("--init-from {}: the name of this folder is not UTF-8", run.shown());
            return Err(Failure::new(Code::Usage, what).hint("a configuration cannot name it: rename it"));
        };
        overrides.push(format!("training.init_from={}", one_line(run)));
    }
    if !arguments.freeze.is_empty() {
        let parts: Vec<String> = arguments.freeze.iter().map(|part| one_line(part)).collect();
        overrides.push(format!("training.freeze=[{}]", parts.join(", ")));
    }
    Ok(overrides)
}

/// The name of a run: that of the configuration, or of the run that it is the configuration of.
pub(super) fn name_for(config: &Path) -> String {
    let name = run_of(config).and_then(Path::file_name).or_else(|| config.file_stem());
    name.map_or("run".into(), |name| name.to_string_lossy().into_owned())
}

/// The run whose configuration this is.
fn run_of(config: &Path) -> Option<&Path> {
    let of_run = config.file_name().is_some_and(|name| name == CONFIG);
    config.parent().filter(|folder| of_run && folder.join(MANIFEST).is_file())
}

/// The configuration with overrides, threads, the device that was chosen and the folder of the data written out, so that it means the same anywhere on
/// this machine, and that folder as seen from the run's.
pub(super) fn effective(
    source: &Source,
    folder: &Path,
    (threads, device): (usize, Device),
    run: &Path,
) -> Result<(String, Option<String>)> {
    let mut table = source.effective()?;
    if table.get("device").and_then(toml::Value::as_str) == Some("auto") {
        table.insert("device".into(), toml::Value::String(device::name(device)));
    }
    table.insert("threads".into(), toml::Value::Integer(threads as i64));
    let from_run = relative(run, folder).and_then(|path| Some(path.to_str()?.to_owned()));
    if let Some(toml::Value::Table(data)) = table.get_mut("data")
        && !folder.as_os_str().is_empty()
    {
        let Some(name) = folder.to_str().map(str::to_owned).or_else(|| from_run.clone()) else {
            let what = format!("{}: the name of this folder is not UTF-8", folder.shown());
            return Err(Failure::new(Code::Data, what)
                .hint("a configuration cannot name it: rename it, or keep the runs inside it with --runs"));
        };
        data.insert("folder".into(), toml::Value::String(name));
    }
    for (section, key) in [("training", "init_from"), ("network", "weights")] {
        if let Some(toml::Value::Table(section)) = table.get_mut(section)
            && let Some(toml::Value::String(path)) = section.get_mut(key)
            && let Some(absolute) = source.folder().join(&path).to_str()
        {
            absolute.clone_into(path);
        }
    }
    let text = toml::to_string(&table).map_err(|error| Failure::new(Code::Bug, error.to_string()))?;
    Ok((text, from_run))
}

/// A folder as seen from another, which need not exist. `None` where they have nothing in common.
fn relative(from: &Path, to: &Path) -> Option<PathBuf> {
    let absolute = |path: &Path| {
        let parent = fs_err::canonicalize(path.parent().filter(|p| !p.as_os_str().is_empty())?).ok();
        fs_err::canonicalize(path).ok().or_else(|| Some(parent?.join(path.file_name()?)))
    };
    let (from, to) =
        (absolute(from).or_else(|| std::path::absolute(from).ok())?, fs_err::canonicalize(to).ok()?);
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(to.components().skip(common)).collect();
    Some(if path.as_os_str().is_empty() { ".".into() } else { path }).filter(|_| common > 1)
}

/// One step, of which nothing is kept.
pub(super) fn dry_run(experiment: &Experiment, mut trainer: Trainer<'_>) -> Result<()> {
    if experiment.training.steps == 0 {
        say("the training has no steps; nothing was written");
        return Ok(());
    }
    let progress = Progress::new(0, 1, &[], &experiment.work(), Display::Silent);
    let losses = trainer.try_step()?.losses;
    drop(progress);
    let losses: Vec<String> = losses.into_iter().map(number).collect();
    let seen = if losses.is_empty() {
        "without a loss: its batch has no label".to_owned()
    } else {
        format!("losses {}", losses.join(", "))
    };
    say(&format!("one step was made, {seen}; nothing was written"));
    Ok(())
}

fn host() -> String {
    let read = |path: &str| fs_err::read_to_string(path).ok();
    let name = read("/proc/sys/kernel/hostname").or_else(|| read("/etc/hostname"));
    name.map_or("unknown".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_seen_from_another() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for folder in ["project/runs", "project/data"] {
            fs_err::create_dir_all(at(folder)).unwrap();
        }
        let seen = |from: &str, to: &str| relative(&at(from), &at(to)).unwrap();
        assert_eq!(seen("project/runs/a", "project"), Path::new("../.."));
        assert_eq!(seen("project/runs/a", "project/data"), Path::new("../../data"));
        assert_eq!(seen("project/runs", "project/runs"), Path::new("."));
        assert_eq!(relative(&at("project/runs/a"), &at("nowhere")), None);
    }
}
