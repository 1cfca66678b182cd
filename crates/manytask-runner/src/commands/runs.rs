//! `manytask runs`: the runs of a folder, with what differs between them, the best first.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use manytask_tensor::ShownPath as _;
use serde::{Deserialize, Serialize};

use crate::cli::RunsArgs;
use crate::config::{Source, flat};
use crate::failure::{Code, Failure, Result};
use crate::report::{aligned, number, print, say};
use crate::run::{CONFIG, MANIFEST, Manifest, RESULTS, is_study, read_json};
use crate::statistics::Summary;
use crate::study::{BASE, Finished, Member, Question, State, Study, finished_of, span};

/// Changes of a configuration that are shown.
const SHOWN: usize = 4;
/// Keys that say where a run computes and not what.
const PLACE: [&str; 3] = ["device", "threads", "data.folder"];

/// A run or a study of a folder.
#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    /// `run`, or `study` of several.
    kind: &'static str,
    /// `completed`, `stopped early`, `interrupted`, what went wrong, or how many of a study's runs have a result.
    state: String,
    /// Seconds since 1970 at its start.
    started: Option<u64>,
    split: Option<String>,
    /// What it is sorted by: the mean over tasks of a metric.
    score: Option<Score>,
    /// Seconds of training and evaluation.
    seconds: f64,
    /// Seconds of judging a row of the split.
    seconds_per_row: Option<f64>,
    peak_memory: Option<u64>,
    /// Settings in which it differs from most others.
    differs: BTreeMap<String, String>,
    #[serde(skip)]
    settings: BTreeMap<String, String>,
}

/// A metric's mean over tasks.
#[derive(Debug, Clone, Serialize)]
struct Score {
    metric: String,
    value: f64,
    /// Half the width of its interval, of a study.
    half_width: Option<f64>,
    higher_is_better: bool,
}

/// What of any study's `results.json` is shown.
#[derive(Deserialize)]
struct OfStudy {
    #[serde(default)]
    split: Option<String>,
}

/// What of a sweep's `results.json` is shown: the best point is the first.
#[derive(Deserialize)]
struct SweepResults {
    points: Vec<SweepPoint>,
}

#[derive(Deserialize)]
struct SweepPoint {
    runs: Vec<String>,
}

/// What of the `results.json` of a repetition is shown.
#[derive(Deserialize)]
struct Repeated {
    #[serde(default)]
    mean: Vec<(String, Summary)>,
    #[serde(default)]
    tasks: Vec<StudyTask>,
}

#[derive(Deserialize)]
struct StudyTask {
    #[serde(default)]
    higher_is_better: bool,
    #[serde(default)]
    metrics: Vec<(String, Summary)>,
}

/// `manytask runs`.
pub(super) fn runs(arguments: &RunsArgs) -> Result<()> {
    let folder = &arguments.folder;
    let mut entries = Vec::new();
    for path in folders(folder)? {
        match entry(&path, arguments.by.as_deref()) {
            Ok(found) => entries.extend(found),
            Err(failure) => say(&format!("note: {}: left out: {}", path.shown(), failure.message)),
        }
    }
    if entries.is_empty() {
        let what = format!("{}: there is no run in this folder", folder.shown());
        return Err(
            Failure::new(Code::Data, what).hint("name the folder that `manytask train` has put runs into")
        );
    }
    if let Some(metric) = arguments.by.as_ref().filter(|_| entries.iter().all(|entry| entry.score.is_none()))
    {
        let what = format!("no run of {} has the metric `{metric}`", folder.shown());
        return Err(Failure::new(Code::Usage, what).hint("leave --by out to see which there are"));
    }
    differences(&mut entries);
    entries.sort_by(before);
    if arguments.json {
        let text = serde_json::to_string_pretty(&entries);
        return print(&(text.map_err(|error| Failure::new(Code::Bug, error.to_string()))? + "\n"));
    }
    print(&table(&entries))
}

/// The folders in a folder, by name.
fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        let what = format!("{} is no folder", folder.shown());
        return Err(
            Failure::new(Code::Data, what).hint("name the folder that `manytask train` has put runs into")
        );
    }
    let mut paths = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}

/// What is known of a folder; `None` where it is neither a run nor a study.
fn entry(path: &Path, by: Option<&str>) -> Result<Option<Entry>> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if is_study(path) {
        return of_study(path, name, by).map(Some);
    }
    if name.starts_with('.') || !path.join(MANIFEST).is_file() {
        return Ok(None);
    }
    let manifest: Manifest = read_json(&path.join(MANIFEST))?;
    let settings = flat(&Source::read(&path.join(CONFIG), &[])?.effective()?);
    let (mut split, mut score, mut seconds_per_row) = (None, None, None);
    if let State::Finished(finished) = State::of(path)? {
        score = of_results(&finished, by);
        seconds_per_row = per_row(&finished);
        split = Some(finished.results.split);
    }
    Ok(Some(Entry {
        name,
        kind: "run",
        state: manifest.exit.unwrap_or_else(|| "not ended".to_owned()),
        started: Some(manifest.started),
        split,
        score,
        seconds: manifest.seconds,
        seconds_per_row,
        peak_memory: manifest.peak_memory,
        differs: BTreeMap::new(),
        settings,
    }))
}

/// Seconds of judging a row, where rows are counted.
fn per_row(finished: &Finished) -> Option<f64> {
    let rows = *finished.results.rows.get(&finished.results.split)?;
    Some(finished.manifest.judged_seconds? / rows.max(1) as f64)
}

fn of_results(finished: &Finished, by: Option<&str>) -> Option<Score> {
    let evaluation = finished.results.evaluation();
    let first = evaluation.tasks.first()?;
    let metric =
        by.or_else(|| first.metrics.first().map(|(name, _)| name.as_str())).unwrap_or("loss").to_owned();
    let value = if metric == "loss" { evaluation.mean_loss() } else { evaluation.mean(&metric) }?;
    // Which direction is better is known of the first metric, and of losses.
    let primary = first.metrics.first().is_some_and(|(name, _)| *name == metric);
    let higher_is_better = if primary { first.higher_is_better } else { is_better_when_higher(&metric) };
    Some(Score { metric, value, half_width: None, higher_is_better })
}

fn of_study(path: &Path, name: String, by: Option<&str>) -> Result<Entry> {
    let spec = Study::spec_of(path)?;
    let (finished, _) = finished_of(path, &spec)?;
    let file = path.join(RESULTS);
    let results: Option<OfStudy> = file.is_file().then(|| read_json(&file)).transpose()?;
    let score = match (spec.question, &results) {
        (_, None) | (Question::Strategies | Question::Front, _) => None,
        (Question::Repetition, Some(_)) => of_repeated(&read_json(&file)?, by),
        (Question::Sweep, Some(_)) => of_best(&read_json(&file)?, &finished, by),
    };
    let per_row = finished.iter().filter_map(|(_, finished)| per_row(finished));
    Ok(Entry {
        name,
        kind: "study",
        state: format!("{} of {} runs", finished.len(), spec.members.len()),
        started: finished.iter().map(|(_, finished)| finished.manifest.started).min(),
        split: results.and_then(|results| results.split),
        score,
        seconds: finished.iter().map(|(_, finished)| finished.manifest.seconds).sum(),
        seconds_per_row: crate::statistics::mean(&per_row.collect::<Vec<_>>()),
        peak_memory: finished.iter().filter_map(|(_, finished)| finished.manifest.peak_memory).max(),
        differs: BTreeMap::new(),
        settings: flat(&Source::read(&path.join(BASE), &[])?.effective()?),
    })
}

/// The means over repetitions.
fn of_repeated(results: &Repeated, by: Option<&str>) -> Option<Score> {
    let first = results.tasks.first()?;
    let all = if results.mean.is_empty() { &first.metrics } else { &results.mean };
    let (metric, summary) = match by {
        None => all.first()?,
        Some(by) => all.iter().find(|(metric, _)| metric == by)?,
    };
    let primary = first.metrics.first().is_some_and(|(name, _)| name == metric);
    let higher_is_better = if primary { first.higher_is_better } else { is_better_when_higher(metric) };
    Some(Score {
        metric: metric.clone(),
        value: summary.mean,
        half_width: summary.half_width,
        higher_is_better,
    })
}

/// That of the first run of the best point of a sweep.
fn of_best(results: &SweepResults, finished: &[(Member, Finished)], by: Option<&str>) -> Option<Score> {
    let best = results.points.first()?.runs.first()?;
    let (_, finished) = finished.iter().find(|(member, _)| member.name == *best)?;
    of_results(finished, by)
}

/// Errors and losses are better when lower.
fn is_better_when_higher(metric: &str) -> bool {
    manytask_nn::metrics::Metric::named(metric).is_some_and(manytask_nn::metrics::Metric::higher_is_better)
}

/// Notes in each entry the settings that not all have, where its value is not that of most.
fn differences(entries: &mut [Entry]) {
    let mut values: BTreeMap<String, BTreeMap<Option<String>, usize>> = BTreeMap::new();
    let keys: Vec<String> = entries.iter().flat_map(|entry| entry.settings.keys().cloned()).collect();
    for key in keys {
        if PLACE.contains(&key.as_str()) || values.contains_key(&key) {
            continue;
        }
        let counts = values.entry(key.clone()).or_default();
        for entry in entries.iter() {
            *counts.entry(entry.settings.get(&key).cloned()).or_default() += 1;
        }
    }
    for (key, counts) in values.into_iter().filter(|(_, counts)| counts.len() > 1) {
        let usual = counts.iter().max_by_key(|(_, count)| **count).and_then(|(value, _)| value.clone());
        for entry in entries.iter_mut() {
            let own = entry.settings.get(&key);
            if own != usual.as_ref() {
                entry.differs.insert(key.clone(), own.cloned().unwrap_or_else(|| "-".to_owned()));
            }
        }
    }
}

/// Runs of one metric together, the best first; those without a result last, by name.
fn before(a: &Entry, b: &Entry) -> Ordering {
    match (&a.score, &b.score) {
        (Some(own), Some(other)) => {
            let by_value = own.value.total_cmp(&other.value);
            let by_value = if own.higher_is_better { by_value.reverse() } else { by_value };
            (own.metric.as_str(), &a.split)
                .cmp(&(other.metric.as_str(), &b.split))
                .then(by_value)
                .then(a.name.cmp(&b.name))
        }
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.name.cmp(&b.name),
    }
}

fn table(entries: &[Entry]) -> String {
    let head = ["run", "metric", "mean", "split", "fit", "predict", "memory", "state"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for entry in entries {
        let score = entry.score.as_ref();
        let value = score.map_or("-".to_owned(), |score| match score.half_width {
            Some(half) => format!("{} ± {}", number(score.value), number(half)),
            None => number(score.value),
        });
        let memory = entry.peak_memory.map_or("-".to_owned(), |bytes| format!("{} MiB", bytes >> 20));
        // What went wrong may be long.
        let state: String = entry.state.lines().next().unwrap_or_default().chars().take(30).collect();
        rows.push(vec![
            entry.name.clone(),
            score.map_or("-".to_owned(), |score| score.metric.clone()),
            value,
            entry.split.clone().unwrap_or_else(|| "-".to_owned()),
            span(Duration::from_secs_f64(entry.seconds.max(0.0))),
            entry.seconds_per_row.map_or("-".to_owned(), |each| format!("{} µs/row", number(1e6 * each))),
            memory,
            state,
        ]);
    }
    let differs = entries.iter().map(|entry| {
        let more = entry.differs.len().saturating_sub(SHOWN);
        let shown = entry.differs.iter().take(SHOWN).map(|(key, value)| format!("{key}={value}"));
        let more = (more > 0).then(|| format!("and {more} more"));
        shown.chain(more).collect::<Vec<_>>().join(" ")
    });
    let differs = std::iter::once("differs in".to_owned()).chain(differs);
    let line = |(row, differs): (&str, String)| format!("{row}  {differs}").trim_end().to_owned() + "\n";
    aligned(&rows).lines().zip(differs).map(line).collect()
}
