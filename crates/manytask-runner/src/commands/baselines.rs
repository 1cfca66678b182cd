//! Runs of single tasks that another run is compared with: judged on the same rows, or refused.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use manytask_multitask::{Evaluation, Split, TaskEvaluation};
use manytask_tensor::ShownPath as _;
use serde::Deserialize;

use super::drive::name_of;
use super::opened::Opened;
use crate::config::{Source, changed_keys};
use crate::digest::digest;
use crate::experiment::Experiment;
use crate::failure::{Code, Failure, Result};
use crate::report::say;
use crate::run::{CONFIG, Manifest, RESULTS, RunFolder};

/// The part of `results.json` that is compared.
#[derive(Deserialize)]
struct Results {
    #[serde(alias = "part")]
    split: String,
    tasks: Vec<TaskEvaluation>,
}

/// The results of runs of single tasks, together.
pub(super) fn baselines(
    runs: &[&PathBuf],
    opened: &Opened,
    experiment: &Experiment,
    split: Split,
) -> Result<Evaluation> {
    let mut tasks: Vec<TaskEvaluation> = Vec::new();
    let mut names = HashSet::new();
    for run in runs {
        let folder = RunFolder::view(run)?;
        let manifest = folder.manifest()?;
        same_rows(&folder, &manifest, opened, experiment)?;
        for task in results(run, &manifest, split)? {
            if !names.insert(task.name.clone()) {
                let what = format!("{}: another baseline has task `{}` too", run.shown(), task.name);
                return Err(Failure::new(Code::Usage, what).hint("name one run for each task"));
            }
            tasks.push(task);
        }
    }
    Ok(Evaluation::new(tasks))
}

fn results(run: &Path, manifest: &Manifest, split: Split) -> Result<Vec<TaskEvaluation>> {
    let path = run.join(RESULTS);
    let damaged = |why: &str| Failure::new(Code::Checkpoint, format!("{}: {why}", path.shown()));
    let text = match fs_err::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let what = format!("{}: this run has no result yet", run.shown());
            return Err(Failure::new(Code::Data, what)
                .hint("let it end, with `manytask resume` if it was interrupted"));
        }
        Err(error) => return Err(error.into()),
    };
    if manifest.results_digest.as_ref().is_some_and(|written| *written != digest(&text)) {
        return Err(damaged("is not what the run has written").hint("write it anew with `manytask resume`"));
    }
    let results: Results =
        serde_json::from_slice(&text).map_err(|error| damaged(&format!("is damaged: {error}")))?;
    if results.split != name_of(split) {
        let what = format!("{}: its result is of the {} split", run.shown(), results.split);
        return Err(Failure::new(Code::Usage, what).hint(format!("compare with --split {}", results.split)));
    }
    Ok(results.tasks)
}

/// Refuses a run that was judged on other rows.
fn same_rows(
    folder: &RunFolder,
    manifest: &Manifest,
    opened: &Opened,
    experiment: &Experiment,
) -> Result<()> {
    let run = folder.path().shown();
    let refuse = |what: String| {
        Err(Failure::new(Code::Checkpoint, format!("{run}: cannot be compared: {what}"))
            .hint("train the baseline on the same data and split: only `training.only_tasks` should differ"))
    };
    if manifest.data_digest != experiment.digest {
        return refuse("it was trained and judged on other data".into());
    }
    if manifest.split_digest.is_empty() || experiment.split_digest.is_empty() {
        say(&format!("note: {run}: whether it was judged on the same rows is not known"));
        return Ok(());
    }
    if manifest.split_digest != experiment.split_digest {
        let differing = described(folder, opened).unwrap_or_default();
        return refuse(format!("its data are split otherwise, so it was judged on other rows{differing}"));
    }
    Ok(())
}

/// What of the splits differs.
fn described(folder: &RunFolder, opened: &Opened) -> Result<String> {
    let source = Source::read(&folder.path().join(CONFIG), &[])?;
    let keys = changed_keys(&source.effective()?, &opened.source.effective()?);
    let keys: Vec<String> = keys.into_iter().filter(|key| key.starts_with("data.split")).collect();
    Ok(if keys.is_empty() { String::new() } else { format!(" (`{}` differs)", keys.join("`, `")) })
}
