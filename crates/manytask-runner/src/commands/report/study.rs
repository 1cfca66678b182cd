//! What a study found beside its runs: the values of a sweep, or the fronts of several methods.

use std::path::Path;

use serde::Deserialize;

use crate::failure::Result;
use crate::html::{Axis, Chart, Mark, Page, Series, parallel};
use crate::run::{RESULTS, read_json};
use crate::statistics::Summary;
use crate::study::{Question, Spec, Study};

/// Keys and tasks with axes of their own.
const KEYS: usize = 5;
const TASKS: usize = 2;

/// What of a sweep's `results.json` is shown.
#[derive(Debug, Deserialize)]
struct Sweep {
    tasks: Vec<(String, String)>,
    /// The best first.
    points: Vec<Point>,
}

/// One combination of values.
#[derive(Debug, Deserialize)]
struct Point {
    name: String,
    metrics: Vec<Option<Summary>>,
    /// Its runs.
    runs: Vec<String>,
}

/// The names of a sweep's runs, those of the best point first; of another study, and of one without its answer, none.
pub(super) fn order(study: &Path) -> Result<Vec<String>> {
    let is_sweep = Study::spec_of(study)?.question == Question::Sweep;
    if !is_sweep || !study.join(RESULTS).is_file() {
        return Ok(Vec::new());
    }
    let answer: Sweep = read_json(&study.join(RESULTS))?;
    Ok(answer.points.into_iter().flat_map(|point| point.runs).collect())
}

/// The pictures of a study that has its answer.
pub(super) fn of_study(page: &mut Page, study: &Path) -> Result<()> {
    let spec = Study::spec_of(study)?;
    if !study.join(RESULTS).is_file() {
        return Ok(());
    }
    match spec.question {
        Question::Sweep => {
            let answer: Sweep = read_json(&study.join(RESULTS))?;
            page.subheading("The values that were tried");
            page.figures(&of_sweep(&spec, &answer));
        }
        Question::Front => {
            let picture = study.join(super::super::front::PICTURE);
            if let Ok(picture) = fs_err::read_to_string(picture) {
                page.subheading("The fronts that were found");
                page.figures(&[picture]);
            }
        }
        Question::Repetition | Question::Strategies => {}
    }
    Ok(())
}

/// All points on an axis for each key and each task, and the metrics of the first task by each key of numbers.
fn of_sweep(spec: &Spec, answer: &Sweep) -> Vec<String> {
    let values: Vec<Vec<(&str, &str)>> = answer.points.iter().map(|point| changed(spec, point)).collect();
    let Some(first) = values.first() else { return Vec::new() };
    let keys = first.iter().take(KEYS).enumerate().map(|(number, (key, _))| {
        let texts: Vec<String> =
            values.iter().map(|own| own.get(number).map_or("", |(_, value)| *value).to_owned()).collect();
        (*key, texts)
    });
    let keys: Vec<(&str, Vec<String>)> = keys.collect();
    let of_task = |task: usize| -> Vec<Option<f64>> {
        let mean = |point: &Point| point.metrics.get(task)?.as_ref().map(|summary| summary.mean);
        answer.points.iter().map(mean).collect()
    };
    let named = answer.tasks.iter().take(TASKS).enumerate();
    let tasks: Vec<(String, Vec<Option<f64>>)> =
        named.map(|(place, (task, metric))| (format!("{task} {metric}"), of_task(place))).collect();
    let axes: Vec<Axis> = keys
        .iter()
        .map(|(key, texts)| Axis::of_texts(last_of(key), texts))
        .chain(tasks.iter().map(|(name, numbers)| Axis::of_numbers(name, numbers)))
        .collect();
    let mut figures = vec![parallel("all points, the best stands out", &axes)];
    for (name, metrics) in tasks.iter().take(1) {
        figures.extend(keys.iter().filter_map(|(key, texts)| by_key(last_of(key), texts, name, metrics)));
    }
    figures
}

/// A task's metric by the values of a key, where these are numbers.
fn by_key(key: &str, texts: &[String], name: &str, metrics: &[Option<f64>]) -> Option<String> {
    let numbers: Vec<f64> = texts.iter().map(|text| text.parse().ok()).collect::<Option<_>>()?;
    let low = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let high = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let logarithmic = low > 0.0 && high / low >= 10.0;
    let label = if logarithmic { format!("log10 of {key}") } else { key.to_owned() };
    let place = |number: &f64| if logarithmic { number.log10() } else { *number };
    let points = numbers.iter().map(place).zip(metrics).filter_map(|(x, y)| Some((x, (*y)?)));
    let dots = Series::line("", points.collect()).drawn(Mark::Dots);
    Some(Chart::new(&format!("{name} by {key}"), &label, "").with(dots).svg())
}

/// The keys that a point changes, with their values.
fn changed<'s>(spec: &'s Spec, point: &Point) -> Vec<(&'s str, &'s str)> {
    let member = spec.members.iter().find(|member| member.variant == point.name);
    let changes = member.into_iter().flat_map(|member| &member.overrides);
    let of_repeat = |key: &str| key == "seed" || key == "data.fold";
    changes
        .filter_map(|change| change.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim().trim_matches('"')))
        .filter(|(key, _)| !of_repeat(key))
        .collect()
}

fn last_of(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}
